//! What a hostile server can make the wire layer hold or compute: each of
//! these took down, or filled the memory of, some client of the field.

#![allow(clippy::disallowed_methods, reason = "some tests measure time")]

use std::time::{Duration, Instant};

use crate::support::*;
use kv_proto::wire::{
    Decoder, HeaderDefect, Headers, JsonErrorKind, ServerInfo, ServerOp, decode_frame,
};
use kv_proto::{Limits, ProtocolError};

/// Sends `head`, then `filler` without end, in reads of 1,000 bytes. Returns
/// the error and how many bytes had arrived when it came.
fn flood(head: &[u8], filler: u8) -> (ProtocolError, usize) {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    let mut input = head.to_vec();
    loop {
        assert!(
            input.len() < 1_000_000,
            "no error after {} bytes",
            input.len()
        );
        match decoder.next(&input, &limits) {
            Ok(None) => input.resize(input.len() + 1_000, filler),
            Ok(Some(frame)) => panic!("{frame:?}"),
            Err(error) => return (error, input.len()),
        }
    }
}

#[test]
fn lines_without_end() {
    let limits = Limits::default();
    let limit = limits.max_info_line;
    let (error, held) = flood(b"INFO {\"server_id\":\"", b'x');
    assert_eq!(error, ProtocolError::InfoTooLong { limit });
    assert!(held <= limit + 1_000);

    let limit = limits.max_control_line;
    for head in [&b""[..], b"MSG a 1", b"-ERR '", b"PING ", b"INFX", b"\0"] {
        for filler in [b'x', b' ', b'\r', 0xff] {
            let (error, held) = flood(head, filler);
            assert_eq!(error, ProtocolError::LineTooLong { limit });
            assert!(held <= limit + 1_000);
        }
    }
}

#[test]
fn lines_at_their_limits() {
    let limits = Limits::default();
    let line = |verb: &str, len: usize| {
        let mut line = verb.as_bytes().to_vec();
        line.resize(len, b' ');
        line.push(b'\n');
        line
    };
    let ping = line("PING", limits.max_control_line);
    assert_eq!(decode_frame(&ping, &limits), Ok(ServerOp::Ping));
    let limit = limits.max_control_line;
    assert_eq!(
        decode_frame(&line("PING", limit + 1), &limits),
        Err(ProtocolError::LineTooLong { limit })
    );
    let limit = limits.max_info_line;
    assert_eq!(
        decode_frame(&line("info", limit), &limits),
        Ok(ServerOp::Info(b""))
    );
    assert_eq!(
        decode_frame(&line("INFO", limit + 1), &limits),
        Err(ProtocolError::InfoTooLong { limit })
    );
}

#[test]
fn sizes_are_refused_before_any_payload_is_awaited() {
    let limits = Limits::default();
    let limit = limits.max_message;
    for size in [
        u64::MAX,
        u64::MAX - 4,
        u64::MAX - 1,
        i64::MAX as u64,
        1 << 32,
        1_900_000_000,
        limit as u64 + 1,
    ] {
        let error = ProtocolError::SizeTooLarge { size, limit };
        for line in [
            format!("MSG x 1 {size}\r\n"),
            format!("HMSG x 1 r 12 {size}\r\n"),
        ] {
            let found = Decoder::new().next(line.as_bytes(), &limits);
            assert_eq!(found, Err(error.clone()), "{line}");
        }
    }
    let at_limit = format!("MSG x 1 {limit}\r\n");
    let mut decoder = Decoder::new();
    assert_eq!(decoder.next(at_limit.as_bytes(), &limits), Ok(None));
    assert_eq!(decoder.missing(at_limit.len()), limit + 2);
}

#[test]
fn header_sizes_are_refused_before_any_header_is_awaited() {
    let limits = Limits::default();
    let limit = limits.max_header_bytes;
    let next = |line: String| Decoder::new().next(line.as_bytes(), &limits).map(|_| ());
    let size = limit as u64 + 1;
    assert_eq!(
        next(format!("HMSG x 1 {size} {size}\r\n")),
        Err(ProtocolError::HeaderTooLarge { size, limit })
    );
    assert_eq!(next(format!("HMSG x 1 {limit} {limit}\r\n")), Ok(()));
    for line in [
        "HMSG x 1 13 12\r\n",
        "HMSG x 1 1 0\r\n",
        "HMSG x 1 18446744073709551615 12\r\n",
    ] {
        assert_eq!(
            next(line.into()),
            Err(ProtocolError::HeaderLongerThanMessage),
            "{line}"
        );
    }
}

