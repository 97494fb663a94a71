//! Errors that the server answers, and what each one proves.
//!
//! The server numbers its errors; texts are for humans and codes of the HTTP
//! kind only say how to classify a number that is not known here. What an
//! answer proves about a write is decided in one place, [`ServerError::write_verdict`]:
//! a number that is not in its table proves nothing.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::String;
use core::fmt;

use serde::Deserialize;
use thiserror::Error;

use crate::text::beginning;

/// Longest description kept of a server's error, in bytes: the longest real
/// one names two subjects.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 512;

/// The `err_code` numbers that something here branches on.
pub(crate) mod code {
    /// Account resource limits exceeded.
    pub(crate) const ACCOUNT_RESOURCES: u32 = 10_002;
    /// Incomplete results.
    pub(crate) const INCOMPLETE_RESULTS: u32 = 10_004;
    /// JetStream system temporarily unavailable: no meta leader.
    pub(crate) const CLUSTER_NOT_AVAILABLE: u32 = 10_008;
    /// The server that answers does not lead the cluster.
    pub(crate) const CLUSTER_NOT_LEADER: u32 = 10_009;
    /// A consumer of that name delivers to another subject.
    pub(crate) const CONSUMER_NAME_IN_USE: u32 = 10_013;
    /// Consumer not found.
    pub(crate) const CONSUMER_NOT_FOUND: u32 = 10_014;
    /// Insufficient resources.
    pub(crate) const INSUFFICIENT_RESOURCES: u32 = 10_023;
    /// Invalid JSON, since 2.12 also for a field that the server does not know.
    pub(crate) const INVALID_JSON: u32 = 10_025;
    /// Maximum number of consumers reached.
    pub(crate) const MAXIMUM_CONSUMERS: u32 = 10_026;
    /// Maximum number of streams reached.
    pub(crate) const MAXIMUM_STREAMS: u32 = 10_027;
    /// Insufficient memory.
    pub(crate) const INSUFFICIENT_MEMORY: u32 = 10_028;
    /// Account not found.
    pub(crate) const NO_ACCOUNT: u32 = 10_035;
    /// No message found.
    pub(crate) const NO_MESSAGE: u32 = 10_037;
    /// JetStream not enabled for the account.
    pub(crate) const NOT_ENABLED_FOR_ACCOUNT: u32 = 10_039;
    /// Insufficient storage.
    pub(crate) const INSUFFICIENT_STORAGE: u32 = 10_047;
    /// Invalid stream configuration.
    pub(crate) const INVALID_STREAM_CONFIG: u32 = 10_052;
    /// Message size exceeds the maximum allowed.
    pub(crate) const MESSAGE_TOO_LARGE: u32 = 10_054;
    /// Message delete not permitted: `deny_delete`.
    pub(crate) const DELETE_NOT_PERMITTED: u32 = 10_057;
    /// Stream name in use with another configuration.
    pub(crate) const STREAM_NAME_IN_USE: u32 = 10_058;
    /// Stream not found.
    pub(crate) const STREAM_NOT_FOUND: u32 = 10_059;
    /// Expected stream does not match.
    pub(crate) const STREAM_MISMATCH: u32 = 10_060;
    /// Wrong last sequence, with the sequence found.
    pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10_071;
    /// More than one replica on a server without a cluster.
    pub(crate) const REPLICAS_NOT_SUPPORTED: u32 = 10_074;
    /// JetStream not enabled.
    pub(crate) const NOT_ENABLED: u32 = 10_076;
    /// The store refused or failed.
    pub(crate) const STORE_FAILED: u32 = 10_077;
    /// Header block larger than 64 KiB.
    pub(crate) const HEADER_TOO_LARGE: u32 = 10_097;
    /// The stream is sealed.
    pub(crate) const SEALED: u32 = 10_109;
    /// Roll-up not permitted, or a bad value of the header.
    pub(crate) const ROLLUP_FAILED: u32 = 10_111;
    /// The server that holds the consumer is down.
    pub(crate) const CONSUMER_OFFLINE: u32 = 10_119;
    /// `max_bytes` above the limit of the account.
    pub(crate) const MAX_BYTES_ABOVE_ACCOUNT: u32 = 10_122;
    /// A consumer of that name exists with another configuration.
    pub(crate) const CONSUMER_ALREADY_EXISTS: u32 = 10_148;
    /// A message of the same id is being stored.
    pub(crate) const DUPLICATE_IN_PROCESS: u32 = 10_158;
    /// The expected sequence cannot be checked at the moment.
    pub(crate) const SEQUENCE_CHECK_UNAVAILABLE: u32 = 10_163;
    /// Wrong last sequence, found against a write in flight: no number.
    pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u32 = 10_164;
    /// Invalid TTL.
    pub(crate) const TTL_INVALID: u32 = 10_165;
    /// TTL on a stream that does not allow it.
    pub(crate) const TTL_DISABLED: u32 = 10_166;
    /// Too many requests.
    pub(crate) const TOO_MANY_REQUESTS: u32 = 10_167;
    /// The API level that the request requires is not supported.
    pub(crate) const REQUIRED_API_LEVEL: u32 = 10_185;
    /// The consumer is offline, with the reason.
    pub(crate) const CONSUMER_OFFLINE_REASON: u32 = 10_195;
    /// Too many atomic batches in flight.
    pub(crate) const TOO_MANY_BATCHES: u32 = 10_210;
}

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

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::*;

    fn error(code: u16, err_code: u32, description: &str) -> ServerError {
        ServerError::new(code, Some(err_code), description.into())
    }

    /// The table of what evidence proves, row by row.
    #[test]
    fn a_write_is_judged_by_number() {
        let conflict = |current| Verdict::Conflict { current };
        let rows = [
            (10_071, "wrong last sequence: 3", conflict(Some(3))),
            (10_071, "wrong last sequence: 0", conflict(Some(0))),
            (
                10_071,
                "wrong last sequence: 18446744073709551615",
                conflict(Some(u64::MAX)),
            ),
            (
                10_071,
                "wrong last sequence: 18446744073709551616",
                conflict(None),
            ),
            (10_071, "wrong last sequence: +3", conflict(None)),
            (10_071, "wrong last sequence: ", conflict(None)),
            (10_071, "wrong last sequence", conflict(None)),
            (10_164, "wrong last sequence", Verdict::Retry),
            (10_163, "", Verdict::Retry),
            (10_167, "too many requests", Verdict::Retry),
            (10_158, "", Verdict::Poll),
            (
                10_054,
                "message size exceeds maximum allowed",
                Verdict::Rejected,
            ),
            (10_097, "", Verdict::Rejected),
            (10_060, "", Verdict::Rejected),
            (10_109, "", Verdict::Rejected),
            (10_111, "rollup not permitted", Verdict::Rejected),
            (10_165, "", Verdict::Rejected),
            (10_166, "", Verdict::Rejected),
            (10_185, "", Verdict::Rejected),
            (10_002, "", Verdict::Resources),
            (10_023, "insufficient resources", Verdict::Resources),
            (10_028, "", Verdict::Resources),
            (10_047, "", Verdict::Resources),
            (10_122, "", Verdict::Resources),
            (10_077, "maximum bytes exceeded", Verdict::Resources),
            (10_077, "maximum messages exceeded", Verdict::Resources),
            (
                10_077,
                "maximum messages per subject exceeded",
                Verdict::Resources,
            ),
            (10_077, "message too large", Verdict::Rejected),
            (10_077, "message to large", Verdict::Rejected),
            (10_077, "no space left on device", Verdict::Unknown),
            (10_077, "maximum bytes exceeded, probably", Verdict::Unknown),
            (10_077, "", Verdict::Unknown),
            (10_063, "", Verdict::Unknown),
            (10_999, "", Verdict::Unknown),
            (0, "", Verdict::Unknown),
        ];
        for (number, text, verdict) in rows {
            // The code of the HTTP kind never matters.
            for code in [0, 400, 429, 503] {
                assert_eq!(
                    error(code, number, text).write_verdict(),
                    verdict,
                    "{number} {text}"
                );
            }
        }
        let unnumbered = ServerError::from_status(400, "wrong last sequence: 3");
        assert_eq!(unnumbered.write_verdict(), Verdict::Unknown);
        assert_eq!(unnumbered.current_sequence(), None);
    }

    #[test]
    fn a_management_call_is_judged_by_class_and_known_checks() {
        let not_applied = [
            (400, 10_058),
            (404, 10_059),
            (400, 10_065),
            (400, 10_056),
            (409, 10_158),
            (412, 10_185),
            (429, 10_167),
            (499, 1),
            (500, 10_052),
            (500, 10_074),
            (500, 10_047),
            (500, 10_028),
            (503, 10_023),
            (503, 10_039),
            (503, 10_076),
            (503, 10_008),
            (500, 10_009),
            (500, 10_057),
        ];
        let unknown = [
            (500, 10_049),
            (500, 10_069),
            (500, 10_110),
            (503, 10_004),
            (503, 1),
            (500, 1),
            (200, 1),
            (0, 0),
        ];
        for (code, number) in not_applied {
            let outcome = error(code, number, "").management_outcome();
            assert_eq!(outcome, ManagementOutcome::NotApplied, "{number}");
        }
        for (code, number) in unknown {
            let outcome = error(code, number, "").management_outcome();
            assert_eq!(outcome, ManagementOutcome::Unknown, "{number}");
        }
        let unnumbered = ServerError::from_status(503, "");
        assert_eq!(unnumbered.management_outcome(), ManagementOutcome::Unknown);
    }

    /// A write that may be repeated at once is one that can succeed later; no
    /// answer is both a refusal for ever and a passing state.
    #[test]
    fn verdicts_agree_with_the_accessors() {
        for number in 10_000..10_300 {
            let error = error(400, number, "");
            match error.write_verdict() {
                Verdict::Retry | Verdict::Poll => {
                    assert!(
                        error.is_transient() || error.is_wrong_last_sequence(),
                        "{number}"
                    );
                }
                Verdict::Conflict { .. } => assert!(error.is_wrong_last_sequence(), "{number}"),
                Verdict::Resources => assert!(error.is_insufficient_resources(), "{number}"),
                Verdict::Rejected => assert!(!error.is_transient(), "{number}"),
                Verdict::Unknown => {}
            }
        }
    }

    /// No answer about a consumer belongs to two classes, or is one that a
    /// repetition of the very same request would change.
    #[test]
    fn consumers_that_are_lost_taken_or_too_many() {
        type Class<'a> = (&'a [u32], fn(&ServerError) -> bool);
        let classes: [Class<'_>; 4] = [
            (&[10_014], ServerError::is_consumer_not_found),
            (&[10_013, 10_148], ServerError::is_consumer_name_in_use),
            (&[10_119, 10_195], ServerError::is_consumer_offline),
            (&[10_026], |error| {
                error.is_insufficient_resources() && error.err_code() == Some(10_026)
            }),
        ];
        for number in 10_000..10_300 {
            let error = error(500, number, "");
            for (numbers, is_of_class) in classes {
                let member = numbers.contains(&number);
                assert_eq!(is_of_class(&error), member, "{number}");
                assert!(!(member && error.is_transient()), "{number}");
            }
        }
    }

    #[test]
    fn descriptions_are_bounded_at_a_character() {
        let long = format!(
            "{}ü{}",
            "x".repeat(MAX_DESCRIPTION_BYTES - 1),
            "y".repeat(4_096)
        );
        let error = error(400, 10_052, &long);
        assert_eq!(error.description(), "x".repeat(MAX_DESCRIPTION_BYTES - 1));
        assert_eq!(
            ServerError::from_status(408, "Bad Request").description(),
            "Bad Request"
        );
    }

    #[test]
    fn display_names_both_numbers() {
        let numbered = error(404, 10_059, "stream not found");
        assert_eq!(
            numbered.to_string(),
            "server answered 404/10059: stream not found"
        );
        let unnumbered = ServerError::from_status(408, "Bad Request");
        assert_eq!(unnumbered.to_string(), "server answered 408: Bad Request");
    }
}
