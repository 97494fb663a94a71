//! From the session's results to answers.

use std::time::Duration;

use kv_proto::{
    BucketError, Cause as WriteCause, Doubt, Entry, Instant, PingError, PurgedDeletes, ReadError,
    Refused, ResetReason, Revision, WatchError, WriteError,
};

use super::{Client, Pending, Ticket};
use crate::history::{Answer, Cause};

/// How long a client waits before it tries again to open the bucket.
const REOPEN: Duration = Duration::from_millis(50);

impl Client {
    /// The result of a call, if it is there.
    pub(super) fn result(&mut self, pending: Pending, now: Instant) -> Option<Answer> {
        let session = &mut self.session;
        Some(match &pending.ticket {
            Ticket::Write(op) => match session.take(op)? {
                Ok(revision) => Answer::Applied(revision.get()),
                Err(error) => of_write(&error),
            },
            Ticket::Read(op) => of_read(session.take(op)?),
            Ticket::Open(op) => match session.take(op)? {
                Ok(binding) => {
                    self.binding = Some(binding);
                    Answer::Done
                }
                Err(error) => {
                    if pending.call.is_none() {
                        self.open_at = Some(now + REOPEN);
                    }
                    of_bucket(&error)
                }
            },
            Ticket::Status(op) => done(session.take(op)?),
            Ticket::Names(op) => done(session.take(op)?),
            Ticket::Statuses(op) => done(session.take(op)?),
            Ticket::Erase(op) => match session.take(op)? {
                Ok(revisions) => Answer::Removed {
                    revisions,
                    tombstones: 0,
                },
                Err(error) => of_bucket(&error),
            },
            Ticket::PurgeDeletes(op) => match session.take(op)? {
                Ok(PurgedDeletes {
                    tombstones,
                    revisions,
                    ..
                }) => Answer::Removed {
                    revisions,
                    tombstones,
                },
                Err(error) => Answer::Failed(of_watch(&error)),
            },
            Ticket::Ping(op) => match session.take(op)? {
                Ok(_) => Answer::Done,
                Err(PingError::Refused(refused)) => of_refused(&refused),
                Err(PingError::TimedOut) => Answer::Failed(Cause::TimedOut),
                Err(PingError::Closed) => Answer::Failed(Cause::Closed),
                Err(_) => Answer::Failed(Cause::Other),
            },
            Ticket::Sleep(op) => match session.take(op)? {
                Ok(_) => Answer::Done,
                Err(refused) => of_refused(&refused),
            },
        })
    }
}

fn done<T>(result: Result<T, BucketError>) -> Answer {
    match result {
        Ok(_) => Answer::Done,
        Err(error) => of_bucket(&error),
    }
}

fn of_read(result: Result<Option<Entry>, ReadError>) -> Answer {
    match result {
        Ok(None) => Answer::Absent,
        Ok(Some(entry)) => Answer::Found {
            revision: entry.revision.get(),
            tombstone: entry.operation.is_tombstone(),
            value: entry.value,
        },
        Err(ReadError::Malformed { revision, .. }) => {
            Answer::Malformed(revision.map(Revision::get))
        }
        Err(ReadError::Stale { seen, floor }) => Answer::Stale {
            seen: seen.map_or(0, Revision::get),
            floor: floor.get(),
        },
        Err(error) => Answer::Failed(match error {
            ReadError::Refused(refused) => refusal(&refused),
            ReadError::BucketNotFound => Cause::NoBucket,
            ReadError::NoJetStream | ReadError::Unreachable { .. } => Cause::NoJetStream,
            ReadError::Denied { .. } => Cause::Denied,
            ReadError::Unavailable => Cause::Unavailable,
            ReadError::TimedOut => Cause::TimedOut,
            ReadError::Closed => Cause::Closed,
            ReadError::ResultsFull => Cause::Full,
            ReadError::Server(error) => Cause::Server(error.err_code().unwrap_or(0)),
            ReadError::InvalidKey(_) | ReadError::Malformed { .. } | _ => Cause::Other,
        }),
    }
}

