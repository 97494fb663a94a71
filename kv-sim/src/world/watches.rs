//! Watches and listings in a run: who begins and drops them, what they tell, and what must be true of them
//! when the storm is over.

use std::time::Duration;

use kv_proto::WatchState;

use super::World;
use crate::scenario::{Purpose, Reader, Scope, Since, Watch};
use crate::violation::Violation;

/// No reader's pause is waited for any longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(40);
/// Servers forget a consumer that nobody listens to after so long, and clients may take as long to make one
/// anew after many failures.
const FORGOTTEN: Duration = Duration::from_secs(30);
const MARGIN: Duration = Duration::from_secs(10);
/// The faults by which servers can act on a request after the next connection's, or take somebody for a
/// listener who is gone.
const DELAYS: &[&str] = &[
    "F-N4 half-open",
    "F-C6 dropped",
    "F-N2 clog",
    "F-S1 restart",
    "F-S1 restart, memory lost",
    "F-S4 election",
];
/// What a consumer's deletion takes that is not lost.
const DELETED: Duration = Duration::from_secs(5);

impl World<'_> {
    pub(super) fn follow(&mut self, client: usize, watch: Watch) {
        let Some(asking) = self.clients.get_mut(client) else {
            return;
        };
        let Some(call) = asking.follow(self.now, watch, &mut self.history) else {
            return;
        };
        self.work.calls += 1;
        for option in options(watch) {
            self.coverage.hit_how("watched", option);
        }
        let slow = match watch.reader {
            Reader::Eager => None,
            Reader::Slow(_) => Some("slow"),
            Reader::Pausing(..) => Some("pausing"),
            Reader::Asleep => Some("asleep"),
        };
        if let Some(how) = slow {
            self.coverage.hit_how("F-C7 slow reader", how);
        }
        self.trace.line(self.now, || {
            format!("client {client} calls #{} {watch:?}", call.0)
        });
        self.scribe.follows(self.now, client, call, watch);
        let record = self.history.record(call);
        let refused = record.and_then(|record| record.answer.clone());
        if let Some((_, answer)) = refused {
            self.told(call, &answer);
        }
        self.check_limits(client);
        self.touch(client);
    }

    pub(super) fn unfollow(&mut self, client: usize, nth: usize) {
        let Some(dropping) = self.clients.get_mut(client) else {
            return;
        };
        let dropped = dropping.followers.get(nth);
        let (state, call) = dropped.map(|one| (one.state, one.call)).unzip();
        if dropping.unfollow(self.now, nth, &mut self.history) {
            self.trace
                .line(self.now, || format!("client {client} drops watch {nth}"));
            if let Some(call) = call {
                self.scribe.gives_up(self.now, call, "dropped");
            }
            self.coverage.hit_how("F-C6 watch dropped", name(state));
            self.touch(client);
        }
    }

    /// Lets readers read; true if anything was read or ended.
    pub(super) fn read_watches(&mut self, client: usize) -> bool {
        let Some(reader) = self.clients.get_mut(client) else {
            return false;
        };
        if reader.followers.is_empty() {
            return false;
        }
        let readings = reader.read_watches(self.now, &mut self.history);
        for point in readings.seen {
            self.coverage.hit_how("watch", point);
        }
        // A watch is opened before it tells anything, a listing is answered behind all of it.
        for (call, answer) in &readings.answered {
            self.scribe.opens(self.now, *call, answer);
        }
        for (call, news) in &readings.told {
            self.scribe.tells(self.now, *call, news);
        }
        for (call, answer) in &readings.answered {
            self.told(*call, answer);
        }
        let any = !readings.told.is_empty();
        for (call, news) in readings.told {
            self.trace.event(self.now, 9, u64::from(call.0));
            self.trace.line(self.now, || {
                format!("    #{} tells client {client}: {news:?}", call.0)
            });
            self.coverage.hit_how("told", news.name());
        }
        self.check_limits(client);
        any
    }

    /// Waits for readers that only make a pause.
    pub(super) fn wait_for_readers(&mut self) {
        let rests = self.clients.iter().filter_map(|client| client.last_rest());
        if let Some(last) = rests.max().filter(|last| *last > self.now) {
            self.run_until(last.min(self.now + LONGEST_PAUSE));
        }
    }

    /// What nobody reads is not in the way of what others want to read.
    pub(super) fn make_room(&mut self) {
        for client in 0..self.clients.len() {
            let Some(one) = self.clients.get_mut(client) else {
                continue;
            };
            one.make_room(self.now);
            if !one.followers.is_empty() {
                self.touch(client);
            }
        }
    }

    /// What recovered although nobody read it is counted; then everybody reads.
    pub(super) fn wake_readers(&mut self) {
        for client in 0..self.clients.len() {
            let Some(woken) = self.clients.get_mut(client) else {
                continue;
            };
            for follower in &woken.followers {
                let recovered = follower.interrupted && follower.state == WatchState::Live;
                if recovered && !follower.is_awake() {
                    self.coverage.hit_how("watch", "unpolled, recovered");
                }
            }
            woken.wake_readers(self.now);
            if !woken.followers.is_empty() {
                self.touch(client);
            }
        }
    }

    /// Whether somebody's watch is not where it should be, and how it is.
    pub(super) fn unsettled_watch(&self, client: usize) -> Option<String> {
        let followers = &self.clients.get(client)?.followers;
        let unsettled = followers.iter().find(|one| !one.is_settled(self.now));
        unsettled.map(|follower| follower.describe())
    }

    /// The longest that a watch needs to notice its loss and to be made anew.
    pub(super) fn time_to_watch(&self) -> Duration {
        let followers = self.clients.iter().flat_map(|client| &client.followers);
        let slowest = followers.map(|follower| follower.asked.heartbeat).max();
        slowest.map_or(Duration::ZERO, |heartbeat| 3 * heartbeat + FORGOTTEN)
    }

    /// Lets all watches tell what there is to tell: from now on they have no excuse.
    pub(super) fn catch_up(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let is_behind = |world: &Self| {
            world.clients.iter().any(|one| !one.followers.is_empty())
                && crate::check::is_behind(&world.history, world.cluster.journal(), world.now)
        };
        self.run_while(self.time_to_watch(), is_behind);
        self.history.rest = Some(self.now);
        if self.violations.is_empty() && is_behind(self) {
            // What it did not tell says more than what the servers lack for it.
            let told = crate::check::check(&self.history, self.cluster.journal());
            told.into_iter().for_each(|broken| self.broken(broken));
        }
    }

    /// How long it may take until servers and clients hold only what they need.
    pub(super) fn time_to_balance(&self) -> Duration {
        self.time_to_watch().max(FORGOTTEN) + MARGIN
    }

    /// What is held and not needed: by clients for what is over, or by servers, whose consumers are those of
    /// live watches.
    pub(super) fn imbalance(&self) -> Option<Violation> {
        let (mut needed, mut deletions) = (0, 0);
        for client in &self.clients {
            let usage = client.session.usage();
            let live = client.followers.iter();
            let live = live.filter(|one| one.state == WatchState::Live).count();
            // What a watch asks for is kept as long as the watch.
            let kept = usage.watches > 0;
            let rest = usage.operations
                + usage.waiting
                + if kept { 0 } else { usage.pending_bytes }
                + usage.result_bytes
                + usage.reply_slots
                + usage.watch_bytes;
            let uneven = usage.consumers != live || usage.watches != client.followers.len();
            if rest > 0 || usage.links > 1 || uneven {
                let what = format!("{live} live watches, and {usage:?}");
                let client = client.id;
                return Some(Violation::Leaked { client, what });
            }
            let mut wires = self.wires.iter();
            let wire = wires.find(|wire| wire.client == client.id && wire.client_open);
            if let Some(conn) = wire.and_then(|wire| wire.conn) {
                // That of the replies, and one for each consumer.
                let (there, needed) = (self.cluster.subscriptions(conn), 1 + usage.consumers);
                if there != needed {
                    let what =
                        format!("{there} subscriptions of client {} for {needed}", client.id);
                    return Some(Violation::LeftBehind { what });
                }
            }
            needed += usage.consumers;
            deletions += usage.deletions;
        }
        let all = self.cluster.consumer_list();
        let (there, unheard) = (
            all.len(),
            all.iter().filter(|one| one.owner.is_none()).count(),
        );
        let what = format!(
            "{there} consumers for {needed}, {unheard} without a listener, {deletions} to be deleted"
        );
        (there != needed || unheard > 0 || (deletions > 0 && self.answers_come_in_time()))
            .then_some(Violation::LeftBehind { what })
    }

    /// Whether a request is answered within the time that clients give it: if not, a consumer's deletion is
    /// never confirmed.
    fn answers_come_in_time(&self) -> bool {
        let profile = &self.scenario.profile;
        let one_way = 2 * profile.net.latency_us + profile.net.quantum_us + profile.clients.lazy_us;
        2 * (one_way + profile.commit_us + profile.lag_us) < 1_000 * profile.clients.request_ms
    }

    /// Whoever closes takes its consumers along.
    pub(super) fn check_no_consumers(&mut self) {
        // One that was made after its deletion had come is left to the servers.
        let overtaken = DELAYS.iter().any(|delay| self.coverage.has(delay));
        let time = if overtaken {
            FORGOTTEN + MARGIN
        } else {
            DELETED
        };
        self.run_while(time, |world| world.cluster.consumers() > 0);
        let consumers = self.cluster.consumers();
        if consumers > 0 && self.violations.is_empty() && !self.scenario.profile.hostile {
            let what = format!("{consumers} consumers after all have closed");
            self.broken(Violation::LeftBehind { what });
        }
    }

    /// How often the timers of a client's watches may have fired.
    pub(super) fn watch_timers(&self, client: usize) -> u64 {
        let watches = self.history.watches.iter();
        let of_client = watches.filter(|watch| watch.client == client);
        let timers = of_client.map(|watch| {
            let end = watch.dropped.unwrap_or(self.now).min(self.now);
            let time = end.saturating_duration_since(watch.called).as_millis();
            let heartbeat = watch.asked.heartbeat.as_millis().max(1);
            100 + 4 * u64::try_from(time / heartbeat).unwrap_or(0)
        });
        timers.sum()
    }
}

