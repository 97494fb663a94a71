//! Where a test runs: an adapter, a version of the server, and what tests share.

mod adapters;
mod duplex;

use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kv_proto::driver::{Bucket, Client};
use kv_proto::{BucketConfig, Config, Key};
use kv_tests::{Admin, Server, ServerBuilder, Version, least_permissions, unique};
use serde_json::{Value, json};

pub(crate) use self::adapters::{Adapter, Smol, Tokio};
pub(crate) use self::duplex::Duplex;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How long a whole test may take before it counts as hanging.
const HANGS: Duration = Duration::from_secs(180);

/// The same where nothing is left out.
const ALL_HANGS: Duration = Duration::from_secs(2 * 3_600);

/// Whether tests that take samples shall leave nothing out.
pub(crate) fn all_is_wanted() -> bool {
    std::env::var_os("KV_TESTS_ALL").is_some()
}

/// Makes tests of functions: `on_both_ends` of those that every server serves, `since_2_11` of those that need a
/// later one than the oldest, `on_the_newest` of those that need a recent one, or none that is real.
///
/// The versions between the oldest and the newest are tested on demand: `-- --include-ignored`.
macro_rules! tests {
    ($($tests:tt)*) => {
        $crate::site::tests_of! { tokio Tokio $($tests)* }
        $crate::site::tests_of! { smol Smol $($tests)* }
    };
}

macro_rules! tests_of {
    ($module:ident $adapter:ident
        $(on_both_ends { $($both:ident)* })?
        $(since_2_11 { $($recent:ident)* })?
        $(on_the_newest { $($newest:ident)* })?
    ) => {
        #[allow(unused_imports, reason = "some files have no test of some versions")]
        mod $module {
            use $crate::site::{$adapter as Runtime, tests_on};

            tests_on! { v2_10 V2_10 always $($($both)*)? }
            tests_on! { v2_11 V2_11 on_demand $($($both)*)? $($($recent)*)? }
            tests_on! { v2_12 V2_12 on_demand $($($both)*)? $($($recent)*)? }
            tests_on! { v2_14 V2_14 on_demand $($($both)*)? $($($recent)*)? }
            tests_on! { v2_15 V2_15 always $($($both)*)? $($($recent)*)? $($($newest)*)? }
        }
    };
}

macro_rules! tests_on {
    ($module:ident $version:ident $when:ident $($test:ident)*) => {
        mod $module {
            $($crate::site::test! { $version $when $test })*
        }
    };
}

macro_rules! test {
    ($version:ident always $test:ident) => {
        #[test]
        fn $test() {
            let test = super::super::$test::<super::Runtime>;
            $crate::site::run(kv_tests::Version::$version, test);
        }
    };
    ($version:ident on_demand $test:ident) => {
        #[test]
        #[ignore = "a version between: --include-ignored"]
        fn $test() {
            let test = super::super::$test::<super::Runtime>;
            $crate::site::run(kv_tests::Version::$version, test);
        }
    };
}
pub(crate) use {test, tests, tests_of, tests_on};

/// Runs a test against a version of the server.
pub(crate) fn run<A, F>(version: Version, test: impl FnOnce(Site<A>) -> F)
where
    A: Adapter,
    F: Future<Output = ()>,
{
    let site = Site {
        version,
        adapter: PhantomData,
    };
    let hangs = if all_is_wanted() { ALL_HANGS } else { HANGS };
    A::block_on(hangs, test(site));
}

/// An adapter, and a server to use it on.
pub(crate) struct Site<A> {
    version: Version,
    adapter: PhantomData<fn() -> A>,
}

