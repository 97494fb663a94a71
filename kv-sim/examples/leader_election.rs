//! A leader election on a key with a time to live, and a search for two leaders at once.
//!
//! ```sh
//! cargo run --release -p kv-sim --example leader_election [-- SEEDS [FILE.html]]
//! ```
//!
//! [`careful`] and [`naive`] are what an application would ship: they know clients and buckets, and nothing of
//! the simulation. The rest is the test: three candidates, three servers, and a storm of partitions, stalls,
//! clock jumps, broken connections, elections, restarts and lost replies, drawn anew from every seed.

#![allow(clippy::print_stdout, reason = "it talks to a person")]
#![allow(clippy::disallowed_methods, reason = "rates are measured in real time")]

use std::rc::Rc;
use std::time::Duration;

use kv_proto::driver::{Bucket, Client};
use kv_proto::{BucketConfig, Revision};
use kv_sim::app::{Explored, Failure, Sim, Simulation, Storm};

/// How long a leader leads without being confirmed.
const LEASE: Duration = Duration::from_secs(3);
/// How long a candidate waits before it stands again.
const PAUSE: Duration = Duration::from_millis(400);

/// What an application asks its candidate.
trait Candidate: 'static {
    /// Whether it leads at this moment.
    fn leads(&self) -> bool;
    /// Stands for election for ever.
    fn stand(self: Rc<Self>) -> impl Future<Output = ()>;
}

/// The election as it should be: a leader leads as long as the lease that it knows of, counted from *before* it
/// asked for it, by its own clock.
mod careful {
    use std::cell::Cell;

    use kv_proto::Instant;

    use super::*;

    /// Clocks need not agree, but run at about the same rate.
    const MARGIN: Duration = Duration::from_millis(200);

    pub(super) struct Careful {
        client: Client,
        bucket: Bucket,
        leads_until: Cell<Instant>,
    }

    impl Careful {
        pub(super) fn new(client: Client, bucket: Bucket) -> Self {
            let leads_until = Cell::new(Instant::ORIGIN);
            Self {
                client,
                bucket,
                leads_until,
            }
        }

        /// Leads as long as every renewal is confirmed.
        async fn lead(&self, mut revision: Revision, mut asked: Instant) {
            loop {
                self.leads_until.set(asked + (LEASE - MARGIN));
                self.client.sleep(LEASE / 3).await;
                asked = self.client.now();
                let renewal = self.bucket.update("leader", "", revision).ttl(LEASE);
                match renewal.timeout(LEASE / 3).await {
                    Ok(renewed) => revision = renewed,
                    // Whatever happened: what it knew of ends by itself.
                    Err(_) => return,
                }
            }
        }
    }

    impl Candidate for Careful {
        fn leads(&self) -> bool {
            self.client.now() < self.leads_until.get()
        }

        async fn stand(self: Rc<Self>) {
            loop {
                let asked = self.client.now();
                let claim = self.bucket.create("leader", "").ttl(LEASE).timeout(LEASE);
                if let Ok(revision) = claim.await {
                    self.lead(revision, asked).await;
                }
                self.client.sleep(PAUSE).await;
            }
        }
    }
}

/// The election as it is often written: a leader leads until it is told otherwise.
mod naive {
    use std::cell::Cell;

    use super::*;

    pub(super) struct Naive {
        client: Client,
        bucket: Bucket,
        leads: Cell<bool>,
    }

    impl Naive {
        pub(super) fn new(client: Client, bucket: Bucket) -> Self {
            let leads = Cell::new(false);
            Self {
                client,
                bucket,
                leads,
            }
        }
    }

    impl Candidate for Naive {
        fn leads(&self) -> bool {
            self.leads.get()
        }

