//! The handle of a bucket: entries are read and written here.

use core::fmt;
use core::future::{Future, IntoFuture};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;

use super::client::Client;
use super::response::Response;
use super::value::IntoValue;
use crate::error::{InvalidKey, ReadError, WriteError};
use crate::kv::binding::Binding;
use crate::kv::entry::{Entry, Revision};
use crate::kv::status::BucketStatus;
use crate::name::{BucketName, Key};
use crate::options::{
    CallOptions, CreateOptions, DeleteOptions, GetOptions, PurgeOptions, PutOptions,
};
use crate::time::Timestamp;

/// An open bucket. Cloning is cheap, and clones share the connection.
///
/// Keys can be given as anything that converts into a [`Key`]; one that breaks
/// the rules of ADR-8 is a typed error before a byte is sent. Each request is
/// a builder that can be awaited.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    binding: Binding,
}

/// A key, or why it is none: checked when the request is made, reported when
/// it is awaited.
pub(super) type Checked = Result<Key, InvalidKey>;

pub(super) fn check<K>(key: K) -> Checked
where
    K: TryInto<Key>,
    InvalidKey: From<K::Error>,
{
    key.try_into().map_err(InvalidKey::from)
}

impl Bucket {
    pub(super) const fn new(client: Client, binding: Binding) -> Self {
        Self { client, binding }
    }

    /// Returns the bucket's name.
    #[must_use]
    pub fn name(&self) -> &BucketName {
        self.binding.name()
    }

    /// Returns when the bucket was created, by the server's clock.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.binding.created()
    }

    /// Returns what the bare [`Session`](crate::Session) takes for this bucket.
    #[must_use]
    pub const fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Returns the client that the bucket was opened with.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Stores a value, whatever was there.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; a put whose acknowledgement is lost is
    /// [`WriteError::Unknown`], as it is never sent twice.
    pub fn put<K>(&self, key: K, value: impl IntoValue) -> Put
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        Put {
            bucket: self.clone(),
            key: check(key),
            value: value.into_value(),
            options: PutOptions::default(),
        }
    }

    /// Stores a value under a key that has none: a new one, or one whose last
    /// revision is a tombstone.
    ///
    /// # Errors
    ///
    /// [`WriteError::Exists`] if the key has a value, and any other [`WriteError`].
    pub fn create<K>(&self, key: K, value: impl IntoValue) -> Create
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        Create {
            bucket: self.clone(),
            key: check(key),
            value: value.into_value(),
            options: CreateOptions::default(),
        }
    }

    /// Stores a value under a key that is still at the given revision.
    ///
    /// # Errors
    ///
    /// [`WriteError::Conflict`] if it is not, and any other [`WriteError`].
    pub fn update<K>(&self, key: K, value: impl IntoValue, expected: Revision) -> UpdateEntry
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        UpdateEntry {
            bucket: self.clone(),
            key: check(key),
            value: value.into_value(),
            expected,
            options: PutOptions::default(),
        }
    }

    /// Puts a tombstone on a key; older revisions stay as history. A key that
    /// does not exist gets one too.
    ///
    /// # Errors
    ///
    /// [`WriteError::Conflict`] if an expected revision was given and the key
    /// is not there, and any other [`WriteError`].
    pub fn delete<K>(&self, key: K) -> Delete
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        Delete {
            bucket: self.clone(),
            key: check(key),
            options: DeleteOptions::default(),
        }
    }

    /// Puts a tombstone on a key and removes all its older revisions.
    ///
    /// # Errors
    ///
    /// As [`delete`](Self::delete).
    pub fn purge<K>(&self, key: K) -> Purge
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        Purge {
            bucket: self.clone(),
            key: check(key),
            options: PurgeOptions::default(),
        }
    }

    /// Reads a value; `None` if the key does not exist or is deleted.
    ///
    /// Any replica may answer, but never with less than this client knows: than
    /// its own writes of the key that were acknowledged, and what it read
    /// before; see [`ReadError::Stale`]. For what others wrote, see
    /// [`Get::leader`].
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn get<K>(&self, key: K) -> Get
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        Get(self.entry(key))
    }

    /// Reads the last revision of a key, or another one; `None` if there is
    /// none. A tombstone is an entry too: look at
    /// [`Operation::is_tombstone`](crate::Operation::is_tombstone).
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn entry<K>(&self, key: K) -> GetEntry
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        GetEntry {
            bucket: self.clone(),
            key: check(key),
            options: GetOptions::default(),
        }
    }

    /// Asks the server for the bucket's state and configuration, each time.
    ///
    /// # Errors
    ///
    /// [`BucketError`](crate::BucketError).
    pub fn status(&self) -> Status {
        Status {
            bucket: self.clone(),
            options: CallOptions::default(),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(self.name()).finish()
    }
}

