//! Push consumers of the server in memory, and what they send.
//!
//! A consumer delivers when it is told to: at once while
//! [`Consumers::deliver_at_once`] is set, or a message at a time by
//! [`Peer::deliver`]. Whoever is not subscribed to its literal deliver subject
//! gets nothing, and the consumer waits.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::peer::{Message, Peer, Stream, failure, not_found};

#[derive(Debug, Default)]
pub(crate) struct Consumers {
    pub(crate) all: Vec<Consumer>,
    /// Whether what can be delivered is delivered.
    pub(crate) deliver_at_once: bool,
    /// After so many messages a consumer waits for the answer to flow control.
    pub(crate) window: Option<usize>,
    /// What every consumer was asked to be.
    pub(crate) created: Vec<Value>,
    /// What was answered to flow control.
    pub(crate) flow_answers: Vec<String>,
    /// Number of flow control requests.
    flows: u64,
    /// Most consumers at a time.
    pub(crate) most: usize,
    /// The server's clock, in seconds since the first message of its streams.
    pub(crate) clock: u32,
    /// The server that the next consumers live on; none without a cluster.
    pub(crate) host: Option<String>,
    /// How far the copy of the stream reaches that consumers deliver from, if
    /// it is behind the leader's.
    pub(crate) copied: Option<u64>,
    /// By how many what is said to be pending is too little, but for the answer
    /// to the creation.
    pub(crate) too_few: usize,
    /// Heartbeats tell of the last message, not of how far a consumer looked.
    pub(crate) last_only: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) conn: u64,
    pub(crate) stream: String,
    pub(crate) name: String,
    pub(crate) deliver: String,
    host: Option<String>,
    config: Value,
    filters: Vec<String>,
    /// The first sequence that can come next.
    next: u64,
    /// Up to `.0` only these sequences are delivered.
    chosen: (u64, BTreeSet<u64>),
    pub(crate) consumer_seq: u64,
    stream_seq: u64,
    /// The flow control request that it waits for.
    pub(crate) stalled: Option<String>,
    since_flow: usize,
    last_frame: Vec<u8>,
}

impl Consumers {
    pub(crate) fn of_stream_gone(&mut self, stream: &str) {
        self.all.retain(|consumer| consumer.stream != stream);
    }

    /// The deliver policy and start of each consumer that was asked for.
    pub(crate) fn policies(&self) -> Vec<String> {
        let policy = |config: &Value| {
            let name = config["deliver_policy"].as_str().expect("a policy");
            match config["opt_start_seq"].as_u64() {
                Some(start) => format!("{name} {start}"),
                None => name.to_owned(),
            }
        };
        self.created.iter().map(policy).collect()
    }
}

impl Consumer {
    /// The sequences that are still to be delivered, of the copy that reaches
    /// up to `copied`.
    fn pending(&self, stream: &Stream, copied: u64) -> Vec<u64> {
        let (last, chosen) = &self.chosen;
        let matching = stream.messages.range(self.next..).filter(|(seq, message)| {
            (*seq > last || chosen.contains(seq))
                && **seq <= copied
                && self.filters.iter().any(|f| matches(f, &message.subject))
        });
        matching.map(|(seq, _)| *seq).collect()
    }

    /// Up to where the consumer has looked: to the end of the copy, if nothing
    /// is left to be delivered.
    fn looked(&self, stream: &Stream, copied: u64) -> u64 {
        if self.pending(stream, copied).is_empty() {
            self.stream_seq.max(stream.last_seq.min(copied))
        } else {
            self.stream_seq
        }
    }

    fn info(&self, stream: &Stream, copied: u64, clock: u32) -> Value {
        let (minutes, seconds) = (clock / 60, clock % 60);
        let now = format!("2026-11-23T19:{minutes:02}:{seconds:02}Z");
        let mut info = json!({"stream_name": self.stream, "name": self.name,
            "config": self.config, "ts": now,
            "delivered": {"consumer_seq": self.consumer_seq, "stream_seq": self.stream_seq},
            "num_pending": self.pending(stream, copied).len()});
        if let Some(host) = &self.host {
            info["cluster"] = json!({"name": "c", "leader": host});
        }
        info
    }
}

