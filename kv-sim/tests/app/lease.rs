//! The election of `examples/leader_election.rs` with one mistake at a time: the search finds each.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Instant, Revision};
use kv_sim::app::{Explored, Failure, Reason, Sim, Simulation, Storm};

use super::SECOND;

const LEASE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// The lease is counted from when it was granted, as far as the leader knows.
    FromTheAnswer,
    /// A renewal whose outcome nobody knows counts as one.
    DoubtIsYes,
    /// A renewal does not ask whose the lease is.
    BlindRenewal,
    /// A renewal forgets the time to live, so that the key of a dead leader stays.
    ForgetsTtl,
}

struct Candidate {
    bucket: Bucket,
    mistake: Mistake,
    until: Cell<Instant>,
}

impl Candidate {
    fn leads(&self) -> bool {
        self.bucket.client().now() < self.until.get()
    }

    fn leads_from(&self, asked: Instant) {
        let from = if self.mistake == Mistake::FromTheAnswer {
            self.bucket.client().now()
        } else {
            asked
        };
        self.until.set(from + LEASE);
    }

    async fn stand(self: Rc<Self>) {
        let client = self.bucket.client();
        loop {
            let asked = client.now();
            let claim = self.bucket.create("leader", "").ttl(LEASE);
            if let Ok(revision) = claim.timeout(LEASE).await {
                self.leads_from(asked);
                self.lead(revision).await;
            }
            client.sleep(SECOND / 2).await;
        }
    }

    async fn lead(&self, mut revision: Revision) {
        let client = self.bucket.client();
        loop {
            client.sleep(LEASE / 3).await;
            let asked = client.now();
            let renewed = if self.mistake == Mistake::BlindRenewal {
                let put = self.bucket.put("leader", "").ttl(LEASE);
                put.timeout(LEASE / 3).await
            } else {
                let mut update = self.bucket.update("leader", "", revision);
                if self.mistake != Mistake::ForgetsTtl {
                    update = update.ttl(LEASE);
                }
                update.timeout(LEASE / 3).await
            };
            match renewed {
                Ok(renewed) => revision = renewed,
                Err(error) => {
                    let doubt = error.outcome() == kv_proto::Outcome::Unknown;
                    if self.mistake != Mistake::DoubtIsYes || !doubt {
                        return;
                    }
                }
            }
            self.leads_from(asked);
        }
    }
}

async fn election(sim: Sim, mistake: Mistake) {
    let config = BucketConfig::new("election")
        .replicas(3)
        .limit_markers(60 * SECOND);
    let (mut processes, mut candidates) = (Vec::new(), Vec::new());
    for name in ["ann", "bob", "cid"] {
        let process = sim.process(name);
        let client = process.connect(sim.url()).await.unwrap();
        let bucket = client.create_or_update_bucket(config.clone()).await;
        let candidate = Rc::new(Candidate {
            bucket: bucket.unwrap(),
            mistake,
            until: Cell::new(Instant::ORIGIN),
        });
        process.spawn(candidate.clone().stand());
        processes.push(process);
        candidates.push(candidate);
    }
    let leaders = move || candidates.iter().filter(|one| one.leads()).count();
    sim.always("at most one leads", {
        let leaders = leaders.clone();
        move || leaders() <= 1
    });
    sim.storm(&processes, &Storm::all(), 40 * SECOND).await;
    if sim.draw(2) == 0
        && let Some(process) = processes.first()
    {
        process.kill();
    }
    for _ in 0..60 {
        if leaders() == 1 {
            return;
        }
        sim.sleep(SECOND / 2).await;
    }
    panic!("nobody leads in the end");
}

fn search(seeds: u64, mistake: Mistake) -> Result<Explored, Box<Failure>> {
    let simulation = Simulation::new().servers(3);
    simulation.search(0..seeds, |sim| election(sim, mistake))
}

#[test]
fn without_a_mistake_there_are_never_two_leaders() {
    let explored = search(100, Mistake::None).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(explored.virtual_time > 100 * 40 * SECOND);
}

#[test]
fn every_mistake_is_found() {
    for mistake in [
        Mistake::FromTheAnswer,
        Mistake::DoubtIsYes,
        Mistake::BlindRenewal,
    ] {
        let failure = search(1_000, mistake).unwrap_err();
        assert_eq!(failure.reason, Reason::Broken("at most one leads".into()));
    }
    let failure = search(1_000, Mistake::ForgetsTtl).unwrap_err();
    assert_eq!(
        failure.reason,
        Reason::Panicked("nobody leads in the end".into())
    );
}
