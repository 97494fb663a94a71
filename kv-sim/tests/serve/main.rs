//! The simulated servers on sockets, seen by bare clients: what they say of themselves, whom they let go,
//! what faults do, and that nothing is left of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "sockets are real, and so is their time"
)]

mod client;
mod command;
mod faults;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use kv_sim::serve::ServeError;
use kv_sim::server::{ServerId, Version};
use kv_sim::{ServeConfig, serve};
use serde_json::{Value, json};

use client::{Client, PATIENCE, eventually, one};

#[test]
fn info_tells_where_the_server_really_is() {
    for version in Version::ALL {
        let server = serve(ServeConfig::new(version)).unwrap();
        let address = server.addresses()[0];
        let client = Client::connect(address);
        assert_eq!(client.info["port"], address.port());
        assert_eq!(client.info["host"], "127.0.0.1");
        assert_eq!(client.info["version"], version.number());
        assert_eq!(client.info["connect_urls"], Value::Null);
        assert_eq!(server.url(), format!("nats://{address}"));
    }
}

/// Each member of a cluster has a port of its own, and tells of all; what is written at one is read at another.
#[test]
fn servers_of_a_cluster_tell_of_one_another() {
    let server = serve(ServeConfig::new(Version::V2_12).servers(3)).unwrap();
    let addresses = server.addresses().to_vec();
    let urls: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let mut clients: Vec<Client> = addresses.iter().map(|at| Client::connect(*at)).collect();
    for (client, address) in clients.iter().zip(&addresses) {
        assert_eq!(client.info["port"], address.port());
        assert_eq!(client.info["connect_urls"], json!(urls));
    }
    clients[0].create_replicated_bucket("b", 3);
    let ack = clients[1].request("$KV.b.k", "v");
    assert_eq!(ack["seq"], 1, "{ack}");
    let read = clients[2].request("$JS.API.STREAM.MSG.GET.KV_b", "{\"seq\":1}");
    assert_eq!(read["message"]["data"], "dg==");

    server.stop(ServerId(1));
    assert_eq!(clients[1].last_words(), "");
    let told = clients[0].request("$JS.API.STREAM.INFO.KV_b", "");
    assert_eq!(told["state"]["messages"], 1);
    let mut refused = TcpStream::connect(addresses[1]).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap(), 0, "it is down");
    server.restart(ServerId(1));
    Client::connect(addresses[1]);
}

/// Time is the machine's: a value that lives a second is there, and is gone a second later, and the wall clock
/// is that of the machine.
#[test]
fn time_is_real() {
    let server = one();
    let mut client = Client::connect(server.addresses()[0]);
    client.create_bucket("b");
    let config = json!({ "name": "KV_b", "subjects": ["$KV.b.>"], "max_msgs_per_subject": 1,
        "allow_direct": true, "allow_rollup_hdrs": true, "max_age": 1_000_000_000, "duplicate_window": 1_000_000_000 });
    let answer = client.request("$JS.API.STREAM.UPDATE.KV_b", &config.to_string());
    assert_eq!(answer["error"], Value::Null, "{answer}");
    let began = Instant::now();
    client.request("$KV.b.k", "v");
    let mut count = || client.request("$JS.API.STREAM.INFO.KV_b", "")["state"]["messages"].clone();
    assert_eq!(count(), 1);
    eventually("it expires", || count() == 0);
    let age = began.elapsed();
    assert!(age >= Duration::from_secs(1), "{age:?}");
}

/// A client that asks for more than it reads is let go, and nobody else is harmed.
#[test]
fn who_does_not_read_is_cut() {
    let server = serve(ServeConfig::new(Version::V2_15).max_pending(256 * 1024)).unwrap();
    let mut other = Client::connect(server.addresses()[0]);
    let mut greedy = Client::connect(server.addresses()[0]);
    greedy.send(b"SUB big 7\r\n");
    let frame = [b"PUB big 65536\r\n", [b'x'; 65536].as_slice(), b"\r\n"].concat();
    greedy.send(b"PING\r\n");
    assert_eq!(greedy.line(), "PONG");
    let began = Instant::now();
    while server.connections() == 2 {
        assert!(began.elapsed() < PATIENCE);
        other.send(&frame);
    }
    other.send(b"PING\r\n");
    assert_eq!(other.line(), "PONG");
}

/// The same with answers that are no messages.
#[test]
fn who_pings_and_does_not_read_is_cut() {
    let server = serve(ServeConfig::new(Version::V2_15).max_pending(256 * 1024)).unwrap();
    let mut greedy = Client::connect(server.addresses()[0]);
    let pings = b"PING\r\n".repeat(10_000);
    let began = Instant::now();
    while greedy.reader.get_mut().write_all(&pings).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    eventually("it is gone", || server.connections() == 0);
}

#[test]
fn connections_are_bounded() {
    let server = serve(ServeConfig::new(Version::V2_15).max_connections(2)).unwrap();
    let address = server.addresses()[0];
    let _first = Client::connect(address);
    let second = Client::connect(address);
    let mut third = Client::greeted(address);
    assert_eq!(third.last_words(), "-ERR 'maximum connections exceeded'");
    drop(second);
    eventually("there is room again", || server.connections() == 1);
    Client::connect(address);
}

/// Last words arrive even if the client had said more than was read.
#[test]
fn errors_are_heard_before_the_end() {
    let server = one();
    for _ in 0..50 {
        let mut client = Client::connect(server.addresses()[0]);
        let nonsense = b"NONSENSE\r\n".repeat(10_000);
        client.reader.get_mut().write_all(&nonsense).ok();
        assert_eq!(client.last_words(), "-ERR 'Unknown Protocol Operation'");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn nothing_is_left_behind() {
    let server = serve(ServeConfig::new(Version::V2_15).seed(77)).unwrap();
    let address = server.addresses()[0];
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    server.shutdown();
    for client in &mut clients {
        assert_eq!(client.last_words(), "");
    }
    match TcpStream::connect(address) {
        Err(refused) => assert_eq!(refused.kind(), ErrorKind::ConnectionRefused),
        // Another test may have the port by now, and another server.
        Ok(_) => assert_ne!(
            Client::greeted(address).info["server_id"],
            clients[0].info["server_id"]
        ),
    }
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = serve(ServeConfig::new(Version::V2_15).listen(address)).unwrap_err();
    assert!(
        matches!(error, ServeError::Listen { address: told, .. } if told == address),
        "{error}"
    );
}

/// Many clients at once, each with many requests under way: every answer comes, to who asked.
#[test]
fn many_clients_at_once() {
    let server = one();
    let address = server.addresses()[0];
    Client::connect(address).create_bucket("b");
    std::thread::scope(|scope| {
        for number in 0..64 {
            scope.spawn(move || {
                let mut client = Client::connect(address);
                let subject = format!("$KV.b.{number}");
                for round in 0..100 {
                    client.publish(&subject, &round.to_string(), "v");
                }
                for round in 0..100 {
                    let line = client.line();
                    let wanted = format!("MSG {}{round} 1 ", client.inbox);
                    assert!(line.starts_with(&wanted), "{line}");
                    client.line();
                }
            });
        }
    });
    let info = Client::connect(address).request("$JS.API.STREAM.INFO.KV_b", "");
    assert_eq!(info["state"]["last_seq"], 6_400);
}
