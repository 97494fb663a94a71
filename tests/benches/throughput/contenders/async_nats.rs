//! The rival.

use async_nats::jetstream::{self, kv, stream::StorageType};
use bytes::Bytes;
use futures_util::StreamExt;

use super::lanes::{Connected, Store};
use super::{Buckets, Runtime};
use crate::stage::{DEEP, MANY_KEYS, Stage};

pub(crate) fn new(stage: &Stage, runtime: Runtime) -> Connected<kv::Store> {
    let names = ["own", "scratch"].map(kv_tests::unique);
    let buckets = runtime.block_on(async {
        let client = async_nats::connect(stage.url()).await.expect("connects");
        let context = jetstream::new(client);
        Buckets {
            own: create(&context, &names[0]).await,
            scratch: create(&context, &names[1]).await,
            many: context.get_key_value(MANY_KEYS).await.expect("opens"),
            deep: context.get_key_value(DEEP).await.expect("opens"),
        }
    });
    Connected::new(stage, runtime, names, buckets)
}

pub(crate) fn hello(runtime: &Runtime, url: &str) {
    let name = kv_tests::unique("hello");
    runtime.block_on(async {
        let client = async_nats::connect(url).await.expect("connects");
        let context = jetstream::new(client);
        let bucket = create(&context, &name).await;
        Store::put(&bucket, "hello", Bytes::from_static(b"world")).await;
        assert_eq!(Store::get(&bucket, "hello").await, b"world"[..]);
        let deleted = context.delete_key_value(&name).await;
        deleted.expect("deletes");
    });
}

async fn create(context: &jetstream::Context, name: &str) -> kv::Store {
    let config = kv::Config {
        bucket: name.to_owned(),
        storage: StorageType::Memory,
        history: 1,
        ..kv::Config::default()
    };
    context.create_key_value(config).await.expect("creates")
}

impl Store for kv::Store {
    const CLIENT: &'static str = "async-nats";

    async fn put(&self, key: &str, value: Bytes) -> u64 {
        Self::put(self, key, value).await.expect("puts")
    }

    async fn get(&self, key: &str) -> Bytes {
        let value = Self::get(self, key).await.expect("gets");
        value.expect("a value")
    }

    async fn update(&self, key: &str, value: Bytes, last: u64) -> u64 {
        Self::update(self, key, value, last).await.expect("updates")
    }

    async fn delete(&self, key: &str) {
        Self::delete(self, key).await.expect("deletes");
    }

    async fn purge(&self, key: &str) {
        Self::purge(self, key).await.expect("purges");
    }

    /// With the state of all keys first, which its `watch_all` leaves out.
    async fn initial(&self) -> usize {
        let mut watch = self.watch_with_history(">").await.expect("watches");
        let mut entries = 0;
        while let Some(entry) = watch.next().await {
            entries += 1;
            if entry.expect("goes on").seen_current {
                break;
            }
        }
        entries
    }

    async fn live(&self, many: usize, stands: impl FnOnce() + Send) {
        let mut watch = self.watch_all().await.expect("watches");
        stands();
        for _ in 0..many {
            watch.next().await.expect("an update").expect("goes on");
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
