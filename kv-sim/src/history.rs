//! What clients asked for and what they were told.
//!
//! The calls are one of two accounts of a run. The other one is the servers' journal; neither knows the
//! other, and [`check`](crate::check) holds one against the other.

mod watched;

use bytes::Bytes;
use kv_proto::Instant;

pub use self::watched::{Asked, News, Start, Told, Watched};

/// Numbers a call within a run; the value of a write begins with it, so that a commit can be traced back to
/// the call that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct CallId(pub u32);

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a checker that skips a kind of call checks nothing"
)]
pub enum Call {
    /// Store a value, whatever is there.
    Put,
    /// Store a value where there is none; it may end by itself after some seconds.
    Create {
        /// The time to live.
        ttl: Option<u8>,
    },
    /// Store a value if the key is at this revision.
    Update {
        /// The expected revision.
        expected: u64,
        /// Its time to live in seconds.
        ttl: Option<u8>,
    },
    /// Put a tombstone on the key, perhaps only at a revision.
    Delete {
        /// The expected revision.
        expected: Option<u64>,
    },
    /// Put a tombstone on the key and drop its history, perhaps only at a revision.
    Purge {
        /// The expected revision.
        expected: Option<u64>,
        /// The time to live.
        ttl: Option<u8>,
    },
    /// Read the last revision from any replica.
    Get,
    /// Read the last revision from the leader.
    GetLeader,
    /// Read a given revision.
    GetRevision {
        /// The revision.
        revision: u64,
    },
    /// Something about whole buckets.
    Manage,
    /// Watch keys; answered when that is confirmed.
    Watch,
    /// List keys or revisions; answered at the end.
    List,
    /// Remove all revisions of the key, or of all keys.
    Erase {
        /// Of all.
        all: bool,
    },
    /// Remove tombstones.
    PurgeDeletes {
        /// The least age.
        older_ms: u32,
    },
    /// See how long the server takes to answer.
    Ping,
    /// Wait.
    Sleep,
}

impl Call {
    /// Its name in traces and tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::Delete { expected: None } => "delete",
            Self::Delete { expected: Some(_) } => "delete at",
            Self::Purge { expected: None, .. } => "purge",
            Self::Purge {
                expected: Some(_), ..
            } => "purge at",
            Self::Get => "get",
            Self::GetLeader => "leader get",
            Self::GetRevision { .. } => "get revision",
            Self::Manage => "manage",
            Self::Watch => "watch",
            Self::List => "list",
            Self::Erase { all: false } => "erase",
            Self::Erase { all: true } => "erase all",
            Self::PurgeDeletes { .. } => "purge deletes",
            Self::Ping => "ping",
            Self::Sleep => "sleep",
        }
    }

    /// Whether the value that it stores tells its number.
    #[must_use]
    pub const fn carries_value(&self) -> bool {
        matches!(self, Self::Put | Self::Create { .. } | Self::Update { .. })
    }

    /// Whether it puts a tombstone.
    #[must_use]
    pub const fn buries(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::Purge { .. })
    }

    /// The condition that the call puts on its key.
    #[must_use]
    pub const fn expected(&self) -> Option<u64> {
        match self {
            Self::Update { expected, .. } => Some(*expected),
            Self::Delete { expected } | Self::Purge { expected, .. } => *expected,
            Self::Put
            | Self::Create { .. }
            | Self::Get
            | Self::GetLeader
            | Self::GetRevision { .. }
            | Self::Manage
            | Self::Watch
            | Self::List
            | Self::Erase { .. }
            | Self::PurgeDeletes { .. }
            | Self::Ping
            | Self::Sleep => None,
        }
    }

    /// The time to live that it asked for.
    #[must_use]
    pub const fn ttl(&self) -> Option<u8> {
        match self {
            Self::Create { ttl } | Self::Update { ttl, .. } | Self::Purge { ttl, .. } => *ttl,
            Self::Put
            | Self::Delete { .. }
            | Self::Get
            | Self::GetLeader
            | Self::GetRevision { .. }
            | Self::Manage
            | Self::Watch
            | Self::List
            | Self::Erase { .. }
            | Self::PurgeDeletes { .. }
            | Self::Ping
            | Self::Sleep => None,
        }
    }
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a checker that skips an answer checks nothing"
)]
pub enum Answer {
    /// The write was applied at this revision.
    Applied(u64),
    /// The write had no effect and cannot have one later.
    NotApplied(Cause),
    /// `create` found a live value at this revision.
    Exists(u64),
    /// The key was not at the expected revision but at this one, if known.
    Conflict(Option<u64>),
    /// The write may have been applied, or may still be.
    Unknown(&'static str),
    /// The read found this revision.
    Found {
        /// Its number.
        revision: u64,
        /// Its value; empty for a tombstone.
        value: Bytes,
        /// Whether the revision removed the key.
        tombstone: bool,
    },
    /// The read found nothing.
    Absent,
    /// The read found something that is no entry.
    Malformed(Option<u64>),
    /// The read was shown too little until its deadline.
    Stale {
        /// The revision that was shown last, 0 for none.
        seen: u64,
        /// The revision that the client knew.
        floor: u64,
    },
    /// The read failed.
    Failed(Cause),
    /// So much was removed.
    Removed {
        /// Revisions.
        revisions: u64,
        /// Tombstones that were among them, for whoever asked for those.
        tombstones: u64,
    },
    /// What was asked for was done.
    Done,
}

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a checker that skips a cause checks nothing"
)]
pub enum Cause {
    /// The session did not accept it.
    Full,
    /// It is larger than something allows.
    TooLarge,
    /// The session is closed.
    Closed,
    /// The option makes no sense for the bucket.
    Option,
    /// A permission is missing.
    Denied,
    /// There is no such bucket.
    NoBucket,
    /// There is no JetStream.
    NoJetStream,
    /// Nobody answered.
    Unavailable,
    /// The deadline was over before it was sent, or before a read was answered.
    TimedOut,
    /// The link was lost before it was sent.
    LinkLost,
    /// Others kept changing the key.
    Contended,
    /// The bucket began anew in the middle of a listing.
    Recreated,
    /// The bucket lost its end in the middle of a listing.
    Rewound,
    /// The server said no.
    Server(u32),
    /// Anything else.
    Other,
}

