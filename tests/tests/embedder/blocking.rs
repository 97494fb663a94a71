//! An embedder on `std::net`: no runtime, no threads, no dependencies. Everything that a [`Session`] needs from the
//! world is in [`Blocking::turn`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant as Clock};

use bytes::{Buf, BytesMut};
use kv_proto::{
    Config, ConnectionState, Credentials, Instant, LinkAction, LinkError, LinkErrorKind, LinkId,
    Op, OpResult, Seed, ServerAddr, Session, Update, WatchError, WatchId, WatchState,
};

/// How long to rest when nothing moves. One that has more to do would wait for its sockets with `poll`.
const REST: Duration = Duration::from_micros(200);

pub(crate) struct Blocking {
    pub(crate) session: Session,
    /// What to log in with where the configuration leaves it to the embedder.
    pub(crate) credentials: Credentials,
    began: Clock,
    /// One as a rule; two while the client moves to another server.
    sockets: Vec<Socket>,
}

struct Socket {
    link: LinkId,
    stream: TcpStream,
    /// What was read, and does not make a whole frame yet.
    input: BytesMut,
}

impl Blocking {
    pub(crate) fn new(config: Config) -> io::Result<Self> {
        let mut entropy = [0; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut entropy)?;
        Ok(Self {
            session: Session::new(Instant::ORIGIN, config, Seed::new(entropy)),
            credentials: Credentials::None,
            began: Clock::now(),
            sockets: Vec::new(),
        })
    }

    /// The time, as the session counts it.
    pub(crate) fn now(&self) -> Instant {
        Instant::ORIGIN + self.began.elapsed()
    }

    /// Works until an operation has ended.
    pub(crate) fn wait<T: OpResult>(&mut self, op: Op<T>) -> Result<T, T::Error> {
        loop {
            if let Some(result) = self.session.take(&op) {
                return result;
            }
            self.turn();
        }
    }

    /// Works until a watch has something to tell; `None` after its end.
    pub(crate) fn next(&mut self, watch: WatchId) -> Option<Result<Update, WatchError>> {
        loop {
            if let Some(update) = self.session.next_update(watch) {
                return Some(update);
            }
            if matches!(
                self.session.watch_state(watch),
                None | Some(WatchState::Ended)
            ) {
                return None;
            }
            self.turn();
        }
    }

    /// Finishes what was asked for, and ends.
    pub(crate) fn close(&mut self) {
        self.session.close(self.now());
        while self.session.state() != ConnectionState::Closed {
            self.turn();
        }
    }

    /// Does what is to be done now: makes and closes connections, moves bytes, tells the time. Rests a little if that
    /// was nothing.
    pub(crate) fn turn(&mut self) {
        while let Some(action) = self.session.poll_link() {
            self.act(action);
        }
        let mut moved = false;
        for mut socket in std::mem::take(&mut self.sockets) {
            match self.move_bytes(&mut socket) {
                Ok(some) => {
                    moved |= some;
                    self.sockets.push(socket);
                }
                Err((kind, error)) => self.lost(socket.link, kind, &error),
            }
        }
        self.session.handle_timeout(self.now());
        if !moved {
            thread::sleep(REST);
        }
    }

    fn act(&mut self, action: LinkAction) {
        match action {
            LinkAction::Dial { link, server } => match dial(&server) {
                Ok(stream) => {
                    let input = BytesMut::new();
                    self.sockets.push(Socket {
                        link,
                        stream,
                        input,
                    });
                    self.session.handle_dialed(self.now(), link);
                }
                Err(error) => self.lost(link, LinkErrorKind::Dial, &error),
            },
            LinkAction::Authenticate { link, .. } => {
                let now = self.now();
                self.session
                    .handle_credentials(now, link, &self.credentials);
            }
            LinkAction::Close { link } => self.sockets.retain(|socket| socket.link != link),
            LinkAction::Secure { link, .. } => {
                let error = io::Error::from(ErrorKind::Unsupported);
                self.lost(link, LinkErrorKind::Secure, &error);
            }
            other => panic!("a new kind of action, which this embedder does not know: {other:?}"),
        }
    }

    /// Writes and reads as much as can be without waiting. Returns whether that was anything.
    fn move_bytes(&mut self, socket: &mut Socket) -> Result<bool, (LinkErrorKind, io::Error)> {
        let mut moved = false;
        let mut output = self.session.transmit(socket.link);
        while output.has_remaining() {
            let written = without_waiting(socket.stream.write(output.chunk()));
            let Some(len) = written.map_err(|error| (LinkErrorKind::Write, error))? else {
                break;
            };
            output.advance(len);
            moved = true;
        }
        let mut chunk = [0; 16 * 1024];
        let read = without_waiting(socket.stream.read(&mut chunk));
        match read.map_err(|error| (LinkErrorKind::Read, error))? {
            None => Ok(moved),
            Some(0) => Err((LinkErrorKind::Read, ErrorKind::UnexpectedEof.into())),
            Some(len) => {
                socket.input.extend_from_slice(&chunk[..len]);
                let now = self.now();
                self.session
                    .handle_input(now, socket.link, &mut socket.input);
                Ok(true)
            }
        }
    }

    fn lost(&mut self, link: LinkId, kind: LinkErrorKind, error: &io::Error) {
        let error = LinkError::new(kind, error.to_string());
        self.session.handle_closed(self.now(), link, error);
    }
}

fn dial(server: &ServerAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((server.host(), server.port()))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// `None` for what would have to wait.
fn without_waiting(moved: io::Result<usize>) -> io::Result<Option<usize>> {
    match moved {
        Ok(len) => Ok(Some(len)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}