impl<A: Adapter> Site<A> {
    /// The server that all tests of a version share. It is open to all, who may do no more than the manual
    /// says that they must be allowed.
    pub(crate) fn server(&self) -> &'static Server {
        static SHARED: Mutex<BTreeMap<Version, &'static Server>> = Mutex::new(BTreeMap::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version;
        shared.entry(version).or_insert_with(|| {
            Box::leak(Box::new(
                Server::builder()
                    .version(version)
                    .guarded(&least_permissions("*"))
                    .start(),
            ))
        })
    }

    /// A server of the test's own.
    pub(crate) fn own_server(&self) -> ServerBuilder {
        Server::builder().version(self.version)
    }

    /// Which version of the server it runs.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Whether the server expires single values and leaves markers (2.11 and newer).
    pub(crate) fn expires_values(&self) -> bool {
        self.server().version() >= Version::V2_11
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::connect(self.server())
    }

    /// A client of the shared server.
    pub(crate) async fn client(&self) -> Client {
        self.connect(&self.server().url()).await
    }

    /// A client of any server.
    pub(crate) async fn connect(&self, urls: &str) -> Client {
        self.connect_with(config(urls)).await
    }

    pub(crate) async fn connect_with(&self, config: Config) -> Client {
        A::connect(config).await.expect("connects")
    }

    /// A new bucket of the shared server that keeps one revision, on a connection of its own.
    pub(crate) async fn bucket(&self) -> Bucket {
        self.bucket_with(|config| config).await
    }

    /// A new bucket of the shared server.
    pub(crate) async fn bucket_with(
        &self,
        change: impl FnOnce(BucketConfig) -> BucketConfig,
    ) -> Bucket {
        let config = change(BucketConfig::new(unique("b")));
        let client = self.client().await;
        client.create_bucket(config).await.expect("a new bucket")
    }
}

/// A configuration that reconnects fast.
pub(crate) fn config(urls: &str) -> Config {
    let (first, most) = (Duration::from_millis(10), Duration::from_millis(50));
    let config = Config::new(urls).expect("valid urls");
    config.reconnect_within(first, most)
}

/// Awaits what is known at once: panics when it comes as late as a deadline would make it.
#[track_caller]
pub(crate) fn at_once<F: IntoFuture>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        let output = future.await;
        let took = began.elapsed();
        assert!(took < SECOND, "took {took:?} at {caller}");
        output
    }
}

/// Polls a future once.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let mut cx = Context::from_waker(Waker::noop());
    pin!(future).poll(&mut cx)
}

/// Awaits all, in order.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut outputs = Vec::new();
    for future in futures {
        outputs.push(future.await);
    }
    outputs
}

/// Makes a request and keeps its future: what `await` does first.
pub(crate) fn begin<F>(request: F) -> Pin<Box<F::IntoFuture>>
where
    F: IntoFuture,
{
    Box::pin(request.into_future())
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

/// The name of the stream behind a bucket.
pub(crate) fn stream(bucket: &Bucket) -> String {
    format!("KV_{}", bucket.name())
}

/// The subject of a key.
pub(crate) fn subject(bucket: &Bucket, key: &str) -> String {
    format!("$KV.{}.{key}", bucket.name())
}

/// A message as the stream holds it, seen without the client.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) revision: u64,
    pub(crate) headers: String,
    pub(crate) value: Vec<u8>,
}

/// The last message of a key, asked of the stream's leader.
pub(crate) fn stored(admin: &mut Admin, bucket: &Bucket, key: &str) -> Option<Stored> {
    let body = json!({ "last_by_subj": subject(bucket, key) }).to_string();
    let call = format!("$JS.API.STREAM.MSG.GET.{}", stream(bucket));
    let answer = admin.request(&call, body.as_bytes());
    if answer["error"]["err_code"] == 10_037 {
        return None;
    }
    let message = &answer["message"];
    let decoded = |field: &str| {
        let text = message[field].as_str().unwrap_or_default();
        BASE64_STANDARD.decode(text).expect("base64")
    };
    Some(Stored {
        revision: message["seq"].as_u64().expect("a sequence"),
        headers: String::from_utf8(decoded("hdrs")).expect("UTF-8"),
        value: decoded("data"),
    })
}

/// How many messages of a key the stream holds.
pub(crate) fn stored_revisions(admin: &mut Admin, bucket: &Bucket, key: &str) -> u64 {
    let info = admin.stream_info(&stream(bucket));
    let subjects = &info["state"]["subjects"];
    subjects[subject(bucket, key)].as_u64().unwrap_or(0)
}

/// A number of the stream's state, such as `messages`.
pub(crate) fn state_of(admin: &mut Admin, bucket: &Bucket, field: &str) -> u64 {
    let info: Value = admin.stream_info(&stream(bucket));
    info["state"][field].as_u64().expect("a number")
}
