//! What ends a link: the peer does not speak the protocol, or more of it than
//! the limits allow.

use alloc::string::{String, ToString};

use thiserror::Error;

use super::json::JsonError;

/// The server broke the client protocol. The link it came on is over, because
/// nobody can tell where the next frame would start.
///
/// Never holds more than a few escaped bytes of what the server said.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A line starts with something that is no operation of a server.
    #[error("unknown verb \"{verb}\"")]
    UnknownVerb {
        /// The first bytes of it, escaped.
        verb: String,
    },
    /// A control line other than `INFO` is longer than the limit.
    #[error("control line of more than {limit} bytes")]
    LineTooLong {
        /// [`Limits::max_control_line`](crate::Limits::max_control_line).
        limit: usize,
    },
    /// An `INFO` line is longer than the limit.
    #[error("INFO line of more than {limit} bytes")]
    InfoTooLong {
        /// [`Limits::max_info_line`](crate::Limits::max_info_line).
        limit: usize,
    },
    /// The arguments of a control line cannot be read.
    #[error("{verb} line without valid {what}")]
    Malformed {
        /// The verb of the line.
        verb: &'static str,
        /// The argument that is missing or wrong.
        what: &'static str,
    },
    /// A message is announced that is larger than the limit.
    #[error("message of {size} bytes announced, more than {limit}")]
    SizeTooLarge {
        /// The announced size of headers and payload together.
        size: u64,
        /// [`Limits::max_message`](crate::Limits::max_message).
        limit: usize,
    },
    /// A header block is announced that is larger than the limit.
    #[error("header block of {size} bytes announced, more than {limit}")]
    HeaderTooLarge {
        /// The announced size of the header block.
        size: u64,
        /// [`Limits::max_header_bytes`](crate::Limits::max_header_bytes).
        limit: usize,
    },
    /// A header block is announced that is larger than its message.
    #[error("header block announced that is longer than its message")]
    HeaderLongerThanMessage,
    /// A payload is not followed by CR LF: its announced size is wrong.
    #[error("payload does not end where it was announced to")]
    MissingTerminator,
    /// The bytes given to [`decode_frame`](super::decode_frame) are not
    /// exactly one frame.
    #[error("not exactly one frame")]
    NotOneFrame,
    /// The JSON of an `INFO` cannot be read.
    #[error("INFO cannot be read")]
    BadInfo(#[from] JsonError),
    /// Something came in clear behind the `INFO` after which the connection
    /// becomes TLS; it is not taken for what was said inside.
    #[error("bytes in clear before TLS")]
    BytesBeforeTls,
    /// A message came before the login was complete.
    #[error("message before the login was complete")]
    Unexpected,
}

/// Longest part of an unknown verb that is kept.
const MAX_EXCERPT: usize = 16;

impl ProtocolError {
    pub(super) fn unknown_verb(verb: &[u8]) -> Self {
        let start = verb.get(..MAX_EXCERPT).unwrap_or(verb);
        Self::UnknownVerb {
            verb: start.escape_ascii().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    #[test]
    fn excerpts_are_short_and_escaped() {
        let error = ProtocolError::unknown_verb(&b"\x1b\r\n\xff".repeat(1_000));
        let text = error.to_string();
        assert_eq!(
            text,
            "unknown verb \"".to_owned() + &"\\x1b\\r\\n\\xff".repeat(4) + "\""
        );
    }
}
