//! What can be asked of a session.

use alloc::boxed::Box;
use core::time::Duration;

use bytes::Bytes;

use super::{Life, Session};
use crate::error::{BucketError, Refused, WriteError};
use crate::kv::Machine;
use crate::kv::binding::Binding;
use crate::kv::config::BucketConfig;
use crate::kv::entry::{Entry, Revision};
use crate::kv::floors::Floor;
use crate::kv::list::{List, NamesPage, StatusPage, What};
use crate::kv::manage::{Goal, Manage};
use crate::kv::read::Read;
use crate::kv::status::BucketStatus;
use crate::kv::write::{Identity, Kind, Write};
use crate::name::{BucketName, Key};
use crate::op::{Elapsed, Op, OpId, Output, Phase, Running};
use crate::options::{
    CallOptions, CreateOptions, DeleteOptions, GetOptions, PurgeOptions, PutOptions,
};
use crate::tally::Tally;
use crate::time::Instant;
use crate::timer::Reason;

/// How long an answer is waited for to what the session asks for itself. The
/// deadlines of callers say nothing about how slow servers are.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Writes.
///
/// Each returns a ticket at once, or the error if nothing will be sent.
/// [`WriteError`] says of every failure whether the write can have had an
/// effect.
impl Session {
    /// Stores a value under a key, whatever was there.
    ///
    /// A put is sent at most once: when its acknowledgement is lost, its
    /// outcome is [`WriteError::Unknown`]. Use [`update`](Self::update) for
    /// what must not be overwritten.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotApplied`] if it is refused, or the time to live is
    /// below a second or not allowed in this bucket.
    pub fn put(
        &mut self,
        now: Instant,
        bucket: &Binding,
        key: Key,
        value: Bytes,
        options: PutOptions,
    ) -> Result<Op<Revision>, WriteError> {
        let PutOptions { timeout, ttl } = options;
        self.write(now, bucket, key, value, Kind::Put, None, ttl, timeout)
    }

    /// Stores a value under a key that has none: one that never existed, or
    /// whose last revision is a tombstone.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotApplied`] if it is refused, or the time to live is
    /// below a second or not allowed in this bucket.
    pub fn create(
        &mut self,
        now: Instant,
        bucket: &Binding,
        key: Key,
        value: Bytes,
        options: CreateOptions,
    ) -> Result<Op<Revision>, WriteError> {
        let CreateOptions { timeout, ttl } = options;
        self.write(now, bucket, key, value, Kind::Create, None, ttl, timeout)
    }

    /// Stores a value under a key whose last revision is `expected`; 0 stands
    /// for a key without any revision, not even a tombstone.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotApplied`] if it is refused, or the time to live is
    /// below a second or not allowed in this bucket.
    pub fn update(
        &mut self,
        now: Instant,
        bucket: &Binding,
        key: Key,
        value: Bytes,
        expected: Revision,
        options: PutOptions,
    ) -> Result<Op<Revision>, WriteError> {
        let PutOptions { timeout, ttl } = options;
        let expect = Some(expected);
        self.write(now, bucket, key, value, Kind::Put, expect, ttl, timeout)
    }

    /// Puts a tombstone on a key; older revisions stay as history.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotApplied`] with the [`Refused`] reason.
    pub fn delete(
        &mut self,
        now: Instant,
        bucket: &Binding,
        key: Key,
        options: DeleteOptions,
    ) -> Result<Op<Revision>, WriteError> {
        let DeleteOptions { timeout, expect } = options;
        self.write(
            now,
            bucket,
            key,
            Bytes::new(),
            Kind::Delete,
            expect,
            None,
            timeout,
        )
    }

    /// Puts a tombstone on a key and removes its history.
    ///
    /// # Errors
    ///
    /// [`WriteError::NotApplied`] if it is refused, or the time to live is
    /// below a second or not allowed in this bucket.
    pub fn purge(
        &mut self,
        now: Instant,
        bucket: &Binding,
        key: Key,
        options: PurgeOptions,
    ) -> Result<Op<Revision>, WriteError> {
        let PurgeOptions {
            timeout,
            expect,
            ttl,
        } = options;
        self.write(
            now,
            bucket,
            key,
            Bytes::new(),
            Kind::Purge,
            expect,
            ttl,
            timeout,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "what five requests differ in")]
    fn write(
        &mut self,
        now: Instant,
        bucket: &Binding,
        key: Key,
        value: Bytes,
        kind: Kind,
        expect: Option<Revision>,
        ttl: Option<Duration>,
        timeout: Option<Duration>,
    ) -> Result<Op<Revision>, WriteError> {
        let conditional = kind == Kind::Create || expect.is_some();
        let named = conditional && self.config.message_ids;
        let reached = self.floors.end_of(bucket);
        let identity = named.then(|| Identity::new(&mut self.rng, self.now.max(now), reached));
        let write = Write::new(bucket.clone(), key, value, kind, expect, ttl, identity)
            .map_err(WriteError::NotApplied)?;
        let id = self.start(now, Machine::Write(write), timeout)?;
        Ok(Op::new(id))
    }
}

