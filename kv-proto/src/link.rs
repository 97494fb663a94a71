//! One link: one socket from dialling to its end.
//!
//! ```text
//!   Dialing --dialed--> Greeting --INFO--> Authorizing --credentials--> LoggingIn --PONG--> Ready
//!      |                ^      |           ^      \---- credentials known -----^             |
//!      |          secured      |           |                                       ldm: Draining
//!      |                |      | INFO,     | secured
//!      '-TLS first--> Securing '-TLS--> Upgrading
//!
//!   any state --transport ends, fatal -ERR, protocol breach, time-out--> gone
//! ```
//!
//! Nothing is written while the link is being secured, and nothing may be read
//! that came in clear; a link that shall be TLS gets no further without it.
//!
//! The link knows the handshake, pings and the classes of `-ERR`; it knows
//! nothing of key-value operations. What it finds it returns to the session.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Disconnect;
use crate::limits::Limits;
use crate::mutant::{self, Mutant};
use crate::mux::{INBOX_SID, Mux};
use crate::out::{Outbox, Span};
use crate::paths::{Path, took};
use crate::server::ServerAddr;
use crate::tally::Tally;
use crate::text;
use crate::time::Instant;
use crate::timer::TimerId;
use crate::tls::Tls;
use crate::wire::{self, ConnectOptions, Decoder, ProtocolError, ServerInfo};

/// Names one link of a session; never used again after the link ended, so an
/// input that comes late for an old link is recognised and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    pub(crate) const fn from_raw(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The embedder is asked to connect.
    Dialing,
    /// Connected; the server has not said `INFO` yet.
    Greeting,
    /// The embedder is asked to make it TLS before the server greets.
    Securing,
    /// The embedder is asked to make it TLS; the server has greeted in clear.
    Upgrading,
    /// The embedder is asked for credentials.
    Authorizing,
    /// `CONNECT` and `PING` are on their way.
    LoggingIn,
    /// Logged in.
    Ready,
    /// Logged in, and finishing what is in flight before it is closed.
    Draining,
}

/// What a control line from the server means for the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Nothing beyond the link.
    None,
    /// `INFO` came: read [`Link::info`].
    Info,
    /// The server has seen all that was sent before the `PING` that begins there,
    /// and answered so long after that was queued.
    Pong(u64, Duration),
    /// The handshake is over.
    Ready,
    /// TLS is wanted from the embedder.
    Secure,
    /// Credentials are wanted from the embedder.
    Authorize,
    /// A publish to this subject was refused.
    PublishDenied(String),
    /// The reply inbox was refused: no answer will ever come on this link.
    InboxDenied,
    /// The subscription of a feed was refused.
    FeedDenied(u64, String),
    /// The link is over.
    End(Disconnect),
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) addr: ServerAddr,
    pub(crate) state: State,
    pub(crate) decoder: Decoder,
    /// The length of the longest frame that it has brought.
    pub(crate) longest: usize,
    pub(crate) outbox: Outbox,
    pub(crate) mux: Mux,
    pub(crate) handshake: Option<TimerId>,
    pub(crate) liveness: Option<TimerId>,
    pub(crate) drained: Option<TimerId>,
    info: Box<ServerInfo>,
    /// What it was logged in with, to recognise it in what the server says.
    login: Credentials,
    /// It is TLS, and the server is who it should be.
    secured: bool,
    /// The server has said that it goes.
    pub(crate) warned: bool,
    /// Another one is looked for.
    pub(crate) leaving: bool,
    /// The subject of the reply inbox, if the server refused it.
    pub(crate) inbox_denied: Option<String>,
    /// Bytes arrived since liveness was last checked.
    heard: bool,
    /// An answer arrived since then: what we send is read.
    answered: bool,
    pings_unanswered: u32,
    /// The `PING`s that are not answered; the server answers in order.
    pings: VecDeque<Ping>,
    /// How long the last answer to one took.
    rtt: Option<Duration>,
    /// Refused publishes whose senders are still to be found out.
    denials: Vec<Denial>,
    /// Publishes that nobody waits for any more, and that can still be refused.
    orphans: VecDeque<Orphan>,
    /// Where the last one begins that there was no room to remember.
    forgotten: Option<u64>,
    /// A `PONG` that the transport has not begun to take: further `PING`s are
    /// answered by it, so a flood of them costs nothing.
    pong: Option<Span>,
}

#[derive(Debug)]
struct Ping {
    /// Where it begins.
    start: u64,
    queued_at: Instant,
}

/// Publishes to one subject that the server refused. It does not say which ones; by the answer to a `PING`
/// sent after the first refusal it has told of all that were sent before.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) subject: String,
    pub(crate) count: usize,
    /// Where that `PING` begins.
    pub(crate) ping: u64,
}

