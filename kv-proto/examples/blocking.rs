//! The bare session on `std::net`, without any runtime: the whole event loop
//! of an embedder.
//!
//! Connects to `NATS_URL`, or else to a server on this machine.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant as Clock};

use bytes::{Buf, Bytes, BytesMut};
use kv_proto::{
    BucketConfig, CallOptions, Config, GetOptions, Instant, Key, LinkAction, LinkError,
    LinkErrorKind, LinkId, Op, OpResult, Seed, Session,
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
                self.act(action);
            }
            if let Err((link, kind, error)) = self.move_bytes() {
                self.socket = None;
                let error = LinkError::new(kind, error.to_string());
                self.session.handle_closed(self.now(), link, error);
            }
            self.session.handle_timeout(self.now());
        }
    }

    fn act(&mut self, action: LinkAction) {
        if let LinkAction::Dial { link, server } = action {
            match TcpStream::connect((server.host(), server.port())) {
                Ok(stream) => {
                    self.socket = Some((link, stream, BytesMut::new()));
                    self.session.handle_dialed(self.now(), link);
                }
                Err(error) => {
                    let error = LinkError::new(LinkErrorKind::Dial, error.to_string());
                    self.session.handle_closed(self.now(), link, error);
                }
            }
        } else {
            self.socket = None;
        }
    }

    fn move_bytes(&mut self) -> Result<(), (LinkId, LinkErrorKind, std::io::Error)> {
        let now = self.now();
        let due = self
            .session
            .poll_timeout()
            .unwrap_or(now + Duration::from_secs(1));
        let pause = due
            .saturating_duration_since(now)
            .max(Duration::from_millis(1));
        let Some((link, stream, input)) = &mut self.socket else {
            std::thread::sleep(pause);
            return Ok(());
        };
        let mut output = self.session.transmit(*link);
        while output.has_remaining() {
            match stream.write(output.chunk()) {
                Ok(written) => output.advance(written),
                Err(error) => return Err((*link, LinkErrorKind::Write, error)),
            }
        }
        let mut chunk = [0; 16 * 1024];
        let read = stream
            .set_read_timeout(Some(pause))
            .and_then(|()| stream.read(&mut chunk));
        match read {
            Ok(0) => Err((*link, LinkErrorKind::Read, ErrorKind::UnexpectedEof.into())),
            Ok(len) => {
                input.extend_from_slice(chunk.get(..len).unwrap_or_default());
                let now = Instant::ORIGIN + self.origin.elapsed();
                self.session.handle_input(now, *link, input);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(error) => Err((*link, LinkErrorKind::Read, error)),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| "localhost".into());
    let mut entropy = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut entropy)?;
    let session = Session::new(Instant::ORIGIN, Config::new(&url)?, Seed::new(entropy));
    let mut blocking = Blocking {
        session,
        origin: Clock::now(),
        socket: None,
    };

    let now = blocking.now();
    let config = BucketConfig::new("blocking");
    let op = blocking
        .session
        .create_bucket(now, config, CallOptions::default())?;
    let bucket = blocking.wait(op)?;
    let key = Key::new("app.setting")?;

    let (now, value) = (blocking.now(), Bytes::from_static(b"on"));
    let op = blocking
        .session
        .put(now, &bucket, key.clone(), value, CallOptions::default())?;
    println!("put app.setting = on -> revision {}", blocking.wait(op)?);

    let now = blocking.now();
    let op = blocking
        .session
        .get(now, &bucket, key, GetOptions::default())?;
    let entry = blocking.wait(op)?.ok_or("just written")?;
    println!(
        "get app.setting -> {:?} at revision {}",
        entry.value, entry.revision
    );

    let now = blocking.now();
    let op = blocking
        .session
        .delete_bucket(now, bucket.name(), CallOptions::default())?;
    blocking.wait(op)?;
    println!("bucket deleted");
    Ok(())
}
