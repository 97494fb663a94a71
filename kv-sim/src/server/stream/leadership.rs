//! Who leads a stream, from the servers' comings and goings to the election of another leader.

use std::collections::BTreeMap;

use kv_proto::Instant;

use super::group::Standing;
use super::store::{Step, Store};
use super::{Now, Outbox, Stream};
use crate::mutant::{self, Mutant};
use crate::server::consumer::Consumer;
use crate::server::journal::{Change, Journal};
use crate::server::peers::Peers;
use crate::server::replication::{Election, InFlight};

impl Stream {
    /// Moves replication on to this moment.
    pub(crate) fn replicate(
        &mut self,
        now: Now,
        peers: &mut Peers,
        journal: &mut Journal,
        out: &mut Outbox,
    ) {
        self.settle_steps(now.instant, peers, journal); // while those who follow still do
        if self.group.gives_up_at.is_some_and(|due| due <= now.instant) {
            self.lose_leader(drawn(peers));
        }
        if self.group.elects_at.is_some_and(|due| due <= now.instant) {
            self.elect(peers);
        }
        self.commit(now, out);
        self.settle_steps(now.instant, peers, journal);
    }

    /// Hands on what was done to the store: to the journal and to the followers.
    fn settle_steps(&mut self, now: Instant, peers: &mut Peers, journal: &mut Journal) {
        let steps = self.store.take_steps();
        for step in &steps {
            if let Some(change) = told(step) {
                journal.note(now, &self.name, change);
            }
        }
        if self.group.is_replicated() {
            self.group.spread(&steps, now, peers);
            self.group
                .follow(&self.store, &mut self.consumers, now, peers);
        }
    }

    /// When replication moves on by itself.
    pub(super) fn next_replication(&self, peers: &Peers) -> Option<Instant> {
        let group = &self.group;
        let commit = self.next_commit();
        let dues = [
            group.gives_up_at,
            group.elects_at,
            commit,
            group.next_step(peers),
        ];
        dues.into_iter().flatten().min()
    }

    /// Its leader steps down, as a test asks for.
    pub(crate) fn step_down(&mut self, election: Election, now: Instant) {
        if !self.group.is_replicated() || self.group.standing() != Standing::Led {
            return;
        }
        let until = now + election.old_leader_answers;
        self.group.old_leader = (until > now).then(|| (until, self.store.replica()));
        self.lose_leader(election.in_flight);
        self.group.elects_at = Some(now + election.leaderless);
    }

    /// A server stopped that may have had a replica.
    pub(crate) fn server_stopped(
        &mut self,
        server: usize,
        now: Instant,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        if !self.group.set_down(server) {
            return;
        }
        if self.group.leader() == Some(server) {
            self.lose_leader(drawn(peers));
        }
        let replicated = self.group.is_replicated();
        let lost = &mut self.lost_consumers;
        self.consumers.retain(|name, consumer| {
            let lives = consumer.home != server || consumer.survives_stop(replicated);
            if !lives {
                lost.insert(name.clone(), server);
            }
            lives
        });
        let next = self.group.live_servers().first().copied();
        let moving = self.consumers.values_mut();
        for consumer in moving.filter(|one| one.home == server && one.is_replicated()) {
            consumer.home = next.unwrap_or(server);
            consumer.hand_over(out);
            consumer.restart_count(self.group.store_at(consumer.home, &self.store));
        }
        self.reconsider(now, peers);
    }

    /// A server started that may have a replica, with or without what it had in memory.
    pub(crate) fn server_started(
        &mut self,
        server: usize,
        keep_memory: bool,
        now: Now,
        peers: &mut Peers,
    ) {
        let lost = !keep_memory && self.is_in_memory();
        let empty = lost.then(|| Store::new(self.config.storage, self.config.first_seq));
        if !self.group.set_up(server, empty, peers, now.instant) {
            return;
        }
        self.lost_consumers.retain(|_, home| *home != server);
        self.reconsider(now.instant, peers);
        if !self.group.is_replicated() {
            self.restart(now);
        }
    }

    /// Calls for an election where one is possible and wanted.
    fn reconsider(&mut self, now: Instant, peers: &mut Peers) {
        self.group.watch_majority(now);
        if self.group.leader().is_some() {
            return;
        }
        if !self.group.has_majority() {
            self.group.elects_at = None;
        } else if !self.group.is_replicated() {
            self.elect(peers);
        } else if self.group.elects_at.is_none() {
            self.group.elects_at = Some(now + peers.delay(peers.replication.election));
        }
    }

