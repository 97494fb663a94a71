//! Small watches written by hand: what a good one tells passes, and each lie is called by its name.

mod ends;
mod order;
mod reset;
mod start;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kv_proto::{Instant, MarkerReason, Operation, ResetReason, Timestamp};

use super::{check, is_behind};
use crate::history::{Asked, CallId, Cause, History, News, Start, Told, View, Watched};
use crate::oracle::{Oracle, STREAM};
use crate::scenario::Scope;
use crate::server::{Change, Event, Removal};
use crate::violation::Violation;

const WATCH: CallId = CallId(0);
const DELETE: &str = "KV-Operation: DEL\r\nForeign: 1\r\n";
const MARKER: &str = "Nats-Marker-Reason: MaxAge\r\n";
const BROKEN: &str = "Broken: a\rb\r\n";

fn t(ms: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(ms)
}

fn time(ms: u64) -> Timestamp {
    Timestamp::from_unix_nanos(i64::try_from(ms).unwrap_or(0) * 1_000_000)
}

/// What is stored at a time.
fn value(at: u64) -> Bytes {
    format!("stored {at}").into()
}

/// Both accounts: what servers did, and what one watch told, which was called at 10 ms.
struct Run {
    history: History,
    journal: Vec<Event>,
    watch: Watched,
}

impl Run {
    /// A bucket that exists from the beginning, and a watch for all keys that was confirmed at 12 ms.
    fn new(start: Start) -> Self {
        let asked = Asked {
            scope: Scope::Every,
            start,
            ignore_deletes: false,
            meta_only: false,
            until_synced: false,
            heartbeat: Duration::from_secs(1),
            limited: false,
        };
        let mut watch = Watched::new(WATCH, 0, asked, t(10));
        watch.opened = Some(t(12));
        let mut run = Self {
            history: History::default(),
            journal: Vec::new(),
            watch,
        };
        run.change(0, Change::Created);
        run
    }

    /// The same, of the last revisions.
    fn last() -> Self {
        Self::new(Start::Last)
    }

    /// A listing of the last revisions.
    fn listing() -> Self {
        let mut run = Self::last();
        run.watch.asked.until_synced = true;
        run
    }

    fn change(&mut self, at: u64, change: Change) {
        self.journal.push(Event {
            at: t(at),
            stream: Arc::from(STREAM),
            change,
        });
    }

    fn keeps(&mut self, at: u64, seq: u64, key: u8, headers: &str) {
        let block = format!("NATS/1.0\r\n{headers}\r\n");
        let change = Change::Stored {
            seq,
            subject: format!("$KV.b.k{key}").into(),
            headers: if headers.is_empty() {
                Bytes::new()
            } else {
                block.into()
            },
            payload: value(at),
            time: time(at),
        };
        self.change(at, change);
    }

    fn stores(&mut self, at: u64, seq: u64, key: u8) {
        self.keeps(at, seq, key, "");
    }

    fn removes(&mut self, at: u64, seq: u64) {
        let why = Removal::Limit;
        self.change(at, Change::Removed { seq, why });
    }

    fn recreates(&mut self, at: u64) {
        self.change(at, Change::Deleted);
        self.change(at, Change::Created);
    }

    fn rewinds(&mut self, at: u64, last: u64) {
        self.change(at, Change::Rewound { last });
    }

    /// The watch tells something; it was live and read until just before.
    fn news(&mut self, at: u64, news: News, position: Option<u64>) -> &mut Told {
        self.watch.told.push(Told {
            at: t(at),
            live: t(at - 1),
            news,
            position,
        });
        self.watch.told.last_mut().expect("it was just told")
    }

    fn entry(&mut self, at: u64, revision: u64, key: u8, stored: u64, operation: Operation) {
        let tombstone = operation.is_tombstone();
        let value = value(stored);
        let news = News::Entry {
            key,
            revision,
            created: time(stored),
            operation,
            length: value.len() as u64,
            value: if tombstone { Bytes::new() } else { value },
        };
        self.news(at, news, Some(revision));
    }

    /// It tells a value that was stored at a time.
    fn tells(&mut self, at: u64, revision: u64, key: u8, stored: u64) {
        self.entry(at, revision, key, stored, Operation::Put);
    }

    fn syncs(&mut self, at: u64) {
        self.news(at, News::Synced, None);
    }

    fn resets(&mut self, at: u64, reason: ResetReason) {
        self.news(at, News::Reset(reason), None);
    }

    fn ends(&mut self, at: u64, cause: Cause) {
        self.news(at, News::Ended(cause), None);
    }

    fn verdict(&self) -> Vec<Violation> {
        let mut history = self.history.clone();
        history.watches.push(self.watch.clone());
        check(&history, &Oracle::new(&self.journal))
    }

    /// The verdict when everything has come to rest.
    fn at_rest(&mut self, at: u64) -> Vec<Violation> {
        self.history.rest = Some(t(at));
        let mut history = self.history.clone();
        history.watches.push(self.watch.clone());
        let verdict = self.verdict();
        let behind = is_behind(&history, &Oracle::new(&self.journal), t(at));
        assert_eq!(behind, !verdict.is_empty(), "{verdict:?}");
        verdict
    }

    fn passes(&self) {
        assert_eq!(self.verdict(), []);
    }

    fn breaks(&self, violation: Violation) {
        assert_eq!(self.verdict(), [violation]);
    }
}

/// Key 0 at revision 1 and key 1 at revision 2, stored at 1 and 2 ms.
fn two_keys(mut run: Run) -> Run {
    run.stores(1, 1, 0);
    run.stores(2, 2, 1);
    run
}

/// They are told, and that they are all.
fn told_two(mut run: Run) -> Run {
    run = two_keys(run);
    run.tells(13, 1, 0, 1);
    run.tells(14, 2, 1, 2);
    run.syncs(15);
    run
}

#[test]
fn an_honest_watch_passes() {
    let mut run = told_two(Run::last());
    run.stores(20, 3, 0);
    run.tells(21, 3, 0, 20);
    run.keeps(22, 4, 0, DELETE);
    run.entry(23, 4, 0, 22, Operation::Delete);
    run.keeps(24, 5, 1, MARKER);
    run.entry(25, 5, 1, 24, Operation::Marker(MarkerReason::MaxAge));
    run.keeps(26, 6, 1, BROKEN);
    let (key, revision, created) = (Some(1), 6, time(26));
    let damaged = News::Damaged {
        key,
        revision,
        created,
    };
    run.news(27, damaged, Some(6));
    assert_eq!(run.at_rest(100), []);
}
