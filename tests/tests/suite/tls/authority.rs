//! Who issues the certificates of a test, and the servers that show them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kv_proto::TlsConfig;
use kv_tests::{Server, ServerBuilder, unique};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// An authority that nobody else trusts, and a folder for what servers read.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, unique("authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority in a file.
    pub(crate) fn file(&self) -> PathBuf {
        self.write("ca", &self.pem())
    }

    /// A certificate for these hosts and IP addresses.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {})
    }

    /// One that is no longer valid.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes an identity into two files.
    pub(crate) fn files(&self, identity: &Identity) -> (PathBuf, PathBuf) {
        let cert = self.write("cert", &identity.cert);
        (cert, self.write("key", &identity.key))
    }

    /// A client's configuration that trusts this authority alone.
    pub(crate) fn trust(&self) -> TlsConfig {
        let builder = TlsConfig::builder().ca_pem(self.pem()).unwrap();
        builder.build().unwrap()
    }

    /// Starts a server with that identity; `more` is for its `tls` block.
    pub(crate) fn start(&self, server: ServerBuilder, identity: &Identity, more: &str) -> Server {
        let (cert, key) = self.files(identity);
        let lines = format!(
            "tls {{ cert_file: {cert:?}, key_file: {key:?}, ca_file: {:?}, {more} }}",
            self.file()
        );
        server.config_extra(&lines).start()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(unique(name));
        fs::write(&path, text).unwrap();
        path
    }
}

impl Identity {
    /// What a server that follows a script shows.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let cert = CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert], key);
        Arc::new(config.unwrap())
    }
}

/// The part of a path that tests name in errors.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