    fn lose_leader(&mut self, in_flight: InFlight) {
        let Some(leader) = self.group.leader.take() else {
            return;
        };
        let store = self.store.replica();
        if let Some(member) = self.group.member_mut(leader) {
            member.become_equal(Some(store));
        }
        self.group.gives_up_at = None;
        self.batches.clear();
        self.abandon_proposals(in_flight);
    }

    /// Makes a replica the leader that has all that is committed, if one lives.
    fn elect(&mut self, peers: &mut Peers) {
        self.group.elects_at = None;
        if !self.group.has_majority() || self.group.leader().is_some() {
            return;
        }
        let live = || self.group.members.iter().filter(|member| member.up);
        let whole: Vec<usize> = live()
            .filter(|member| !member.behind)
            .map(|member| member.server)
            .collect();
        let leader = peers.pick(&whole);
        let Some(leader) = leader.or_else(|| self.best_of_the_incomplete()) else {
            return;
        };
        let last_seq = self.store.last_seq();
        let Some(member) = self.group.member_mut(leader) else {
            return;
        };
        let store = member.store.take();
        let kept = store.filter(|_| member.behind);
        let known = member.restarted_at;
        member.become_equal(None);
        member.joining = false;
        if let Some(kept) = kept {
            self.store.cut(kept.last_seq().min(last_seq));
        }
        self.group.leader = Some(leader);
        recount(&mut self.consumers, leader, &self.store);
        self.last_seq = self.store.last_seq();
        self.forget_unknown_ids(known);
    }

    /// When every replica that lives has missed something: what only the others had is lost.
    fn best_of_the_incomplete(&self) -> Option<usize> {
        let live = self.group.members.iter().filter(|member| member.up);
        let last = |store: &Option<Store>| store.as_ref().map_or(0, Store::last_seq);
        let best = live.max_by_key(|member| last(&member.store))?;
        Some(best.server)
    }

    /// A new leader knows the ids it saw applied, and after a restart those of stored messages.
    fn forget_unknown_ids(&mut self, restarted_at: u64) {
        let store = &self.store;
        self.msg_ids
            .retain(|_, (seq, _)| *seq > restarted_at || store.get(*seq).is_some());
    }

    /// Loses the newest messages on every replica; all servers must be down.
    pub(crate) fn rewind(&mut self, count: u64, now: Instant, journal: &mut Journal) {
        self.store.rewind(count);
        for step in self.store.take_steps() {
            if let Some(change) = told(&step)
                && !mutant::is(Mutant::RewindNotTold)
            {
                journal.note(now, &self.name, change);
            }
        }
        self.group.old_leader = None;
        let leader = self.group.leader();
        for member in &mut self.group.members {
            let follows = leader != Some(member.server);
            member.become_equal(follows.then(|| self.store.replica()));
        }
    }

    /// Whether a leader that is none any more still answers.
    pub(crate) fn answers_as_old_leader(&self, now: Instant) -> bool {
        let old = self.group.old_leader.as_ref();
        old.is_some_and(|(until, _)| *until > now)
    }

    /// The store that answers leader reads.
    pub(crate) fn leader_store(&self, now: Instant) -> &Store {
        match &self.group.old_leader {
            Some((until, store)) if *until > now => store,
            Some(_) | None => &self.store,
        }
    }
}

fn drawn(peers: &mut Peers) -> InFlight {
    if peers.coin() {
        InFlight::Lost
    } else {
        InFlight::CommittedUnacknowledged
    }
}

/// Lets the consumers of a server count afresh, as its replica has changed at once.
pub(super) fn recount(consumers: &mut BTreeMap<String, Consumer>, server: usize, store: &Store) {
    let own = consumers.values_mut().filter(|one| one.home == server);
    own.for_each(|consumer| consumer.restart_count(store));
}

/// What the journal tells of a step.
fn told(step: &Step) -> Option<Change> {
    match step {
        Step::Stored(message) => Some(Change::Stored {
            seq: message.seq,
            subject: message.subject.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
            time: message.time,
        }),
        Step::Removed(seq, why) => Some(Change::Removed {
            seq: *seq,
            why: *why,
        }),
        Step::Rewound(last) => Some(Change::Rewound { last: *last }),
        Step::Skipped(..) | Step::Jumped(_) | Step::Noticed(_) => None,
    }
}