#[test]
fn nothing_is_accepted_where_nothing_is_allowed() {
    let limits = Limits {
        max_message: 0,
        max_header_bytes: 0,
        ..Limits::default()
    };
    assert!(matches!(
        Decoder::new().next(b"MSG x 1 1\r\n", &limits),
        Err(ProtocolError::SizeTooLarge { size: 1, limit: 0 })
    ));
    assert!(decode_frame(b"MSG x 1 0\r\n\r\n", &limits).is_ok());
}

#[test]
fn an_error_without_text() {
    let limits = Limits::default();
    for line in [&b"-ERR\r\n"[..], b"-ERR \r\n", b"-ERR ''\r\n", b"-ERR '\n"] {
        assert_eq!(decode_frame(line, &limits), Ok(ServerOp::Err(b"")));
    }
}

#[test]
fn an_empty_reply_is_none() {
    let line = b"MSG $JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.KV_B 2  2\r\n{}\r\n";
    let Ok(ServerOp::Message(message)) = decode_frame(line, &Limits::default()) else {
        panic!("not a message");
    };
    assert_eq!(
        (message.sid, message.reply, message.payload),
        (2, None, &b"{}"[..])
    );
}

/// Generous, because builds and machines differ; what is quadratic here needs
/// minutes in a debug build.
const SOON: Duration = Duration::from_secs(5);

#[test]
fn half_a_million_header_lines() {
    let block = format!("NATS/1.0\r\n{}\r\n", "A: b\r\n".repeat(500_000));
    let limits = Limits::default();
    let line = format!("HMSG x 1 {} {}\r\n", block.len(), block.len());
    assert!(matches!(
        Decoder::new().next(line.as_bytes(), &limits),
        Err(ProtocolError::HeaderTooLarge { .. })
    ));

    let start = Instant::now();
    let headers = Headers::parse(block.as_bytes(), &limits);
    let limit = limits.max_header_lines;
    assert_eq!(headers.defect(), Some(HeaderDefect::TooManyLines { limit }));
    assert_eq!(headers.last("A"), Some(&b"b"[..]));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_hundred_thousand_addresses() {
    let mut limits = Limits::default();
    let urls: Vec<_> = (0..100_000).map(|n| format!("\"10.0.0.1:{n}\"")).collect();
    let json = format!(r#"{{"connect_urls":[{}],"ldm":true}}"#, urls.join(","));
    let limit = limits.max_info_line;
    assert_eq!(
        ServerInfo::parse(json.as_bytes(), &limits),
        Err(ProtocolError::InfoTooLong { limit })
    );

    limits.max_info_line = json.len();
    let start = Instant::now();
    let info = ServerInfo::parse(json.as_bytes(), &limits).expect("valid JSON");
    assert_eq!(info.connect_urls.len(), 256);
    assert!(info.ldm);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn addresses_that_are_too_long_are_left_out() {
    let long = "x".repeat(20_000);
    let json = format!(r#"{{"connect_urls":["{long}","a:1","{long}"]}}"#);
    let info = ServerInfo::parse(json.as_bytes(), &Limits::default()).expect("valid JSON");
    assert_eq!(info.connect_urls, ["a:1"]);
}

#[test]
fn json_bombs() {
    let limits = Limits {
        max_info_line: usize::MAX,
        ..Limits::default()
    };
    for opening in ["[", "{\"a\":", "[{\"a\":"] {
        let bomb = format!("{{\"x\":{}", opening.repeat(200_000));
        match ServerInfo::parse(bomb.as_bytes(), &limits) {
            Err(ProtocolError::BadInfo(error)) => assert_eq!(error.kind, JsonErrorKind::TooDeep),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn errors_hold_little_of_what_the_server_said() {
    let limits = Limits::default();
    let verb = "é\u{1b}[2J".repeat(1_000);
    let line = format!("{verb} SECRET\r\n");
    let error = decode_frame(line.as_bytes(), &limits).unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(
            text.len() < 200 && text.is_ascii() && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_info_is_an_answer_or_an_error(stream in damaged(corpus("s2c-streams"))) {
        let limits = Limits::default();
        let line = stream.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let json = line.get(5..).unwrap_or_default();
        if let Ok(info) = ServerInfo::parse(json, &limits) {
            assert!(info.connect_urls.len() <= 256);
        }
    }
}
