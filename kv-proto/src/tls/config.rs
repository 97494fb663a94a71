//! Certificates, keys and trust, for rustls.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use zeroize::Zeroizing;

use super::unverified::AnyCertificate;
use crate::server::ServerAddr;

#[cfg(feature = "tls-aws-lc-rs")]
use rustls::crypto::aws_lc_rs as cryptography;
#[cfg(not(feature = "tls-aws-lc-rs"))]
use rustls::crypto::ring as cryptography;

/// What connections are secured with: whom to trust, and who the client is.
/// It shows nothing of that in `Debug`, and clones are cheap.
///
/// The default one trusts whom the operating system trusts, as it says at the
/// first handshake. Files are read once, when they are named; certificates that
/// are replaced while the client runs need a resolver of rustls, in
/// [`from_rustls`](Self::from_rustls).
///
/// ```no_run
/// use kv_proto::{Config, TlsConfig};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = TlsConfig::builder()
///     .ca_file("ca.pem")?
///     .client_cert_files("client.pem", "client.key")?
///     .build()?;
/// let config = Config::new("nats.example.org")?.tls(tls);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TlsConfig(Arc<Source>);

enum Source {
    Given(Arc<ClientConfig>),
    /// Read when it is first needed, as most clients need none.
    System(OnceLock<Arc<ClientConfig>>),
}

/// Why connections cannot be secured that way. No key is ever part of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidTls {
    /// A file cannot be read.
    #[error("cannot read {}: {kind}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// A text is not well-formed PEM.
    #[error("malformed PEM")]
    Pem,
    /// A text holds no certificate.
    #[error("no certificate in PEM")]
    NoCertificate,
    /// A text holds no private key, or only an encrypted one.
    #[error("no private key in PEM that is not encrypted")]
    NoKey,
    /// The certificate of an authority is not valid.
    #[error("invalid certificate of an authority: {0}")]
    Authority(String),
    /// The client's certificate or key is not valid, or they do not belong
    /// together.
    #[error("invalid client certificate or key: {0}")]
    ClientCert(String),
    /// The operating system trusts nobody, or does not say whom.
    #[error("no certificates of the system: {0}")]
    NoSystemRoots(String),
    /// No certificate can be for that server: a Unix socket, or what is no host.
    #[error("no certificate can be for {0:?}")]
    Host(String),
}

impl TlsConfig {
    /// Begins with a configuration that trusts whom the operating system trusts
    /// and that has no client certificate.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// Takes a configuration of rustls as it is, with its own cryptography and
    /// its own idea of whom to trust.
    #[must_use]
    pub fn from_rustls(config: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Source::Given(config)))
    }

    /// Returns what rustls needs for a handshake with this server, and the name
    /// that the server's certificate has to have. For adapters.
    ///
    /// # Errors
    ///
    /// [`InvalidTls`], as an error of I/O.
    pub fn to_server(
        &self,
        server: &ServerAddr,
    ) -> io::Result<(Arc<ClientConfig>, ServerName<'static>)> {
        let config = self.client_config().map_err(io::Error::other)?;
        // The zone of an IPv6 address belongs to this machine, not to the server.
        let host = server.host().split('%').next().unwrap_or_default();
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| io::Error::other(InvalidTls::Host(server.to_string())))?;
        Ok((config, name))
    }

    fn client_config(&self) -> Result<Arc<ClientConfig>, InvalidTls> {
        let cell = match &*self.0 {
            Source::Given(config) => return Ok(config.clone()),
            Source::System(cell) => cell,
        };
        if let Some(config) = cell.get() {
            return Ok(config.clone());
        }
        let config = Arc::new(TlsBuilder::default().client_config()?);
        Ok(cell.get_or_init(|| config).clone())
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self(Arc::new(Source::System(OnceLock::new())))
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConfig(..)")
    }
}

/// Makes a [`TlsConfig`].
#[derive(Default)]
#[must_use = "a builder makes nothing before `build`"]
pub struct TlsBuilder {
    authorities: Vec<CertificateDer<'static>>,
    system_roots: bool,
    client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    unverified: bool,
}

