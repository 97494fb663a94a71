//! The clients behind one face.

use std::error::Error;
use std::time::Duration;

use async_nats::jetstream::{self, kv};
use bytes::Bytes;
use futures_util::StreamExt;
use kv_tokio::{BucketConfig, Outcome, Update, WriteError};

/// As long as any operation may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// More revisions of a key than are ever written.
const HISTORY: u32 = 8;

/// What a client said of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Stored(u64),
    /// Somebody else created the key.
    Exists,
    /// It may have been stored: in so many words, or because no answer came.
    Unknown(String),
    Failed(String),
}

/// What a watch told: an entry's revision and value.
pub(crate) type Told = (u64, Bytes);

/// A bucket as a client's users see it.
pub(crate) trait Store: Clone + Send + Sync + 'static {
    const CLIENT: &'static str;

    /// Connects, and creates a bucket that is named after the client, with three replicas.
    fn create_bucket(url: &str) -> impl Future<Output = Self>;
    /// Where it is connected to.
    fn port(&self) -> u16;
    fn put(&self, key: &str, value: Bytes) -> impl Future<Output = Said> + Send;
    fn create(&self, key: &str, value: Bytes) -> impl Future<Output = Said> + Send;
    /// Returns whether there was an answer.
    fn get(&self, key: &str) -> impl Future<Output = Result<(), String>> + Send;
    /// Watches everything, and passes on what is told, and the words of an error that ends it.
    fn watch(
        &self,
        tell: impl FnMut(Result<Told, String>) + Send,
    ) -> impl Future<Output = ()> + Send;
}

impl Store for kv_tokio::Bucket {
    const CLIENT: &'static str = "kv-tokio";

    async fn create_bucket(url: &str) -> Self {
        let client = kv_tokio::connect(url).await.unwrap();
        let config = BucketConfig::new(Self::CLIENT).replicas(3).history(HISTORY);
        client
            .create_bucket(config)
            .timeout(DEADLINE)
            .await
            .unwrap()
    }

    fn port(&self) -> u16 {
        self.client().server().map_or(0, |server| server.port())
    }

    async fn put(&self, key: &str, value: Bytes) -> Said {
        said(Self::put(self, key, value).timeout(DEADLINE).await)
    }

    async fn create(&self, key: &str, value: Bytes) -> Said {
        said(Self::create(self, key, value).timeout(DEADLINE).await)
    }

    async fn get(&self, key: &str) -> Result<(), String> {
        let read = Self::get(self, key).timeout(DEADLINE).await;
        read.map(drop).map_err(|error| error.to_string())
    }

    async fn watch(&self, mut tell: impl FnMut(Result<Told, String>) + Send) {
        let mut watch = self.watch_all().include_history().await.unwrap();
        while let Some(update) = watch.next().await {
            match update {
                Ok(Update::Entry(entry)) => tell(Ok((entry.revision.get(), entry.value))),
                Ok(_) => {}
                Err(error) => tell(Err(error.to_string())),
            }
        }
    }
}

fn said(result: Result<kv_tokio::Revision, WriteError>) -> Said {
    match result {
        Ok(revision) => Said::Stored(revision.get()),
        Err(WriteError::Exists { .. }) => Said::Exists,
        Err(error) if error.outcome() == Outcome::Unknown => Said::Unknown(error.to_string()),
        Err(error) => Said::Failed(error.to_string()),
    }
}

/// A bucket of async-nats with its connection.
#[derive(Clone)]
pub(crate) struct AsyncNats {
    client: async_nats::Client,
    store: kv::Store,
}

impl Store for AsyncNats {
    const CLIENT: &'static str = "async-nats";

    async fn create_bucket(url: &str) -> Self {
        let client = async_nats::connect(url).await.unwrap();
        let context = jetstream::ContextBuilder::new();
        let context = context
            .timeout(DEADLINE)
            .ack_timeout(DEADLINE)
            .build(client.clone());
        let config = kv::Config {
            bucket: Self::CLIENT.to_owned(),
            history: i64::from(HISTORY),
            num_replicas: 3,
            ..kv::Config::default()
        };
        let store = context.create_key_value(config).await.unwrap();
        Self { client, store }
    }

    fn port(&self) -> u16 {
        self.client.server_info().port
    }

    async fn put(&self, key: &str, value: Bytes) -> Said {
        self.store
            .put(key, value)
            .await
            .map_or_else(|error| in_doubt(&error), Said::Stored)
    }

    async fn create(&self, key: &str, value: Bytes) -> Said {
        match self.store.create(key, value).await {
            Ok(revision) => Said::Stored(revision),
            Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => Said::Exists,
            Err(error) => in_doubt(&error),
        }
    }

    async fn get(&self, key: &str) -> Result<(), String> {
        let read = self.store.get(key).await;
        read.map(drop).map_err(|error| words(&error))
    }

    async fn watch(&self, mut tell: impl FnMut(Result<Told, String>) + Send) {
        let mut watch = self.store.watch_with_history(">").await.unwrap();
        while let Some(update) = watch.next().await {
            tell(match update {
                Ok(entry) => Ok((entry.revision, entry.value)),
                Err(error) => Err(words(&error)),
            });
        }
    }
}

/// Its errors do not say what became of the write. A missing answer is taken for doubt, all else for a failure.
fn in_doubt(error: &(dyn Error + 'static)) -> Said {
    let words = words(error);
    let unanswered = ["timed out", "broken pipe", "no response"]
        .iter()
        .any(|why| words.contains(why));
    if unanswered {
        Said::Unknown(words)
    } else {
        Said::Failed(words)
    }
}

/// An error and what it came from.
fn words(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}
