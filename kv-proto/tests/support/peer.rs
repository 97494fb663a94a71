//! A small server in memory: core NATS as far as a key-value client needs it,
//! and one stream for each bucket. Deterministic: it has no clock of its own
//! and answers only what it is handed. Its consumers are in `consumers.rs`.
//!
//! Faults are *rules*, each used once: the next request whose subject starts
//! with a prefix is answered by the rule instead of by the server.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::consumers::{Consumers, matches};
use super::parser::{self, ClientOp, Publish};

/// What a rule does with the request that it meets.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// Answers this payload and does nothing.
    Reply(String),
    /// Answers these headers and payload and does nothing.
    Headed(String, Vec<u8>),
    /// Says that nobody listens.
    Nobody,
    /// Does nothing at all.
    Silence,
    /// Does what is asked and sends no answer.
    LoseReply,
    /// Does what is asked and keeps the answer in [`Peer::held`].
    Hold,
    /// Does what is asked and keeps a copy of the answer in [`Peer::held`].
    Copy,
    /// Sends an `-ERR` line instead of doing it.
    Err(String),
}

/// A write that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) stream: String,
    pub(crate) seq: u64,
    pub(crate) message: Message,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) subject: String,
    pub(crate) block: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// What a server does with the id of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ids {
    /// It has forgotten all that it knew, as after a restart.
    #[default]
    Forgotten,
    /// It looks at the id first, and then at the condition (2.11 with one replica).
    First,
    /// It looks at the condition first, and then at the id (2.12 with one replica).
    Last,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) config: Value,
    pub(crate) created: u64,
    pub(crate) last_seq: u64,
    pub(crate) messages: BTreeMap<u64, Message>,
    /// Goes up when the stream loses its end: what is stored then has another
    /// time, even if it has the same sequence.
    pub(crate) era: u64,
    /// The server that leads it; none without a cluster.
    pub(crate) leader: Option<String>,
    /// The sequences of the messages that had ids.
    pub(crate) ids: BTreeMap<String, u64>,
    /// The era of each message that was ever stored.
    pub(crate) eras: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Conn {
    pub(crate) server: String,
    input: Vec<u8>,
    /// What the client has not received yet.
    pub(crate) output: VecDeque<u8>,
    pub(crate) connect: Option<Value>,
    inbox: Option<(String, String)>,
    /// What else it listens to, by subscription.
    pub(crate) subs: BTreeMap<String, String>,
    /// Set when the server ends the connection.
    pub(crate) closed: bool,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) info: Value,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) conns: BTreeMap<u64, Conn>,
    /// Every write that took effect, in order.
    pub(crate) log: Vec<Commit>,
    /// Every publish that arrived whole.
    pub(crate) seen: Vec<Publish>,
    /// While set, every answer is kept in `held`.
    pub(crate) hold_all: bool,
    /// Answers that were kept: connection, and the bytes.
    pub(crate) held: Vec<(u64, Vec<u8>)>,
    pub(crate) pongs: usize,
    pub(crate) consumers: Consumers,
    /// Subscriptions, their ends and publishes in the order in which they came.
    pub(crate) lines: Vec<String>,
    rules: Vec<(String, Rule)>,
    pub(crate) creations: u64,
    /// How many seconds old all messages are on its clock, if it tells its time with what it tells of a stream.
    pub(crate) age: Option<u32>,
    pub(crate) ids: Ids,
    conns_made: u64,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            info: json!({"server_id": "N1", "server_name": "n1", "version": "2.15.1", "proto": 1,
                "headers": true, "max_payload": 1_048_576, "jetstream": true, "api_lvl": 5}),
            streams: BTreeMap::new(),
            conns: BTreeMap::new(),
            log: Vec::new(),
            seen: Vec::new(),
            held: Vec::new(),
            hold_all: false,
            pongs: 0,
            consumers: Consumers::default(),
            lines: Vec::new(),
            rules: Vec::new(),
            creations: 0,
            age: Some(3_599),
            ids: Ids::default(),
            conns_made: 0,
        }
    }

    /// Lets the next request to a subject that starts with `prefix` meet a rule.
    pub(crate) fn rule(&mut self, prefix: &str, rule: Rule) {
        self.rules.push((prefix.to_owned(), rule));
    }

    /// Ends all faults.
    pub(crate) fn calm(&mut self) {
        self.rules.clear();
        self.hold_all = false;
    }

    pub(crate) fn rules_left(&self) -> usize {
        self.rules.len()
    }

    pub(crate) fn accept(&mut self, server: &str) -> u64 {
        self.conns_made += 1;
        let conn = Conn {
            server: server.to_owned(),
            ..Conn::default()
        };
        self.conns.insert(self.conns_made, conn);
        let info = format!("INFO {} \r\n", self.info);
        self.send(self.conns_made, info.as_bytes());
        self.conns_made
    }

    pub(crate) fn hang_up(&mut self, conn: u64) {
        self.conns.remove(&conn);
    }

    /// Sends bytes to a client, if it is still there.
    pub(crate) fn send(&mut self, conn: u64, bytes: &[u8]) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.output.extend(bytes);
        }
    }

    /// Delivers an answer that was held.
    pub(crate) fn release(&mut self, index: usize) {
        let (conn, bytes) = self.held.remove(index);
        self.send(conn, &bytes);
    }

    /// Takes bytes from a client, in pieces of any size.
    pub(crate) fn receive(&mut self, id: u64, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        conn.input.extend_from_slice(bytes);
        loop {
            let conn = self.conns.get_mut(&id).expect("still there");
            if conn.closed {
                return;
            }
            let Some(op) = parser::take(&mut conn.input) else {
                break;
            };
            let first = conn.connect.is_none();
            match op {
                ClientOp::Connect(options) => {
                    assert!(first, "CONNECT is sent once");
                    conn.connect = Some(options);
                }
                _ if first => panic!("{op:?} before CONNECT"),
                ClientOp::Ping => conn.output.extend(b"PONG\r\n"),
                ClientOp::Pong => self.pongs += 1,
                ClientOp::Sub { subject, sid } if conn.inbox.is_some() => {
                    self.lines.push(format!("SUB {subject} {sid}"));
                    let former = conn.subs.insert(sid, subject);
                    assert_eq!(former, None, "a subscription id is used once");
                }
                ClientOp::Sub { subject, sid } => {
                    let prefix = subject.strip_suffix('*').expect("an inbox for all replies");
                    conn.inbox = Some((prefix.to_owned(), sid));
                }
                ClientOp::Unsub { sid } => {
                    self.lines.push(format!("UNSUB {sid}"));
                    let former = conn.subs.remove(&sid);
                    assert!(former.is_some(), "nothing to unsubscribe from");
                }
                ClientOp::Publish(publish) if publish.reply.is_empty() => {
                    self.lines.push(publish.subject.clone());
                    self.on_flow_answer(&publish.subject);
                }
                ClientOp::Publish(publish) => {
                    self.lines.push(publish.subject.clone());
                    self.publish(id, publish);
                }
            }
        }
        if self.consumers.deliver_at_once {
            self.deliver(usize::MAX);
        }
    }

    fn publish(&mut self, conn: u64, publish: Publish) {
        let limit = self.info["max_payload"].as_u64().unwrap_or(0);
        self.seen.push(publish.clone());
        if u64::try_from(publish.size()).unwrap_or(u64::MAX) > limit {
            return self.fail(conn, "Maximum Payload Violation");
        }
        let matching = |(prefix, _): &(String, Rule)| publish.subject.starts_with(&**prefix);
        let rule = self.rules.iter().position(matching);
        let rule = rule.map(|index| self.rules.remove(index).1);
        match rule {
            None if self.hold_all => {
                let frame = self.serve(conn, &publish);
                self.held.extend(frame.map(|frame| (conn, frame)));
            }
            None => {
                if let Some(frame) = self.serve(conn, &publish) {
                    self.send(conn, &frame);
                }
            }
            Some(Rule::Silence) => {}
            Some(Rule::LoseReply) => {
                self.serve(conn, &publish);
            }
            Some(Rule::Hold) => {
                let frame = self.serve(conn, &publish).expect("an answer to hold");
                self.held.push((conn, frame));
            }
            Some(Rule::Copy) => {
                let frame = self.serve(conn, &publish).expect("an answer to double");
                self.send(conn, &frame);
                self.held.push((conn, frame));
            }
            Some(Rule::Err(text)) => self.send(conn, format!("-ERR '{text}'\r\n").as_bytes()),
            Some(Rule::Reply(payload)) => self.answer(conn, &publish, "", payload.as_bytes()),
            Some(Rule::Headed(block, payload)) => self.answer(conn, &publish, &block, &payload),
            Some(Rule::Nobody) => self.answer(conn, &publish, NOBODY, b""),
        }
    }

    /// Sends an `-ERR` line and ends the connection.
    pub(crate) fn fail(&mut self, conn: u64, text: &str) {
        self.send(conn, format!("-ERR '{text}'\r\n").as_bytes());
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.closed = true;
        }
    }

    fn answer(&mut self, conn: u64, publish: &Publish, block: &str, payload: &[u8]) {
        if let Some(frame) = self.frame(conn, publish, block, payload) {
            self.send(conn, &frame);
        }
    }

    /// The frame of a reply, if anybody on that connection listens for it.
    pub(crate) fn frame(
        &self,
        conn: u64,
        publish: &Publish,
        block: &str,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let reply = &publish.reply;
        let (prefix, sid) = self.conns.get(&conn)?.inbox.as_ref()?;
        let token = reply.strip_prefix(&**prefix)?;
        assert!(!token.is_empty() && !token.contains('.'), "reply {reply}");
        let total = block.len() + payload.len();
        let line = match block.len() {
            0 => format!("MSG {reply} {sid} {total}\r\n"),
            head => format!("HMSG {reply} {sid} {head} {total}\r\n"),
        };
        Some([line.as_bytes(), block.as_bytes(), payload, b"\r\n"].concat())
    }

    /// Does what a request asks for and returns the frame of the answer.
    fn serve(&mut self, conn: u64, publish: &Publish) -> Option<Vec<u8>> {
        let has_jetstream = self.info["jetstream"] == json!(true);
        let subject = publish.subject.as_str();
        if let Some(call) = subject.strip_prefix("$JS.API.").filter(|_| has_jetstream) {
            if let Some(target) = call.strip_prefix("DIRECT.GET.") {
                let (block, payload) = self.direct_get(target, &publish.payload);
                return self.frame(conn, publish, &block, &payload);
            }
            let reply = match call.strip_prefix("CONSUMER.") {
                Some(call) => self.consumer_call(conn, call, &publish.payload)?,
                None => self.call(call, &publish.payload)?,
            };
            return self.frame(conn, publish, "", reply.to_string().as_bytes());
        }
        let stream = subject
            .strip_prefix("$KV.")
            .and_then(|rest| rest.split_once('.'))
            .map(|(bucket, _)| format!("KV_{bucket}"))
            .filter(|stream| has_jetstream && self.streams.contains_key(stream));
        match stream {
            Some(stream) => {
                let ack = self.store(&stream, publish);
                self.frame(conn, publish, "", ack.as_bytes())
            }
            None => self.frame(conn, publish, NOBODY, b""),
        }
    }

    fn store(&mut self, name: &str, publish: &Publish) -> String {
        let ids = self.ids;
        let stream = self.streams.get_mut(name).expect("looked up before");
        let id = publish.header("Nats-Msg-Id");
        let known = id.as_ref().and_then(|id| stream.ids.get(id)).copied();
        let duplicate =
            |seq: u64| json!({"stream": name, "seq": seq, "duplicate": true}).to_string();
        if let (Some(seq), Ids::First) = (known, ids) {
            return duplicate(seq);
        }
        let of_key = |(_, m): &(&u64, &Message)| m.subject == publish.subject;
        let last = stream.messages.iter().filter(of_key).map(|(seq, _)| *seq);
        let last = last.max().unwrap_or(0);
        let refusal = |err_code: u32, text: &str| {
            json!({"error": {"code": 400, "err_code": err_code, "description": text},
                "stream": name, "seq": 0})
            .to_string()
        };
        let limit = stream.config["max_msg_size"].as_i64().unwrap_or(-1);
        if limit >= 0 && i64::try_from(publish.size()).is_ok_and(|size| size > limit) {
            return refusal(10_054, "message size exceeds maximum allowed");
        }
        if publish.header("Nats-TTL").is_some() && stream.config["allow_msg_ttl"] != json!(true) {
            return refusal(10_166, "per-message TTL is disabled");
        }
        if let Some(expected) = publish.header("Nats-Expected-Last-Subject-Sequence")
            && expected != last.to_string()
        {
            return refusal(10_071, &format!("wrong last sequence: {last}"));
        }
        if let (Some(seq), Ids::Last) = (known, ids) {
            return duplicate(seq);
        }
        if publish.header("Nats-Rollup").as_deref() == Some("sub") {
            stream.messages.retain(|_, m| m.subject != publish.subject);
        }
        let message = Message {
            subject: publish.subject.clone(),
            block: publish.block.clone(),
            payload: publish.payload.clone(),
        };
        let seq = self.append(name, message);
        let stream = self.streams.get_mut(name).expect("looked up before");
        stream.ids.extend(id.map(|id| (id, seq)));
        ack(name, seq)
    }

    /// Stores a message whatever it says; returns its sequence.
    pub(crate) fn append(&mut self, name: &str, message: Message) -> u64 {
        let stream = self.streams.get_mut(name).expect("a stream");
        stream.last_seq += 1;
        let seq = stream.last_seq;
        stream.messages.insert(seq, message.clone());
        stream.eras.insert(seq, stream.era);
        let kept = stream.config["max_msgs_per_subject"].as_u64().unwrap_or(1);
        let of_key = |(_, m): &(&u64, &Message)| m.subject == message.subject;
        let seqs: Vec<u64> = stream
            .messages
            .iter()
            .filter(of_key)
            .map(|m| *m.0)
            .collect();
        let excess = seqs
            .len()
            .saturating_sub(usize::try_from(kept).unwrap_or(1));
        for old in &seqs[..excess] {
            stream.messages.remove(old);
        }
        self.log.push(Commit {
            stream: name.to_owned(),
            seq,
            message,
        });
        seq
    }

    fn direct_get(&self, target: &str, body: &[u8]) -> (String, Vec<u8>) {
        let (name, subject) = target.split_once('.').unwrap_or((target, ""));
        let stream = self.streams.get(name);
        let Some(stream) = stream.filter(|stream| stream.config["allow_direct"] == json!(true))
        else {
            return (NOBODY.to_owned(), Vec::new());
        };
        let found = if subject.is_empty() {
            let body: Value = serde_json::from_slice(body).expect("a direct get asks in JSON");
            stream.by_seq(body["seq"].as_u64().expect("a sequence"))
        } else {
            assert!(body.is_empty(), "a direct get by subject has no body");
            stream.last_of(subject)
        };
        let Some((seq, message)) = found else {
            return (
                "NATS/1.0 404 Message Not Found\r\n\r\n".to_owned(),
                Vec::new(),
            );
        };
        (direct_block(name, seq, message), message.payload.clone())
    }

    /// Answers a call of the JetStream API, without its prefix; `None` is the
    /// silence that unknown calls meet.
    fn call(&mut self, call: &str, body: &[u8]) -> Option<Value> {
        let parsed = || serde_json::from_slice::<Value>(body).expect("a body in JSON");
        let (verb, name) = match call {
            "INFO" | "STREAM.NAMES" | "STREAM.LIST" => (call, ""),
            _ => call.rsplit_once('.')?,
        };
        Some(match verb {
            "INFO" => json!({"memory": 0, "storage": 0, "api": {"level": 5}}),
            "STREAM.CREATE" => {
                let config = parsed();
                assert_eq!(config["name"], json!(name));
                match self.streams.get(name) {
                    Some(stream) if stream.config != config => {
                        failure(400, 10_058, "stream name already in use")
                    }
                    Some(stream) => stream.info(),
                    None => {
                        self.creations += 1;
                        let stream = Stream {
                            config,
                            created: self.creations,
                            ..Stream::default()
                        };
                        self.streams.insert(name.to_owned(), stream);
                        self.streams[name].info()
                    }
                }
            }
            "STREAM.UPDATE" => match self.streams.get_mut(name) {
                Some(stream) => {
                    stream.config = parsed();
                    stream.info()
                }
                None => not_found(),
            },
            "STREAM.INFO" => self.streams.get(name).map_or_else(not_found, |stream| {
                let asked = if body.is_empty() { json!({}) } else { parsed() };
                let mut info = stream.info_of(asked["subjects_filter"].as_str());
                if let Some(age) = self.age {
                    info["ts"] = json!(format!("2026-11-23T19:{:02}:{:02}.1Z", age / 60, age % 60));
                }
                info
            }),
            "STREAM.DELETE" => {
                assert!(body.is_empty(), "a delete has no body");
                self.consumers.of_stream_gone(name);
                match self.streams.remove(name) {
                    Some(_) => json!({"success": true}),
                    None => not_found(),
                }
            }
            "STREAM.PURGE" => match self.streams.get_mut(name) {
                Some(stream) => {
                    let body = parsed();
                    let filter = body["filter"].as_str().expect("a filter");
                    let before = match (body["seq"].as_u64(), body["keep"].as_u64()) {
                        (Some(seq @ 2..), None) => seq,
                        (None, Some(u64::MAX)) => 0,
                        _ => panic!("{body} is without bound"),
                    };
                    let held = stream.messages.len();
                    let stays =
                        |seq: &u64, m: &mut Message| *seq >= before || !matches(filter, &m.subject);
                    stream.messages.retain(stays);
                    json!({"success": true, "purged": held - stream.messages.len()})
                }
                None => not_found(),
            },
            "STREAM.NAMES" | "STREAM.LIST" => {
                let offset = parsed()["offset"].as_u64().expect("an offset");
                let skip = usize::try_from(offset).unwrap_or(usize::MAX);
                let names = self.streams.keys().skip(skip).take(PAGE);
                let page: Vec<Value> = if verb == "STREAM.NAMES" {
                    names.map(|name| json!(name)).collect()
                } else {
                    names.map(|name| self.streams[name].info()).collect()
                };
                json!({"total": self.streams.len(), "offset": offset, "limit": PAGE, "streams": page})
            }
            "STREAM.MSG.GET" => {
                let Some(stream) = self.streams.get(name) else {
                    return Some(not_found());
                };
                let body = parsed();
                let seq = body["seq"].as_u64();
                let found = match (body["last_by_subj"].as_str(), body["next_by_subj"].as_str()) {
                    (Some(subject), _) => stream.last_of(subject),
                    (None, Some(subject)) => stream.next_of(subject, seq.unwrap_or(0)),
                    (None, None) => stream.by_seq(seq.expect("a sequence")),
                };
                found.map_or_else(
                    || failure(404, 10_037, "no message found"),
                    |(seq, message)| json!({"message": stored(seq, message)}),
                )
            }
            _ => return None,
        })
    }
}

