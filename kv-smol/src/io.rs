//! What [`kv_proto::driver`] asks of smol: TCP, a timer and a clock.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time;

use bytes::{Buf, BytesMut};
use kv_proto::driver::{Io, Runtime, Timer};
use kv_proto::{Clock, Instant, ServerAddr};
use smol::io::{AsyncRead, AsyncWrite};
use smol::net::TcpStream;

/// What is read at once at most. Smol's sockets read into initialised memory alone, so it is read here and
/// copied from here.
const READ: usize = 32 * 1024;

/// What is written at once at most, in pieces.
const PIECES: usize = 64;

#[derive(Clone, Copy)]
pub(crate) struct Smol {
    origin: time::Instant,
}

impl Smol {
    pub(crate) fn new() -> Self {
        Self {
            origin: time::Instant::now(),
        }
    }
}

impl Clock for Smol {
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }
}

impl Runtime for Smol {
    type Io = Tcp;
    type Dial = Pin<Box<dyn Future<Output = io::Result<Tcp>> + Send>>;
    type Timer = SmolTimer;

    fn dial(&self, server: &ServerAddr) -> Self::Dial {
        let server = (server.host().to_owned(), server.port());
        Box::pin(async move {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            Ok(Tcp {
                stream,
                read: vec![0; READ].into(),
            })
        })
    }

    fn timer(&self) -> SmolTimer {
        SmolTimer {
            origin: self.origin,
            armed: None,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(*self)
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

/// A TCP connection.
pub(crate) struct Tcp {
    stream: TcpStream,
    read: Box<[u8]>,
}

impl Io for Tcp {
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
