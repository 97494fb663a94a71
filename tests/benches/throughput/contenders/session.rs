//! The bare session on a blocking socket: the protocol without a runtime.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant as Clock;

use bytes::{Buf, Bytes, BytesMut};
use kv_proto::{
    Binding, BucketConfig, BucketName, CallOptions, Config, Credentials, DeleteOptions, Entry,
    GetOptions, Instant, Key, LinkAction, LinkId, Op, OpResult, PurgeOptions, PutOptions, Revision,
    Seed, Session, Storage, Update, WatchId, WatchOptions,
};
use kv_tests::unique;

use super::{Buckets, Contender};
use crate::feeder::Feeder;
use crate::stage::{DEEP, MANY_KEYS, Stage};
use crate::workloads::{DEPTH, Data, Limit, MANY, Tally, UPDATES, Verb, Workload};

pub(crate) struct Bare {
    io: Io,
    buckets: Buckets<Binding>,
    names: [String; 2],
    feeder: Feeder,
}

/// A session and its socket.
struct Io {
    session: Session,
    began: Clock,
    link: Option<(LinkId, TcpStream)>,
    chunk: Vec<u8>,
    input: BytesMut,
}

/// What is in flight.
enum Asked {
    Write(Op<Revision>),
    Read(Op<Option<Entry>>),
}

impl Io {
    fn new(url: &str) -> Self {
        let mut entropy = [0; 32];
        let mut random = std::fs::File::open("/dev/urandom").expect("a source of entropy");
        random.read_exact(&mut entropy).expect("entropy");
        let config = Config::new(url).expect("an URL");
        Self {
            session: Session::new(Instant::ORIGIN, config, Seed::new(entropy)),
            began: Clock::now(),
            link: None,
            chunk: vec![0; 64 * 1024],
            input: BytesMut::new(),
        }
    }

    fn create(&mut self, name: &str) -> Binding {
        let config = BucketConfig::new(name).storage(Storage::Memory);
        let now = self.now();
        let op = self
            .session
            .create_bucket(now, config, CallOptions::default());
        self.wait(op.expect("is valid"))
    }

    fn now(&self) -> Instant {
        Instant::ORIGIN + self.began.elapsed()
    }

    /// Writes all that there is, waits for something to read, and hands it over.
    fn turn(&mut self) {
        while let Some(action) = self.session.poll_link() {
            let now = self.now();
            match action {
                LinkAction::Dial { link, server } => {
                    let stream = TcpStream::connect((server.host(), server.port()));
                    let stream = stream.expect("connects");
                    stream.set_nodelay(true).expect("a TCP stream");
                    self.link = Some((link, stream));
                    self.session.handle_dialed(now, link);
                }
                LinkAction::Authenticate { link, .. } => {
                    self.session
                        .handle_credentials(now, link, &Credentials::None);
                }
                other => panic!("{other:?}"),
            }
        }
        let (link, stream) = self.link.as_mut().expect("a connection");
        let mut output = self.session.transmit(*link);
        while output.has_remaining() {
            let written = stream.write(output.chunk()).expect("writes");
            output.advance(written);
        }
        let len = stream.read(&mut self.chunk).expect("reads");
        assert_ne!(len, 0, "the server closed the connection");
        self.input.extend_from_slice(&self.chunk[..len]);
        let (link, now) = (*link, Instant::ORIGIN + self.began.elapsed());
        self.session.handle_input(now, link, &mut self.input);
        self.session.handle_timeout(now);
        while self.session.poll_event().is_some() {}
    }

    fn wait<T: OpResult<Error: std::fmt::Debug>>(&mut self, op: Op<T>) -> T {
        loop {
            if let Some(result) = self.session.take(&op) {
                return result.expect("succeeds");
            }
            self.turn();
        }
    }

    fn next(&mut self, watch: WatchId) -> Update {
        loop {
            if let Some(update) = self.session.next_update(watch) {
                return update.expect("goes on");
            }
            self.turn();
        }
    }

    /// How many entries a watch tells before all is told.
    fn read_all(&mut self, bucket: &Binding, options: WatchOptions) -> usize {
        let watch = self.session.watch(self.now(), bucket, options);
        let watch = watch.expect("watches");
        let mut entries = 0;
        while !matches!(self.next(watch), Update::Synced) {
            entries += 1;
        }
        self.session.unwatch(self.now(), watch);
        entries
    }
}

pub(crate) fn hello(url: &str) {
    let mut io = Io::new(url);
    let name = unique("hello");
    let bucket = io.create(&name);
    let key = Key::new("hello").expect("a key");
    let world = Bytes::from_static(b"world");
    let (now, options) = (io.now(), PutOptions::default());
    let put = io
        .session
        .put(now, &bucket, key.clone(), world.clone(), options);
    io.wait(put.expect("is accepted"));
    let get = io
        .session
        .get(io.now(), &bucket, key, GetOptions::default());
    let entry = io.wait(get.expect("is accepted"));
    assert_eq!(entry.expect("a value").value, world);
    let name = BucketName::new(&name).expect("a name");
    let deleted = io
        .session
        .delete_bucket(io.now(), &name, CallOptions::default());
    io.wait(deleted.expect("is accepted"));
}