/// Reads.
impl Session {
    /// Reads the last revision of a key, or another one; a tombstone is
    /// returned as an entry, a key without any revision as `None`.
    ///
    /// Any replica may answer, so another client's latest write can be
    /// missing: see [`GetOptions::leader`]. What this client wrote or read of the
    /// key, with its end known when it asks, is never missing:
    /// [`ReadError::Stale`](crate::ReadError::Stale) comes instead.
    ///
    /// # Errors
    ///
    /// [`Refused`] by this session.
    pub fn get(
        &mut self,
        now: Instant,
        bucket: &Binding,
        key: Key,
        options: GetOptions,
    ) -> Result<Op<Option<Entry>>, Refused> {
        let id = if options.read.revision == Some(Revision::new(0)) {
            // 0 stands for "no revision" everywhere, so there is nothing to ask.
            self.start_ended(now, Output::Read(Ok(None)))?
        } else {
            let floor = if options.read.any_age || options.read.revision.is_some() {
                Floor::default()
            } else {
                self.floors.of(bucket, &key)
            };
            let replicas = !self.answerers.has_stranger(bucket);
            let read = Read::new(bucket.clone(), key, options.read, floor, replicas);
            self.start(now, Machine::Read(read), options.timeout)?
        };
        Ok(Op::new(id))
    }
}

/// Buckets.
impl Session {
    /// Opens a bucket that exists.
    ///
    /// # Errors
    ///
    /// [`BucketError::Refused`] by this session.
    pub fn open(
        &mut self,
        now: Instant,
        bucket: &BucketName,
        options: CallOptions,
    ) -> Result<Op<Binding>, BucketError> {
        self.manage(now, bucket, Goal::Open, options).map(Op::new)
    }

    /// Creates a bucket and opens it. One that exists with the very same
    /// configuration is opened.
    ///
    /// # Errors
    ///
    /// [`BucketError::InvalidConfig`] before anything is sent, or
    /// [`BucketError::Refused`].
    pub fn create_bucket(
        &mut self,
        now: Instant,
        config: BucketConfig,
        options: CallOptions,
    ) -> Result<Op<Binding>, BucketError> {
        let bucket = valid_name(&config)?;
        self.manage(now, &bucket, Goal::Create(config), options)
            .map(Op::new)
    }

    /// Changes the configuration of a bucket that exists. What this client
    /// does not know of it is kept.
    ///
    /// # Errors
    ///
    /// [`BucketError::InvalidConfig`] before anything is sent, or
    /// [`BucketError::Refused`].
    pub fn update_bucket(
        &mut self,
        now: Instant,
        config: BucketConfig,
        options: CallOptions,
    ) -> Result<Op<Binding>, BucketError> {
        let bucket = valid_name(&config)?;
        self.manage(now, &bucket, Goal::Update(config), options)
            .map(Op::new)
    }

    /// Changes the configuration of a bucket, or creates it.
    ///
    /// # Errors
    ///
    /// [`BucketError::InvalidConfig`] before anything is sent, or
    /// [`BucketError::Refused`].
    pub fn create_or_update_bucket(
        &mut self,
        now: Instant,
        config: BucketConfig,
        options: CallOptions,
    ) -> Result<Op<Binding>, BucketError> {
        let bucket = valid_name(&config)?;
        self.manage(now, &bucket, Goal::CreateOrUpdate(config), options)
            .map(Op::new)
    }

    /// Deletes a bucket with everything in it.
    ///
    /// # Errors
    ///
    /// [`BucketError::Refused`] by this session.
    pub fn delete_bucket(
        &mut self,
        now: Instant,
        bucket: &BucketName,
        options: CallOptions,
    ) -> Result<Op<()>, BucketError> {
        self.manage(now, bucket, Goal::Delete, options).map(Op::new)
    }

    /// Asks the server for a bucket's state and configuration.
    ///
    /// # Errors
    ///
    /// [`BucketError::Refused`] by this session.
    pub fn status(
        &mut self,
        now: Instant,
        bucket: &BucketName,
        options: CallOptions,
    ) -> Result<Op<BucketStatus>, BucketError> {
        self.manage(now, bucket, Goal::Status, options).map(Op::new)
    }

    /// Lists bucket names, one page from `offset` (0 first, then
    /// [`NamesPage::next`]).
    ///
    /// # Errors
    ///
    /// [`BucketError::Refused`] by this session.
    pub fn bucket_names(
        &mut self,
        now: Instant,
        offset: u64,
        options: CallOptions,
    ) -> Result<Op<NamesPage>, BucketError> {
        let list = Machine::List(List::new(self.config.api.clone(), What::Names, offset));
        Ok(Op::new(self.start(now, list, options.timeout)?))
    }

