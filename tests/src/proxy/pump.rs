//! The threads of a proxy: one accepts, and two pump the bytes of each connection, one each way.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::Direction;
use super::lane::{Lane, Step};
use super::socket::{Listener, Socket};

/// How long the upstream server may take to accept; beyond it, the client is turned away.
const DIAL: Duration = Duration::from_secs(2);

/// How much a pump reads at once.
const READ: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    up: Lane,
    down: Lane,
    pub(super) live: BTreeMap<usize, Pair>,
    pub(super) accepted: usize,
    pub(super) refusing: bool,
    pub(super) closing: bool,
}

/// Handles to the sockets of one connection, to close them from any thread.
#[derive(Debug)]
pub(super) struct Pair {
    client: Socket,
    server: Socket,
    /// Directions whose stream came to its end.
    ended: usize,
}

impl Shared {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Changes the state and lets every waiting pump look at it again.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.notify_all();
        changed
    }

    pub(super) fn cut_all(&self) {
        let pairs = self.change(|state| std::mem::take(&mut state.live));
        for pair in pairs.values() {
            pair.close();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, number: usize) {
        if let Some(pair) = self.change(|state| state.live.remove(&number)) {
            pair.close();
        }
    }

    /// What the pump is to do with what it holds; waits while a rule says so. `None`: the connection is
    /// cut.
    fn step(&self, number: usize, way: Direction, held: &[u8], ended: bool) -> Option<Step> {
        let mut state = self.state();
        loop {
            if !state.live.contains_key(&number) {
                return None;
            }
            match state.lane(way).step(held, ended) {
                Step::Wait => {}
                step @ (Step::Read | Step::Swallow | Step::End | Step::Pass { .. }) => {
                    return Some(step);
                }
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// One direction has ended in good order; the connection is over when both have.
    fn end(&self, number: usize, to: &Socket) {
        let _ = to.shutdown(Shutdown::Write);
        let mut state = self.state();
        if let Some(pair) = state.live.get_mut(&number) {
            pair.ended += 1;
            if pair.ended == 2 {
                state.live.remove(&number);
            }
        }
    }
}

/// Takes connections until the proxy closes.
pub(super) fn accept(listener: &Listener, shared: &Arc<Shared>) {
    loop {
        let Ok(client) = listener.accept() else {
            continue;
        };
        let number = {
            let mut state = shared.state();
            if state.closing {
                return;
            }
            state.accepted += 1;
            if state.refusing {
                continue;
            }
            state.accepted
        };
        // A client whose server cannot be reached is turned away: `connect` drops its socket.
        let _ = connect(client, number, shared);
    }
}

fn connect(client: Socket, number: usize, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&shared.upstream, DIAL)?;
    server.set_nodelay(true)?;
    let server = Socket::Tcp(server);
    let up = (client.try_clone()?, server.try_clone()?);
    let down = (server.try_clone()?, client.try_clone()?);
    let pair = Pair {
        client,
        server,
        ended: 0,
    };
    shared.state().live.insert(number, pair);
    for (way, (from, to)) in [
        (Direction::ClientToServer, up),
        (Direction::ServerToClient, down),
    ] {
        let shared = Arc::clone(shared);
        thread::spawn(move || pump(&shared, number, way, &from, &to));
    }
    Ok(())
}

fn pump(shared: &Shared, number: usize, way: Direction, from: &Socket, to: &Socket) {
    let mut buffer = vec![0; READ];
    let mut held = Vec::new(); // read, and not passed; from `start` on
    let mut start = 0;
    let mut ended = false;
    while let Some(step) = shared.step(number, way, &held[start..], ended) {
        match step {
            Step::Wait => {}
            Step::Read => {
                held.drain(..start);
                start = 0;
                // A reset ends the stream as a close does.
                let n = from.read(&mut buffer).unwrap_or(0);
                ended = n == 0;
                held.extend_from_slice(&buffer[..n]);
            }
            Step::Swallow => {
                held.clear();
                start = 0;
            }
            Step::Pass { n, cut } => {
                let written = to.write_all(&held[start..start + n]);
                start += n;
                if cut || written.is_err() {
                    return shared.cut(number);
                }
            }
            Step::End => return shared.end(number, to),
        }
    }
}

impl State {
    pub(super) fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ClientToServer => &mut self.up,
            Direction::ServerToClient => &mut self.down,
        }
    }
}

impl Pair {
    fn close(&self) {
        // An error means that the peer has closed it already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}
