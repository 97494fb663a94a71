//! Plants one bug after the other, and counts the seeds until a run turns red.
//!
//! A bug is planted in the whole process, so nothing else may run in it meanwhile.

use std::fmt;

use crate::mutant::{self, Mutant};
use crate::profile::Mix;
use crate::runner::run_caught;
use crate::scenario::Scenario;
use crate::violation::Violation;

/// A bug of the clients, or of what surrounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two sides")]
pub enum Bug {
    /// In the sessions under test.
    Client(kv_proto::mutant::Mutant),
    /// In the simulated servers, or in the judge.
    World(Mutant),
}

impl Bug {
    /// Every bug.
    pub fn all() -> impl Iterator<Item = Self> {
        let clients = kv_proto::mutant::Mutant::ALL.iter().copied();
        let world = Mutant::ALL.iter().copied();
        clients.map(Self::Client).chain(world.map(Self::World))
    }

    /// Its short name: `M12` or `S3`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client(mutant) => mutant.name(),
            Self::World(mutant) => mutant.name(),
        }
    }

    /// What is wrong, in one line.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Client(mutant) => mutant.summary(),
            Self::World(mutant) => mutant.summary(),
        }
    }

    /// What the violations say, one of them at least, by which it is to be found. Any other one may be an
    /// accident.
    #[must_use]
    pub const fn shows_as(self) -> &'static [&'static str] {
        match self {
            Self::Client(mutant) => client_shows_as(mutant),
            Self::World(mutant) => match mutant {
                Mutant::ConditionNotChecked => &["ConditionIgnored"],
                Mutant::StoredTwice => &["AppliedTwice", "Unaccounted"],
                Mutant::AcknowledgedAndDropped => &["NotItsRevision"],
                Mutant::StaleLeaderRead => &["NotSeen", "WentBack"],
                Mutant::RefusedAndStored => &["AppliedAfterAll", "Unaccounted"],
                Mutant::ConsumerLeftBehind => &["LeftBehind"],
                Mutant::RewindNotTold | Mutant::CommitUnseen => {
                    &["NotSeen", "NotItsRevision", "ConditionIgnored"]
                }
                Mutant::StoredElsewhere => &["NeverAskedFor"],
                Mutant::BucketHidden => &["BucketWasThere"],
                Mutant::Panic => &["Panicked"],
                Mutant::Canary => &["Canary"],
            },
        }
    }

    /// Plants it, instead of what was planted before.
    pub fn plant(self) {
        uproot();
        match self {
            Self::Client(mutant) => kv_proto::mutant::plant(Some(mutant)),
            Self::World(mutant) => mutant::plant(Some(mutant)),
        }
    }
}

const fn client_shows_as(mutant: kv_proto::mutant::Mutant) -> &'static [&'static str] {
    use kv_proto::mutant::Mutant;

    match mutant {
        Mutant::UnpolledStaysSilent | Mutant::ResumeFromZero => &["is Recovering"],
        Mutant::SilenceOfConsumerIgnored => {
            &["Missed", "NoReset", "Live, synced: false", "consumers for"]
        }
        Mutant::ConsumerNameReused => &["ConsumerNameReused"],
        Mutant::NotUnsubscribed => &["subscriptions of client"],
        Mutant::ConsumerLeftBehind => &["which expired", "after all have closed"],
        Mutant::NoRest | Mutant::HeartbeatMiscounted => &["TooManyConsumers"],
        Mutant::DroppedWhenFull | Mutant::SequenceNotReset => &["Skipped", "Missed"],
        Mutant::SyncedTooEarly => &["SyncedEarly"],
        Mutant::NeverSyncedOnNothing => &["Live, synced: false", "NeverSynced"],
        Mutant::EndsWhenEmpty => &["is Ended"],
        Mutant::IncarnationIgnored | Mutant::VerifiedTooEarly => &["NoReset", "UncausedReset"],
        Mutant::RewindIgnored => &["NoReset"],
        Mutant::FirstFailureIsFinal => &["UncausedEnd"],
        Mutant::OldMessageSlipsIn => &["OutOfOrder", "Skipped", "WrongPosition"],
        Mutant::FlowControlIgnored => &["Live, synced: false", "Missed"],
        Mutant::WildcardListener => &["synced: false", "Missed"],
        Mutant::DeletionForgottenOffline => &["which expired"],
        Mutant::MarkersIgnored => &["NotStored"],
        Mutant::CreateWithoutCondition => &["CreatedOverValue"],
        Mutant::CreateForgetsTtl => &["OtherTtl"],
        Mutant::ConflictWithItself | Mutant::PutSentTwice => {
            &["AppliedAfterAll", "AppliedTwice", "Unaccounted"]
        }
        Mutant::RefusalForgetsDoubt => &["AppliedAfterAll", "Unaccounted"],
        Mutant::NameChanges => &["AppliedAfterAll", "AppliedTwice", "Unaccounted"],
        Mutant::LossIsNotApplied => &["AppliedAfterAll", "SentAfterAll"],
        Mutant::CancelCutsFrame => &["Malformed", "NeverSent"],
        Mutant::FrameContinuedOnNextLink => &["Malformed"],
        Mutant::TokenUsedTooEarly => &[
            "NotItsRevision",
            "AppliedAfterAll",
            "NotSeen",
            "Unaccounted",
        ],
        Mutant::SlotLeaked => &["Leaked"],
        Mutant::SecondAuthErrorIsFinal => &["GaveUpEarly"],
        Mutant::OrderNotKept => &["DialledWrong"],
        Mutant::AttemptsNeverForgotten | Mutant::ExpiryIsRefusal => &["Mistold", "GaveUpEarly"],
        Mutant::LameDuckIgnored => &["Stayed"],
        Mutant::DiscoveredReplaceConfigured => &["Reconnecting, last"],
        Mutant::MaxPayloadNeverChanges => &["Oversize"],
        Mutant::NobodyIsNotFound => &["NotSeen", "WentBack"],
        Mutant::FloorIgnored
        | Mutant::NothingIsAboveTheFloor
        | Mutant::ForgottenFloorIsNone
        | Mutant::LeaderIsBelieved => &["WentBack"],
        Mutant::FloorOutlivesBucket => &["NeverStale"],
        Mutant::DeadlineRestarts => &["Overdue"],
        Mutant::SilenceIsLife => &["timed out", "TimedOut"],
        Mutant::BadHeadersEndLink => &["UncausedDisconnect"],
        Mutant::CopyIsBelieved => &["ToldTwice"],
        Mutant::LateTimersForgotten => &["BegunTooLate"],
        Mutant::OneTimerAtATime => &["TimerStuck"],
        Mutant::RestIsPolled => &["Spins"],
        Mutant::SilenceIsAccepted => &["Unanswered"],
        Mutant::StrangersBelieved => &["NotSeen", "NotItsRevision", "WentBack"],
        _ => &[],
    }
}

