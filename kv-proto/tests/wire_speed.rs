//! What decoding costs, against a scan that only finds where frames end.
//! Ignored by default, because a debug build or a busy machine proves nothing:
//! `cargo test --release --test wire_speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use kv_proto::Limits;
use kv_proto::wire::{Decoder, Headers, ServerOp};

/// The frames that make up nearly all traffic of key-value clients, in the
/// sizes that a benchmark with 100-byte values meets.
fn frames() -> [(&'static str, Vec<u8>); 3] {
    let value = "v".repeat(100);
    let watch = format!(
        "MSG $KV.bench.key.0012345 1 $JS.ACK.KV_bench.zXyT8BqL.1.12345.12345.1795461251222870811.87655 100\r\n{value}\r\n"
    );
    let ack =
        "MSG _INBOX.tEp1xQ0vHn5WfCq2.k3Ab9Zx 1 31\r\n{\"stream\":\"KV_bench\",\"seq\":12345}\r\n"
            .replace(" 31\r", " 33\r");
    let block = "NATS/1.0\r\nNats-Stream: KV_bench\r\nNats-Subject: $KV.bench.key.0012345\r\n\
                 Nats-Sequence: 12345\r\nNats-Time-Stamp: 2026-11-23T19:14:11.222870811Z\r\n\r\n";
    let direct = format!(
        "HMSG _INBOX.tEp1xQ0vHn5WfCq2.k3Ab9Zx 1 {} {}\r\n{block}{value}\r\n",
        block.len(),
        block.len() + value.len()
    );
    [
        ("watch", watch.into_bytes()),
        ("ack", ack.into_bytes()),
        ("direct get", direct.into_bytes()),
    ]
}

/// The least that any client must do: find the line end, read the last number.
fn framing_only(input: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', input)?;
    let mut size = 0_usize;
    let mut scale = 1;
    for byte in input.get(..end.checked_sub(1)?)?.iter().rev() {
        if *byte == b' ' {
            break;
        }
        size += usize::from(byte - b'0') * scale;
        scale *= 10;
    }
    let len = end + 1 + size + 2;
    (input.get(len - 2..len)? == b"\r\n").then_some(len)
}

const COPIES: usize = 64;

/// Nanoseconds per frame: the best of many short rounds over a stream of
/// copies, which no interruption can make too small.
fn best(stream: &[u8], mut step: impl FnMut(&[u8]) -> usize) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..20_000 {
        let start = Instant::now();
        let mut rest = black_box(stream);
        while !rest.is_empty() {
            let len = step(rest);
            rest = &rest[len..];
        }
        best = best.min(start.elapsed().as_nanos() as f64 / COPIES as f64);
    }
    best
}

#[test]
#[ignore = "measures time; run it in a release build"]
fn decoding_stays_near_a_framing_only_scan() {
    let limits = Limits::default();
    let mut slow = Vec::new();
    for (name, frame) in frames() {
        let stream = frame.repeat(COPIES);
        let floor = best(&stream, |rest| framing_only(rest).unwrap());
        let mut decoder = Decoder::new();
        let decode = best(&stream, |rest| {
            let frame = decoder.next(rest, &limits).unwrap().unwrap();
            black_box(frame).len
        });
        let with_fields = best(&stream, |rest| {
            let frame = decoder.next(rest, &limits).unwrap().unwrap();
            if let ServerOp::Message(message) = frame.op
                && let Some(block) = message.headers
            {
                let headers = Headers::parse(block, &limits);
                assert_eq!(headers.defect(), None);
                for field in headers.iter() {
                    black_box(field);
                }
            }
            black_box(frame).len
        });
        let ratio = decode / floor;
        println!(
            "{name:11} {:4} B: framing {floor:5.1} ns, decoded {decode:5.1} ns ({ratio:.1} x), \
             headers read too {with_fields:5.1} ns",
            frame.len()
        );
        if ratio > 4.0 {
            slow.push(name);
        }
    }
    assert!(slow.is_empty(), "above four framing-only scans: {slow:?}");
}
