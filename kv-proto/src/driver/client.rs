//! The handle of a client: buckets as a whole, and time.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, IntoFuture, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use futures_core::Stream;
use thiserror::Error;

use super::bucket::Bucket;
use super::response::{Response, Sleep};
use super::shared::Shared;
use crate::error::{BucketError, InvalidBucketName};
use crate::kv::binding::Binding;
use crate::kv::config::BucketConfig;
use crate::kv::list::{NamesPage, StatusPage};
use crate::kv::status::BucketStatus;
use crate::name::BucketName;
use crate::op::OpResult;
use crate::options::CallOptions;
use crate::time::Instant;

/// A client: one connection at a time, shared by all its clones and by the
/// buckets opened with it. When the last of them is dropped, the client
/// finishes what was asked for and ends.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

/// What all handles share; dropped with the last of them.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.with(|session, now| session.close(now));
    }
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle { shared }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    // ---- buckets ----------------------------------------------------------

    /// Opens a bucket that exists.
    ///
    /// # Errors
    ///
    /// [`BucketError::NotFound`] if it does not, and any other [`BucketError`].
    pub fn bucket<N>(&self, name: N) -> OpenBucket
    where
        N: TryInto<BucketName>,
        InvalidBucketName: From<N::Error>,
    {
        let name = name.try_into().map_err(InvalidBucketName::from);
        self.opening(name.map(Opening::Open).map_err(BucketError::from))
    }

    /// Creates a bucket. One that exists with the very same configuration is
    /// opened.
    ///
    /// # Errors
    ///
    /// [`BucketError::Exists`] if it exists with another configuration, and
    /// any other [`BucketError`].
    pub fn create_bucket(&self, config: BucketConfig) -> OpenBucket {
        self.opening(Ok(Opening::Create(config)))
    }

    /// Changes the configuration of a bucket that exists. Settings of it that
    /// this client does not know are kept.
    ///
    /// # Errors
    ///
    /// [`BucketError::NotFound`] if it does not exist, and any other
    /// [`BucketError`].
    pub fn update_bucket(&self, config: BucketConfig) -> OpenBucket {
        self.opening(Ok(Opening::Update(config)))
    }

    /// Changes the configuration of a bucket, or creates it.
    ///
    /// # Errors
    ///
    /// [`BucketError`].
    pub fn create_or_update_bucket(&self, config: BucketConfig) -> OpenBucket {
        self.opening(Ok(Opening::CreateOrUpdate(config)))
    }

    fn opening(&self, opening: Result<Opening, BucketError>) -> OpenBucket {
        OpenBucket {
            client: self.clone(),
            opening,
            options: CallOptions::default(),
        }
    }

    /// Deletes a bucket with everything in it.
    ///
    /// # Errors
    ///
    /// [`BucketError::NotFound`] if it does not exist, and any other
    /// [`BucketError`].
    pub fn delete_bucket<N>(&self, name: N) -> DeleteBucket
    where
        N: TryInto<BucketName>,
        InvalidBucketName: From<N::Error>,
    {
        DeleteBucket {
            client: self.clone(),
            name: name.try_into().map_err(InvalidBucketName::from),
            options: CallOptions::default(),
        }
    }

    /// Lists the names of all buckets of the account, page by page.
    #[must_use]
    pub fn bucket_names(&self) -> BucketNames {
        BucketNames(Pages::new(self.clone()))
    }

    /// Lists the statuses of all buckets of the account, page by page.
    #[must_use]
    pub fn bucket_statuses(&self) -> BucketStatuses {
        BucketStatuses(Pages::new(self.clone()))
    }

    // ---- time -------------------------------------------------------------

    /// Pauses, on whatever clock the client runs on. Ends early when the
    /// client is closed.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::start(self.shared(), duration)
    }

    /// Waits for a future, but no longer than `limit`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] if the future was not ready in time.
    pub fn timeout<F: IntoFuture>(&self, limit: Duration, future: F) -> Timeout<F::IntoFuture> {
        Timeout {
            future: future.into_future(),
            sleep: self.sleep(limit),
        }
    }

    /// Returns the time on the client's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared().now()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.state())
            .finish()
    }
}

#[derive(Clone, Debug)]
enum Opening {
    Open(BucketName),
    Create(BucketConfig),
    Update(BucketConfig),
    CreateOrUpdate(BucketConfig),
}

/// A request that results in an open bucket; see [`Client::bucket`],
/// [`Client::create_bucket`], [`Client::update_bucket`] and
/// [`Client::create_or_update_bucket`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct OpenBucket {
    client: Client,
    opening: Result<Opening, BucketError>,
    options: CallOptions,
}

impl OpenBucket {
    /// Sets the deadline of this request, counted from the time it is awaited.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }
}

impl IntoFuture for OpenBucket {
    type Output = Result<Bucket, BucketError>;
    type IntoFuture = OpeningBucket;

