//! What [`kv_proto::driver`] asks of tokio: sockets, a timer and a clock.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use kv_proto::driver::{Adapter, Connecting, Driver, Io, Runtime, Timer};
use kv_proto::{Clock, Config, ServerAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Connector, dial};

/// The runtime of clients on tokio.
#[derive(Debug)]
pub struct Tokio {
    /// By tokio's clock, so that a paused one pauses the client too.
    origin: Instant,
    connector: Connector,
    #[cfg(feature = "_tls")]
    tls: kv_proto::TlsConfig,
}

impl Adapter for Tokio {
    fn new(_config: &Config, connector: Connector) -> Self {
        Self {
            origin: Instant::now(),
            connector,
            #[cfg(feature = "_tls")]
            tls: _config.tls_config().clone(),
        }
    }

    fn open(server: ServerAddr) -> Connecting<Socket> {
        Box::pin(dial::open(server))
    }

    fn spawn(driver: Driver<Self>) {
        tokio::spawn(driver);
    }
}

impl Runtime for Tokio {
    type Io = Socket;
    type Timer = TokioTimer;

    fn dial(&self, server: &ServerAddr) -> Connecting<Socket> {
        self.connector.dial(server)
    }

    #[cfg(feature = "_tls")]
    fn can_secure(&self) -> bool {
        true
    }

    #[cfg(feature = "_tls")]
    fn secure(&self, Socket(stream): Socket, server: &ServerAddr) -> Connecting<Socket> {
        let prepared = self.tls.to_server(server);
        Box::pin(async {
            let (config, name) = prepared?;
            let connector = tokio_rustls::TlsConnector::from(config);
            Ok(connector.connect(name, stream).await?.into())
        })
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer {
            origin: self.origin,
            sleep: None,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        let origin = self.origin;
        Arc::new(move || kv_proto::Instant::ORIGIN + origin.elapsed())
    }
}

/// Its timer.
#[derive(Debug)]
pub struct TokioTimer {
    origin: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer for TokioTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: kv_proto::Instant) -> Poll<()> {
        let at = self.origin + Duration::from_nanos(at.as_nanos());
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

/// A connection.
#[allow(missing_debug_implementations, reason = "a stream can be anything")]
pub struct Socket(Box<dyn Stream>);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> From<S> for Socket {
    fn from(stream: S) -> Self {
        Self(Box::new(stream))
    }
}

/// Reads and writes go through futures that hold nothing across polls, which is
/// tokio's safe way to use uninitialised buffers.
impl Io for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        pin!(self.0.read_buf(input)).poll(cx)
    }

    fn poll_write<B: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut B,
    ) -> Poll<io::Result<usize>> {
        pin!(self.0.write_buf(output)).poll(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}