/// Whether a subject matches a filter.
pub(crate) fn matches(filter: &str, subject: &str) -> bool {
    let (mut filter, mut subject) = (filter.split('.'), subject.split('.'));
    loop {
        match (filter.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some(one), Some(other)) if one == "*" || one == other => {}
            _ => return false,
        }
    }
}

/// When a message was stored, in nanoseconds.
pub(crate) fn stored_at(stream: &Stream, seq: u64) -> u64 {
    let era = stream.eras.get(&seq).copied().unwrap_or(0);
    1_795_460_400_000_000_000 + seq + era * 1_000_000
}

impl Peer {
    /// Answers `CREATE`, `INFO` and `DELETE`.
    pub(crate) fn consumer_call(&mut self, conn: u64, call: &str, body: &[u8]) -> Option<Value> {
        let mut words = call.split('.');
        let (verb, stream, name) = (words.next()?, words.next()?, words.next()?);
        let position = |consumer: &Consumer| consumer.stream == stream && consumer.name == name;
        let position = self.consumers.all.iter().position(position);
        let Some(known) = self.streams.get(stream) else {
            return Some(not_found());
        };
        let clock = self.consumers.clock;
        let copied = self.consumers.copied.unwrap_or(u64::MAX);
        let gone = || failure(404, 10_014, "consumer not found");
        Some(match verb {
            "CREATE" => {
                let body: Value = serde_json::from_slice(body).expect("a body in JSON");
                assert_eq!(body["stream_name"], json!(stream));
                let config = body["config"].clone();
                assert_eq!(config["name"], json!(name));
                if let Some(position) = position {
                    let found = &self.consumers.all[position];
                    return Some(if found.config == config {
                        found.info(known, copied, clock)
                    } else {
                        failure(400, 10_013, "consumer name already in use")
                    });
                }
                self.consumers.created.push(config.clone());
                if config["opt_start_seq"] == json!(0) {
                    return Some(failure(400, 10_094, "start sequence is required"));
                }
                let mut consumer = make(conn, stream, name, config, known, copied);
                consumer.host.clone_from(&self.consumers.host);
                let info = consumer.info(known, copied, clock);
                self.consumers.all.push(consumer);
                self.consumers.most = self.consumers.most.max(self.consumers.all.len());
                info
            }
            "INFO" => position.map_or_else(gone, |at| {
                let mut info = self.consumers.all[at].info(known, copied, clock);
                let pending = info["num_pending"].as_u64().expect("a number");
                let too_few = u64::try_from(self.consumers.too_few).unwrap_or(u64::MAX);
                info["num_pending"] = json!(pending.saturating_sub(too_few));
                info
            }),
            "DELETE" => match position {
                Some(position) => {
                    self.consumers.all.remove(position);
                    json!({"success": true})
                }
                None => gone(),
            },
            _ => return None,
        })
    }

    /// The subscription that hears a consumer.
    fn listener(&self, consumer: &Consumer) -> Option<(u64, String)> {
        self.conns.iter().find_map(|(conn, known)| {
            let mut subs = known.subs.iter();
            let (sid, _) = subs.find(|(_, subject)| **subject == consumer.deliver)?;
            Some((*conn, sid.clone()))
        })
    }

    /// Lets every consumer deliver at most so many messages.
    pub(crate) fn deliver(&mut self, most: usize) {
        for at in 0..self.consumers.all.len() {
            for _ in 0..most {
                if !self.deliver_one(at, true) {
                    break;
                }
            }
        }
    }

    /// Counts the next message of every consumer as delivered, and loses it.
    pub(crate) fn lose_one(&mut self) {
        for at in 0..self.consumers.all.len() {
            self.deliver_one(at, false);
        }
    }

