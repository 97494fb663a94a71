//! Joins a session to the server in memory, in virtual time.
//!
//! [`World::settle`] is the polite embedder: everything is pumped until
//! nothing moves, and every event is drained. The smaller steps
//! ([`World::dial`], [`World::hand_over`], [`World::receive`], [`World::cut`])
//! are for tests that need something impolite.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kv_proto::{
    Binding, BucketConfig, BucketName, CallOptions, Config, CreateOptions, Credentials,
    DeleteOptions, Entry, Event, GetOptions, Instant, Key, Limits, LinkAction, LinkError,
    LinkErrorKind, LinkId, Op, OpResult, Outcome, PutOptions, ReadError, Revision, Seed, Session,
    Usage, WriteError,
};

use proptest::test_runner::Config as ProptestConfig;

use super::peer::Peer;

/// One socket.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) conn: u64,
    pub(crate) input: BytesMut,
    pub(crate) server: String,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) session: Session,
    pub(crate) peer: Peer,
    pub(crate) now: Instant,
    pub(crate) sockets: BTreeMap<LinkId, Socket>,
    /// Links in the order in which they were dialed.
    pub(crate) dialed: Vec<LinkId>,
    /// Links that the session asked to close.
    pub(crate) closed: Vec<LinkId>,
    /// While set, every dial is refused.
    pub(crate) down: bool,
    /// Everything handed over, on all links.
    pub(crate) written: Vec<u8>,
    /// Whether hints are read.
    pub(crate) drain_events: bool,
    pub(crate) events: Vec<Event>,
}

