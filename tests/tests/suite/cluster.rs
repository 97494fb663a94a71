//! Clusters of three servers that lose one, or their leader, while clients write, read and watch a bucket with
//! three replicas. A client of each adapter works on the same bucket; each knows one server only.
//!
//! Elections make these tests slow, not busy; they have clusters of their own, one each. What servers lose although
//! a [`Witness`] heard their acknowledgement is not held against clients: it is told, and everything happens again to
//! another cluster.

#![allow(clippy::print_stderr, reason = "what servers lost")]

mod judge;
mod load;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kv_proto::driver::Client;
use kv_proto::{BucketConfig, ConnectionState};
use kv_tests::{Admin, Cluster, Witness, eventually};

use self::judge::{Kept, judge_reads, judge_watch, judge_writes, lost_by_servers};
use self::load::{DEADLINE, END, Load};
use crate::site::{Adapter, Site, Smol, Tokio, config, tests_of};

tests_of! {
    tokio_and_smol Tokio
    on_both_ends {
        the_streams_leader_crashes
        the_clients_server_crashes
        the_servers_leave_one_after_the_other
        the_streams_leader_steps_down_again_and_again
    }
}

const BUCKET: &str = "b";
const STREAM: &str = "KV_b";

/// Some of each operation happen in that time.
const A_WHILE: Duration = Duration::from_millis(500);

/// How often a cluster may lose what it has acknowledged.
const ATTEMPTS: usize = 3;

/// A cluster with clients at work.
struct Scene {
    cluster: Cluster,
    witness: Witness,
    /// The server that all clients began with: not the one that leads the stream.
    home: usize,
    loads: Vec<Load>,
    /// The longest time that the stream was without a leader.
    outage: Duration,
}

impl Scene {
    async fn start<A: Adapter>(site: &Site<A>) -> Self {
        let cluster = Cluster::start(site.version());
        let maker = Tokio::connect(config(&cluster.server(0).url()))
            .await
            .unwrap();
        let bucket = BucketConfig::new(BUCKET).replicas(3).history(64);
        maker.create_bucket(bucket).timeout(DEADLINE).await.unwrap();
        maker.close().await;
        cluster.await_whole(STREAM);
        let witness = Witness::of(&cluster, "$KV.b.>");
        let home = (cluster.await_leader(STREAM) + 1) % 3;
        let url = cluster.server(home).url();
        let loads = vec![
            load::<Tokio>("tokio", &url).await,
            load::<Smol>("smol", &url).await,
        ];
        for load in &loads {
            eventually("each client has learnt the others", || {
                load.client().servers().len() == 3
            });
        }
        let scene = Self {
            cluster,
            witness,
            home,
            loads,
            outage: Duration::ZERO,
        };
        scene.goes_on().await;
        scene
    }

    /// Lets the clients work.
    async fn goes_on(&self) {
        if let Some(load) = self.loads.first() {
            load.client().sleep(A_WHILE).await;
        }
    }

    /// Waits until the stream has a leader again, and returns which.
    fn await_leader(&mut self) -> usize {
        let began = Instant::now();
        let leader = self.cluster.await_leader(STREAM);
        self.outage = self.outage.max(began.elapsed());
        leader
    }

    fn clients(&self) -> impl Iterator<Item = &Client> {
        self.loads.iter().map(Load::client)
    }

    /// Waits until all clients have moved away from a server; `always_connected` says how.
    fn await_departure(&self, left: usize, always_connected: bool) {
        let left = self.cluster.server(left).port();
        eventually("all clients have moved", || {
            let mut elsewhere = 0;
            for client in self.clients() {
                let connected = client.state() == ConnectionState::Connected;
                assert!(connected || !always_connected);
                let server = client.server();
                elsewhere += usize::from(server.is_some_and(|server| server.port() != left));
            }
            elsewhere == self.loads.len()
        });
    }

