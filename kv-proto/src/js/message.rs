//! Replies of the JetStream API: the acknowledgement of a publish, a stored
//! message, and the frame that all management replies share.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error};

use super::error::{ErrorBody, ServerError};
use crate::time::Timestamp;
use crate::wire::decimal;
use crate::wire::json::{JsonError, Object, parse_json};

/// The reply to a management call: what was asked for, or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiReply<T> {
    /// The call succeeded.
    Success(T),
    /// The server answered an error.
    Failure(ServerError),
}

impl<'a, T: Deserialize<'a>> ApiReply<T> {
    /// Parses a reply. An error is looked for first, because the other fields
    /// are present and zero beside it.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when the payload is neither.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, JsonError> {
        let Object(MaybeError { error }) = parse_json(payload)?;
        match error {
            Some(body) => Ok(Self::Failure(body.into())),
            None => parse_json(payload).map(|Object(value)| Self::Success(value)),
        }
    }
}

impl<T> ApiReply<T> {
    /// Returns the reply as a result.
    pub(crate) fn into_result(self) -> Result<T, ServerError> {
        match self {
            Self::Success(value) => Ok(value),
            Self::Failure(error) => Err(error),
        }
    }
}

#[derive(serde::Deserialize)]
struct MaybeError<'a> {
    #[serde(borrow, default)]
    error: Option<ErrorBody<'a>>,
}

/// The reply to a publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublishReply<'a> {
    /// The message is stored.
    Ack {
        /// The stream that stored it; empty if the reply names none.
        stream: Cow<'a, str>,
        /// The domain of the stream; empty without one.
        domain: Cow<'a, str>,
        /// The sequence of the message. Old clustered servers answer zero
        /// beside `duplicate` (nats-server PR 5827), which proves nothing.
        seq: u64,
        /// Whether a message of the same id was stored before, at `seq`.
        duplicate: bool,
    },
    /// The message is refused.
    Error(ServerError),
}

impl<'a> PublishReply<'a> {
    /// Parses the payload of a publish acknowledgement.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when the payload is not a JSON object of that shape; an
    /// empty payload too.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, JsonError> {
        if let Some(ack) = parse_plain_ack(payload) {
            return Ok(ack);
        }
        let Object(body) = parse_json::<Object<PublishBody<'a>>>(payload)?;
        Ok(match body.error {
            Some(error) => Self::Error(error.into()),
            None => Self::Ack {
                stream: body.stream,
                domain: body.domain,
                seq: body.seq,
                duplicate: body.duplicate,
            },
        })
    }
}

#[derive(serde::Deserialize)]
struct PublishBody<'a> {
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    domain: Cow<'a, str>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    #[serde(borrow, default)]
    error: Option<ErrorBody<'a>>,
}

/// Reads `{"stream":"KV_B","seq":1}`, the form of nearly all acknowledgements,
/// with the blank after commas that servers up to 2.11 write, and with the
/// domain of servers that have one in the middle. Anything else is left to the
/// JSON parser, which costs ten times as much.
fn parse_plain_ack(payload: &[u8]) -> Option<PublishReply<'_>> {
    let rest = payload.strip_prefix(b"{\"stream\":\"")?;
    let (stream, rest) = split_plain_text(rest)?;
    let (domain, rest) = match rest.strip_prefix(b"\"domain\":\"") {
        Some(rest) => split_plain_text(rest)?,
        None => ("", rest),
    };
    let digits = rest.strip_prefix(b"\"seq\":")?.strip_suffix(b"}")?;
    Some(PublishReply::Ack {
        stream: Cow::Borrowed(stream),
        domain: Cow::Borrowed(domain),
        seq: parse_sequence(digits)?,
        duplicate: false,
    })
}

/// Splits after the end of a text without escapes, and the comma behind it.
fn split_plain_text(rest: &[u8]) -> Option<(&str, &[u8])> {
    let plain = |byte: u8| !matches!(byte, b'"' | b'\\') && (b' '..=b'~').contains(&byte);
    let end = rest.iter().position(|&byte| !plain(byte))?;
    let (text, rest) = rest.split_at_checked(end)?;
    let text = core::str::from_utf8(text).ok()?;
    let rest = rest.strip_prefix(b"\",")?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Some((text, rest))
}

/// Reads a number as servers write it: without a sign, a leading zero or an overflow.
pub(super) fn parse_sequence(digits: &[u8]) -> Option<u64> {
    let is_canonical = matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
    decimal(digits).filter(|_| is_canonical)
}

#[derive(serde::Deserialize)]
struct StoredMessageReply {
    message: StoredMessage,
}

