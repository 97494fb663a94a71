//! A server that does what a script says: for the answers no real server gives.
//!
//! ```no_run
//! use std::time::Duration;
//! use kv_tests::Fake;
//!
//! let fake = Fake::start(|conn| {
//!     conn.handshake();
//!     conn.read_until(b"PING\r\n", Duration::from_secs(5));
//!     conn.send(b"MSG x 1 99999999999\r\n");
//! });
//! // … a client connects to fake.url() …
//! ```
//!
//! The script runs once for each connection, on a thread of its own; the connection closes when it
//! returns. A client that hangs up ends the script in silence, wherever it is. A script that panics (a
//! deadline passed, an assertion failed) fails the test when the [`Fake`] is dropped.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::stream::{Broken, Stream};

/// How long the end of a test waits for scripts that have more to do than to read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A scripted server on a port of its own; it hangs up on all its clients when dropped.
#[derive(Debug)]
pub struct Fake {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accepted: usize,
    closing: bool,
    live: BTreeMap<usize, TcpStream>,
    failures: Vec<String>,
}

/// Unwinds a script whose client is gone.
struct HungUp;

impl Fake {
    /// Listens, and runs `script` for each connection.
    pub fn start(script: impl Fn(&mut FakeConn) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap_or_else(|error| panic!("a fake server cannot listen: {error}"));
        let addr = listener
            .local_addr()
            .unwrap_or_else(|error| panic!("a fake server has no address: {error}"));
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, addr, &shared, &Arc::new(script))
        });
        Self {
            addr,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections it has accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.state().accepted
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        let _ = TcpStream::connect(self.addr); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for socket in self.shared.state().live.values() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // What a script finds in what it was sent counts, too.
        let deadline = Instant::now() + LAST_WORDS;
        while !self.shared.state().live.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let failures = std::mem::take(&mut self.shared.state().failures);
        if !failures.is_empty() && !thread::panicking() {
            panic!("a fake server's script failed: {}", failures.join("; "));
        }
    }
}

/// The server's end of one connection.
#[derive(Debug)]
pub struct FakeConn {
    stream: Stream,
    addr: SocketAddr,
    number: usize,
    connect: Option<Value>,
}

impl FakeConn {
    /// Which connection of its server this is: 0 is the first.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Takes the server's part of a TLS handshake; all that follows is encrypted.
    ///
    /// # Errors
    ///
    /// When the client does not accept it, or sends no handshake within ten seconds.
    pub fn secure(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        self.stream.secure(Arc::clone(config), PATIENCE)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        let sent = self.stream.write(bytes);
        sent.unwrap_or_else(|_| hang_up());
    }

    /// Reads through the first `needle` and returns all that was read.
    ///
    /// # Panics
    ///
    /// When the deadline, from now, passes first.
    pub fn read_until(&mut self, needle: &[u8], deadline: Duration) -> Vec<u8> {
        assert!(!needle.is_empty(), "an empty needle is everywhere");
        let read = self.stream.until(needle, Instant::now() + deadline);
        read.unwrap_or_else(|broken| self.broken(broken, &String::from_utf8_lossy(needle)))
    }

    /// Reads exactly `n` bytes: a payload, say.
    ///
    /// # Panics
    ///
    /// When the deadline, from now, passes first.
    pub fn read_exact(&mut self, n: usize, deadline: Duration) -> Vec<u8> {
        let read = self.stream.exact(n, Instant::now() + deadline);
        read.unwrap_or_else(|broken| self.broken(broken, &format!("{n} bytes")))
    }

    /// Reads until the client closes and returns all that was read.
    ///
    /// # Panics
    ///
    /// When the client has not closed at the deadline, from now.
    pub fn read_to_end(&mut self, deadline: Duration) -> Vec<u8> {
        let read = self.stream.rest(Instant::now() + deadline);
        read.unwrap_or_else(|broken| self.broken(broken, "the end"))
    }

    /// Whether the client, whose end was read, ended in good order: over TLS with a `close_notify`.
    pub fn was_told_the_end(&self) -> bool {
        self.stream.told_the_end
    }