/// The deadline that every request can be given.
macro_rules! timeout {
    ($($request:ident)*) => {$(
        impl $request {
            /// Sets the deadline of this request, counted from the time it is
            /// awaited: waiting for a connection and all retries together.
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.options.timeout = Some(timeout);
                self
            }
        }
    )*};
}

/// A put; see [`Bucket::put`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct Put {
    bucket: Bucket,
    key: Checked,
    value: Bytes,
    options: PutOptions,
}

/// The time to live that a value can be given.
macro_rules! value_ttl {
    ($($request:ident)*) => {$(
        impl $request {
            /// Lets the value expire after this time, rounded up to whole
            /// seconds, at least one: a lock is renewed so. The bucket must have
            /// [limit markers](crate::BucketConfig::limit_markers) (nats-server
            /// 2.11) and keep one revision of each key, or the request ends with
            /// [`Cause::TtlDisabled`](crate::Cause::TtlDisabled) or
            /// [`Cause::TtlUnderHistory`](crate::Cause::TtlUnderHistory).
            pub fn ttl(mut self, ttl: Duration) -> Self {
                self.options.ttl = Some(ttl);
                self
            }
        }
    )*};
}
value_ttl!(Put UpdateEntry);

/// A create; see [`Bucket::create`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct Create {
    bucket: Bucket,
    key: Checked,
    value: Bytes,
    options: CreateOptions,
}

impl Create {
    /// Lets the entry expire after this time, rounded up to whole seconds, at
    /// least one. The bucket must have
    /// [limit markers](crate::BucketConfig::limit_markers) (nats-server 2.11).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }
}

/// An update; see [`Bucket::update`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct UpdateEntry {
    bucket: Bucket,
    key: Checked,
    value: Bytes,
    expected: Revision,
    options: PutOptions,
}

/// A delete; see [`Bucket::delete`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct Delete {
    bucket: Bucket,
    key: Checked,
    options: DeleteOptions,
}

impl Delete {
    /// Deletes only if this is the key's last revision.
    pub fn expect(mut self, revision: Revision) -> Self {
        self.options.expect = Some(revision);
        self
    }
}

/// A purge; see [`Bucket::purge`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct Purge {
    bucket: Bucket,
    key: Checked,
    options: PurgeOptions,
}

impl Purge {
    /// Purges only if this is the key's last revision.
    pub fn expect(mut self, revision: Revision) -> Self {
        self.options.expect = Some(revision);
        self
    }

    /// Lets the tombstone expire after this time, rounded up to whole seconds,
    /// at least one. The bucket must have
    /// [limit markers](crate::BucketConfig::limit_markers) (nats-server 2.11).
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }
}

/// A read of an entry; see [`Bucket::entry`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct GetEntry {
    bucket: Bucket,
    key: Checked,
    options: GetOptions,
}

impl GetEntry {
    /// Reads this revision instead of the last one; `None` if it is gone, or
    /// belongs to another key.
    pub fn revision(mut self, revision: Revision) -> Self {
        self.options = self.options.revision(revision);
        self
    }

    /// Asks the leader of the bucket's stream instead of any replica: the
    /// answer is at least as new as every write acknowledged before, while
    /// the leadership is stable.
    pub fn leader(mut self) -> Self {
        self.options = self.options.leader();
        self
    }

