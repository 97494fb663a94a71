//! What decoding costs, against a scan that only finds where frames end:
//! `cargo bench -p kv-proto --bench wire`. Fails if it costs too many of them.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::unwrap_used, reason = "the frames are our own")]

use std::hint::black_box;
use std::time::Instant;

use kv_proto::Limits;
use kv_proto::wire::{Decoder, Headers, ServerOp};

/// The frames that make up nearly all traffic of key-value clients, in the
/// sizes that a benchmark with 100-byte values meets; and how many framing-only
/// scans decoding one may cost.
fn frames() -> [(&'static str, f64, Vec<u8>); 3] {
    let value = "v".repeat(100);
    let watch = format!(
        "MSG $KV.bench.key.0012345 1 $JS.ACK.KV_bench.zXyT8BqL.1.12345.12345.1795461251222870811.87655 100\r\n{value}\r\n"
    );
    let ack =
        "MSG _INBOX.tEp1xQ0vHn5WfCq2.k3Ab9Zx 1 33\r\n{\"stream\":\"KV_bench\",\"seq\":12345}\r\n";
    let block = "NATS/1.0\r\nNats-Stream: KV_bench\r\nNats-Subject: $KV.bench.key.0012345\r\n\
                 Nats-Sequence: 12345\r\nNats-Time-Stamp: 2026-11-23T19:14:11.222870811Z\r\n\r\n";
    let direct = format!(
        "HMSG _INBOX.tEp1xQ0vHn5WfCq2.k3Ab9Zx 1 {} {}\r\n{block}{value}\r\n",
        block.len(),
        block.len() + value.len()
    );
    [
        ("watch", 4.0, watch.into_bytes()),
        ("ack", 3.5, ack.into()),
        ("direct get", 4.0, direct.into_bytes()),
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

/// Takes the frame at the front of its argument and returns its length.
type Way<'a> = &'a mut dyn FnMut(&[u8]) -> usize;

/// Nanoseconds per frame of one pass over a stream of copies.
#[allow(clippy::disallowed_methods, reason = "time is what is measured")]
fn pass(stream: &[u8], step: Way<'_>) -> f64 {
    let start = Instant::now();
    let mut rest = black_box(stream);
    while !rest.is_empty() {
        let len = step(rest);
        rest = &rest[len..];
    }
    start.elapsed().as_nanos() as f64 / COPIES as f64
}

/// The best of many passes for each way, taken in turns: no interruption can
/// make them too small, and all ways meet the same machine.
fn best<const N: usize>(stream: &[u8], mut ways: [Way<'_>; N]) -> [f64; N] {
    let mut best = [f64::MAX; N];
    for _ in 0..20_000 {
        for (best, way) in best.iter_mut().zip(&mut ways) {
            *best = best.min(pass(stream, way));
        }
    }
    best
}

fn main() {
    let limits = Limits::default();
    let mut slow = Vec::new();
    for (name, bar, frame) in frames() {
        let stream = frame.repeat(COPIES);
        let mut scan = |rest: &[u8]| framing_only(rest).unwrap();
        let mut decoder = Decoder::new();
        let mut decode = |rest: &[u8]| {
            // Looked at in place: moving a frame costs a third of decoding it.
            let found = decoder.next(rest, &limits);
            match black_box(&found) {
                Ok(Some(frame)) => frame.len,
                other => panic!("{other:?}"),
            }
        };
        let mut decoder = Decoder::new();
        let mut read = |rest: &[u8]| {
            let frame = decoder.next(rest, &limits).unwrap().unwrap();
            if let ServerOp::Message(message) = frame.op
                && let Some(block) = message.headers
            {
                let mut fields = Headers::parse(block, &limits).iter();
                for field in fields.by_ref() {
                    black_box(field);
                }
                assert_eq!(fields.defect(), None);
            }
            black_box(&frame).len
        };
        let [floor, decode, read] = best(&stream, [&mut scan, &mut decode, &mut read]);
        let ratio = decode / floor;
        println!(
            "{name:11} {:4} B: framing {floor:5.1} ns, decoded {decode:5.1} ns ({ratio:.1} x), \
             headers read too {read:5.1} ns",
            frame.len()
        );
        if ratio > bar {
            slow.push(name);
        }
    }
    assert!(slow.is_empty(), "too many framing-only scans: {slow:?}");
}
