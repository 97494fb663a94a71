//! The published async-nats, of the version that `Cargo.lock` names.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use async_nats::jetstream::{self, kv};
use futures_util::{StreamExt, TryStreamExt};

use crate::site::{Pair, V2_10, V2_11, V2_12, V2_14, V2_15, prints_the_same};

/// Far longer than a session takes.
const HANGS: Duration = Duration::from_secs(60);

#[test]
fn v2_10() {
    both_ways(V2_10);
}

#[test]
fn v2_11() {
    both_ways(V2_11);
}

#[test]
fn v2_12() {
    both_ways(V2_12);
}

#[test]
fn v2_14() {
    both_ways(V2_14);
}

#[test]
fn v2_15() {
    both_ways(V2_15);
}

fn both_ways(pair: Pair) {
    prints_the_same(pair, |url| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let mut log = Log::default();
        let session = session(url, pair.expires_values(), &mut log);
        let ended = runtime.block_on(async { tokio::time::timeout(HANGS, session).await });
        assert!(ended.is_ok(), "hangs after {:#?}", log.lines);
        log.lines
    });
}

/// What a session prints.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
}

impl Log {
    async fn note<T: Debug, E: Debug>(
        &mut self,
        what: &str,
        future: impl Future<Output = Result<T, E>>,
    ) {
        let line = match future.await {
            Ok(value) => format!("{what}: {value:?}"),
            Err(error) => format!("{what} fails: {error:?}"),
        };
        self.lines.push(line);
    }

    fn say(&mut self, line: String) {
        self.lines.push(line);
    }
}

/// An entry without its time.
fn shown(entry: &kv::Entry) -> String {
    let kv::Entry {
        bucket,
        key,
        value,
        revision,
        delta,
        operation,
        seen_current,
        ..
    } = entry;
    format!("{bucket} {key} {value:?} {revision} {delta} {operation:?} {seen_current}")
}

async fn session(url: &str, expires: bool, log: &mut Log) {
    let client = async_nats::connect(url).await.unwrap();
    log.say(format!("server {}", client.server_info().version));
    let context = jetstream::new(client);
    log.note("absent bucket", async {
        context.get_key_value("session").await.map(|_| ())
    })
    .await;
    let config = kv::Config {
        bucket: "session".to_owned(),
        description: "of async-nats".to_owned(),
        history: 5,
        limit_markers: expires.then_some(Duration::from_secs(1)),
        ..kv::Config::default()
    };
    let bucket = context.create_key_value(config.clone()).await.unwrap();
    log.note("created again", async {
        context.create_key_value(config).await.map(|_| ())
    })
    .await;

    write(&bucket, log).await;
    read(&bucket, log).await;
    watch(&bucket, log).await;
    remove(&bucket, log).await;
    if expires {
        expire(&bucket, log).await;
    }
    status(&context, log).await;

    log.note("delete bucket", async {
        let deleted = context.delete_key_value("session").await;
        deleted.map(|status| status.success)
    })
    .await;
    log.note("delete bucket twice", async {
        let deleted = context.delete_key_value("session").await;
        deleted.map(|status| status.success)
    })
    .await;
    log.note("put into nothing", bucket.put("a", "1".into()))
        .await;
}

async fn write(bucket: &kv::Store, log: &mut Log) {
    log.note("put", bucket.put("a", "1".into())).await;
    log.note("put", bucket.put("a", "2".into())).await;
    log.note("put empty", bucket.put("b.c", "".into())).await;
    log.note("create", bucket.create("lock", "me".into())).await;
    log.note("create twice", bucket.create("lock", "you".into()))
        .await;
    log.note("update", bucket.update("a", "3".into(), 2)).await;
    log.note("update, wrong", bucket.update("a", "4".into(), 2))
        .await;
    log.note("update, absent", bucket.update("z", "4".into(), 9))
        .await;
    log.note("put, bad key", bucket.put("a b", "1".into()))
        .await;
    let large = vec![b'x'; 300_000];
    log.note("put large", bucket.put("large", large.into()))
        .await;
    let huge = vec![b'x'; 1024 * 1024 + 1];
    log.note("put huge", async {
        bucket
            .put("huge", huge.into())
            .await
            .map_err(|error| error.kind())
    })
    .await;
}

async fn read(bucket: &kv::Store, log: &mut Log) {
    log.note("get", bucket.get("a")).await;
    log.note("get empty", bucket.get("b.c")).await;
    log.note("get absent", bucket.get("z")).await;
    log.note("get large", async {
        let value = bucket.get("large").await;
        value.map(|value| value.map(|value| value.len()))
    })
    .await;
    for revision in [1, 2, 3, 99] {
        log.note("entry at", async {
            let entry = bucket.entry_for_revision("a", revision).await;
            entry.map(|entry| entry.as_ref().map(shown))
        })
        .await;
    }
    let history = bucket.history("a").await.unwrap();
    let history: Vec<_> = history.map_ok(|entry| shown(&entry)).collect().await;
    log.say(format!("history: {history:?}"));
    let history = bucket.history("z").await.unwrap();
    let history: Vec<_> = history.map_ok(|entry| shown(&entry)).collect().await;
    log.say(format!("history of nothing: {history:?}"));
    let keys: Vec<_> = bucket.keys().await.unwrap().collect().await;
    log.say(format!("keys: {keys:?}"));
}

