//! Futures that are dropped before they are ready: nothing is left of them, and nothing of others lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Limits, Revision};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Proxy, eventually, unique};

use crate::site::{Adapter, Site, all, begin, config, poll_once, state_of, tests};

tests! {
    on_both_ends {
        a_request_that_is_not_awaited_is_not_made
        dropped_futures_leave_no_slot_behind
        dropped_futures_leave_no_slot_behind_a_silent_server
        a_dropped_write_is_whole_or_nothing
        a_dropped_frame_is_finished_for_the_sake_of_the_others
        a_cancelled_request_wakes_nobody_else
    }
}

/// Slots of a client in the tests below: a leak of a few is enough to be noticed.
const SLOTS: usize = 32;

/// A bucket of a client with few slots, behind a proxy.
async fn with_few_slots<A: Adapter>(site: &Site<A>) -> (Proxy, Bucket) {
    let limits = Limits {
        max_ops: SLOTS,
        ..Limits::default()
    };
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect_with(config(&proxy.url()).limits(limits)).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    (proxy, bucket)
}

/// Begins a request and drops it: at once, or after it was polled once.
fn begin_and_drop<F: IntoFuture>(request: F, polled: bool) {
    let mut future = begin(request);
    if polled {
        let _ = poll_once(&mut future);
    }
}

/// Drops requests of every kind at several points.
fn drop_many(bucket: &Bucket, rounds: usize) {
    let client = bucket.client();
    for round in 0..rounds {
        let polled = round % 2 == 1;
        begin_and_drop(bucket.put("dropped", vec![1; 10 * round]), polled);
        begin_and_drop(bucket.create("dropped", "1"), polled);
        begin_and_drop(bucket.update("dropped", "1", Revision::new(1)), polled);
        begin_and_drop(bucket.delete("dropped"), polled);
        begin_and_drop(bucket.purge("dropped"), polled);
        begin_and_drop(bucket.get("dropped"), polled);
        begin_and_drop(bucket.entry("dropped").leader(), polled);
        begin_and_drop(bucket.status(), polled);
        begin_and_drop(client.bucket(bucket.name()), polled);
        begin_and_drop(client.delete_bucket("never-was"), polled);
        drop(client.sleep(Duration::from_secs(60)));
        begin_and_drop(
            client.timeout(Duration::ZERO, begin(bucket.get("dropped"))),
            polled,
        );
        let mut names = client.bucket_names();
        let _ = poll_once(&mut Box::pin(names.next()));
    }
}

/// Asserts that all slots are free and that a thousand operations, as many at once as there are slots,
/// are answered, each by its own answer.
async fn assert_all_slots_serve(bucket: &Bucket) {
    for round in 0..1_000 / (2 * SLOTS) + 1 {
        let value = |slot: usize| format!("{round}.{slot}");
        let puts: Vec<_> = (0..SLOTS)
            .map(|slot| begin(bucket.put(format!("k{slot}"), value(slot))))
            .collect();
        let revisions: Vec<_> = all(puts).await.into_iter().map(Result::unwrap).collect();
        let reads: Vec<_> = (0..SLOTS)
            .map(|slot| begin(bucket.entry(format!("k{slot}"))))
            .collect();
        for (slot, entry) in all(reads).await.into_iter().enumerate() {
            let entry = entry.unwrap().unwrap();
            assert_eq!(
                (entry.revision, &*entry.value),
                (revisions[slot], value(slot).as_bytes())
            );
        }
    }
    assert_eq!(bucket.client().stats().connects, 1);
}

/// A builder that is dropped without being awaited asks the server nothing.
async fn a_request_that_is_not_awaited_is_not_made<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let sent = bucket.client().stats().bytes_out;
    drop(bucket.put("a", "1"));
    drop(bucket.create("a", "1").timeout(Duration::from_secs(1)));
    drop(bucket.get("a").leader());
    drop(bucket.status());
    drop(bucket.client().delete_bucket(bucket.name()));
    drop(bucket.client().bucket_names());
    assert_eq!(bucket.get("a").await, Ok(None));
    let one_get = bucket.client().stats().bytes_out - sent;
    assert!(one_get < 200, "{one_get} bytes");
}

/// Futures of all kinds dropped at once, after one poll, and while the server answers: every slot is
/// free again, and later operations get their own answers only.
async fn dropped_futures_leave_no_slot_behind<A: Adapter>(site: Site<A>) {
    let (_proxy, bucket) = with_few_slots(&site).await;
    for _ in 0..20 {
        drop_many(&bucket, 10);
        assert_eq!(bucket.get("never").await, Ok(None));
    }
    assert_all_slots_serve(&bucket).await;
}

