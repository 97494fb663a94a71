//! The sockets of a proxy: TCP, or a Unix socket where clients come in.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use tempfile::TempDir;

/// Where a proxy listens.
#[derive(Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    /// A socket in a folder of its own, which goes with it.
    Unix(TempDir),
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Place {
    /// Listens on a port of its own.
    pub(super) fn tcp() -> io::Result<(Self, Listener)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let place = Self::Tcp(listener.local_addr()?);
        Ok((place, Listener::Tcp(listener)))
    }

    /// Listens at a path of its own.
    pub(super) fn unix() -> io::Result<(Self, Listener)> {
        let folder = tempfile::tempdir()?;
        let listener = UnixListener::bind(socket_in(&folder))?;
        Ok((Self::Unix(folder), Listener::Unix(listener)))
    }

    /// The URL for clients.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Tcp(addr) => format!("nats://{addr}"),
            Self::Unix(folder) => format!("unix://{}", socket_in(folder).display()),
        }
    }

    /// Comes in like a client, and leaves.
    pub(super) fn knock(&self) {
        let _ = match self {
            Self::Tcp(addr) => TcpStream::connect(addr).map(Socket::Tcp),
            Self::Unix(folder) => UnixStream::connect(socket_in(folder)).map(Socket::Unix),
        };
    }
}

fn socket_in(folder: &TempDir) -> PathBuf {
    folder.path().join("nats.sock")
}

impl Listener {
    pub(super) fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (client, _) = listener.accept()?;
                client.set_nodelay(true)?;
                Ok(Socket::Tcp(client))
            }
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept()?.0)),
        }
    }
}

impl Socket {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            Self::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    pub(super) fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write_all(bytes),
            Self::Unix(stream) => (&mut &*stream).write_all(bytes),
        }
    }
}