impl Answer {
    /// Its name in traces and tables.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::NotApplied(cause) => match cause {
                Cause::Full => "not applied: full",
                Cause::TooLarge => "not applied: too large",
                Cause::Closed => "not applied: closed",
                Cause::Option => "not applied: option",
                Cause::Denied => "not applied: denied",
                Cause::NoBucket => "not applied: no bucket",
                Cause::NoJetStream => "not applied: no JetStream",
                Cause::Unavailable => "not applied: unavailable",
                Cause::TimedOut => "not applied: timed out",
                Cause::LinkLost => "not applied: link lost",
                Cause::Contended => "not applied: contended",
                Cause::Recreated | Cause::Rewound => "not applied: interrupted",
                Cause::Server(_) => "not applied: server",
                Cause::Other => "not applied: other",
            },
            Self::Exists(_) => "exists",
            Self::Conflict(Some(_)) => "conflict",
            Self::Conflict(None) => "conflict, with nothing known",
            Self::Unknown(doubt) => doubt,
            Self::Found {
                tombstone: false, ..
            } => "found",
            Self::Found {
                tombstone: true, ..
            } => "found tombstone",
            Self::Absent => "absent",
            Self::Malformed(_) => "malformed entry",
            Self::Stale { .. } => "failed: stale",
            Self::Failed(cause) => match cause {
                Cause::Full => "failed: full",
                Cause::Closed => "failed: closed",
                Cause::Denied => "failed: denied",
                Cause::NoBucket => "failed: no bucket",
                Cause::NoJetStream => "failed: no JetStream",
                Cause::Unavailable => "failed: unavailable",
                Cause::TimedOut => "failed: timed out",
                Cause::Server(_) => "failed: server",
                Cause::Recreated => "failed: interrupted, re-created",
                Cause::Rewound => "failed: interrupted, rewound",
                Cause::TooLarge
                | Cause::Option
                | Cause::LinkLost
                | Cause::Contended
                | Cause::Other => "failed: other",
            },
            Self::Removed { revisions: 0, .. } => "removed nothing",
            Self::Removed { .. } => "removed",
            Self::Done => "done",
        }
    }
}

/// How much of a write's frame the transport has taken, in the last attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "part of records")]
pub enum Sent {
    /// No byte.
    #[default]
    Nothing,
    /// Some bytes.
    Part,
    /// It was offered to a write that failed.
    Perhaps,
    /// All of it.
    Whole,
}

