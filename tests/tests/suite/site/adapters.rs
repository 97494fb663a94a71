//! The adapters that every test runs on.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use kv_proto::driver::{self, Client};
use kv_proto::{Config, ConnectError};

use super::Duplex;

/// What a test needs of a runtime.
///
/// The driver and spawned tasks run on threads of the runtime, the test itself on the test's own: it may
/// block, as the harness does.
pub(crate) trait Adapter: 'static {
    /// What the adapter is to the driver.
    type Runtime: driver::Adapter<Io: From<Duplex> + From<Self::Tcp>>;

    /// The runtime's TCP stream.
    type Tcp: AsFd + Send;

    /// The adapter's `dial_tcp`.
    fn dial_tcp(addresses: Vec<SocketAddr>) -> impl Future<Output = io::Result<Self::Tcp>> + Send;

    /// Runs a test; panics when it takes longer than `limit`.
    fn block_on<T>(limit: Duration, test: impl Future<Output = T>) -> T;

    /// Runs a task beside the test. Its panic is passed on to whoever awaits it.
    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + Unpin + 'static;

    /// The adapter's `connect`.
    fn connect(config: Config) -> impl Future<Output = Result<Client, ConnectError>> + Send;

    /// The adapter's `connect`, given a text.
    fn connect_to(urls: &str) -> impl Future<Output = Result<Client, ConnectError>> + Send;

    /// The adapter's `connect_with_driver`.
    fn connect_with_driver(
        config: Config,
    ) -> Result<(Client, impl Future<Output = ()> + Send + 'static), ConnectError>;
}

/// [`kv_tokio`] on tokio's multi-threaded runtime.
pub(crate) struct Tokio;

impl Adapter for Tokio {
    type Runtime = kv_tokio::Tokio;
    type Tcp = tokio::net::TcpStream;

    async fn dial_tcp(addresses: Vec<SocketAddr>) -> io::Result<Self::Tcp> {
        kv_tokio::dial_tcp(&*addresses).await
    }

    fn block_on<T>(limit: Duration, test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let limited = async { tokio::time::timeout(limit, test).await };
        let result = runtime.block_on(limited);
        result.unwrap_or_else(|_| panic!("the test hangs: it has not ended within {limit:?}"))
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + Unpin + 'static {
        let handle = tokio::spawn(task);
        Box::pin(async move {
            match handle.await {
                Ok(output) => output,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        })
    }

    fn connect(config: Config) -> impl Future<Output = Result<Client, ConnectError>> + Send {
        kv_tokio::connect(config)
    }

    fn connect_to(urls: &str) -> impl Future<Output = Result<Client, ConnectError>> + Send {
        kv_tokio::connect(urls)
    }

    fn connect_with_driver(
        config: Config,
    ) -> Result<(Client, impl Future<Output = ()> + Send + 'static), ConnectError> {
        kv_tokio::connect_with_driver(config)
    }
}

/// [`kv_smol`] on smol's global executor.
pub(crate) struct Smol;

impl Adapter for Smol {
    type Runtime = kv_smol::Smol;
    type Tcp = smol::net::TcpStream;

    async fn dial_tcp(addresses: Vec<SocketAddr>) -> io::Result<Self::Tcp> {
        kv_smol::dial_tcp(&*addresses).await
    }

    fn block_on<T>(limit: Duration, test: impl Future<Output = T>) -> T {
        let limited = smol::future::or(async { Some(test.await) }, async {
            smol::Timer::after(limit).await;
            None
        });
        smol::block_on(limited)
            .unwrap_or_else(|| panic!("the test hangs: it has not ended within {limit:?}"))
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + Unpin + 'static {
        Detached(Some(smol::spawn(task)))
    }

    fn connect(config: Config) -> impl Future<Output = Result<Client, ConnectError>> + Send {
        kv_smol::connect(config)
    }

    fn connect_to(urls: &str) -> impl Future<Output = Result<Client, ConnectError>> + Send {
        kv_smol::connect(urls)
    }

    fn connect_with_driver(
        config: Config,
    ) -> Result<(Client, impl Future<Output = ()> + Send + 'static), ConnectError> {
        kv_smol::connect_with_driver(config)
    }
}

/// A task of smol that goes on when nobody waits for it, as one of tokio does.
struct Detached<T>(Option<smol::Task<T>>);

impl<T> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let task = self.0.as_mut().expect("it is there until it is dropped");
        Pin::new(task).poll(cx)
    }
}

impl<T> Drop for Detached<T> {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}
