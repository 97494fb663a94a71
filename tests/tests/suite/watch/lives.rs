//! Buckets that are deleted under a watch, and created again.

use kv_proto::driver::{Bucket, Client};
use kv_proto::{BucketConfig, ConnectionState, ResetReason, Update, WatchError};
use kv_tests::{Proxy, eventually, unique};

use super::{HEARTBEAT, Reader, await_consumers, fill, read, told};
use crate::site::{Adapter, SECOND, Site, all, begin, tests};

tests! {
    on_both_ends {
        what_is_not_there_cannot_be_watched
        a_deleted_bucket_ends_its_watches
        a_bucket_that_was_deleted_while_its_watch_was_away
        a_bucket_that_began_anew_while_its_watch_was_away
        a_bucket_that_began_anew_under_its_watch
        a_bucket_that_began_anew_under_a_watch_that_nobody_reads
        a_bucket_that_began_anew_in_the_middle_of_a_listing
    }
}

/// A bucket, a watch of it that has told ten entries, and a client that manages the bucket.
struct Life {
    manager: Client,
    proxy: Proxy,
    bucket: Bucket,
    reader: Reader,
}

impl Life {
    async fn begin<A: Adapter>(site: &Site<A>) -> Self {
        let manager = site.client().await;
        let config = BucketConfig::new(unique("b"));
        let name = config.name().unwrap().clone();
        manager.create_bucket(config).await.unwrap();
        let proxy = Proxy::start(site.server().addr());
        let client = site.connect(&proxy.url()).await;
        let bucket = client.bucket(name).await.unwrap();
        fill(&bucket, 10, 10).await;
        let request = bucket.watch_all().heartbeat(HEARTBEAT);
        let mut reader = read(request, &bucket).await;
        assert_eq!(reader.initial().await.len(), 10);
        Self {
            manager,
            proxy,
            bucket,
            reader,
        }
    }

    fn disconnect(&self) {
        self.proxy.refuse(true);
        self.proxy.cut_all();
        eventually("the connection is lost", || {
            self.bucket.client().state() == ConnectionState::Reconnecting
        });
    }

    async fn end(&self) {
        self.manager
            .delete_bucket(self.bucket.name())
            .await
            .unwrap();
    }

    /// Deletes the bucket and creates another one of its name, with so many keys.
    async fn begin_anew(&self, keys: usize) {
        self.end().await;
        let config = BucketConfig::new(self.bucket.name());
        let bucket = self.manager.create_bucket(config).await.unwrap();
        if keys > 0 {
            fill(&bucket, keys, 10).await;
        }
    }

    /// Reads that the bucket began anew, all that is in it now, and what is written next.
    async fn read_anew(&mut self, keys: usize) {
        assert_eq!(self.reader.reset().await, ResetReason::Recreated);
        let initial = self.reader.initial().await;
        assert_eq!(initial.len(), keys);
        let last = self.bucket.put("new", "1").await.unwrap();
        let expected = format!("{} new=1", keys + 1);
        assert_eq!(told(&self.reader.until(last).await), [expected]);
    }
}

/// Opening a watch or listing the keys or a history of a bucket that is gone says so.
async fn what_is_not_there_cannot_be_watched<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.client().delete_bucket(bucket.name()).await.unwrap();
    let gone = WatchError::BucketNotFound;
    assert!(!gone.is_retryable());
    assert_eq!(bucket.watch_all().await.unwrap_err(), gone);
    assert_eq!(bucket.watch("a").updates_only().await.unwrap_err(), gone);
    assert_eq!(bucket.keys().await.unwrap_err(), gone);
    assert_eq!(bucket.keys().collect().await.unwrap_err(), gone);
    assert_eq!(bucket.history("a").collect().await.unwrap_err(), gone);
}

/// A watch ends when its bucket is deleted, of which the server does not tell.
async fn a_deleted_bucket_ends_its_watches<A: Adapter>(site: Site<A>) {
    let mut life = Life::begin(&site).await;
    life.end().await;
    assert_eq!(life.reader.end().await, WatchError::BucketNotFound);
}

/// The same when it happens while there is no connection.
async fn a_bucket_that_was_deleted_while_its_watch_was_away<A: Adapter>(site: Site<A>) {
    let mut life = Life::begin(&site).await;
    life.disconnect();
    life.end().await;
    life.proxy.heal();
    assert_eq!(life.reader.end().await, WatchError::BucketNotFound);
}

/// The bucket was deleted and created again while there was no connection: the watch says so, tells all
/// that is there now and goes on; whether there are fewer revisions than it has seen, or more.
async fn a_bucket_that_began_anew_while_its_watch_was_away<A: Adapter>(site: Site<A>) {
    for keys in [0, 3, 30] {
        let mut life = Life::begin(&site).await;
        life.disconnect();
        life.begin_anew(keys).await;
        life.proxy.heal();
        life.read_anew(keys).await;
        await_consumers(&mut site.admin(), &life.bucket, 1);
    }
}

/// The same over a connection that lives: missed heartbeats give it away. Then once more.
async fn a_bucket_that_began_anew_under_its_watch<A: Adapter>(site: Site<A>) {
    let mut life = Life::begin(&site).await;
    for keys in [0, 30, 3] {
        life.begin_anew(keys).await;
        life.read_anew(keys).await;
        await_consumers(&mut site.admin(), &life.bucket, 1);
    }
}

/// The same when nobody reads: the watch has found the new bucket before anybody asks. What of the old
/// one was not read may be told or not, but not after the reset.
async fn a_bucket_that_began_anew_under_a_watch_that_nobody_reads<A: Adapter>(site: Site<A>) {
    let mut life = Life::begin(&site).await;
    let mut fresh = read(life.bucket.watch_all().heartbeat(HEARTBEAT), &life.bucket).await;
    life.begin_anew(5).await;
    await_consumers(&mut site.admin(), &life.bucket, 2);
    life.reader.await_live();
    life.read_anew(5).await;

    let mut before = 0;
    loop {
        match fresh.update().await {
            Update::Reset(reason) => {
                assert_eq!(reason, ResetReason::Recreated);
                break;
            }
            Update::Entry(_) => before += 1,
            other => assert_eq!(other, Update::Synced),
        }
    }
    assert!(before <= 10, "{before} entries of the old bucket");
    assert!(fresh.initial().await.len() >= 5);
}

/// A listing cannot take back what it has told: it ends when the bucket begins anew in the middle of it.
async fn a_bucket_that_began_anew_in_the_middle_of_a_listing<A: Adapter>(site: Site<A>) {
    let life = Life::begin(&site).await;
    // More than may wait for a reader.
    let long = "x".repeat(1_500);
    let put = |number| {
        let request = life.bucket.put(format!("{long}.{number}"), "");
        begin(request.timeout(30 * SECOND))
    };
    let puts: Vec<_> = (0..8_000).map(put).collect();
    for put in all(puts).await {
        put.unwrap();
    }
    let mut keys = life.bucket.keys().await.unwrap();
    keys.next().await.unwrap().unwrap();
    life.disconnect();
    life.begin_anew(3).await;
    life.proxy.heal();
    let mut told = 1;
    let error = loop {
        match keys.next().await {
            Some(Ok(_)) => told += 1,
            Some(Err(error)) => break error,
            None => panic!("the listing ended after {told} keys"),
        }
    };
    assert_eq!(error, WatchError::Interrupted(ResetReason::Recreated));
    assert!(error.is_retryable());
    assert_eq!(keys.next().await, None);
    assert_eq!(life.bucket.keys().collect().await.unwrap().len(), 3);
}