pub(super) fn of_write(error: &WriteError) -> Answer {
    match error {
        WriteError::Exists { revision } => Answer::Exists(revision.get()),
        WriteError::Conflict { current, .. } => Answer::Conflict(current.map(Revision::get)),
        WriteError::NotApplied(cause) => Answer::NotApplied(match cause {
            WriteCause::Refused(refused) => refusal(refused),
            WriteCause::InvalidTtl | WriteCause::TtlDisabled | WriteCause::TtlUnderHistory => {
                Cause::Option
            }
            WriteCause::Denied { .. } => Cause::Denied,
            WriteCause::BucketNotFound => Cause::NoBucket,
            WriteCause::NoJetStream | WriteCause::Unreachable { .. } => Cause::NoJetStream,
            WriteCause::Unavailable => Cause::Unavailable,
            WriteCause::TimedOut => Cause::TimedOut,
            WriteCause::LinkLost => Cause::LinkLost,
            WriteCause::Contended => Cause::Contended,
            WriteCause::Server(error) => Cause::Server(error.err_code().unwrap_or(0)),
            _ => Cause::Other,
        }),
        WriteError::Unknown(doubt) => Answer::Unknown(match doubt {
            Doubt::TimedOut => "unknown: timed out",
            Doubt::LinkLost => "unknown: link lost",
            Doubt::Closed => "unknown: closed",
            Doubt::Server(_) => "unknown: server",
            Doubt::Malformed => "unknown: malformed",
            Doubt::Superseded { .. } => "unknown: superseded",
            _ => "unknown: other",
        }),
        WriteError::InvalidKey(_) | _ => Answer::NotApplied(Cause::Other),
    }
}

pub(super) fn of_bucket(error: &BucketError) -> Answer {
    Answer::Failed(match error {
        BucketError::Refused(refused) => refusal(refused),
        BucketError::NotFound => Cause::NoBucket,
        BucketError::NoJetStream | BucketError::Unreachable { .. } => Cause::NoJetStream,
        BucketError::Denied { .. } => Cause::Denied,
        BucketError::Unavailable => Cause::Unavailable,
        BucketError::TimedOut | BucketError::Unknown(_) => Cause::TimedOut,
        BucketError::Server(error) => Cause::Server(error.err_code().unwrap_or(0)),
        BucketError::InvalidName(_)
        | BucketError::InvalidConfig(_)
        | BucketError::NotABucket
        | BucketError::Exists { .. }
        | BucketError::Unsupported { .. }
        | _ => Cause::Other,
    })
}

pub(super) fn of_watch(error: &WatchError) -> Cause {
    match error {
        WatchError::InvalidFilter(_) | WatchError::InvalidOptions(_) => Cause::Option,
        WatchError::Refused(refused) => refusal(refused),
        WatchError::BucketNotFound => Cause::NoBucket,
        WatchError::NoJetStream | WatchError::Unreachable { .. } => Cause::NoJetStream,
        WatchError::Denied { .. } => Cause::Denied,
        WatchError::Unavailable => Cause::Unavailable,
        WatchError::TimedOut => Cause::TimedOut,
        WatchError::Interrupted(ResetReason::Recreated) => Cause::Recreated,
        WatchError::Interrupted(ResetReason::Rewound) => Cause::Rewound,
        WatchError::Closed => Cause::Closed,
        WatchError::Server(error) => Cause::Server(error.err_code().unwrap_or(0)),
        WatchError::Interrupted(_) | _ => Cause::Other,
    }
}

pub(super) fn of_refused(refused: &Refused) -> Answer {
    Answer::Failed(refusal(refused))
}

fn refusal(refused: &Refused) -> Cause {
    match refused {
        Refused::Full => Cause::Full,
        Refused::Closed => Cause::Closed,
        Refused::TooLarge { .. } => Cause::TooLarge,
        _ => Cause::Other,
    }
}