/// A message as the stream's leader returns it (`STREAM.MSG.GET`).
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct StoredMessage {
    /// The subject the message is stored under.
    pub(crate) subject: String,
    /// The sequence of the message.
    pub(crate) seq: u64,
    /// The header block, empty without headers.
    #[serde(default, deserialize_with = "base64_bytes")]
    pub(crate) hdrs: Vec<u8>,
    /// The payload.
    #[serde(default, deserialize_with = "base64_bytes")]
    pub(crate) data: Bytes,
    /// When the message was stored.
    #[serde(deserialize_with = "timestamp")]
    pub(crate) time: Timestamp,
}

impl StoredMessage {
    /// Parses a reply.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when the payload is neither a message nor an error, or
    /// its base64 or time are malformed.
    pub(crate) fn parse(payload: &[u8]) -> Result<ApiReply<Self>, JsonError> {
        let reply = ApiReply::<StoredMessageReply>::parse(payload)?;
        Ok(match reply {
            ApiReply::Success(reply) => ApiReply::Success(reply.message),
            ApiReply::Failure(error) => ApiReply::Failure(error),
        })
    }
}

/// The same reply, of which only the sequence is wanted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct LastMessage {
    pub(crate) message: Sequence,
}

/// The sequence of a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Sequence {
    pub(crate) seq: u64,
}

fn base64_bytes<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<Vec<u8>>,
{
    let text = Option::<MaybeBorrowed<'de>>::deserialize(deserializer)?;
    let Some(MaybeBorrowed(text)) = text else {
        return Ok(Vec::new().into());
    };
    STANDARD
        .decode(text.as_bytes())
        .map(T::from)
        .map_err(D::Error::custom)
}

/// A string that is borrowed where it has no escapes. (A bare `Cow` inside of
/// an `Option` is always owned.)
#[derive(serde::Deserialize)]
struct MaybeBorrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads an RFC 3339 time.
pub(super) fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let MaybeBorrowed(text) = MaybeBorrowed::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time"))
}

/// Reads an RFC 3339 time; the server's zero time, an absent or a foreign one is `None`.
pub(super) fn some_timestamp<'de, D>(deserializer: D) -> Result<Option<Timestamp>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<MaybeBorrowed<'de>>::deserialize(deserializer)?;
    Ok(text.and_then(|MaybeBorrowed(text)| Timestamp::parse_rfc3339(&text)))
}

