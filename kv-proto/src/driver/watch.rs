//! Watches: the revisions of keys, as they are and as they come.

use core::fmt;
use core::future::{Future, IntoFuture, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use futures_core::Stream;

use super::bucket::Bucket;
use super::client::Client;
use crate::error::{InvalidFilter, WatchError};
use crate::kv::entry::Revision;
use crate::kv::watch::WatchId;
use crate::kv::watch::options::{Position, Update, WatchOptions, WatchState};
use crate::name::KeyFilter;

/// Options that are still to be completed, or why they cannot be.
pub(super) type Checked = Result<WatchOptions, InvalidFilter>;

/// Adds a filter; the first invalid one is what is reported.
pub(super) fn add_filter<F>(options: Checked, filter: F) -> Checked
where
    F: TryInto<KeyFilter>,
    InvalidFilter: From<F::Error>,
{
    let options = options?;
    Ok(options.filter(filter.try_into()?))
}

impl Bucket {
    /// Watches the keys that match: first the last revision of each, then
    /// [`Update::Synced`], then every update.
    ///
    /// A filter is a text, a [`KeyFilter`] or a [`Key`](crate::Key); see
    /// [`OpenWatch::filter`] for several.
    ///
    /// ```no_run
    /// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), Box<dyn std::error::Error>> {
    /// use kv_proto::Update;
    ///
    /// let mut watch = bucket.watch("app.>").await?;
    /// while let Some(update) = watch.next().await {
    ///     match update? {
    ///         Update::Entry(entry) if entry.operation.is_tombstone() => println!("- {}", entry.key),
    ///         Update::Entry(entry) => println!("+ {} = {:?}", entry.key, entry.value),
    ///         Update::Synced => println!("that was the state; now what changes"),
    ///         Update::Reset(reason) => println!("forget all of it: {reason}"),
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`WatchError`].
    pub fn watch<F>(&self, filter: F) -> OpenWatch
    where
        F: TryInto<KeyFilter>,
        InvalidFilter: From<F::Error>,
    {
        self.watch_all().filter(filter)
    }

    /// Watches all keys.
    ///
    /// # Errors
    ///
    /// [`WatchError`].
    pub fn watch_all(&self) -> OpenWatch {
        OpenWatch {
            bucket: self.clone(),
            options: Ok(WatchOptions::default()),
        }
    }
}

/// A watch to be opened; see [`Bucket::watch`].
///
/// Awaiting it gives the [`Watch`] as soon as a server delivers, which can be
/// before there is anything to read, or the error that it ended with before.
#[derive(Clone, Debug)]
#[must_use = "a watch is opened when it is awaited"]
pub struct OpenWatch {
    bucket: Bucket,
    options: Checked,
}

impl OpenWatch {
    /// Watches the keys that match this filter too. The filters must not
    /// overlap; at most [`MAX_FILTERS`](crate::MAX_FILTERS).
    ///
    /// ```no_run
    /// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), kv_proto::WatchError> {
    /// let watch = bucket.watch("app.>").filter("limits.*").ignore_deletes().await?;
    /// # Ok(()) }
    /// ```
    pub fn filter<F>(mut self, filter: F) -> Self
    where
        F: TryInto<KeyFilter>,
        InvalidFilter: From<F::Error>,
    {
        self.options = add_filter(self.options, filter);
        self
    }

    fn with(mut self, change: impl FnOnce(WatchOptions) -> WatchOptions) -> Self {
        self.options = self.options.map(change);
        self
    }

    /// Starts with all revisions that the bucket keeps.
    pub fn include_history(self) -> Self {
        self.with(WatchOptions::include_history)
    }

    /// Starts with what is written after the watch was opened;
    /// [`Update::Synced`] comes first. In a cluster, revisions can come that
    /// were written shortly before: the watch begins at the end of the replica
    /// that it reads.
    pub fn updates_only(self) -> Self {
        self.with(WatchOptions::updates_only)
    }

    /// Starts with this revision and all that are kept after it; it need not
    /// exist. Nothing is known of the bucket's earlier life:
    /// [`from_position`](Self::from_position) notices when it was deleted and
    /// created again.
    pub fn from_revision(self, revision: Revision) -> Self {
        self.with(|options| options.from_revision(revision))
    }

    /// Goes on behind what an earlier watch of the same bucket, with the same
    /// filters, delivered, in this process or another one.
    ///
    /// ```no_run
    /// # async fn example(bucket: kv_proto::driver::Bucket) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut watch = bucket.watch("app.>").await?;
    /// let update = watch.next().await;
    /// let stored = watch.position().map(|position| position.to_string());
    /// // Later, perhaps in another process:
    /// let watch = match stored {
    ///     Some(stored) => bucket.watch("app.>").from_position(stored.parse()?).await?,
    ///     None => bucket.watch("app.>").await?,
    /// };
    /// # Ok(()) }
    /// ```
    pub fn from_position(self, position: Position) -> Self {
        self.with(|options| options.from_position(position))
    }

    /// Leaves out tombstones: deletes, purges and the server's markers. Not for
    /// a copy of the bucket, which would keep what was deleted.
    pub fn ignore_deletes(self) -> Self {
        self.with(WatchOptions::ignore_deletes)
    }

    /// Leaves out the values; [`Entry::length`](crate::Entry::length) tells
    /// how long they are.
    pub fn meta_only(self) -> Self {
        self.with(WatchOptions::meta_only)
    }

