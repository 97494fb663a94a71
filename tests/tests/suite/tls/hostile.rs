//! Whoever is between client and server, and wants the password: what the client says in clear is kept.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use kv_proto::{Config, ConnectError, ConnectionEvent, Disconnect, LinkErrorKind, ProtocolError};
use kv_tests::{Fake, FakeConn, eventually};
use rustls::ServerConfig;
use serde_json::json;

use super::authority::Authority;
use super::{HERE, assert_not_secured};
use crate::site::{Adapter, SECOND, Site, at_once, config, tests};

tests! {
    on_the_newest {
        nothing_is_said_to_who_hides_tls
        what_follows_the_greeting_in_clear_is_fatal
        the_host_that_a_server_calls_itself_is_not_believed
        nothing_is_said_to_who_cannot_prove_who_they_are
        servers_announced_in_clear_are_not_believed
        an_announced_server_has_to_be_the_one_that_was_announced
        plaintext_after_tls_is_refused
        a_handshake_without_end_is_left
        the_end_is_announced
    }
}

/// A client with a password.
fn to(fake: &Fake, authority: &Authority) -> Config {
    let url = format!("nats://localhost:{}", fake.addr().port());
    config(&url).user("me", "canary").tls(authority.trust())
}

fn asks() -> serde_json::Value {
    json!({ "tls_required": true })
}

/// Greets, and takes the server's part of the handshake.
fn secure(conn: &mut FakeConn, tls: &Arc<ServerConfig>) {
    conn.info_with(&asks());
    conn.secure(tls).expect("it is believed");
}

/// A greeting from which TLS was taken out.
async fn nothing_is_said_to_who_hides_tls<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    let fake = Fake::start(|conn| {
        conn.info_with(&json!({ "tls_required": false, "tls_available": null }));
        assert_eq!(conn.read_to_end(5 * SECOND), b"", "it spoke");
    });
    let url = format!("tls://localhost:{}", fake.addr().port());
    for config in [to(&fake, &authority), config(&url).user("me", "canary")] {
        let error = at_once(A::connect(config)).await.unwrap_err();
        assert_eq!(error, ConnectError::Failed(Disconnect::NoTls));
    }
}

/// Whatever it is, and whether it comes with the greeting or in the middle of the handshake.
async fn what_follows_the_greeting_in_clear_is_fatal<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    for behind in [
        "MSG a 1 5\r\nhello\r\n",
        "PING\r\n",
        "+OK\r\n",
        "INFO {}\r\n",
        "x",
        "\u{16}\u{3}\u{1}",
    ] {
        let fake = Fake::start(move |conn| {
            let mut info = conn.info();
            info["tls_required"] = true.into();
            conn.send(format!("INFO {info}\r\n{behind}").as_bytes());
            assert_eq!(conn.read_to_end(5 * SECOND), b"", "it spoke");
        });
        let error = at_once(A::connect(to(&fake, &authority)))
            .await
            .unwrap_err();
        let fatal = Disconnect::Protocol(ProtocolError::BytesBeforeTls);
        assert_eq!(error, ConnectError::Failed(fatal), "{behind:?}");
    }
    // An error is the server's word, and the end as well.
    let fake = Fake::start(move |conn| {
        let mut info = conn.info();
        info["tls_required"] = true.into();
        conn.send(format!("INFO {info}\r\n-ERR 'maximum connections exceeded'\r\n").as_bytes());
        assert_eq!(conn.read_to_end(5 * SECOND), b"", "it spoke");
    });
    let error = at_once(A::connect(to(&fake, &authority)))
        .await
        .unwrap_err();
    let full = Disconnect::Server("maximum connections exceeded".into());
    assert_eq!(error, ConnectError::Failed(full));

    let late = Fake::start(|conn| {
        conn.info_with(&asks());
        conn.read_until(b"\x16\x03", 5 * SECOND);
        conn.send(b"MSG a 1 5\r\nhello\r\n");
        let said = conn.read_to_end(5 * SECOND);
        assert!(!contains(&said, b"CONNECT"), "{said:?}");
    });
    let error = at_once(A::connect(to(&late, &authority))).await;
    assert_not_secured(error, "corrupt message");
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// RUSTSEC-2023-0027: a certificate for the host that the greeting names, instead of the one that was dialled.
async fn the_host_that_a_server_calls_itself_is_not_believed<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    let tls = authority.issue(&["evil.example"]).server();
    let fake = Fake::start(move |conn| {
        conn.info_with(&json!({
            "tls_required": true, "host": "evil.example", "server_name": "evil.example",
            "connect_urls": ["evil.example:4222"],
        }));
        assert!(conn.secure(&tls).is_err(), "it is believed");
        assert_eq!(conn.read_to_end(5 * SECOND), b"");
    });
    let error = at_once(A::connect(to(&fake, &authority))).await;
    assert_not_secured(error, "not valid for name \"localhost\"");
}

/// The rows of the other test, with a server that sees what the client says.
async fn nothing_is_said_to_who_cannot_prove_who_they_are<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    for first in [false, true] {
        for identity in [
            Authority::new().issue(HERE),
            authority.issue(&["example.org", "127.0.0.1"]),
            authority.issue_expired(HERE),
        ] {
            let tls = identity.server();
            let fake = Fake::start(move |conn| {
                if !first {
                    conn.info_with(&asks());
                }
                assert!(conn.secure(&tls).is_err(), "it is believed");
                assert_eq!(conn.read_to_end(5 * SECOND), b"");
            });
            let config = to(&fake, &authority);
            let config = if first { config.tls_first() } else { config };
            assert_not_secured(
                at_once(A::connect(config)).await,
                "invalid peer certificate",
            );
        }
    }
}

