//! Clients that are closed under a watch, and watches that keep a client.

use std::time::Duration;

use kv_proto::driver::Client;
use kv_proto::{BucketConfig, Refused, Update, WatchError, WatchState};
use kv_tests::{Proxy, unique};

use super::{await_consumers, fill, read};
use crate::site::{Adapter, Site, at_once, begin, config, poll_once, tests};

tests! {
    on_both_ends {
        closing_the_client_ends_its_watches
        closing_the_client_wakes_who_waits
        closing_the_client_ends_what_is_being_opened
        a_closed_client_opens_no_watch
        dropping_the_driver_ends_the_watches
        a_watch_keeps_its_client
    }
}

/// The next items up to the end, which must be near: how many entries, and the error.
async fn drain(watch: &mut kv_proto::driver::Watch) -> (usize, WatchError) {
    let mut entries = 0;
    loop {
        match at_once(watch.next()).await {
            Some(Ok(Update::Entry(_))) => entries += 1,
            Some(Err(error)) => {
                assert_eq!(at_once(watch.next()).await, None);
                assert_eq!(watch.state(), WatchState::Ended);
                return (entries, error);
            }
            other => assert_eq!(other, Some(Ok(Update::Synced))),
        }
    }
}

/// Watches end with `Closed`, behind what they had to tell; their positions stay readable, and their
/// consumers go.
async fn closing_the_client_ends_its_watches<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    fill(&bucket, 10, 10).await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    reader.initial().await;
    let mut unread = bucket.watch_all().await.unwrap();
    let mut admin = site.admin();
    await_consumers(&mut admin, &bucket, 2);
    at_once(bucket.client().close()).await;
    let position = reader.watch.position().unwrap();
    assert_eq!(drain(&mut reader.watch).await, (0, WatchError::Closed));
    assert!(!WatchError::Closed.is_retryable());
    assert_eq!(reader.watch.position(), Some(position));
    let (entries, error) = drain(&mut unread).await;
    assert!(entries <= 10);
    assert_eq!(error, WatchError::Closed);
    await_consumers(&mut admin, &bucket, 0);
}

/// A task that waits for the next update gets the error.
async fn closing_the_client_wakes_who_waits<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut reader = read(bucket.watch_all(), &bucket).await;
    reader.initial().await;
    let mut watch = reader.watch;
    let waiting = A::spawn(async move { watch.next().await });
    let mut keys = bucket.keys().await.unwrap();
    assert_eq!(keys.next().await, None);
    bucket.client().close().await;
    assert_eq!(at_once(waiting).await, Some(Err(WatchError::Closed)));
    assert_eq!(keys.next().await, None);
}

/// A watch that waits for a connection to be opened on ends, and so do listings.
async fn closing_the_client_ends_what_is_being_opened<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    proxy.refuse(true);
    proxy.cut_all();
    let mut watch = begin(bucket.watch_all());
    let mut keys = begin(bucket.keys());
    let mut history = begin(bucket.history("a"));
    assert!(poll_once(&mut watch).is_pending());
    assert!(poll_once(&mut keys).is_pending());
    assert!(poll_once(&mut history).is_pending());
    at_once(client.close()).await;
    assert_eq!(at_once(watch).await.unwrap_err(), WatchError::Closed);
    assert_eq!(at_once(keys).await.unwrap_err(), WatchError::Closed);
    assert_eq!(at_once(history).await.unwrap_err(), WatchError::Closed);
}

/// After that nothing is opened any more.
async fn a_closed_client_opens_no_watch<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.client().close().await;
    let closed = WatchError::Refused(Refused::Closed);
    assert_eq!(bucket.watch_all().await.unwrap_err(), closed);
    assert_eq!(bucket.keys().collect().await.unwrap_err(), closed);
    assert_eq!(bucket.history("a").collect().await.unwrap_err(), closed);
    assert!(!closed.is_retryable());
}

/// Watches of a client whose driver is gone say so instead of waiting for ever.
async fn dropping_the_driver_ends_the_watches<A: Adapter>(site: Site<A>) {
    let config = config(&site.server().url());
    let (client, driver) = A::connect_with_driver(config).unwrap();
    let mut driver = Box::pin(driver);
    let mut watch = {
        let work = open(&client);
        let mut work = Box::pin(work);
        std::future::poll_fn(|cx| {
            assert!(driver.as_mut().poll(cx).is_pending());
            work.as_mut().poll(cx)
        })
        .await
    };
    let mut waiting = Box::pin(watch.next());
    assert!(poll_once(&mut waiting).is_pending());
    drop(driver);
    assert_eq!(at_once(waiting).await, Some(Err(WatchError::Closed)));
    assert_eq!(watch.next().await, None);
}

async fn open(client: &Client) -> kv_proto::driver::Watch {
    client.connected().await.unwrap();
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    let mut watch = bucket.watch_all().await.unwrap();
    assert_eq!(watch.next().await, Some(Ok(Update::Synced)));
    watch
}

/// A watch goes on when every other handle of its client was dropped; with it the client ends, and the
/// consumer goes.
async fn a_watch_keeps_its_client<A: Adapter>(site: Site<A>) {
    let writer = site.bucket().await;
    let mut watch = {
        let client = site.client().await;
        let bucket = client.bucket(writer.name()).await.unwrap();
        bucket.watch_all().await.unwrap()
    };
    assert_eq!(at_once(watch.next()).await, Some(Ok(Update::Synced)));
    writer.client().sleep(Duration::from_millis(50)).await;
    writer.put("a", "1").await.unwrap();
    let update = at_once(watch.next()).await;
    assert!(matches!(update, Some(Ok(Update::Entry(_)))), "{update:?}");
    let mut admin = site.admin();
    await_consumers(&mut admin, &writer, 1);
    drop(watch);
    await_consumers(&mut admin, &writer, 0);
}
