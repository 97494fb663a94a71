//! Errors that the server answers, and what each one proves.
//!
//! The server numbers its errors; texts are for humans and codes of the HTTP
//! kind only say how to classify a number that is not known here. What an
//! answer proves about a write is decided in one place, [`ServerError::write_verdict`]:
//! a number that is not in its table proves nothing.

pub(crate) mod code;
#[cfg(test)]
mod tests;

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::fmt;

use serde::Deserialize;
use thiserror::Error;

use crate::text::beginning;

/// Longest description kept of a server's error, in bytes: the longest real
/// one names two subjects.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 512;

/// An error that the server answered.
///
/// ```
/// # fn handle(error: &kv_proto::ServerError) {
/// if error.is_insufficient_resources() {
///     // The account is full: waiting does not help, freeing space does.
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("server answered {code}{}: {description}", ErrCode(*err_code))]
pub struct ServerError {
    code: u16,
    err_code: Option<u32>,
    description: String,
}

/// What an error proves about the write that it answers, when that write was
/// the first attempt of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not applied: the condition does not hold.
    Conflict {
        /// The last sequence that the server named, zero for none.
        current: Option<u64>,
    },
    /// Not applied; the same request can succeed a moment later. Covers 10164
    /// too: the conflict is with a write that may itself fail, so only a
    /// repetition shows whether the condition holds.
    Retry,
    /// Undecided: an earlier attempt of this very write is being stored.
    /// Asking again with the same message id tells.
    Poll,
    /// Not applied, and repeating it gives the same answer.
    Rejected,
    /// Not applied for lack of room; not repeated by default.
    Resources,
    /// The write may be applied, now or later.
    Unknown,
}

/// What an error proves about the management call that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManagementOutcome {
    /// The call has no effect and cannot have one later.
    NotApplied,
    /// The call may have taken effect.
    Unknown,
}

impl ServerError {
    /// Makes an error out of the status line of a reply, such as `408 Bad Request`.
    pub(crate) fn from_status(code: u16, text: &str) -> Self {
        Self::new(code, None, text.into())
    }

    pub(crate) fn new(code: u16, err_code: Option<u32>, description: Cow<'_, str>) -> Self {
        Self {
            code,
            err_code,
            description: bounded(description),
        }
    }

    /// Returns the status of the HTTP kind: 400 bad request, 404 not found,
    /// 503 unavailable.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Returns the server's own number of the error, if it has one.
    #[must_use]
    pub fn err_code(&self) -> Option<u32> {
        self.err_code
    }

    /// Returns the server's text, cut off at 512 bytes.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Returns whether the stream, and so the bucket, does not exist.
    #[must_use]
    pub fn is_stream_not_found(&self) -> bool {
        self.err_code == Some(code::STREAM_NOT_FOUND)
    }

    /// Returns whether the stream exists with another configuration.
    #[must_use]
    pub fn is_stream_name_in_use(&self) -> bool {
        self.err_code == Some(code::STREAM_NAME_IN_USE)
    }

    /// Returns whether the consumer does not exist.
    #[must_use]
    pub fn is_consumer_not_found(&self) -> bool {
        self.err_code == Some(code::CONSUMER_NOT_FOUND)
    }

    /// Returns whether another consumer has that name: the next attempt needs
    /// a new one, so this is not [transient](Self::is_transient).
    pub(crate) fn is_consumer_name_in_use(&self) -> bool {
        matches!(
            self.err_code,
            Some(code::CONSUMER_NAME_IN_USE | code::CONSUMER_ALREADY_EXISTS)
        )
    }

    /// Returns whether nobody serves the consumer. One in memory went down
    /// with its server, so this is not [transient](Self::is_transient): it
    /// needs to be made again.
    pub(crate) fn is_consumer_offline(&self) -> bool {
        matches!(
            self.err_code,
            Some(code::CONSUMER_OFFLINE | code::CONSUMER_OFFLINE_REASON)
        )
    }

    /// Returns whether there is no message of that sequence or subject.
    #[must_use]
    pub fn is_no_message(&self) -> bool {
        self.err_code == Some(code::NO_MESSAGE)
    }

    /// Returns whether the condition of a write did not hold.
    #[must_use]
    pub fn is_wrong_last_sequence(&self) -> bool {
        matches!(
            self.err_code,
            Some(code::WRONG_LAST_SEQUENCE | code::WRONG_LAST_SEQUENCE_IN_FLIGHT)
        )
    }

    /// Returns whether a limit of the server or of the account is reached:
    /// memory, storage, streams or consumers.
    #[must_use]
    pub fn is_insufficient_resources(&self) -> bool {
        matches!(
            self.err_code,
            Some(
                code::ACCOUNT_RESOURCES
                    | code::INSUFFICIENT_RESOURCES
                    | code::MAXIMUM_CONSUMERS
                    | code::MAXIMUM_STREAMS
                    | code::INSUFFICIENT_MEMORY
                    | code::INSUFFICIENT_STORAGE
                    | code::MAX_BYTES_ABOVE_ACCOUNT
            )
        )
    }

    /// Returns whether the bucket itself is full: its `max_bytes` or another
    /// of its limits is reached. Deletes are refused then too.
    #[must_use]
    pub fn is_bucket_full(&self) -> bool {
        self.store_failure() == Some(StoreFailure::Full)
    }

    /// Returns whether a value with its headers is larger than the bucket allows.
    #[must_use]
    pub fn is_message_too_large(&self) -> bool {
        self.err_code == Some(code::MESSAGE_TOO_LARGE)
            || self.store_failure() == Some(StoreFailure::TooLarge)
    }