    fn deliver_one(&mut self, at: usize, arrives: bool) -> bool {
        let consumer = &self.consumers.all[at];
        let (Some(stream), Some((conn, sid))) =
            (self.streams.get(&consumer.stream), self.listener(consumer))
        else {
            return false;
        };
        let pending = consumer.pending(stream, self.consumers.copied.unwrap_or(u64::MAX));
        let (Some(&seq), None) = (pending.first(), &consumer.stalled) else {
            return false;
        };
        let time = stored_at(stream, seq);
        let message = stream.messages[&seq].clone();
        let window = self.consumers.window;
        let consumer = &mut self.consumers.all[at];
        consumer.consumer_seq += 1;
        (consumer.stream_seq, consumer.next) = (seq, seq + 1);
        let left = (pending.len() - 1).saturating_sub(self.consumers.too_few);
        let numbers = format!("{seq}.{}.{time}.{left}", consumer.consumer_seq);
        let reply = format!("$JS.ACK.{}.{}.1.{numbers}", consumer.stream, consumer.name);
        let frame = if consumer.config["headers_only"] == json!(true) {
            let mut block = head(&message);
            let size = message.payload.len();
            write!(block, "Nats-Msg-Size: {size}\r\n\r\n").expect("a string takes it");
            frame(&message.subject, &sid, &reply, block.as_bytes(), b"")
        } else {
            let block = &message.block;
            frame(&message.subject, &sid, &reply, block, &message.payload)
        };
        consumer.last_frame.clone_from(&frame);
        consumer.since_flow += 1;
        let full = window.is_some_and(|window| consumer.since_flow >= window);
        if arrives {
            self.send(conn, &frame);
        }
        if full {
            self.ask_for_flow(at);
        }
        true
    }

    /// Sends the last message of every consumer once more.
    pub(crate) fn repeat_last(&mut self) {
        for consumer in self.consumers.all.clone() {
            if let Some((conn, _)) = self.listener(&consumer) {
                self.send(conn, &consumer.last_frame);
            }
        }
    }

    /// A consumer asks to be told that all it sent was read.
    pub(crate) fn ask_for_flow(&mut self, at: usize) {
        self.consumers.flows += 1;
        let number = self.consumers.flows;
        let consumer = &mut self.consumers.all[at];
        let reply = format!("$JS.FC.{}.{}.{number}", consumer.stream, consumer.name);
        consumer.stalled = Some(reply.clone());
        consumer.since_flow = 0;
        let consumer = consumer.clone();
        self.notify(
            &consumer,
            &reply,
            "NATS/1.0 100 FlowControl Request\r\n\r\n",
        );
    }

    pub(crate) fn on_flow_answer(&mut self, subject: &str) {
        self.consumers.flow_answers.push(subject.to_owned());
        for consumer in &mut self.consumers.all {
            if consumer.stalled.as_deref() == Some(subject) {
                consumer.stalled = None;
            }
        }
    }

    /// Every consumer says that it is alive.
    pub(crate) fn beat(&mut self) {
        for consumer in self.consumers.all.clone() {
            let stalled = consumer.stalled.as_ref();
            let stalled = stalled.map(|reply| format!("Nats-Consumer-Stalled: {reply}\r\n"));
            let copied = self.consumers.copied.unwrap_or(u64::MAX);
            let stream = self.streams.get(&consumer.stream);
            let looked = match stream.filter(|_| !self.consumers.last_only) {
                Some(stream) => consumer.looked(stream, copied),
                None => consumer.stream_seq,
            };
            self.notify(
                &consumer,
                "",
                &format!(
                    "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {}\r\n\
                     Nats-Last-Stream: {}\r\n{}\r\n",
                    consumer.consumer_seq,
                    looked,
                    stalled.unwrap_or_default()
                ),
            );
        }
    }

    /// Sends a notice about a consumer to its listener.
    pub(crate) fn notify(&mut self, consumer: &Consumer, reply: &str, block: &str) {
        if let Some((conn, sid)) = self.listener(consumer) {
            let frame = frame(&consumer.deliver, &sid, reply, block.as_bytes(), b"");
            self.send(conn, &frame);
        }
    }

    /// All consumers are gone without a word, as with their server.
    pub(crate) fn lose_consumers(&mut self) {
        self.consumers.all.clear();
    }

