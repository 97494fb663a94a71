//! What a watch is asked for, and what it tells.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use thiserror::Error;

use crate::error::EntryDefect;
use crate::kv::entry::{Entry, Revision};
use crate::name::{Key, KeyFilter};
use crate::time::Timestamp;

/// Most filters of one watch.
pub const MAX_FILTERS: usize = 256;

/// The shortest heartbeat that a server takes (error 10083 below it).
pub(crate) const MIN_HEARTBEAT: Duration = Duration::from_millis(100);

/// How often a server says that a watch is alive when it has nothing else to say.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The same for what is soon over: it bounds how long the end of a listing can
/// be overlooked when entries vanish while they are counted.
const LISTING_HEARTBEAT: Duration = Duration::from_millis(500);

const BUFFERED_ENTRIES: usize = 64 * 1024;
const BUFFERED_BYTES: usize = 8 * 1024 * 1024;

/// What to watch, and from where on (ADR-8).
///
/// Without more said: all keys, the last revision of each first, then every
/// update, tombstones too. Of the calls that say where to start
/// ([`include_history`](Self::include_history),
/// [`updates_only`](Self::updates_only), [`from_revision`](Self::from_revision),
/// [`from_position`](Self::from_position)) the last one counts.
/// [`manual::watching`](crate::manual::watching) says what is promised.
///
/// ```
/// use kv_proto::{KeyFilter, WatchOptions};
///
/// let options = WatchOptions::default()
///     .filter(KeyFilter::new("app.>")?)
///     .ignore_deletes();
/// # let _ = options;
/// # Ok::<(), kv_proto::InvalidFilter>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    pub(crate) filters: Vec<KeyFilter>,
    pub(crate) start: Start,
    pub(crate) ignore_deletes: bool,
    pub(crate) meta_only: bool,
    pub(crate) until_synced: bool,
    pub(crate) heartbeat: Duration,
    pub(crate) patience: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) buffered_entries: usize,
    pub(crate) buffered_bytes: usize,
}

/// Where a watch starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the last revision of every key.
    #[default]
    Last,
    /// With all revisions that the bucket keeps.
    History,
    /// With what is written from now on.
    Updates,
    /// With this revision.
    Revision(Revision),
    /// Behind what was delivered before.
    Position(Position),
}

impl Default for WatchOptions {
    /// All keys: the last revision of each, then every update.
    fn default() -> Self {
        Self {
            filters: Vec::new(),
            start: Start::Last,
            ignore_deletes: false,
            meta_only: false,
            until_synced: false,
            heartbeat: HEARTBEAT,
            patience: None,
            timeout: None,
            buffered_entries: BUFFERED_ENTRIES,
            buffered_bytes: BUFFERED_BYTES,
        }
    }
}

impl WatchOptions {
    /// The last revision of every key without its value, then the end: what a
    /// listing of keys is made of. Tombstones come too.
    #[must_use]
    pub fn keys() -> Self {
        Self::default().meta_only().until_synced()
    }

    /// All revisions of a key that the bucket keeps, then the end.
    #[must_use]
    pub fn history_of(key: Key) -> Self {
        Self::default()
            .filter(key.into())
            .include_history()
            .until_synced()
    }