fn name(state: Option<WatchState>) -> &'static str {
    match state {
        Some(WatchState::Opening) => "opening",
        Some(WatchState::Live) => "live",
        Some(WatchState::Recovering) => "recovering",
        Some(_) | None => "ended",
    }
}

/// The options of a watch, by name.
fn options(watch: Watch) -> impl Iterator<Item = &'static str> {
    let purpose = match watch.purpose {
        Purpose::Watching => "watching",
        Purpose::Listing => "listing",
        Purpose::KeysOnly => "keys",
        Purpose::HistoryOf(_) => "history of a key",
    };
    let scope = match watch.scope {
        Scope::Every => "no filter",
        Scope::Star => "wildcard",
        Scope::These(bits) if bits.is_power_of_two() => "one filter",
        Scope::These(_) => "several filters",
        Scope::NoKey => "filter without a match",
    };
    let since = match watch.since {
        Since::Last => "last",
        Since::History => "history",
        Since::Now => "updates only",
        Since::Revision(_) => "from revision",
        Since::Position(_) => "from position",
    };
    let reader = match watch.reader {
        Reader::Eager => "eager",
        Reader::Slow(_) => "slow",
        Reader::Pausing(..) => "pausing",
        Reader::Asleep => "asleep",
    };
    let flags = [
        (watch.ignore_deletes, "ignore deletes"),
        (watch.meta_only, "meta only"),
        (watch.buffer != (0, 0), "small buffer"),
        (watch.heartbeat_ms > 0, "short heartbeat"),
        (watch.patience_ms > 0, "patience"),
        (watch.timeout_ms > 0, "deadline"),
    ];
    let flags = flags.into_iter().filter(|(on, _)| *on);
    let named = [purpose, scope, since, reader].into_iter();
    named.chain(flags.map(|(_, name)| name))
}
