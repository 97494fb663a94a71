//! The bare session under an embedder of some hundred lines, against the oldest and the newest real server: what a
//! program does that has an event loop of its own, and wants neither a runtime nor an adapter.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

#[path = "embedder/blocking.rs"]
mod blocking;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kv_proto::{
    Binding, BucketConfig, BucketError, BucketName, CallOptions, Config, ConnectionState,
    CreateOptions, Credentials, DeleteOptions, Doubt, Entry, GetOptions, Key, KeyFilter, Op,
    OpResult, Operation, PurgeDeletesOptions, PurgeOptions, PutOptions, Refused, Revision, Update,
    WatchId, WatchOptions, WriteError,
};
use kv_tests::{Direction, Proxy, Server, Version, unique};

use blocking::Blocking;

/// The server that all tests of a version share.
fn server(version: Version) -> &'static Server {
    static SHARED: Mutex<BTreeMap<Version, &'static Server>> = Mutex::new(BTreeMap::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared
        .entry(version)
        .or_insert_with(|| Box::leak(Box::new(Server::builder().version(version).start())))
}

fn on_both_ends(test: impl Fn(&'static Server)) {
    for version in [Version::V2_10, Version::V2_15] {
        test(server(version));
    }
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn filter(text: &str) -> KeyFilter {
    KeyFilter::new(text).unwrap()
}

fn revision(number: u64) -> Revision {
    Revision::new(number)
}

fn named(bucket: &Binding) -> BucketName {
    bucket.name().clone()
}

/// A client, and the requests that tests make of it, each made and waited for.
struct Kv(Blocking);

impl Kv {
    fn connect(url: &str) -> Self {
        let (first, most) = (Duration::from_millis(10), Duration::from_millis(50));
        let config = Config::new(url).unwrap().reconnect_within(first, most);
        Self(Blocking::new(config).unwrap())
    }

    fn with_bucket(url: &str, history: u32) -> (Self, Binding) {
        let mut kv = Self::connect(url);
        let config = BucketConfig::new(unique("b")).history(history);
        let op =
            kv.0.session
                .create_bucket(kv.0.now(), config, CallOptions::default());
        let bucket = kv.wait(op).unwrap();
        (kv, bucket)
    }

    /// Waits for what was asked for, unless it was refused.
    fn wait<T: OpResult, E: Into<T::Error>>(
        &mut self,
        op: Result<Op<T>, E>,
    ) -> Result<T, T::Error> {
        self.0.wait(op.map_err(Into::into)?)
    }

    fn put(&mut self, bucket: &Binding, at: &str, value: &str) -> Result<Revision, WriteError> {
        let value = Bytes::copy_from_slice(value.as_bytes());
        let now = self.0.now();
        let op = self
            .0
            .session
            .put(now, bucket, key(at), value, PutOptions::default());
        self.wait(op)
    }

    fn update(
        &mut self,
        bucket: &Binding,
        at: &str,
        expected: u64,
    ) -> Result<Revision, WriteError> {
        let (value, expected) = (Bytes::from_static(b"updated"), revision(expected));
        let now = self.0.now();
        let session = &mut self.0.session;
        let op = session.update(now, bucket, key(at), value, expected, PutOptions::default());
        self.wait(op)
    }

    fn create(&mut self, bucket: &Binding, at: &str) -> Result<Revision, WriteError> {
        let (now, value) = (self.0.now(), Bytes::from_static(b"created"));
        let session = &mut self.0.session;
        let op = session.create(now, bucket, key(at), value, CreateOptions::default());
        self.wait(op)
    }

    fn delete(
        &mut self,
        bucket: &Binding,
        at: &str,
        options: DeleteOptions,
    ) -> Result<Revision, WriteError> {
        let now = self.0.now();
        let op = self.0.session.delete(now, bucket, key(at), options);
        self.wait(op)
    }

    fn get(&mut self, bucket: &Binding, at: &str, options: GetOptions) -> Option<Entry> {
        let op = self.0.session.get(self.0.now(), bucket, key(at), options);
        self.wait(op).unwrap()
    }

    fn watch(&mut self, bucket: &Binding, options: WatchOptions) -> WatchId {
        self.0.session.watch(self.0.now(), bucket, options).unwrap()
    }

    /// What a watch tells next, as a short text.
    fn told(&mut self, watch: WatchId) -> String {
        match self.0.next(watch) {
            Some(Ok(Update::Entry(entry))) => match entry.operation {
                Operation::Put => format!(
                    "{} {}={}",
                    entry.revision,
                    entry.key,
                    entry.value.escape_ascii()
                ),
                tombstone => format!("{} {} {tombstone:?}", entry.revision, entry.key),
            },
            other => format!("{other:?}"),
        }
    }

    /// All that a listing tells.
    fn listed(&mut self, bucket: &Binding, options: WatchOptions) -> Vec<String> {
        let watch = self.watch(bucket, options);
        let mut told = Vec::new();
        loop {
            let next = self.told(watch);
            if next == SYNCED {
                self.0.session.unwatch(self.0.now(), watch);
                return told;
            }
            told.push(next);
        }
    }
}

const SYNCED: &str = "Some(Ok(Synced))";

#[test]
fn every_write_and_every_read() {
    on_both_ends(|server| {
        let (mut kv, bucket) = Kv::with_bucket(&server.url(), 5);
        assert_eq!(kv.put(&bucket, "a", "1"), Ok(revision(1)));
        assert_eq!(
            kv.create(&bucket, "a"),
            Err(WriteError::Exists {
                revision: revision(1)
            })
        );
        assert_eq!(kv.update(&bucket, "a", 1), Ok(revision(2)));
        let (expected, current) = (revision(1), Some(revision(2)));
        assert_eq!(
            kv.update(&bucket, "a", 1),
            Err(WriteError::Conflict { expected, current })
        );
        let entry = kv.get(&bucket, "a", GetOptions::default()).unwrap();
        assert_eq!(
            (entry.value, entry.revision),
            ("updated".into(), revision(2))
        );
        let first = kv.get(&bucket, "a", GetOptions::default().revision(revision(1)));
        assert_eq!(first.unwrap().value, "1");
        let stale = kv.delete(&bucket, "a", DeleteOptions::default().expect(revision(1)));
        assert_eq!(stale, Err(WriteError::Conflict { expected, current }));
        assert_eq!(
            kv.delete(&bucket, "a", DeleteOptions::default()),
            Ok(revision(3))
        );
        let gone = kv
            .get(&bucket, "a", GetOptions::default().leader())
            .unwrap();
        assert_eq!(gone.operation, Operation::Delete);
        assert_eq!(kv.create(&bucket, "a"), Ok(revision(4)));
        let purge =
            kv.0.session
                .purge(kv.0.now(), &bucket, key("a"), PurgeOptions::default());
        assert_eq!(kv.wait(purge), Ok(revision(5)));
        assert_eq!(kv.get(&bucket, "never", GetOptions::default()), None);
        kv.0.close();
    });
}

#[test]
fn buckets_as_a_whole() {
    on_both_ends(|server| {
        let (mut kv, bucket) = Kv::with_bucket(&server.url(), 1);
        let name = named(&bucket);
        let call = CallOptions::default;
        let op = kv.0.session.open(kv.0.now(), &name, call());
        assert_eq!(kv.wait(op).unwrap().name(), &name);
        let other = BucketConfig::new(name.as_str()).history(3);
        let op =
            kv.0.session
                .create_bucket(kv.0.now(), other.clone(), call());
        assert!(matches!(kv.wait(op), Err(BucketError::Exists { .. })));
        let op = kv.0.session.update_bucket(kv.0.now(), other, call());
        kv.wait(op).unwrap();
        let op = kv.0.session.status(kv.0.now(), &name, call());
        assert_eq!(kv.wait(op).unwrap().history(), 3);
        let op = kv.0.session.delete_bucket(kv.0.now(), &name, call());
        kv.wait(op).unwrap();
        let op = kv.0.session.open(kv.0.now(), &name, call());
        assert_eq!(kv.wait(op).map(drop), Err(BucketError::NotFound));
        kv.0.close();
    });
}

#[test]
fn watches_and_listings() {
    on_both_ends(|server| {
        let (mut kv, bucket) = Kv::with_bucket(&server.url(), 5);
        kv.put(&bucket, "a.x", "1").unwrap();
        kv.put(&bucket, "a.x", "2").unwrap();
        kv.put(&bucket, "b", "3").unwrap();
        let all = kv.watch(&bucket, WatchOptions::default());
        let some = kv.watch(
            &bucket,
            WatchOptions::default().filter(filter("a.>")).updates_only(),
        );
        assert_eq!(kv.told(some), SYNCED);
        assert_eq!([(); 3].map(|()| kv.told(all)), ["2 a.x=2", "3 b=3", SYNCED]);
        kv.put(&bucket, "b", "4").unwrap();
        kv.delete(&bucket, "a.x", DeleteOptions::default()).unwrap();
        assert_eq!([(); 2].map(|()| kv.told(all)), ["4 b=4", "5 a.x Delete"]);
        assert_eq!(kv.told(some), "5 a.x Delete");

        let history = kv.listed(&bucket, WatchOptions::history_of(key("a.x")));
        assert_eq!(history, ["1 a.x=1", "2 a.x=2", "5 a.x Delete"]);
        let keys = kv.listed(&bucket, WatchOptions::keys().ignore_deletes());
        assert_eq!(keys, ["4 b="]);
        kv.0.close();
        assert_eq!(kv.told(all), "Some(Err(Closed))");
        assert_eq!(kv.0.next(all), None);
    });
}

#[test]
fn removals() {
    on_both_ends(|server| {
        let (mut kv, bucket) = Kv::with_bucket(&server.url(), 5);
        for at in ["a.x", "a.y", "b"] {
            kv.put(&bucket, at, "1").unwrap();
            kv.put(&bucket, at, "2").unwrap();
        }
        kv.delete(&bucket, "b", DeleteOptions::default()).unwrap();
        let now = kv.0.now();
        let op =
            kv.0.session
                .erase(now, &bucket, &filter("a.>"), CallOptions::default());
        assert_eq!(kv.wait(op), Ok(4));
        let options = PurgeDeletesOptions::default().older_than(Duration::ZERO);
        let op = kv.0.session.purge_deletes(kv.0.now(), &bucket, options);
        assert_eq!(kv.wait(op).unwrap().tombstones, 1);
        assert_eq!(kv.listed(&bucket, WatchOptions::keys()), [""; 0]);
        kv.0.close();
    });
}

/// A write whose acknowledgement is cut off is unknown, what comes after it works, and a watch goes on; time after time.
#[test]
fn cut_connections() {
    on_both_ends(|server| {
        let proxy = Proxy::start(server.addr());
        let (mut kv, bucket) = Kv::with_bucket(&proxy.url(), 5);
        let watch = kv.watch(&bucket, WatchOptions::default());
        assert_eq!(kv.told(watch), SYNCED);
        for round in 0..5 {
            proxy.drop_matching(Direction::ServerToClient, b"\"seq\":");
            let put = kv.put(&bucket, "a", "lost");
            assert_eq!(put, Err(WriteError::Unknown(Doubt::LinkLost)));
            assert_eq!(kv.put(&bucket, "a", "found"), Ok(revision(2 * round + 2)));
            let read = kv.get(&bucket, "a", GetOptions::default()).unwrap();
            assert_eq!(read.value, "found");
            let told = [(); 2].map(|()| kv.told(watch));
            let (lost, found) = (2 * round + 1, 2 * round + 2);
            assert_eq!(told, [format!("{lost} a=lost"), format!("{found} a=found")]);
        }
        assert_eq!(kv.0.session.stats().connects, 6);
        kv.0.close();
    });
}

/// The server is down for a while; what is asked for meanwhile is done when it is back.
#[test]
fn a_server_that_restarts() {
    let server = Server::builder().version(Version::V2_15).start();
    let (mut kv, bucket) = Kv::with_bucket(&server.url(), 1);
    kv.put(&bucket, "a", "1").unwrap();
    server.kill();
    let options = PutOptions::default().timeout(Duration::from_secs(30));
    let (now, value) = (kv.0.now(), Bytes::from_static(b"2"));
    let put =
        kv.0.session
            .put(now, &bucket, key("a"), value, options)
            .unwrap();
    while kv.0.session.state() != ConnectionState::Reconnecting {
        kv.0.turn();
    }
    server.restart();
    // It was sent before the connection was known to be lost, or after it was made anew.
    let put = kv.0.wait(put);
    assert!(
        matches!(put, Ok(_) | Err(WriteError::Unknown(Doubt::LinkLost))),
        "{put:?}"
    );
    let read = kv.get(&bucket, "a", GetOptions::default()).unwrap();
    assert_eq!(read.value, if put.is_ok() { "2" } else { "1" });
}

/// More than sockets hold, in both directions at once.
#[test]
fn large_values() {
    on_both_ends(|server| {
        let (mut kv, bucket) = Kv::with_bucket(&server.url(), 1);
        let large = Bytes::from(vec![b'v'; 1_000_000]);
        let now = kv.0.now();
        let mut puts = Vec::new();
        for number in 0..20 {
            let (at, options) = (key(&format!("k{number}")), PutOptions::default());
            let timeout = Duration::from_secs(30);
            let put =
                kv.0.session
                    .put(now, &bucket, at, large.clone(), options.timeout(timeout));
            puts.push(put.unwrap());
        }
        for put in puts {
            kv.0.wait(put).unwrap();
        }
        let watch = kv.watch(&bucket, WatchOptions::default());
        for number in 1..=20 {
            let Some(Ok(Update::Entry(entry))) = kv.0.next(watch) else {
                panic!("an entry was due");
            };
            assert!(entry.revision == revision(number) && entry.value == large);
        }
        assert_eq!(kv.told(watch), SYNCED);
        kv.0.close();
    });
}

/// Requests that were made are finished, later ones are refused.
#[test]
fn closing() {
    on_both_ends(|server| {
        let (mut kv, bucket) = Kv::with_bucket(&server.url(), 1);
        let (now, value) = (kv.0.now(), Bytes::from_static(b"last"));
        let put =
            kv.0.session
                .put(now, &bucket, key("a"), value, PutOptions::default());
        kv.0.close();
        assert_eq!(kv.wait(put), Ok(revision(1)));
        let refused = WriteError::from(Refused::Closed);
        assert_eq!(kv.put(&bucket, "a", "too late"), Err(refused));
        assert_eq!(kv.0.session.usage().timers, 0);
    });
}

/// The embedder is asked for the password on each connection.
#[test]
fn logging_in() {
    let server = Server::builder().user("me", "s3cret").start();
    let config = Config::new(&server.url()).unwrap();
    let config = config.authentication(kv_proto::Authentication::Asked);
    let mut kv = Kv(Blocking::new(config).unwrap());
    kv.0.credentials = Credentials::UserPassword {
        user: "me".into(),
        password: "s3cret".into(),
    };
    let op =
        kv.0.session
            .bucket_names(kv.0.now(), 0, CallOptions::default());
    kv.wait(op).unwrap();
}