    /// Lets the clients finish, and holds what they were told against what is stored. Returns what servers lost.
    async fn judge(self) -> Vec<String> {
        self.goes_on().await;
        self.cluster.await_whole(STREAM);
        let clients: Vec<Client> = self.clients().cloned().collect();
        let mut stopped = Vec::new();
        for load in self.loads {
            stopped.push(load.stop().await);
        }
        let bucket = clients[0].bucket(BUCKET).await.unwrap();
        bucket.put(END, END).await.unwrap();
        let kept = kept(&self.cluster);
        let mut records = Vec::new();
        for stopped in stopped {
            records.push(stopped.finish().await);
        }
        let lost = lost_by_servers(&records, &kept, &self.witness);
        if !lost.is_empty() {
            return lost;
        }
        for record in &records {
            judge_writes(record, &kept, self.outage);
            judge_reads(record, &kept, self.outage);
            judge_watch(record, &kept);
        }
        for client in clients {
            assert_eq!(client.state(), ConnectionState::Connected);
            assert_eq!(client.stats().protocol_errors, 0);
        }
        lost
    }
}

/// Lets something happen to a cluster at work, and judges.
async fn judged<A: Adapter>(site: Site<A>, happens: impl AsyncFn(&mut Scene)) {
    for _ in 0..ATTEMPTS {
        let mut scene = Scene::start(&site).await;
        happens(&mut scene).await;
        let lost = scene.judge().await;
        if lost.is_empty() {
            return;
        }
        eprintln!("the servers lost what they had acknowledged: {lost:?}");
    }
    panic!("{ATTEMPTS} times the servers lost what they had acknowledged");
}

async fn load<A: Adapter>(name: &str, url: &str) -> Load {
    let client = A::connect(config(url)).await.unwrap();
    let bucket = client.bucket(BUCKET).timeout(DEADLINE).await.unwrap();
    Load::start::<A>(name, bucket).await
}

/// All messages of the stream, as its leader has them.
fn kept(cluster: &Cluster) -> Vec<Kept> {
    let leader = cluster.server(cluster.await_leader(STREAM));
    let messages = Admin::connect(leader).messages(STREAM);
    let read = |message: &serde_json::Value| {
        let text = |field: &str| message[field].as_str().unwrap_or_default();
        let value = BASE64_STANDARD.decode(text("data")).expect("base64");
        let key = text("subject").strip_prefix("$KV.b.");
        Kept {
            revision: message["seq"].as_u64().expect("a sequence"),
            key: key.expect("a key of the bucket").to_owned(),
            value: String::from_utf8(value).expect("UTF-8"),
        }
    };
    messages.iter().map(read).collect()
}

/// The server that leads the stream crashes (SIGKILL) under load, and comes back. Until another one leads,
/// operations wait.
async fn the_streams_leader_crashes<A: Adapter>(site: Site<A>) {
    judged(site, async |scene| {
        let leader = scene.await_leader();
        scene.cluster.server(leader).kill();
        let next = scene.await_leader();
        assert_ne!(next, leader);
        scene.goes_on().await;
        scene.cluster.server(leader).restart();
    })
    .await;
}

/// The server that the clients are connected to crashes under load: they move to one that it had announced. The
/// stream has its leader all the time, so that nothing waits for long.
async fn the_clients_server_crashes<A: Adapter>(site: Site<A>) {
    judged(site, async |scene| {
        scene.cluster.server(scene.home).kill();
        scene.await_departure(scene.home, false);
        scene.goes_on().await;
        scene.cluster.server(scene.home).restart();
    })
    .await;
}

/// All servers leave in lame-duck mode, one after the other, and come back: a rolling restart. The clients are
/// connected all the time.
async fn the_servers_leave_one_after_the_other<A: Adapter>(site: Site<A>) {
    judged(site, async |scene| {
        for (number, server) in scene.cluster.servers().iter().enumerate() {
            server.lame_duck();
            scene.await_departure(number, true);
            server.await_end();
            server.restart();
            scene.cluster.await_whole(STREAM);
        }
        for client in scene.clients() {
            assert!(client.stats().connects > 1);
        }
    })
    .await;
}

/// The stream's leader steps down under load, ten times, as soon as there is one.
async fn the_streams_leader_steps_down_again_and_again<A: Adapter>(site: Site<A>) {
    judged(site, async |scene| {
        let mut leaders = BTreeSet::new();
        for _ in 0..10 {
            scene.cluster.step_down(STREAM);
            leaders.insert(scene.await_leader());
            scene.goes_on().await;
        }
        assert!(leaders.len() > 1, "{leaders:?}");
        for client in scene.clients() {
            assert_eq!(client.stats().connects, 1);
        }
    })
    .await;
}
