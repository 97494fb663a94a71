//! Generated sequences of requests: mostly sensible, often wrong, the same for the same seed.

mod batches;
mod buckets;
mod consumers;
mod messages;
mod origins;
mod pulls;
mod streams;
mod wire;

use std::fmt;

use kv_sim::server::Version;

use crate::frames::Frames;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client sends something in one go.
    Say {
        bytes: Vec<u8>,
        /// The server works on it behind the client's back; give it a moment.
        unacknowledged: bool,
    },
    /// Time passes, in milliseconds, so that all that is under way arrives.
    Settle(u64),
    /// Something is said about one of the newest deliveries of a consumer, counted back from the last.
    Acknowledge {
        stream: &'static str,
        consumer: String,
        back: usize,
        body: String,
        reply: Option<String>,
    },
    /// The server ends, in good order or killed, and starts again with its store.
    Restart { kill: bool },
}

impl Step {
    fn say(bytes: impl Into<Vec<u8>>, unacknowledged: bool) -> Self {
        Self::Say {
            bytes: bytes.into(),
            unacknowledged,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes(&Frames::default())).into_owned()
    }

    /// What is sent to a server that has said that much.
    pub(crate) fn bytes(&self, heard: &Frames) -> Vec<u8> {
        match self {
            Self::Say { bytes, .. } => bytes.clone(),
            Self::Acknowledge {
                stream,
                consumer,
                back,
                body,
                reply,
            } => {
                let known = heard.delivery(stream, consumer, *back);
                let unknown = || format!("$JS.ACK.{stream}.{consumer}.1.{}.1.1.0", back + 1);
                let subject = known.unwrap_or_else(unknown);
                let reply = reply.as_deref().unwrap_or("");
                format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len()).into_bytes()
            }
            Self::Restart { .. } | Self::Settle(_) => Vec::new(),
        }
    }

    pub(crate) fn is_unseen(&self) -> bool {
        match self {
            Self::Say { unacknowledged, .. } => *unacknowledged,
            Self::Acknowledge { reply, .. } => reply.is_none(),
            Self::Restart { .. } | Self::Settle(_) => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say { .. } => write!(f, "{:?}", self.text()),
            Self::Settle(millis) => write!(f, "{millis} ms"),
            Self::Acknowledge { back, .. } => write!(f, "{:?}, {back} back", self.text()),
            Self::Restart { kill } => write!(f, "restart, killed: {kill}"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Generator {
    state: u64,
    version: Version,
    requests: usize,
    sids: usize,
    consumers: usize,
    ids: usize,
    last_seq: u64,
    batches: usize,
    /// Nothing that is published depends on what is stored.
    unconditional: bool,
    /// Most of what happens is pulling and acknowledging.
    pulls: bool,
    /// Every stream has so many, if it is not left to chance.
    replicas: Option<usize>,
}

const LOGIN: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\nPING\r\nSUB _INBOX.d.* 1\r\n";
const KEYS: [&str; 9] = [
    "a",
    "b",
    "c",
    "x.a",
    "x.b",
    "x.y.z",
    "d",
    "a/b_c=d-1",
    "\u{fc}",
];
const FILTERS: [&str; 8] = [">", "a", "x.>", "x.*", "*", "nope", "x.*.z", "b"];

pub(crate) const STREAMS: [&str; 4] = ["KV_A", "KV_B", "KV_C", "D"];

impl Generator {
    pub(crate) fn new(seed: u64, version: Version) -> Self {
        let state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF0;
        Self {
            state,
            version,
            requests: 0,
            sids: 10,
            consumers: 0,
            ids: 0,
            last_seq: 3,
            batches: 0,
            unconditional: false,
            pulls: false,
            replicas: None,
        }
    }

    /// For a cluster: every stream has so many replicas.
    pub(crate) fn replicated(seed: u64, version: Version, replicas: usize) -> Self {
        Self {
            replicas: Some(replicas),
            ..Self::new(seed, version)
        }
    }

    /// A whole sequence, beginning with the login.
    pub(crate) fn sequence(&mut self, length: usize) -> Vec<Step> {
        self.pulls = self.chance(40);
        let mut steps = vec![Step::say(LOGIN, false)];
        for _ in 0..1 + self.below(2) {
            steps.push(self.create_stream());
        }
        while steps.len() < length {
            let step = self.step();
            steps.push(step);
        }
        steps
    }

    /// A sequence in which the server is restarted, once or twice.
    pub(crate) fn sequence_with_restarts(&mut self, length: usize) -> Vec<Step> {
        let mut steps = self.sequence(length);
        for _ in 0..1 + self.below(2) {
            let at = length / 4 + self.below(length / 2);
            // Killed, 2.10 brings back what was purged or rolled up a while before; a restart in good
            // order does not, and nor do later releases.
            let kill = self.chance(50) && self.version > Version::V2_10;
            steps.insert(at, Step::Restart { kill });
            steps.insert(at + 1, Step::say(LOGIN, false));
        }
        steps
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn stream(&mut self) -> &'static str {
        if self.chance(75) {
            "KV_A"
        } else {
            self.pick(&STREAMS)
        }
    }

    fn subject(&mut self, stream: &str) -> String {
        let bucket = stream.trim_start_matches("KV_");
        let key = self.pick(&KEYS);
        format!("$KV.{bucket}.{key}")
    }

    fn filter(&mut self, stream: &str) -> String {
        let bucket = stream.trim_start_matches("KV_");
        let filter = self.pick(&FILTERS);
        format!("$KV.{bucket}.{filter}")
    }

    fn seq(&mut self) -> u64 {
        let around = self.last_seq + 3;
        if self.chance(10) {
            0
        } else {
            self.next() % around + 1
        }
    }

    fn request(&mut self, subject: &str, body: &str) -> Step {
        self.message(subject, "", body, true)
    }

    fn api(&mut self, verb: &str, body: &str) -> Step {
        self.request(&format!("$JS.API.{verb}"), body)
    }

    /// A request to the API that may ask for a level.
    fn leveled(&mut self, verb: &str, body: &str) -> Step {
        if self.replicas.is_some() || !self.chance(3) {
            return self.api(verb, body);
        }
        let level = self.pick(&["0", "1", "3", "4", "99", "x", ""]);
        let header = format!("Nats-Required-Api-Level: {level}\r\n");
        self.message(&format!("$JS.API.{verb}"), &header, body, true)
    }

    fn message(&mut self, subject: &str, headers: &str, payload: &str, answered: bool) -> Step {
        if headers.is_empty() {
            return self.block(subject, "", payload, answered);
        }
        let block = format!("NATS/1.0\r\n{headers}\r\n");
        self.block(subject, &block, payload, answered)
    }

    fn block(&mut self, subject: &str, block: &str, payload: &str, answered: bool) -> Step {
        self.requests += 1;
        let reply = if answered {
            format!("_INBOX.d.{} ", self.requests)
        } else {
            String::new()
        };
        let bytes = if block.is_empty() {
            format!("PUB {subject} {reply}{}\r\n{payload}\r\n", payload.len())
        } else {
            let total = block.len() + payload.len();
            format!(
                "HPUB {subject} {reply}{} {total}\r\n{block}{payload}\r\n",
                block.len()
            )
        };
        Step::say(bytes, !answered)
    }

    fn step(&mut self) -> Step {
        if self.pulls {
            return self.step_with_pulls();
        }
        match self.below(100) {
            0..32 => self.put(),
            32..36 => self.batch(),
            36..48 => self.direct_get(),
            48..54 => self.message_get(),
            54..59 => self.stream_info(),
            59..62 => self.purge(),
            62..64 => self.delete_message(),
            64..67 => self.create_stream(),
            67..70 => self.update_stream(),
            70..72 => self.lists(),
            72..74 => self.delete_stream(),
            74..83 => self.consumer(),
            83..88 => self.consumer_admin(),
            88..94 => self.subscription(),
            94..97 => self.oddity(),
            _ => self.core(),
        }
    }
    fn step_with_pulls(&mut self) -> Step {
        match self.below(100) {
            0..26 => self.put(),
            26..42 => self.pull(),
            42..62 => self.acknowledge(),
            62..74 => self.acked_consumer(),
            74..86 => self.consumer_admin(),
            86..90 => self.subscription(),
            90..93 => self.pull_subscription(),
            93 => self.pause(),
            94..96 => self.purge(),
            96 => self.delete_message(),
            97 => self.delete_stream(),
            98 => self.update_stream(),
            _ => self.create_stream(),
        }
    }
}
