//! A raw connection to a real nats-server.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use kv_proto::Timestamp;

use crate::frames::Frames;

#[derive(Debug)]
pub(crate) struct Real {
    socket: TcpStream,
    pub(crate) frames: Frames,
    pub(crate) closed: bool,
    /// Leaves PING unanswered.
    pub(crate) is_mute: bool,
}

impl Real {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).expect("a real server listens");
        socket.set_nodelay(true).expect("a fresh socket");
        Self {
            socket,
            frames: Frames::default(),
            closed: false,
            is_mute: false,
        }
    }

    /// What this machine's clock will say in so many milliseconds, as a client writes it.
    pub(crate) fn clock(ahead: u64) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let then = now.expect("after 1970") + Duration::from_millis(ahead);
        let nanos = then.as_nanos();
        Timestamp::from_unix_nanos(i64::try_from(nanos).expect("before 2262")).to_string()
    }

    /// Connects again, to a server that ended in between.
    pub(crate) fn reconnect(&mut self, addr: SocketAddr) {
        let fresh = Self::connect(addr);
        (self.socket, self.closed) = (fresh.socket, false);
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.frames.note_sent(bytes);
        let _ = self.socket.write_all(bytes); // a closed connection shows when reading
    }

    /// Reads until there are `count` frames in all, or the server closed, or it takes too long.
    pub(crate) fn await_frames(&mut self, count: usize, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.frames.all.len() < count && !self.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.read(left);
        }
    }

    /// Reads whatever comes within that time.
    pub(crate) fn linger(&mut self, time: Duration) {
        self.await_frames(usize::MAX, time);
    }

    fn read(&mut self, patience: Duration) {
        let patience = patience.max(Duration::from_millis(1));
        self.socket
            .set_read_timeout(Some(patience))
            .expect("not zero");
        let mut chunk = [0; 65536];
        match self.socket.read(&mut chunk) {
            Ok(0) => self.closed = true,
            Ok(n) => {
                self.frames.push(&chunk[..n]);
                if !self.is_mute && chunk[..n].windows(6).any(|six| six == b"PING\r\n") {
                    self.write(b"PONG\r\n");
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.closed = true,
        }
    }
}
