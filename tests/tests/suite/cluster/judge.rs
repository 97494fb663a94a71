//! What clients were told, held against what the stream's leader has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kv_proto::{Cause, Doubt, Outcome, ReadError, Update, WriteError};
use kv_tests::Witness;

use super::load::{Condition, DEADLINE, Read, Record, Write};

/// A message of the stream: its revision, key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) revision: u64,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Asserts that all that was said of writes is true, that each was applied at most once and only where its
/// condition held, and that those alone failed that may:
///
/// - an acknowledgement was lost, with the connection or with the stream's leader: the write is unknown;
/// - the connection broke inside of its frame;
/// - the write before it, of the same writer to the same key, was unknown, and came in between;
/// - the stream had no leader for longer than operations have patience, which is `outage`.
pub(crate) fn judge_writes(record: &Record, kept: &[Kept], outage: Duration) {
    let mut places: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut before: BTreeMap<u64, u64> = BTreeMap::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for message in kept {
        places
            .entry(&message.value)
            .or_default()
            .push(message.revision);
        let previous = last.insert(&message.key, message.revision);
        before.insert(message.revision, previous.unwrap_or(0));
    }
    let mut doubted = BTreeSet::new();
    for write in &record.writes {
        let at = places
            .get(write.value.as_str())
            .map_or(&[][..], Vec::as_slice);
        match &write.result {
            Ok(revision) => assert_eq!(at, [revision.get()], "{write:?}"),
            Err(error) if error.outcome() == Outcome::Unknown => {
                assert!(at.len() <= 1, "twice at {at:?}: {write:?}");
                doubted.insert(&write.key);
            }
            Err(_) => assert_eq!(at, [0; 0], "{write:?}"),
        }
        if let [revision] = at {
            let found = before.get(revision).copied();
            match write.condition {
                Condition::None => {}
                Condition::IsNew => assert_eq!(found, Some(0), "{write:?}"),
                Condition::IsAt(expected) => assert_eq!(found, Some(expected.get()), "{write:?}"),
            }
        }
        let excused = may_fail(write, doubted.contains(&write.key), outage);
        assert!(excused, "could have succeeded: {write:?}");
        assert!(
            write.took < 2 * DEADLINE,
            "long after its deadline: {write:?}"
        );
    }
}

/// The writes whose acknowledgement a witness heard, of messages that are not there.
pub(crate) fn lost_by_servers(records: &[Record], kept: &[Kept], witness: &Witness) -> Vec<String> {
    let kept: BTreeMap<u64, &Kept> = kept.iter().map(|kept| (kept.revision, kept)).collect();
    let (mut told, mut heard) = (0, 0);
    let mut lost = Vec::new();
    for write in records.iter().flat_map(|record| &record.writes) {
        let Ok(revision) = &write.result else {
            continue;
        };
        told += 1;
        if witness.has_heard(write.value.as_bytes(), revision.get()) {
            heard += 1;
            let found = kept.get(&revision.get());
            if found.is_none_or(|kept| kept.value != write.value) {
                lost.push(format!("{write:?}"));
            }
        }
    }
    assert!(2 * heard > told, "a deaf witness: {heard} of {told}");
    lost
}

fn may_fail(write: &Write, doubted: bool, outage: Duration) -> bool {
    match &write.result {
        Ok(_) => true,
        Err(WriteError::Unknown(doubt)) => {
            matches!(doubt, Doubt::TimedOut | Doubt::LinkLost | Doubt::Server(_))
        }
        Err(WriteError::NotApplied(Cause::LinkLost)) => true,
        Err(WriteError::NotApplied(Cause::TimedOut | Cause::Unavailable)) => excuses(outage),
        Err(WriteError::Conflict { .. }) => doubted,
        Err(_) => false,
    }
}

/// Whether operations may have waited for a leader in vain: elections take as long as a busy machine makes them.
fn excuses(outage: Duration) -> bool {
    outage > DEADLINE / 2
}

/// Asserts that all reads succeeded, unless there was no leader for so long, and saw what was written to their key.
pub(crate) fn judge_reads(record: &Record, kept: &[Kept], outage: Duration) {
    let kept: BTreeMap<u64, &Kept> = kept.iter().map(|kept| (kept.revision, kept)).collect();
    for Read { key, result, took } in &record.reads {
        let entry = match result {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            Err(ReadError::TimedOut | ReadError::Unavailable) if excuses(outage) => continue,
            Err(error) => panic!("{key} after {took:?}: {error}"),
        };
        let kept = kept
            .get(&entry.revision.get())
            .expect("a revision that was stored");
        assert_eq!((key, kept.value.as_bytes()), (&kept.key, &*entry.value));
    }
}

/// Asserts that the watch told all that was ever stored, in order, once, and once that it was synced.
pub(crate) fn judge_watch(record: &Record, kept: &[Kept]) {
    let mut synced = 0;
    let mut told = Vec::new();
    for update in &record.updates {
        match update {
            Update::Entry(entry) => told.push(Kept {
                revision: entry.revision.get(),
                key: entry.key.to_string(),
                value: String::from_utf8_lossy(&entry.value).into_owned(),
            }),
            Update::Synced => synced += 1,
            other => panic!("a cluster that lost nothing: {other:?}"),
        }
    }
    assert_eq!(synced, 1);
    for pair in told.windows(2) {
        assert!(
            pair[0].revision < pair[1].revision,
            "out of order: {pair:?}"
        );
    }
    let untold: Vec<&Kept> = kept.iter().filter(|kept| !told.contains(kept)).collect();
    assert!(
        untold.is_empty(),
        "{} of {} not told: {untold:?}",
        untold.len(),
        kept.len()
    );
    assert_eq!(told.len(), kept.len());
}