    /// Takes the first answer, even if it is older than what this client was
    /// told of the key before: see
    /// [`Config::reads_never_go_back`](crate::Config::reads_never_go_back).
    pub fn any_replica(mut self) -> Self {
        self.options = self.options.any_replica();
        self
    }

    fn start(self) -> Reading {
        Reading(self.key.map(|key| {
            Response::start(self.bucket.client.shared(), |session, now| {
                session.get(now, &self.bucket.binding, key, self.options)
            })
        }))
    }
}

/// A read of a value; see [`Bucket::get`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct Get(GetEntry);

impl Get {
    /// Asks the leader of the bucket's stream instead of any replica.
    pub fn leader(self) -> Self {
        Self(self.0.leader())
    }

    /// Takes the first answer, even if it is older than what this client was
    /// told of the key before.
    pub fn any_replica(self) -> Self {
        Self(self.0.any_replica())
    }

    /// Sets the deadline of this request, counted from the time it is awaited.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }
}

/// A status request; see [`Bucket::status`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct Status {
    bucket: Bucket,
    options: CallOptions,
}

timeout!(Put Create UpdateEntry Delete Purge GetEntry Status);

/// A write that is made as soon as it is awaited.
macro_rules! write_request {
    ($($request:ident { $($field:ident),* } => $method:ident($($argument:ident),*);)*) => {$(
        impl IntoFuture for $request {
            type Output = Result<Revision, WriteError>;
            type IntoFuture = Writing;

            fn into_future(self) -> Writing {
                let Self { bucket, key, $($field),* } = self;
                Writing(key.map(|key| {
                    Response::start(bucket.client.shared(), |session, now| {
                        session.$method(now, &bucket.binding, key, $($argument),*)
                    })
                }))
            }
        }
    )*};
}
write_request! {
    Put { value, options } => put(value, options);
    Create { value, options } => create(value, options);
    UpdateEntry { value, expected, options } => update(value, expected, options);
    Delete { options } => delete(options);
    Purge { options } => purge(options);
}

/// A write under way.
#[derive(Debug)]
#[must_use = "dropping it cancels the write"]
pub struct Writing(Result<Response<Revision>, InvalidKey>);

impl Future for Writing {
    type Output = Result<Revision, WriteError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(response) => Pin::new(response).poll(cx),
            Err(invalid) => Poll::Ready(Err(invalid.clone().into())),
        }
    }
}

/// A read under way.
#[derive(Debug)]
#[must_use = "dropping it cancels the read"]
pub struct Reading(Result<Response<Option<Entry>>, InvalidKey>);

impl Future for Reading {
    type Output = Result<Option<Entry>, ReadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(response) => Pin::new(response).poll(cx),
            Err(invalid) => Poll::Ready(Err(invalid.clone().into())),
        }
    }
}

/// A read of a value under way.
#[derive(Debug)]
#[must_use = "dropping it cancels the read"]
pub struct ReadingValue(Reading);

impl Future for ReadingValue {
    type Output = Result<Option<Bytes>, ReadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let live = |entry: Entry| (!entry.operation.is_tombstone()).then_some(entry.value);
        let reading = Pin::new(&mut self.0).poll(cx);
        reading.map(|result| result.map(|entry| entry.and_then(live)))
    }
}

impl IntoFuture for GetEntry {
    type Output = Result<Option<Entry>, ReadError>;
    type IntoFuture = Reading;

    fn into_future(self) -> Reading {
        self.start()
    }
}

impl IntoFuture for Get {
    type Output = Result<Option<Bytes>, ReadError>;
    type IntoFuture = ReadingValue;

    fn into_future(self) -> ReadingValue {
        ReadingValue(self.0.start())
    }
}

impl IntoFuture for Status {
    type Output = Result<BucketStatus, crate::error::BucketError>;
    type IntoFuture = Response<BucketStatus>;

    fn into_future(self) -> Response<BucketStatus> {
        Response::start(self.bucket.client.shared(), |session, now| {
            session.status(now, self.bucket.name(), self.options)
        })
    }
}