/// Reads `null` as the empty value: the server is written in Go, where an
/// empty list can be either.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn ack(stream: &str, seq: u64) -> PublishReply<'_> {
        PublishReply::Ack {
            stream: stream.into(),
            domain: "".into(),
            seq,
            duplicate: false,
        }
    }

    fn parse(text: &str) -> Result<PublishReply<'_>, JsonError> {
        PublishReply::parse(text.as_bytes())
    }

    #[test]
    fn acknowledgements_of_all_servers_parse() {
        let plain = [
            r#"{"stream":"KV_T1","seq":1}"#,
            r#"{"stream":"KV_T1", "seq":1}"#,
            r#" { "seq" : 1 , "stream" : "KV_T1" } "#,
            r#"{"stream":"KV\u005fT1","seq":1}"#,
            r#"{"stream":"KV_T1","seq":1,"batch":"u1","count":3,"val":"5","new":{"a":[1]}}"#,
            r#"{"stream":"KV_T1","seq":1,"duplicate":false,"error":null}"#,
        ];
        for text in plain {
            assert_eq!(parse(text).expect(text), ack("KV_T1", 1), "{text}");
        }
        let PublishReply::Ack {
            domain,
            seq: 2,
            duplicate: true,
            ..
        } = parse(r#"{"stream":"KV_B","domain":"hub","seq":2,"duplicate": true}"#).expect("an ack")
        else {
            panic!("not an ack");
        };
        assert_eq!(domain, "hub");
        for text in [
            r#"{"stream":"KV_B","domain":"hub","seq":2}"#,
            r#"{"stream":"KV_B", "domain":"hub", "seq":2}"#,
            r#"{"domain":"hub","stream":"KV_B","seq":2}"#,
        ] {
            let expected = PublishReply::Ack {
                stream: "KV_B".into(),
                domain: "hub".into(),
                seq: 2,
                duplicate: false,
            };
            assert_eq!(parse(text), Ok(expected.clone()));
            let short = parse_plain_ack(text.as_bytes());
            assert!(short.is_none_or(|short| short == expected), "{text}");
        }
        assert_eq!(parse(r#"{"seq":0}"#).expect("an ack"), ack("", 0));
        let large = format!(r#"{{"stream":"S","seq":{}}}"#, u64::MAX);
        assert_eq!(parse(&large).expect("an ack"), ack("S", u64::MAX));
    }

    #[test]
    fn errors_win_over_the_zeros_beside_them() {
        let texts = [
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"KV_T1","seq":0}"#,
            r#"{"stream":"KV_T1","seq":0,"error":{"description":"wrong last sequence: 3","err_code":10071,"code":400,"more":1}}"#,
        ];
        for text in texts {
            let Ok(PublishReply::Error(error)) = parse(text) else {
                panic!("{text}");
            };
            assert_eq!((error.code(), error.err_code()), (400, Some(10_071)));
            assert_eq!(error.current_sequence(), Some(3));
        }
        for text in [
            r#"{"error":{"code":503}}"#,
            r#"{"error":{"code":503,"err_code":null}}"#,
        ] {
            let Ok(PublishReply::Error(error)) = parse(text) else {
                panic!("{text}");
            };
            assert_eq!((error.code(), error.err_code()), (503, None));
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for text in [
            "",
            " ",
            "{",
            "[]",
            "null",
            "1",
            "+OK",
            r#"{"stream":"S","seq":-1}"#,
            r#"{"stream":"S","seq":01}"#,
            r#"{"stream":"S","seq":1.5}"#,
            r#"{"stream":"S","seq":1}x"#,
            r#"{"stream":"S","seq":18446744073709551616}"#,
            r#"{"stream":"S","seq":}"#,
            r#"{"stream":"S,"seq":1}"#,
            "{\"stream\":\"S\n\",\"seq\":1}",
            r#"{"stream":1,"seq":1}"#,
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(PublishReply::parse(b"{\"stream\":\"\xff\",\"seq\":1}").is_err());
    }

    proptest! {
        /// The short way accepts nothing that the JSON parser reads otherwise.
        #[test]
        fn the_short_way_agrees_with_the_json_parser(
            name in prop_oneof!["[A-Za-z_-]{0,9}", "[ -~]{0,6}", "\\PC{0,4}"],
            blank in "[ \t]{0,2}",
            domain in prop_oneof!["", "\"domain\":\"(hub|[ -~]{0,4}|\\PC{0,2})\", ?"],
            seq in prop_oneof!["[0-9]{1,3}", "[0-9]{19,21}", "[-+.0-9e]{0,4}"],
            tail in "[ }x]{0,2}",
        ) {
            let text = format!("{{\"stream\":\"{name}\",{blank}{domain}\"seq\":{seq}}}{tail}");
            if let Some(short) = parse_plain_ack(text.as_bytes()) {
                let body: PublishBody<'_> = parse_json(text.as_bytes()).expect("valid JSON");
                prop_assert!(body.error.is_none());
                let PublishReply::Ack { stream, domain, seq, duplicate } = short else {
                    panic!("an ack");
                };
                prop_assert_eq!((stream, domain), (body.stream, body.domain));
                prop_assert_eq!((seq, duplicate), (body.seq, false));
            }
        }

        /// No bytes panic.
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..64), cut in 0_usize..300) {
            let _ = (PublishReply::parse(&bytes), StoredMessage::parse(&bytes));
            let text = MESSAGE.get(..cut.min(MESSAGE.len())).unwrap_or_default();
            prop_assert_eq!(StoredMessage::parse(text.as_bytes()).is_ok(), cut >= MESSAGE.len());
        }
    }

    const MESSAGE: &str = r#"{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"$KV.F.a","seq":1,"hdrs":"TkFUUy8xLjANCg0K","data":"MQ==","time":"2026-11-23T19:32:47.945809012Z"}}"#;

    #[test]
    fn a_stored_message_is_decoded() {
        let Ok(ApiReply::Success(message)) = StoredMessage::parse(MESSAGE.as_bytes()) else {
            panic!("not a message");
        };
        assert_eq!((message.subject.as_str(), message.seq), ("$KV.F.a", 1));
        assert_eq!(message.hdrs, b"NATS/1.0\r\n\r\n");
        assert_eq!(message.data, "1");
        assert_eq!(message.time.to_string(), "2026-11-23T19:32:47.945809012Z");

        let bare =
            r#"{"message":{"subject":"s","seq":1,"data":null,"time":"2026-11-23T19:32:47Z"}}"#;
        let Ok(ApiReply::Success(message)) = StoredMessage::parse(bare.as_bytes()) else {
            panic!("not a message");
        };
        assert_eq!((message.hdrs, message.data), (vec![], Bytes::new()));
    }

    #[test]
    fn a_missing_message_is_a_failure_and_a_broken_one_an_error() {
        let missing = br#"{"type":"x","error":{"code":404,"err_code":10037,"description":"no message found"}}"#;
        let Ok(ApiReply::Failure(error)) = StoredMessage::parse(missing) else {
            panic!("not a failure");
        };
        assert!(error.is_no_message());
        for (from, to) in [
            ("MQ==", "MQ="),
            ("MQ==", "M-=="),
            ("MQ==", "\\u00fc"),
            ("2026", "0001"),
            ("\"seq\":1,", ""),
            ("\"message\"", "\"massage\""),
        ] {
            let text = MESSAGE.replace(from, to);
            assert!(StoredMessage::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
