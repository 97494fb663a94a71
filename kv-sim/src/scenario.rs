//! What happens in a run, as data: steps at given times, each of which is total.
//!
//! A scenario is drawn from a seed, or is a literal in a test. Whatever else is random in a run (latencies,
//! pieces, the servers' own choices) has its own generator for each actor, so that a step which is left out
//! reshuffles nothing.

mod draw;
mod watch;

use std::fmt::Write as _;

use crate::fault::Fault;
use crate::profile::{Mix, Profile};

pub use self::watch::{Purpose, Reader, Scope, Since, Watch};

/// Which revision a conditional call expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Base {
    /// The newest that this client has seen of the key.
    Seen,
    /// One less: mostly an older one, or another key's.
    Older,
    /// None.
    Zero,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
#[allow(
    missing_docs,
    reason = "the fields are named like the options they set"
)]
pub enum Ask {
    /// Store a value of some size.
    Put { key: u8, size: u32 },
    /// Store a value where there is none; `ttl` in seconds, 0 for none.
    Create { key: u8, size: u32, ttl: u8 },
    /// Store a value if the key is where it should be; `ttl` in seconds, 0 for none.
    Update {
        key: u8,
        size: u32,
        base: Base,
        ttl: u8,
    },
    /// Put a tombstone.
    Delete { key: u8, base: Option<Base> },
    /// Put a tombstone and drop the history.
    Purge {
        key: u8,
        base: Option<Base>,
        ttl: u8,
    },
    /// Read the newest revision.
    Get { key: u8 },
    /// Read it from the leader.
    GetLeader { key: u8 },
    /// Read the newest revision seen, or one so many before.
    GetRevision { key: u8, back: u8 },
    /// Ask for the bucket's status.
    Status,
    /// Open the bucket once more.
    Open,
    /// List the buckets' names.
    Names,
    /// List the buckets' statuses.
    Statuses,
    /// Remove all revisions of a key, or of all.
    EraseKeys { key: Option<u8> },
    /// Remove tombstones of some age.
    PurgeDeletes { older_ms: u32 },
    /// See how long the server takes to answer.
    Ping,
    /// Wait.
    Sleep { ms: u16 },
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "part of scenarios, which are literals"
)]
pub struct Step {
    /// When, in microseconds since the storm began.
    pub at_us: u64,
    /// What.
    pub act: Act,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
#[allow(missing_docs, reason = "the fields are explained")]
pub enum Act {
    /// A client asks for something, with a deadline of its own unless `timeout_ms` is 0.
    Call {
        client: u8,
        timeout_ms: u16,
        ask: Ask,
    },
    /// A client begins to watch or to list.
    Follow { client: u8, watch: Watch },
    /// A client drops one of its watches and listings.
    Unfollow { client: u8, nth: u8 },
    /// Something goes wrong.
    Fault(Fault),
}

/// A whole run, before it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scenario {
    /// Where everything else that is random comes from.
    pub seed: u64,
    /// What the run is like.
    pub profile: Profile,
    /// What happens, in the order of time.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// Draws a scenario from a seed.
    #[must_use]
    pub fn draw(seed: u64, mix: Mix) -> Self {
        draw::scenario(seed, mix, draw::CALLS_PER_CLIENT)
    }

    /// Makes the scenario that a failing run printed.
    #[must_use]
    pub fn new(seed: u64, profile: Profile, steps: Vec<Step>) -> Self {
        Self {
            seed,
            profile,
            steps,
        }
    }

    /// The JetStream domain of the servers, in one run of five.
    pub(crate) fn domain(&self) -> Option<&'static str> {
        self.seed.is_multiple_of(5).then_some("hub")
    }

    /// The domain that a client names: in such a run every other one does.
    pub(crate) fn domain_of(&self, client: usize) -> Option<&'static str> {
        let names_it = |_: &&str| (self.seed / 5 + client as u64).is_multiple_of(2);
        self.domain().filter(names_it)
    }

    /// What is wrong with the first step that would not happen when it says.
    pub(crate) fn misplaced(&self) -> Option<String> {
        let pairs = self.steps.iter().zip(self.steps.iter().skip(1));
        let (place, (before, step)) = (1..).zip(pairs).find(|(_, (a, b))| a.at_us > b.at_us)?;
        Some(format!(
            "step {place} is at {} us and comes behind one at {} us: steps are in the order of time",
            step.at_us, before.at_us
        ))
    }

    /// Writes the scenario as Rust that can be pasted into a test.
    #[must_use]
    pub fn to_rust(&self) -> String {
        let mut out = String::from(
            "use kv_sim::fault::{Damage::*, Denied::*, Ending::*, Fault::*, Reception::*, Way::*};\n\
             use kv_sim::fault::Reply::*;\n\
             use kv_sim::profile::{Bucket, Clients, Net, Profile};\n\
             use kv_sim::profile::Consumers;\n\
             use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};\n\
             use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};\n\
             use kv_sim::server::{Refusal::*, Version::*};\n\
             use kv_sim::server::{ApiCall::*, ApiRefusal::*, CountFault::*, DeliveryFault::*};\n\
             use kv_sim::server::{Answerer::*, FlowFault::*, HeartbeatFault::*};\n\n",
        );
        let _ = writeln!(
            out,
            "let scenario = Scenario::new({}, {:?}, vec![",
            self.seed, self.profile
        );
        for step in &self.steps {
            let _ = writeln!(out, "    {step:?},");
        }
        out + "]);\nassert_eq!(kv_sim::run(&scenario).violations, []);\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients that ask for nothing, at these times.
    fn at(times: &[u64]) -> Scenario {
        let ask = Ask::Ping;
        let act = Act::Call {
            client: 0,
            timeout_ms: 0,
            ask,
        };
        let steps = times.iter().map(|&at_us| Step { at_us, act }).collect();
        Scenario::new(1, Scenario::draw(1, Mix::Quiet).profile, steps)
    }

    #[test]
    fn steps_are_in_the_order_of_time() {
        for fine in [&[][..], &[7], &[1, 1, 2]] {
            assert_eq!(at(fine).misplaced(), None);
        }
        for seed in 0..100 {
            assert_eq!(Scenario::draw(seed, Mix::Swarm).misplaced(), None);
        }
        let wrong = at(&[1, 5, 6, 4, 3]).misplaced();
        let expected =
            "step 3 is at 4 us and comes behind one at 6 us: steps are in the order of time";
        assert_eq!(wrong.as_deref(), Some(expected));
    }

    #[test]
    #[should_panic(expected = "step 1 is at 1 us and comes behind one at 2 us")]
    fn a_scenario_out_of_order_is_not_run() {
        let _ = crate::run(&at(&[2, 1]));
    }
}
