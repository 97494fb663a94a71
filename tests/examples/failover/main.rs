//! What users notice when the leader of their bucket dies: kv-tokio beside async-nats, in the same run, on the same
//! cluster of three real servers.
//!
//! ```sh
//! cargo run --release -q -p kv-tests --example failover               # five rounds
//! cargo run --release -q -p kv-tests --example failover -- 2          # so many
//! ```
//!
//! Each client has a bucket with three replicas and a connection of its own. 64 tasks put, eight create and eight get,
//! without a pause, and one watches. In each round both buckets have the same leader, which serves no client; it is
//! killed (SIGKILL), and the load goes on until a second after another one leads. Operations may take 15 s, which is
//! longer than an election, and everything else is as the clients have it by default. In the end all that clients
//! were told is held against the messages of the streams: no value is written twice.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output is the product; progress goes beside it"
)]
#![allow(clippy::unwrap_used, reason = "what is set up here must work")]

mod clients;
mod load;
mod report;

use std::thread;
use std::time::{Duration, Instant};

use kv_tests::{Admin, Cluster, Version};

use clients::{AsyncNats, Store};
use load::Load;
use report::{Judged, Kept};

const ROUNDS: usize = 5;

/// How long the load runs before the leader is killed, and after another one leads.
const AROUND: Duration = Duration::from_secs(1);

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let cluster = Cluster::start(Version::DEFAULT);
    let url = cluster.server(0).url();
    let ours = Load::<kv_tokio::Bucket>::start(&url);
    let theirs = Load::<AsyncNats>::start(&url);
    let streams = [stream_of::<kv_tokio::Bucket>(), stream_of::<AsyncNats>()];
    for round in 1..=rounds {
        let busy = [ours.port(), theirs.port()];
        let serves_nobody = |server: usize| !busy.contains(&cluster.server(server).port());
        let leader = (0..3).find(|server| serves_nobody(*server)).unwrap();
        for stream in &streams {
            cluster.await_whole(stream);
            cluster.lead(stream, leader);
        }
        ours.resume();
        theirs.resume();
        thread::sleep(AROUND);
        let began = Instant::now();
        cluster.server(leader).kill();
        for stream in &streams {
            cluster.await_leader(stream);
        }
        let outage = began.elapsed();
        thread::sleep(AROUND);
        ours.pause();
        theirs.pause();
        eprintln!(
            "round {round}: {:.1} s until both buckets had a leader",
            outage.as_secs_f64()
        );
        cluster.server(leader).restart();
    }
    for stream in &streams {
        cluster.await_whole(stream);
    }
    let judged = [
        Judged::new(&ours.finish(), &kept(&cluster, &streams[0])),
        Judged::new(&theirs.finish(), &kept(&cluster, &streams[1])),
    ];
    println!("{}", report::table(&judged));
    for judged in &judged {
        println!("{}", judged.words());
    }
    for judged in &judged {
        println!("{}", judged.to_json(rounds));
    }
}

fn stream_of<S: Store>() -> String {
    format!("KV_{}", S::CLIENT)
}

/// All messages of a stream, as its leader has them.
fn kept(cluster: &Cluster, stream: &str) -> Vec<Kept> {
    let leader = cluster.server(cluster.await_leader(stream));
    let messages = Admin::connect(leader).messages(stream);
    messages.iter().map(Kept::read).collect()
}
