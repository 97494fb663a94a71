//! What runs came across: counted, so that nobody has to believe that it happens.
//!
//! A point is something that happened, and perhaps how: `put` and `applied`, `disconnected` and `stale`.
//! Those of [`expected`] are come across in any long run, or what the run shows is less than it seems.

mod expected;

use std::collections::BTreeMap;
use std::fmt;

use kv_proto::{Disconnect, Stats};

use crate::history::{Answer, Call, History, Record, Sent};

pub use self::expected::{expected, expected_of_watches};

/// Something that happened, and how, if that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "two names")]
pub struct Point(pub &'static str, pub &'static str);

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, how) = self;
        let text = if how.is_empty() {
            (*what).to_owned()
        } else {
            format!("{what} > {how}")
        };
        f.pad(&text)
    }
}

impl From<&'static str> for Point {
    fn from(what: &'static str) -> Self {
        Self(what, "")
    }
}

/// How often things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    hits: BTreeMap<Point, Hits>,
}

/// How often something happened, and in how many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hits {
    /// Times.
    pub times: u64,
    /// Runs.
    pub seeds: u64,
}

impl Coverage {
    /// Counts something.
    pub(crate) fn hit(&mut self, point: &'static str) {
        self.hit_how(point, "");
    }

    /// Counts that something happened in some way.
    pub(crate) fn hit_how(&mut self, what: &'static str, how: &'static str) {
        let hits = self.hits.entry(Point(what, how)).or_default();
        hits.times += 1;
        hits.seeds = 1;
    }

    /// Counts what clients were told, by what they had asked for and by what of it had left.
    pub(crate) fn hit_answers(&mut self, history: &History) {
        for record in &history.calls {
            let answer = record.answer.as_ref().map(|(_, answer)| answer);
            if let Some(answer) = answer {
                self.hit(answer.name());
                self.hit_how(record.call.name(), answer.name());
            }
            self.hit_evidence(record, answer);
        }
    }

    /// The rows of the table of evidence: what had left of a write, how often, and what came of it.
    fn hit_evidence(&mut self, record: &Record, answer: Option<&Answer>) {
        if !record.call.carries_value() {
            return;
        }
        let left = match record.sent {
            Sent::Nothing => "nothing left",
            Sent::Part => "a part left",
            Sent::Perhaps => "a write failed",
            Sent::Whole => "all left",
        };
        self.hit_how(left, answer.map_or("abandoned", Answer::name));
        if let Some(Answer::NotApplied(crate::history::Cause::Server(code))) = answer {
            self.hit_how("server said no", code_name(*code));
        }
        if record.attempts > 1 {
            let conditional = record.call != Call::Put;
            let again = if conditional {
                "condition sent again"
            } else {
                "put sent again"
            };
            self.hit_how(again, answer.map_or("abandoned", Answer::name));
        }
    }

    /// Counts why a connection ended.
    pub(crate) fn hit_disconnect(&mut self, reason: &Disconnect) {
        self.hit_how("disconnected", disconnect_name(reason));
    }

    /// Counts what a client lived through.
    pub(crate) fn hit_recoveries(&mut self, stats: &Stats) {
        let counts = [
            ("connected again", stats.connects.saturating_sub(1)),
            ("reply that nobody waits for", stats.stray_messages),
            ("reply below the floor", stats.stale_replies),
            ("reply below what was forgotten", stats.vague_replies),
            ("floors dropped", stats.floors_dropped),
            ("reply of another stream", stats.foreign_replies),
        ];
        for (point, _) in counts.iter().filter(|(_, count)| *count > 0) {
            self.hit(point);
        }
    }

    /// Whether something happened.
    #[must_use]
    pub fn has(&self, point: &'static str) -> bool {
        self.hits.contains_key(&Point(point, ""))
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (point, more) in &other.hits {
            let hits = self.hits.entry(*point).or_default();
            hits.times += more.times;
            hits.seeds += more.seeds;
        }
    }

    /// Everything that happened, by name.
    pub fn iter(&self) -> impl Iterator<Item = (Point, Hits)> {
        self.hits.iter().map(|(point, hits)| (*point, *hits))
    }

    /// How often something happened.
    #[must_use]
    pub fn get(&self, point: Point) -> Hits {
        self.hits.get(&point).copied().unwrap_or_default()
    }
}

const fn disconnect_name(reason: &Disconnect) -> &'static str {
    match reason {
        Disconnect::Transport(_) => "transport",
        Disconnect::Server(_) => "server said why",
        Disconnect::Authentication(_) => "authentication",
        Disconnect::Requires(_) => "requires",
        Disconnect::Protocol(_) => "protocol",
        Disconnect::HandshakeTimedOut => "handshake timed out",
        Disconnect::Stale => "stale",
        Disconnect::LameDuck => "lame duck",
        Disconnect::Closed => "closed",
        Disconnect::NoChallenge => "no challenge",
        Disconnect::NoTls => "no TLS",
        _ => "other",
    }
}

const fn code_name(code: u32) -> &'static str {
    match code {
        10_023 => "10023 resources",
        10_047 => "10047 storage",
        10_077 => "10077 limits",
        10_163 => "10163 not ready",
        10_164 => "10164 in flight",
        10_167 => "10167 too many",
        _ => "another code",
    }
}
