//! Header blocks of messages, which are written by whoever writes to a bucket.
//!
//! What is found, and the first defect, is what a second parser finds, which is obvious instead of fast.

use kv_proto::Limits;
use kv_proto::fuzzing::{Heartbeat, heartbeat};
use kv_proto::wire::Headers;

use crate::number;
use crate::wire::reference::{Field, reference_headers};

/// The whole input is the block.
pub fn check(data: &[u8]) {
    for most in [Limits::default().max_header_lines, 3] {
        let limits = Limits {
            max_header_lines: most,
            ..Limits::default()
        };
        block(data, &limits);
    }
}

fn block(data: &[u8], limits: &Limits) {
    let headers = Headers::parse(data, limits);
    let (expected, defects) = reference_headers(data, limits);
    assert_eq!(headers.defect(), defects.first().copied());
    let mut fields = headers.iter();
    let mut found: Vec<Field> = Vec::new();
    for (name, value) in fields.by_ref() {
        for part in [name, value] {
            assert!(lies_in(part, data), "copied from elsewhere");
            assert!(!part.contains(&b'\r') && !part.contains(&b'\n'));
        }
        found.push((name.to_vec(), value.to_vec()));
    }
    assert_eq!(
        headers.defect(),
        fields.defect(),
        "a defect is told wherever one looks"
    );
    assert_eq!(found, expected);
    for (name, _) in &found {
        let Ok(text) = std::str::from_utf8(name) else {
            continue;
        };
        let of_name = || found.iter().filter(|field| field.0 == *name);
        let first = of_name().next().map(|field| &*field.1);
        assert_eq!(headers.first(text), first);
        assert_eq!(
            headers.last(text),
            of_name().next_back().map(|field| &*field.1)
        );
    }
    if let Some(status) = headers.status() {
        assert!(status.code <= 999 && lies_in(status.description, data));
    }
    assert_eq!(heartbeat(&headers), beat(&headers, &found));
}

/// The heartbeat that a block is: its numbers are as servers write them, and the last of each name counts.
fn beat<'a>(headers: &Headers<'a>, fields: &'a [Field]) -> Option<Heartbeat<'a>> {
    let status = headers.status()?;
    if (status.code, status.description) != (100, b"Idle Heartbeat") {
        return None;
    }
    let last = |name: &str| {
        let mut of_name = fields.iter().filter(|field| field.0 == name.as_bytes());
        of_name.next_back().map(|field| &*field.1)
    };
    Some(Heartbeat {
        last_consumer: number(last("Nats-Last-Consumer")?)?,
        last_stream: last("Nats-Last-Stream").and_then(number).unwrap_or(0),
        stalled: last("Nats-Consumer-Stalled"),
    })
}

fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr())
}