    /// Returns whether JetStream is not enabled, on the server or for the account.
    #[must_use]
    pub fn is_not_enabled(&self) -> bool {
        matches!(
            self.err_code,
            Some(code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT)
        )
    }

    /// Returns whether the server is too old for what was asked.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.err_code,
            Some(code::REQUIRED_API_LEVEL | code::INVALID_JSON)
        )
    }

    /// Returns whether the same request can succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.err_code,
            Some(
                code::INCOMPLETE_RESULTS
                    | code::CLUSTER_NOT_AVAILABLE
                    | code::CLUSTER_NOT_LEADER
                    | code::DUPLICATE_IN_PROCESS
                    | code::SEQUENCE_CHECK_UNAVAILABLE
                    | code::TOO_MANY_REQUESTS
                    | code::TOO_MANY_BATCHES
            )
        )
    }

    /// Returns N of `wrong last sequence: N`.
    pub(crate) fn current_sequence(&self) -> Option<u64> {
        if self.err_code != Some(code::WRONG_LAST_SEQUENCE) {
            return None;
        }
        let digits = self.description.strip_prefix("wrong last sequence: ")?;
        let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| digits_only)
    }

    /// Returns what the error proves about the attempt of a write that it
    /// answers. Whatever follows an attempt of unknown outcome leaves the
    /// operation unknown: that is the caller's to know.
    pub(crate) fn write_verdict(&self) -> Verdict {
        let Some(number) = self.err_code else {
            return Verdict::Unknown;
        };
        match number {
            code::WRONG_LAST_SEQUENCE => Verdict::Conflict {
                current: self.current_sequence(),
            },
            code::WRONG_LAST_SEQUENCE_IN_FLIGHT
            | code::SEQUENCE_CHECK_UNAVAILABLE
            | code::TOO_MANY_REQUESTS => Verdict::Retry,
            code::DUPLICATE_IN_PROCESS => Verdict::Poll,
            code::MESSAGE_TOO_LARGE
            | code::HEADER_TOO_LARGE
            | code::STREAM_MISMATCH
            | code::SEALED
            | code::ROLLUP_FAILED
            | code::TTL_INVALID
            | code::TTL_DISABLED
            | code::REQUIRED_API_LEVEL => Verdict::Rejected,
            code::ACCOUNT_RESOURCES
            | code::INSUFFICIENT_RESOURCES
            | code::INSUFFICIENT_MEMORY
            | code::INSUFFICIENT_STORAGE
            | code::MAX_BYTES_ABOVE_ACCOUNT => Verdict::Resources,
            code::STORE_FAILED => match self.store_failure() {
                Some(StoreFailure::Full) => Verdict::Resources,
                Some(StoreFailure::TooLarge) => Verdict::Rejected,
                None => Verdict::Unknown,
            },
            _ => Verdict::Unknown,
        }
    }

    /// Returns what the error proves about the management call that it answers.
    ///
    /// A 4xx is an answer to the request; a 5xx can come from a later stage,
    /// unless its number is known to come from the checks before the call.
    pub(crate) fn management_outcome(&self) -> ManagementOutcome {
        let checked_before = matches!(
            self.err_code,
            Some(
                code::CLUSTER_NOT_AVAILABLE
                    | code::CLUSTER_NOT_LEADER
                    | code::INSUFFICIENT_RESOURCES
                    | code::INSUFFICIENT_MEMORY
                    | code::NO_ACCOUNT
                    | code::NOT_ENABLED_FOR_ACCOUNT
                    | code::INSUFFICIENT_STORAGE
                    | code::INVALID_STREAM_CONFIG
                    | code::DELETE_NOT_PERMITTED
                    | code::STREAM_NAME_IN_USE
                    | code::STREAM_NOT_FOUND
                    | code::REPLICAS_NOT_SUPPORTED
                    | code::NOT_ENABLED
            )
        );
        if checked_before || (400..500).contains(&self.code) {
            ManagementOutcome::NotApplied
        } else {
            ManagementOutcome::Unknown
        }
    }

    /// Reads the text of a 10077: the limits of the stream are checked by all
    /// replicas alike, any other failure may be that of one replica alone.
    fn store_failure(&self) -> Option<StoreFailure> {
        if self.err_code != Some(code::STORE_FAILED) {
            return None;
        }
        match self.description.as_str() {
            "maximum bytes exceeded"
            | "maximum messages exceeded"
            | "maximum messages per subject exceeded" => Some(StoreFailure::Full),
            // 2.10 misspells it.
            "message too large" | "message to large" => Some(StoreFailure::TooLarge),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreFailure {
    Full,
    TooLarge,
}

/// The `error` object of a reply.
#[derive(Deserialize)]
pub(crate) struct ErrorBody<'a> {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: Option<u32>,
    #[serde(borrow, default)]
    description: Cow<'a, str>,
}

impl From<ErrorBody<'_>> for ServerError {
    fn from(body: ErrorBody<'_>) -> Self {
        Self::new(body.code, body.err_code, body.description)
    }
}

fn bounded(text: Cow<'_, str>) -> String {
    if text.len() <= MAX_DESCRIPTION_BYTES {
        return text.into_owned();
    }
    beginning(&text, MAX_DESCRIPTION_BYTES).to_owned()
}

/// Writes `/10059`, or nothing.
struct ErrCode(Option<u32>);

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "/{number}"),
            None => Ok(()),
        }
    }
}
