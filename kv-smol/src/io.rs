//! What [`kv_proto::driver`] asks of smol: sockets, a timer and a clock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time;

use bytes::{Buf, BytesMut};
use kv_proto::driver::{Io, Runtime, Timer};
use kv_proto::{Clock, Config, Instant, ServerAddr};
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

use crate::tls::Tls;

/// What is read at once at most. Smol's sockets read into initialised memory alone, so it is read here and
/// copied from here.
const READ: usize = 32 * 1024;

/// What is written at once at most, in pieces.
const PIECES: usize = 64;

pub(crate) struct Smol {
    clock: SmolClock,
    tls: Tls,
}

#[derive(Clone, Copy)]
struct SmolClock {
    origin: time::Instant,
}

impl Smol {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            tls: Tls::new(config),
            clock: SmolClock {
                origin: time::Instant::now(),
            },
        }
    }
}

impl Clock for SmolClock {
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }
}

impl Runtime for Smol {
    type Io = Socket;
    type Dial = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;
    type Secure = Self::Dial;
    type Timer = SmolTimer;

    fn dial(&self, server: &ServerAddr) -> Self::Dial {
        let server = (server.host().to_owned(), server.port());
        Box::pin(async move {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            Ok(Socket {
                stream: Box::new(stream),
                read: vec![0; READ].into(),
            })
        })
    }

    fn can_secure(&self) -> bool {
        Tls::IS_BUILT
    }

    fn secure(&self, Socket { stream, read }: Socket, server: &ServerAddr) -> Self::Secure {
        let securing = self.tls.secure(stream, server);
        Box::pin(async {
            let stream = securing.await?;
            Ok(Socket { stream, read })
        })
    }

    fn timer(&self) -> SmolTimer {
        SmolTimer {
            origin: self.clock.origin,
            armed: None,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock)
    }
}

pub(crate) struct SmolTimer {
    origin: time::Instant,
    armed: Option<(Instant, smol::Timer)>,
}

impl Timer for SmolTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let due = self.origin.checked_add(Duration::from_nanos(at.as_nanos()));
        let timer = || due.map_or_else(smol::Timer::never, smol::Timer::at);
        let (armed, timer) = self.armed.get_or_insert_with(|| (at, timer()));
        if *armed != at {
            *armed = at;
            match due {
                Some(due) => timer.set_at(due),
                None => *timer = smol::Timer::never(),
            }
        }
        Pin::new(timer).poll(cx).map(|_| self.armed = None)
    }
}

/// TCP, or TLS over it.
pub(crate) type Stream = Box<dyn Bytes>;

pub(crate) trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

/// A connection.
pub(crate) struct Socket {
    stream: Stream,
    read: Box<[u8]>,
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
