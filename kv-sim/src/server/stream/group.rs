//! The replicas of a stream: one leads, the others follow.
//!
//! ```text
//! leader's store ──steps──► a queue for each follower ──after its lag──► that follower's store
//! ```
//!
//! A follower's store is always what the leader's was at some earlier moment. The leader's own store is
//! the stream's; while nobody leads it stands for what is committed, and whoever is elected goes on from it.

use std::collections::{BTreeMap, VecDeque};

use kv_proto::Instant;

use super::leadership::recount;
use super::store::{Step, Store};
use crate::server::consumer::Consumer;
use crate::server::peers::{Peers, QUORUM_LOST_AFTER};

/// What a stream can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// All is well.
    Led,
    /// The leader has no majority and does not know yet: nothing is committed.
    Stalled,
    /// Nobody leads.
    Leaderless,
    /// No replica is up.
    Offline,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) server: usize,
    pub(super) up: bool,
    /// The leader's is the stream's own.
    pub(super) store: Option<Store>,
    /// Steps with the times at which they are due, and at which the leader took them.
    queue: VecDeque<(Instant, Instant, Step)>,
    /// It missed steps and must be copied from the leader, which happens then.
    pub(super) behind: bool,
    catches_up_at: Option<Instant>,
    /// After a start it answers nobody before it has caught up.
    pub(super) joining: bool,
    /// Up to this sequence it knows only ids of messages that are stored.
    pub(super) restarted_at: u64,
}

impl Member {
    fn new(server: usize, store: Option<Store>) -> Self {
        Self {
            server,
            up: true,
            store,
            queue: VecDeque::new(),
            behind: false,
            catches_up_at: None,
            joining: false,
            restarted_at: 0,
        }
    }

    /// Whether it is a whole replica with nothing to apply at that moment.
    fn is_at_rest(&self, now: Instant) -> bool {
        self.answers() && self.queue.front().is_none_or(|(due, ..)| *due > now)
    }

    fn answers(&self) -> bool {
        self.up && !self.joining && !self.behind
    }

    /// Becomes equal to a store, whatever was to be repeated.
    pub(super) fn become_equal(&mut self, store: Option<Store>) {
        self.store = store;
        self.queue.clear();
        (self.behind, self.catches_up_at) = (false, None);
    }
}

/// All replicas.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) members: Vec<Member>,
    pub(super) leader: Option<usize>,
    /// When somebody will be elected.
    pub(super) elects_at: Option<Instant>,
    /// When a leader without a majority gives up.
    pub(super) gives_up_at: Option<Instant>,
    /// An old leader that still answers, for so long, with what it has.
    pub(super) old_leader: Option<(Instant, Store)>,
}

impl Group {
    /// Replicas on these servers, of which the first leads.
    pub(crate) fn new(servers: &[usize], store: &Store) -> Self {
        let leader = servers.first().copied();
        let members = servers.iter().map(|server| {
            let follows = leader != Some(*server);
            Member::new(*server, follows.then(|| store.replica()))
        });
        Self {
            members: members.collect(),
            leader,
            elects_at: None,
            gives_up_at: None,
            old_leader: None,
        }
    }

    pub(crate) fn is_replicated(&self) -> bool {
        self.members.len() > 1
    }

    pub(crate) fn servers(&self) -> Vec<usize> {
        self.members.iter().map(|member| member.server).collect()
    }

    pub(crate) fn leader(&self) -> Option<usize> {
        self.leader
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.leader {
            _ if self.members.iter().all(|member| !member.up) => Standing::Offline,
            None => Standing::Leaderless,
            Some(_) if self.has_majority() => Standing::Led,
            Some(_) => Standing::Stalled,
        }
    }

    /// Whether a leader will come by itself.
    pub(crate) fn has_election(&self) -> bool {
        self.elects_at.is_some()
    }

    pub(super) fn has_majority(&self) -> bool {
        self.members.iter().filter(|member| member.up).count() > self.members.len() / 2
    }

