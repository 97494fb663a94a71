//! One client's whole life over many sockets, as a value.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod cleanup;
mod closing;
mod connection;
mod credit;
mod deliveries;
mod denials;
mod feeds;
mod flow;
mod links;
mod requests;
mod silence;
mod sweeps;
mod usage;
mod watch_timers;
mod watches;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use bytes::BytesMut;

use crate::config::Config;
use crate::connection::ConnectionLog;
use crate::error::{ConnectError, Disconnect};
use crate::kv::answerers::Answerers;
use crate::kv::floors::Floors;
use crate::kv::sweep::Sweep;
use crate::kv::watch::{WatchId, Watches};
use crate::limits::Limits;
use crate::link::{Link, LinkId, State};
use crate::mutant::{self, Mutant, TornFrame};
use crate::mux::INBOX_SID;
use crate::op::{Elapsed, Op, OpId, OpResult, Ops, Output, Phase};
use crate::out::Transmit;
use crate::paths::{Path, took};
use crate::pool::Pool;
use crate::rng::{Rng, Seed};
use crate::server::ServerAddr;
use crate::stats::Stats;
use crate::tally::Tally;
use crate::time::Instant;
use crate::timer::{Reason, TimerId, Timers};

use cleanup::Cleanup;
pub use usage::Usage;

/// A key-value client without I/O.
///
/// It has four kinds of methods. *Requests* ([`put`](Self::put),
/// [`get`](Self::get), [`open`](Self::open) …) return typed tickets at once.
/// *Inputs* (`handle_*`) report what sockets and the clock did. *Outputs*
/// ([`poll_link`](Self::poll_link), [`transmit`](Self::transmit),
/// [`poll_timeout`](Self::poll_timeout), [`poll_event`](Self::poll_event)) say
/// what to do next. *Pulls* ([`take`](Self::take),
/// [`next_update`](Self::next_update)) hand results over.
///
/// # Contract
///
/// 1. Any interleaving of requests, inputs, outputs and pulls is legal. Not
///    polling costs latency, never correctness.
/// 2. Events are `Copy` hints, at most one pending per id. Ignoring all of
///    them and only calling `take`, `next_update`, `transmit` and
///    `poll_timeout` gives the same results.
/// 3. `now` never runs backwards inside: a smaller value counts as the largest
///    seen. After `handle_timeout(t)`, `poll_timeout()` is `None` or later
///    than `t`.
/// 4. Memory stays under [`Limits::worst_case_bytes`], from the first byte
///    received, before authentication too. Every queue has a capacity and a
///    named refusal.
/// 5. No bytes from a server and no sequence of calls can panic. (A broken
///    internal invariant may: a panic means *our* bug.)
/// 6. Same seed and same calls give byte-identical output and identical
///    results, in any process and build.
/// 7. All impurity enters through the constructor and arguments: no clock,
///    randomness, environment, thread or hash-map order inside.
///
/// # Embedding
///
/// ```
/// use kv_proto::{Config, Instant, LinkAction, Seed, Session};
///
/// let mut session = Session::new(Instant::ORIGIN, Config::new("localhost")?, Seed::from_u64(1));
/// let Some(LinkAction::Dial { link, server }) = session.poll_link() else {
///     unreachable!("a new session wants a connection");
/// };
/// assert_eq!(server.to_string(), "localhost:4222");
/// // Connect, then report `handle_dialed(now, link)`; then move bytes with
/// // `handle_input` and `transmit`, and call `handle_timeout` when
/// // `poll_timeout` is due. `examples/blocking.rs` is the whole loop.
/// # Ok::<(), kv_proto::InvalidUrl>(())
/// ```
#[derive(Debug)]
pub struct Session {
    now: Instant,
    config: Config,
    /// What is accepted of a server that has not let us in yet.
    limits_before_login: Limits,
    rng: Rng,
    timers: Timers,
    pool: Pool,
    links: Vec<Link>,
    /// The link that takes new requests.
    active: Option<LinkId>,
    last_link: u64,
    actions: VecDeque<LinkAction>,
    dial_timer: Option<TimerId>,
    ops: Ops,
    /// Operations whose next request waits for a link with room, in order.
    waiting: VecDeque<OpId>,
    /// When the next question is unanswered for too long, if any is.
    silence: Option<TimerId>,
    pending_bytes: usize,
    result_bytes: usize,
    watches: Watches,
    /// Watches that want a feed and wait for a link with room.
    hungry: VecDeque<WatchId>,
    /// A watch waits for readers of others to make room.
    starved: bool,
    watch_bytes: usize,
    /// What the filters of watches take.
    filter_bytes: usize,
    last_sid: u64,
    cleanup: Cleanup,
    sweeps: BTreeMap<OpId, Sweep>,
    floors: Floors,
    answerers: Answerers,
    /// Sweeps that have something to look at.
    swept: BTreeSet<OpId>,
    events: VecDeque<Event>,
    connection_hinted: bool,
    life: Life,
    last_disconnect: Option<Disconnect>,
    /// Operations that the end cut short.
    unfinished: usize,
    log: ConnectionLog,
    stats: Stats,
    torn: TornFrame,
}

