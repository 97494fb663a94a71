//! What the asynchronous clients run on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Builder;

/// A runtime, of which clones are the same one.
#[derive(Clone)]
pub(crate) enum Runtime {
    Tokio(&'static str, Arc<tokio::runtime::Runtime>),
    /// smol's global executor, of one thread, beside the one that asks.
    Smol,
}

/// A task to wait for.
pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Runtime {
    pub(crate) fn current_thread() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self::Tokio("current_thread", Arc::new(runtime.expect("a runtime")))
    }

    pub(crate) fn multi_thread() -> Self {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build();
        Self::Tokio("multi_thread", Arc::new(runtime.expect("a runtime")))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Tokio(name, _) => name,
            Self::Smol => "smol",
        }
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        match self {
            Self::Tokio(_, runtime) => runtime.block_on(future),
            Self::Smol => smol::block_on(future),
        }
    }

    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        match self {
            Self::Tokio(_, runtime) => {
                let task = runtime.spawn(future);
                Box::pin(async { task.await.expect("a task ends well") })
            }
            Self::Smol => Box::pin(smol::spawn(future)),
        }
    }
}
