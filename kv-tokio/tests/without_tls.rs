//! What a client without TLS does where it is wanted. For builds without it alone: the workspace's own tests
//! have it.

#![cfg(not(feature = "_tls"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use kv_tokio::{ConnectError, Disconnect, LinkErrorKind};

/// Connects to a server that requires TLS, which must hear nothing.
async fn connect(scheme: &str) -> ConnectError {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("{scheme}://me:canary@{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        let info = b"INFO {\"headers\":true,\"tls_required\":true}\r\n";
        client.write_all(info).unwrap();
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        heard
    });
    let error = kv_tokio::connect(url).await.unwrap_err();
    assert_eq!(server.join().unwrap(), b"", "it spoke");
    error
}

#[tokio::test]
async fn a_server_that_requires_it_is_left() {
    let requires = ConnectError::Failed(Disconnect::Requires("TLS"));
    assert_eq!(connect("nats").await, requires);
}

#[tokio::test]
async fn a_url_that_asks_for_it_names_the_feature() {
    let error = connect("tls").await;
    let ConnectError::Failed(Disconnect::Transport(link)) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(link.kind(), LinkErrorKind::Secure);
    assert!(error.to_string().contains("feature `tls`"), "{error}");
}
