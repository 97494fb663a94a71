//! Listings of a bucket: its keys, and the history of one of them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::future::{Future, IntoFuture, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use futures_core::Stream;

use super::bucket::{self, Bucket};
use super::watch::{self, Opening, Watch, add_filter};
use crate::error::{InvalidFilter, InvalidKey, WatchError};
use crate::kv::entry::Entry;
use crate::kv::watch::options::{Damage, Update, WatchOptions};
use crate::name::{Key, KeyFilter};

impl Bucket {
    /// Lists the keys that have a value.
    ///
    /// ```no_run
    /// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), kv_proto::WatchError> {
    /// let all = bucket.keys().collect().await?; // sorted, each once
    /// let some = bucket.keys().filter("app.>").filter("limits.*").collect().await?;
    ///
    /// let mut keys = bucket.keys().await?; // one by one, as they come
    /// while let Some(key) = keys.next().await {
    ///     println!("{}", key?);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WatchError`]; [`WatchError::Interrupted`] if the bucket is created
    /// anew meanwhile.
    pub fn keys(&self) -> Keys {
        Keys {
            bucket: self.clone(),
            options: Ok(WatchOptions::keys()),
        }
    }

    /// Lists the revisions of a key that the bucket keeps, the oldest first:
    /// as many as its history has room for, tombstones among them. None for a
    /// key that never was.
    ///
    /// ```no_run
    /// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), kv_proto::WatchError> {
    /// for entry in bucket.history("app.setting").collect().await? {
    ///     println!("{} {:?} {:?}", entry.revision, entry.operation, entry.value);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WatchError`]; [`WatchError::Interrupted`] if the bucket is created
    /// anew meanwhile.
    pub fn history<K>(&self, key: K) -> History
    where
        K: TryInto<Key>,
        InvalidKey: From<K::Error>,
    {
        History {
            bucket: self.clone(),
            options: bucket::check(key).map(WatchOptions::history_of),
        }
    }
}

/// The two limits that a listing can be given.
macro_rules! limits {
    ($($listing:ident)*) => {$(
        impl $listing {
            /// Sets a deadline on the whole listing, counted from the time it
            /// is awaited. Default: none, as there is no telling how long
            /// it is; see [`patience`](Self::patience).
            pub fn timeout(mut self, timeout: Duration) -> Self {
                self.options = self.options.map(|options| options.timeout(timeout));
                self
            }

            /// Sets how long the servers may make no progress. The default is
            /// [`Config::request_timeout`](crate::Config::request_timeout).
            pub fn patience(mut self, patience: Duration) -> Self {
                self.options = self.options.map(|options| options.patience(patience));
                self
            }
        }
    )*};
}
limits!(Keys History);

/// A listing of keys to be made; see [`Bucket::keys`].
///
/// Awaiting it gives a [`KeyStream`]; [`collect`](Self::collect) gives the
/// whole.
#[derive(Clone, Debug)]
#[must_use = "a listing is made when it is awaited"]
pub struct Keys {
    bucket: Bucket,
    options: watch::Checked,
}

impl Keys {
    /// Lists the keys that match; called again, those of either filter. The
    /// filters must not overlap; at most [`MAX_FILTERS`](crate::MAX_FILTERS).
    pub fn filter<F>(mut self, filter: F) -> Self
    where
        F: TryInto<KeyFilter>,
        InvalidFilter: From<F::Error>,
    {
        self.options = add_filter(self.options, filter);
        self
    }

    /// Collects the whole listing, sorted and each key once.
    ///
    /// It is no snapshot: a key that is written or deleted meanwhile may be on
    /// it or not; all others are exactly those that have a value.
    ///
    /// # Errors
    ///
    /// [`WatchError`].
    pub async fn collect(self) -> Result<Vec<Key>, WatchError> {
        let mut listing = self.await?.0;
        let mut keys = BTreeSet::new();
        while let Some(revision) = poll_fn(|cx| listing.poll(cx)).await {
            match Change::of(revision?) {
                Change::Is(key) => _ = keys.insert(key),
                Change::IsNot(key) => _ = keys.remove(&key),
                Change::Nothing => {}
            }
        }
        Ok(keys.into_iter().collect())
    }
}

impl IntoFuture for Keys {
    type Output = Result<KeyStream, WatchError>;
    type IntoFuture = Opening<KeyStream>;

    fn into_future(self) -> Opening<KeyStream> {
        let options = self.options.map_err(WatchError::from);
        Opening::start(&self.bucket, options, |watch| {
            KeyStream(Listing::new(watch))
        })
    }
}

/// The history of a key to be listed; see [`Bucket::history`].
///
/// Awaiting it gives a [`HistoryStream`]; [`collect`](Self::collect) gives the
/// whole.
#[derive(Clone, Debug)]
#[must_use = "a listing is made when it is awaited"]
pub struct History {
    bucket: Bucket,
    options: Result<WatchOptions, InvalidKey>,
}

