//! A bare embedder: a session, the read buffer of one socket, and nothing
//! that allocates on its own account. What the test itself needs is kept out
//! of the count.

use allocation_counter::opt_out;
use bytes::{Buf, BytesMut};
use kv_proto::{Config, ConnectionState, Instant, LinkAction, LinkId, Seed, Session};

use crate::support::embedder::seconds;

/// Runs something whose allocations do not count.
pub(crate) fn uncounted<T>(run: impl FnOnce() -> T) -> T {
    let mut result = None;
    opt_out(|| result = Some(run()));
    result.expect("it ran")
}

#[derive(Debug)]
pub(crate) struct Bare {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    pub(crate) link: Option<LinkId>,
    input: BytesMut,
}

impl Bare {
    pub(crate) fn new(config: Config) -> Self {
        let now = Instant::ORIGIN + seconds(100);
        Self {
            session: Session::new(now, config, Seed::from_u64(1)),
            now,
            link: None,
            input: BytesMut::new(),
        }
    }

    /// Does as the session says until there is a socket.
    pub(crate) fn dial(&mut self) -> LinkId {
        loop {
            while let Some(action) = self.session.poll_link() {
                match action {
                    LinkAction::Dial { link, .. } => {
                        self.input = BytesMut::new();
                        self.session.handle_dialed(self.now, link);
                        self.link = Some(link);
                    }
                    LinkAction::Close { link } if self.link == Some(link) => self.link = None,
                    _ => {}
                }
            }
            if let Some(link) = self.link {
                return link;
            }
            self.now = self.session.poll_timeout().expect("a dial is due");
            self.session.handle_timeout(self.now);
        }
    }

    /// What a socket does with what a peer sent: it fills the room that the
    /// session asked for.
    pub(crate) fn feed(&mut self, link: LinkId, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let hint = self.session.read_hint(link, self.input.len());
            self.input.reserve(hint);
            let room = self.input.capacity() - self.input.len();
            let len = room.min(bytes.len());
            self.input.extend_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.session.handle_input(self.now, link, &mut self.input);
        }
    }

    /// Takes everything that is to be written; not counted.
    pub(crate) fn written(&mut self, link: LinkId) -> String {
        let mut output = self.session.transmit(link);
        let mut all = String::new();
        while output.has_remaining() {
            let chunk = output.chunk();
            uncounted(|| all.push_str(&String::from_utf8_lossy(chunk)));
            output.advance(output.chunk().len());
        }
        all
    }

    /// The same, and forgets it.
    pub(crate) fn write(&mut self, link: LinkId) {
        let text = self.written(link);
        uncounted(|| drop(text));
    }

    pub(crate) fn log_in(&mut self) -> LinkId {
        let link = self.dial();
        self.feed(link, INFO);
        self.write(link);
        self.feed(link, b"PONG\r\n");
        self.write(link);
        assert_eq!(self.session.state(), ConnectionState::Connected);
        link
    }
}

const INFO: &[u8] = b"INFO {\"headers\":true,\"jetstream\":true,\"max_payload\":1048576}\r\n";
