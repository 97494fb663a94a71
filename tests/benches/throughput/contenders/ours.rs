//! kv-tokio and kv-smol, whose buckets are of the same type.

use bytes::Bytes;
use kv_tokio::{Bucket, BucketConfig, Client, Revision, Storage, Update};

use super::lanes::{Connected, Store};
use super::{Buckets, Runtime};
use crate::stage::{DEEP, MANY_KEYS, Stage};

pub(crate) fn new(stage: &Stage, runtime: Runtime) -> Connected<Bucket> {
    let names = ["own", "scratch"].map(kv_tests::unique);
    let buckets = runtime.block_on(async {
        let client = connect(&runtime, stage.url()).await;
        Buckets {
            own: create(&client, &names[0]).await,
            scratch: create(&client, &names[1]).await,
            many: client.bucket(MANY_KEYS).await.expect("opens"),
            deep: client.bucket(DEEP).await.expect("opens"),
        }
    });
    Connected::new(stage, runtime, names, buckets)
}

pub(crate) fn hello(runtime: &Runtime, url: &str) {
    let name = kv_tests::unique("hello");
    runtime.block_on(async {
        let client = connect(runtime, url).await;
        let bucket = create(&client, &name).await;
        Store::put(&bucket, "hello", Bytes::from_static(b"world")).await;
        assert_eq!(Store::get(&bucket, "hello").await, b"world"[..]);
        client.delete_bucket(&name).await.expect("deletes");
    });
}

async fn connect(runtime: &Runtime, url: &str) -> Client {
    let client = match runtime {
        Runtime::Tokio(..) => kv_tokio::connect(url).await,
        Runtime::Smol => kv_smol::connect(url).await,
    };
    client.expect("connects")
}

async fn create(client: &Client, name: &str) -> Bucket {
    let config = BucketConfig::new(name).storage(Storage::Memory);
    client.create_bucket(config).await.expect("creates")
}

impl Store for Bucket {
    const CLIENT: &'static str = "kv-tokio";

    async fn put(&self, key: &str, value: Bytes) -> u64 {
        Self::put(self, key, value).await.expect("puts").get()
    }

    async fn get(&self, key: &str) -> Bytes {
        let value = Self::get(self, key).await.expect("gets");
        value.expect("a value")
    }

    async fn update(&self, key: &str, value: Bytes, last: u64) -> u64 {
        let updated = Self::update(self, key, value, Revision::new(last)).await;
        updated.expect("updates").get()
    }

    async fn delete(&self, key: &str) {
        Self::delete(self, key).await.expect("deletes");
    }

    async fn purge(&self, key: &str) {
        Self::purge(self, key).await.expect("purges");
    }

    async fn initial(&self) -> usize {
        let mut watch = self.watch_all().await.expect("watches");
        let mut entries = 0;
        while let Some(update) = watch.next().await {
            match update.expect("goes on") {
                Update::Entry(_) => entries += 1,
                Update::Synced => break,
                other => panic!("{other:?}"),
            }
        }
        entries
    }

    async fn live(&self, many: usize, stands: impl FnOnce() + Send) {
        let mut watch = self.watch_all().updates_only().await.expect("watches");
        assert_eq!(watch.next().await, Some(Ok(Update::Synced)));
        stands();
        for _ in 0..many {
            let update = watch.next().await;
            assert!(matches!(update, Some(Ok(Update::Entry(_)))), "{update:?}");
        }
    }

    async fn keys(&self) -> usize {
        let mut keys = Self::keys(self).await.expect("lists");
        let mut count = 0;
        while let Some(key) = keys.next().await {
            key.expect("a key");
            count += 1;
        }
        count
    }

    async fn history(&self, key: &str) -> usize {
        let mut history = Self::history(self, key).await.expect("lists");
        let mut count = 0;
        while let Some(entry) = history.next().await {
            entry.expect("an entry");
            count += 1;
        }
        count
    }
}
