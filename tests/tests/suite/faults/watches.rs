//! What befalls servers under watches: of both adapters, read all the time or not at all. Nothing is missed, told twice
//! or out of order; `Synced` is told once and when it is true; and a watch is made anew in time, whether or not
//! anybody reads it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Revision};
use kv_tests::{Admin, Cluster, Server};

use super::observer::Observer;
use crate::site::{Adapter, SECOND, Smol, Tokio, config};
use crate::watch::{HEARTBEAT, PATIENCE};

const BUCKET: &str = "b";
const STREAM: &str = "KV_b";
/// How many keys the bucket has when watches are opened.
const KEYS: usize = 20;

/// How many it has soon after it began anew.
const SECOND_KEYS: usize = 3;

/// After so long a watch goes on, whatever happened.
const RECOVERY: Duration = HEARTBEAT.saturating_mul(2).saturating_add(SECOND);

/// What befalls.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault<'a> {
    Restarted(&'a Server),
    /// By SIGKILL, and started again.
    Killed(&'a Server),
    /// Of all watches, behind their backs.
    ConsumersDeleted(&'a Server),
    /// The bucket was deleted, and made again with other keys.
    Recreated,
    /// The leader of the stream stepped down.
    Deposed(&'a Cluster),
}

impl Fault<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Restarted(_) => "restart",
            Self::Killed(_) => "kill -9",
            Self::ConsumersDeleted(_) => "consumers deleted",
            Self::Recreated => "bucket re-created",
            Self::Deposed(_) => "leader stepped down",
        }
    }

    /// Lets it happen; returns when it was over, so that watches can go on.
    async fn strike(&self, writer: &Bucket) -> Instant {
        match self {
            Self::Restarted(server) => {
                server.stop();
                server.restart();
            }
            Self::Killed(server) => {
                server.kill();
                server.restart();
            }
            Self::ConsumersDeleted(server) => {
                let mut admin = Admin::connect(server);
                for name in admin.consumer_names(STREAM) {
                    admin.delete_consumer(STREAM, &name);
                }
            }
            Self::Recreated => {
                let client = writer.client();
                let config = writer.status().await.unwrap().config().clone();
                client.delete_bucket(BUCKET).await.unwrap();
                client.create_bucket(config).await.unwrap();
            }
            Self::Deposed(cluster) => {
                cluster.step_down(STREAM);
                cluster.await_leader(STREAM);
            }
        }
        Instant::now()
    }
}

/// Watches live through so many rounds of each fault.
pub(super) async fn outlives(server: &Server, replicas: u8, faults: &[Fault<'_>], rounds: usize) {
    let writer = Tokio::connect(config(&server.url())).await.unwrap();
    let new = BucketConfig::new(BUCKET).replicas(replicas);
    let writer = writer
        .create_bucket(new)
        .timeout(20 * SECOND)
        .await
        .unwrap();
    for number in 0..KEYS {
        put(&writer, &format!("first.{number}")).await;
    }
    let mut observers = Vec::new();
    for is_polled in [true, false] {
        let url = server.url();
        observers.push(Observer::open::<Tokio>("tokio", &url, BUCKET, is_polled).await);
        observers.push(Observer::open::<Smol>("smol", &url, BUCKET, is_polled).await);
    }
    eprintln!(
        "nats-server {}, {replicas} replicas, {rounds} rounds",
        server.version()
    );
    eprintln!("| fault | watch | min | median | max |\n|---|---|---|---|---|");
    for fault in faults {
        let mut times: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        for round in 0..rounds {
            let writer = writer
                .client()
                .bucket(BUCKET)
                .timeout(PATIENCE)
                .await
                .unwrap();
            live_through(fault, round, server, &writer, &mut observers, &mut times).await;
        }
        for (name, mut times) in times {
            times.sort_unstable();
            let (first, middle) = (times[0], times[times.len() / 2]);
            let last = times[times.len() - 1];
            eprintln!(
                "| {} | {name} | {first:.0?} | {middle:.0?} | {last:.0?} |",
                fault.name()
            );
        }
    }
    for observer in observers {
        observer.close().await;
    }
}

async fn live_through(
    fault: &Fault<'_>,
    round: usize,
    server: &Server,
    writer: &Bucket,
    observers: &mut [Observer],
    times: &mut BTreeMap<String, Vec<Duration>>,
) {
    put(writer, &format!("before.{}", round % 3)).await;
    let struck = Instant::now();
    let over = fault.strike(writer).await;
    let writer = writer
        .client()
        .bucket(BUCKET)
        .timeout(PATIENCE)
        .await
        .unwrap();
    let (anew, mut first) = (matches!(fault, Fault::Recreated), KEYS);
    if anew {
        for number in 0..SECOND_KEYS {
            put(&writer, &format!("second.{number}")).await;
        }
        // They are there before any watch has missed a heartbeat.
        first = if struck.elapsed() < HEARTBEAT {
            SECOND_KEYS
        } else {
            0
        };
    }
    let key = format!("after.{}", round % 3);
    let last = put(&writer, &key).await.get();

    // Those that are read tell the entry; those that are not have been seen to recover.
    let mut recovered: Vec<Option<Instant>> = vec![None; observers.len()];
    let mut lost = vec![false; observers.len()];
    loop {
        for ((observer, recovered), lost) in observers.iter().zip(&mut recovered).zip(&mut lost) {
            if observer.is_polled {
                *recovered = recovered.or_else(|| observer.read_at(&key, last));
            } else if observer.is_recovering() {
                (*lost, *recovered) = (true, None);
            } else if *lost {
                *recovered = recovered.or_else(|| Some(Instant::now()));
            }
        }
        let waits = observers.iter().zip(&recovered);
        let waits = waits.filter(|(observer, recovered)| {
            observer.is_recovering() || (observer.is_polled && recovered.is_none())
        });
        let late = over.elapsed() >= PATIENCE;
        if over.elapsed() >= RECOVERY && (waits.count() == 0 || late) {
            break;
        }
        writer.client().sleep(Duration::from_millis(2)).await;
    }
    let kept = kept(server);
    for (observer, recovered) in observers.iter_mut().zip(recovered) {
        observer.drain().await;
        let in_time = observer.read_at(&key, last).is_some();
        assert!(
            in_time,
            "{}: {} in round {round}: not after {:?}",
            observer.name,
            fault.name(),
            over.elapsed()
        );
        let time = recovered.map_or(Duration::ZERO, |at| at.saturating_duration_since(over));
        times.entry(observer.name.clone()).or_default().push(time);
        observer.judge(&kept, first, anew);
    }
}

/// Writes a key, until that is known to be done.
async fn put(writer: &Bucket, key: &str) -> Revision {
    let began = Instant::now();
    loop {
        match writer.put(key, "v").timeout(2 * SECOND).await {
            Ok(revision) => return revision,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{key}: {error}"),
        }
    }
}

/// The last revision of each key, as the leader of the stream has it.
fn kept(server: &Server) -> BTreeMap<String, u64> {
    let messages = Admin::connect(server).messages(STREAM);
    let entry = |message: &serde_json::Value| {
        let key = message["subject"].as_str()?.strip_prefix("$KV.b.")?;
        Some((key.to_owned(), message["seq"].as_u64()?))
    };
    messages.iter().filter_map(entry).collect()
}