    /// Watches the keys that match; called again, those of either filter.
    ///
    /// The filters must not overlap, and there are at most [`MAX_FILTERS`]:
    /// otherwise the watch is refused with an [`InvalidWatch`]. Before
    /// nats-server 2.15 the server is given one filter that covers several, and
    /// what it delivers in excess is left out here.
    #[must_use]
    pub fn filter(mut self, filter: KeyFilter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Starts with all revisions that the bucket keeps.
    #[must_use]
    pub const fn include_history(mut self) -> Self {
        self.start = Start::History;
        self
    }

    /// Starts with what is written after the watch was opened;
    /// [`Update::Synced`] comes first. In a cluster, revisions can come that
    /// were written shortly before: the watch begins at the end of the replica
    /// that it reads. After a [`Update::Reset`] the state of all keys comes.
    #[must_use]
    pub const fn updates_only(mut self) -> Self {
        self.start = Start::Updates;
        self
    }

    /// Starts with this revision and all that are kept after it; it need not
    /// exist. Nothing is known of the bucket's earlier life:
    /// [`from_position`](Self::from_position) notices when it was deleted and
    /// created again.
    #[must_use]
    pub const fn from_revision(mut self, revision: Revision) -> Self {
        self.start = Start::Revision(revision);
        self
    }

    /// Goes on behind what an earlier watch of the same bucket, with the same
    /// filters, delivered, in this process or another one.
    #[must_use]
    pub const fn from_position(mut self, position: Position) -> Self {
        self.start = Start::Position(position);
        self
    }

    /// Leaves out tombstones: deletes, purges and the server's markers. Not for
    /// a copy of the bucket, which would keep what was deleted.
    #[must_use]
    pub const fn ignore_deletes(mut self) -> Self {
        self.ignore_deletes = true;
        self
    }

    /// Leaves out the values; [`Entry::length`] tells how long they are.
    #[must_use]
    pub const fn meta_only(mut self) -> Self {
        self.meta_only = true;
        self
    }

    /// Ends when the initial data is complete: [`Update::Synced`] is the last
    /// that is told. In place of [`Update::Reset`] it ends with
    /// [`WatchError::Interrupted`](crate::WatchError::Interrupted). Sets the
    /// heartbeat to 0.5 s.
    #[must_use]
    pub const fn until_synced(mut self) -> Self {
        self.until_synced = true;
        self.heartbeat = LISTING_HEARTBEAT;
        self
    }

    /// Sets how often the server says that it is alive when it has nothing
    /// else to say; after twice this time of silence the watch is made anew.
    /// Default 5 s, or 0.5 s for what ends when it is synced; at least 100 ms.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval.max(MIN_HEARTBEAT);
        self
    }

    /// Sets how long the watch may take to open; for what ends when it is
    /// synced, how long the server may make no progress while there is room to
    /// deliver. The default is
    /// [`Config::request_timeout`](crate::Config::request_timeout).
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Sets a deadline on the whole: the watch ends with
    /// [`WatchError::TimedOut`](crate::WatchError::TimedOut) then, whatever it
    /// was doing. Default: none.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how much may wait for its reader: beyond it the watch pauses, and
    /// goes on from there when all of it was read. Revisions that the bucket
    /// does not keep until then are not told. Default 65,536 entries and 8 MiB,
    /// which count what holds an entry too; a single entry is always let through.
    #[must_use]
    pub const fn buffer(mut self, entries: usize, bytes: usize) -> Self {
        self.buffered_entries = entries;
        self.buffered_bytes = bytes;
        self
    }

    /// Checks what the types cannot.
    pub(crate) fn check(&self) -> Result<(), InvalidWatch> {
        if self.filters.len() > MAX_FILTERS {
            return Err(InvalidWatch::TooManyFilters {
                count: self.filters.len(),
            });
        }
        let mut rest = self.filters.as_slice();
        while let [filter, others @ ..] = rest {
            if let Some(other) = others.iter().find(|other| filter.overlaps(other)) {
                return Err(InvalidWatch::FiltersOverlap {
                    one: filter.clone(),
                    other: other.clone(),
                });
            }
            rest = others;
        }
        Ok(())
    }
}

/// Why options make no watch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidWatch {
    /// Some key would match two filters (server error 10138).
    #[error("filters {one} and {other} overlap")]
    FiltersOverlap {
        /// One filter.
        one: KeyFilter,
        /// The other.
        other: KeyFilter,
    },
    /// There are more filters than [`MAX_FILTERS`].
    #[error("{count} filters are more than {MAX_FILTERS}")]
    TooManyFilters {
        /// How many there are.
        count: usize,
    },
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// A revision of a key.
    Entry(Entry),
    /// A revision that cannot be read as an entry, because of bytes that its
    /// writer put there. The watch goes on.
    Damaged(Damage),
    /// The initial data is complete: every revision to be told that was the last
    /// of its key when the watch was opened, and still is, has been told. Comes
    /// exactly once, also when there is nothing to tell, and once more after
    /// each [`Reset`](Self::Reset).
    Synced,
    /// What was told before no longer stands, for the reason given; the
    /// current state of all keys follows, or their history if the watch began
    /// with it, then [`Synced`](Self::Synced). Keys that were told before the
    /// reset and do not come until then do not exist any more.
    Reset(ResetReason),
}

