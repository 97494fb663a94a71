//! What a push consumer sends: messages, whose position is in their reply
//! subject, and notices about the consumer itself.
//!
//! Whoever writes to a bucket controls the headers of what is delivered, even
//! their status line. The reply subject is the server's, and so is the subject
//! of a notice: the consumer's deliver subject, which no stored message has.

use super::message::parse_sequence;
use crate::time::Timestamp;
use crate::wire::Headers;

/// What the reply subject of a delivered message says: not spoofable by
/// writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery<'a> {
    /// The name of the consumer.
    pub(crate) consumer: &'a [u8],
    /// The sequence of the message in its stream.
    pub(crate) stream_seq: u64,
    /// The consumer's count of deliveries, from 1, without gaps.
    pub(crate) consumer_seq: u64,
    /// When the message was stored.
    pub(crate) stored: Timestamp,
    /// How many messages the server knew to follow.
    pub(crate) pending: u64,
}

impl<'a> Delivery<'a> {
    /// Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer
    /// seq>.<time>.<pending>`, or the longer form that names domain and account
    /// before the stream and may have more behind `pending`.
    pub(crate) fn parse(reply: &'a [u8]) -> Option<Self> {
        let (_, rest) = token(reply.strip_prefix(b"$JS.ACK.")?)?;
        // Between servers a reply subject has another one behind an `@`.
        let ends = |rest: &[u8]| match rest {
            [] => true,
            [b'@', other @ ..] => !other.contains(&b'.'),
            _ => false,
        };
        if let Some((delivery, rest)) = Self::from_consumer(rest)
            && ends(rest)
        {
            return Some(delivery);
        }
        let (_account, rest) = token(rest)?;
        let (_stream, rest) = token(rest)?;
        let (delivery, rest) = Self::from_consumer(rest)?;
        matches!(rest, [] | [b'.' | b'@', ..]).then_some(delivery)
    }

    /// Reads it from the consumer on; returns what is left as well.
    fn from_consumer(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (consumer, rest) = token(text)?;
        let (_deliveries, rest) = number(rest)?;
        let (stream_seq, rest) = number(rest.strip_prefix(b".")?)?;
        let (consumer_seq, rest) = number(rest.strip_prefix(b".")?)?;
        let (stored, rest) = number(rest.strip_prefix(b".")?)?;
        let (pending, rest) = number(rest.strip_prefix(b".")?)?;
        let delivery = Self {
            consumer,
            stream_seq,
            consumer_seq,
            stored: Timestamp::from_unix_nanos(i64::try_from(stored).ok()?),
            pending,
        };
        Some((delivery, rest))
    }
}

/// Splits after the first token, and the dot behind it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'.')?;
    let (token, rest) = text.split_at_checked(end)?;
    Some((token, rest.get(1..)?))
}

/// Splits after a number, which is as servers write it. A watch reads five with each entry, hence the plain loop.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut value, mut rest) = (0_u64, text);
    while let [digit @ b'0'..=b'9', more @ ..] = rest {
        value = value
            .checked_mul(10)?
            .checked_add(u64::from(digit & 0x0f))?;
        rest = more;
    }
    let is_canonical = match text {
        [b'0', b'0'..=b'9', ..] => false,
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    is_canonical.then_some((value, rest))
}

/// A status message of a push consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice<'a> {
    /// The consumer is alive and has nothing to send.
    Heartbeat {
        /// The consumer sequence of the last message that it sent.
        last_consumer: u64,
        /// The stream sequence behind which it looks next: what is up to there
        /// was delivered, or is not for it. 0 if the server does not tell.
        last_stream: u64,
        /// The flow control request that it waits for, should that be lost.
        stalled: Option<&'a [u8]>,
    },
    /// The consumer wants an answer to the reply subject once everything sent
    /// before is consumed.
    FlowControl,
    /// Another status.
    Other(u16),
}

/// Reads a header block as a notice; `None` if it has no status line. To be
/// asked only of what arrived under the deliver subject: a writer can store
/// any status line.
pub(crate) fn notice<'a>(headers: &Headers<'a>) -> Option<Notice<'a>> {
    let status = headers.status()?;
    let notice = match (status.code, status.description) {
        (100, b"Idle Heartbeat") => heartbeat(headers),
        (100, b"FlowControl Request") => Some(Notice::FlowControl),
        _ => None,
    };
    Some(notice.unwrap_or(Notice::Other(status.code)))
}

