//! One client's connection, from accept to close.
//!
//! ```text
//! accept ─INFO─► awaiting CONNECT ──CONNECT──► ready ──► closed
//!                     │ (auth needed: until the auth timeout)  ▲
//!                     └───────── fault, -ERR ──────────────────┘
//! ```

use std::io::Write as _;
use std::time::Duration;

use kv_proto::Instant;

use super::auth::Permissions;
use super::decode::lenient;
use super::parser::{Parser, Rules};
use super::rng::Rng;

/// Names a connection for as long as the cluster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

/// What a message's frame adds to its parts at most: verb, blanks, line ends, two sizes.
const MAX_FRAME: usize = 32;
/// After accept, the first PING comes this soon if the client has sent none.
const FIRST_PING: Duration = Duration::from_secs(2);

/// What a client asked for in CONNECT; before it, the server's own defaults.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) verbose: bool,
    pub(crate) pedantic: bool,
    pub(crate) echo: bool,
    pub(crate) headers: bool,
    pub(crate) no_responders: bool,
    pub(crate) protocol: i64,
    pub(crate) user: String,
    pub(crate) pass: String,
    pub(crate) token: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            user: String::new(),
            pass: String::new(),
            token: String::new(),
        }
    }
}

impl Options {
    /// Reads the object of a CONNECT; `None` if it is malformed.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        lenient(json, |out: &mut Self, name, json, read| match name {
            "verbose" => read.bool(json, &mut out.verbose),
            "pedantic" => read.bool(json, &mut out.pedantic),
            "echo" => read.bool(json, &mut out.echo),
            "headers" => read.bool(json, &mut out.headers),
            "no_responders" => read.bool(json, &mut out.no_responders),
            "protocol" => read.number(json, &mut out.protocol),
            "user" => read.text(json, &mut out.user),
            "pass" => read.text(json, &mut out.pass),
            "auth_token" => read.text(json, &mut out.token),
            _ => true,
        })
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) server: usize,
    pub(crate) client_id: u64,
    pub(crate) parser: Parser,
    pub(crate) options: Options,
    pub(crate) permissions: Permissions,
    /// CONNECT was accepted, or is not needed.
    pub(crate) admitted: bool,
    pub(crate) connected: bool,
    pub(crate) ponged: bool,
    /// The limit of a payload that INFO told before CONNECT.
    pub(crate) told_limit: usize,
    pub(crate) closed: bool,
    pub(crate) output: Vec<u8>,
    auth_by: Option<Instant>,
    ping_at: Instant,
    pings_out: u32,
    heard: Instant,
    /// Until the first PONG the server wants to know the round-trip time.
    measured: bool,
}

/// What the clock did to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    Nothing,
    Ping,
    AuthTimeout,
    Stale,
}

impl Connection {
    pub(crate) fn new(
        server: usize,
        client_id: u64,
        now: Instant,
        auth_timeout: Option<Duration>,
        ping_interval: Duration,
        rng: &mut Rng,
    ) -> Self {
        let first = ping_interval.min(FIRST_PING);
        let fifth = u64::try_from(first.as_nanos() / 5).unwrap_or(0);
        let jitter = if ping_interval > FIRST_PING {
            rng.below(fifth.max(1))
        } else {
            0
        };
        Self {
            server,
            client_id,
            parser: Parser::default(),
            options: Options::default(),
            permissions: Permissions::default(),
            admitted: auth_timeout.is_none(),
            connected: false,
            ponged: false,
            told_limit: usize::MAX,
            closed: false,
            output: Vec::new(),
            auth_by: auth_timeout.map(|timeout| now + timeout),
            ping_at: now + first + Duration::from_nanos(jitter),
            pings_out: 0,
            heard: now,
            measured: false,
        }
    }

    pub(crate) fn rules(&self, max_control_line: usize, max_payload: usize) -> Rules {
        Rules {
            awaits_auth: !self.admitted,
            headers: self.options.headers,
            max_control_line,
            max_payload,
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.output.extend_from_slice(bytes);
        }
    }

    pub(crate) fn send_error(&mut self, text: &str) {
        self.send(format!("-ERR '{text}'\r\n").as_bytes());
    }

    pub(crate) fn send_ok(&mut self) {
        if self.options.verbose {
            self.send(b"+OK\r\n");
        }
    }

    /// Writes a message for one of its subscriptions.
    pub(crate) fn send_message(
        &mut self,
        subject: &[u8],
        sid: &[u8],
        reply: &[u8],
        headers: &[u8],
        payload: &[u8],
    ) {
        if self.closed {
            return;
        }
        let headers = if self.options.headers { headers } else { b"" };
        let size = subject.len() + sid.len() + reply.len() + headers.len() + payload.len();
        let out = &mut self.output;
        out.reserve(size + MAX_FRAME);
        let verb: &[u8] = if headers.is_empty() {
            b"MSG "
        } else {
            b"HMSG "
        };
        for part in [verb, subject, b" ", sid, b" ", reply] {
            out.extend_from_slice(part);
        }
        if !reply.is_empty() {
            out.push(b' ');
        }
        // Writing to a Vec cannot fail.
        let _ = match headers.len() {
            0 => write!(out, "{}\r\n", payload.len()),
            own => write!(out, "{own} {}\r\n", own + payload.len()),
        };
        for part in [headers, payload, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }

    pub(crate) fn admit(&mut self, permissions: Permissions) {
        self.permissions = permissions;
        self.admitted = true;
        self.auth_by = None;
    }

    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(crate) fn hear_pong(&mut self) {
        self.pings_out = 0;
        self.measured = true;
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        Some(self.auth_by.map_or(self.ping_at, |by| by.min(self.ping_at)))
    }

    pub(crate) fn tick(&mut self, now: Instant, interval: Duration, max_out: u32) -> Tick {
        if self.closed {
            return Tick::Nothing;
        }
        if self.auth_by.is_some_and(|by| by <= now) {
            return Tick::AuthTimeout;
        }
        if self.ping_at > now {
            return Tick::Nothing;
        }
        self.ping_at = now + interval;
        let quiet = now.saturating_duration_since(self.heard) >= interval;
        if !quiet && self.measured {
            return Tick::Nothing;
        }
        if self.pings_out >= max_out {
            return Tick::Stale;
        }
        self.pings_out += 1;
        Tick::Ping
    }
}
