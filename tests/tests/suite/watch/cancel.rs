//! Futures and streams of watches that are dropped, moved and mixed: no update is lost or doubled.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use kv_proto::driver::Bucket;
use kv_proto::{Revision, Update};

use super::{fill, in_order, read, told};
use crate::site::{Adapter, SECOND, Site, all, begin, poll_once, tests};

tests! {
    on_both_ends {
        a_next_that_times_out_loses_nothing
        a_next_that_is_dropped_loses_nothing
        a_watch_can_move_between_tasks
        a_stream_is_the_same_as_next
        listings_are_streams_too
    }
}

/// The next item, asked for as of any [`Stream`].
async fn stream_next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// Writes to two thousand keys one after the other, with small pauses.
async fn write(bucket: Bucket) -> Revision {
    let mut last = Revision::default();
    for round in 0..40 {
        let put = |number| {
            let key = format!("k.{round}.{number}");
            begin(bucket.put(key, "1").timeout(30 * SECOND))
        };
        let puts: Vec<_> = (0..50).map(put).collect();
        for put in all(puts).await {
            last = last.max(put.unwrap());
        }
        bucket.client().sleep(Duration::from_millis(3)).await;
    }
    last
}

/// Limits of a few microseconds to milliseconds on each `next`, most of which strike: all that is written
/// is told, once.
async fn a_next_that_times_out_loses_nothing<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut watch = bucket.watch_all().await.unwrap();
    let writer = A::spawn(write(bucket.clone()));
    let client = bucket.client();
    let (mut told, mut late, mut synced) = (0, 0, 0);
    while told < 2_000 {
        let limit = Duration::from_micros(100 * (late % 30));
        match client.timeout(limit, watch.next()).await {
            Ok(Some(Ok(Update::Entry(entry)))) => {
                told += 1;
                assert_eq!(entry.revision.get(), told);
            }
            Ok(Some(Ok(Update::Synced))) => synced += 1,
            Ok(other) => panic!("{other:?}"),
            Err(_) => late += 1,
        }
    }
    assert_eq!(writer.await.get(), 2_000);
    assert_eq!(synced, 1);
    assert!(late > 10, "only {late} were late");
}

/// Futures that are polled once and dropped, as in a `select!`; the last one waits.
async fn a_next_that_is_dropped_loses_nothing<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    for expected in 1..=100_u64 {
        for _ in 0..5 {
            assert!(poll_once(&mut reader.watch.next()).is_pending());
        }
        let last = bucket.put("a", "1").await.unwrap();
        let polled = poll_once(&mut reader.watch.next());
        let entry = match polled {
            Poll::Ready(Some(Ok(Update::Entry(entry)))) => entry,
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => reader.entry().await,
        };
        assert_eq!((entry.revision, last.get()), (last, expected));
    }
}

/// One task polls a watch and gives it away; the next one is woken.
async fn a_watch_can_move_between_tasks<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    for _ in 0..20 {
        assert!(poll_once(&mut reader.watch.next()).is_pending());
        let task = A::spawn(async move {
            let entry = reader.entry().await;
            (reader, entry)
        });
        let last = bucket.put("a", "1").await.unwrap();
        let (back, entry) = task.await;
        assert_eq!(entry.revision, last);
        reader = back;
    }
}

/// A watch read as a stream and by `next` in turns tells each update once.
async fn a_stream_is_the_same_as_next<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let last = fill(&bucket, 50, 10).await;
    let mut watch = bucket.watch_all().await.unwrap();
    let mut entries = Vec::new();
    loop {
        let update = match entries.len() % 2 {
            0 => stream_next(&mut watch).await,
            _ => watch.next().await,
        };
        match update {
            Some(Ok(Update::Entry(entry))) => entries.push(entry),
            other => break assert_eq!(other, Some(Ok(Update::Synced))),
        }
    }
    let entries = in_order(entries);
    assert_eq!((entries.len(), entries[49].revision), (50, last));
    bucket.client().close().await;
    assert!(matches!(stream_next(&mut watch).await, Some(Err(_))));
    assert_eq!(stream_next(&mut watch).await, None);
}

/// Keys and histories as streams, with dropped futures in between.
async fn listings_are_streams_too<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    fill(&bucket, 50, 10).await;
    let mut listed = Vec::new();
    let mut keys = bucket.keys().await.unwrap();
    while let Some(key) = stream_next(&mut keys).await {
        listed.push(key.unwrap());
        if let Poll::Ready(Some(key)) = poll_once(&mut keys.next()) {
            listed.push(key.unwrap());
        }
    }
    listed.sort_unstable();
    assert_eq!(bucket.keys().collect().await.unwrap(), listed);
    assert_eq!(listed.len(), 50);
    assert_eq!(stream_next(&mut keys).await, None);

    bucket.put("k.0", "2").await.unwrap();
    bucket.delete("k.0").await.unwrap();
    let mut history = bucket.history("k.0").await.unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = stream_next(&mut history).await {
        entries.push(entry.unwrap());
    }
    assert_eq!(
        told(&entries),
        ["1 k.0=vvvvvvvvvv", "51 k.0=2", "52 k.0 Delete"]
    );
}
