//! Certificates and keys that are none, and what of them shows.

use kv_proto::{InvalidTls, ServerUrl, TlsConfig};

use super::authority::{Authority, shown};

const GARBAGE: &str = "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n";

#[test]
fn what_is_no_certificate_or_key_is_named() {
    let authority = Authority::new();
    let (mine, other) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let builder = TlsConfig::builder;
    let ca = |pem: &str| builder().ca_pem(pem).and_then(|builder| builder.build());
    assert_eq!(ca("").unwrap_err(), InvalidTls::NoCertificate);
    assert_eq!(ca(&mine.key).unwrap_err(), InvalidTls::NoCertificate);
    let cut = mine.cert.trim_end().trim_end_matches('-');
    assert_eq!(ca(cut).unwrap_err(), InvalidTls::Pem);
    let no_der = ca(&GARBAGE.replace("canary", "AAAA"));
    assert!(matches!(no_der.unwrap_err(), InvalidTls::Authority(_)));

    let client = |cert: &str, key: &str| builder().client_cert_pem(cert, key);
    assert_eq!(
        client("", &mine.key).unwrap_err(),
        InvalidTls::NoCertificate
    );
    assert_eq!(client(&mine.cert, "").unwrap_err(), InvalidTls::NoKey);
    let locked = mine.key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    assert_eq!(client(&mine.cert, &locked).unwrap_err(), InvalidTls::NoKey);
    let foreign = client(&mine.cert, &other.key).unwrap().build().unwrap_err();
    assert!(matches!(foreign, InvalidTls::ClientCert(_)), "{foreign:?}");

    let missing = authority.file().with_extension("missing");
    let error = builder().ca_file(&missing).unwrap_err();
    let kind = std::io::ErrorKind::NotFound;
    assert!(error.to_string().contains(&shown(&missing)), "{error}");
    let path = missing;
    assert_eq!(error, InvalidTls::File { path, kind });
}

/// What a certificate has to name is the host that is dialled, an IP address without its zone.
#[test]
fn a_host_is_what_a_certificate_is_for() {
    let tls = Authority::new().trust();
    let name = |url: &str| {
        let url: ServerUrl = url.parse().unwrap();
        let (_, name) = tls.to_server(url.addr())?;
        Ok::<_, std::io::Error>(name.to_str().into_owned())
    };
    for (url, host) in [
        ("tls://nats.example.org:4333", "nats.example.org"),
        ("nats_1.internal", "nats_1.internal"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:4222", "::1"),
        ("[fe80::1%eth0]", "fe80::1"),
    ] {
        assert_eq!(name(url).unwrap(), host);
    }
    for url in ["a..b", "-", &"a".repeat(300), "unix:///a"] {
        let error = name(url).unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        assert!(matches!(inner, Some(InvalidTls::Host(_))), "{error}");
    }
}

/// Neither a configuration, nor what makes it, nor any error shows a key or a certificate.
#[test]
fn keys_do_not_show() {
    let mine = Authority::new().issue(&["a"]);
    let builder = TlsConfig::builder()
        .client_cert_pem(&mine.cert, &mine.key)
        .unwrap();
    let mut shown = format!("{builder:?}");
    let tls = builder.build().unwrap();
    let config = kv_proto::Config::new("tls://a").unwrap().tls(tls.clone());
    shown += &format!("{tls:?} {config:?}");
    let lines = mine.key.lines().filter(|line| !line.starts_with('-'));
    let secret: Vec<&str> = lines.collect();
    let broken = mine.key.replace(secret[0], &secret[0].replace('A', "*"));
    for key in [
        mine.key.replace(secret[0], "AAAA"),
        broken,
        mine.key.replace("PRIVATE", "RSA PRIVATE"),
    ] {
        let built = TlsConfig::builder().client_cert_pem(&mine.cert, key);
        let error = built.and_then(|builder| builder.build()).unwrap_err();
        shown += &format!("{error} {error:?}");
    }
    for line in secret.iter().chain(&mine.cert.lines().nth(1)) {
        assert!(!shown.contains(line), "{shown}");
    }
}
