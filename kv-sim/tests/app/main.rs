//! The runtime for applications: what it promises to those who test their own code in it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod await_points;
mod faults;
mod lease;
mod runs;
mod versions;

use std::time::Duration;

use kv_proto::BucketConfig;
use kv_proto::driver::Bucket;
use kv_sim::app::{Process, Sim};

const SECOND: Duration = Duration::from_secs(1);

/// A bucket of a client of that process.
async fn bucket(sim: &Sim, process: &Process) -> Bucket {
    let client = process.connect(sim.url()).await.unwrap();
    let config = BucketConfig::new("b").replicas(if sim.server_count() < 3 { 1 } else { 3 });
    client.create_or_update_bucket(config).await.unwrap()
}
