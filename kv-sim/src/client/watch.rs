//! Watches and listings of a client, and how their readers read them.

mod options;

use std::time::Duration;

use kv_proto::{Instant, Position, Update, WatchError, WatchId, WatchState};

use super::Client;
use super::told::of_watch;
use crate::history::{Answer, Asked, Call, CallId, Cause, History, News, Told, Watched};
use crate::oracle::key_of_name;
use crate::scenario::{Purpose, Reader, Watch};

/// A watch or listing that is not over.
#[derive(Debug)]
pub(crate) struct Follower {
    id: WatchId,
    /// The place of its record.
    place: usize,
    pub(crate) call: CallId,
    pub(crate) asked: Asked,
    /// Whether its buffer is so large that nothing ever waits for room in it.
    pub(crate) roomy: bool,
    /// How long the reader rests behind each update.
    pace: Duration,
    /// Behind so many updates it rests once, for so long.
    pause: Option<(u8, Duration)>,
    /// Until when the reader rests; the end of time for one that sleeps.
    rests_until: Instant,
    /// Whether there may be something to read.
    unread: bool,
    read: u8,
    synced: bool,
    /// What it was last seen to do.
    pub(crate) state: WatchState,
    live: Instant,
    /// It was seen to be interrupted after it was confirmed.
    pub(crate) interrupted: bool,
    /// The last entry of what still stands, by its revision and time.
    behind: Option<(u64, kv_proto::Timestamp)>,
}

/// How far a watch of a client had come, as text: positions are there to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Bookmark {
    place: usize,
    text: String,
    behind: Option<(u64, kv_proto::Timestamp)>,
}

/// What became of a client's watches while they were read.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    pub(crate) told: Vec<(CallId, News)>,
    /// What else is worth counting.
    pub(crate) seen: Vec<&'static str>,
    /// Calls that are answered.
    pub(crate) answered: Vec<(CallId, Answer)>,
}

impl Follower {
    /// From now on everything is read at once.
    fn wake(&mut self, now: Instant) {
        self.rests_until = now;
        self.pace = Duration::ZERO;
        self.pause = None;
        // Whoever begins to read looks without a hint.
        self.unread = true;
    }

    /// Whether it is read as soon as there is anything.
    pub(crate) fn is_awake(&self) -> bool {
        self.rests_until < Instant::END
    }

    /// Whether its reader lets updates wait at some moment.
    fn waits_for_reader(&self, now: Instant) -> bool {
        self.unread && self.rests_until > now
    }

    /// Whether it has nothing to catch up with, as far as it can tell.
    pub(crate) fn is_settled(&self, now: Instant) -> bool {
        let waits = self.waits_for_reader(now);
        match self.state {
            WatchState::Live => {
                waits || !self.is_awake() || (self.synced && !self.asked.until_synced)
            }
            WatchState::Ended => waits || !self.is_awake(),
            WatchState::Recovering => waits && !self.roomy,
            WatchState::Opening | _ => false,
        }
    }

    /// How it is doing, for people.
    pub(crate) fn describe(&self) -> String {
        let (call, state, synced) = (self.call.0, self.state, self.synced);
        format!("watch #{call} is {state:?}, synced: {synced}")
    }
}

impl Client {
    /// Begins to watch or to list, and keeps the record; a client without bucket does nothing.
    pub(crate) fn follow(
        &mut self,
        now: Instant,
        watch: Watch,
        history: &mut History,
    ) -> Option<CallId> {
        let binding = self.binding.clone()?;
        let (options, asked) = self.options(watch);
        let call = match watch.purpose {
            Purpose::Watching => Call::Watch,
            Purpose::Listing | Purpose::KeysOnly | Purpose::HistoryOf(_) => Call::List,
        };
        let call = history.begin(self.id, 0, call, now);
        let local = self.local(now);
        match self.session.watch(local, &binding, options) {
            Ok(id) => {
                let place = history.watches.len();
                let mut record = Watched::new(call, self.id, asked.clone(), now);
                record.bound = self.bound_at;
                history.watches.push(record);
                let mut follower = Follower {
                    id,
                    place,
                    call,
                    asked,
                    roomy: watch.buffer == (0, 0) && !self.small_limits,
                    pace: Duration::ZERO,
                    pause: None,
                    rests_until: now,
                    unread: !self.hints,
                    read: 0,
                    synced: false,
                    state: WatchState::Opening,
                    live: now,
                    interrupted: false,
                    behind: None,
                };
                match watch.reader {
                    Reader::Eager => {}
                    Reader::Slow(ms) => follower.pace = millis(ms),
                    Reader::Pausing(0, ms) => follower.rests_until = now + millis(ms),
                    Reader::Pausing(after, ms) => follower.pause = Some((after, millis(ms))),
                    Reader::Asleep => follower.rests_until = Instant::END,
                }
                self.followers.push(follower);
            }
            Err(error) => {
                if let Some(record) = history.record(call) {
                    record.answer = Some((now, Answer::Failed(of_watch(&error))));
                }
            }
        }
        Some(call)
    }