/// The same while no answer comes, for as many requests as there are slots many times over; the answers
/// come later, all at once, and are nobody's.
async fn dropped_futures_leave_no_slot_behind_a_silent_server<A: Adapter>(site: Site<A>) {
    let (proxy, bucket) = with_few_slots(&site).await;
    proxy.stall(ServerToClient);
    for _ in 0..10 {
        let sent = proxy.bytes(ClientToServer);
        let mut waiting: Vec<_> = (0..SLOTS).map(|_| begin(bucket.get("never"))).collect();
        for future in &mut waiting {
            assert!(poll_once(future).is_pending());
        }
        eventually("the requests are out", || {
            proxy.bytes(ClientToServer) > sent + 1_000
        });
        drop(waiting);
        drop_many(&bucket, 3);
    }
    let before = bucket.client().stats().stray_messages;
    proxy.resume(ServerToClient);
    assert_all_slots_serve(&bucket).await;
    assert!(bucket.client().stats().stray_messages >= before + 100);
}

/// A dropped write is stored as it was asked for, or not at all; what was written before and after is
/// there.
async fn a_dropped_write_is_whole_or_nothing<A: Adapter>(site: Site<A>) {
    let (_proxy, bucket) = with_few_slots(&site).await;
    let value: Vec<u8> = (0..50_000_u32).map(|at| (at % 249) as u8).collect();
    for round in 0..60 {
        let mut dropped = begin(bucket.put(format!("dropped.{round}"), &value));
        let _ = poll_once(&mut dropped);
        if round % 3 == 0 {
            begin_and_drop(bucket.put("other", "1"), true);
        }
        drop(dropped);
        bucket.put(format!("kept.{round}"), &value).await.unwrap();
    }
    for round in 0..60 {
        let kept = bucket.get(format!("kept.{round}")).await.unwrap();
        assert!(kept.unwrap() == value);
        let dropped = bucket.get(format!("dropped.{round}")).await.unwrap();
        assert!(dropped.is_none_or(|stored| stored == value));
    }
    assert_eq!(bucket.client().stats().connects, 1);
}

/// A frame that was begun when its future was dropped is finished: cutting it would break the connection
/// for everybody. One that was not begun is never sent.
async fn a_dropped_frame_is_finished_for_the_sake_of_the_others<A: Adapter>(site: Site<A>) {
    let size = 8 * 1024 * 1024;
    let server = site.own_server().max_payload(2 * size).start();
    let proxy = Proxy::start(server.addr());
    let client = site.connect(&proxy.url()).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    proxy.chunk(ClientToServer, 64);
    let passed = proxy.bytes(ClientToServer);
    let mut begun = begin(bucket.put("begun", vec![b'x'; size]));
    assert!(poll_once(&mut begun).is_pending());
    eventually("a part of the frame has passed", || {
        proxy.bytes(ClientToServer) > passed + 10_000
    });
    proxy.stall(ClientToServer);
    let mut not_begun = begin(bucket.put("not.begun", "1"));
    assert!(poll_once(&mut not_begun).is_pending());
    let after = begin(bucket.put("after", "1"));
    drop(begun);
    drop(not_begun);
    proxy.heal();
    after.await.unwrap();
    assert_eq!(bucket.get("begun").await.unwrap().unwrap().len(), size);
    assert_eq!(bucket.get("not.begun").await, Ok(None));
    let mut admin = kv_tests::Admin::connect(&server);
    assert_eq!(state_of(&mut admin, &bucket, "last_seq"), 2);
    assert_eq!(client.stats().connects, 1);
}

/// Some tasks begin requests and drop them, others wait for theirs, on the same client and on several
/// threads: all who wait are served, though slots change hands all the time.
async fn a_cancelled_request_wakes_nobody_else<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let over = Arc::new(AtomicBool::new(false));
    let droppers: Vec<_> = (0..2)
        .map(|_| {
            let (bucket, over) = (bucket.clone(), over.clone());
            A::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    for _ in 0..20 {
                        begin_and_drop(bucket.get("dropped"), true);
                    }
                    bucket.client().sleep(Duration::ZERO).await;
                }
            })
        })
        .collect();
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let bucket = bucket.clone();
            A::spawn(async move {
                for round in 0..100 {
                    let (key, value) = (format!("k{task}"), round.to_string());
                    let revision = bucket.put(&key, &value).await.unwrap();
                    let entry = bucket.entry(&key).await.unwrap().unwrap();
                    assert_eq!((entry.revision, entry.value), (revision, value.into()));
                }
            })
        })
        .collect();
    all(tasks).await;
    over.store(true, Ordering::Relaxed);
    all(droppers).await;
    assert_eq!(bucket.client().stats().connects, 1);
}