/// Takes so many entries of those that a watch begins with.
async fn take(watch: &mut kv::Watch, count: usize, log: &mut Log) {
    for _ in 0..count {
        let entry = watch.next().await.unwrap().unwrap();
        log.say(format!("watched: {}", shown(&entry)));
    }
}

/// Takes so many entries that come later. How many more are under way then depends on the moment.
async fn hear(watch: &mut kv::Watch, count: usize, log: &mut Log) {
    for _ in 0..count {
        let mut entry = watch.next().await.unwrap().unwrap();
        entry.delta = 0;
        log.say(format!("heard: {}", shown(&entry)));
    }
}

async fn watch(bucket: &kv::Store, log: &mut Log) {
    let mut news = bucket.watch_all().await.unwrap();
    let mut last = bucket.watch_with_history("a").await.unwrap();
    let mut some = bucket
        .watch_many_with_history(["b.*", "lock"])
        .await
        .unwrap();
    let mut old = bucket.watch_all_from_revision(2).await.unwrap();
    take(&mut last, 1, log).await;
    take(&mut some, 2, log).await;
    take(&mut old, 4, log).await;
    log.note("put", bucket.put("a", "5".into())).await;
    log.note("delete", bucket.delete("b.c")).await;
    hear(&mut news, 2, log).await;
    hear(&mut last, 1, log).await;
    hear(&mut some, 1, log).await;
    log.note("purge", bucket.purge("lock")).await;
    hear(&mut news, 1, log).await;
    hear(&mut some, 1, log).await;
}

async fn remove(bucket: &kv::Store, log: &mut Log) {
    log.note("get deleted", bucket.get("b.c")).await;
    log.note("entry deleted", async {
        let entry = bucket.entry("b.c").await;
        entry.map(|entry| entry.as_ref().map(shown))
    })
    .await;
    log.note("delete, wrong", bucket.delete_expect_revision("a", Some(1)))
        .await;
    log.note(
        "create over a tombstone",
        bucket.create("b.c", "again".into()),
    )
    .await;
    log.note("create over a purge", bucket.create("lock", "you".into()))
        .await;
    log.note("delete", bucket.delete("lock")).await;
    log.note("purge, wrong", bucket.purge_expect_revision("a", Some(1)))
        .await;
    let history = bucket.history("lock").await.unwrap();
    let history: Vec<_> = history.map_ok(|entry| shown(&entry)).collect().await;
    log.say(format!("history: {history:?}"));
    // What other clients call `purge_deletes`.
    let purge = bucket.stream.purge().filter("$KV.session.lock").await;
    log.say(format!(
        "purge deletes: {:?}",
        purge.map(|done| done.purged)
    ));
    let keys: Vec<_> = bucket.keys().await.unwrap().collect().await;
    log.say(format!("keys: {keys:?}"));
}

async fn expire(bucket: &kv::Store, log: &mut Log) {
    let second = Duration::from_secs(1);
    let mut watch = bucket.watch("short").await.unwrap();
    log.note(
        "create for a second",
        bucket.create_with_ttl("short", "lived".into(), second),
    )
    .await;
    log.note("get", bucket.get("short")).await;
    hear(&mut watch, 2, log).await;
    log.note("get expired", bucket.get("short")).await;
    let minute = 60 * second;
    log.note("purge for a minute", bucket.purge_with_ttl("a", minute))
        .await;
}

async fn status(context: &jetstream::Context, log: &mut Log) {
    // The handle has only what was true when it was made.
    let mut bucket = context.get_key_value("session").await.unwrap();
    let status = bucket.status().await.unwrap();
    let shown = (
        status.bucket().to_owned(),
        status.values(),
        status.history(),
        status.max_age(),
    );
    log.say(format!("status: {shown:?}"));
    let info = bucket.stream.info().await.unwrap();
    let state = &info.state;
    log.say(format!(
        "state: {} messages, {} bytes, {}..={}, {} consumers",
        state.messages,
        state.bytes,
        state.first_sequence,
        state.last_sequence,
        state.consumer_count
    ));
    let mut config = info.config.clone();
    let metadata: BTreeMap<_, _> = std::mem::take(&mut config.metadata).into_iter().collect();
    log.say(format!("metadata: {metadata:?}"));
    log.say(format!("config: {config:?}"));
    let names: Vec<_> = context.stream_names().collect().await;
    log.say(format!("buckets: {names:?}"));
}
