//! The executor-neutral async surface, and the only event loop of the project.
//!
//! A [`Driver`] owns the sockets and moves bytes between them and a
//! [`Session`](crate::Session); [`Client`], [`Bucket`] and [`Watch`] are handles
//! that put requests into the same session and wait for their results. The outside
//! world is two small traits, [`Runtime`] and [`Io`], so that every runtime, the
//! simulator included, runs the same code; a crate for a runtime implements
//! [`Adapter`] too and adds nothing else.
//!
//! ```text
//!   Client, Bucket, Watch --requests--> Session <--bytes-- Driver <--poll--> Io (sockets)
//!         ^---------- results ------'  '--deadlines--> Timer
//! ```
//!
//! The driver holds no protocol knowledge: no retries, no time-outs, no state
//! beyond wakers and sockets.

mod adapter;
mod authenticator;
mod bucket;
mod client;
mod connecting;
mod connection;
mod entropy;
mod erase;
mod event_loop;
mod into_config;
mod listing;
mod response;
mod shared;
mod value;
mod watch;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, ready};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;

use bytes::{Buf, BytesMut};

use crate::config::Config;
use crate::rng::Seed;
use crate::server::ServerAddr;
use crate::time::{Clock, Instant};

pub use adapter::{Adapter, Connector};
pub use authenticator::{Authenticator, Challenge};
pub use bucket::{Bucket, Create, Delete, Get, GetEntry, Purge, Put, Status, UpdateEntry};
pub use client::{
    BucketNames, BucketStatuses, Client, DeleteBucket, OpenBucket, TimedOut, Timeout,
};
pub use connecting::{KEEP_ALIVE, first_to_connect, host_and_port};
pub use connection::{Closed, ConnectionEvents, MeasureRtt};
pub use erase::{Erase, PurgeDeletes};
pub use event_loop::Driver;
pub use into_config::IntoConfig;
pub use listing::{History, HistoryStream, KeyStream, Keys};
pub use response::{Response, Sleep};
pub use value::IntoValue;
pub use watch::{OpenWatch, Watch};

/// What an adapter knows of its runtime: how to connect, to wait and to tell
/// the time.
pub trait Runtime: Send + Sync + 'static {
    /// A connected transport.
    type Io: Io;
    /// A timer; the driver uses one.
    type Timer: Timer;

    /// Starts to connect to a server. It may take as long as it takes: who does
    /// not come in time is dropped.
    fn dial(&self, server: &ServerAddr) -> Connecting<Self::Io>;

    /// Returns whether it can make connections TLS.
    fn can_secure(&self) -> bool {
        false
    }

    /// Starts to make a connection TLS. The server has to prove that it is the
    /// host of this address, whatever it says of itself.
    fn secure(&self, _io: Self::Io, _server: &ServerAddr) -> Connecting<Self::Io> {
        let text = "this client is built without its feature `tls`";
        Box::pin(ready(Err(io::Error::new(io::ErrorKind::Unsupported, text))))
    }

    /// Makes a timer.
    fn timer(&self) -> Self::Timer;

    /// Returns the clock that [`Timer`] goes by.
    fn clock(&self) -> Arc<dyn Clock>;
}

/// A connection that is being made, or made TLS.
pub type Connecting<S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

/// A timer that can be set anew at any time.
pub trait Timer: Unpin + Send + 'static {
    /// Waits until the instant; a later call with another instant replaces it.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;
}

/// A byte stream to a server.
pub trait Io: Unpin + Send + 'static {
    /// Reads what is there to the end of `input`; 0 means that the peer closed.
    ///
    /// # Errors
    ///
    /// Whatever ends the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes a prefix of `output` and advances it by as much.
    ///
    /// # Errors
    ///
    /// Whatever ends the stream.
    fn poll_write<B: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut B,
    ) -> Poll<io::Result<usize>>;

    /// Sees to it that what was written leaves.
    ///
    /// # Errors
    ///
    /// Whatever ends the stream.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Closes the stream.
    ///
    /// # Errors
    ///
    /// Nobody looks at them.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Makes a client and its driver. The client works while somebody polls the
/// driver; the driver ends when every handle is dropped or the client is
/// closed.
pub fn new<R: Runtime>(runtime: R, mut config: Config, seed: Seed) -> (Client, Driver<R>) {
    if runtime.can_secure() {
        config = config.tls_when_asked();
    }
    let clock = runtime.clock();
    let authenticator = config.authenticator.clone();
    let shared = Arc::new(shared::Shared::new(config, seed, clock));
    let client = Client::new(shared.clone());
    (client, Driver::new(runtime, shared, authenticator))
}