/// A publish whose operation ended without an answer.
#[derive(Debug)]
struct Orphan {
    subject: String,
    start: u64,
}

/// Most orphans, and most subjects of refusals, that are remembered for one round trip: with more, refusals
/// end nothing.
const MAX_ORPHANS: usize = 256;

/// Most pings that can be under way at the same time because somebody asked.
const MAX_PINGS: usize = 1_024;

/// Pings that may stay unanswered before the server counts as dead.
const MAX_PINGS_UNANSWERED: u32 = 2;

/// The same while bytes arrive: heartbeats and deliveries do not show that the
/// server can hear us, but an answer may be stuck behind a large message.
const MAX_PINGS_OVERHEARD: u32 = 4;

impl Link {
    pub(crate) fn new(id: LinkId, addr: ServerAddr, mux: Mux) -> Self {
        Self {
            id,
            addr,
            state: State::Dialing,
            decoder: Decoder::new(),
            longest: 0,
            outbox: Outbox::default(),
            mux,
            handshake: None,
            liveness: None,
            drained: None,
            info: Box::default(),
            login: Credentials::None,
            secured: false,
            warned: false,
            leaving: false,
            inbox_denied: None,
            heard: false,
            answered: false,
            pings_unanswered: 0,
            pings: VecDeque::new(),
            rtt: None,
            denials: Vec::new(),
            orphans: VecDeque::new(),
            forgotten: None,
            pong: None,
        }
    }

    /// What the server last said of itself.
    pub(crate) fn info(&self) -> &ServerInfo {
        &self.info
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        matches!(self.state, State::Ready | State::Draining)
    }

    /// Whether the embedder is making it TLS.
    pub(crate) fn is_securing(&self) -> bool {
        matches!(self.state, State::Securing | State::Upgrading)
    }

