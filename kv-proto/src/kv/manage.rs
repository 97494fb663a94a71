//! Buckets as a whole: open, status, create, update, delete.
//!
//! ```text
//!   create            [Level ->] Create --exists--> Compare
//!   update            [Level ->] Fetch --> Update
//!   create or update  [Level ->] Fetch --found--> Update
//!                                  '--none--> Create --exists--> Fetch
//! ```
//!
//! `Level` asks which API level the server speaks, and only when the
//! configuration needs one: servers up to 2.11 drop what they do not know
//! without a word.

use alloc::string::ToString;

use bytes::Bytes;
use serde_json::Value;

use crate::error::{BucketError, Doubt, Outcome, Refused};
use crate::js::account::AccountInfo;
use crate::js::error::{ManagementOutcome, ServerError};
use crate::js::message::ApiReply;
use crate::js::stream::{StreamInfo, Success};
use crate::js::subject::{self, ApiPrefix};
use crate::kv::binding::Binding;
use crate::kv::config::BucketConfig;
use crate::kv::status::BucketStatus;
use crate::kv::step::{Answer, Ending, Reply, Request, Step, Surroundings};
use crate::name::BucketName;
use crate::op::{Kept, Output};
use crate::out::Handover;

/// What is wanted.
#[derive(Debug)]
pub(crate) enum Goal {
    Open,
    Status,
    Create(BucketConfig),
    Update(BucketConfig),
    CreateOrUpdate(BucketConfig),
    Delete,
}

#[derive(Debug)]
enum Stage {
    Level,
    Fetch,
    Create { body: Bytes },
    Update { body: Bytes },
    Compare,
    Delete,
}

#[derive(Debug)]
pub(crate) struct Manage {
    api: ApiPrefix,
    stream: alloc::string::String,
    goal: Goal,
    stage: Stage,
    tries: u32,
    unanswered: bool,
    /// An earlier attempt may have taken effect.
    doubt: Option<Doubt>,
}

/// How often "create or update" goes round when others create and delete the
/// bucket meanwhile.
const MAX_TRIES: u32 = 4;

static EMPTY: Bytes = Bytes::new();

impl Manage {
    /// Makes a request; a configuration in the goal has been validated.
    pub(crate) fn new(api: ApiPrefix, bucket: &BucketName, goal: Goal) -> Self {
        let needs_level = goal
            .config()
            .is_some_and(|config| config.required_level().is_some());
        let mut manage = Self {
            api,
            stream: subject::stream_of(bucket),
            stage: Stage::Level,
            goal,
            tries: 0,
            unanswered: false,
            doubt: None,
        };
        if !needs_level {
            manage.stage = manage.first_stage();
        }
        manage
    }

