//! What [`kv_proto::driver`] asks of smol: sockets, a timer and a clock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use kv_proto::driver::{Adapter, Connecting, Driver, Io, Runtime, Timer};
use kv_proto::{Clock, Config, ServerAddr};
use smol::io::{AsyncRead, AsyncWrite};

use crate::{Connector, dial};

/// What is read at once at most. Smol's sockets read into initialised memory alone, so it is read here and
/// copied from here.
const READ: usize = 32 * 1024;

/// What is written at once at most, in pieces.
const PIECES: usize = 64;

/// The runtime of clients on smol.
#[derive(Debug)]
pub struct Smol {
    origin: Instant,
    connector: Connector,
    #[cfg(feature = "_tls")]
    tls: kv_proto::TlsConfig,
}

impl Adapter for Smol {
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
        smol::spawn(driver).detach();
    }
}

impl Runtime for Smol {
    type Io = Socket;
    type Timer = SmolTimer;

    fn dial(&self, server: &ServerAddr) -> Connecting<Socket> {
        self.connector.dial(server)
    }

    #[cfg(feature = "_tls")]
    fn can_secure(&self) -> bool {
        true
    }

    #[cfg(feature = "_tls")]
    fn secure(&self, Socket { stream, read }: Socket, server: &ServerAddr) -> Connecting<Socket> {
        let prepared = self.tls.to_server(server);
        Box::pin(async {
            let (config, name) = prepared?;
            let connector = futures_rustls::TlsConnector::from(config);
            let stream = Box::new(connector.connect(name, stream).await?);
            Ok(Socket { stream, read })
        })
    }

    fn timer(&self) -> SmolTimer {
        SmolTimer {
            origin: self.origin,
            armed: None,
            timer: smol::Timer::never(),
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        let origin = self.origin;
        Arc::new(move || kv_proto::Instant::ORIGIN + origin.elapsed())
    }
}

/// Its timer.
#[derive(Debug)]
pub struct SmolTimer {
    origin: Instant,
    armed: Option<kv_proto::Instant>,
    timer: smol::Timer,
}

impl Timer for SmolTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: kv_proto::Instant) -> Poll<()> {
        if self.armed.replace(at) != Some(at) {
            let due = self.origin.checked_add(Duration::from_nanos(at.as_nanos()));
            self.timer = due.map_or_else(smol::Timer::never, smol::Timer::at);
        }
        Pin::new(&mut self.timer)
            .poll(cx)
            .map(|_| self.armed = None)
    }
}

/// A connection.
#[allow(missing_debug_implementations, reason = "a stream can be anything")]
pub struct Socket {
    stream: Box<dyn Stream>,
    read: Box<[u8]>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> From<S> for Socket {
    fn from(stream: S) -> Self {
        Self {
            stream: Box::new(stream),
            read: vec![0; READ].into(),
        }
    }
}

impl Io for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut self.read);
        if let Poll::Ready(Ok(read)) = polled {
            input.extend_from_slice(self.read.get(..read).unwrap_or_default());
        }
        polled
    }

    fn poll_write<B: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut B,
    ) -> Poll<io::Result<usize>> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = output.chunks_vectored(&mut pieces);
        let pieces = pieces.get(..count).unwrap_or_default();
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        if let Poll::Ready(Ok(written)) = polled {
            output.advance(written);
        }
        polled
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
