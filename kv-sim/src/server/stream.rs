//! A stream: its configuration, its messages, its memory of message ids, its consumers.
//!
//! ```text
//! publish ──checks──► store ──► limits ──► roll-up ──► republish, acknowledgement, consumers
//! ```
//!
//! What it wants sent is pushed to an [`Outbox`]; nothing here knows connections. A replicated stream
//! takes the way through a proposal, and its [`Group`] holds the stores of the followers.

mod admission;
mod ahead;
pub(crate) mod batch;
mod check;
pub(crate) mod config;
mod follow;
pub(crate) mod group;
mod info;
mod leadership;
mod limits;
mod proposal;
mod publish;
mod purge;
mod retention;
pub(crate) mod store;
mod transform;
mod ttl;
pub(crate) mod upstream;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kv_proto::{Instant, Timestamp};

use self::batch::Batches;
use self::config::{Storage, StreamConfig};
use self::group::{Group, Standing};
use self::proposal::Proposal;
use self::store::{Message, Step, Store};
use self::transform::Mappings;
use self::upstream::Upstream;
use super::consumer::{Consumer, Notice};
use super::journal::Removal;
use super::peers::Peers;
use super::version::Version;

pub(crate) use self::publish::{Inbound, extended};

/// A message a part of the server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    /// Whose subscriptions get it.
    pub(crate) to: Bytes,
    /// The subject it shows.
    pub(crate) subject: Bytes,
    pub(crate) reply: Bytes,
    pub(crate) headers: Bytes,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    pub(crate) fn answer(reply: &Bytes, payload: impl Into<Bytes>) -> Self {
        Self {
            to: reply.clone(),
            subject: reply.clone(),
            reply: Bytes::new(),
            headers: Bytes::new(),
            payload: payload.into(),
        }
    }

    pub(crate) fn status(reply: &Bytes, headers: impl Into<Bytes>) -> Self {
        Self {
            headers: headers.into(),
            ..Self::answer(reply, Bytes::new())
        }
    }
}

/// What is to be sent, in order.
pub(crate) type Outbox = VecDeque<Outgoing>;

/// The moment an operation happens, on both clocks, and the behaviour asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) instant: Instant,
    pub(crate) time: Timestamp,
    pub(crate) version: Version,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: Arc<str>,
    pub(crate) config: StreamConfig,
    /// Where acknowledgements say that it is.
    pub(crate) domain: Option<Arc<str>>,
    pub(crate) created: Timestamp,
    pub(crate) store: Store,
    pub(crate) consumers: BTreeMap<String, Consumer>,
    pub(crate) group: Group,
    /// Consumers that went with a server's memory, and which server's.
    pub(crate) lost_consumers: BTreeMap<String, usize>,
    /// The streams it takes messages from: one of a mirror, several of a stream with sources.
    pub(crate) upstreams: Vec<Upstream>,
    mappings: Mappings,
    pub(crate) batches: Batches,
    /// Publishes that are not committed yet.
    proposals: VecDeque<Proposal>,
    /// The sequence conditions are checked against; 2.11 lets it run ahead of the store.
    last_seq: u64,
    last_msg_id: String,
    /// Message id to sequence, 0 while it is under way, and time.
    msg_ids: BTreeMap<String, (u64, Timestamp)>,
    msg_id_order: VecDeque<(Timestamp, String)>,
    /// Ids of stored messages were not looked for since the restart.
    ids_unread: bool,
    /// When the removal of expired messages last ran, as it runs at most every quarter second.
    swept: Instant,
}

impl Stream {
    /// Makes one on these servers, of which the first leads. With `noted`, the journal wants to know.
    pub(crate) fn new(mut config: StreamConfig, servers: &[usize], noted: bool, now: Now) -> Self {
        config.stamp(now.version);
        let mut store = Store::new(config.storage, config.first_seq);
        if noted || servers.len() > 1 {
            store.start_notes();
        }
        let mut out = Self {
            name: config.name.as_str().into(),
            group: Group::new(servers, &store),
            lost_consumers: BTreeMap::new(),
            upstreams: Vec::new(),
            mappings: Mappings::new(&config, now.version),
            batches: Batches::default(),
            proposals: VecDeque::new(),
            domain: None,
            created: now.time,
            last_seq: store.last_seq(),
            store,
            consumers: BTreeMap::new(),
            last_msg_id: String::new(),
            msg_ids: BTreeMap::new(),
            msg_id_order: VecDeque::new(),
            ids_unread: false,
            swept: now.instant,
            config,
        };
        out.set_up_upstreams(now);
        out
    }

    /// Whether a publish on that subject is its.
    pub(crate) fn captures(&self, subject: &[u8]) -> bool {
        let mut subjects = self.config.subjects.iter();
        subjects.any(|pattern| super::subject::matches(subject, pattern.as_bytes()))
    }

    /// Replaces the configuration by one that was checked.
    pub(crate) fn update(&mut self, mut config: StreamConfig, now: Now) {
        config.stamp(now.version);
        let old = std::mem::replace(&mut self.config, config);
        self.mappings = Mappings::new(&self.config, now.version);
        self.set_up_upstreams(now);
        if !self.config.allow_atomic {
            self.batches.clear();
        }
        self.forget_msg_ids(now.time);
        self.enforce_limits(old.max_msgs_per_subject, now.version);
        self.expire(now);
    }

