//! How replication is to go: its delays, and the changes of leader that a test asks for.

use std::time::Duration;

/// How slow replication is. Each delay is drawn anew, evenly from zero to its maximum; zero is at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replication {
    /// How long a publish is under way before it is committed, at most.
    pub commit: Duration,
    /// How long after that a follower has applied it, at most.
    pub lag: Duration,
    /// How long a stream whose leader's server stopped has none, at most.
    pub election: Duration,
    /// How long a message is on its way to a mirror, or to a stream that has its stream as a source, at most.
    pub mirror: Duration,
    /// Whether a direct get goes to a replica on the client's own server, if there is one, as it really
    /// does; otherwise any replica answers.
    pub prefers_own_server: bool,
}

impl Default for Replication {
    fn default() -> Self {
        Self {
            commit: Duration::ZERO,
            lag: Duration::ZERO,
            election: Duration::ZERO,
            mirror: Duration::from_millis(5),
            prefers_own_server: true,
        }
    }
}

/// A change of a stream's leader under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a test that asks for a fault says all of it"
)]
pub struct Election {
    /// How long nobody leads: publishes meet silence or 503, requests silence or 10008.
    pub leaderless: Duration,
    /// What becomes of the publishes that are under way.
    pub in_flight: InFlight,
    /// How long leader reads are still answered from what the old leader had, from the beginning on.
    pub old_leader_answers: Duration,
}

/// What becomes of publishes under way when the leader goes. Neither is ever acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there is no third possibility")]
pub enum InFlight {
    /// They are forgotten.
    Lost,
    /// The next leader commits them.
    CommittedUnacknowledged,
}