        async fn stand(self: Rc<Self>) {
            loop {
                if let Ok(mut revision) = self.bucket.create("leader", "").ttl(LEASE).await {
                    self.leads.set(true);
                    self.client.sleep(LEASE / 2).await;
                    while let Ok(renewed) =
                        self.bucket.update("leader", "", revision).ttl(LEASE).await
                    {
                        revision = renewed;
                        self.client.sleep(LEASE / 2).await;
                    }
                    self.leads.set(false);
                }
                self.client.sleep(PAUSE).await;
            }
        }
    }
}

/// Three candidates in a storm: never two leaders, and in the end one.
async fn election<C: Candidate>(sim: Sim, new: fn(Client, Bucket) -> C, storm: Storm) {
    let config = BucketConfig::new("election")
        .replicas(3)
        .limit_markers(Duration::from_secs(60));
    let mut processes = Vec::new();
    let mut candidates = Vec::new();
    for name in ["ann", "bob", "cid"] {
        let process = sim.process(name);
        let client = process.connect(sim.url()).await.expect("a good network");
        let bucket = client.create_or_update_bucket(config.clone());
        let bucket = bucket.await.expect("healthy servers");
        let candidate = Rc::new(new(client, bucket));
        process.spawn(candidate.clone().stand());
        processes.push(process);
        candidates.push(candidate);
    }
    let leaders = {
        let candidates = candidates.clone();
        move || candidates.iter().filter(|one| one.leads()).count()
    };
    let mut before = vec![false; candidates.len()];
    let noted = processes.clone();
    sim.always("at most one candidate leads", move || {
        let leads: Vec<bool> = candidates.iter().map(|one| one.leads()).collect();
        for ((process, now), before) in noted.iter().zip(&leads).zip(&before) {
            match (before, now) {
                (false, true) => process.note("leads"),
                (true, false) => process.note("leads no more"),
                _ => {}
            }
        }
        before = leads;
        before.iter().filter(|leads| **leads).count() <= 1
    });
    sim.storm(&processes, &storm, Duration::from_secs(60)).await;
    for _ in 0..100 {
        if leaders() == 1 {
            return;
        }
        sim.sleep(Duration::from_millis(300)).await;
    }
    panic!("nobody leads after the storm");
}

fn search<C: Candidate>(
    seeds: u64,
    new: fn(Client, Bucket) -> C,
    storm: &Storm,
) -> Result<Explored, Box<Failure>> {
    Simulation::new()
        .servers(3)
        .search(0..seeds, |sim| election(sim, new, storm.clone()))
}

fn main() {
    let seeds = std::env::args().nth(1);
    let seeds = seeds.map_or(2_000, |text| text.parse().expect("a number of seeds"));
    let storm = Storm::all();

    let began = std::time::Instant::now();
    let explored = search(seeds, careful::Careful::new, &storm).unwrap_or_else(|failure| {
        panic!("{failure}");
    });
    let took = began.elapsed().as_secs_f64();
    println!(
        "careful: {} seeds, {:.0} s of virtual time, {} events, never two leaders ({:.0} seeds/s, hash {:016x})",
        explored.seeds,
        explored.virtual_time.as_secs_f64(),
        explored.events,
        explored.seeds as f64 / took,
        explored.hash,
    );

    let caught = search(seeds, naive::Naive::new, &storm).expect_err("the naive one is caught");
    println!("naive:   {caught}");
    let drawn = caught.recording.as_ref().map(kv_sim::picture::draw);
    if let (Some(file), Some(page)) = (std::env::args().nth(2), drawn) {
        std::fs::write(&file, page).expect("a file that can be written");
        println!("drawn:   {file}");
    }

    // No lease outlives a machine whose clock stands still: whoever leads must be fenced, for instance by
    // giving the revision of its key to whatever it writes to.
    let storm = storm.suspensions();
    let caught = search(seeds, careful::Careful::new, &storm).expect_err("clocks stood still");
    println!(
        "careful, but machines are suspended with their clocks: seed {}, after {:?}: {}",
        caught.seed, caught.at, caught.reason
    );
}
