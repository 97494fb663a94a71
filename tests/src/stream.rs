//! A blocking socket that reads up to a mark, up to a moment: what the naive connections here share.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

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
    socket: Socket,
    unread: Vec<u8>,
    /// The peer said that it has nothing more to say: within TLS, where there is TLS.
    pub(crate) told_the_end: bool,
}

#[derive(Debug)]
enum Socket {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    pub(crate) fn new(socket: TcpStream) -> Self {
        let _ = socket.set_nodelay(true); // fails only on a socket that is dead already
        let (socket, unread) = (Socket::Clear(socket), Vec::new());
        Self {
            socket,
            unread,
            told_the_end: false,
        }
    }

    /// Takes the server's part of a TLS handshake.
    pub(crate) fn secure(&mut self, config: Arc<ServerConfig>, within: Duration) -> io::Result<()> {
        let mut tcp = self.socket.tcp().try_clone()?;
        tcp.set_read_timeout(Some(within))?;
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        if !self.unread.is_empty() {
            tls.read_tls(&mut &*std::mem::take(&mut self.unread))?;
            tls.process_new_packets().map_err(io::Error::other)?;
        }
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.socket = Socket::Tls(Box::new(StreamOwned::new(tls, tcp)));
        Ok(())
    }

    pub(crate) fn connect(addr: SocketAddr, within: Duration) -> Result<Self, Broken> {
        let socket = TcpStream::connect_timeout(&addr, within).map_err(|_| Broken::Ended)?;
        Ok(Self::new(socket))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let mut write = || {
            self.socket.write_all(bytes)?;
            self.socket.flush()
        };
        write().map_err(|_| Broken::Ended)
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
        let _ = self.socket.tcp().shutdown(Shutdown::Both); // an error means that it is closed
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Broken> {
        let mut chunk = [0; 8192];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Broken::Late);
            }
            let _ = self.socket.tcp().set_read_timeout(Some(left));
            match self.socket.read(&mut chunk) {
                Ok(0) => {
                    self.told_the_end = true;
                    return Err(Broken::Ended);
                }
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

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Clear(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(tcp) => tcp.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
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
