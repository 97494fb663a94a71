//! The server's address, and the buckets that all clients read.

use kv_tests::Admin;
use kv_tokio::{BucketConfig, Storage};

use crate::contenders::Runtime;
use crate::workloads::{DEPTH, VALUE_LEN, entries, many};

/// The bucket of many keys.
pub(crate) const MANY_KEYS: &str = "many";

/// The bucket of one key, `deep`, with a deep history.
pub(crate) const DEEP: &str = "deep";

/// Most puts in flight while the stage is set: a multiple of what is put.
const IN_FLIGHT: usize = 500;

pub(crate) struct Stage {
    url: String,
}

impl Stage {
    /// One that somebody else has set.
    pub(crate) fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Puts into place what is only read.
    pub(crate) fn set(url: &str) -> Self {
        let runtime = Runtime::current_thread();
        runtime.block_on(async {
            let client = kv_tokio::connect(url).await.expect("connects");
            let bucket = |name, history| {
                let config = BucketConfig::new(name).storage(Storage::Memory);
                client.create_bucket(config.history(history))
            };
            let many_keys = bucket(MANY_KEYS, 1).await.expect("creates");
            for chunk in many().chunks(IN_FLIGHT) {
                let puts = chunk.iter().map(|(key, value)| {
                    let (bucket, key, value) = (many_keys.clone(), key.clone(), value.clone());
                    runtime.spawn(async move { bucket.put(key, value).await.expect("puts") })
                });
                for put in puts.collect::<Vec<_>>() {
                    put.await;
                }
            }
            let deep = bucket(DEEP, 64).await.expect("creates");
            for (_, value) in entries(DEPTH, VALUE_LEN, "deep").iter() {
                deep.put("deep", value.clone()).await.expect("puts");
            }
        });
        Self::at(url)
    }
}

/// Removes the consumers that clients leave behind, which would cost the server time in the next round.
pub(crate) fn tidy(admin: &mut Admin) {
    for bucket in [MANY_KEYS, DEEP] {
        let stream = format!("KV_{bucket}");
        for consumer in admin.consumer_names(&stream) {
            // It may just have gone by itself.
            admin.request(&format!("$JS.API.CONSUMER.DELETE.{stream}.{consumer}"), b"");
        }
    }
}