    /// The INFO of a healthy 2.15.1 at this address, as JSON.
    pub fn info(&self) -> Value {
        json!({
            "server_id": "NDFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKEFAKEFA",
            "server_name": "fake", "version": "2.15.1", "proto": 1, "go": "go1.26.0",
            "host": "127.0.0.1", "port": self.addr.port(), "headers": true,
            "max_payload": 1_048_576, "jetstream": true, "client_id": self.number + 1,
            "client_ip": "127.0.0.1", "xkey": "XFAKE",
        })
    }

    /// Sends [`FakeConn::info`] as an INFO line.
    pub fn info_default(&mut self) {
        self.info_with(&json!({}));
    }

    /// Sends an INFO line in which these members replace the default ones; a null removes its member.
    pub fn info_with(&mut self, overrides: &Value) {
        let mut info = self.info();
        if let (Some(info), Some(overrides)) = (info.as_object_mut(), overrides.as_object()) {
            info.extend(overrides.clone());
            info.retain(|_, value| !value.is_null());
        }
        self.send(format!("INFO {info}\r\n").as_bytes());
    }

    /// Greets, reads the client's CONNECT through its first PING, and answers that. Returns what it read.
    ///
    /// # Panics
    ///
    /// When the client does anything else.
    pub fn handshake(&mut self) -> Vec<u8> {
        self.handshake_with(&json!({}))
    }

    /// As [`FakeConn::handshake`], with the INFO of [`FakeConn::info_with`].
    pub fn handshake_with(&mut self, overrides: &Value) -> Vec<u8> {
        self.info_with(overrides);
        self.log_in()
    }

    /// The part of [`FakeConn::handshake`] that follows the greeting.
    ///
    /// # Panics
    ///
    /// When the client does anything else.
    pub fn log_in(&mut self) -> Vec<u8> {
        let hello = self.read_until(b"PING\r\n", PATIENCE);
        let text = String::from_utf8_lossy(&hello);
        let connect = text
            .strip_prefix("CONNECT ")
            .and_then(|rest| serde_json::from_str(rest.split("\r\n").next()?).ok());
        let Some(connect) = connect else {
            panic!("a client began with {text:?}");
        };
        self.connect = Some(connect);
        self.send(b"PONG\r\n");
        hello
    }

    /// What the client sent in its CONNECT.
    ///
    /// # Panics
    ///
    /// Before the handshake.
    pub fn connect_json(&self) -> &Value {
        let Some(connect) = &self.connect else {
            panic!("connect_json before handshake");
        };
        connect
    }

    /// Closes the connection; the script may go on for other purposes.
    pub fn close(&mut self) {
        self.stream.close();
    }

    fn broken<T>(&self, broken: Broken, wanted: &str) -> T {
        match broken {
            Broken::Ended => hang_up(),
            Broken::Late => {
                let unread = String::from_utf8_lossy(self.stream.unread());
                panic!("waited in vain for {wanted:?}, after {unread:?}")
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept<F>(listener: &TcpListener, addr: SocketAddr, shared: &Arc<Shared>, script: &Arc<F>)
where
    F: Fn(&mut FakeConn) + Send + Sync + 'static,
{
    for socket in listener.incoming().flatten() {
        let mut state = shared.state();
        if state.closing {
            return;
        }
        let number = state.accepted;
        state.accepted += 1;
        let Ok(handle) = socket.try_clone() else {
            state.failures.push("out of file descriptors".to_owned());
            return;
        };
        state.live.insert(number, handle);
        drop(state);

        let shared = Arc::clone(shared);
        let script = Arc::clone(script);
        let mut conn = FakeConn {
            stream: Stream::new(socket),
            addr,
            number,
            connect: None,
        };
        thread::spawn(move || {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| script(&mut conn)));
            let mut state = shared.state();
            state.live.remove(&number);
            if let Err(cause) = outcome
                && !cause.is::<HungUp>()
            {
                state.failures.push(message(&*cause));
            }
            drop(state);
            conn.close(); // last, so that a client that sees the end can rely on the record
        });
    }
}

/// Ends the script without a word: `resume_unwind` runs no panic hook.
fn hang_up() -> ! {
    panic::resume_unwind(Box::new(HungUp))
}

fn message(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