    /// The store of a replica that answers a client of that server; `None` when no replica can.
    pub(crate) fn reader<'a>(
        &'a self,
        own: &'a Store,
        server: usize,
        peers: &mut Peers,
    ) -> Option<&'a Store> {
        let ready: Vec<&Member> = self.members.iter().filter(|one| one.answers()).collect();
        let near = ready
            .iter()
            .find(|member| member.server == server && peers.replication.prefers_own_server);
        let member = match near {
            Some(member) => *member,
            None => peers.pick(&ready)?,
        };
        Some(member.store.as_ref().unwrap_or(own))
    }

    /// Lets the followers repeat what was done to the leader's store.
    pub(super) fn spread(&mut self, steps: &[Step], now: Instant, peers: &mut Peers) {
        let leader = self.leader;
        let followers = self.members.iter_mut();
        for member in followers.filter(|member| leader != Some(member.server)) {
            if !member.up {
                member.behind = true;
                member.queue.clear();
            }
            if member.behind {
                continue;
            }
            for step in steps {
                let before = member.queue.back().map_or(now, |(due, ..)| *due);
                let due = before.max(now + peers.delay(peers.replication.lag));
                member.queue.push_back((due, now, step.clone()));
            }
        }
    }

    /// Applies at the followers what is due.
    pub(super) fn follow(
        &mut self,
        own: &Store,
        consumers: &mut BTreeMap<String, Consumer>,
        now: Instant,
        peers: &mut Peers,
    ) {
        let led = self.leader.is_some();
        for member in self.members.iter_mut().filter(|member| member.up) {
            if !led {
                member.catches_up_at = None;
            }
            if peers.held_until(member.server) > now {
                continue;
            }
            if member.behind && led {
                let delay = peers.delay(peers.replication.lag);
                let due = *member.catches_up_at.get_or_insert(now + delay);
                if due <= now {
                    member.become_equal(Some(own.replica()));
                    recount(consumers, member.server, own);
                }
            }
            let due = member.queue.partition_point(|(due, ..)| *due <= now);
            for (.., step) in member.queue.drain(..due) {
                let Some(store) = &mut member.store else {
                    continue;
                };
                if let Step::Noticed(notice) = &step {
                    let all = consumers.values_mut();
                    let local = all.filter(|one| one.home == member.server);
                    local.for_each(|consumer| consumer.notice(notice, store));
                }
                store.repeat(step);
            }
            member.joining &= !led || member.behind || !member.queue.is_empty();
        }
    }

    /// Whether the followers have nothing to apply at that moment.
    pub(super) fn is_at_rest(&self, now: Instant) -> bool {
        self.leader.is_some() && self.members.iter().all(|member| member.is_at_rest(now))
    }

    /// When a follower applies something next.
    pub(super) fn next_step(&self, peers: &Peers) -> Option<Instant> {
        let live = self.members.iter().filter(|member| member.up);
        let led = self.leader.is_some();
        let dues = live.filter_map(|member| {
            let own = member.queue.front().map(|(due, ..)| *due);
            let copied = member.catches_up_at.filter(|_| led);
            let due = own.into_iter().chain(copied).min()?;
            Some(due.max(peers.held_until(member.server)))
        });
        dues.min()
    }

    /// Begins or ends a leader's wait for its followers.
    pub(super) fn watch_majority(&mut self, now: Instant) {
        if self.leader.is_none() || self.has_majority() {
            self.gives_up_at = None;
        } else {
            let at = now + QUORUM_LOST_AFTER;
            self.gives_up_at.get_or_insert(at);
        }
    }

    pub(super) fn set_down(&mut self, server: usize) -> bool {
        let Some(member) = self.member_mut(server).filter(|member| member.up) else {
            return false;
        };
        member.up = false;
        member.catches_up_at = None;
        true
    }

    /// Starts a replica, which has lost its store or not; true if it was down.
    pub(super) fn set_up(
        &mut self,
        server: usize,
        lost: Option<Store>,
        peers: &mut Peers,
        now: Instant,
    ) -> bool {
        let Some(member) = self.member_mut(server).filter(|member| !member.up) else {
            return false;
        };
        (member.up, member.joining) = (true, true);
        if let Some(empty) = lost {
            member.become_equal(Some(empty));
            member.behind = true;
        }
        let due = now + peers.delay(peers.replication.lag);
        for (at, ..) in &mut member.queue {
            *at = (*at).max(due);
        }
        member.restarted_at = member.store.as_ref().map_or(0, Store::last_seq);
        true
    }

    /// Takes more replicas, or gives some up; the leader stays.
    pub(crate) fn resize(&mut self, servers: &[usize]) {
        self.members
            .retain(|member| servers.contains(&member.server));
        for server in servers {
            if self.member_mut(*server).is_none() {
                let mut member = Member::new(*server, None);
                (member.behind, member.joining) = (true, true);
                self.members.push(member);
            }
        }
    }

    pub(super) fn member_mut(&mut self, server: usize) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.server == server)
    }

    /// The store of the replica on a server.
    pub(crate) fn store_at<'a>(&'a self, server: usize, own: &'a Store) -> &'a Store {
        let member = self.members.iter().find(|member| member.server == server);
        let store = member.and_then(|member| member.store.as_ref());
        store.unwrap_or(own)
    }

    /// The servers whose replicas are up and whole.
    pub(crate) fn live_servers(&self) -> Vec<usize> {
        let live = self.members.iter().filter(|member| member.answers());
        live.map(|member| member.server).collect()
    }

    /// The lowest sequence that a live replica has applied.
    pub(crate) fn lowest_applied(&self, own: &Store) -> Option<u64> {
        let live = self.members.iter().filter(|member| member.up);
        let applied = live.map(|member| member.store.as_ref().unwrap_or(own).last_seq());
        applied.min()
    }

    /// The moment whose state the replica shows that is farthest behind of those that answer; `None` when
    /// all show the present one.
    pub(crate) fn shows(&self) -> Option<Instant> {
        let answering = self.members.iter().filter(|member| member.answers());
        answering
            .filter_map(|member| member.queue.front().map(|(_, taken, _)| *taken))
            .min()
    }

    /// The replicas besides the leader's, as answers show them: server, whether it is up, whether it has everything, how many
    /// steps it lacks.
    pub(crate) fn followers(
        &self,
        leader: Option<usize>,
    ) -> impl Iterator<Item = (usize, bool, bool, usize)> {
        let others = self.members.iter();
        let others = others.filter(move |member| leader != Some(member.server));
        others.map(|member| {
            let current = member.up && !member.behind && member.queue.is_empty();
            (member.server, member.up, current, member.queue.len())
        })
    }
}