    /// Drops one of the watches and listings that are not over; false if there is none.
    pub(crate) fn unfollow(&mut self, now: Instant, nth: usize, history: &mut History) -> bool {
        if nth >= self.followers.len() {
            return false;
        }
        let follower = self.followers.remove(nth);
        if self.followers.is_empty() {
            self.read_at = Instant::END;
        }
        let local = self.local(now);
        self.session.unwatch(local, follower.id);
        if let Some(record) = history.watches.get_mut(follower.place) {
            record.dropped = Some(now);
        }
        true
    }

    /// The whole client is dropped, or told to close.
    pub(crate) fn end_followers(&mut self, now: Instant, closes: bool, history: &mut History) {
        for follower in &self.followers {
            if let Some(record) = history.watches.get_mut(follower.place) {
                if closes {
                    record.closing = Some(now);
                } else {
                    record.dropped = Some(now);
                }
            }
        }
        if !closes {
            self.followers.clear();
            self.read_at = Instant::END;
        }
    }

    /// Notes that a watch has something to tell.
    pub(super) fn hint(&mut self, id: WatchId) {
        if let Some(follower) = self.followers.iter_mut().find(|one| one.id == id) {
            follower.unread = true;
        }
    }

    /// From now on everything is read at once.
    pub(crate) fn wake_readers(&mut self, now: Instant) {
        for follower in &mut self.followers {
            follower.wake(now);
        }
    }

    /// From now on whoever lists, or follows what has ended, reads at once, where there is little room: what that
    /// has brought can not be asked for again, and is in the way of others until it is read.
    pub(crate) fn make_room(&mut self, now: Instant) {
        let small = self.small_limits;
        let is_kept = |one: &Follower| one.asked.until_synced || one.state == WatchState::Ended;
        let followers = self.followers.iter_mut();
        for follower in followers.filter(|one| small && is_kept(one)) {
            follower.wake(now);
        }
    }

    /// Until when the last reader rests that does not sleep for good.
    pub(crate) fn last_rest(&self) -> Option<Instant> {
        let awake = self.followers.iter().filter(|one| one.is_awake());
        awake.map(|one| one.rests_until).max()
    }

    /// Lets all readers read what they want to.
    pub(crate) fn read_watches(&mut self, now: Instant, history: &mut History) -> Readings {
        let mut readings = Readings::default();
        for mut follower in std::mem::take(&mut self.followers) {
            let Some(record) = history.watches.get_mut(follower.place) else {
                continue;
            };
            let ended = self.read(now, &mut follower, record, &mut readings);
            self.look_at(now, &mut follower, record, &mut readings);
            if ended {
                self.finish(now, &follower, record);
            } else {
                self.followers.push(follower);
            }
        }
        let rests = self.followers.iter().map(|one| one.rests_until);
        self.read_at = rests.filter(|at| *at > now).min().unwrap_or(Instant::END);
        for (call, answer) in &readings.answered {
            if let Some(record) = history.record(*call) {
                record.answer = Some((now, answer.clone()));
            }
        }
        readings
    }