    /// Moves to these servers; the leader stays.
    pub(crate) fn resize(&mut self, servers: &[usize]) {
        if servers.len() > 1 {
            self.store.start_notes();
        }
        self.group.resize(servers);
        let leader = self.group.leader();
        for consumer in self.consumers.values_mut() {
            if let Some(leader) = leader.filter(|_| !servers.contains(&consumer.home)) {
                consumer.home = leader;
                consumer.restart_count(&self.store);
            }
        }
    }

    /// Removes a message, as an administrator or a limit does; consumers learn of it.
    pub(crate) fn remove(&mut self, seq: u64, why: Removal) -> Option<Message> {
        let removed = self.store.remove(seq, why)?;
        self.notify(Notice::Removed(seq, removed.subject.clone()));
        Some(removed)
    }

    /// Removes a message whose subject is unreadable by the time that consumers learn of it.
    fn remove_unnamed(&mut self, seq: u64, why: Removal) -> Option<Message> {
        let removed = self.store.remove(seq, why)?;
        self.notify(Notice::Removed(seq, Bytes::from_static(b"\0")));
        Some(removed)
    }

    /// Removes one message as STREAM.MSG.DELETE does, and perhaps writes over it.
    pub(crate) fn erase(&mut self, seq: u64, over: bool, version: Version) -> Option<Message> {
        let over = over && self.config.storage == Storage::File;
        if over && version.erases_before_it_tells() {
            self.remove_unnamed(seq, Removal::Deleted)
        } else {
            self.remove(seq, Removal::Deleted)
        }
    }

    /// Tells the consumers on the leader's server; those on others learn it when its replica does.
    fn notify(&mut self, notice: Notice) {
        let leader = self.group.leader();
        let all = self.consumers.values_mut();
        for consumer in all.filter(|one| leader == Some(one.home)) {
            consumer.notice(&notice, &self.store);
        }
        if self.group.is_replicated() {
            self.store.note(Step::Noticed(notice));
        }
    }

    /// Forgets what a process keeps only in its memory: ids of messages it no longer stores, and the
    /// consumers in memory.
    pub(crate) fn restart(&mut self, now: Now) {
        if self.config.storage == Storage::File {
            self.store.reopen(self.config.first_seq, now.version);
        }
        self.batches.clear();
        self.upstreams.clear();
        self.set_up_upstreams(now);
        self.msg_ids.clear();
        self.msg_id_order.clear();
        self.last_msg_id.clear();
        self.last_seq = self.store.last_seq();
        self.ids_unread = true;
        if !now.version.reads_ids_late() {
            self.read_msg_ids(now);
        }
        self.consumers
            .retain(|_, consumer| consumer.survives_restart());
        for consumer in self.consumers.values_mut() {
            consumer.restart(&self.config, &self.store, now);
        }
    }

    /// Learns the ids of stored messages, if that was not done since the restart.
    fn read_msg_ids(&mut self, now: Now) {
        if !std::mem::take(&mut self.ids_unread) {
            return;
        }
        let window = self.config.duplicate_window;
        let known: Vec<(String, u64, Timestamp)> = self
            .store
            .iter()
            .filter(|message| nanos_between(message.time, now.time) < window)
            .filter_map(|message| {
                let id = super::header::text(&message.headers, "Nats-Msg-Id")?;
                Some((id.into_owned(), message.seq, message.time))
            })
            .collect();
        for (id, seq, time) in known {
            if seq == self.store.last_seq() {
                self.last_msg_id.clone_from(&id);
            }
            self.remember_msg_id(id, seq, time);
        }
    }

    /// Whether replication and consumers have nothing to do at that moment.
    pub(crate) fn is_at_rest(&self, now: Instant) -> bool {
        let is_later = |due: Option<Instant>| due.is_none_or(|due| due > now);
        let mut first = self.proposals.iter().take(1);
        self.consumers.is_empty()
            && self.store.has_no_steps()
            && first.all(|proposal| proposal.waits(now))
            && is_later(self.group.gives_up_at)
            && is_later(self.group.elects_at)
            && (!self.group.is_replicated() || self.group.is_at_rest(now))
    }

    /// When something will happen by itself.
    pub(crate) fn next_timeout(&self, now: Now, peers: &Peers) -> Option<Instant> {
        let replication = self.next_replication(peers);
        let standing = self.group.standing();
        if standing == Standing::Offline {
            return replication;
        }
        let expiry = self.next_expiry(now).filter(|_| standing == Standing::Led);
        let abandoned = self.batches.next_timeout();
        let followed = self.upstreams.iter().filter_map(Upstream::next_timeout);
        let own = expiry.into_iter().chain(replication);
        let own = own.chain(abandoned).chain(followed);
        let running = self.consumers.values().filter(|one| one.runs(peers));
        let consumers = running.filter_map(Consumer::next_timeout);
        consumers.chain(own).min()
    }

    fn remember_msg_id(&mut self, id: String, seq: u64, time: Timestamp) {
        self.msg_id_order.push_back((time, id.clone()));
        self.msg_ids.insert(id, (seq, time));
    }

    fn forget_msg_ids(&mut self, now: Timestamp) {
        while let Some((time, id)) = self.msg_id_order.front() {
            if nanos_between(*time, now) < self.config.duplicate_window {
                return;
            }
            if self.msg_ids.get(id).is_some_and(|(_, known)| known == time) {
                self.msg_ids.remove(id);
            }
            self.msg_id_order.pop_front();
        }
    }
}

pub(crate) fn nanos_between(earlier: Timestamp, later: Timestamp) -> i64 {
    later
        .as_unix_nanos()
        .saturating_sub(earlier.as_unix_nanos())
}
