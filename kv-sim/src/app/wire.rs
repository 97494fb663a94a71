//! A connection between a process and a server, as both of them see it.

use std::io;
use std::task::Waker;

use kv_proto::Instant;

use crate::net::Pipe;
use crate::server::ConnId;

/// What may wait in a process for its reader, in bytes: its socket's receive buffer.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// How far a process has come with a connection.
#[derive(Debug)]
pub(super) enum Stage {
    /// It waits to be decided upon; across a partition, for as long as that lasts.
    Dialing,
    /// It was not taken.
    Refused(io::ErrorKind),
    Open,
    /// Reset: nothing more can be read or written.
    Broken,
    /// The process closed it, or does not exist any more.
    Closed,
}

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) process: usize,
    /// `None` if there is no such server.
    pub(super) server: Option<usize>,
    pub(super) stage: Stage,
    /// The server's name for it, while the server's end is open.
    pub(super) conn: Option<ConnId>,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// What arrived and was not read.
    pub(super) arrived: Vec<u8>,
    /// The server's end of the stream arrived behind it.
    pub(super) ended: bool,
    /// Who waits to be connected or to read, and to write.
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// The earliest moments for which bytes are on the agenda.
    pub(super) up_said: Instant,
    pub(super) down_said: Instant,
}

impl Wire {
    pub(super) fn new(process: usize, server: Option<usize>, up: Pipe, down: Pipe) -> Self {
        Self {
            process,
            server,
            stage: Stage::Dialing,
            conn: None,
            up,
            down,
            arrived: Vec::new(),
            ended: false,
            reader: None,
            writer: None,
            up_said: Instant::END,
            down_said: Instant::END,
        }
    }

    /// Whether the process takes no more bytes until it has read some.
    pub(super) fn is_full(&self) -> bool {
        self.arrived.len() >= RECEIVE_BUFFER
    }

    /// When bytes arrive at the process next.
    pub(super) fn down_due(&self) -> Instant {
        if self.is_full() {
            Instant::END
        } else {
            self.down.due()
        }
    }

    /// Whether neither end needs it any more.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.stage, Stage::Closed) && self.conn.is_none()
    }
}
