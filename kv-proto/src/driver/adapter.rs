//! What the adapters of runtimes have in common.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use std::io;

use super::{Client, Connecting, Driver, IntoConfig, Runtime, entropy};
use crate::config::Config;
use crate::error::ConnectError;
use crate::server::ServerAddr;

/// A [`Runtime`] whose clients connect by themselves: what a crate such as
/// `kv-tokio` is made of.
pub trait Adapter: Runtime {
    /// Makes a runtime for one client.
    fn new(config: &Config, connector: Connector<Self>) -> Self
    where
        Self: Sized;

    /// Starts to connect to a server by TCP or a Unix socket. It may take as
    /// long as it takes: what does not come in time is dropped.
    fn open(server: ServerAddr) -> Connecting<Self::Io>;

    /// Runs a driver in a task of its own.
    fn spawn(driver: Driver<Self>)
    where
        Self: Sized;
}

/// Makes the connections of clients: by default to where a URL says, by TCP or a
/// Unix socket; or else by a function that is asked for each of them.
pub struct Connector<A: Adapter>(Arc<Connect<A::Io>>);

type Connect<S> = dyn Fn(ServerAddr) -> Connecting<S> + Send + Sync;

impl<A: Adapter> Connector<A> {
    /// Makes connections with a function: through a proxy, over what is no
    /// socket, to where a test wants them. It is asked for the first connection
    /// of a client and for each that replaces one.
    ///
    /// The time it takes counts as part of the [time to
    /// connect](Config::connect_timeout), and an error as a server that cannot be
    /// reached. TLS comes above its streams, and the certificate still has to be
    /// that of the host in the URL; so do the credentials.
    pub fn new<F, C, S>(connect: F) -> Self
    where
        F: Fn(ServerAddr) -> C + Send + Sync + 'static,
        C: Future<Output = io::Result<S>> + Send + 'static,
        S: Into<A::Io>,
    {
        Self(Arc::new(move |server| {
            let connecting = connect(server);
            Box::pin(async { Ok(connecting.await?.into()) })
        }))
    }

    /// Connects as the adapter's function `connect` does.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(&self, config: impl IntoConfig) -> Result<Client, ConnectError> {
        let (client, driver) = self.connect_with_driver(config)?;
        A::spawn(driver);
        client.connected().await?;
        Ok(client)
    }

    /// Makes a client and its driver as the adapter's function
    /// `connect_with_driver` does.
    ///
    /// # Errors
    ///
    /// [`ConnectError::InvalidUrl`] and [`ConnectError::Entropy`].
    pub fn connect_with_driver(
        &self,
        config: impl IntoConfig,
    ) -> Result<(Client, Driver<A>), ConnectError> {
        let config = config.into_config()?;
        let seed = entropy::seed()?;
        let runtime = A::new(&config, self.clone());
        Ok(super::new(runtime, config, seed))
    }

    /// Starts to connect to a server.
    #[must_use]
    pub fn dial(&self, server: &ServerAddr) -> Connecting<A::Io> {
        (self.0)(server.clone())
    }
}

impl<A: Adapter> Default for Connector<A> {
    fn default() -> Self {
        Self(Arc::new(A::open))
    }
}

impl<A: Adapter> Clone for Connector<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Adapter> fmt::Debug for Connector<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(..)")
    }
}