    fn first_stage(&self) -> Stage {
        match &self.goal {
            Goal::Open | Goal::Status | Goal::Update(_) | Goal::CreateOrUpdate(_) => Stage::Fetch,
            Goal::Create(config) => creating(config),
            Goal::Delete => Stage::Delete,
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let stream = self.stream.as_str();
        let (call, name, body) = match &self.stage {
            Stage::Level => (subject::ACCOUNT_INFO, "", &EMPTY),
            Stage::Fetch | Stage::Compare => (subject::STREAM_INFO, stream, &EMPTY),
            Stage::Create { body } => (subject::STREAM_CREATE, stream, body),
            Stage::Update { body } => (subject::STREAM_UPDATE, stream, body),
            Stage::Delete => (subject::STREAM_DELETE, stream, &EMPTY),
        };
        Request::api(&self.api, call, name, body)
    }

    /// Bytes to account for while the request is pending.
    pub(crate) fn weight(&self) -> usize {
        self.request().payload.len() + self.stream.len()
    }

    pub(crate) fn answer(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        match answer {
            Answer::Reply(reply) => self.on_reply(&reply, around),
            Answer::NoResponders => match around.absent(&self.api) {
                Some(absent) => self.failed(absent.into()),
                None => {
                    self.unanswered = true;
                    Step::Pause(around.pause())
                }
            },
            Answer::Denied(subject) => self.failed(BucketError::Denied { subject }),
            Answer::LinkLost(handover) => {
                // Asking again is safe for all but a delete: it could hit a
                // bucket that somebody else created since.
                if handover == Handover::Whole && self.changes() {
                    self.doubt = Some(Doubt::LinkLost);
                }
                if matches!(self.stage, Stage::Delete) && self.doubt.is_some() {
                    self.failed(BucketError::Unknown(Doubt::LinkLost))
                } else {
                    Step::Send
                }
            }
        }
    }

    /// Ends a request from outside; `handover` is that of its last message.
    pub(crate) fn end(self, ending: Ending, handover: Handover) -> Output {
        let in_doubt = self.changes() && handover == Handover::Whole;
        let error = match (ending, in_doubt) {
            (Ending::Deadline, true) => BucketError::Unknown(Doubt::TimedOut),
            (Ending::Closed, true) => BucketError::Unknown(Doubt::Closed),
            (Ending::Deadline, false) if self.unanswered => BucketError::Unavailable,
            (Ending::Deadline, false) => BucketError::TimedOut,
            (Ending::Closed, false) => Refused::Closed.into(),
        };
        self.output(error)
    }

    fn on_reply(&mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step {
        match &self.stage {
            Stage::Level => match reply.api::<AccountInfo>() {
                Some(ApiReply::Success(account)) => self.on_level(&account),
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
                None => self.malformed(),
            },
            Stage::Fetch => match reply.api::<StreamInfo>() {
                Some(ApiReply::Success(info)) if info.config.name != self.stream => Step::Ignore,
                Some(ApiReply::Success(info)) => self.on_fetched(info, reply),
                Some(ApiReply::Failure(error)) => self.on_fetch_failure(error, around),
                None => self.malformed(),
            },
            Stage::Create { .. } | Stage::Update { .. } => match reply.api::<StreamInfo>() {
                Some(ApiReply::Success(info)) if info.config.name != self.stream => Step::Ignore,
                Some(ApiReply::Success(info)) => self.on_stored(info),
                Some(ApiReply::Failure(error)) if error.is_stream_name_in_use() => self.on_exists(),
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
                None => self.malformed(),
            },
            Stage::Compare => match reply.api::<StreamInfo>() {
                Some(ApiReply::Success(info)) if info.config.name != self.stream => Step::Ignore,
                Some(ApiReply::Success(info)) => self.on_compared(info),
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
                None => self.malformed(),
            },
            Stage::Delete => match reply.api::<Success>() {
                Some(ApiReply::Success(reply)) if reply.success => {
                    Step::Done(Output::Deleted(Ok(())))
                }
                Some(ApiReply::Failure(error)) => self.on_failure(error, around),
                Some(ApiReply::Success(_)) | None => self.malformed(),
            },
        }
    }

    fn on_level(&mut self, account: &AccountInfo) -> Step {
        let required = self.goal.config().and_then(BucketConfig::required_level);
        if let Some(required) = required
            && account.api_level() < required.level
        {
            return self.failed(BucketError::Unsupported {
                feature: required.feature,
                needs: required.version,
            });
        }
        self.stage = self.first_stage();
        Step::Send
    }

    fn on_fetched(&mut self, info: StreamInfo, reply: &Reply<'_>) -> Step {
        match &self.goal {
            Goal::Status => {
                let text = reply.payload.bytes;
                let kept = BucketStatus::from_info(info).map(|_| Kept::new(text, status));
                Step::Done(Output::Status(kept.map_err(|_| BucketError::NotABucket)))
            }
            Goal::Update(config) | Goal::CreateOrUpdate(config) => {
                if BucketStatus::from_info(info.clone()).is_err() {
                    return self.failed(BucketError::NotABucket);
                }
                let config = Value::Object(config.apply_to(&info.config.raw));
                self.stage = Stage::Update {
                    body: config.to_string().into(),
                };
                Step::Send
            }
            Goal::Open | Goal::Create(_) | Goal::Delete => self.bound(info),
        }
    }

    fn on_fetch_failure(&mut self, error: ServerError, around: &mut Surroundings<'_>) -> Step {
        if let Goal::CreateOrUpdate(config) = &self.goal
            && error.is_stream_not_found()
        {
            self.stage = creating(config);
            return Step::Send;
        }
        self.on_failure(error, around)
    }

    /// The server took the configuration; did it take all of it?
    fn on_stored(&mut self, info: StreamInfo) -> Step {
        let ignored = self
            .goal
            .config()
            .map(|config| config.option_differences(&info))
            .unwrap_or_default();
        if ignored.is_empty() {
            self.bound(info)
        } else {
            self.failed(BucketError::Exists {
                differences: ignored,
            })
        }
    }

    /// The bucket exists with another configuration.
    fn on_exists(&mut self) -> Step {
        self.tries += 1;
        let again = matches!(self.goal, Goal::CreateOrUpdate(_)) && self.tries < MAX_TRIES;
        self.stage = if again { Stage::Fetch } else { Stage::Compare };
        Step::Send
    }

    /// No difference can be found although the server sees one: clusters up
    /// to 2.12 refuse the very same sources. The bucket is what was asked for.
    fn on_compared(&mut self, info: StreamInfo) -> Step {
        let differences = self
            .goal
            .config()
            .map(|config| config.differences(&info))
            .unwrap_or_default();
        if differences.is_empty() {
            self.bound(info)
        } else {
            self.failed(BucketError::Exists { differences })
        }
    }

    fn on_failure(&mut self, error: ServerError, around: &mut Surroundings<'_>) -> Step {
        if error.is_transient() && !matches!(self.stage, Stage::Delete) {
            self.unanswered = true;
            return Step::Pause(around.pause());
        }
        if self.changes() && error.management_outcome() == ManagementOutcome::Unknown {
            return self.failed(BucketError::Unknown(error.into()));
        }
        self.failed(refused(error))
    }

    fn malformed(&mut self) -> Step {
        self.failed(BucketError::Unknown(Doubt::Malformed))
    }

    fn bound(&self, info: StreamInfo) -> Step {
        let binding = Binding::from_info(&self.api, info).map_err(|_| BucketError::NotABucket);
        Step::Done(Output::Bound(binding))
    }

    fn failed(&mut self, error: BucketError) -> Step {
        Step::Done(self.output(error))
    }

    /// Whether the request of this stage changes something.
    pub(crate) const fn changes(&self) -> bool {
        match self.stage {
            Stage::Level | Stage::Fetch | Stage::Compare => false,
            Stage::Create { .. } | Stage::Update { .. } | Stage::Delete => true,
        }
    }

    /// The failure of the whole request. One that proves that the last attempt
    /// had no effect proves nothing about an earlier one.
    pub(crate) fn output(&self, error: BucketError) -> Output {
        let error = match &self.doubt {
            Some(doubt) if error.outcome() == Outcome::NotApplied => {
                BucketError::Unknown(doubt.clone())
            }
            Some(_) | None => error,
        };
        match self.goal {
            Goal::Status => Output::Status(Err(error)),
            Goal::Delete => Output::Deleted(Err(error)),
            Goal::Open | Goal::Create(_) | Goal::Update(_) | Goal::CreateOrUpdate(_) => {
                Output::Bound(Err(error))
            }
        }
    }
}

impl Goal {
    fn config(&self) -> Option<&BucketConfig> {
        match self {
            Self::Create(config) | Self::Update(config) | Self::CreateOrUpdate(config) => {
                Some(config)
            }
            Self::Open | Self::Status | Self::Delete => None,
        }
    }
}

fn creating(config: &BucketConfig) -> Stage {
    Stage::Create {
        body: config.to_create().into(),
    }
}

fn status(text: &[u8]) -> Option<BucketStatus> {
    let info: StreamInfo = ApiReply::parse(text).ok()?.into_result().ok()?;
    BucketStatus::from_info(info).ok()
}

/// The error for an answer that proves the request had no effect.
pub(crate) fn refused(error: ServerError) -> BucketError {
    if error.is_stream_not_found() {
        BucketError::NotFound
    } else if error.is_not_enabled() {
        BucketError::NoJetStream
    } else {
        BucketError::Server(error)
    }
}