    /// Lists bucket statuses, one page from `offset` (0 first, then
    /// [`StatusPage::next`]).
    ///
    /// # Errors
    ///
    /// [`BucketError::Refused`] by this session.
    pub fn bucket_statuses(
        &mut self,
        now: Instant,
        offset: u64,
        options: CallOptions,
    ) -> Result<Op<StatusPage>, BucketError> {
        let list = Machine::List(List::new(self.config.api.clone(), What::Statuses, offset));
        Ok(Op::new(self.start(now, list, options.timeout)?))
    }

    fn manage(
        &mut self,
        now: Instant,
        bucket: &BucketName,
        goal: Goal,
        options: CallOptions,
    ) -> Result<OpId, BucketError> {
        let manage = Manage::new(self.config.api.clone(), bucket, goal);
        let manage = Machine::Manage(Box::new(manage));
        Ok(self.start(now, manage, options.timeout)?)
    }
}

/// Time.
impl Session {
    /// Ends after a while, or when the session ends.
    ///
    /// # Errors
    ///
    /// [`Refused`] by this session.
    pub fn sleep(&mut self, now: Instant, duration: Duration) -> Result<Op<Elapsed>, Refused> {
        let id = self.start(now, Machine::Sleep, Some(duration))?;
        Ok(Op::new(id))
    }
}

impl Session {
    /// Accepts a request whose result is known.
    fn start_ended(&mut self, now: Instant, output: Output) -> Result<OpId, Refused> {
        self.advance_to(now);
        self.check_room(0)?;
        let id = self.ops.insert(Running {
            machine: None,
            phase: Phase::Waiting,
            deadline: None,
            pause: None,
            held: 0,
            asked: self.now,
            repeated: false,
            hinted: false,
            internal: false,
        });
        self.end(id, output);
        Ok(id)
    }

    /// Starts what the session asks for itself: there is always room for it,
    /// as each watch asks one thing at a time and deletions are counted.
    pub(super) fn start_internal(&mut self, machine: Machine) -> OpId {
        self.start_internal_within(machine, ANSWER_TIMEOUT)
    }

    /// The same, with a deadline.
    pub(super) fn start_internal_within(&mut self, machine: Machine, timeout: Duration) -> OpId {
        let held = machine.weight();
        self.pending_bytes.raise(held);
        let id = self.ops.insert(Running {
            machine: Some(machine),
            phase: Phase::Waiting,
            deadline: None,
            pause: None,
            held,
            asked: self.now,
            repeated: false,
            hinted: false,
            internal: true,
        });
        let at = self.now + timeout;
        let timer = self.timers.arm(at, Reason::Deadline(id));
        if let Some(running) = self.ops.get_mut(id) {
            running.deadline = Some(timer);
        }
        self.waiting.push_back(id);
        id
    }

    fn check_room(&self, weight: usize) -> Result<(), Refused> {
        if matches!(self.life, Life::Closing(_) | Life::Closed(_)) {
            return Err(Refused::Closed);
        }
        let limits = &self.config.limits;
        let taken = self.pending_bytes.saturating_add(self.filter_bytes);
        let room = limits.max_pending_bytes.saturating_sub(taken);
        if self.ops.asked_for() >= limits.max_ops || weight > room {
            return Err(Refused::Full);
        }
        Ok(())
    }

    pub(super) fn start(
        &mut self,
        now: Instant,
        machine: Machine,
        timeout: Option<Duration>,
    ) -> Result<OpId, Refused> {
        self.advance_to(now);
        let weight = machine.weight();
        self.check_room(weight)?;
        let works = machine.works();
        let size = machine.request().map_or(0, |request| request.size());
        let server = self
            .active_link()
            .map_or(usize::MAX, |link| link.max_payload());
        let limit = server.min(self.config.limits.max_message);
        if size > limit {
            return Err(Refused::TooLarge { size, limit });
        }
        let id = self.ops.insert(Running {
            machine: Some(machine),
            phase: Phase::Waiting,
            deadline: None,
            pause: None,
            held: weight,
            asked: self.now,
            repeated: false,
            hinted: false,
            internal: false,
        });
        self.pending_bytes.raise(weight);
        let at = self.now + timeout.unwrap_or(self.config.request_timeout);
        let timer = self.timers.arm(at, Reason::Deadline(id));
        if let Some(running) = self.ops.get_mut(id) {
            running.deadline = Some(timer);
        }
        if works {
            self.waiting.push_back(id);
            self.pump();
        }
        Ok(id)
    }
}

fn valid_name(config: &BucketConfig) -> Result<BucketName, BucketError> {
    config.validate()?;
    Ok(config.name()?.clone())
}
