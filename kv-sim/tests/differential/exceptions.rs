//! Differences between a simulated and a real server that are known and allowed.

use kv_sim::server::Version;

use crate::frames::{mask_first_time, mask_pending};
use crate::generate::Step;

/// Where a difference was found.
#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) version: Version,
    pub(crate) steps: &'a [Step],
    /// What is compared together: a subscription, with its consumer, or one request's answers.
    pub(crate) group: &'a str,
}

impl Case<'_> {
    /// Whether an exception explains that these two groups of frames differ.
    pub(crate) fn explains(&self, ours: &[&str], theirs: &[&str]) -> bool {
        EXCEPTIONS
            .iter()
            .any(|one| (one.explains)(self, ours, theirs))
    }

    /// Whether the group's messages come from a consumer that once had several filters.
    fn has_several_filters(&self) -> bool {
        self.was_made_with("\"filter_subjects\":[")
    }

    /// Whether they come from one that few unacknowledged messages make full.
    fn has_full_consumer(&self) -> bool {
        ["1", "3"]
            .iter()
            .any(|few| self.was_made_with(&format!("\"max_ack_pending\":{few},")))
    }

    fn was_made_with(&self, member: &str) -> bool {
        let name = self.group.split(' ').nth(1).unwrap_or_default();
        let created = format!(".{name} ");
        !name.is_empty()
            && self.steps.iter().any(|step| {
                let text = step.text();
                text.contains("CONSUMER.")
                    && text.contains(&created)
                    && text.replace('}', ",").contains(member)
            })
    }
}

/// A difference that is known and allowed.
pub(crate) struct Exception {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    /// Whether it explains that these two groups of frames differ.
    pub(crate) explains: fn(&Case<'_>, &[&str], &[&str]) -> bool,
}

pub(crate) const EXCEPTIONS: [Exception; 7] = [
    Exception {
        name: "1970",
        reason: "the file store of 2.10 gives an emptied stream the time 1970, the zero time or that of what it did not keep, by the way it was emptied",
        explains: |case, ours, theirs| {
            let without = |frames: &[&str]| mask_first_time(&frames.join("\n"));
            case.version == Version::V2_10 && without(ours) == without(theirs)
        },
    },
    Exception {
        name: "1754",
        reason: "after a restart, the file store of a stream that begins at a configured sequence and was never used takes Go's zero time for nanoseconds; buckets have no such sequence",
        explains: |_, ours, theirs| {
            let without = |frames: &[&str]| {
                let text = frames.join("\n");
                text.replace("1754-08-30T22:43:41.128654848Z", "0001-01-01T00:00:00Z")
            };
            without(ours) == without(theirs)
        },
    },
    Exception {
        name: "pending of several filters",
        reason: "2.10 and 2.11 miscount what is pending for a consumer with several filters (nats-server#4824)",
        explains: |case, ours, theirs| {
            let shown = ours.iter().any(|frame| {
                frame.contains("\"filter_subjects\":[") || frame.contains("\"},{\"src\":")
            });
            let several = shown || case.has_several_filters();
            let without = |frames: &[&str]| mask_pending(&frames.join("\n"));
            case.version <= Version::V2_11 && several && without(ours) == without(theirs)
        },
    },
    Exception {
        name: "pending of a full consumer",
        reason: "a message that goes lets a consumer go on that waits for its acknowledgement, and the message that made it go is counted just then: either may be first",
        explains: |case, ours, theirs| {
            let without = |frames: &[&str]| mask_pending(&frames.join("\n"));
            case.has_full_consumer() && without(ours) == without(theirs)
        },
    },
    Exception {
        name: "made-up names",
        reason: "a list is sorted by names, and the names that servers make up are random",
        explains: |_, ours, theirs| {
            let without = |frames: &[&str]| {
                let text = frames.join("\n");
                let list = text.contains("consumer_list_response")
                    || text.contains("consumer_names_response");
                let (before, after) = text.split_once("\"consumers\":[")?;
                (list && frames.len() == 1).then(|| (before.to_owned(), after.contains("<masked>")))
            };
            match (without(ours), without(theirs)) {
                (Some((a, masked)), Some((b, also))) => a == b && (masked || also),
                _ => false,
            }
        },
    },
    Exception {
        name: "purged before it was used",
        reason: "after a restart, a file store that was purged while it was empty begins at 1 or at 0; when is not found yet",
        explains: |case, ours, theirs| {
            let restarted = case
                .steps
                .iter()
                .any(|step| matches!(step, Step::Restart { .. }));
            let without = |frames: &[&str]| {
                let text = frames.join("\n");
                text.replace(
                    "\"first_seq\":1,\"first_ts\":\"0001-01-01T00:00:00Z\",\"last_seq\":0",
                    "\"first_seq\":0,\"first_ts\":\"0001-01-01T00:00:00Z\",\"last_seq\":0",
                )
            };
            restarted && without(ours) == without(theirs)
        },
    },
    Exception {
        name: "sequence 0",
        reason: "the file store of a never-used stream mostly says that sequence 0 is deleted; when not is not found yet",
        explains: |_, ours, theirs| {
            let without = |frames: &[&str]| {
                frames
                    .join("\n")
                    .replace(",\"num_deleted\":1,\"deleted\":[0]", "")
            };
            without(ours) == without(theirs)
        },
    },
];