    /// Sets how often the server says that it is alive when it has nothing
    /// else to say; after twice this time of silence the watch is made anew.
    /// Default 5 s, at least 100 ms.
    pub fn heartbeat(self, interval: Duration) -> Self {
        self.with(|options| options.heartbeat(interval))
    }

    /// Sets how much may wait for its reader: beyond it the watch pauses, and
    /// goes on from there when all of it was read. Revisions that the bucket
    /// does not keep until then are not told. Default 65,536 entries and 8 MiB,
    /// which count what holds an entry too; a single entry is always let through.
    pub fn buffer(self, entries: usize, bytes: usize) -> Self {
        self.with(|options| options.buffer(entries, bytes))
    }

    /// Sets how long the watch may take to open, counted from the time it is
    /// awaited. What was opened has no deadline.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.patience(timeout))
    }
}

impl IntoFuture for OpenWatch {
    type Output = Result<Watch, WatchError>;
    type IntoFuture = Opening<Watch>;

    fn into_future(self) -> Opening<Watch> {
        let options = self.options.map_err(WatchError::from);
        Opening::start(&self.bucket, options, |watch| watch)
    }
}

/// A watch that is being opened, for what shall become of it.
#[must_use = "dropping it gives the watch up"]
pub struct Opening<T> {
    /// Absent when it was handed over.
    watch: Option<Result<Watch, WatchError>>,
    into: fn(Watch) -> T,
}

impl<T> Opening<T> {
    pub(super) fn start(
        bucket: &Bucket,
        options: Result<WatchOptions, WatchError>,
        into: fn(Watch) -> T,
    ) -> Self {
        let client = bucket.client();
        let request = |options| {
            let shared = client.shared();
            shared.with(|session, now| session.watch(now, bucket.binding(), options))
        };
        let watch = options.and_then(request).map(|id| Watch {
            client: client.clone(),
            id,
            first: None,
        });
        Self {
            watch: Some(watch),
            into,
        }
    }
}

impl<T> Unpin for Opening<T> {}

impl<T> Future for Opening<T> {
    type Output = Result<T, WatchError>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        #[allow(clippy::panic, reason = "what polls a future that is over is broken")]
        let Some(watch) = self.watch.take() else {
            panic!("a future was polled after it was ready");
        };
        let mut watch = match watch {
            Ok(watch) => watch,
            Err(error) => return Poll::Ready(Err(error)),
        };
        match watch.poll_open(cx) {
            Poll::Ready(opened) => Poll::Ready(opened.map(|()| (self.into)(watch))),
            Poll::Pending => {
                self.watch = Some(Ok(watch));
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Opening<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

/// An open watch; see [`Bucket::watch`]. Also a [`Stream`].
///
/// It outlives connections, servers and its consumer without being read: what
/// a break left out comes when it is over, in order and nothing twice. What
/// ends it is told as its last item.
/// [`manual::watching`](crate::manual::watching) is the whole of what it promises.
///
/// Dropping it releases what the servers hold for it, if need be after the
/// next connection.
pub struct Watch {
    client: Client,
    id: WatchId,
    /// What had to be read to see whether the watch failed to open, and the
    /// position before it.
    first: Option<(Result<Update, WatchError>, Option<Position>)>,
}

impl Watch {
    /// Returns what the watch tells next; waits for it if need be. `None`
    /// after an error.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    ///
    /// ```no_run
    /// # async fn example(client: kv_proto::driver::Client, mut watch: kv_proto::driver::Watch) {
    /// use core::time::Duration;
    ///
    /// match client.timeout(Duration::from_secs(1), watch.next()).await {
    ///     Ok(update) => println!("{update:?}"),
    ///     Err(_) => println!("nothing for a second"),
    /// }
    /// # }
    /// ```
    #[expect(clippy::should_implement_trait, reason = "it is async")]
    pub fn next(
        &mut self,
    ) -> impl Future<Output = Option<Result<Update, WatchError>>> + Send + Unpin {
        poll_fn(|cx| self.poll(cx))
    }

    /// Returns how far the reader has come, to go on from there later with
    /// [`OpenWatch::from_position`]; `None` while it has come nowhere.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self.first {
            Some((_, before)) => before,
            None => self.client.shared().lock().session.position(self.id),
        }
    }

    /// Returns what the watch is doing.
    #[must_use]
    pub fn state(&self) -> WatchState {
        let state = self.client.shared().lock().session.watch_state(self.id);
        state.unwrap_or(WatchState::Ended)
    }

    fn poll_open(&mut self, cx: &Context<'_>) -> Poll<Result<(), WatchError>> {
        let mut state = self.client.shared().lock();
        match state.session.watch_state(self.id) {
            Some(WatchState::Opening) => {
                state.wait_for_watch(self.id, cx);
                Poll::Pending
            }
            Some(WatchState::Live | WatchState::Recovering) => Poll::Ready(Ok(())),
            Some(WatchState::Ended) | None => {
                let before = state.session.position(self.id);
                match state.session.next_update(self.id) {
                    Some(Err(error)) => Poll::Ready(Err(error)),
                    first => {
                        self.first = first.map(|first| (first, before));
                        Poll::Ready(Ok(()))
                    }
                }
            }
        }
    }

    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Update, WatchError>>> {
        match self.first.take() {
            Some((first, _)) => Poll::Ready(Some(first)),
            None => self.client.shared().poll_update(self.id, cx),
        }
    }
}

impl Stream for Watch {
    type Item = Result<Update, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.client.shared().unwatch(self.id);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
