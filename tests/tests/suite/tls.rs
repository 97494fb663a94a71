//! TLS against real servers: who is trusted, who is not, and that nothing ever goes back to plaintext.

pub(crate) mod authority;
mod hostile;
mod options;

use std::process::Command;

use kv_proto::driver::Client;
use kv_proto::{BucketConfig, Config, ConnectError, Disconnect, LinkErrorKind, TlsConfig, Update};
use kv_tests::{Port, Server, eventually};

use self::authority::Authority;
use crate::site::{Adapter, Site, at_once, config, tests};

tests! {
    on_both_ends {
        every_way_to_ask_for_tls_is_one
        a_server_that_asks_for_tls_gets_it
        tls_comes_first_where_it_shall
        a_client_certificate_lets_in
        who_is_not_who_was_dialled_is_left
        a_server_without_tls_is_left
        a_server_where_tls_is_optional_is_secured
        large_values_and_watches_are_whole
        a_restart_does_not_end_tls
        verification_can_be_switched_off
    }
    on_the_newest {
        an_announced_server_is_moved_to
        certificates_of_the_system_count
    }
}

/// The names under which tests reach a server on this machine.
const HERE: &[&str] = &["localhost", "127.0.0.1", "::1"];

fn url(scheme: &str, host: &str, server: &Server) -> String {
    format!("{scheme}://{host}:{}", server.port())
}

#[track_caller]
fn assert_not_secured(result: Result<Client, ConnectError>, why: &str) {
    let error = result.expect_err("it is not secured");
    let ConnectError::Failed(Disconnect::Transport(link)) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(link.kind(), LinkErrorKind::Secure, "{error}");
    assert!(error.to_string().contains(why), "{error}, not {why:?}");
}

async fn assert_works(client: &Client) {
    let bucket = client.create_or_update_bucket(BucketConfig::new("b")).await;
    let bucket = bucket.unwrap();
    bucket.put("a", "1").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
}

/// Options and the scheme of any URL in a list, however they are written.
async fn every_way_to_ask_for_tls_is_one<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let server = authority.start(site.own_server(), &authority.issue(HERE), "");
    let (nats, tls) = (
        url("nats", "localhost", &server),
        url("tls", "localhost", &server),
    );
    let by_address = url("TLS", "127.0.0.1", &server);
    let trust = || authority.trust();
    for config in [
        config(&nats).tls(trust()),
        config(&tls).tls(trust()),
        config(&by_address).tls(trust()).require_tls(),
        config(&format!("{nats},{tls}")).tls(trust()),
    ] {
        assert_works(&at_once(A::connect(config)).await.unwrap()).await;
    }
}

/// Without any option a server that requires TLS is believed to, and has to prove who it is.
async fn a_server_that_asks_for_tls_gets_it<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let server = authority.start(site.own_server(), &authority.issue(HERE), "");
    let nobody_knows = A::connect(config(&url("nats", "localhost", &server))).await;
    assert_not_secured(nobody_knows, "");
}

/// A server that says nothing in clear, one that says it after a while, and one that was not told to.
async fn tls_comes_first_where_it_shall<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let identity = authority.issue(HERE);
    let silent = site.own_server().greets_after_tls();
    let silent = authority.start(silent, &identity, "handshake_first: true");
    let patient = authority.start(site.own_server(), &identity, "handshake_first: auto");
    let greeting = authority.start(site.own_server(), &identity, "");
    let to = |server| config(&url("nats", "localhost", server)).tls(authority.trust());
    for server in [&silent, &patient] {
        let client = at_once(A::connect(to(server).tls_first())).await.unwrap();
        assert_works(&client).await;
    }
    // Who does not begin is greeted in clear, and secured then.
    assert_works(&A::connect(to(&patient)).await.unwrap()).await;
    let first = at_once(A::connect(to(&greeting).tls_first())).await;
    assert_not_secured(first, "corrupt message");
}

