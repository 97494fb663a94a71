//! A naive NATS connection that shares no code with kv-proto: a mistake in the codec under test cannot
//! hide behind the same mistake here. One request at a time, strict, and anything odd is a panic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Server;
use crate::server::{Login, OWNER};
use crate::stream::Stream;

/// How long a server may take to answer: JetStream answers within milliseconds, but not on a busy disk.
const DEADLINE: Duration = Duration::from_secs(5);

/// A connection with which a test looks at a server, and changes it behind the client's back.
#[derive(Debug)]
pub struct Admin {
    stream: Stream,
    inbox: String,
    requests: usize,
}

impl Admin {
    /// Connects with the credentials the server was built with.
    #[track_caller]
    pub fn connect(server: &Server) -> Self {
        let credentials = match server.login() {
            Login::Open => json!({}),
            Login::User { name, password } => json!({"user": name, "pass": password}),
            Login::Token(token) => json!({"auth_token": token}),
            Login::Guarded { .. } => json!({"user": OWNER, "pass": OWNER}),
        };
        Self::with_credentials(server, &credentials)
    }

    /// Connects with these members in the CONNECT message, such as `{"user": "u", "pass": "p"}`.
    #[track_caller]
    pub fn with_credentials(server: &Server, credentials: &Value) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let Ok(stream) = Stream::connect(server.addr(), DEADLINE) else {
            panic!("no server to administer at {}", server.addr());
        };
        let mut admin = Self {
            stream,
            inbox: format!("_INBOX.admin-{}-{number}", std::process::id()),
            requests: 0,
        };
        let greeting = admin.line(Instant::now() + DEADLINE);
        assert!(greeting.starts_with("INFO {"), "server began: {greeting}");