impl Bare {
    pub(crate) fn new(stage: &Stage) -> Self {
        let mut io = Io::new(stage.url());
        let names = ["own", "scratch"].map(unique);
        let open = |io: &mut Io, name: &str| {
            let name = BucketName::new(name).expect("a name");
            let op = io.session.open(io.now(), &name, CallOptions::default());
            io.wait(op.expect("is valid"))
        };
        let buckets = Buckets {
            own: io.create(&names[0]),
            scratch: io.create(&names[1]),
            many: open(&mut io, MANY_KEYS),
            deep: open(&mut io, DEEP),
        };
        Self {
            io,
            buckets,
            feeder: Feeder::new(stage, &names[1]),
            names,
        }
    }

    fn ask(&mut self, verb: Verb, key: &str, value: &Bytes, last: Option<Revision>) -> Asked {
        let Buckets { own, scratch, .. } = &self.buckets;
        let now = self.io.now();
        let session = &mut self.io.session;
        let name = |text: &str| Key::new(text).expect("a key");
        let (key, value) = (name(key), value.clone());
        let options = PutOptions::default();
        let written = match (verb, last) {
            (Verb::Get | Verb::GetLarge, _) => {
                let read = session.get(now, own, key, GetOptions::default());
                return Asked::Read(read.expect("is accepted"));
            }
            (Verb::Put | Verb::PutLarge, _) => session.put(now, own, key, value, options),
            (Verb::Update, None) => session.put(now, scratch, name("counter"), value, options),
            (Verb::Update, Some(last)) => {
                session.update(now, scratch, name("counter"), value, last, options)
            }
            (Verb::Delete, _) => session.delete(now, scratch, key, DeleteOptions::default()),
            (Verb::Purge, _) => session.purge(now, scratch, key, PurgeOptions::default()),
            _ => unreachable!("not asked for one by one"),
        };
        Asked::Write(written.expect("is accepted"))
    }

    fn exchange(&mut self, workload: Workload, data: &Data, limit: Limit) -> Tally {
        let mut next = data.of(workload).iter().cycle();
        let mut tally = Tally::for_one_of(1);
        let mut flying = VecDeque::with_capacity(workload.in_flight);
        let (mut asked, mut last, mut over) = (0, None, false);
        loop {
            while !over && flying.len() < workload.in_flight {
                let (key, value) = next.next().expect("some entry");
                let start = tally.is_sampled(workload.in_flight).then(Clock::now);
                flying.push_back((self.ask(workload.verb, key, value, last), value, start));
                asked += 1;
                over = asked >= limit.ops;
            }
            self.io.turn();
            while let Some((op, value, start)) = flying.front() {
                match op {
                    Asked::Write(op) => {
                        let Some(revision) = self.io.session.take(op) else {
                            break;
                        };
                        last = Some(revision.expect("is written"));
                    }
                    Asked::Read(op) => {
                        let Some(entry) = self.io.session.take(op) else {
                            break;
                        };
                        let entry = entry.expect("is read").expect("a value");
                        assert_eq!(entry.value, **value);
                    }
                }
                tally.ops += 1;
                if let Some(start) = start {
                    tally.took(start.elapsed());
                }
                flying.pop_front();
            }
            over |= limit.is_reached(tally.ops);
            if over && flying.is_empty() {
                return tally;
            }
        }
    }

    fn whole(&mut self, workload: Workload, limit: Limit) -> Tally {
        let mut tally = Tally::for_one_of(1);
        let Buckets { many, deep, .. } = &self.buckets;
        while !limit.is_reached(tally.ops) {
            let start = Clock::now();
            let (bucket, options, expected) = match workload.verb {
                Verb::Keys => (many, WatchOptions::keys(), MANY),
                Verb::Initial => (many, WatchOptions::default(), MANY),
                _ => {
                    let key = Key::new("deep").expect("a key");
                    (deep, WatchOptions::history_of(key), DEPTH)
                }
            };
            let read = self.io.read_all(bucket, options);
            assert_eq!(read, expected);
            tally.ops += if workload.verb == Verb::History {
                1
            } else {
                read
            };
            tally.took(start.elapsed());
        }
        tally
    }

    fn live(&mut self, limit: Limit) -> Tally {
        let mut tally = Tally::default();
        let options = WatchOptions::default().updates_only();
        let watch = self
            .io
            .session
            .watch(self.io.now(), &self.buckets.scratch, options);
        let watch = watch.expect("watches");
        assert_eq!(self.io.next(watch), Update::Synced);
        while !limit.is_reached(tally.ops) {
            let feeding = self.feeder.prepare();
            feeding.starter()();
            for _ in 0..UPDATES {
                assert!(matches!(self.io.next(watch), Update::Entry(_)));
            }
            tally.foreign += self.feeder.finish(feeding);
            tally.ops += UPDATES;
        }
        self.io.session.unwatch(self.io.now(), watch);
        tally
    }
}

impl Contender for Bare {
    fn client(&self) -> &'static str {
        "kv-proto"
    }

    fn runtime(&self) -> &'static str {
        "blocking"
    }

    fn own_buckets(&self) -> [&str; 2] {
        self.names.each_ref().map(String::as_str)
    }

    fn run(&mut self, workload: Workload, data: &Data, limit: Limit) -> Tally {
        match workload.verb {
            Verb::Initial | Verb::Keys | Verb::History => self.whole(workload, limit),
            Verb::Live => self.live(limit),
            _ => self.exchange(workload, data, limit),
        }
    }
}
