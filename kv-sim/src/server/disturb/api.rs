//! F-S5: what meets the four API calls that watches live on, and no others.

use super::delivery::take_first;
use super::recurring::Recurring;
use super::{Disturbances, Kind, ReplyFault};
use crate::server::error::ApiError;
use crate::server::stream::Outgoing;
use crate::server::{Cluster, ConnId};

/// One of those calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum ApiCall {
    /// `CONSUMER.CREATE`.
    CreateCall,
    /// `CONSUMER.INFO`.
    InfoCall,
    /// `CONSUMER.DELETE`.
    DeleteCall,
    /// `STREAM.INFO`.
    StreamInfoCall,
}

impl ApiCall {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::CreateCall,
        Self::InfoCall,
        Self::DeleteCall,
        Self::StreamInfoCall,
    ];

    fn of_request(subject: &str) -> Option<Self> {
        let rest = subject.strip_prefix(crate::server::api::PREFIX)?;
        let begins = |verb: &str| rest.starts_with(verb);
        if begins("CONSUMER.CREATE.") || begins("CONSUMER.DURABLE.CREATE.") {
            Some(Self::CreateCall)
        } else if begins("CONSUMER.INFO.") {
            Some(Self::InfoCall)
        } else if begins("CONSUMER.DELETE.") {
            Some(Self::DeleteCall)
        } else if begins("STREAM.INFO.") {
            Some(Self::StreamInfoCall)
        } else {
            None
        }
    }

    /// Which call a message answers, by the type that answers name.
    pub(super) fn of_answer(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(b"{\"type\":\"io.nats.jetstream.api.v1.")?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        match rest.get(..end)? {
            b"consumer_create_response" => Some(Self::CreateCall),
            b"consumer_info_response" => Some(Self::InfoCall),
            b"consumer_delete_response" => Some(Self::DeleteCall),
            b"stream_info_response" => Some(Self::StreamInfoCall),
            _ => None,
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::CreateCall => "consumer_create",
            Self::InfoCall => "consumer_info",
            Self::DeleteCall => "consumer_delete",
            Self::StreamInfoCall => "stream_info",
        }
    }
}

/// An error that such a call is answered with although nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum ApiRefusal {
    /// 503 10008: JetStream is unavailable for a moment.
    Unavailable,
    /// 503 10023: the server lacks resources.
    Short,
    /// 400 10026: there are too many consumers just now.
    TooManyConsumers,
    /// 500 10012: the consumer could not be made.
    NotMade,
    /// 500 10119: the consumer's server is away.
    Offline,
    /// 500 10118: the stream's servers are away.
    StreamOffline,
    /// 404 10014: the server that is asked has not heard of the consumer, or not any more.
    NotFound,
    /// A code that no client knows.
    Unheard,
    /// 503 without a body: nobody listens.
    NobodyThere,
}

impl ApiRefusal {
    /// What a real server can answer to a call.
    #[must_use]
    pub const fn of(call: ApiCall) -> &'static [Self] {
        match call {
            ApiCall::CreateCall => &[
                Self::Unavailable,
                Self::Short,
                Self::TooManyConsumers,
                Self::NotMade,
                Self::Unheard,
                Self::NobodyThere,
            ],
            ApiCall::InfoCall => &[
                Self::Unavailable,
                Self::Offline,
                Self::NotFound,
                Self::Unheard,
                Self::NobodyThere,
            ],
            ApiCall::DeleteCall => &[
                Self::Unavailable,
                Self::NotFound,
                Self::Unheard,
                Self::NobodyThere,
            ],
            ApiCall::StreamInfoCall => &[
                Self::Unavailable,
                Self::StreamOffline,
                Self::Unheard,
                Self::NobodyThere,
            ],
        }
    }

    fn error(self) -> Option<ApiError> {
        Some(match self {
            Self::Unavailable => ApiError::UNAVAILABLE,
            Self::Short => ApiError::new(503, 10_023, "insufficient resources"),
            Self::TooManyConsumers => ApiError::MAXIMUM_CONSUMERS,
            Self::NotMade => ApiError::consumer_create("error creating store for consumer"),
            Self::Offline => ApiError::CONSUMER_OFFLINE,
            Self::StreamOffline => ApiError::STREAM_OFFLINE,
            Self::NotFound => ApiError::CONSUMER_NOT_FOUND,
            Self::Unheard => ApiError::new(500, 19_998, "something new"),
            Self::NobodyThere => return None,
        })
    }
}

/// The error that a call meets.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Refused {
    call: ApiCall,
    error: ApiRefusal,
    /// What was asked for is done all the same.
    pub(in crate::server) done: bool,
}

impl Disturbances {
    /// The error that meets this request.
    pub(in crate::server) fn refuse_call(
        &mut self,
        subject: &str,
        reply: &[u8],
    ) -> Option<Refused> {
        let idle = self.refused_calls.is_empty() && self.recurring.is_empty();
        if idle || reply.is_empty() {
            return None;
        }
        let call = ApiCall::of_request(subject)?;
        let queued = take_first(&mut self.refused_calls, |one| one.call == call);
        let refused = queued.or_else(|| {
            let strikes = self.recurring.strikes(Recurring::RefusedCall);
            strikes.then_some(Refused {
                call,
                error: ApiRefusal::Unavailable,
                done: false,
            })
        })?;
        self.note(if refused.done {
            "F-S5 API error, done"
        } else {
            "F-S5 API error"
        });
        Some(refused)
    }

    /// What meets this answer to a call.
    pub(super) fn meet_answer(&mut self, message: &Outgoing) -> Option<ReplyFault> {
        let Kind::Answer(call) = Kind::of(message) else {
            return None;
        };
        let (_, fault) = take_first(&mut self.answers, |(one, _)| *one == call)?;
        self.note(match fault {
            ReplyFault::Lost => "F-S5 API reply lost",
            ReplyFault::Late(_) => "F-S5 API reply late",
            ReplyFault::Twice(_) => "F-S5 API reply twice",
            ReplyFault::Garbage => "F-S5 API reply garbage",
        });
        Some(fault)
    }
}

impl Cluster {
    /// Lets a fault meet the next answer to such a call of any client.
    pub fn disturb_call(&mut self, call: ApiCall, fault: ReplyFault) {
        self.disturbances.answers.push_back((call, fault));
    }

    /// Answers the next such call with an error; `done` tells whether what it asks for happens all the same.
    pub fn refuse_call(&mut self, call: ApiCall, error: ApiRefusal, done: bool) {
        let refused = Refused { call, error, done };
        self.disturbances.refused_calls.push_back(refused);
    }

    /// Answers a call with an error that is not its own.
    pub(in crate::server) fn answer_refused_call(
        &mut self,
        conn: ConnId,
        message: &crate::server::stream::Inbound,
        refused: Refused,
    ) {
        match refused.error.error() {
            None => self.send_no_responders(conn, message),
            Some(error) => {
                let payload = crate::server::api::failed(refused.call.kind(), &error);
                self.outbox
                    .push_back(Outgoing::answer(&message.reply, payload));
            }
        }
    }
}