fn uproot() {
    kv_proto::mutant::plant(None);
    mutant::plant(None);
}

/// The run that showed a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kill {
    /// Runs up to it, itself included.
    pub seeds: u64,
    /// Its seed.
    pub seed: u64,
    /// The promise that it broke.
    pub violation: Violation,
}

/// Runs seeds with a bug planted until one breaks the promise that the bug is known by, and breaks none
/// without the bug.
#[must_use]
pub fn hunt(bug: Bug, seeds: std::ops::Range<u64>, mix: Mix) -> Option<Kill> {
    assert!(
        !bug.shows_as().is_empty(),
        "nobody said how {} shows",
        bug.name()
    );
    let from = seeds.start;
    for seed in seeds {
        let scenario = Scenario::draw(seed, mix);
        bug.plant();
        let outcome = run_caught(&scenario);
        uproot();
        let is_known = |violation: &Violation| {
            let text = violation.to_string();
            bug.shows_as().iter().any(|sign| text.contains(sign))
        };
        let Some(violation) = outcome.violations.into_iter().find(is_known) else {
            continue;
        };
        if run_caught(&scenario).violations.is_empty() {
            return Some(Kill {
                seeds: seed - from + 1,
                seed,
                violation,
            });
        }
    }
    None
}

/// How far apart hunts for the same bug begin.
const APART: u64 = 100_000;

/// What became of one bug in several hunts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The bug.
    pub bug: Bug,
    /// What each hunt found.
    pub kills: Vec<Option<Kill>>,
}

impl Row {
    /// Hunts for a bug so many times, from seeds far apart.
    #[must_use]
    pub fn new(bug: Bug, hunts: u64, seeds: u64, mix: Mix) -> Self {
        let starts = (0..hunts).map(|hunt| 1 + hunt * APART);
        let kills = starts.map(|from| hunt(bug, from..from + seeds, mix));
        Self {
            bug,
            kills: kills.collect(),
        }
    }

    /// Whether some hunt did not find it.
    #[must_use]
    pub fn has_survived(&self) -> bool {
        self.kills.iter().any(Option::is_none)
    }

    /// The seeds to kill of the median hunt; `None` if that one did not.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        let mut seeds: Vec<u64> = self
            .kills
            .iter()
            .map(|kill| kill.as_ref().map_or(u64::MAX, |kill| kill.seeds))
            .collect();
        seeds.sort_unstable();
        seeds
            .get(seeds.len() / 2)
            .copied()
            .filter(|seeds| *seeds < u64::MAX)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:4}", self.bug.name())?;
        match self.median() {
            Some(median) => write!(f, " {median:>7}")?,
            None => write!(f, " {:>7}", "-")?,
        }
        let mut kinds: Vec<String> = Vec::new();
        for kill in &self.kills {
            match kill {
                Some(kill) => write!(f, " {:>6}", kill.seeds)?,
                None => write!(f, " {:>6}", "-")?,
            }
            let kind = kill.as_ref().map(|kill| kill.violation.kind());
            kinds.push(kind.unwrap_or_else(|| "SURVIVED".into()));
        }
        kinds.sort();
        kinds.dedup();
        write!(f, "  {}: {}", kinds.join(", "), self.bug.summary())
    }
}