/// A server that asks for a certificate takes one of its authority, and nothing else.
async fn a_client_certificate_lets_in<A: Adapter>(site: Site<A>) {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.start(site.own_server(), &authority.issue(HERE), "verify: true");
    let to = |tls| config(&url("tls", "localhost", &server)).tls(tls);
    let trusting = || TlsConfig::builder().ca_file(authority.file()).unwrap();

    let (client, foreign) = (authority.issue(&["me"]), other.issue(&["me"]));
    let in_files = authority.files(&client);
    for with_cert in [
        trusting().client_cert_pem(&client.cert, &client.key),
        trusting().client_cert_files(in_files.0, in_files.1),
    ] {
        let tls = with_cert.unwrap().build().unwrap();
        assert_works(&at_once(A::connect(to(tls))).await.unwrap()).await;
    }
    // In TLS 1.3 a server looks at the client when the client has done its part.
    let foreign = trusting().client_cert_pem(&foreign.cert, &foreign.key);
    for (tls, why) in [
        (trusting(), "CertificateRequired"),
        (foreign.unwrap(), "UnknownCA"),
    ] {
        let error = at_once(A::connect(to(tls.build().unwrap()))).await;
        let error = error.unwrap_err();
        let ended = matches!(&error, ConnectError::Failed(Disconnect::Transport(_)));
        assert!(ended && error.to_string().contains(why), "{error:?}");
    }
}

/// An authority that is not trusted, a name or an address that is not in the certificate, and one that is over.
async fn who_is_not_who_was_dialled_is_left<A: Adapter>(site: Site<A>) {
    let (authority, other) = (Authority::new(), Authority::new());
    for (identity, host, tls, why) in [
        (
            authority.issue(HERE),
            "localhost",
            other.trust(),
            "UnknownIssuer",
        ),
        (
            other.issue(HERE),
            "localhost",
            authority.trust(),
            "UnknownIssuer",
        ),
        (
            authority.issue(&["example.org"]),
            "localhost",
            authority.trust(),
            "not valid for name \"localhost\"",
        ),
        (
            authority.issue(&["localhost"]),
            "127.0.0.1",
            authority.trust(),
            "not valid for name \"127.0.0.1\"",
        ),
        (
            authority.issue_expired(HERE),
            "localhost",
            authority.trust(),
            "certificate expired",
        ),
    ] {
        let server = authority.start(site.own_server(), &identity, "");
        let client = config(&url("tls", host, &server)).tls(tls);
        assert_not_secured(at_once(A::connect(client)).await, why);
        eventually("the server knows", || {
            server.log().contains("TLS handshake error")
        });
    }
}

async fn a_server_without_tls_is_left<A: Adapter>(site: Site<A>) {
    let server = site.own_server().token("s3cret").start();
    for config in [
        config(&url("tls", "localhost", &server)),
        config(&server.url()).require_tls(),
        config(&server.url()).tls(TlsConfig::default()),
    ] {
        let error = at_once(A::connect(config.token("s3cret"))).await;
        assert_eq!(error.unwrap_err(), ConnectError::Failed(Disconnect::NoTls));
    }
}

async fn a_server_where_tls_is_optional_is_secured<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let (cert, key) = authority.files(&authority.issue(HERE));
    let lines = format!("tls {{ cert_file: {cert:?}, key_file: {key:?} }}\nallow_non_tls: true");
    let server = site.own_server().config_extra(&lines).start();
    assert_eq!(server.info()["tls_available"], true);
    let nats = url("nats", "localhost", &server);
    let client = at_once(A::connect(config(&nats).tls(authority.trust()))).await;
    assert_works(&client.unwrap()).await;
    let distrusting = config(&nats).tls(Authority::new().trust());
    assert_not_secured(at_once(A::connect(distrusting)).await, "UnknownIssuer");
    // Who asks for nothing gets nothing.
    assert_works(&at_once(A::connect(config(&nats))).await.unwrap()).await;
}