/// The least room to make before a read.
pub(crate) const READ_AHEAD: usize = 16 * 1024;

/// What the embedder shall do with a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkAction {
    /// Connect to the server, then call
    /// [`handle_dialed`](Session::handle_dialed), or
    /// [`handle_closed`](Session::handle_closed) if that fails.
    Dial {
        /// The name of the new link.
        link: LinkId,
        /// Where to connect to.
        server: ServerAddr,
    },
    /// Make the transport a TLS one, and check that its certificate is that of
    /// the [host](ServerAddr::host) of `server`; then call
    /// [`handle_secured`](Session::handle_secured), or
    /// [`handle_closed`](Session::handle_closed) with
    /// [`LinkErrorKind::Secure`](crate::LinkErrorKind::Secure) if that fails.
    /// Nothing is to be read or written before that but by the handshake.
    ///
    /// Only where the [configuration](Config) asks for TLS.
    Secure {
        /// The link to secure.
        link: LinkId,
        /// Where it leads.
        server: ServerAddr,
    },
    /// Find credentials, then call
    /// [`handle_credentials`](Session::handle_credentials).
    Authenticate {
        /// The link to log in on.
        link: LinkId,
        /// Where it leads.
        server: ServerAddr,
        /// The server's challenge, for credentials that sign.
        nonce: Option<String>,
    },
    /// Close the transport. The session has forgotten the link.
    Close {
        /// The link that is gone.
        link: LinkId,
    },
}

/// A hint that something is ready to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The operation ended: [`take`](Session::take) its result.
    Op(OpId),
    /// The watch has something to tell: ask for its
    /// [`next_update`](Session::next_update), or its
    /// [`watch_state`](Session::watch_state).
    Watch(WatchId),
    /// The connection changed: look at [`state`](Session::state), or at the
    /// [events](Session::next_connection_event).
    Connection,
}

/// Whether the session has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// No connection was made yet.
    Connecting,
    /// Requests are sent.
    Connected,
    /// The connection was lost; requests wait for the next one.
    Reconnecting,
    /// The last requests are finished, and no more are accepted.
    Closing,
    /// The session is over.
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
enum Life {
    /// No link was ready yet.
    Starting,
    Running,
    Closing(TimerId),
    /// Over; with the reason if it was not asked for.
    Closed(Option<ConnectError>),
}

impl Session {
    /// Makes a session that wants a connection. `seed` is the only source of
    /// randomness; take it from the operating system outside of tests.
    #[must_use]
    pub fn new(now: Instant, config: Config, seed: Seed) -> Self {
        let mut rng = Rng::new(&seed);
        let mut session = Self {
            now,
            limits_before_login: config.limits.before_login(),
            timers: Timers::default(),
            pool: Pool::new(&config, &mut rng),
            rng,
            answerers: Answerers::default(),
            floors: Floors::new(config.reads_never_go_back, config.limits.max_floor_bytes),
            config,
            links: Vec::new(),
            active: None,
            last_link: 0,
            actions: VecDeque::new(),
            dial_timer: None,
            ops: Ops::default(),
            waiting: VecDeque::new(),
            silence: None,
            pending_bytes: 0,
            result_bytes: 0,
            watches: Watches::default(),
            hungry: VecDeque::new(),
            starved: false,
            watch_bytes: 0,
            filter_bytes: 0,
            last_sid: INBOX_SID,
            cleanup: Cleanup::default(),
            sweeps: BTreeMap::new(),
            swept: BTreeSet::new(),
            events: VecDeque::new(),
            connection_hinted: false,
            life: Life::Starting,
            last_disconnect: None,
            unfinished: 0,
            log: ConnectionLog::default(),
            stats: Stats::default(),
            torn: TornFrame::default(),
        };
        session.want_link();
        session
    }

    // ---- outputs ----------------------------------------------------------

    /// Returns the next thing to do with a link.
    pub fn poll_link(&mut self) -> Option<LinkAction> {
        self.finish_if_idle();
        self.actions.pop_front()
    }

