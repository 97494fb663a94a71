//! The meaning of key-value buckets over the JetStream API: each operation is
//! a small machine that consumes answers and says what to send next.

pub(crate) mod answerers;
pub(crate) mod ask;
pub(crate) mod binding;
pub(crate) mod config;
pub(crate) mod ends;
pub(crate) mod entry;
pub(crate) mod erase;
pub(crate) mod floors;
pub(crate) mod list;
pub(crate) mod manage;
pub(crate) mod read;
pub(crate) mod status;
pub(crate) mod step;
pub(crate) mod sweep;
pub(crate) mod watch;
pub(crate) mod write;

use alloc::boxed::Box;
use core::time::Duration;

use crate::error::{PingError, Refused, WatchError};
use crate::op::{Elapsed, Output};
use crate::out::Handover;
use crate::time::Instant;
use ask::Ask;
use erase::Erase;
use list::List;
use manage::Manage;
use read::Read;
use step::{Answer, Ending, Request, Step, Surroundings};
use write::Write;

/// Any operation.
#[derive(Debug)]
pub(crate) enum Machine {
    Write(Write),
    Read(Read),
    Manage(Box<Manage>),
    List(List),
    Ask(Ask),
    Erase(Erase),
    /// Waits for its parts.
    Sweep,
    /// Asks for nothing but a sign of life.
    Ping,
    /// Waits for its deadline.
    Sleep,
}

impl Machine {
    /// The request to send now; `None` for what only waits.
    pub(crate) fn request(&self) -> Option<Request<'_>> {
        match self {
            Self::Write(write) => Some(write.request()),
            Self::Read(read) => Some(read.request()),
            Self::Manage(manage) => Some(manage.request()),
            Self::List(list) => Some(list.request()),
            Self::Ask(ask) => Some(ask.request()),
            Self::Erase(erase) => Some(erase.request()),
            Self::Sweep | Self::Ping | Self::Sleep => None,
        }
    }

    /// Returns whether the request has no effect, so that it may be sent again when nobody answers it. What a
    /// watch asks has patience of its own.
    pub(crate) const fn asks(&self) -> bool {
        match self {
            Self::Write(write) => write.asks(),
            Self::Read(_) | Self::List(_) => true,
            Self::Manage(manage) => !manage.changes(),
            Self::Erase(erase) => !erase.purges(),
            Self::Ask(_) | Self::Sweep | Self::Sleep | Self::Ping => false,
        }
    }

    /// Whether it has something to send, and waits for what comes back.
    pub(crate) fn works(&self) -> bool {
        !matches!(self, Self::Sweep | Self::Sleep)
    }

    pub(crate) fn answer(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        match self {
            Self::Write(write) => write.answer(answer, around),
            Self::Read(read) => read.answer(answer, around),
            Self::Manage(manage) => manage.answer(answer, around),
            Self::List(list) => list.answer(answer, around),
            Self::Ask(ask) => ask.answer(answer, around),
            Self::Erase(erase) => erase.answer(answer, around),
            Self::Ping if matches!(answer, Answer::LinkLost(_)) => Step::Send,
            Self::Sweep | Self::Ping | Self::Sleep => Step::Ignore,
        }
    }

    /// How long it waits for an answer before it sends something else; without end if there is none.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match self {
            Self::Write(write) => write.patience(),
            Self::Read(_)
            | Self::Manage(_)
            | Self::List(_)
            | Self::Ask(_)
            | Self::Erase(_)
            | Self::Sweep
            | Self::Ping
            | Self::Sleep => None,
        }
    }

    /// The time that it wanted to linger, or its patience, is over. Returns whether it has a new request to
    /// send.
    pub(crate) fn lingered(&mut self, now: Instant) -> bool {
        match self {
            Self::Write(write) => write.lingered(now),
            Self::Read(_)
            | Self::Manage(_)
            | Self::List(_)
            | Self::Ask(_)
            | Self::Erase(_)
            | Self::Sweep
            | Self::Ping
            | Self::Sleep => false,
        }
    }

    pub(crate) fn end(self, ending: Ending, handover: Handover) -> Output {
        match self {
            Self::Write(write) => write.end(ending, handover),
            Self::Read(read) => read.end(ending),
            Self::Manage(manage) => manage.end(ending, handover),
            Self::List(list) => list.end(ending),
            Self::Ask(ask) => ask.unheard(),
            Self::Erase(erase) => erase.end(ending, handover),
            Self::Sweep => Output::Swept(Err(match ending {
                Ending::Deadline => WatchError::TimedOut,
                Ending::Closed => WatchError::Closed,
            })),
            Self::Ping => Output::Pinged(Err(match ending {
                Ending::Deadline => PingError::TimedOut,
                Ending::Closed => PingError::Closed,
            })),
            Self::Sleep => Output::Elapsed(Ok(Elapsed)),
        }
    }

    /// Ends an operation whose request no link can take.
    pub(crate) fn refuse(self, refused: Refused) -> Output {
        match self {
            Self::Write(write) => write.refuse(refused),
            Self::Read(_) => Output::Read(Err(refused.into())),
            Self::Manage(manage) => manage.output(refused.into()),
            Self::List(list) => list.output(refused.into()),
            Self::Ask(ask) => ask.refuse(refused),
            Self::Erase(erase) => erase.output(Err(refused.into())),
            Self::Sweep => Output::Swept(Err(refused.into())),
            Self::Ping => Output::Pinged(Err(refused.into())),
            Self::Sleep => Output::Elapsed(Ok(Elapsed)),
        }
    }

    /// Bytes to account for while the operation is pending.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Write(write) => write.weight(),
            Self::Read(read) => read.weight(),
            Self::Manage(manage) => manage.weight(),
            Self::Erase(erase) => erase.weight(),
            // What a watch asks is accounted for with its filters.
            Self::List(_) | Self::Ask(_) | Self::Sweep | Self::Ping | Self::Sleep => 0,
        }
    }
}
