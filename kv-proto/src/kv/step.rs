//! What an operation's machine and the session say to each other.
//!
//! A machine is a value that describes its next request. It consumes the
//! answer, and its stage with it, and says what the next step is: an answer
//! that is impossible in a stage has nothing to match against.

use alloc::string::String;
use core::time::Duration;

use bytes::Bytes;

use crate::error::{BucketError, Cause, ReadError, WatchError};
use crate::js::message::ApiReply;
use crate::js::subject::{self, ApiPrefix};
use crate::kv::answerers::Answerers;
use crate::kv::entry::Payload;
use crate::kv::floors::Floors;
use crate::limits::{Limits, MAX_API_REPLY};
use crate::mux::Class;
use crate::op::Output;
use crate::out::Handover;
use crate::rng::Rng;
use crate::stats::Stats;
use crate::time::Instant;
use crate::wire::{self, Header, HeaderValue, Headers};

/// A purge on a condition with a time to live has as many.
const MAX_LINES: usize = 5;

/// Header lines of one request, kept in place.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    lines: [Header<'a>; MAX_LINES],
    len: usize,
}

impl<'a> Lines<'a> {
    pub(crate) fn none() -> Self {
        const UNUSED: Header<'static> = Header {
            name: "",
            value: HeaderValue::Number(0),
        };
        Self {
            lines: [UNUSED; MAX_LINES],
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, name: &'static str, value: HeaderValue<'a>) {
        if let Some(line) = self.lines.get_mut(self.len) {
            *line = Header { name, value };
            self.len += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[Header<'a>] {
        self.lines.get(..self.len).unwrap_or_default()
    }
}

/// A request as its machine describes it: a publish whose reply is awaited.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The subject in pieces.
    pub(crate) subject: [&'a str; 3],
    pub(crate) headers: Lines<'a>,
    pub(crate) payload: &'a Bytes,
    /// How the reply will say whom it is for, if it will.
    pub(crate) class: Option<Class>,
}

impl<'a> Request<'a> {
    /// A call of a JetStream API: what is called, and of what.
    pub(crate) fn api(
        api: &'a ApiPrefix,
        call: &'a str,
        name: &'a str,
        payload: &'a Bytes,
    ) -> Self {
        Self::to([api.as_str(), call, name], payload)
    }

    /// A message to a subject.
    pub(crate) fn to(subject: [&'a str; 3], payload: &'a Bytes) -> Self {
        Self {
            subject,
            headers: Lines::none(),
            payload,
            class: None,
        }
    }

    /// Header block and payload together.
    pub(crate) fn size(&self) -> usize {
        wire::header_block_len(self.headers.as_slice()) + self.payload.len()
    }

    /// Whether it goes to a subject, also in the words of a server that has the
    /// domain it goes to.
    pub(crate) fn is_to(&self, subject: &str) -> bool {
        let [first, call, name] = self.subject;
        let is = |pieces: &[&str]| {
            let rest = pieces
                .iter()
                .try_fold(subject, |rest, piece| rest.strip_prefix(piece));
            rest == Some("")
        };
        is(&[first, call, name])
            || subject::in_own_words(first).is_some_and(|[api, rest]| is(&[api, rest, call, name]))
    }
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer<'a> {
    /// A message came to its reply subject.
    Reply(Reply<'a>),
    /// Nobody listens to the request's subject.
    NoResponders,
    /// The server does not allow this client to publish it.
    Denied(String),
    /// Its link ended first.
    LinkLost(Handover),
}

#[derive(Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) headers: Option<Headers<'a>>,
    pub(crate) payload: Payload<'a>,
    /// The highest sequence that was acknowledged before on this reply's
    /// token: an acknowledgement at or below it is a copy of an old one.
    pub(crate) acked_before: u64,
}

impl<'a> Reply<'a> {
    /// Reads the answer of the JetStream API; `None` if it is none, or too large.
    pub(crate) fn api<T: serde::Deserialize<'a>>(&self) -> Option<ApiReply<T>> {
        if self.payload.bytes.len() > MAX_API_REPLY {
            return None;
        }
        ApiReply::parse(self.payload.bytes).ok()
    }
}

/// What a machine may look at beside the answer.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) rng: &'a mut Rng,
    pub(crate) limits: &'a Limits,
    /// What this client knows of keys.
    pub(crate) floors: &'a mut Floors,
    /// What it knows of those who answer for buckets.
    pub(crate) answerers: &'a mut Answerers,
    pub(crate) stats: &'a mut Stats,
    pub(crate) now: Instant,
    /// The server that answers says that it has JetStream.
    pub(crate) jetstream: bool,
}

/// There is no JetStream API where one is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Not on this server.
    Here,
    /// Not under this prefix.
    Under(String),
}

impl Surroundings<'_> {
    /// What it means that nobody listens to an API: that there is none, or
    /// nothing. Where there is an API, someone always listens to all of its
    /// calls; only on a server that says it has one it may be on its way.
    pub(crate) fn absent(&self, api: &ApiPrefix) -> Option<Absent> {
        if !api.is_own() {
            Some(Absent::Under(api.name()))
        } else if self.jetstream {
            None
        } else {
            Some(Absent::Here)
        }
    }

    /// The pause before a request is repeated that found nobody: an election
    /// lasts some tenths of a second, and clients shall not ask in step.
    pub(crate) fn pause(&mut self) -> Duration {
        PAUSE + self.rng.jitter(PAUSE)
    }

    /// A shorter pause, after losing against a write in flight.
    pub(crate) fn short_pause(&mut self) -> Duration {
        SHORT_PAUSE + self.rng.jitter(SHORT_PAUSE)
    }
}

macro_rules! absent_is {
    ($($error:ident)*) => {$(
        impl From<Absent> for $error {
            fn from(absent: Absent) -> Self {
                match absent {
                    Absent::Here => Self::NoJetStream,
                    Absent::Under(api) => Self::Unreachable { api },
                }
            }
        }
    )*};
}
absent_is!(BucketError Cause ReadError WatchError);

/// How long the true acknowledgement has to follow one that looks like a copy
/// of an older one.
pub(crate) const LINGER: Duration = Duration::from_millis(250);

const PAUSE: Duration = Duration::from_millis(100);
const SHORT_PAUSE: Duration = Duration::from_millis(5);

/// What an operation does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// It sends the request that the machine describes.
    Send,
    /// It sends that request after a pause.
    Pause(Duration),
    /// The reply was not for it: it keeps waiting.
    Ignore,
    /// The reply was probably not for it: it keeps waiting, but only so long.
    Linger(Duration),
    /// It is over.
    Done(Output),
}

/// Why an operation is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its deadline is over.
    Deadline,
    /// The session is closed.
    Closed,
}
