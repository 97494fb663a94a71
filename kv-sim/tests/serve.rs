//! The simulated servers on sockets, seen by bare clients: what they say of themselves, whom they let go, and
//! that nothing is left of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "sockets are real, and so is their time"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use kv_sim::serve::{Calamity, Fault, ServeError, Server};
use kv_sim::server::{Recurring, ReplyFault, ServerId, Version};
use kv_sim::{ServeConfig, serve};
use serde_json::{Value, json};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that writes and reads lines.
struct Client {
    /// Before the names of its answers; nobody else listens there.
    inbox: String,
    reader: BufReader<TcpStream>,
    info: Value,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut client = Self::greeted(address);
        let sub = format!("SUB {}* 1\r\n", client.inbox);
        client.send(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\n");
        client.send(sub.as_bytes());
        client.send(b"PING\r\n");
        while client.line() != "PONG" {}
        if client.info["api_lvl"].is_number() {
            assert!(client.line().contains("\"connect_info\":true"));
        }
        client
    }

    fn greeted(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self {
            inbox: format!("_INBOX.{}.", stream.local_addr().unwrap().port()),
            reader: BufReader::new(stream),
            info: Value::Null,
        };
        let line = client.line();
        let json = line.strip_prefix("INFO ").unwrap();
        client.info = serde_json::from_str(json).unwrap();
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// The next line; empty at the end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.trim_end().to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    fn publish(&mut self, subject: &str, reply: &str, body: &str) {
        let (inbox, length) = (&self.inbox, body.len());
        let frame = format!("PUB {subject} {inbox}{reply} {length}\r\n{body}\r\n");
        self.send(frame.as_bytes());
    }

    /// The answer to a request; what else comes meanwhile is skipped.
    fn request(&mut self, subject: &str, body: &str) -> Value {
        self.publish(subject, "request", body);
        self.answer("request")
    }

    fn answer(&mut self, name: &str) -> Value {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "closed before the answer");
            if line.starts_with(&format!("MSG {}{name} ", self.inbox)) {
                return serde_json::from_str(&self.line()).unwrap();
            }
        }
    }

    fn create_bucket(&mut self, name: &str) {
        self.create_replicated_bucket(name, 1);
    }

    fn create_replicated_bucket(&mut self, name: &str, replicas: u32) {
        let config = json!({ "name": format!("KV_{name}"), "subjects": [format!("$KV.{name}.>")],
            "max_msgs_per_subject": 1, "allow_direct": true, "allow_rollup_hdrs": true, "num_replicas": replicas });
        let subject = format!("$JS.API.STREAM.CREATE.KV_{name}");
        let answer = self.request(&subject, &config.to_string());
        assert_eq!(answer["did_create"], true, "{answer}");
    }

    /// Reads until the server closes, and returns the last line.
    fn last_words(&mut self) -> String {
        let (mut last, began) = (String::new(), Instant::now());
        loop {
            let line = self.line();
            if line.is_empty() {
                return last;
            }
            assert!(began.elapsed() < PATIENCE);
            last = line;
        }
    }
}

