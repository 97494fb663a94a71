//! What [`kv_proto::driver`] asks of tokio: sockets, a timer and a clock.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use kv_proto::driver::{Io, Runtime, Timer};
use kv_proto::{Clock, Config, Instant, ServerAddr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::tls::Tls;

pub(crate) struct Tokio {
    clock: TokioClock,
    tls: Tls,
}

/// Tokio's clock, so that a paused one pauses the client too.
#[derive(Clone, Copy)]
struct TokioClock {
    origin: tokio::time::Instant,
}

impl Tokio {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            tls: Tls::new(config),
            clock: TokioClock {
                origin: tokio::time::Instant::now(),
            },
        }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }
}

impl Runtime for Tokio {
    type Io = Socket;
    type Dial = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;
    type Secure = Self::Dial;
    type Timer = TokioTimer;

    fn dial(&self, server: &ServerAddr) -> Self::Dial {
        let server = server.clone();
        Box::pin(async move {
            let stream = TcpStream::connect((server.host(), server.port())).await?;
            stream.set_nodelay(true)?;
            Ok(Socket(Box::new(stream)))
        })
    }

    fn can_secure(&self) -> bool {
        Tls::IS_BUILT
    }

    fn secure(&self, Socket(stream): Socket, server: &ServerAddr) -> Self::Secure {
        let securing = self.tls.secure(stream, server);
        Box::pin(async { Ok(Socket(securing.await?)) })
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer {
            origin: self.clock.origin,
            sleep: None,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock)
    }
}

pub(crate) struct TokioTimer {
    origin: tokio::time::Instant,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Timer for TokioTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = self.origin + Duration::from_nanos(at.as_nanos());
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

/// TCP, or TLS over it.
pub(crate) type Stream = Box<dyn Bytes>;

pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

/// A connection. Reads and writes go through futures that hold nothing
/// across polls, which is tokio's safe way to use uninitialised buffers.
pub(crate) struct Socket(Stream);

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
