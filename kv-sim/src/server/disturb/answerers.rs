//! F-S10: direct gets that are answered by another stream than the one that was asked.
//!
//! Real servers let mirrors answer for the stream that they mirror, and go by its name alone. Here an answer is
//! made into one of such a stream on its way, and the stream is there for who asks about it, and for nothing else.

use bytes::Bytes;

use super::Disturbances;
use crate::server::Cluster;
use crate::server::stream::Outgoing;

/// Who answers instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Answerer {
    /// A mirror of the stream, with what the stream has. The client looks at it once, and believes it.
    Mirror,
    /// A mirror of a stream elsewhere that has the same name, with other values. The client looks at it, and asks
    /// the leader from then on.
    Stranger,
    /// One that was deleted since. The client asks the leader.
    Gone,
}

impl Answerer {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Mirror, Self::Stranger, Self::Gone];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mirror => "F-S10 answered by a mirror",
            Self::Stranger => "F-S10 answered by a stranger",
            Self::Gone => "F-S10 answered by a stream that is gone",
        }
    }

    /// What is behind the stream's own name in that of its stand-in.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Mirror => "-mirror",
            Self::Stranger => "-stranger",
            Self::Gone => "-gone",
        }
    }

    /// Where the stream is that it mirrors, in its configuration.
    const fn external(self) -> Option<&'static str> {
        match self {
            Self::Mirror => Some(""),
            Self::Stranger => {
                Some(",\"external\":{\"api\":\"$JS.elsewhere.API\",\"deliver\":\"\"}")
            }
            Self::Gone => None,
        }
    }
}

/// What the server writes before the name of the stream that answers.
const STREAM: &str = "Nats-Stream: ";

impl Disturbances {
    /// Lets another stream answer a direct get that found something.
    pub(super) fn meet_direct_answer(&mut self, message: Outgoing) -> Outgoing {
        let Some(answerer) = self.answerers.front().copied() else {
            return message;
        };
        let Ok(headers) = core::str::from_utf8(&message.headers) else {
            return message;
        };
        let Some((before, rest)) = headers.rsplit_once(STREAM) else {
            return message;
        };
        let Some((name, after)) = rest.split_once("\r\n") else {
            return message;
        };
        self.answerers.pop_front();
        self.note(answerer.name());
        let headers = format!("{before}{STREAM}{name}{}\r\n{after}", answerer.suffix());
        let payload = match answerer {
            Answerer::Mirror => message.payload,
            Answerer::Stranger | Answerer::Gone => Bytes::from_static(b"of a stranger"),
        };
        Outgoing {
            headers: headers.into(),
            payload,
            ..message
        }
    }

    /// What such a stream's leader says of it, if that is asked.
    pub(in crate::server) fn describe_answerer(subject: &str) -> Option<String> {
        let call = subject.strip_prefix(crate::server::api::PREFIX)?;
        let stream = call.strip_prefix("STREAM.INFO.")?;
        Answerer::ALL.into_iter().find_map(|answerer| {
            let origin = stream.strip_suffix(answerer.suffix())?;
            let external = answerer.external()?;
            Some(format!(
                "{{\"type\":\"io.nats.jetstream.api.v1.stream_info_response\",\"config\":{{\"name\":\"{stream}\",\
                 \"max_msgs_per_subject\":1,\"allow_direct\":true,\"mirror_direct\":true,\
                 \"mirror\":{{\"name\":\"{origin}\"{external}}}}},\"created\":\"2026-01-01T00:00:00Z\",\"state\":{{}}}}"
            ))
        })
    }
}

impl Cluster {
    /// Lets another stream answer the next direct get that finds something.
    pub fn answer_as(&mut self, answerer: Answerer) {
        self.disturbances.answerers.push_back(answerer);
    }
}
