//! Removing revisions for good.

use core::future::IntoFuture;
use core::time::Duration;

use super::bucket::Bucket;
use super::response::Response;
use crate::error::{BucketError, InvalidFilter, WatchError};
use crate::kv::sweep::{PurgeDeletesOptions, PurgedDeletes};
use crate::name::KeyFilter;
use crate::options::CallOptions;

impl Bucket {
    /// Removes old tombstones, and the history below them: what deleted keys
    /// leave behind. A key that gets a value meanwhile keeps it.
    ///
    /// Without more said, tombstones of all keys go that are older than 30
    /// minutes. A watch that is cut off for longer, or goes on from an older
    /// position, does not learn of those deletions.
    ///
    /// ```no_run
    /// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), kv_proto::WatchError> {
    /// use std::time::Duration;
    ///
    /// let removed = bucket.purge_deletes().older_than(Duration::from_secs(3_600)).await?;
    /// println!("{} keys are gone for good", removed.tombstones);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WatchError`]; what was removed before stays removed, and to call it
    /// again is safe.
    pub fn purge_deletes(&self) -> PurgeDeletes {
        PurgeDeletes {
            bucket: self.clone(),
            options: Ok(PurgeDeletesOptions::default()),
        }
    }

    /// Removes all revisions of the keys that match, as of now: what is written
    /// meanwhile stays. No tombstones are left, so watches are not told;
    /// [`purge`](Self::purge) tells them. Results in the number of revisions
    /// removed; what an answer counted that was lost with its connection is not
    /// in it.
    ///
    /// ```no_run
    /// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), kv_proto::BucketError> {
    /// let removed = bucket.erase("sessions.>").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`BucketError::InvalidFilter`], and any other [`BucketError`]. It is
    /// repeated safely until its deadline.
    pub fn erase<F>(&self, filter: F) -> Erase
    where
        F: TryInto<KeyFilter>,
        InvalidFilter: From<F::Error>,
    {
        Erase {
            bucket: self.clone(),
            filter: filter.try_into().map_err(InvalidFilter::from),
            options: CallOptions::default(),
        }
    }
}

/// A removal of old tombstones; see [`Bucket::purge_deletes`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct PurgeDeletes {
    bucket: Bucket,
    options: Result<PurgeDeletesOptions, InvalidFilter>,
}

impl PurgeDeletes {
    fn with(mut self, change: impl FnOnce(PurgeDeletesOptions) -> PurgeDeletesOptions) -> Self {
        self.options = self.options.map(change);
        self
    }

    /// Removes tombstones that are at least this old, by the server's clock;
    /// of younger deletes only the history below them. Zero removes all.
    pub fn older_than(self, age: Duration) -> Self {
        self.with(|options| options.older_than(age))
    }

    /// Looks at the keys that match; called again, those of either filter.
    pub fn filter<F>(mut self, filter: F) -> Self
    where
        F: TryInto<KeyFilter>,
        InvalidFilter: From<F::Error>,
    {
        self.options = self
            .options
            .and_then(|options| Ok(options.filter(filter.try_into()?)));
        self
    }

    /// Sets a deadline on the whole, counted from the time it is awaited.
    /// Default: none.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.timeout(timeout))
    }

    /// Sets how long the listing of tombstones may make no progress. The default
    /// is [`Config::request_timeout`](crate::Config::request_timeout).
    pub fn patience(self, patience: Duration) -> Self {
        self.with(|options| options.patience(patience))
    }
}

impl IntoFuture for PurgeDeletes {
    type Output = Result<PurgedDeletes, WatchError>;
    type IntoFuture = Response<PurgedDeletes>;

    fn into_future(self) -> Response<PurgedDeletes> {
        Response::start(self.bucket.client().shared(), |session, now| {
            session.purge_deletes(now, self.bucket.binding(), self.options?)
        })
    }
}

/// A removal of keys; see [`Bucket::erase`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct Erase {
    bucket: Bucket,
    filter: Result<KeyFilter, InvalidFilter>,
    options: CallOptions,
}

impl Erase {
    /// Sets the deadline of this request, counted from the time it is awaited.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.timeout(timeout);
        self
    }
}

impl IntoFuture for Erase {
    type Output = Result<u64, BucketError>;
    type IntoFuture = Response<u64>;

    fn into_future(self) -> Response<u64> {
        Response::start(self.bucket.client().shared(), |session, now| {
            session.erase(now, self.bucket.binding(), &self.filter?, self.options)
        })
    }
}