fn one() -> Server {
    serve(ServeConfig::new(Version::V2_15)).unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

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
    let server = one();
    let address = server.addresses()[0];
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    server.shutdown();
    for client in &mut clients {
        assert_eq!(client.last_words(), "");
    }
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
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

/// One fault at one moment: the write is stored, its acknowledgement does not come, the next one does.
#[test]
fn a_test_loses_one_acknowledgement() {
    let server = one();
    let mut client = Client::connect(server.addresses()[0]);
    client.create_bucket("b");
    server.with_cluster(|cluster, _| cluster.disturb_reply(ReplyFault::Lost));
    client.publish("$KV.b.k", "lost", "1");
    client.publish("$KV.b.k", "comes", "2");
    let line = client.line();
    assert!(line.contains(".comes "), "{line}");
    let ack: Value = serde_json::from_str(&client.line()).unwrap();
    assert_eq!(ack["seq"], 2);
}

/// Standing faults of messages meet exactly one in so many, and end when they are taken back.
#[test]
fn standing_faults_are_counted() {
    let faults = Fault::parse_list("lost-ack=3").unwrap();
    let server = serve(ServeConfig::new(Version::V2_15).faults(faults.clone())).unwrap();
    assert_eq!(server.faults(), faults);
    let mut client = Client::connect(server.addresses()[0]);
    client.create_bucket("b");
    let mut acked = |count: u64| {
        for number in 0..count {
            client.publish("$KV.b.k", &number.to_string(), "v");
        }
        client.publish("$JS.API.STREAM.INFO.KV_b", "end", "");
        let mut acked = Vec::new();
        loop {
            let line = client.line();
            let inbox = line.split(' ').nth(1).unwrap().to_owned();
            client.line();
            match inbox.rsplit('.').next().unwrap() {
                "end" => return acked,
                number => acked.push(number.parse::<u64>().unwrap()),
            }
        }
    };
    assert_eq!(acked(7), [0, 1, 3, 4, 6]);
    server.set_faults(&[]);
    assert_eq!(acked(4), [0, 1, 2, 3]);
}

/// Each fault of a write does what it says to the write, to what the client is told, and to the connection.
#[test]
fn faults_of_writes_are_what_they_say() {
    let one = std::num::NonZeroU64::MIN;
    for (fault, told, stored) in [
        (Recurring::RefusedPublish, Some(10_023), 0),
        (Recurring::MisreportedPublish, Some(10_077), 1),
        (Recurring::SeveredAck, None, 1),
    ] {
        let server = serve(ServeConfig::new(Version::V2_15)).unwrap();
        let mut client = Client::connect(server.addresses()[0]);
        client.create_bucket("b");
        server.set_faults(&[Fault::Message(fault, one)]);
        client.publish("$KV.b.k", "write", "v");
        match told {
            Some(code) => {
                let answer = client.answer("write");
                assert_eq!(answer["error"]["err_code"], code);
            }
            None => assert_eq!(client.last_words(), "", "{fault:?}"),
        }
        let mut other = Client::connect(server.addresses()[0]);
        let info = other.request("$JS.API.STREAM.INFO.KV_b", "");
        assert_eq!(info["state"]["messages"], stored, "{fault:?}");
    }
}

/// What befalls servers comes by itself, and again.
#[test]
fn calamities_come_by_themselves() {
    let server = one();
    let address = server.addresses()[0];
    let mut client = Client::connect(address);
    client.create_bucket("b");
    client.request("$KV.b.k", "v");
    let before = client.request("$JS.API.STREAM.INFO.KV_b", "")["created"].clone();

    let often = Duration::from_millis(50);
    server.set_faults(&[Fault::Servers(Calamity::Recreate, often)]);
    let mut info = || client.request("$JS.API.STREAM.INFO.KV_b", "");
    eventually("it is created again", || info()["created"] != before);
    server.set_faults(&[]);
    let now = info();
    assert_eq!(
        (&now["state"]["messages"], &now["state"]["last_seq"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(now["config"]["max_msgs_per_subject"], 1);

    client.request("$KV.b.k", "v");
    server.set_faults(&[Fault::Servers(Calamity::Rewind, often)]);
    assert_eq!(client.last_words(), "");
    server.set_faults(&[]);
    let mut client = Client::connect(address);
    let now = client.request("$JS.API.STREAM.INFO.KV_b", "");
    assert_eq!(now["state"]["last_seq"], 0);

    for calamity in [
        Calamity::Disconnect,
        Calamity::Restart,
        Calamity::Disconnect,
    ] {
        let mut client = Client::connect(address);
        server.set_faults(&[Fault::Servers(calamity, often)]);
        assert_eq!(client.last_words(), "");
    }
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