/// Values of many records, many small ones at once, and what a watch is told of them.
async fn large_values_and_watches_are_whole<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let server = authority.start(site.own_server(), &authority.issue(HERE), "");
    let tls = config(&url("tls", "localhost", &server)).tls(authority.trust());
    let client = A::connect(tls).await.unwrap();
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    let mut watch = bucket.watch(">").await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap(), Update::Synced);

    let value = |number: usize| -> Vec<u8> {
        let bytes = (0..1_000_000).map(|at| (at * 31 + at / 251 + number) as u8);
        bytes.collect()
    };
    for number in 0..4 {
        bucket.put("large", value(number)).await.unwrap();
        assert_eq!(bucket.get("large").await.unwrap().unwrap(), value(number));
        let Update::Entry(entry) = watch.next().await.unwrap().unwrap() else {
            panic!("no entry");
        };
        assert_eq!(entry.value, value(number));
    }
    let small = (0..500).map(|n| bucket.put(format!("k{n}"), "v"));
    let small: Vec<_> = small.map(crate::site::begin).collect();
    for put in small {
        put.await.unwrap();
    }
    for n in 0..500 {
        let Update::Entry(entry) = watch.next().await.unwrap().unwrap() else {
            panic!("no entry");
        };
        assert_eq!(entry.key.as_str(), format!("k{n}"));
    }
}

/// The next connection is one too.
async fn a_restart_does_not_end_tls<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let server = authority.start(site.own_server(), &authority.issue(HERE), "");
    let tls = config(&url("nats", "localhost", &server)).tls(authority.trust());
    let client = A::connect(tls).await.unwrap();
    assert_works(&client).await;
    server.restart();
    eventually("it is back", || client.stats().connects == 2);
    assert_works(&client).await;
}

/// A server whose address came from another one, inside of TLS, is who it should be as well.
async fn an_announced_server_is_moved_to<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let route = Port::reserve();
    let tls = |cluster: &str| {
        let (cert, key) = authority.files(&authority.issue(HERE));
        format!(
            "tls {{ cert_file: {cert:?}, key_file: {key:?} }}\ncluster {{ name: c, {cluster} }}"
        )
    };
    let start = |cluster: &str| {
        let server = site.own_server().jetstream(false);
        server.config_extra(&tls(cluster)).start()
    };
    let first = start(&format!("listen: \"127.0.0.1:{}\"", route.number()));
    let second = start(&format!(
        "listen: \"127.0.0.1:-1\", routes: [\"nats://127.0.0.1:{}\"]",
        route.number()
    ));
    let config = config(&url("nats", "localhost", &first)).tls(authority.trust());
    let client = A::connect(config).await.unwrap();
    let knows = |port| client.servers().iter().any(|known| known.port() == port);
    eventually("it is announced", || knows(second.port()));
    first.kill();
    let there = || {
        client
            .server()
            .is_some_and(|server| server.port() == second.port())
    };
    eventually("the client has moved", there);
}

/// Whoever it is.
async fn verification_can_be_switched_off<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let identity = authority.issue_expired(&["example.org"]);
    let server = authority.start(site.own_server(), &identity, "");
    let any = TlsConfig::builder().dangerous_accept_any_certificate();
    let config = config(&url("tls", "localhost", &server)).tls(any.build().unwrap());
    assert_works(&at_once(A::connect(config)).await.unwrap()).await;
}

/// In a process of its own, as the place of the system's certificates is read from its environment.
async fn certificates_of_the_system_count<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let server = authority.start(site.own_server(), &authority.issue(HERE), "");
    for (file, works) in [(authority.file(), true), (Authority::new().file(), false)] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "tls::child_of_the_test_above"])
            .env("SSL_CERT_FILE", file)
            .env("KV_TLS_PORT", server.port().to_string())
            .output();
        assert_eq!(child.unwrap().status.success(), works);
    }
}

#[test]
#[ignore = "the test above runs it"]
fn child_of_the_test_above() {
    let Ok(port) = std::env::var("KV_TLS_PORT") else {
        return; // not run by the test above, but with all that are ignored
    };
    for scheme in ["tls", "nats"] {
        let config = Config::new(&format!("{scheme}://localhost:{port}")).unwrap();
        let connected = async { kv_smol::connect(config).await };
        ::smol::block_on(connected).unwrap();
    }
}
