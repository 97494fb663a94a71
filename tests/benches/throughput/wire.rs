//! A connection without a client: bytes out, frames counted in.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Reads of a client; large enough that they do not count.
const READ_LEN: usize = 64 * 1024;

/// How long a server may be silent, so that what it refused is no endless wait.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    /// How much of it is filled, and what the first frame begins with that is not whole yet.
    filled: usize,
}

impl Wire {
    /// Connects and logs in.
    pub(crate) fn connect(url: &str) -> Self {
        let address = url.trim_start_matches("nats://");
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_nodelay(true).expect("a TCP stream");
        let patience = stream.set_read_timeout(Some(PATIENCE));
        patience.expect("a TCP stream");
        let mut wire = Self {
            stream,
            input: vec![0; READ_LEN],
            filled: 0,
        };
        wire.write(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n",
        );
        wire.flush();
        wire
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("writes");
    }

    /// Waits until the server has read all that was written.
    pub(crate) fn flush(&mut self) {
        self.write(b"PING\r\n");
        while self.read().1 == 0 {}
    }

    /// Reads what there is; returns how many messages and how many PONGs that completes.
    pub(crate) fn read(&mut self) -> (usize, usize) {
        let (mut messages, mut pongs) = (0, 0);
        if self.filled == self.input.len() {
            self.input.resize(2 * self.filled, 0);
        }
        let room = &mut self.input[self.filled..];
        let len = self.stream.read(room).expect("reads");
        assert_ne!(len, 0, "the server closed the connection");
        self.filled += len;
        let mut rest = &self.input[..self.filled];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..=end];
            let mut frame = line.len();
            match line[0] {
                b'M' | b'H' => {
                    frame += payload(line) + 2;
                    if rest.len() < frame {
                        break;
                    }
                    messages += 1;
                }
                b'P' if line[1] == b'I' => self.stream.write_all(b"PONG\r\n").expect("writes"),
                b'P' => pongs += 1,
                b'I' => {}
                _ => panic!("{}", String::from_utf8_lossy(line)),
            }
            rest = &rest[frame..];
        }
        let left = rest.len();
        self.input.copy_within(self.filled - left..self.filled, 0);
        self.filled = left;
        (messages, pongs)
    }
}

/// The number that a message's line ends with.
fn payload(line: &[u8]) -> usize {
    let digits = line[..line.len() - 2].rsplit(|byte| *byte == b' ').next();
    let digit = |sum, byte: &u8| 10 * sum + usize::from(byte - b'0');
    digits.expect("a length").iter().fold(0, digit)
}
