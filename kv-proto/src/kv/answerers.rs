//! Who answers direct gets of a bucket beside the bucket itself.
//!
//! Servers let a mirror with `mirror_direct` answer the direct gets of its origin, so that reads are served where
//! their readers are. They go by the origin's name alone: a mirror of a bucket in another domain or account answers
//! for the bucket here that has the same name, too, and what it answers is another bucket's. Clients make such
//! mirrors without a thought.
//!
//! An answer names the stream that it comes from. What comes from another stream than the bucket's own is not
//! believed before that stream's leader has said that it is a mirror of this bucket, and of all of it. If it is
//! anything else, then only the leader of the bucket is asked from now on: that there is no message is told by an
//! answer that names no stream, so where a stranger may answer, none of those can be believed.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use core::time::Duration;

use bytes::Bytes;

use crate::js::message::ApiReply;
use crate::js::stream::{StreamFields, StreamInfo};
use crate::js::subject;
use crate::kv::binding::Binding;
use crate::kv::step::{Answer, Request, Surroundings};
use crate::time::Instant;

/// How long a mirror is believed to be what it was: it could be deleted, and another one made of its name.
const TRUST: Duration = Duration::from_secs(60);

/// More than anybody has; what is forgotten is asked again.
const MAX_KNOWN: usize = 32;

/// The longest name of a stream that servers take.
const MAX_NAME: usize = 255;

static EMPTY: Bytes = Bytes::new();

/// What is known of the streams that have answered for buckets.
#[derive(Debug, Default)]
pub(crate) struct Answerers {
    /// The oldest first.
    known: VecDeque<Known>,
}

#[derive(Debug)]
struct Known {
    bucket: Binding,
    /// The stream, and until when it is taken for a mirror; `None` once any stranger was noticed.
    mirror: Option<(String, Instant)>,
}

/// Whether an answer to a direct get can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Voucher {
    /// It comes from the bucket, or from a mirror of it.
    Good,
    /// It comes from a stream that is to be looked at.
    Unknown(Vouch),
    /// It comes from something else.
    Stranger,
}

impl Answerers {
    /// Judges an answer by the stream that it says it comes from.
    pub(crate) fn judge(&mut self, bucket: &Binding, stream: &[u8], now: Instant) -> Voucher {
        if stream == bucket.stream().as_bytes() {
            return Voucher::Good;
        }
        let trusted = self.known.iter().any(|known| {
            let mirror = known.mirror.as_ref().filter(|(_, until)| now < *until);
            mirror.is_some_and(|(name, _)| name.as_bytes() == stream) && known.bucket == *bucket
        });
        if trusted {
            return Voucher::Good;
        }
        match stream_name(stream) {
            Some(name) if !self.has_stranger(bucket) => Voucher::Unknown(Vouch(name.to_string())),
            Some(_) | None => {
                self.note(bucket, None);
                Voucher::Stranger
            }
        }
    }

    /// Whether something that is not this bucket has answered for it.
    pub(crate) fn has_stranger(&self, bucket: &Binding) -> bool {
        let stranger = |known: &Known| known.mirror.is_none() && known.bucket == *bucket;
        self.known.iter().any(stranger)
    }

    fn note(&mut self, bucket: &Binding, mirror: Option<(String, Instant)>) {
        let name = |known: &Option<(String, Instant)>| known.as_ref().map(|(name, _)| name.clone());
        let of = name(&mirror);
        self.known
            .retain(|known| known.bucket != *bucket || name(&known.mirror) != of);
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(Known {
            bucket: bucket.clone(),
            mirror,
        });
    }
}

/// The question what a stream is that has answered for a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vouch(String);

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vouched {
    /// It is a mirror of the bucket, which may go on to answer.
    Mirror,
    /// It is not, or that is not to be found out.
    Not,
    /// The answer was to somebody else.
    Ignore,
    /// The question is to be asked again.
    Again,
}

impl Vouch {
    pub(crate) fn request<'a>(&'a self, bucket: &'a Binding) -> Request<'a> {
        Request::api(bucket.api(), subject::STREAM_INFO, &self.0, &EMPTY)
    }

    pub(crate) fn answer(
        &self,
        bucket: &Binding,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Vouched {
        let reply = match answer {
            Answer::Reply(reply) => reply,
            Answer::LinkLost(_) => return Vouched::Again,
            Answer::NoResponders => return Vouched::Not,
            Answer::Denied(_) => {
                around.answerers.note(bucket, None);
                return Vouched::Not;
            }
        };
        match reply.api::<StreamInfo>() {
            Some(ApiReply::Success(info)) if info.config.name != self.0 => Vouched::Ignore,
            Some(ApiReply::Success(info)) if mirrors_all(bucket, &info) => {
                let mirror = (self.0.clone(), around.now + TRUST);
                around.answerers.note(bucket, Some(mirror));
                Vouched::Mirror
            }
            Some(ApiReply::Success(_)) => {
                around.answerers.note(bucket, None);
                Vouched::Not
            }
            Some(ApiReply::Failure(_)) | None => Vouched::Not,
        }
    }
}

/// Whether a stream beside a bucket is a mirror of it that has, or will have, all of its keys.
fn mirrors_all(bucket: &Binding, info: &StreamInfo) -> bool {
    let StreamFields { mirror, .. } = &info.config.fields;
    let Some(mirror) = mirror else {
        return false;
    };
    let external = mirror.external.as_ref().map_or("", |place| &place.api);
    let beside = external.is_empty() || {
        let there = bucket.api().reach(external).ok();
        let domain = there.as_ref().and_then(|there| there.domain_name());
        there.as_ref() == Some(bucket.api())
            || (domain.is_some() && domain == info.domain.as_deref())
    };
    beside
        && mirror.name == bucket.stream()
        && mirror.filter_subject.is_empty()
        && mirror.subject_transforms.is_empty()
        && mirror.opt_start_seq <= 1
        && mirror.opt_start_time.is_none()
}

/// What can be asked about by its name.
fn stream_name(bytes: &[u8]) -> Option<&str> {
    let name = core::str::from_utf8(bytes).ok()?;
    let fits = (1..=MAX_NAME).contains(&name.len());
    let odd = |c: char| c.is_whitespace() || c.is_control() || ".*>".contains(c);
    (fits && !name.contains(odd)).then_some(name)
}

#[cfg(test)]
mod tests;
