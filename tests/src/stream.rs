//! A blocking socket that reads up to a mark, up to a moment: what the naive connections here share.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Why there are no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The moment passed.
    Late,
    /// The peer closed or reset the connection.
    Ended,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Late => "nothing came in time",
            Self::Ended => "the peer closed the connection",
        })
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    unread: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(socket: TcpStream) -> Self {
        let _ = socket.set_nodelay(true); // fails only on a socket that is dead already
        let unread = Vec::new();
        Self { socket, unread }
    }

    pub(crate) fn connect(addr: SocketAddr, within: Duration) -> Result<Self, Broken> {
        let socket = TcpStream::connect_timeout(&addr, within).map_err(|_| Broken::Ended)?;
        Ok(Self::new(socket))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.socket.write_all(bytes).map_err(|_| Broken::Ended)
    }

    /// Reads through the first `mark`.
    pub(crate) fn until(&mut self, mark: &[u8], deadline: Instant) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(at) = find(&self.unread, mark) {
                return Ok(self.unread.drain(..at + mark.len()).collect());
            }
            self.fill(deadline)?;
        }
    }

    /// Reads a line; returns it without its end.
    pub(crate) fn line(&mut self, deadline: Instant) -> Result<String, Broken> {
        let line = self.until(b"\r\n", deadline)?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Reads exactly `n` bytes.
    pub(crate) fn exact(&mut self, n: usize, deadline: Instant) -> Result<Vec<u8>, Broken> {
        while self.unread.len() < n {
            self.fill(deadline)?;
        }
        Ok(self.unread.drain(..n).collect())
    }

    /// Reads all that comes before the peer closes.
    pub(crate) fn rest(&mut self, deadline: Instant) -> Result<Vec<u8>, Broken> {
        loop {
            match self.fill(deadline) {
                Ok(()) => {}
                Err(Broken::Ended) => return Ok(std::mem::take(&mut self.unread)),
                Err(Broken::Late) => return Err(Broken::Late),
            }
        }
    }

    /// What was read and not yet asked for.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    pub(crate) fn close(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both); // an error means that it is closed
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Broken> {
        let mut chunk = [0; 8192];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::Late);
            }
            let _ = self.socket.set_read_timeout(Some(left));
            match self.socket.read(&mut chunk) {
                Ok(0) => return Err(Broken::Ended),
                Ok(n) => {
                    self.unread.extend(chunk.iter().take(n));
                    return Ok(());
                }
                Err(error) if is_early(error.kind()) => {}
                Err(_) => return Err(Broken::Ended),
            }
        }
    }
}

/// Whether a read ended before its time, with the connection whole.
fn is_early(kind: ErrorKind) -> bool {
    kind == ErrorKind::WouldBlock || kind == ErrorKind::TimedOut || kind == ErrorKind::Interrupted
}

/// Where `needle` first begins in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}