    /// Returns what is to be written to a link now; nothing for a link that is
    /// gone. What is not taken stays for the next call.
    pub fn transmit(&mut self, link: LinkId) -> Transmit<'_> {
        self.pump();
        match self.links.iter_mut().find(|known| known.id == link) {
            Some(link) if link.state != State::Dialing && !link.is_securing() => {
                link.outbox.transmit()
            }
            Some(_) | None => Transmit::nothing(),
        }
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Returns the next hint.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(event) = self.events.pop_front() {
            match event {
                Event::Connection => self.connection_hinted = false,
                Event::Watch(id) => match self.watches.get_mut(id) {
                    Some(watch) => watch.hinted = false,
                    None => continue,
                },
                Event::Op(id) => match self.ops.get_mut(id) {
                    Some(running) => running.hinted = false,
                    None => continue,
                },
            }
            return Some(event);
        }
        None
    }

    /// Returns how many bytes the embedder should make room for before it
    /// reads into the buffer of a link that holds `have` bytes.
    #[must_use]
    pub fn read_hint(&self, link: LinkId, have: usize) -> usize {
        let known = self.links.iter().find(|known| known.id == link);
        let (missing, longest) =
            known.map_or((1, 0), |link| (link.decoder.missing(have), link.longest));
        // Room grows with what was received, now or before, never with what is announced.
        missing.min(have.max(longest)).max(READ_AHEAD)
    }

    /// Returns the current instant as the session knows it: the largest that
    /// it was told.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    // ---- pulls ------------------------------------------------------------

    /// Returns the result of an operation that ended, once; `None` while it
    /// runs, and for a ticket that was taken or cancelled before.
    pub fn take<T: OpResult>(&mut self, op: &Op<T>) -> Option<Result<T, T::Error>> {
        let running = self.ops.get_mut(op.id())?;
        let output = match &mut running.phase {
            Phase::Ended(output) => mem::replace(output, Output::Elapsed(Ok(Elapsed))),
            Phase::Waiting | Phase::Sent { .. } | Phase::Paused => return None,
        };
        self.result_bytes.lower(running.held);
        self.ops.remove(op.id());
        self.sweep_queues();
        T::from_output(output)
    }

    // ---- shared -----------------------------------------------------------

    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Moves the clock, and ends what should have ended before.
    fn advance_to(&mut self, now: Instant) {
        self.tick(now);
        self.expire();
    }

    /// Fires what was due *before* now, when the embedder's timer is late:
    /// no frame is begun after its operation's deadline. What is due at this
    /// very instant waits for [`handle_timeout`](Self::handle_timeout).
    fn expire(&mut self) {
        if mutant::is(Mutant::LateTimersForgotten) {
            return;
        }
        while self.timers.next().is_some_and(|at| at < self.now) {
            if let Some(reason) = self.timers.pop_due(self.now) {
                self.fire(reason);
            }
        }
    }

    fn fire(&mut self, reason: Reason) {
        match reason {
            Reason::Deadline(op) => self.on_deadline(op),
            Reason::Retry(op) => self.on_retry(op),
            Reason::Silence => self.on_silence(),
            Reason::Handshake(link) => {
                took(Path::TimedOutHandshake);
                self.end_link(link, Disconnect::HandshakeTimedOut);
            }
            Reason::Liveness(link) => self.on_liveness(link),
            Reason::Drained(link) => {
                took(Path::DrainedLate);
                self.end_link(link, Disconnect::LameDuck);
            }
            Reason::Dial => {
                self.dial_timer = None;
                self.want_link();
            }
            Reason::Cleanup => self.on_cleanup_timer(),
            Reason::Watch(id, timer) => self.on_watch_timer(id, timer),
            Reason::Close => {
                took(Path::ClosedLate);
                self.finish(None);
            }
        }
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    fn active_link(&self) -> Option<&Link> {
        let active = self.active?;
        self.links.iter().find(|link| link.id == active)
    }

    /// Fires what is due.
    ///
    /// A reply that was fed before this call wins over a deadline of the same
    /// instant.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        while let Some(reason) = self.timers.pop_due(self.now) {
            self.fire(reason);
            if mutant::is(Mutant::OneTimerAtATime) {
                break;
            }
        }
        self.pump();
    }

    /// Feeds bytes that a link received. Whole frames are taken from the front
    /// of `input`, a partial one stays; between calls only append to it.
    pub fn handle_input(&mut self, now: Instant, link: LinkId, input: &mut BytesMut) {
        self.tick(now);
        self.read(link, input);
        self.expire();
        self.pump();
        self.finish_if_idle();
    }
}