/// One call of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The number of the call.
    pub id: CallId,
    /// Who called.
    pub client: usize,
    /// The number of its session: one that is dropped is followed by another, which knows nothing.
    pub life: u32,
    /// The key's number.
    pub key: u8,
    /// What was asked for.
    pub call: Call,
    /// When.
    pub called: Instant,
    /// The answer and when it came; `None` if the client gave up waiting.
    pub answer: Option<(Instant, Answer)>,
    /// What of it has left; known only of calls that carry a value.
    pub sent: Sent,
    /// The most that it has taken of an earlier attempt.
    pub sent_before: Sent,
    /// How often its frame was begun; known only of calls that carry a value.
    pub attempts: u32,
}

impl Record {
    /// Makes the record of a call that is not answered yet.
    #[must_use]
    pub fn new(id: CallId, client: usize, key: u8, call: Call, called: Instant) -> Self {
        Self {
            id,
            client,
            life: 0,
            key,
            call,
            called,
            answer: None,
            sent: Sent::Nothing,
            sent_before: Sent::Nothing,
            attempts: 0,
        }
    }
}

/// From some moment on, how old an answer can be at most that a read gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "three times with names")]
pub struct View {
    /// The moment.
    pub from: Instant,
    /// What the replica that is farthest behind shows, as the time at which it was current; the end of time
    /// if all are up to date.
    pub replicas: Instant,
    /// The same for whoever takes itself for the leader.
    pub leader: Instant,
}

/// All that was asked for in a run, and what the answers may be judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The calls, in the order in which they were made; the number of a call is its place.
    pub calls: Vec<Record>,
    /// What watches and listings told, in the order in which they were begun.
    pub watches: Vec<Watched>,
    /// When everything had come to rest: what a live watch has not told by then it never tells.
    pub rest: Option<Instant>,
    /// When an administrator removed revisions.
    pub purges: Vec<Instant>,
    /// How old answers can be, from time to time; empty if always up to date.
    pub views: Vec<View>,
    /// Whether changes are agreed upon by several servers: a condition that held when a write was proposed
    /// may then have ended with its revision before the write was committed.
    pub replicated: bool,
    /// Whether the servers are so old that a replicated stream takes a condition on a key without any
    /// revision for one whose revision has just ended (up to 2.11).
    pub lenient: bool,
    /// Whether the servers are so old that several filters are covered by a wider one (up to 2.14): a watch
    /// then also goes on behind what it was sent and did not want.
    pub covered: bool,
    /// Whether clients forget how far keys have come: then they have no more than a leader's word.
    pub forgetful: bool,
    /// Whether the newest revision of a key can end before older ones do, which then show again.
    pub resurfaces: bool,
    /// Whether a client may not ask the leader: what it finds out after a conflict is then some replica's
    /// word.
    pub leader_denied: bool,
    /// Whether some permission was taken away.
    pub denied: bool,
    /// Whether some reply came twice.
    pub echoes: bool,
    /// Whether something else came in place of a reply.
    pub garbled: bool,
}

impl History {
    /// The record of a call.
    pub(crate) fn record(&mut self, id: CallId) -> Option<&mut Record> {
        self.calls.get_mut(usize::try_from(id.0).ok()?)
    }

    /// Makes a record.
    pub(crate) fn begin(&mut self, client: usize, key: u8, call: Call, now: Instant) -> CallId {
        let id = self.next_id();
        self.calls.push(Record::new(id, client, key, call, now));
        id
    }

    /// The number of the call that comes next.
    pub(crate) fn next_id(&self) -> CallId {
        CallId(u32::try_from(self.calls.len()).unwrap_or(u32::MAX))
    }

    /// Notes how old answers can be from now on.
    pub(crate) fn see(&mut self, view: View) {
        let same = |last: &View| last.replicas == view.replicas && last.leader == view.leader;
        if !self.views.last().is_some_and(same) {
            self.views.push(view);
        }
    }

    /// How old what is read between two moments can be.
    pub(crate) fn oldest_view(&self, from: Instant, to: Instant, leader: bool) -> Instant {
        let first = self
            .views
            .partition_point(|view| view.from <= from)
            .saturating_sub(1);
        let during = self
            .views
            .iter()
            .skip(first)
            .take_while(|view| view.from <= to);
        // Without direct reads any read is the leader's.
        let shown = during.map(|view| {
            if leader {
                view.leader
            } else {
                view.leader.min(view.replicas)
            }
        });
        shown.min().map_or(from, |shown| shown.min(from))
    }
}
