//! One connection between a client and a server, with both ends.
//!
//! ```text
//!            dialling ──► open ──► client closed ─┐
//!                           │                     ├──► gone
//!                           └────► server closed ─┘
//! ```
//!
//! What a client wrote before it closed still arrives at the server, and what a server wrote before it
//! closed at the client: the two ends learn of each other's end through the pipes.

use std::collections::VecDeque;

use bytes::BytesMut;
use kv_proto::{Instant, LinkId};

use crate::fault::{Ending, Reception, Way};
use crate::frames::Frames;
use crate::net::Pipe;
use crate::picture;
use crate::server::{ConnId, ServerId};

/// Whom a link of a client was dialled to; a server that does not exist is one that cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) server: ServerId,
    /// When it is decided.
    pub(crate) at: Instant,
    /// What happens then, if not what should.
    pub(crate) how: Option<Reception>,
}

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) client: usize,
    /// Which life of the client it belongs to.
    pub(crate) life: u32,
    pub(crate) link: LinkId,
    /// `Some` until it is decided.
    pub(crate) dial: Option<Dial>,
    /// The server's name for it, while the server's end is open.
    pub(crate) conn: Option<ConnId>,
    pub(crate) client_open: bool,
    /// When the server took it.
    pub(crate) since: Instant,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// The client's read buffer.
    pub(crate) input: BytesMut,
    pub(crate) frames: Frames,
    /// How the connection ends when a pipe's cut is reached.
    pub(crate) ending: Ending,
    /// The next write fails.
    pub(crate) write_fails: bool,
    /// The largest message that the client knows it may send.
    pub(crate) known_limit: usize,
    /// Limits on their way: known when so many bytes have arrived.
    pub(crate) limits: VecDeque<(u64, usize)>,
    /// The server goes: known when so many bytes have arrived, and since when.
    pub(crate) leave_at: Option<u64>,
    pub(crate) told_to_leave: Option<Instant>,
    /// Bytes written by the server, and arrived at the client.
    pub(crate) written: u64,
    pub(crate) arrived: u64,
    /// The picture's name for it, if there is one.
    pub(crate) drawn: Option<picture::LinkId>,
}

impl Wire {
    /// Whether neither end needs it any more.
    pub(crate) fn is_gone(&self) -> bool {
        !self.client_open && self.conn.is_none()
    }

    pub(crate) fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Whether one direction swallows everything.
    pub(crate) fn is_half_dead(&self) -> bool {
        self.up.is_dead() || self.down.is_dead()
    }

    /// Whether bytes flow.
    pub(crate) fn is_open(&self) -> bool {
        self.client_open && self.dial.is_none()
    }

    /// Notes a limit that the server writes behind what it has written.
    pub(crate) fn announce_limit(&mut self, limit: usize) {
        self.limits.push_back((self.written, limit));
    }

    /// Whether nobody can say which limit the client was told.
    pub(crate) fn is_unsure_of_limit(&self) -> bool {
        self.known_limit == usize::MAX
    }

    /// Counts bytes that arrived, and learns what they said.
    pub(crate) fn arrive(&mut self, now: Instant, bytes: usize) {
        self.arrived += bytes as u64;
        if self.leave_at.is_some_and(|at| at <= self.arrived) {
            self.told_to_leave.get_or_insert(now);
        }
        while let Some((_, limit)) = self.limits.front().filter(|(at, _)| *at <= self.arrived) {
            self.known_limit = *limit;
            self.limits.pop_front();
        }
    }
}