impl TlsBuilder {
    /// Trusts the certificates in a PEM file, and no longer whom the operating
    /// system trusts. May be called several times.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::File`], and those of [`ca_pem`](Self::ca_pem).
    pub fn ca_file(self, path: impl AsRef<Path>) -> Result<Self, InvalidTls> {
        self.ca_pem(read(path.as_ref())?)
    }

    /// Trusts the certificates in a PEM text, and no longer whom the operating
    /// system trusts. May be called several times.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Pem`] and [`InvalidTls::NoCertificate`].
    pub fn ca_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, InvalidTls> {
        self.authorities.extend(certificates(pem.as_ref())?);
        Ok(self)
    }

    /// Trusts whom the operating system trusts, beside the authorities that are
    /// named here.
    pub const fn system_roots(mut self) -> Self {
        self.system_roots = true;
        self
    }

    /// Shows servers that ask for it the certificate, or chain of certificates,
    /// in a PEM file, whose private key is in another one, or the same.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::File`], and those of [`client_cert_pem`](Self::client_cert_pem).
    pub fn client_cert_files(
        self,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, InvalidTls> {
        let (cert, key) = (read(cert.as_ref())?, read(key.as_ref())?);
        self.client_cert_pem(cert, key)
    }

    /// Shows servers that ask for it the certificate, or chain of certificates,
    /// in a PEM text, whose private key (PKCS #8, PKCS #1 or SEC1) is in another
    /// one, or the same.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Pem`], [`InvalidTls::NoCertificate`] and [`InvalidTls::NoKey`].
    pub fn client_cert_pem(
        mut self,
        cert: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, InvalidTls> {
        let key = PrivateKeyDer::from_pem_slice(key.as_ref());
        let key = key.map_err(|error| match matches!(error, pem::Error::NoItemsFound) {
            true => InvalidTls::NoKey,
            false => InvalidTls::Pem,
        })?;
        self.client = Some((certificates(cert.as_ref())?, key));
        Ok(self)
    }

    /// Believes every server, whoever it is: passwords and values go to anybody
    /// who is between this client and the server. For tests alone; to trust an
    /// authority of one's own there is [`ca_file`](Self::ca_file).
    pub const fn dangerous_accept_any_certificate(mut self) -> Self {
        self.unverified = true;
        self
    }

    /// Makes the configuration.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Authority`], [`InvalidTls::ClientCert`] and
    /// [`InvalidTls::NoSystemRoots`].
    pub fn build(self) -> Result<TlsConfig, InvalidTls> {
        Ok(TlsConfig::from_rustls(Arc::new(self.client_config()?)))
    }

    fn client_config(self) -> Result<ClientConfig, InvalidTls> {
        let provider = Arc::new(cryptography::default_provider());
        #[allow(clippy::expect_used, reason = "it is true")]
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider can do TLS 1.2 and 1.3");
        let builder = if self.unverified {
            let any = Arc::new(AnyCertificate(provider));
            builder.dangerous().with_custom_certificate_verifier(any)
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        match self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| InvalidTls::ClientCert(error.to_string())),
        }
    }

    fn roots(&self) -> Result<RootCertStore, InvalidTls> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            roots
                .add(authority.clone())
                .map_err(|error| InvalidTls::Authority(error.to_string()))?;
        }
        if self.system_roots || self.authorities.is_empty() {
            let known = roots.len();
            let loaded = rustls_native_certs::load_native_certs();
            // Among hundreds of them some are of kinds that rustls does not know.
            roots.add_parsable_certificates(loaded.certs);
            if roots.len() == known {
                let why = loaded.errors.first().map(ToString::to_string);
                let why = why.unwrap_or_else(|| "there are none".into());
                return Err(InvalidTls::NoSystemRoots(why));
            }
        }
        Ok(roots)
    }
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsBuilder(..)")
    }
}

/// Reads a file that may hold a key.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, InvalidTls> {
    let read = std::fs::read(path).map(Zeroizing::new);
    read.map_err(|error| InvalidTls::File {
        path: path.into(),
        kind: error.kind(),
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| InvalidTls::Pem)?;
    if found.is_empty() {
        return Err(InvalidTls::NoCertificate);
    }
    Ok(found)
}