pub(crate) fn config() -> Config {
    Config::new("one:1").expect("a url")
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

pub(crate) fn name(text: &str) -> BucketName {
    BucketName::new(text).expect("a bucket name")
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The default limits with some of them changed.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

pub(crate) const CALL: fn() -> CallOptions = CallOptions::default;
pub(crate) const PUT: fn() -> PutOptions = PutOptions::default;

pub(crate) fn link_error(kind: LinkErrorKind) -> LinkError {
    LinkError::new(kind, "test")
}

/// The outcome of a write that failed.
pub(crate) fn outcome(result: &Result<Revision, WriteError>) -> Option<Outcome> {
    result.as_ref().err().map(WriteError::outcome)
}

/// What must be zero when nothing is asked for: all but links and timers.
#[track_caller]
pub(crate) fn assert_idle(world: &World) {
    let mut idle = Usage::default();
    let usage = world.session.usage();
    (idle.links, idle.timers) = (usage.links, usage.timers);
    assert_eq!(usage, idle);
}

/// How often a law is tried. Failures are printed as Rust, not kept in files.
pub(crate) fn laws(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// Line 3 of the contract, after `handle_timeout(t)`.
pub(crate) fn law_holds(session: &Session, t: Instant) {
    let next = session.poll_timeout();
    assert!(next.is_none_or(|next| next > t), "{next:?} after {t:?}");
}

impl World {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        let now = Instant::ORIGIN + seconds(100);
        Self {
            session: Session::new(now, config, Seed::from_u64(seed)),
            peer: Peer::new(),
            now,
            sockets: BTreeMap::new(),
            dialed: Vec::new(),
            closed: Vec::new(),
            down: false,
            written: Vec::new(),
            drain_events: true,
            events: Vec::new(),
        }
    }

    /// A connected session with an open bucket `b` of history 8.
    pub(crate) fn with_bucket(config: Config) -> (Self, Binding) {
        let mut world = Self::new(config, 1);
        let bucket = world.create_bucket(BucketConfig::new("b").history(8));
        (world, bucket)
    }

    pub(crate) fn create_bucket(&mut self, config: BucketConfig) -> Binding {
        let op = self.session.create_bucket(self.now, config, CALL());
        let op = op.expect("accepted");
        self.wait(op).expect("created")
    }

    // ---- steps ------------------------------------------------------------

    /// Does what the session wants done with links. Returns whether it wanted
    /// anything.
    pub(crate) fn dial(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.session.poll_link() {
            any = true;
            match action {
                LinkAction::Dial { link, .. } if self.down => {
                    let error = link_error(LinkErrorKind::Dial);
                    self.session.handle_closed(self.now, link, error);
                }
                LinkAction::Dial { link, server } => {
                    let socket = Socket {
                        conn: self.peer.accept(&server.to_string()),
                        input: BytesMut::new(),
                        server: server.to_string(),
                    };
                    self.sockets.insert(link, socket);
                    self.dialed.push(link);
                    self.session.handle_dialed(self.now, link);
                }
                LinkAction::Secure { link, .. } => {
                    self.session.handle_secured(self.now, link);
                }
                LinkAction::Authenticate { link, .. } => {
                    self.session
                        .handle_credentials(self.now, link, &Credentials::None);
                }
                LinkAction::Close { link } => {
                    self.closed.push(link);
                    if let Some(socket) = self.sockets.remove(&link) {
                        self.peer.hang_up(socket.conn);
                    }
                }
                other => panic!("unknown action {other:?}"),
            }
        }
        any
    }

    /// Hands at most `max` bytes over to the server; returns how many.
    pub(crate) fn hand_over(&mut self, link: LinkId, max: usize) -> usize {
        let Some(socket) = self.sockets.get(&link) else {
            return 0;
        };
        let conn = socket.conn;
        let mut output = self.session.transmit(link);
        let mut left = max;
        while left > 0 && output.has_remaining() {
            let step = output.chunk().len().min(left);
            let bytes = output.chunk()[..step].to_vec();
            output.advance(step);
            left -= step;
            self.written.extend_from_slice(&bytes);
            self.peer.receive(conn, &bytes);
        }
        max - left
    }

    /// How many bytes wait to be handed over.
    pub(crate) fn pending(&mut self, link: LinkId) -> usize {
        self.session.transmit(link).remaining()
    }

    /// Feeds at most `max` bytes that the server sent; returns how many.
    pub(crate) fn receive(&mut self, link: LinkId, max: usize) -> usize {
        let Some(socket) = self.sockets.get_mut(&link) else {
            return 0;
        };
        let Some(conn) = self.peer.conns.get_mut(&socket.conn) else {
            return 0;
        };
        let len = conn.output.len().min(max);
        socket.input.extend(conn.output.drain(..len));
        if len > 0 {
            self.session.handle_input(self.now, link, &mut socket.input);
        } else if conn.closed {
            self.cut(link, LinkErrorKind::Read);
        }
        len
    }

    /// Feeds these bytes as if the server had sent them.
    pub(crate) fn inject(&mut self, link: LinkId, bytes: &[u8]) {
        if let Some(socket) = self.sockets.get_mut(&link) {
            socket.input.extend_from_slice(bytes);
            self.session.handle_input(self.now, link, &mut socket.input);
        }
    }

    /// Breaks a socket; what is under way in either direction is lost.
    pub(crate) fn cut(&mut self, link: LinkId, kind: LinkErrorKind) {
        if let Some(socket) = self.sockets.remove(&link) {
            self.peer.hang_up(socket.conn);
            self.session.handle_closed(self.now, link, link_error(kind));
        }
    }

    /// The link that was dialed last.
    pub(crate) fn link(&self) -> LinkId {
        *self.dialed.last().expect("a link was dialed")
    }

    pub(crate) fn at(&mut self, now: Instant) {
        self.now = now;
        self.session.handle_timeout(now);
    }

    pub(crate) fn sleep(&mut self, duration: Duration) {
        self.at(self.now + duration);
    }

    // ---- the polite embedder ----------------------------------------------

    /// Pumps everything until nothing moves, in no time.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20_000 {
            let mut moved = self.dial();
            let links: Vec<LinkId> = self.sockets.keys().copied().collect();
            for link in links {
                moved |= self.hand_over(link, usize::MAX) > 0;
                moved |= self.receive(link, usize::MAX) > 0;
            }
            while self.drain_events
                && let Some(event) = self.session.poll_event()
            {
                self.events.push(event);
            }
            if !moved {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", self.session.usage());
    }

    /// Lets time pass until an operation ends.
    pub(crate) fn wait<T: OpResult>(&mut self, op: Op<T>) -> Result<T, T::Error> {
        for _ in 0..10_000 {
            self.settle();
            if let Some(result) = self.session.take(&op) {
                return result;
            }
            let next = self.session.poll_timeout();
            let next = next.expect("an operation that runs has a deadline");
            self.at(next.max(self.now));
        }
        panic!("the operation does not end");
    }

    /// Settles, and takes a result that must be there without waiting.
    pub(crate) fn done<T: OpResult>(&mut self, op: Op<T>) -> Result<T, T::Error> {
        self.settle();
        self.session.take(&op).expect("the operation ended at once")
    }

    /// Settles, and says whether the operation still runs.
    pub(crate) fn runs<T: OpResult>(&mut self, op: Op<T>) -> bool {
        self.settle();
        self.session.take(&op).is_none()
    }

    pub(crate) fn connect(&mut self) {
        self.settle();
        assert_eq!(
            self.session.state(),
            kv_proto::ConnectionState::Connected,
            "{:?}",
            self.session.last_disconnect()
        );
    }

    /// Waits for a connection, as long as it takes.
    pub(crate) fn reconnect(&mut self) {
        for _ in 0..1_000 {
            self.settle();
            if self.session.state() == kv_proto::ConnectionState::Connected {
                return;
            }
            let next = self.session.poll_timeout().expect("a dial is due");
            self.at(next.max(self.now));
        }
        panic!("no connection: {:?}", self.session.last_disconnect());
    }

    // ---- requests ---------------------------------------------------------

    pub(crate) fn put(&mut self, bucket: &Binding, k: &str, value: &str) -> Op<Revision> {
        let value = Bytes::copy_from_slice(value.as_bytes());
        let op = self.session.put(self.now, bucket, key(k), value, PUT());
        op.expect("accepted")
    }

    pub(crate) fn put_within(&mut self, bucket: &Binding, k: &str, time: Duration) -> Op<Revision> {
        let value = Bytes::from_static(b"v");
        let options = PUT().timeout(time);
        let op = self.session.put(self.now, bucket, key(k), value, options);
        op.expect("accepted")
    }

    pub(crate) fn create(&mut self, bucket: &Binding, k: &str, value: &str) -> Op<Revision> {
        let (value, options) = (
            Bytes::copy_from_slice(value.as_bytes()),
            CreateOptions::default(),
        );
        let op = self
            .session
            .create(self.now, bucket, key(k), value, options);
        op.expect("accepted")
    }

    pub(crate) fn update(
        &mut self,
        bucket: &Binding,
        k: &str,
        value: &str,
        expected: u64,
    ) -> Op<Revision> {
        let (value, expected) = (
            Bytes::copy_from_slice(value.as_bytes()),
            Revision::new(expected),
        );
        let op = self
            .session
            .update(self.now, bucket, key(k), value, expected, PUT());
        op.expect("accepted")
    }

    pub(crate) fn delete(&mut self, bucket: &Binding, k: &str) -> Op<Revision> {
        let options = DeleteOptions::default();
        let op = self.session.delete(self.now, bucket, key(k), options);
        op.expect("accepted")
    }

    pub(crate) fn get(
        &mut self,
        bucket: &Binding,
        k: &str,
        options: GetOptions,
    ) -> Op<Option<Entry>> {
        let op = self.session.get(self.now, bucket, key(k), options);
        op.expect("accepted")
    }

    /// Reads a value by the leader and waits for it.
    pub(crate) fn read(&mut self, bucket: &Binding, k: &str) -> Result<Option<String>, ReadError> {
        let op = self.get(bucket, k, GetOptions::default().leader());
        let entry = self.wait(op)?;
        Ok(entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
    }

    /// Checks that nothing is left behind: the next operations work, and the
    /// session accepts as many as it ever did.
    pub(crate) fn assert_usable(&mut self, bucket: &Binding, max_ops: usize) {
        self.reconnect();
        let ops: Vec<_> = (0..max_ops)
            .map(|index| self.put(bucket, &format!("usable.{index}"), "fresh"))
            .collect();
        let value = Bytes::from_static(b"x");
        let one_more = self
            .session
            .put(self.now, bucket, key("usable.more"), value, PUT());
        assert_eq!(one_more.err(), Some(kv_proto::Refused::Full.into()));
        for op in ops {
            self.wait(op).expect("a put on a healthy link");
        }
        let read = self.read(bucket, "usable.0");
        assert_eq!(read, Ok(Some("fresh".to_owned())));
    }
}
