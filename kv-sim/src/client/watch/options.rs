//! From what a scenario asks for to a session's options, and what the judge is told of them.

use std::time::Duration;

use kv_proto::{Key, KeyFilter, Position, Revision, WatchOptions};

use super::millis;
use crate::client::Client;
use crate::history::{Asked, Start};
use crate::scenario::{Purpose, Scope, Since, Watch};

/// How often servers say that a watch, or a listing, is alive, unless it asks for something else.
const HEARTBEAT: Duration = Duration::from_secs(5);
const LISTING_HEARTBEAT: Duration = Duration::from_millis(500);

impl Client {
    /// The options, for the session and for the judge.
    pub(super) fn options(&self, watch: Watch) -> (WatchOptions, Asked) {
        let key = |key: u8| Key::new(&format!("k{key}")).ok();
        let mut scope = watch.scope;
        let mut meta_only = watch.meta_only;
        let mut options = match watch.purpose {
            Purpose::Watching => WatchOptions::default(),
            Purpose::Listing => WatchOptions::default().until_synced(),
            Purpose::KeysOnly => {
                meta_only = true;
                WatchOptions::keys()
            }
            Purpose::HistoryOf(of) => {
                scope = Scope::These(1_u32.checked_shl(u32::from(of)).unwrap_or(0));
                key(of).map_or_else(WatchOptions::default, WatchOptions::history_of)
            }
        };
        let filters = match (watch.purpose, scope) {
            (Purpose::HistoryOf(_), _) | (_, Scope::Every) => Vec::new(),
            (_, Scope::Star) => KeyFilter::new("*").into_iter().collect(),
            (_, Scope::These(bits)) => (0..32)
                .filter(|at| (bits >> at) & 1 == 1)
                .filter_map(|at| key(at).map(KeyFilter::from))
                .collect(),
            (_, Scope::NoKey) => KeyFilter::new("other.>").into_iter().collect(),
        };
        for filter in filters {
            options = options.filter(filter);
        }
        let start;
        (options, start) = self.start(options, watch);
        let mut heartbeat = match watch.purpose {
            Purpose::Watching => HEARTBEAT,
            Purpose::Listing | Purpose::KeysOnly | Purpose::HistoryOf(_) => LISTING_HEARTBEAT,
        };
        if watch.ignore_deletes {
            options = options.ignore_deletes();
        }
        if meta_only {
            options = options.meta_only();
        }
        if watch.heartbeat_ms > 0 {
            heartbeat = millis(watch.heartbeat_ms);
            options = options.heartbeat(heartbeat);
        }
        if watch.patience_ms > 0 {
            options = options.patience(millis(watch.patience_ms));
        }
        if watch.timeout_ms > 0 {
            options = options.timeout(millis(watch.timeout_ms));
        }
        let (entries, bytes) = watch.buffer;
        if watch.buffer != (0, 0) {
            let or_many = |some: u16| if some > 0 { usize::from(some) } else { 1 << 16 };
            options = options.buffer(or_many(entries), or_many(bytes));
        }
        let asked = Asked {
            scope,
            start,
            ignore_deletes: watch.ignore_deletes,
            meta_only,
            until_synced: watch.purpose != Purpose::Watching,
            heartbeat,
            limited: watch.timeout_ms > 0,
        };
        (options, asked)
    }

    fn start(&self, options: WatchOptions, watch: Watch) -> (WatchOptions, Start) {
        if matches!(watch.purpose, Purpose::HistoryOf(_)) {
            return (options, Start::History);
        }
        match watch.since {
            Since::Last => (options, Start::Last),
            Since::History => (options.include_history(), Start::History),
            Since::Now => (options.updates_only(), Start::Updates),
            Since::Revision(back) => {
                let newest = self.seen.values().max().copied().unwrap_or(1);
                let revision = newest.saturating_sub(u64::from(back)).max(1);
                let options = options.from_revision(Revision::new(revision));
                (options, Start::Revision(revision))
            }
            Since::Position(nth) => {
                let kept = self.bookmarks.get(usize::from(nth));
                let position = kept.and_then(|kept| kept.text.parse::<Position>().ok());
                let Some((position, kept)) = position.zip(kept) else {
                    return (options, Start::Last);
                };
                let start = Start::Position {
                    revision: position.revision().get(),
                    behind: kept.behind,
                };
                (options.from_position(position), start)
            }
        }
    }
}