    /// The stream loses all after `last`; so it loses its consumers.
    pub(crate) fn rewind(&mut self, stream: &str, last: u64) {
        let known = self.streams.get_mut(stream).expect("a stream");
        known.last_seq = known.last_seq.min(last);
        known.messages.retain(|seq, _| *seq <= last);
        known.era += 1;
        self.consumers.of_stream_gone(stream);
    }

    /// The stream is deleted and created again, empty.
    pub(crate) fn recreate(&mut self, stream: &str) {
        self.creations += 1;
        let known = self.streams.get_mut(stream).expect("a stream");
        *known = Stream {
            config: known.config.clone(),
            created: self.creations,
            era: known.era + 1,
            leader: known.leader.clone(),
            ..Stream::default()
        };
        self.consumers.of_stream_gone(stream);
    }

    /// Stores a message as if another client had published it.
    pub(crate) fn publish_as_other(&mut self, subject: &str, block: &str, payload: &[u8]) {
        let message = Message {
            subject: subject.to_owned(),
            block: block.as_bytes().to_vec(),
            payload: payload.to_vec(),
        };
        let bucket = subject.split('.').nth(1).expect("a bucket");
        self.append(&format!("KV_{bucket}"), message);
        if self.consumers.deliver_at_once {
            self.deliver(usize::MAX);
        }
    }

    /// Consumers that somebody listens to.
    pub(crate) fn heard_consumers(&self) -> usize {
        let heard = |consumer: &&Consumer| self.listener(consumer).is_some();
        self.consumers.all.iter().filter(heard).count()
    }

    /// The name of the consumer that was made last.
    pub(crate) fn newest(&self) -> &Consumer {
        self.consumers.all.last().expect("a consumer")
    }
}

/// A stored header block without its end.
fn head(message: &Message) -> String {
    let block = String::from_utf8_lossy(&message.block);
    match block.strip_suffix("\r\n") {
        Some(head) => head.to_owned(),
        None => "NATS/1.0\r\n".to_owned(),
    }
}

/// The frame of a message.
pub(crate) fn frame(
    subject: &str,
    sid: &str,
    reply: &str,
    block: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let total = block.len() + payload.len();
    let reply = match reply {
        "" => String::new(),
        reply => format!("{reply} "),
    };
    let line = match block.len() {
        0 => format!("MSG {subject} {sid} {reply}{total}\r\n"),
        head => format!("HMSG {subject} {sid} {reply}{head} {total}\r\n"),
    };
    [line.as_bytes(), block, payload, b"\r\n"].concat()
}

fn make(
    conn: u64,
    stream: &str,
    name: &str,
    config: Value,
    known: &Stream,
    copied: u64,
) -> Consumer {
    let end = known.last_seq.min(copied);
    let text = |field: &str| config[field].as_str().map(str::to_owned);
    let filters: Vec<String> = match text("filter_subject") {
        Some(filter) => vec![filter],
        None => config["filter_subjects"]
            .as_array()
            .expect("filters")
            .iter()
            .map(|filter| filter.as_str().expect("a text").to_owned())
            .collect(),
    };
    let mut chosen = (0, BTreeSet::new());
    let next = match text("deliver_policy").expect("a policy").as_str() {
        "all" => 1,
        "new" => end + 1,
        "by_start_sequence" => config["opt_start_seq"].as_u64().expect("a start"),
        "last_per_subject" => {
            let mut last = std::collections::BTreeMap::new();
            for (seq, message) in known.messages.range(..=end) {
                last.insert(&message.subject, *seq);
            }
            chosen = (end, last.into_values().collect());
            1
        }
        other => panic!("no client asks for {other}"),
    };
    Consumer {
        conn,
        stream: stream.to_owned(),
        name: name.to_owned(),
        deliver: text("deliver_subject").expect("a push consumer"),
        host: None,
        filters,
        next,
        chosen,
        consumer_seq: 0,
        stream_seq: next - 1,
        stalled: None,
        since_flow: 0,
        last_frame: Vec::new(),
        config,
    }
}