    /// Reads from one watch; true if it is over.
    fn read(
        &mut self,
        now: Instant,
        follower: &mut Follower,
        record: &mut Watched,
        readings: &mut Readings,
    ) -> bool {
        while follower.unread && follower.rests_until <= now {
            let Some(update) = self.session.next_update(follower.id) else {
                follower.unread = !self.hints;
                if self.session.watch_state(follower.id) == Some(WatchState::Live) {
                    follower.live = now;
                }
                return false;
            };
            let news = news_of(update);
            readings.told.push((follower.call, news.clone()));
            let position = self.position_of(follower, &news);
            let told = Told {
                at: now,
                live: follower.live,
                news,
                position,
            };
            let ends = record.ends(&told);
            // A watch that was confirmed has its answer.
            if ends && (record.opened.is_none() || record.asked.until_synced) {
                let answer = match told.news {
                    News::Ended(cause) => Answer::Failed(cause),
                    News::Entry { .. } | News::Damaged { .. } | News::Synced | News::Reset(_) => {
                        Answer::Done
                    }
                };
                readings.answered.push((follower.call, answer));
            }
            record.told.push(told);
            if ends {
                return true;
            }
            follower.read = follower.read.saturating_add(1);
            if !follower.pace.is_zero() {
                follower.rests_until = now + follower.pace;
            }
            if let Some((after, rest)) = follower.pause
                && after == follower.read
            {
                follower.rests_until = now + rest;
                follower.pause = None;
            }
        }
        false
    }

    /// The position behind what was just read, kept as text for later; `None` also for one that does not
    /// survive that.
    fn position_of(&mut self, follower: &mut Follower, news: &News) -> Option<u64> {
        match news {
            News::Entry {
                revision, created, ..
            }
            | News::Damaged {
                revision, created, ..
            } => follower.behind = Some((*revision, *created)),
            News::Reset(_) => (follower.behind, follower.synced) = (None, false),
            News::Synced => follower.synced = true,
            News::Ended(_) => {}
        }
        let position = self.session.position(follower.id)?;
        let text = position.to_string();
        let same = text.parse::<Position>() == Ok(position);
        let place = follower.place;
        self.bookmarks.retain(|one| one.place != place);
        let behind = follower.behind;
        self.bookmarks.push(Bookmark {
            place,
            text,
            behind,
        });
        same.then(|| position.revision().get())
    }

    /// Notes what a watch is doing.
    fn look_at(
        &mut self,
        now: Instant,
        follower: &mut Follower,
        record: &mut Watched,
        readings: &mut Readings,
    ) {
        let Some(state) = self.session.watch_state(follower.id) else {
            return;
        };
        let confirmed = matches!(state, WatchState::Live | WatchState::Recovering);
        if confirmed && record.opened.is_none() {
            record.opened = Some(now);
            if !record.asked.until_synced {
                readings.answered.push((follower.call, Answer::Done));
            }
        }
        match (follower.state, state) {
            (WatchState::Live, WatchState::Recovering) => {
                follower.interrupted = true;
                if !follower.roomy && follower.waits_for_reader(now) {
                    readings.seen.push("paused by its reader");
                }
            }
            (WatchState::Recovering, WatchState::Live) if follower.interrupted => {
                readings.seen.push("resumed");
            }
            _ => {}
        }
        follower.state = state;
    }

    /// Drops a watch that is over; whatever it tells nevertheless is a lie.
    fn finish(&mut self, now: Instant, follower: &Follower, record: &mut Watched) {
        if let Some(update) = self.session.next_update(follower.id) {
            record.told.push(Told {
                at: now,
                live: now,
                news: news_of(update),
                position: None,
            });
        }
        let local = self.local(now);
        self.session.unwatch(local, follower.id);
    }
}

fn news_of(update: Result<Update, WatchError>) -> News {
    match update {
        Ok(Update::Entry(entry)) => News::Entry {
            key: key_of_name(&entry.key).unwrap_or(u8::MAX),
            revision: entry.revision.get(),
            created: entry.created,
            operation: entry.operation,
            value: entry.value,
            length: entry.length,
        },
        Ok(Update::Damaged(damage)) => News::Damaged {
            key: damage.key.and_then(|key| key_of_name(&key)),
            revision: damage.revision.get(),
            created: damage.created,
        },
        Ok(Update::Synced) => News::Synced,
        Ok(Update::Reset(reason)) => News::Reset(reason),
        Ok(_) => News::Ended(Cause::Other),
        Err(error) => News::Ended(of_watch(&error)),
    }
}

fn millis(ms: u16) -> Duration {
    Duration::from_millis(u64::from(ms))
}