    /// The largest message the server takes.
    pub(crate) fn max_payload(&self) -> usize {
        match usize::try_from(self.info.max_payload) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(max) => max,
        }
    }

    pub(crate) fn heard(&mut self) {
        self.heard = true;
    }

    /// Something came that was asked for.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }

    /// Its transport is connected.
    pub(crate) fn on_dialed(&mut self, tls: Tls) -> Notice {
        if tls == Tls::First {
            self.state = State::Securing;
            return Notice::Secure;
        }
        self.state = State::Greeting;
        Notice::None
    }

    /// Its transport is TLS.
    pub(crate) fn on_secured(&mut self) -> Notice {
        self.secured = true;
        if self.state == State::Upgrading {
            self.state = State::Authorizing;
            return Notice::Authorize;
        }
        self.state = State::Greeting;
        Notice::None
    }

    pub(crate) fn on_info(&mut self, json: &[u8], limits: &Limits, tls: Tls) -> Notice {
        let mut info = match ServerInfo::parse(json, limits) {
            Ok(info) => info,
            Err(error) => return Notice::End(error.into()),
        };
        if mutant::is(Mutant::MaxPayloadNeverChanges) && self.state != State::Greeting {
            info.max_payload = self.info.max_payload;
        }
        info.ldm &= !mutant::is(Mutant::LameDuckIgnored);
        *self.info = info;
        if self.state != State::Greeting {
            return Notice::Info;
        }
        let upgrade = match self.upgrade(tls) {
            Ok(upgrade) => upgrade,
            Err(reason) => return Notice::End(reason),
        };
        if !self.info.headers {
            return Notice::End(Disconnect::Requires("a client without headers"));
        }
        if !upgrade {
            self.state = State::Authorizing;
            return Notice::Authorize;
        }
        if !self.outbox.is_empty() {
            // A `PING` came before it: its answer can go neither in clear nor, half of it, encrypted.
            return Notice::End(ProtocolError::BytesBeforeTls.into());
        }
        // Whoever can alter what is said in clear shall not send us to servers of theirs.
        self.info.connect_urls.clear();
        self.state = State::Upgrading;
        Notice::Secure
    }

    /// Whether the link becomes TLS now.
    fn upgrade(&self, tls: Tls) -> Result<bool, Disconnect> {
        let asked = self.info.tls_required;
        let offered = asked || self.info.tls_available;
        match tls {
            _ if self.secured => Ok(false),
            Tls::Unknown if asked => Err(Disconnect::Requires("TLS")),
            Tls::Unknown => Ok(false),
            Tls::WhenAsked => Ok(asked),
            Tls::Required | Tls::First if offered => Ok(true),
            Tls::Required | Tls::First => Err(Disconnect::NoTls),
        }
    }

    /// Sends `CONNECT` and `PING`; the answer to the latter ends the handshake. Refuses to send in clear what
    /// nobody may overhear.
    pub(crate) fn log_in(
        &mut self,
        now: Instant,
        credentials: &Credentials,
        config: &Config,
    ) -> Result<(), Disconnect> {
        let private = self.secured || self.addr.is_local() || config.passwords_in_clear;
        if credentials.can_be_overheard() && !private {
            return Err(Disconnect::InClear);
        }
        let mut options = ConnectOptions {
            verbose: false,
            pedantic: false,
            tls_required: self.secured,
            name: config.name.as_deref(),
            lang: "rust",
            version: env!("CARGO_PKG_VERSION"),
            protocol: 1,
            echo: config.echo,
            headers: true,
            no_responders: true,
            ..ConnectOptions::default()
        };
        let signed;
        match credentials {
            Credentials::None => {}
            Credentials::UserPassword { user, password } => {
                options.user = Some(user);
                options.pass = Some(password.expose());
            }
            Credentials::Token(token) => options.auth_token = Some(token.expose()),
            Credentials::NKey {
                public_key,
                signature,
            } => {
                signed = signature.encoded();
                options.nkey = Some(public_key);
                options.sig = Some(&signed);
            }
            Credentials::Jwt { jwt, signature } => {
                options.jwt = Some(jwt.expose());
                if let Some(signature) = signature {
                    signed = signature.encoded();
                    options.sig = Some(&signed);
                }
            }
        }
        self.login = credentials.clone();
        let span = self.outbox.frame(|out| {
            wire::connect(out, &options);
            wire::ping(out);
        });
        self.pings.push_back(Ping {
            start: span.start(),
            queued_at: now,
        });
        self.state = State::LoggingIn;
        Ok(())
    }

    pub(crate) fn on_pong(&mut self, now: Instant) -> Notice {
        self.answered = true;
        let answered = self.pings.pop_front().map(|ping| {
            let rtt = now.saturating_duration_since(ping.queued_at);
            self.rtt = Some(rtt);
            (ping.start, rtt)
        });
        if self.state != State::LoggingIn {
            return match answered {
                Some((start, rtt)) => Notice::Pong(start, rtt),
                None => Notice::None,
            };
        }
        self.state = State::Ready;
        let inbox = self.mux.prefix();
        self.outbox
            .frame(|out| wire::subscribe(out, &[inbox, "*"], None, INBOX_SID));
        Notice::Ready
    }

    pub(crate) fn on_ping(&mut self) {
        let unbegun = self.pong.is_some_and(|span| self.outbox.is_unbegun(span));
        if !unbegun {
            self.pong = Some(self.outbox.frame(wire::pong));
        }
    }

    /// Checks the peer: returns false when it is dead.
    pub(crate) fn check_liveness(&mut self, now: Instant) -> bool {
        let heard = core::mem::take(&mut self.heard);
        if core::mem::take(&mut self.answered) || mutant::is(Mutant::SilenceIsLife) {
            self.pings_unanswered = 0;
            return true;
        }
        let most = if heard {
            MAX_PINGS_OVERHEARD
        } else {
            MAX_PINGS_UNANSWERED
        };
        if self.pings_unanswered >= most {
            took(Path::Dead);
            return false;
        }
        took(if heard {
            Path::PingOverheard
        } else {
            Path::PingLate
        });
        self.pings_unanswered.raise(1);
        self.ping(now);
        true
    }

    fn ping(&mut self, queued_at: Instant) -> Span {
        let span = self.outbox.frame(wire::ping);
        let start = span.start();
        self.pings.push_back(Ping { start, queued_at });
        span
    }

    /// Sends a `PING` for somebody who asked; `None` if too many are under way.
    pub(crate) fn ping_for(&mut self, now: Instant) -> Option<Span> {
        (self.pings.len() < MAX_PINGS).then(|| self.ping(now))
    }

    /// How long the server took to answer the last `PING`, that of the login included.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Withdraws a frame of which no byte was handed over; false if it was begun.
    pub(crate) fn withdraw(&mut self, span: Span) -> bool {
        let withdrawn = self.outbox.withdraw(span);
        if withdrawn {
            // A `PING` that is never sent is never answered.
            self.pings.retain(|ping| ping.start != span.start());
        }
        withdrawn
    }

    /// Notes that a publish to that subject was refused, and asks the server for a sign that it has told of
    /// all of them.
    pub(crate) fn deny(&mut self, now: Instant, subject: &str) {
        if let Some(known) = self.denials.iter_mut().find(|one| one.subject == subject) {
            known.count.raise(1);
            return;
        }
        if self.denials.len() >= MAX_ORPHANS {
            return;
        }
        let ping = self.ping(now).start();
        self.denials.push(Denial {
            subject: subject.into(),
            count: 1,
            ping,
        });
    }

    /// Remembers a publish that nobody waits for any more: it can still be refused.
    pub(crate) fn orphan(&mut self, subject: String, span: Span) {
        let start = span.start();
        if self.orphans.len() >= MAX_ORPHANS {
            self.forgotten = self.orphans.pop_front().map(|one| one.start);
        }
        self.orphans.push_back(Orphan { subject, start });
    }

    /// Takes the refusals of which the server has told all, as it has answered the `PING` that begins there;
    /// each with the number of those that can concern nobody who still waits. What cannot be known for want
    /// of room is left out.
    pub(crate) fn told_denials(&mut self, answered: u64) -> Vec<(Denial, usize)> {
        let told = self.denials.extract_if(.., |one| one.ping <= answered);
        let mut told: Vec<Denial> = told.collect();
        told.retain(|_| self.forgotten.is_none());
        let orphans = |denial: &Denial| {
            let before = self.orphans.iter().filter(|one| one.start < denial.ping);
            before.filter(|one| one.subject == denial.subject).count()
        };
        let counted = told.into_iter().map(|denial| {
            let count = orphans(&denial);
            (denial, count)
        });
        let counted = counted.collect();
        // What is past cannot be refused any more, but may have been among what is still to be told.
        let open = &self.denials;
        let still_open = |one: &Orphan| open.iter().any(|denial| denial.subject == one.subject);
        self.orphans
            .retain(|one| one.start > answered || still_open(one));
        self.forgotten = self.forgotten.filter(|start| *start > answered);
        counted
    }

    /// Sorts an `-ERR` line. Texts that are not known are left to the socket:
    /// the server closes it if it means to.
    pub(crate) fn on_err(&mut self, text: &[u8]) -> Notice {
        let text = self.discreet_text(text);
        let lower = text.to_ascii_lowercase();
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| lower.starts_with(prefix));
        if starts(&["permissions violation for publish to"]) {
            return match quoted(&text) {
                Some(subject) => Notice::PublishDenied(subject.into()),
                None => Notice::None,
            };
        }
        if starts(&["permissions violation for subscription"]) {
            let subject = quoted(&text).filter(|denied| denied.starts_with(self.mux.prefix()));
            if let Some(subject) = subject
                && let Some(sid) = self.mux.feed_of(subject.as_bytes())
            {
                return Notice::FeedDenied(sid, subject.into());
            }
            self.inbox_denied = subject.map(String::from);
            return match self.inbox_denied {
                Some(_) => Notice::InboxDenied,
                None => Notice::None,
            };
        }
        if starts(AUTHENTICATION) {
            return Notice::End(Disconnect::Authentication(text));
        }
        if !self.is_logged_in() || starts(FATAL) {
            return Notice::End(Disconnect::Server(text));
        }
        Notice::None
    }

    /// What a server says, as text of bounded length and without what it was told in confidence.
    pub(crate) fn discreet_text(&self, text: &[u8]) -> String {
        let text = self.login.hidden_in(&String::from_utf8_lossy(text));
        text::beginning(&text, MAX_ERR_TEXT).into()
    }

    /// A breach of the protocol, without what the server was told in confidence.
    pub(crate) fn discreet(&self, breach: ProtocolError) -> ProtocolError {
        if let ProtocolError::UnknownVerb { verb } = &breach {
            let verb = self.login.hidden_in(verb);
            return ProtocolError::UnknownVerb { verb };
        }
        breach
    }

    /// A message before the login is complete.
    pub(crate) const fn unexpected() -> Disconnect {
        Disconnect::Protocol(ProtocolError::Unexpected)
    }
}

/// `-ERR` texts (lower case, by their beginning) that refuse the credentials.
const AUTHENTICATION: &[&str] = &[
    "authorization violation",
    "authentication timeout",
    "authentication expired",
    "user authentication",
    "account authentication",
];

/// `-ERR` texts (lower case, by their beginning) after which the server closes.
const FATAL: &[&str] = &[
    "stale connection",
    "unknown protocol operation",
    "parser error",
    "maximum control line exceeded",
    "maximum payload violation",
    "maximum connections exceeded",
    "maximum account active connections exceeded",
    "connection throttling",
    "attempted to connect to",
    "secure connection",
    "invalid client protocol",
    "no responders requires",
    "slow consumer",
    "server shutdown",
];

/// The longest part of an `-ERR` text that is kept.
const MAX_ERR_TEXT: usize = 4_400;

/// The part between the first and the next double quote.
fn quoted(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('"')?;
    rest.split_once('"').map(|(subject, _)| subject)
}

#[cfg(test)]
mod tests;
