//! A bare client, and what tests share.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use kv_sim::serve::Server;
use kv_sim::server::Version;
use kv_sim::{ServeConfig, serve};
use serde_json::{Value, json};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A client that writes and reads lines.
pub(crate) struct Client {
    /// Before the names of its answers; nobody else listens there.
    pub(crate) inbox: String,
    pub(crate) reader: BufReader<TcpStream>,
    pub(crate) info: Value,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
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

    pub(crate) fn greeted(address: SocketAddr) -> Self {
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

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// The next line; empty at the end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(_) => line.trim_end().to_owned(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// The next line; `None` if none comes for as long as the socket's patience is.
    pub(crate) fn line_in_time(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line);
        read.is_ok().then(|| line.trim_end().to_owned())
    }

    pub(crate) fn publish(&mut self, subject: &str, reply: &str, body: &str) {
        let (inbox, length) = (&self.inbox, body.len());
        let frame = format!("PUB {subject} {inbox}{reply} {length}\r\n{body}\r\n");
        self.send(frame.as_bytes());
    }

    /// The answer to a request; what else comes meanwhile is skipped.
    pub(crate) fn request(&mut self, subject: &str, body: &str) -> Value {
        self.publish(subject, "request", body);
        self.answer("request")
    }

    pub(crate) fn answer(&mut self, name: &str) -> Value {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "closed before the answer");
            if line.starts_with(&format!("MSG {}{name} ", self.inbox)) {
                return serde_json::from_str(&self.line()).unwrap();
            }
        }
    }

    pub(crate) fn create_bucket(&mut self, name: &str) {
        self.create_replicated_bucket(name, 1);
    }

    pub(crate) fn create_replicated_bucket(&mut self, name: &str, replicas: u32) {
        let config = json!({ "name": format!("KV_{name}"), "subjects": [format!("$KV.{name}.>")],
            "max_msgs_per_subject": 1, "allow_direct": true, "allow_rollup_hdrs": true, "num_replicas": replicas });
        let subject = format!("$JS.API.STREAM.CREATE.KV_{name}");
        let answer = self.request(&subject, &config.to_string());
        assert_eq!(answer["did_create"], true, "{answer}");
    }

    /// Reads until the server closes, and returns the last line.
    pub(crate) fn last_words(&mut self) -> String {
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

pub(crate) fn one() -> Server {
    serve(ServeConfig::new(Version::V2_15)).unwrap()
}

pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
