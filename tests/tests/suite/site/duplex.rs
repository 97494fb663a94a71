//! A connection without a socket: one end is a stream of any runtime, and threads carry what goes through the
//! other to a server and back.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::thread;

/// How much a direction holds: little, so that writers have to wait.
const CAPACITY: usize = 4 * 1024;

/// The end of a client. Dropping it ends the connection.
pub(crate) struct Duplex {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

/// One direction.
#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
    waiting: Option<Waker>,
}

impl Duplex {
    /// Connects to a server.
    pub(crate) fn to(server: SocketAddr) -> io::Result<Self> {
        let mut down = TcpStream::connect(server)?;
        let mut up = down.try_clone()?;
        let duplex = Self {
            incoming: Arc::default(),
            outgoing: Arc::default(),
        };
        let (incoming, outgoing) = (duplex.incoming.clone(), duplex.outgoing.clone());
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Some(len) = outgoing.read(&mut buffer).filter(|len| *len > 0) {
                if up.write_all(&buffer[..len]).is_err() {
                    break;
                }
            }
            outgoing.end();
            let _ = up.shutdown(Shutdown::Both);
        });
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Some(len) = down.read(&mut buffer).ok().filter(|len| *len > 0) {
                if !incoming.write(&buffer[..len]) {
                    break;
                }
            }
            incoming.end();
        });
        Ok(duplex)
    }

    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.incoming.state();
        if state.bytes.is_empty() && !state.ended {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let read = state.bytes.read(buffer);
        self.incoming.changed.notify_all();
        Poll::Ready(read)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.state();
        if state.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY.saturating_sub(state.bytes.len()).min(bytes.len());
        if room == 0 {
            state.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes.extend(&bytes[..room]);
        self.outgoing.changed.notify_all();
        Poll::Ready(Ok(room))
    }
}

impl Drop for Duplex {
    fn drop(&mut self) {
        self.incoming.end();
        self.outgoing.end();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// The server's side of a direction, for threads.
impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what a client wrote; `None` at the end.
    fn read(&self, buffer: &mut [u8]) -> Option<usize> {
        let waits = |state: &mut State| state.bytes.is_empty() && !state.ended;
        let waited = self.changed.wait_while(self.state(), waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let read = state.bytes.read(buffer);
        state.wake();
        read.ok()
    }

    /// Writes for a client to read, who may be gone.
    fn write(&self, bytes: &[u8]) -> bool {
        let waits = |state: &mut State| state.bytes.len() >= CAPACITY && !state.ended;
        let waited = self.changed.wait_while(self.state(), waits);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.bytes.extend(bytes);
        state.wake();
        !state.ended
    }

    fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.wake();
        self.changed.notify_all();
    }
}

impl tokio::io::AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Duplex::poll_read(&self, cx, buffer.initialize_unfilled()))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Duplex::poll_write(&self, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        Poll::Ready(Ok(()))
    }
}

impl smol::io::AsyncRead for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Duplex::poll_read(&self, cx, buffer)
    }
}

impl smol::io::AsyncWrite for Duplex {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Duplex::poll_write(&self, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        Poll::Ready(Ok(()))
    }
}
