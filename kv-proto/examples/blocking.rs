//! The bare session on `std::net`, without any runtime. `Blocking` is the whole
//! event loop of an embedder: dial, write, read, tell the time.
//!
//! Connects to `NATS_URL`, or else to a server on this machine.

#![allow(clippy::print_stdout, reason = "an example")]
#![allow(clippy::disallowed_methods, reason = "the clock is the embedder's")]

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant as Clock};

use bytes::{Buf, Bytes, BytesMut};
use kv_proto::{
    BucketConfig, CallOptions, Config, GetOptions, Instant, Key, LinkAction, LinkError,
    LinkErrorKind, LinkId, Op, OpResult, PutOptions, Seed, Session,
};

struct Blocking {
    session: Session,
    origin: Clock,
    socket: Option<(LinkId, TcpStream, BytesMut)>,
}

impl Blocking {
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }

    /// Moves bytes until an operation has ended.
    fn wait<T: OpResult>(&mut self, op: Op<T>) -> Result<T, T::Error> {
        loop {
            if let Some(result) = self.session.take(&op) {
                return result;
            }
            while let Some(action) = self.session.poll_link() {
                match action {
                    LinkAction::Dial { link, server } => {
                        match TcpStream::connect((server.host(), server.port())) {
                            Ok(stream) => {
                                self.socket = Some((link, stream, BytesMut::new()));
                                self.session.handle_dialed(self.now(), link);
                            }
                            Err(error) => self.closed(link, LinkErrorKind::Dial, &error),
                        }
                    }
                    LinkAction::Secure { link, .. } => {
                        let error = ErrorKind::Unsupported.into();
                        self.closed(link, LinkErrorKind::Secure, &error);
                    }
                    LinkAction::Close { .. } | LinkAction::Authenticate { .. } | _ => {
                        self.socket = None;
                    }
                }
            }
            if let Some((link, mut stream, mut input)) = self.socket.take() {
                match self.move_bytes(link, &mut stream, &mut input) {
                    Ok(()) => self.socket = Some((link, stream, input)),
                    Err((kind, error)) => self.closed(link, kind, &error),
                }
            }
            self.session.handle_timeout(self.now());
        }
    }

    /// Writes what there is to write and waits a while for something to read.
    fn move_bytes(
        &mut self,
        link: LinkId,
        stream: &mut TcpStream,
        input: &mut BytesMut,
    ) -> Result<(), (LinkErrorKind, std::io::Error)> {
        let mut output = self.session.transmit(link);
        while output.has_remaining() {
            let written = stream.write(output.chunk());
            output.advance(written.map_err(|error| (LinkErrorKind::Write, error))?);
        }
        let mut chunk = [0; 16 * 1024];
        stream
            .set_read_timeout(Some(Duration::from_millis(10)))
            .ok();
        match stream.read(&mut chunk) {
            Ok(0) => Err((LinkErrorKind::Read, ErrorKind::UnexpectedEof.into())),
            Ok(len) => {
                input.extend_from_slice(&chunk[..len]);
                self.session.handle_input(self.now(), link, input);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(error) => Err((LinkErrorKind::Read, error)),
        }
    }

    fn closed(&mut self, link: LinkId, kind: LinkErrorKind, error: &std::io::Error) {
        let error = LinkError::new(kind, error.to_string());
        self.session.handle_closed(self.now(), link, error);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| "localhost".into());
    let mut entropy = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut entropy)?;
    let session = Session::new(Instant::ORIGIN, Config::new(&url)?, Seed::new(entropy));
    let mut kv = Blocking {
        session,
        origin: Clock::now(),
        socket: None,
    };

    let (now, options) = (kv.now(), CallOptions::default());
    let op = kv
        .session
        .create_bucket(now, BucketConfig::new("blocking"), options)?;
    let bucket = kv.wait(op)?;

    let (now, key, value) = (
        kv.now(),
        Key::new("app.setting")?,
        Bytes::from_static(b"on"),
    );
    let op = kv
        .session
        .put(now, &bucket, key.clone(), value, PutOptions::default())?;
    println!("put app.setting = on -> revision {}", kv.wait(op)?);

    let now = kv.now();
    let op = kv.session.get(now, &bucket, key, GetOptions::default())?;
    let entry = kv.wait(op)?.ok_or("just written")?;
    println!(
        "get app.setting -> {:?} at revision {}",
        entry.value, entry.revision
    );

    let now = kv.now();
    let op = kv.session.delete_bucket(now, bucket.name(), options)?;
    kv.wait(op)?;
    println!("bucket deleted");
    Ok(())
}