/// A stored message that is no entry: its value is not known, and what was
/// told of its key before no longer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Its revision.
    pub revision: Revision,
    /// Its key, if its subject is a valid one.
    pub key: Option<Key>,
    /// When it was stored, by the server's clock.
    pub created: Timestamp,
    /// What is wrong with it.
    pub defect: EntryDefect,
}

/// Why a watch had to start over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ResetReason {
    /// The bucket was deleted and created again.
    #[error("bucket was created again")]
    Recreated,
    /// The bucket lost revisions that were delivered, as a server can that
    /// loses its power before it has synced its files.
    #[error("bucket has lost its newest revisions")]
    Rewound,
}

/// What a watch is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WatchState {
    /// No server has confirmed it yet.
    Opening,
    /// A server delivers.
    Live,
    /// It was interrupted and is being made anew, or waits for a connection
    /// or for its reader.
    Recovering,
    /// Nothing follows what is still to be read.
    Ended,
}

/// How far the reader of a watch has come, to go on from there later: in
/// another process too.
///
/// It names the bucket's creation, the last revision that was told and the time
/// of that one, so that a watch that goes on from it notices when the bucket is
/// another one ([`Update::Reset`]). It reads as text and parses from text, to be
/// stored together with what was made of the updates;
/// [`manual::watching`](crate::manual::watching) shows how.
///
/// ```
/// use kv_proto::Position;
///
/// let stored = "2026-11-23T18:48:30.597813130Z/8@2026-11-24T08:00:00.000000000Z";
/// let position: Position = stored.parse()?;
/// assert_eq!(position.revision().get(), 8);
/// assert_eq!(position.to_string(), stored);
/// # Ok::<(), kv_proto::InvalidPosition>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// When the bucket was created: tells its lives apart.
    pub(crate) incarnation: Timestamp,
    pub(crate) cursor: Cursor,
}

/// A place in a bucket's revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cursor {
    pub(crate) revision: Revision,
    /// When that revision was stored, if it was one of the watched keys: the
    /// same number can be given again to another one.
    pub(crate) stored: Option<Timestamp>,
}

impl Position {
    /// Returns the last revision that was delivered.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.cursor.revision
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.incarnation, self.cursor.revision)?;
        match self.cursor.stored {
            Some(stored) => write!(f, "@{stored}"),
            None => Ok(()),
        }
    }
}

/// A text is not a [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a position of a watch")]
#[non_exhaustive]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (incarnation, rest) = text.split_once('/').ok_or(InvalidPosition)?;
        let (revision, stored) = match rest.split_once('@') {
            Some((revision, stored)) => (revision, Some(stored)),
            None => (rest, None),
        };
        let time = |text| Timestamp::parse_rfc3339(text).ok_or(InvalidPosition);
        let revision: u64 = revision.parse().map_err(|_| InvalidPosition)?;
        Ok(Self {
            incarnation: time(incarnation)?,
            cursor: Cursor {
                revision: Revision::new(revision),
                stored: stored.map(time).transpose()?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_position_survives_being_stored() {
        for text in [
            "2026-11-23T18:48:30.597813130Z/8@2026-11-24T08:00:00.000000000Z",
            "2026-11-23T18:48:30.000000000Z/0",
        ] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8",
            "2026-11-23T18:48:30Z",
            "2026-11-23T18:48:30Z/x",
            "x/8",
            "2026-11-23T18:48:30Z/8@",
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }

    #[test]
    fn overlapping_filters_are_named() {
        let filter = |text| KeyFilter::new(text).unwrap();
        let options = WatchOptions::default()
            .filter(filter("a.*"))
            .filter(filter("b"));
        assert_eq!(options.check(), Ok(()));
        assert_eq!(
            options.filter(filter("a.b")).check(),
            Err(InvalidWatch::FiltersOverlap {
                one: filter("a.*"),
                other: filter("a.b"),
            })
        );
    }
}