impl History {
    /// Collects all revisions that can be read, the oldest first. Those whose
    /// stored message is damaged are left out:
    /// [`HistoryStream::damaged`] tells of them.
    ///
    /// # Errors
    ///
    /// [`WatchError`].
    pub async fn collect(self) -> Result<Vec<Entry>, WatchError> {
        let mut history = self.await?;
        let mut entries = Vec::new();
        while let Some(entry) = history.next().await {
            entries.push(entry?);
        }
        Ok(entries)
    }
}

impl IntoFuture for History {
    type Output = Result<HistoryStream, WatchError>;
    type IntoFuture = Opening<HistoryStream>;

    fn into_future(self) -> Opening<HistoryStream> {
        let options = self.options.map_err(WatchError::from);
        Opening::start(&self.bucket, options, |watch| HistoryStream {
            listing: Listing::new(watch),
            damaged: Vec::new(),
        })
    }
}

/// A watch that ends when it is synced.
#[derive(Debug)]
struct Listing {
    /// Absent when the listing is over.
    watch: Option<Watch>,
}

/// A revision, if it can be read.
type Read = Result<Entry, Damage>;

impl Listing {
    const fn new(watch: Watch) -> Self {
        Self { watch: Some(watch) }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Read, WatchError>>> {
        let Some(watch) = &mut self.watch else {
            return Poll::Ready(None);
        };
        let end = match ready!(watch.poll(cx)) {
            Some(Ok(Update::Entry(entry))) => return Poll::Ready(Some(Ok(Ok(entry)))),
            Some(Ok(Update::Damaged(damage))) => return Poll::Ready(Some(Ok(Err(damage)))),
            Some(Ok(Update::Synced)) | None => None,
            Some(Ok(Update::Reset(reason))) => Some(Err(WatchError::Interrupted(reason))),
            Some(Err(error)) => Some(Err(error)),
        };
        self.watch = None;
        Poll::Ready(end)
    }
}

/// What a revision makes of its key.
enum Change {
    Is(Key),
    IsNot(Key),
    /// Its subject is no key.
    Nothing,
}

impl Change {
    /// A revision that cannot be read is there all the same: so is its key.
    fn of(revision: Read) -> Self {
        match revision {
            Ok(entry) if entry.operation.is_tombstone() => Self::IsNot(entry.key),
            Ok(entry) => Self::Is(entry.key),
            Err(damage) => damage.key.map_or(Self::Nothing, Self::Is),
        }
    }
}

/// The keys of a bucket, as they come; see [`Bucket::keys`]. Also a [`Stream`].
///
/// A key that is written while the listing runs can come twice, and one that
/// is deleted can have come before: [`Keys::collect`] sorts that out. A key
/// whose last revision cannot be read as an entry, because of bytes that its
/// writer put there, is a key. After an error the stream ends.
#[derive(Debug)]
pub struct KeyStream(Listing);

impl KeyStream {
    /// Returns the next key; `None` at the end.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    #[expect(clippy::should_implement_trait, reason = "it is async")]
    pub fn next(&mut self) -> impl Future<Output = Option<Result<Key, WatchError>>> + Send + Unpin {
        poll_fn(|cx| self.poll(cx))
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Key, WatchError>>> {
        loop {
            match ready!(self.0.poll(cx)) {
                Some(Ok(revision)) => {
                    if let Change::Is(key) = Change::of(revision) {
                        return Poll::Ready(Some(Ok(key)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for KeyStream {
    type Item = Result<Key, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

/// The revisions of a key, the oldest first; see [`Bucket::history`]. Also a
/// [`Stream`]. After an error it ends.
///
/// ```no_run
/// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), kv_proto::WatchError> {
/// let mut history = bucket.history("app.setting").await?;
/// while let Some(entry) = history.next().await {
///     println!("{:?}", entry?);
/// }
/// for damage in history.damaged() {
///     println!("revision {} cannot be read: {}", damage.revision, damage.defect);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct HistoryStream {
    listing: Listing,
    damaged: Vec<Damage>,
}

impl HistoryStream {
    /// Returns the next revision that can be read; `None` at the end.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    #[expect(clippy::should_implement_trait, reason = "it is async")]
    pub fn next(
        &mut self,
    ) -> impl Future<Output = Option<Result<Entry, WatchError>>> + Send + Unpin {
        poll_fn(|cx| self.poll(cx))
    }

    /// Returns the revisions that were passed over so far, because they cannot
    /// be read as entries.
    #[must_use]
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Entry, WatchError>>> {
        loop {
            match ready!(self.listing.poll(cx)) {
                Some(Ok(Ok(entry))) => return Poll::Ready(Some(Ok(entry))),
                Some(Ok(Err(damage))) => self.damaged.push(damage),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Stream for HistoryStream {
    type Item = Result<Entry, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}
