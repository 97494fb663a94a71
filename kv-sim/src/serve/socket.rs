//! One client's socket, and what is on its way to it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

/// How much is kept of a buffer that was once full.
const KEPT: usize = 256 * 1024;
/// How much of what a client still says is read when its connection is closed, so that the system does not
/// discard the last words to it.
const LAST_READS: usize = 16;

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Bytes(usize),
    /// There will be a notice when there is more.
    NothingYet,
    /// The client has gone, or its connection is broken.
    Gone,
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    /// What goes out, and how much of it has gone.
    outgoing: Vec<u8>,
    sent: usize,
    /// The system has no room; there will be a notice when it has.
    blocked: bool,
    broken: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).ok(); // slower without, that is all
        Self {
            stream,
            outgoing: Vec::new(),
            sent: 0,
            blocked: false,
            broken: false,
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Heard {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Heard::Gone,
                Ok(count) => return Heard::Bytes(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::NothingYet,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Heard::Gone,
            }
        }
    }

    pub(super) fn unblock(&mut self) {
        self.blocked = false;
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Sends what waits here, then what waits at the server, which is left empty; or as much as there is room
    /// for.
    pub(super) fn send(&mut self, waiting: &mut Vec<u8>) {
        while !self.blocked && !self.broken {
            if self.sent == self.outgoing.len() {
                self.outgoing.clear();
                self.outgoing.shrink_to(KEPT);
                self.sent = 0;
                if waiting.is_empty() {
                    return;
                }
                std::mem::swap(&mut self.outgoing, waiting);
            }
            let rest = self.outgoing.get(self.sent..).unwrap_or_default();
            match self.stream.write(rest) {
                Ok(0) => self.broken = true,
                Ok(count) => self.sent += count,
                Err(error) => self.note(&error),
            }
        }
    }

    /// Closes it behind the last words to the client.
    pub(super) fn close(mut self) {
        self.stream.shutdown(Shutdown::Write).ok();
        let mut buffer = [0; 4096];
        for _ in 0..LAST_READS {
            if !matches!(self.read(&mut buffer), Heard::Bytes(_)) {
                return;
            }
        }
    }

    fn note(&mut self, error: &io::Error) {
        let kind = error.kind();
        if kind == ErrorKind::WouldBlock {
            self.blocked = true;
        } else if kind != ErrorKind::Interrupted {
            self.broken = true;
        }
    }
}
