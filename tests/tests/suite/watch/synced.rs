//! `Synced` comes when the initial data is complete, exactly once, whatever that data is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kv_proto::driver::{Bucket, OpenWatch};
use kv_proto::{Revision, Update};
use kv_tests::eventually;

use super::{HEARTBEAT, Reader, await_consumers, fill, read, told};
use crate::site::{Adapter, Site, all, at_once, stream, tests};

tests! {
    on_both_ends {
        with_nothing_to_tell
        with_tombstones_only
        once
        while_keys_are_written
        when_the_rest_is_purged
        when_the_rest_is_overwritten
        of_many_watches_at_once
    }
}

/// In an empty bucket, of filters that nothing matches and of starts that nothing follows, `Synced` is
/// all there is, at once.
async fn with_nothing_to_tell<A: Adapter>(site: Site<A>) {
    let empty = site.bucket().await;
    let full = site.bucket().await;
    full.put("a", "1").await.unwrap();
    let rows = [
        ("empty", &empty, empty.watch_all()),
        (
            "empty, history",
            &empty,
            empty.watch_all().include_history(),
        ),
        ("empty, updates", &empty, empty.watch_all().updates_only()),
        (
            "empty, revision",
            &empty,
            empty.watch_all().from_revision(Revision::new(1)),
        ),
        ("empty, filters", &empty, empty.watch("a").filter("b.>")),
        ("no match", &full, full.watch("b.>")),
        (
            "no matches",
            &full,
            full.watch("b.>").filter("c").meta_only(),
        ),
        (
            "no match, history",
            &full,
            full.watch("b").include_history(),
        ),
        ("updates", &full, full.watch_all().updates_only()),
        (
            "behind",
            &full,
            full.watch_all().from_revision(Revision::new(2)),
        ),
    ];
    for (name, bucket, request) in rows {
        let mut reader = at_once(read(request, bucket)).await;
        assert_eq!(at_once(reader.update()).await, Update::Synced, "{name}");
    }
}

/// When all keys are deleted their tombstones are told, or left out; `Synced` comes either way.
async fn with_tombstones_only<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(3)).await;
    for key in ["a", "b"] {
        bucket.put(key, "1").await.unwrap();
        bucket.delete(key).await.unwrap();
    }
    bucket.purge("c").await.unwrap();
    let mut reader = read(bucket.watch_all(), &bucket).await;
    let tombstones = ["2 a Delete", "4 b Delete", "5 c Purge"];
    assert_eq!(told(&at_once(reader.initial()).await), tombstones);
    let mut reader = read(bucket.watch_all().ignore_deletes(), &bucket).await;
    assert_eq!(at_once(reader.update()).await, Update::Synced);
}

/// After `Synced` only entries come, over several heartbeats.
async fn once<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.put("a", "1").await.unwrap();
    let starts: [fn(OpenWatch) -> OpenWatch; 3] = [
        |request| request,
        OpenWatch::updates_only,
        OpenWatch::include_history,
    ];
    let mut readers = Vec::new();
    for start in starts {
        let request = start(bucket.watch_all().heartbeat(HEARTBEAT));
        readers.push(read(request, &bucket).await);
    }
    for reader in &mut readers {
        reader.initial().await;
    }
    let mut last = Revision::default();
    for _ in 0..10 {
        last = bucket.put("a", "2").await.unwrap();
        bucket.client().sleep(HEARTBEAT / 3).await;
    }
    for reader in &mut readers {
        let entries = reader.until(last).await;
        assert_eq!(entries.len(), 10);
    }
}

/// Writes keys again and again until told to stop.
async fn write_on(bucket: Bucket, task: usize, over: Arc<AtomicBool>) {
    let mut round = 0;
    while !over.load(Ordering::Relaxed) {
        round += 1;
        let key = format!("busy.{task}.{}", round % 50);
        bucket.put(key, "1").await.unwrap();
    }
}

/// `Synced` comes although keys are written all the time, and every key that was there when the watch
/// was opened has been told before it.
async fn while_keys_are_written<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 1_000, 20).await;
    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..8)
        .map(|task| A::spawn(write_on(bucket.clone(), task, over.clone())))
        .collect();
    for _ in 0..10 {
        let mut reader = read(bucket.watch_all(), &bucket).await;
        let initial = reader.initial().await;
        let stable = initial.iter().filter(|entry| entry.key.starts_with("k."));
        assert_eq!(stable.count(), 1_000);
    }
    over.store(true, Ordering::Relaxed);
    all(writers).await;
}

/// A watch that stands still in the middle of its initial data, for want of a reader.
async fn halfway(bucket: &Bucket) -> (Reader, usize) {
    fill(bucket, 3_000, 1_000).await;
    let request = bucket.watch_all().buffer(50, 64 * 1024);
    let mut reader = read(request.heartbeat(HEARTBEAT), bucket).await;
    let first = reader.entry().await;
    assert_eq!(first.key, "k.0");
    (reader, 1)
}

/// All entries that had not been delivered are purged: `Synced` comes all the same.
async fn when_the_rest_is_purged<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let (mut reader, told) = halfway(&bucket).await;
    let mut admin = site.admin();
    admin.purge(&stream(&bucket), None);
    let rest = reader.initial().await.len();
    assert!(told + rest < 3_000, "all {rest} were on their way");
    let last = bucket.put("a", "1").await.unwrap();
    assert_eq!(reader.until(last).await.len(), 1);
}

/// All keys are written anew before they were delivered: each is told, and `Synced` comes once.
async fn when_the_rest_is_overwritten<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let (mut reader, _) = halfway(&bucket).await;
    let last = fill(&bucket, 3_000, 10).await;
    let mut entries = Vec::new();
    let mut synced = 0;
    while entries.last().is_none_or(|revision| *revision < last) {
        match reader.update().await {
            Update::Entry(entry) => entries.push(entry.revision),
            Update::Synced => synced += 1,
            other => panic!("{other:?}"),
        }
    }
    if synced == 0 {
        assert_eq!(reader.update().await, Update::Synced);
    }
    assert!(synced <= 1, "{synced}");
    assert!(entries.is_sorted());
    assert!(entries.len() >= 3_000);
    let end = bucket.put("end", "").await.unwrap();
    assert_eq!(reader.until(end).await.len(), 1);
}

/// Two hundred watches of one bucket on one client are each told everything.
async fn of_many_watches_at_once<A: Adapter>(site: Site<A>) {
    const WATCHES: usize = 200;
    let bucket = site.bucket().await;
    fill(&bucket, 100, 20).await;
    let synced = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..WATCHES)
        .map(|_| {
            let (bucket, synced) = (bucket.clone(), synced.clone());
            A::spawn(async move {
                let mut reader = read(bucket.watch("k.*"), &bucket).await;
                assert_eq!(reader.initial().await.len(), 100);
                synced.fetch_add(1, Ordering::Relaxed);
                assert_eq!(reader.entry().await.key, "k.last");
            })
        })
        .collect();
    eventually("all are synced", || {
        synced.load(Ordering::Relaxed) == WATCHES
    });
    let mut admin = site.admin();
    await_consumers(&mut admin, &bucket, WATCHES as u64);
    bucket.put("k.last", "1").await.unwrap();
    all(tasks).await;
    await_consumers(&mut admin, &bucket, 0);
}
