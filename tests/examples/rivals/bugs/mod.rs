//! The bugs: what happens, what is right, and what each client does.

mod forgotten_ttl;
mod lost_ack;
mod poison;
mod recreated;
mod replayed;

use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::{Stream, StreamExt};
use kv_sim::ServeConfig;
use kv_sim::serve::Server;
use kv_sim::server::{ServerId, Version};
use kv_tokio::{Update, WatchError};

/// How long a client may be silent before it is taken to have nothing more to say: several times what either
/// takes to reconnect.
const SILENCE: Duration = Duration::from_secs(3);
/// How long markers of what expired stay, which no value may live shorter than.
const MARKER: Duration = Duration::from_secs(1);
/// How long a server is away, so that clients notice.
const AWAY: Duration = Duration::from_millis(300);
/// How long either client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bug of async-nats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    LostAck,
    ForgottenTtl,
    Recreated,
    Replayed,
    Poison,
}

/// What a client did.
#[derive(Debug)]
pub(crate) struct Conduct {
    /// What it told its user, step by step.
    pub(crate) told: Vec<String>,
    pub(crate) is_right: bool,
}

/// What both did.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) async_nats: Conduct,
    pub(crate) kv_tokio: Conduct,
}

impl Bug {
    pub(crate) const ALL: [Self; 5] = [
        Self::LostAck,
        Self::ForgottenTtl,
        Self::Recreated,
        Self::Replayed,
        Self::Poison,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LostAck => "lost-ack",
            Self::ForgottenTtl => "forgotten-ttl",
            Self::Recreated => "recreated",
            Self::Replayed => "replayed",
            Self::Poison => "poison",
        }
    }

    /// What happens.
    pub(crate) const fn story(self) -> &'static str {
        match self {
            Self::LostAck => {
                "a lock is created, and the acknowledgement is lost (fault lost-ack=1)"
            }
            Self::ForgottenTtl => "a lock was released, and is created again for one second",
            Self::Recreated => {
                "a bucket is deleted and created again, and its server restarts (faults recreate, restart)"
            }
            Self::Replayed => {
                "the first message to a watch for what is new is lost (fault dropped-delivery)"
            }
            Self::Poison => "somebody stored an entry with a lone CR in a header",
        }
    }

    /// What a user may rely on.
    pub(crate) const fn right(self) -> &'static str {
        match self {
            Self::LostAck => {
                "the lock is ours; not to know that is no shame, but nobody else has it"
            }
            Self::ForgottenTtl => "the lock is gone when its second is over",
            Self::Recreated => "all five entries of the new bucket are told",
            Self::Replayed => {
                "both new entries are told, and nothing that was there before the watch"
            }
            Self::Poison => "that entry is an error; other entries can be read, before and after",
        }
    }

    /// Lets both clients live through it, one after the other.
    pub(crate) fn run(self) -> Report {
        match self {
            Self::LostAck => both(lost_ack::async_nats, lost_ack::kv_tokio),
            Self::ForgottenTtl => both(forgotten_ttl::async_nats, forgotten_ttl::kv_tokio),
            Self::Recreated => both(recreated::async_nats, recreated::kv_tokio),
            Self::Replayed => both(replayed::async_nats, replayed::kv_tokio),
            Self::Poison => both(poison::async_nats, poison::kv_tokio),
        }
    }
}

fn both(
    theirs: impl AsyncFnOnce(&Server) -> Conduct,
    ours: impl AsyncFnOnce(&Server) -> Conduct,
) -> Report {
    Report {
        async_nats: alone(theirs),
        kv_tokio: alone(ours),
    }
}

/// Gives a client a server and a runtime of its own.
fn alone(steps: impl AsyncFnOnce(&Server) -> Conduct) -> Conduct {
    let server = kv_sim::serve(ServeConfig::new(Version::V2_15)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(steps(&server))
}

/// A bucket `b` of async-nats that keeps five revisions and expires single values.
async fn their_bucket(server: &Server) -> jetstream::kv::Store {
    let options = async_nats::ConnectOptions::new().request_timeout(Some(PATIENCE));
    let client = options.connect(server.url()).await.unwrap();
    let context = jetstream::ContextBuilder::new()
        .timeout(PATIENCE)
        .build(client);
    let config = jetstream::kv::Config {
        bucket: "b".to_owned(),
        history: 5,
        limit_markers: Some(MARKER),
        ..jetstream::kv::Config::default()
    };
    context.create_key_value(config).await.unwrap()
}

/// The same bucket of kv-tokio.
async fn our_bucket(server: &Server) -> kv_tokio::Bucket {
    let client = kv_tokio::connect(server.url()).await.unwrap();
    let config = kv_tokio::BucketConfig::new("b")
        .history(5)
        .limit_markers(MARKER);
    client.create_bucket(config).await.unwrap()
}

/// What a call told, in words.
fn said<T: Debug, E: Debug>(what: &str, result: &Result<T, E>) -> String {
    match result {
        Ok(value) => format!("{what}: {value:?}"),
        Err(error) => format!("{what}: error {error:?}"),
    }
}

/// The keys of the entries that a watch of kv-tokio told.
fn our_keys(told: &[Result<Update, WatchError>]) -> Vec<&str> {
    let entries = told.iter().filter_map(|update| {
        let Ok(Update::Entry(entry)) = update else {
            return None;
        };
        Some(entry.key.as_str())
    });
    entries.collect()
}

/// Stops the server and starts it again; all consumers are gone.
async fn outage(server: &Server) {
    server.stop(ServerId(0));
    tokio::time::sleep(AWAY).await;
    server.restart(ServerId(0));
}

/// All that comes until it is silent, or ends.
async fn until_silent<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> Vec<T> {
    let mut all = Vec::new();
    while let Ok(Some(one)) = tokio::time::timeout(SILENCE, stream.next()).await {
        all.push(one);
    }
    all
}
