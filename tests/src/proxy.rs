//! A proxy between a client and a server that breaks what passes, at an exact byte. Clients come in by TCP or
//! through a Unix socket.
//!
//! Two threads pump each connection, one for each direction. What a pump holds goes through the rules of
//! its direction, always in this order:
//!
//! | rule | effect | until |
//! |---|---|---|
//! | [`stall`](Proxy::stall) | nothing is read or passed; the sender's buffers fill | [`resume`](Proxy::resume) |
//! | [`half_open`](Proxy::half_open) | all is read and thrown away, the end of the stream too | `resume` |
//! | [`drop_matching`](Proxy::drop_matching) | cuts before a byte sequence | it has cut once |
//! | [`cut_after`](Proxy::cut_after) | cuts after a number of bytes | it has cut once |
//! | [`chunk`](Proxy::chunk) | many small writes instead of few large ones | `heal` |
//!
//! Rules belong to the proxy, not to a connection: one that strikes a connection yet to come is set
//! beforehand. *Cut* means that both sides of the connection see its end, and that no byte after the
//! cut passed in that direction. A rule holds for bytes the proxy has not handed on when it is set.

mod lane;
mod pump;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use lane::Lane;
use pump::{Shared, accept};
use socket::{Listener, Place};

/// A way through the proxy.
#[allow(clippy::exhaustive_enums, reason = "there are two directions")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ClientToServer,
    /// Answers and messages.
    ServerToClient,
}

/// A proxy on a port or at a path of its own; it closes all its connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    place: Place,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a port, and passes each connection on to `upstream`, which is dialled anew for each.
    pub fn start(upstream: SocketAddr) -> Self {
        Self::run(Place::tcp(), upstream)
    }

    /// Listens at the path of a Unix socket, and passes each connection on to `upstream` likewise.
    pub fn start_unix(upstream: SocketAddr) -> Self {
        Self::run(Place::unix(), upstream)
    }

    fn run(listening: io::Result<(Place, Listener)>, upstream: SocketAddr) -> Self {
        let (place, listener) =
            listening.unwrap_or_else(|error| panic!("a proxy cannot listen: {error}"));
        let shared = Arc::new(Shared::new(upstream));
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            place,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// The address it listens on.
    ///
    /// # Panics
    ///
    /// When it listens at a path.
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        match self.place {
            Place::Tcp(addr) => addr,
            Place::Unix(_) => panic!("a path is no address"),
        }
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        self.place.url()
    }

    /// Passes exactly `n` more bytes in this direction, counted from now, then cuts. With 0, cuts when
    /// the next byte is about to pass.
    pub fn cut_after(&self, direction: Direction, n: u64) {
        self.change(direction, |lane| lane.cut_after = Some(n));
    }

    /// Cuts right before `needle` would pass in this direction: an acknowledgement that never arrives.
    /// Bytes that may be its beginning wait for what follows them, so begin it with something no frame
    /// ends with.
    ///
    /// # Panics
    ///
    /// When the needle is empty.
    pub fn drop_matching(&self, direction: Direction, needle: &[u8]) {
        assert!(!needle.is_empty(), "an empty needle is everywhere");
        self.change(direction, |lane| lane.needle = Some(needle.to_vec()));
    }

    /// Passes nothing in this direction, and reads nothing, until [`Proxy::resume`].
    pub fn stall(&self, direction: Direction) {
        self.change(direction, |lane| lane.stalled = true);
    }

    /// Throws away all bytes in this direction, and the end of the stream, while the sockets stay open.
    /// Set it in both directions to hide that a server died.
    pub fn half_open(&self, direction: Direction) {
        self.change(direction, |lane| lane.half_open = true);
    }

    /// Ends [`Proxy::stall`] and [`Proxy::half_open`] in this direction.
    pub fn resume(&self, direction: Direction) {
        self.change(direction, |lane| {
            lane.stalled = false;
            lane.half_open = false;
        });
    }

    /// Passes bytes in this direction in writes of at most `size` bytes. (The receiver may still read
    /// several at once.)
    ///
    /// # Panics
    ///
    /// When the size is 0.
    pub fn chunk(&self, direction: Direction, size: usize) {
        assert!(size > 0, "chunks of no bytes");
        self.change(direction, |lane| lane.chunk = Some(size));
    }

    /// Lifts every rule of both directions and takes connections again. Live connections go on.
    pub fn heal(&self) {
        self.shared.state().refusing = false;
        self.change(Direction::ClientToServer, Lane::heal);
        self.change(Direction::ServerToClient, Lane::heal);
    }

    /// Closes the live connections now.
    pub fn cut_all(&self) {
        self.shared.cut_all();
    }

    /// Whether to close new connections as soon as they are accepted. Live ones go on.
    pub fn refuse(&self, on: bool) {
        self.shared.state().refusing = on;
    }

    /// How many connections it has accepted so far, refused ones too.
    pub fn connections(&self) -> usize {
        self.shared.state().accepted
    }

    /// How many connections are open.
    pub fn live(&self) -> usize {
        self.shared.state().live.len()
    }

    /// How many bytes have passed in this direction, over all connections. A byte counts before it is
    /// written, so what a peer has received is always counted.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.state().lane(direction).passed
    }

    /// The bytes that have passed in this direction, over all connections.
    ///
    /// # Panics
    ///
    /// When they are more than 8 MiB, the most that is kept.
    #[track_caller]
    pub fn transcript(&self, direction: Direction) -> Vec<u8> {
        let mut state = self.shared.state();
        let lane = state.lane(direction);
        let whole = lane.passed == lane.transcript.len() as u64;
        assert!(whole, "{} bytes passed: too many to keep", lane.passed);
        lane.transcript.clone()
    }

    fn change(&self, direction: Direction, change: impl FnOnce(&mut Lane)) {
        self.shared.change(|state| change(state.lane(direction)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.place.knock(); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.shared.cut_all();
    }
}