/// Streams on a page of a listing: few, so that listings have pages.
pub(crate) const PAGE: usize = 2;

const NOBODY: &str = "NATS/1.0 503\r\n\r\n";

impl Stream {
    /// The last message whose subject matches a filter.
    fn last_of(&self, subject: &str) -> Option<(u64, &Message)> {
        let mut newest = self.messages.iter().rev();
        let found = newest.find(|(_, message)| matches(subject, &message.subject))?;
        Some((*found.0, found.1))
    }

    /// The first message from `seq` on whose subject is this one.
    fn next_of(&self, subject: &str, seq: u64) -> Option<(u64, &Message)> {
        let mut next = self.messages.range(seq..);
        let found = next.find(|(_, message)| message.subject == subject)?;
        Some((*found.0, found.1))
    }

    fn by_seq(&self, seq: u64) -> Option<(u64, &Message)> {
        Some((seq, self.messages.get(&seq)?))
    }

    /// The state, with the number of messages on each subject that a filter takes.
    fn info_of(&self, filter: Option<&str>) -> Value {
        let mut counts = BTreeMap::<&str, u64>::new();
        let taken = |m: &&Message| filter.is_some_and(|filter| matches(filter, &m.subject));
        for message in self.messages.values().filter(taken) {
            *counts.entry(&message.subject).or_default() += 1;
        }
        let mut info = self.info();
        if !counts.is_empty() {
            info["state"]["subjects"] = json!(counts);
        }
        info
    }