fn heartbeat<'a>(headers: &Headers<'a>) -> Option<Notice<'a>> {
    let (mut last_consumer, mut last_stream, mut stalled) = (None, None, None);
    for (name, value) in headers.iter() {
        match name {
            b"Nats-Last-Consumer" => last_consumer = parse_sequence(value),
            b"Nats-Last-Stream" => last_stream = parse_sequence(value),
            b"Nats-Consumer-Stalled" => stalled = Some(value),
            _ => {}
        }
    }
    Some(Notice::Heartbeat {
        last_consumer: last_consumer?,
        last_stream: last_stream.unwrap_or_default(),
        stalled,
    })
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::Limits;

    fn parse(reply: &str) -> Option<Delivery<'_>> {
        Delivery::parse(reply.as_bytes())
    }

    #[test]
    fn both_forms_of_real_servers() {
        let old = Delivery {
            consumer: b"c1",
            stream_seq: 7,
            consumer_seq: 1,
            stored: Timestamp::from_unix_nanos(1_795_460_022_974_294_480),
            pending: 2,
        };
        let text = "$JS.ACK.KV_B.c1.1.7.1.1795460022974294480.2";
        assert_eq!(parse(text), Some(old));
        let new = Delivery {
            consumer: b"c1",
            stream_seq: 1,
            consumer_seq: 1,
            stored: Timestamp::from_unix_nanos(1_795_462_129_189_724_431),
            pending: 0,
        };
        let text = "$JS.ACK._.szMpdrwD.KV_B.c1.1.1.1.1795462129189724431.0";
        assert_eq!(parse(text), Some(new));
        assert_eq!(parse(&format!("{text}.r4nD0m")), Some(new));
        assert_eq!(parse(&format!("{text}@$KV.B.a")), Some(new));
    }

    /// The recorded deliveries of one consumer are numbered from 1 on, and
    /// count down what is pending.
    #[test]
    fn recorded_deliveries_parse() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/corpus/reply-subjects.txt"
        );
        let text = fs::read_to_string(path).expect("the recorded subjects");
        let mut last: Option<Delivery<'_>> = None;
        let mut count = 0;
        for line in text.lines().filter(|line| line.starts_with('$')) {
            let delivery = parse(line).expect(line);
            match last.filter(|last| last.consumer == delivery.consumer) {
                Some(last) => {
                    assert_eq!(delivery.consumer_seq, last.consumer_seq + 1, "{line}");
                    assert_eq!(delivery.pending, last.pending - 1, "{line}");
                    assert!(delivery.stream_seq > last.stream_seq, "{line}");
                    assert!(delivery.stored > last.stored, "{line}");
                }
                None => assert_eq!(delivery.consumer_seq, 1, "{line}"),
            }
            last = Some(delivery);
            count += 1;
        }
        assert!(count >= 40, "only {count}");
    }

    /// The tokens of either form that hold numbers, from the deliveries on.
    fn arb_numbers() -> impl Strategy<Value = [u64; 5]> {
        let any_number = || prop_oneof![0..20_u64, Just(u64::MAX), any::<u64>()];
        let time = 0..=i64::MAX.unsigned_abs();
        (any_number(), any_number(), any_number(), time, any_number()).prop_map(
            |(deliveries, stream, consumer, time, pending)| {
                [deliveries, stream, consumer, time, pending]
            },
        )
    }

    fn arb_token() -> impl Strategy<Value = String> {
        "[A-Za-z0-9_@-]{1,8}"
    }

    fn agree(text: &str, expected: Option<Delivery<'_>>) -> Result<(), TestCaseError> {
        prop_assert_eq!(parse(text), expected, "{}", text);
        Ok(())
    }

    proptest! {
        /// What a server formats is read back; each token more or less, and
        /// each number spoiled, is refused.
        #[test]
        fn parse_is_the_inverse_of_format(
            names in proptest::array::uniform4(arb_token()),
            numbers in arb_numbers(),
            at in prop_oneof![Just(String::new()), "@[a-z$]{0,4}"],
            further in prop_oneof![Just(String::new()), "(\\.[a-z0-9@]{0,4}){1,3}"],
            spoiled in 0..5_usize,
            spoil in prop_oneof![Just("+"), Just("-"), Just("0"), Just("x"), Just(" "), Just("99999999999999999999")],
        ) {
            let [domain, account, stream, consumer] = &names;
            let [_, stream_seq, consumer_seq, stored, pending] = numbers;
            let expected = Delivery {
                consumer: consumer.as_bytes(),
                stream_seq,
                consumer_seq,
                stored: Timestamp::from_unix_nanos(i64::try_from(stored).expect("an i64")),
                pending,
            };
            let tail = |numbers: &[String]| numbers.join(".");
            let mut texts = numbers.map(|number| format!("{number}"));
            let plain = tail(&texts);
            let old = format!("$JS.ACK.{stream}.{consumer}.{plain}");
            let new = format!("$JS.ACK.{domain}.{account}.{stream}.{consumer}.{plain}");
            agree(&format!("{old}{at}"), Some(expected))?;
            agree(&format!("{new}{at}{further}"), Some(expected))?;

            let ten = format!("$JS.ACK.{domain}.{stream}.{consumer}.{plain}");
            agree(&ten, None)?;
            let eight = format!("$JS.ACK.{consumer}.{plain}");
            agree(&eight, None)?;
            agree(&old.replace("$JS.ACK", "$JS.FC"), None)?;
            agree(old.trim_start_matches('$'), None)?;

            texts[spoiled].insert_str(0, spoil);
            let broken = tail(&texts);
            agree(&format!("$JS.ACK.{stream}.{consumer}.{broken}"), None)?;
            let broken = format!("$JS.ACK.{domain}.{account}.{stream}.{consumer}.{broken}{further}");
            agree(&broken, None)?;
            texts[spoiled].clear();
            let empty = tail(&texts);
            agree(&format!("$JS.ACK.{stream}.{consumer}.{empty}"), None)?;
        }

        /// No bytes panic, and what is read has the right number of tokens.
        #[test]
        fn parsing_is_total(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            text in "(\\$JS\\.ACK\\.)?([0-9a-c@]{0,2}\\.){4,11}[0-9@]{0,2}",
        ) {
            let _ = Delivery::parse(&bytes);
            let _ = notice(&Headers::parse(&bytes, &Limits::default()));
            if parse(&text).is_some() {
                let tokens = text.split('.').count();
                prop_assert!(tokens == 9 || tokens >= 11);
                prop_assert!(text.starts_with("$JS.ACK."));
            }
        }
    }

    #[test]
    fn a_time_fits_an_i64() {
        let with = |time: u64| format!("$JS.ACK.S.c.1.1.1.{time}.0");
        let end = i64::MAX.unsigned_abs();
        assert!(parse(&with(end)).is_some());
        assert_eq!(parse(&with(end + 1)), None);
    }

    fn read(block: &str) -> Option<Notice<'_>> {
        notice(&Headers::parse(block.as_bytes(), &Limits::default()))
    }

    #[test]
    fn notices_of_real_servers() {
        let beat = |last_consumer, stalled| {
            Some(Notice::Heartbeat {
                last_consumer,
                last_stream: 7,
                stalled,
            })
        };
        let block =
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 5\r\nNats-Last-Stream: 7\r\n\r\n";
        assert_eq!(read(block), beat(5, None));
        let block = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Last-Stream: 7\r\n\
                     Nats-Consumer-Stalled: $JS.FC.KV_B.c1.aBcD\r\n\r\n";
        assert_eq!(read(block), beat(0, Some(b"$JS.FC.KV_B.c1.aBcD")));
        let block = "NATS/1.0 100 FlowControl Request\r\n\r\n";
        assert_eq!(read(block), Some(Notice::FlowControl));
    }

    #[test]
    fn other_statuses_and_none() {
        for (block, expected) in [
            ("NATS/1.0\r\n\r\n", None),
            ("NATS/1.0\r\nNats-Last-Consumer: 5\r\n\r\n", None),
            ("", None),
            ("NATS/1.0 503\r\n\r\n", Some(Notice::Other(503))),
            (
                "NATS/1.0 409 Consumer Deleted\r\n\r\n",
                Some(Notice::Other(409)),
            ),
            ("NATS/1.0 100\r\n\r\n", Some(Notice::Other(100))),
            (
                "NATS/1.0 409 FlowControl Request\r\n\r\n",
                Some(Notice::Other(409)),
            ),
            (
                "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
                Some(Notice::Other(100)),
            ),
            (
                "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Stream: 5\r\n\r\n",
                Some(Notice::Other(100)),
            ),
            (
                "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: -5\r\n\r\n",
                Some(Notice::Other(100)),
            ),
            (
                "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 18446744073709551616\r\n\r\n",
                Some(Notice::Other(100)),
            ),
        ] {
            assert_eq!(read(block), expected, "{block:?}");
        }
    }
}