        let mut connect = json!({
            "verbose": false, "pedantic": true, "headers": true, "no_responders": true,
            "protocol": 1, "lang": "rust", "name": "kv-tests-admin", "version": "0",
        });
        if let (Some(connect), Some(more)) = (connect.as_object_mut(), credentials.as_object()) {
            connect.extend(more.clone());
        }
        let subscribe = format!("SUB {}.* 1", admin.inbox);
        admin.write(format!("CONNECT {connect}\r\n{subscribe}\r\nPING\r\n").as_bytes());
        while admin.control() != "PONG" {}
        admin
    }

    /// Asks, and returns the JSON answer, which may be one that tells of an error.
    ///
    /// # Panics
    ///
    /// When no JSON comes within five seconds, or nobody serves the subject.
    #[track_caller]
    pub fn request(&mut self, subject: &str, payload: &[u8]) -> Value {
        self.exchange(subject, None, payload)
    }

    /// Whether anybody listens to a subject: false if the server says that nobody does.
    #[track_caller]
    pub fn is_served(&mut self, subject: &str) -> bool {
        let reply = self.send(subject, None, b"");
        self.answer(&reply).is_ok()
    }

    /// Publishes to a stream and returns its acknowledgement. `headers`, if any, is the whole block from
    /// `NATS/1.0` through the empty line.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, headers: Option<&str>, payload: &[u8]) -> Value {
        self.exchange(subject, headers, payload)
    }

    /// Creates a stream and returns the answer.
    ///
    /// # Panics
    ///
    /// Here and in what follows: when the server refuses.
    #[track_caller]
    pub fn create_stream(&mut self, config: &Value) -> Value {
        let name = config["name"].as_str().unwrap_or_default().to_owned();
        self.api(&format!("STREAM.CREATE.{name}"), config)
    }

    /// The answer to STREAM.INFO, with the number of messages of each subject.
    #[track_caller]
    pub fn stream_info(&mut self, stream: &str) -> Value {
        let body = json!({"subjects_filter": ">"});
        self.api(&format!("STREAM.INFO.{stream}"), &body)
    }

    /// How many consumers a stream has.
    #[track_caller]
    pub fn consumers(&mut self, stream: &str) -> u64 {
        let info = self.stream_info(stream);
        let count = info["state"]["consumer_count"].as_u64();
        count.unwrap_or_else(|| panic!("no consumer_count in {info}"))
    }

    /// The names of a stream's consumers.
    #[track_caller]
    pub fn consumer_names(&mut self, stream: &str) -> Vec<String> {
        let answer = self.api(&format!("CONSUMER.NAMES.{stream}"), &json!({}));
        let names = answer["consumers"].as_array().into_iter().flatten();
        names
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect()
    }

    /// Deletes a consumer.
    #[track_caller]
    pub fn delete_consumer(&mut self, stream: &str, consumer: &str) {
        self.api(
            &format!("CONSUMER.DELETE.{stream}.{consumer}"),
            &Value::Null,
        );
    }

    /// Removes the messages of the subjects that match, or all; returns how many went.
    #[track_caller]
    pub fn purge(&mut self, stream: &str, filter: Option<&str>) -> u64 {
        let body = filter.map_or(json!({}), |filter| json!({"filter": filter}));
        let answer = self.api(&format!("STREAM.PURGE.{stream}"), &body);
        answer["purged"].as_u64().unwrap_or_default() // absent when it is 0
    }

    /// Deletes a stream.
    #[track_caller]
    pub fn delete_stream(&mut self, stream: &str) {
        self.api(&format!("STREAM.DELETE.{stream}"), &Value::Null);
    }

    /// A JetStream request that must succeed.
    #[track_caller]
    fn api(&mut self, verb: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.request(&format!("$JS.API.{verb}"), body.as_bytes());
        assert!(answer["error"].is_null(), "{verb}: {}", answer["error"]);
        answer
    }

    #[track_caller]
    fn exchange(&mut self, subject: &str, headers: Option<&str>, payload: &[u8]) -> Value {
        let reply = self.send(subject, headers, payload);
        let answer = match self.answer(&reply) {
            Ok(answer) => answer,
            Err(status) => panic!("status instead of an answer: {status:?}"),
        };
        serde_json::from_slice(&answer).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(&answer);
            panic!("the answer on {subject} is no JSON ({error}): {text:?}")
        })
    }

    /// Publishes, and returns the subject for replies.
    #[track_caller]
    fn send(&mut self, subject: &str, headers: Option<&str>, payload: &[u8]) -> String {
        self.requests += 1;
        let reply = format!("{}.{}", self.inbox, self.requests);
        let mut frame = match headers {
            None => format!("PUB {subject} {reply} {}\r\n", payload.len()),
            Some(block) => {
                let whole = block.starts_with("NATS/1.0") && block.ends_with("\r\n\r\n");
                assert!(whole, "not a header block: {block:?}");
                let total = block.len() + payload.len();
                format!("HPUB {subject} {reply} {} {total}\r\n{block}", block.len())
            }
        }
        .into_bytes();
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        self.write(&frame);
        reply
    }

    /// The payload of the next message for `reply`, or the status that it has instead; earlier requests'
    /// late answers are passed over.
    #[track_caller]
    fn answer(&mut self, reply: &str) -> Result<Vec<u8>, String> {
        loop {
            let control = self.control();
            let words: Vec<&str> = control.split(' ').collect();
            let (headers, total) = match words.as_slice() {
                ["MSG", _, _, total] | ["MSG", _, _, _, total] => ("0", *total),
                ["HMSG", _, _, headers, total] | ["HMSG", _, _, _, headers, total] => {
                    (*headers, *total)
                }
                _ => panic!("a message was due, but the server sent: {control}"),
            };
            let (Ok(headers), Ok(total)) = (headers.parse::<usize>(), total.parse::<usize>())
            else {
                panic!("lengths that are none: {control}");
            };
            let deadline = Instant::now() + DEADLINE;
            let mut body = match self.stream.exact(total + 2, deadline) {
                Ok(body) => body,
                Err(broken) => panic!("{broken} after {control}"),
            };
            assert!(
                body.ends_with(b"\r\n"),
                "no end after the payload of {control}"
            );
            body.truncate(total);
            if words.get(1) != Some(&reply) {
                continue;
            }
            let payload = body.split_off(headers);
            let status = String::from_utf8_lossy(&body);
            if status.starts_with("NATS/1.0 ") {
                return Err(status.into_owned());
            }
            return Ok(payload);
        }
    }

    /// The next line that is about this connection's business; PING is answered here.
    #[track_caller]
    fn control(&mut self) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let line = self.line(deadline);
            if line == "PING" {
                self.write(b"PONG\r\n");
            } else if line.starts_with("-ERR") {
                panic!("the server said {line}");
            } else if !line.starts_with("INFO ") {
                return line;
            }
        }
    }

    #[track_caller]
    fn line(&mut self, deadline: Instant) -> String {
        match self.stream.line(deadline) {
            Ok(line) => line,
            Err(broken) => panic!("administering a server: {broken}"),
        }
    }

    #[track_caller]
    fn write(&mut self, bytes: &[u8]) {
        if let Err(broken) = self.stream.write(bytes) {
            panic!("administering a server: {broken}");
        }
    }
}