    fn info(&self) -> Value {
        let created = format!("2026-11-23T18:00:00.{:09}Z", self.created);
        let bytes: usize = self.messages.values().map(|m| m.payload.len()).sum();
        let mut info = json!({"config": self.config, "created": created, "state": {
            "messages": self.messages.len(), "bytes": bytes, "last_seq": self.last_seq,
            "first_seq": self.messages.keys().next().copied().unwrap_or(self.last_seq + 1)}});
        if let Some(leader) = &self.leader {
            info["cluster"] = json!({"name": "c", "leader": leader});
        }
        info
    }
}

pub(crate) fn ack(stream: &str, seq: u64) -> String {
    format!("{{\"stream\":\"{stream}\",\"seq\":{seq}}}")
}

pub(crate) fn refusal(err_code: u32, text: &str) -> String {
    failure(400, err_code, text).to_string()
}

/// The headers of a direct get's answer.
pub(crate) fn direct_block(stream: &str, seq: u64, message: &Message) -> String {
    let stored = String::from_utf8_lossy(&message.block);
    let stored = stored.strip_suffix("\r\n").unwrap_or("NATS/1.0\r\n");
    let (time, subject) = (time_of(seq), &message.subject);
    format!(
        "{stored}Nats-Stream: {stream}\r\nNats-Subject: {subject}\r\nNats-Sequence: {seq}\r\n\
         Nats-Time-Stamp: {time}\r\n\r\n"
    )
}

fn stored(seq: u64, message: &Message) -> Value {
    let mut stored = json!({"subject": message.subject, "seq": seq, "time": time_of(seq),
        "data": STANDARD.encode(&message.payload)});
    if !message.block.is_empty() {
        stored["hdrs"] = json!(STANDARD.encode(&message.block));
    }
    stored
}

fn time_of(seq: u64) -> String {
    format!("2026-11-23T19:00:00.{seq:09}Z")
}

pub(crate) fn failure(code: u16, err_code: u32, text: &str) -> Value {
    json!({"error": {"code": code, "err_code": err_code, "description": text}})
}

pub(crate) fn not_found() -> Value {
    failure(404, 10_059, "stream not found")
}
