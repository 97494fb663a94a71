//! A naive NATS connection that shares no code with kv-proto: a mistake in the codec under test cannot
//! hide behind the same mistake here. One request at a time, strict, and anything odd is a panic.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Server;
use crate::server::{Login, OWNER};
use crate::stream::{Broken, Stream};

/// How long a server may take to answer: JetStream answers within milliseconds, but not on a busy disk.
const DEADLINE: Duration = Duration::from_secs(5);

/// The error of STREAM.MSG.GET where there is no message.
const NO_MESSAGE: u64 = 10037;

/// Between two attempts to read what cannot be read just now.
const PAUSE: Duration = Duration::from_millis(50);

/// What is said of a reply that is nothing but a status.
const STATUS: &str = "status instead of an answer";

/// A message as it came.
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    headers: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

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
        Self::with_credentials(server, &Self::credentials(server))
    }

    /// The same, if the server can be reached.
    pub fn try_connect(server: &Server) -> Option<Self> {
        Self::try_with_credentials(server, &Self::credentials(server)).ok()
    }

    /// Connects with these members in the CONNECT message, such as `{"user": "u", "pass": "p"}`.
    #[track_caller]
    pub fn with_credentials(server: &Server, credentials: &Value) -> Self {
        let admin = Self::try_with_credentials(server, credentials);
        admin.unwrap_or_else(|why| panic!("administering {}: {why}", server.addr()))
    }

    /// Connects to whoever listens there, without credentials.
    pub(crate) fn try_at(addr: SocketAddr) -> Option<Self> {
        Self::open(addr, &json!({})).ok()
    }

    fn try_with_credentials(server: &Server, credentials: &Value) -> Result<Self, String> {
        Self::open(server.addr(), credentials)
    }

    fn open(addr: SocketAddr, credentials: &Value) -> Result<Self, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let deadline = Instant::now() + DEADLINE;
        let stream = Stream::connect(addr, DEADLINE).map_err(|broken| broken.to_string())?;
        let mut admin = Self {
            stream,
            inbox: format!("_INBOX.admin-{}-{number}", std::process::id()),
            requests: 0,
        };
        let greeting = admin.line(deadline)?;
        if !greeting.starts_with("INFO {") {
            return Err(format!("it began with {greeting}"));
        }

        let mut connect = json!({
            "verbose": false, "pedantic": true, "headers": true, "no_responders": true,
            "protocol": 1, "lang": "rust", "name": "kv-tests-admin", "version": "0",
        });
        if let (Some(connect), Some(more)) = (connect.as_object_mut(), credentials.as_object()) {
            connect.extend(more.clone());
        }
        let subscribe = format!("SUB {}.* 1", admin.inbox);
        admin.write(format!("CONNECT {connect}\r\n{subscribe}\r\nPING\r\n").as_bytes())?;
        while admin.control(deadline)? != "PONG" {}
        Ok(admin)
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
        let deadline = Instant::now() + DEADLINE;
        let reply = self.send(subject, None, b"");
        match reply.and_then(|reply| self.message(&reply, deadline)) {
            Ok(_) => true,
            Err(why) if why.starts_with(STATUS) => false,
            Err(why) => panic!("asking {subject}: {why}"),
        }
    }

    /// Asks, and returns the answer, if there is one that can be read within so much time. After `None` the
    /// connection may be of no more use.
    pub fn try_request(
        &mut self,
        subject: &str,
        payload: &[u8],
        within: Duration,
    ) -> Option<Value> {
        let deadline = Instant::now() + within;
        self.try_exchange(subject, None, payload, deadline).ok()
    }

    /// Publishes to a stream and returns its acknowledgement. `headers`, if any, is the whole block from
    /// `NATS/1.0` through the empty line.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, headers: Option<&str>, payload: &[u8]) -> Value {
        self.exchange(subject, headers, payload)
    }

    /// The same with a subject and a header block that may be no text, nor what they should be.
    ///
    /// # Errors
    ///
    /// What the server says, if it refuses them.
    pub fn publish_bytes(
        &mut self,
        subject: &[u8],
        block: &[u8],
        payload: &[u8],
    ) -> Result<Value, String> {
        self.requests += 1;
        let reply = format!("{}.{}", self.inbox, self.requests);
        let total = block.len() + payload.len();
        let sizes = format!(" {reply} {} {total}\r\n", block.len());
        let pieces = [b"HPUB ", subject, sizes.as_bytes(), block, payload, b"\r\n"];
        self.write(&pieces.concat())?;
        let answer = self.message(&reply, Instant::now() + DEADLINE)?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
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

    /// All messages of a stream, oldest first, as its leader has them: their `seq`, `subject`, `hdrs` and `data`,
    /// the latter two in base64.
    #[track_caller]
    pub fn messages(&mut self, stream: &str) -> Vec<Value> {
        let info = self.stream_info(stream);
        let number = |field: &str| info["state"][field].as_u64().unwrap_or(0);
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let mut messages = Vec::new();
        for seq in number("first_seq")..=number("last_seq") {
            let request = json!({"seq": seq}).to_string();
            let deadline = Instant::now() + DEADLINE;
            loop {
                let mut answer = self.request(&subject, request.as_bytes());
                if answer["message"].is_object() {
                    messages.push(answer["message"].take());
                    break;
                }
                if answer["error"]["err_code"] == NO_MESSAGE {
                    break; // it was removed
                }
                assert!(Instant::now() < deadline, "{seq} of {stream}: {answer}");
                thread::sleep(PAUSE); // a leader that has just been elected
            }
        }
        messages
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

    /// Subscribes to what others are sent, too.
    pub(crate) fn listen(&mut self, subjects: &[&str]) -> Result<(), String> {
        let subjects = (2..).zip(subjects);
        let lines = subjects.map(|(id, subject)| format!("SUB {subject} {id}\r\n"));
        self.write(lines.collect::<String>().as_bytes())
    }

    /// The next message that comes in time.
    pub(crate) fn hear(&mut self, within: Duration) -> Result<Option<Message>, String> {
        match self.stream.line(Instant::now() + within) {
            Ok(line) if line.starts_with("MSG ") || line.starts_with("HMSG ") => {
                self.rest_of(&line, Instant::now() + DEADLINE).map(Some)
            }
            Ok(line) if line == "PING" => self.write(b"PONG\r\n").map(|()| None),
            Ok(_) | Err(Broken::Late) => Ok(None),
            Err(broken @ Broken::Ended) => Err(broken.to_string()),
        }
    }

    fn credentials(server: &Server) -> Value {
        match server.login() {
            Login::Open => json!({}),
            Login::User { name, password } => json!({"user": name, "pass": password}),
            Login::Token(token) => json!({"auth_token": token}),
            Login::Guarded { .. } => json!({"user": OWNER, "pass": OWNER}),
        }
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
        let deadline = Instant::now() + DEADLINE;
        let answer = self.try_exchange(subject, headers, payload, deadline);
        answer.unwrap_or_else(|why| panic!("asking {subject}: {why}"))
    }

    /// An error says in words what came instead of an answer.
    fn try_exchange(
        &mut self,
        subject: &str,
        headers: Option<&str>,
        payload: &[u8],
        deadline: Instant,
    ) -> Result<Value, String> {
        let reply = self.send(subject, headers, payload)?;
        let answer = self.message(&reply, deadline)?;
        serde_json::from_slice(&answer).map_err(|error| {
            let text = String::from_utf8_lossy(&answer);
            format!("the answer is no JSON ({error}): {text:?}")
        })
    }

    /// Publishes, and returns the subject for replies.
    fn send(
        &mut self,
        subject: &str,
        headers: Option<&str>,
        payload: &[u8],
    ) -> Result<String, String> {
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
        self.write(&frame)?;
        Ok(reply)
    }

    /// The payload of the next message for `reply`; earlier requests' late answers are passed over.
    fn message(&mut self, reply: &str, deadline: Instant) -> Result<Vec<u8>, String> {
        loop {
            let control = self.control(deadline)?;
            let message = self.rest_of(&control, deadline)?;
            if message.subject != reply {
                continue;
            }
            let status = String::from_utf8_lossy(&message.headers);
            if status.starts_with("NATS/1.0 ") {
                return Err(format!("{STATUS}: {status:?}"));
            }
            return Ok(message.payload);
        }
    }

    /// What follows the control line of a message.
    fn rest_of(&mut self, control: &str, deadline: Instant) -> Result<Message, String> {
        let words: Vec<&str> = control.split(' ').collect();
        let (subject, reply, headers, total) = match *words.as_slice() {
            ["MSG", subject, _, total] => (subject, None, "0", total),
            ["MSG", subject, _, reply, total] => (subject, Some(reply), "0", total),
            ["HMSG", subject, _, headers, total] => (subject, None, headers, total),
            ["HMSG", subject, _, reply, headers, total] => (subject, Some(reply), headers, total),
            _ => return Err(format!("a message was due, but the server sent: {control}")),
        };
        let (Ok(headers), Ok(total)) = (headers.parse::<usize>(), total.parse::<usize>()) else {
            return Err(format!("lengths that are none: {control}"));
        };
        let mut body = match self.stream.exact(total + 2, deadline) {
            Ok(body) => body,
            Err(broken) => return Err(format!("{broken} after {control}")),
        };
        if !body.ends_with(b"\r\n") {
            return Err(format!("no end after the payload of {control}"));
        }
        body.truncate(total);
        let payload = body.split_off(headers);
        Ok(Message {
            subject: subject.to_owned(),
            reply: reply.map(str::to_owned),
            headers: body,
            payload,
        })
    }

    /// The next line that is about this connection's business; PING is answered here.
    fn control(&mut self, deadline: Instant) -> Result<String, String> {
        loop {
            let line = self.line(deadline)?;
            if line == "PING" {
                self.write(b"PONG\r\n")?;
            } else if line.starts_with("-ERR") {
                return Err(format!("the server said {line}"));
            } else if !line.starts_with("INFO ") {
                return Ok(line);
            }
        }
    }

    fn line(&mut self, deadline: Instant) -> Result<String, String> {
        self.stream
            .line(deadline)
            .map_err(|broken| broken.to_string())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .write(bytes)
            .map_err(|broken| broken.to_string())
    }
}
