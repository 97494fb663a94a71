//! Listings of buckets, page by page.
//!
//! Streams are listed without a subject filter and recognised by their name,
//! because a filter on subjects misses the buckets that are mirrors.

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::error::{BucketError, Doubt, Refused};
use crate::js::message::ApiReply;
use crate::js::stream::{StreamList, StreamNames};
use crate::js::subject::{self, ApiPrefix};
use crate::kv::manage;
use crate::kv::status::BucketStatus;
use crate::kv::step::{Answer, Ending, Reply, Request, Step, Surroundings};
use crate::name::BucketName;
use crate::op::{Kept, Output};

/// A page of bucket names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamesPage {
    /// The names on this page; can be empty although more pages follow.
    pub names: Vec<BucketName>,
    /// Where the next page starts, if there is one.
    pub next: Option<u64>,
}

/// A page of bucket statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusPage {
    /// The statuses on this page; can be empty although more pages follow.
    pub statuses: Vec<BucketStatus>,
    /// Buckets whose servers did not answer for them.
    pub missing: Vec<String>,
    /// Where the next page starts, if there is one.
    pub next: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Names,
    Statuses,
}

#[derive(Debug)]
pub(crate) struct List {
    api: ApiPrefix,
    what: What,
    body: Bytes,
    unanswered: bool,
}

impl List {
    pub(crate) fn new(api: ApiPrefix, what: What, offset: u64) -> Self {
        Self {
            api,
            what,
            body: Bytes::from(alloc::format!("{{\"offset\":{offset}}}")),
            unanswered: false,
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let call = match self.what {
            What::Names => subject::STREAM_NAMES,
            What::Statuses => subject::STREAM_LIST,
        };
        Request::api(&self.api, call, "", &self.body)
    }

    pub(crate) fn answer(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        match answer {
            Answer::Reply(reply) => self.on_page(&reply, around),
            Answer::NoResponders => match around.absent(&self.api) {
                Some(absent) => self.failed(absent.into()),
                None => {
                    self.unanswered = true;
                    Step::Pause(around.pause())
                }
            },
            Answer::Denied(subject) => self.failed(BucketError::Denied { subject }),
            Answer::LinkLost(_) => Step::Send,
        }
    }

    pub(crate) fn end(self, ending: Ending) -> Output {
        let error = match ending {
            Ending::Deadline if self.unanswered => BucketError::Unavailable,
            Ending::Deadline => BucketError::TimedOut,
            Ending::Closed => Refused::Closed.into(),
        };
        self.output(error)
    }

    fn on_page(&mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step {
        let text = reply.payload.bytes;
        let output = match self.what {
            What::Names => reply.api::<StreamNames>().map(|page| {
                let kept = |_| Output::Names(Ok(Kept::new(text, names)));
                page.into_result().map(kept)
            }),
            What::Statuses => reply.api::<StreamList>().map(|page| {
                let kept = |_| Output::Statuses(Ok(Kept::new(text, statuses)));
                page.into_result().map(kept)
            }),
        };
        match output {
            Some(Ok(output)) => Step::Done(output),
            Some(Err(error)) if error.is_transient() => {
                self.unanswered = true;
                Step::Pause(around.pause())
            }
            Some(Err(error)) => self.failed(manage::refused(error)),
            None => self.failed(BucketError::Unknown(Doubt::Malformed)),
        }
    }

    fn failed(&mut self, error: BucketError) -> Step {
        Step::Done(self.output(error))
    }

    pub(crate) fn output(&self, error: BucketError) -> Output {
        match self.what {
            What::Names => Output::Names(Err(error)),
            What::Statuses => Output::Statuses(Err(error)),
        }
    }
}

fn names(text: &[u8]) -> Option<NamesPage> {
    let page: StreamNames = ApiReply::parse(text).ok()?.into_result().ok()?;
    let names = page.streams.iter().filter_map(|stream| {
        let bucket = stream.strip_prefix(subject::STREAM_PREFIX)?;
        BucketName::new(bucket).ok()
    });
    Some(NamesPage {
        names: names.collect(),
        next: next(page.offset, page.streams.len(), page.total),
    })
}

fn statuses(text: &[u8]) -> Option<StatusPage> {
    let page: StreamList = ApiReply::parse(text).ok()?.into_result().ok()?;
    let next = next(page.offset, page.streams.len(), page.total);
    let statuses = page.streams.into_iter();
    let missing = page.missing.into_iter();
    Some(StatusPage {
        statuses: statuses
            .filter_map(|info| BucketStatus::from_info(info).ok())
            .collect(),
        missing: missing
            .filter(|stream| stream.starts_with(subject::STREAM_PREFIX))
            .collect(),
        next,
    })
}

/// An empty page ends the listing, whatever total the server claims.
fn next(offset: u64, len: usize, total: u64) -> Option<u64> {
    let len = u64::try_from(len).unwrap_or(u64::MAX);
    let next = offset.saturating_add(len);
    (len > 0 && next < total).then_some(next)
}