/// A greeting in clear can be altered on its way: the servers that it names may belong to somebody else,
/// who has certificates for them. What is announced inside is believed.
async fn servers_announced_in_clear_are_not_believed<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    let tls = authority.issue(HERE).server();
    let fake = Fake::start(move |conn| {
        conn.info_with(&json!({ "tls_required": true, "connect_urls": ["evil.example:4222"] }));
        conn.secure(&tls).expect("it is believed");
        conn.log_in();
        conn.info_with(&json!({ "connect_info": true, "connect_urls": ["10.0.0.2:4222"] }));
        conn.read_to_end(30 * SECOND);
    });
    let client = at_once(A::connect(to(&fake, &authority))).await.unwrap();
    eventually("it is told", || client.servers().len() == 2);
    let known: Vec<String> = client.servers().iter().map(ToString::to_string).collect();
    assert_eq!(known[1], "10.0.0.2:4222");
}

/// A server that was announced by its address shows a certificate for another host: it is not dialled under
/// that name.
async fn an_announced_server_has_to_be_the_one_that_was_announced<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    let only_by_name = authority.issue(&["localhost"]).server();
    let other = Fake::start({
        let tls = only_by_name.clone();
        move |conn| {
            conn.info_with(&asks());
            assert!(conn.secure(&tls).is_err(), "it is believed");
        }
    });
    let announced = other.addr().to_string();
    let fake = Fake::start(move |conn| {
        if conn.number() == 1 {
            return; // it is the other one's turn
        }
        secure(conn, &only_by_name);
        conn.log_in();
        if conn.number() == 0 {
            conn.info_with(&json!({ "connect_urls": [announced] }));
            conn.send(b"PING\r\n");
            conn.read_until(b"PONG\r\n", 5 * SECOND);
            return;
        }
        conn.read_to_end(30 * SECOND);
    });
    let (client, driver) = A::connect_with_driver(to(&fake, &authority)).unwrap();
    let mut events = client.events();
    let _driver = A::spawn(driver);
    at_once(client.connected()).await.unwrap();
    eventually("it is back", || client.stats().connects == 2);
    assert!(other.accepted() > 0, "it was not tried");
    let known: Vec<String> = client.servers().iter().map(ToString::to_string).collect();
    assert_eq!(known[1], other.addr().to_string());
    // The other attempts are the first server's, which comes in any order.
    let mut why = None;
    while why.is_none() {
        match events.next().await {
            Some(ConnectionEvent::Failed { server, reason, .. })
                if server.to_string() == known[1] =>
            {
                why = Some(reason);
            }
            Some(_) => {}
            None => panic!("the client has ended"),
        }
    }
    let Some(Disconnect::Transport(error)) = why else {
        panic!("{why:?}");
    };
    assert_eq!(error.kind(), LinkErrorKind::Secure, "{error}");
}

/// A client does not go back to plaintext after a reconnection, and does not give up either.
async fn plaintext_after_tls_is_refused<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    let tls = authority.issue(HERE).server();
    let spoken = Arc::new(Mutex::new(Vec::new()));
    let kept = spoken.clone();
    let fake = Fake::start(move |conn| match conn.number() {
        0 => {
            secure(conn, &tls);
            conn.log_in();
        }
        1..=3 => {
            conn.info_default();
            kept.lock().unwrap().extend(conn.read_to_end(5 * SECOND));
        }
        _ => {
            secure(conn, &tls);
            conn.log_in();
            conn.read_to_end(30 * SECOND);
        }
    });
    let client = at_once(A::connect(to(&fake, &authority))).await.unwrap();
    eventually("it is secured again", || client.stats().connects == 2);
    assert_eq!(client.last_disconnect(), Some(Disconnect::NoTls));
    assert_eq!(*spoken.lock().unwrap(), b"");
}

async fn a_handshake_without_end_is_left<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    for first in [false, true] {
        let fake = Fake::start(move |conn| {
            if !first {
                conn.info_with(&asks());
            }
            let said = conn.read_to_end(5 * SECOND);
            assert_eq!(said[..2], [0x16, 0x03], "no handshake");
            assert!(!contains(&said, b"CONNECT") && !contains(&said, b"canary"));
        });
        let config = to(&fake, &authority).connect_timeout(Duration::from_millis(200));
        let config = if first { config.tls_first() } else { config };
        let error = at_once(A::connect(config)).await.unwrap_err();
        assert_eq!(error, ConnectError::Failed(Disconnect::HandshakeTimedOut));
    }
}

/// A client that is closed says so inside of TLS, so that nobody can cut what it said.
async fn the_end_is_announced<A: Adapter>(_: Site<A>) {
    let authority = Authority::new();
    let tls = authority.issue(HERE).server();
    let (sender, receiver) = mpsc::channel();
    let fake = Fake::start(move |conn| {
        secure(conn, &tls);
        conn.log_in();
        conn.read_to_end(5 * SECOND);
        sender.send(conn.was_told_the_end()).unwrap();
    });
    let client = at_once(A::connect(to(&fake, &authority))).await.unwrap();
    client.close().await;
    assert_eq!(receiver.recv_timeout(5 * SECOND), Ok(true), "it was cut");
}
