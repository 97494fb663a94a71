//! Questions that a session asks for itself, to keep watches alive and to
//! clean up after them. Nobody waits for such an operation: its answer goes to
//! whatever asked.

use alloc::boxed::Box;
use alloc::string::String;

use bytes::Bytes;

use crate::error::Refused;
use crate::js::consumer::ConsumerInfo;
use crate::js::error::ServerError;
use crate::js::message::{ApiReply, LastMessage};
use crate::js::stream::{StreamInfo, Success};
use crate::js::subject::ApiPrefix;
use crate::kv::step::{Absent, Answer, Reply, Request, Step, Surroundings};
use crate::kv::watch::WatchId;
use crate::kv::watch::resume::StreamFacts;
use crate::op::Output;

/// Whose question it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A watch; the feed's subscription tells it from an earlier one.
    Watch(WatchId, u64),
    /// The clean-up, of this consumer.
    Cleanup(u64),
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Make a consumer.
    Create,
    /// How is the stream?
    Stream,
    /// How is the consumer?
    Consumer,
    /// Which message is the last that matches the filter of this number?
    Last(usize),
    /// Delete a consumer.
    Delete,
}

/// What was heard.
#[derive(Debug)]
pub(crate) enum Heard {
    Created(Box<ConsumerInfo>),
    Stream(StreamFacts),
    Consumer(Box<ConsumerInfo>),
    /// The sequence of the last message.
    Last(u64),
    Deleted,
    /// The server refused.
    Failed(ServerError),
    /// Nobody listens; perhaps because there is no such API at all.
    Nobody(Option<Absent>),
    Denied(String),
    /// It is larger than the server takes.
    Refused(Refused),
    /// Nothing that tells, in time.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Ask {
    asker: Asker,
    question: Question,
    api: ApiPrefix,
    call: String,
    body: Bytes,
}

impl Ask {
    pub(crate) const fn new(
        asker: Asker,
        question: Question,
        api: ApiPrefix,
        call: String,
        body: Bytes,
    ) -> Self {
        Self {
            asker,
            question,
            api,
            call,
            body,
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request::api(&self.api, &self.call, "", &self.body)
    }

    pub(crate) fn answer(&self, answer: Answer<'_>, around: &Surroundings<'_>) -> Step {
        let heard = match answer {
            Answer::Reply(reply) => self.read(&reply),
            Answer::NoResponders => Heard::Nobody(around.absent(&self.api)),
            Answer::Denied(subject) => Heard::Denied(subject),
            Answer::LinkLost(_) => Heard::Nothing,
        };
        Step::Done(Output::Heard(self.asker.clone(), heard))
    }

    fn read(&self, reply: &Reply<'_>) -> Heard {
        let heard = match self.question {
            Question::Create => reply
                .api()
                .map(|reply| of(reply, |info| Heard::Created(Box::new(info)))),
            Question::Consumer => reply
                .api()
                .map(|reply| of(reply, |info| Heard::Consumer(Box::new(info)))),
            Question::Stream => reply
                .api()
                .map(|reply| of(reply, |info: StreamInfo| Heard::Stream((&info).into()))),
            Question::Last(_) => reply
                .api()
                .map(|reply| of(reply, |last: LastMessage| Heard::Last(last.message.seq))),
            Question::Delete => reply.api().map(|reply| of(reply, deleted)),
        };
        heard.unwrap_or(Heard::Nothing)
    }

    /// Nobody answered in time.
    pub(crate) fn unheard(self) -> Output {
        Output::Heard(self.asker, Heard::Nothing)
    }

    /// No link can take it.
    pub(crate) fn refuse(self, refused: Refused) -> Output {
        Output::Heard(self.asker, Heard::Refused(refused))
    }
}

/// Only what says so is a deletion; anything else is asked for again.
const fn deleted(reply: Success) -> Heard {
    if reply.success {
        Heard::Deleted
    } else {
        Heard::Nothing
    }
}

fn of<T>(reply: ApiReply<T>, success: impl FnOnce(T) -> Heard) -> Heard {
    match reply {
        ApiReply::Success(value) => success(value),
        ApiReply::Failure(error) => Heard::Failed(error),
    }
}

impl From<&StreamInfo> for StreamFacts {
    fn from(info: &StreamInfo) -> Self {
        Self {
            created: info.created,
            last_seq: info.state.last_seq,
            leader: info
                .cluster
                .as_ref()
                .and_then(|one| Some(one.leader()?.into())),
            replicated: info.config.num_replicas > 1,
        }
    }
}