    fn into_future(self) -> OpeningBucket {
        let options = self.options;
        let response = self.opening.map(|opening| {
            Response::start(self.client.shared(), |session, now| match opening {
                Opening::Open(name) => session.open(now, &name, options),
                Opening::Create(config) => session.create_bucket(now, config, options),
                Opening::Update(config) => session.update_bucket(now, config, options),
                Opening::CreateOrUpdate(config) => {
                    session.create_or_update_bucket(now, config, options)
                }
            })
        });
        OpeningBucket {
            client: self.client,
            response,
        }
    }
}

/// A bucket that is being opened.
#[derive(Debug)]
#[must_use = "dropping it cancels the request"]
pub struct OpeningBucket {
    client: Client,
    response: Result<Response<Binding>, BucketError>,
}

impl Future for OpeningBucket {
    type Output = Result<Bucket, BucketError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let client = self.client.clone();
        match &mut self.response {
            Ok(response) => Pin::new(response)
                .poll(cx)
                .map_ok(|binding| Bucket::new(client, binding)),
            Err(error) => Poll::Ready(Err(error.clone())),
        }
    }
}

/// A request that deletes a bucket; see [`Client::delete_bucket`].
#[derive(Clone, Debug)]
#[must_use = "a request is made when it is awaited"]
pub struct DeleteBucket {
    client: Client,
    name: Result<BucketName, InvalidBucketName>,
    options: CallOptions,
}

impl DeleteBucket {
    /// Sets the deadline of this request, counted from the time it is awaited.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }
}

impl IntoFuture for DeleteBucket {
    type Output = Result<(), BucketError>;
    type IntoFuture = Response<()>;

    fn into_future(self) -> Response<()> {
        Response::start(self.client.shared(), |session, now| {
            let name = self.name.map_err(BucketError::from)?;
            session.delete_bucket(now, &name, self.options)
        })
    }
}

/// The pages of a listing.
#[derive(Debug)]
struct Pages<P: OpResult, T> {
    client: Client,
    page: Option<Response<P>>,
    /// Where the next page starts; `None` at the end.
    next: Option<u64>,
    items: VecDeque<T>,
}

impl<P: OpResult, T> Pages<P, T> {
    const fn new(client: Client) -> Self {
        Self {
            client,
            page: None,
            next: Some(0),
            items: VecDeque::new(),
        }
    }
}

macro_rules! listing {
    ($name:ident, $page:ident, $item:ident, $request:ident, $items:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// Also a [`Stream`]. A listing is no snapshot: buckets that are created
        /// or deleted meanwhile may or may not be on it. After an error it ends.
        #[derive(Debug)]
        pub struct $name(Pages<$page, $item>);

        impl $name {
            /// Returns the next item; `None` at the end.
            pub async fn next(&mut self) -> Option<Result<$item, BucketError>> {
                poll_fn(|cx| self.poll(cx)).await
            }

            /// Collects the whole listing.
            ///
            /// # Errors
            ///
            /// [`BucketError`] if a page could not be had.
            pub async fn collect(mut self) -> Result<Vec<$item>, BucketError> {
                let mut all = Vec::new();
                while let Some(item) = self.next().await {
                    all.push(item?);
                }
                Ok(all)
            }

            fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<$item, BucketError>>> {
                let pages = &mut self.0;
                loop {
                    if let Some(item) = pages.items.pop_front() {
                        return Poll::Ready(Some(Ok(item)));
                    }
                    if pages.page.is_none() {
                        let Some(offset) = pages.next.take() else {
                            return Poll::Ready(None);
                        };
                        let options = CallOptions::default();
                        let shared = pages.client.shared();
                        pages.page = Some(Response::start(shared, |session, now| {
                            session.$request(now, offset, options)
                        }));
                    }
                    let Some(page) = &mut pages.page else {
                        return Poll::Ready(None);
                    };
                    let Poll::Ready(result) = Pin::new(page).poll(cx) else {
                        return Poll::Pending;
                    };
                    pages.page = None;
                    match result {
                        Ok(page) => {
                            pages.next = page.next;
                            pages.items.extend(page.$items);
                        }
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }

        impl Stream for $name {
            type Item = Result<$item, BucketError>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.poll(cx)
            }
        }
    };
}
listing!(
    BucketNames,
    NamesPage,
    BucketName,
    bucket_names,
    names,
    "The names of all buckets; see [`Client::bucket_names`]."
);
listing!(
    BucketStatuses,
    StatusPage,
    BucketStatus,
    bucket_statuses,
    statuses,
    "The statuses of all buckets; see [`Client::bucket_statuses`]."
);

/// A future with a limit; see [`Client::timeout`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Timeout<F> {
    future: F,
    sleep: Sleep,
}

/// The future was not ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("timed out")]
pub struct TimedOut;

impl<F: Future + Unpin> Future for Timeout<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = pin!(&mut self.future).poll(cx) {
            return Poll::Ready(Ok(output));
        }
        pin!(&mut self.sleep).poll(cx).map(|()| Err(TimedOut))
    }
}
