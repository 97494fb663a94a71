//! What a session holds stays under `Limits::worst_case_bytes`, whoever pushes:
//! a server before and after the login, or the embedder.
//!
//! The peaks are those of the allocator on this thread, so everything counts:
//! the session, the values that were handed to it, and the read buffers that
//! its embedder keeps for it. A move to a larger buffer counts both of them.

use std::time::Duration;

use crate::bare::{Bare, uncounted};
use crate::support::embedder::{CALL, PUT, World, config, key, limits, link_error, seconds};
use allocation_counter::measure;
use bytes::{Buf, Bytes};
use kv_proto::{Binding, Config, ConnectionState, GetOptions, Key, Limits, LinkErrorKind};

/// Bounds small enough that a leak or a missing term shows.
fn small() -> Limits {
    limits(|limits| {
        limits.max_ops = 256;
        limits.max_pending_bytes = 1024 * 1024;
        limits.max_result_bytes = 1024 * 1024;
        limits.max_message = 128 * 1024;
        limits.max_floor_bytes = 64 * 1024;
    })
}

fn of(limits: &Limits) -> Config {
    config()
        .limits(limits.clone())
        .retry_first_connect(true)
        .request_timeout(seconds(3_600))
}

fn binding() -> Binding {
    uncounted(|| World::with_bucket(config()).1)
}

/// Fails if a run holds more than the limits promise; shows what it held.
fn within(what: &str, limits: &Limits, run: impl FnOnce()) {
    let peak = measure(run).bytes_max;
    let bound = u64::try_from(limits.worst_case_bytes()).unwrap();
    eprintln!("{what}: peak {peak} of {bound} bytes");
    assert!(peak <= bound, "{what}: {peak} bytes, more than {bound}");
}

/// Bytes that stay after many rounds of something that should leave nothing.
fn left_by(warm_up: u32, rounds: u32, mut round: impl FnMut()) -> i64 {
    (0..warm_up).for_each(|_| round());
    measure(|| (0..rounds).for_each(|_| round())).bytes_current
}

/// The reply subject of the last request in what was written.
fn reply_subject(written: &str) -> &str {
    let line = written.lines().rfind(|line| line.contains("_INBOX"));
    let words = line.expect("a request").split(' ');
    words
        .clone()
        .find(|word| word.starts_with("_INBOX"))
        .expect("a reply subject")
}

// ---- (a) before the login ----------------------------------------------------

/// 400 MB from a server that has not let us in: a line without end, an INFO
/// without end, a message that was never asked for, a flood of pings, and
/// garbage, each time on a new connection when the last one was left.
#[test]
fn a_flood_before_the_login() {
    const TOTAL: usize = 400 * MB;
    let limits = Limits::default();
    let openings: [(&str, &[u8], &[u8]); 6] = [
        ("INFO without end", b"INFO {\"a\":\"", b"x"),
        ("line without end", b"+OK", b"x"),
        (
            "message",
            b"INFO {\"headers\":true}\r\nMSG a 1 60000000\r\n",
            b"x",
        ),
        ("garbage", b"", b"\xff\0\r"),
        ("blank lines", b"", b"\r\n"),
        ("pings", b"INFO {\"headers\":true}\r\n", b"PING\r\n"),
    ];
    for (what, opening, filling) in openings {
        let total = TOTAL / if filling.len() > 5 { 100 } else { 1 };
        let chunk = filling.repeat(64 * 1024 / filling.len());
        within(what, &limits, || {
            let mut bare = Bare::new(of(&limits));
            let mut fed = 0;
            let mut last = None;
            while fed < total {
                let link = bare.dial();
                if last.replace(link) != Some(link) {
                    bare.feed(link, opening);
                }
                bare.feed(link, &chunk);
                fed += chunk.len();
            }
        });
    }
}

/// The largest INFO that is read, again and again, with as many servers in it
/// as fit.
#[test]
fn a_flood_of_infos() {
    let limits = Limits::default();
    let urls: Vec<String> = (0..230)
        .map(|n| format!("\"{n}{}:4222\"", "h".repeat(250)))
        .collect();
    let info = format!(
        "INFO {{\"headers\":true,\"connect_urls\":[{}]}}\r\n",
        urls.join(",")
    );
    assert!(info.len() < limits.max_info_line);
    within("INFO lines", &limits, || {
        let mut bare = Bare::new(of(&limits));
        for _ in 0..40 {
            let link = bare.dial();
            bare.feed(link, info.as_bytes());
        }
    });
}

// ---- (b) queues at their limits ------------------------------------------------

/// Writes until nothing more is accepted, with a socket that takes nothing,
/// for values of all sizes and the longest keys.
#[test]
fn as_many_writes_as_are_accepted() {
    let limits = small();
    let bucket = binding();
    let long = "k".repeat(3_000);
    for (what, k, len) in [
        ("empty puts", "k", 0),
        ("puts of 1 KB", "k", 1_000),
        ("puts of 5 KB", "k", 5_000),
        ("puts of 120 KB", "k", 120_000),
        ("long keys", long.as_str(), 0),
    ] {
        within(what, &limits, || {
            let mut bare = Bare::new(of(&limits));
            let link = bare.log_in();
            let mut accepted = 0;
            loop {
                let value = Bytes::from(vec![b'v'; len]);
                let op = bare.session.put(bare.now, &bucket, key(k), value, PUT());
                if op.is_err() {
                    break;
                }
                accepted += 1;
                assert!(bare.session.transmit(link).has_remaining());
            }
            assert!(accepted >= 5, "{accepted}");
        });
    }
}

/// Answers each request of `ask` once, by what `answer` makes of its reply
/// subject, and takes none of the results.
fn untaken(
    what: &str,
    limits: &Limits,
    mut ask: impl FnMut(&mut Bare) -> bool,
    answer: impl Fn(&str, u32) -> Vec<u8>,
) {
    within(what, limits, || {
        let mut bare = Bare::new(of(limits));
        let link = bare.log_in();
        let (mut number, mut sent) = (0, 0);
        // Past the limit the results are dropped.
        while sent < limits.max_result_bytes + 4 * limits.max_message && ask(&mut bare) {
            number += 1;
            let text = bare.written(link);
            let bytes = uncounted(|| answer(reply_subject(&text), number));
            bare.feed(link, &bytes);
            sent += bytes.len();
            uncounted(|| drop((text, bytes)));
        }
        assert_eq!(bare.session.state(), ConnectionState::Connected);
    });
}

fn message(reply: &str, payload: &[u8]) -> Vec<u8> {
    let line = format!("MSG {reply} 1 {}\r\n", payload.len());
    [line.as_bytes(), payload, b"\r\n"].concat()
}

fn direct(reply: &str, revision: u32, value: &[u8]) -> Vec<u8> {
    let block = format!(
        "NATS/1.0\r\nNats-Stream: KV_b\r\nNats-Subject: $KV.b.k\r\nNats-Sequence: {revision}\r\n\
         Nats-Time-Stamp: 2026-11-23T18:48:30Z\r\n\r\n"
    );
    let (head, total) = (block.len(), block.len() + value.len());
    let line = format!("HMSG {reply} 1 {head} {total}\r\n{block}");
    [line.as_bytes(), value, b"\r\n"].concat()
}

fn get(bare: &mut Bare, bucket: &Binding, k: &Key) -> bool {
    let options = GetOptions::default();
    bare.session
        .get(bare.now, bucket, k.clone(), options)
        .is_ok()
}

/// Values that nobody takes, just above and below the size at which they are
/// copied, and large ones.
#[test]
fn values_that_nobody_takes() {
    let (limits, bucket, k) = (small(), binding(), key("k"));
    for len in [100, 16_000, 17_000, 60_000, 120_000] {
        let value = vec![b'v'; len];
        let what = format!("values of {len} bytes");
        untaken(
            &what,
            &limits,
            |bare| get(bare, &bucket, &k),
            |reply, number| direct(reply, number, &value),
        );
    }
}

/// Limits under which results weigh more than everything else.
fn for_results(max_result_bytes: usize) -> Limits {
    limits(|limits| {
        limits.max_ops = 1_024;
        limits.max_pending_bytes = 64 * 1024;
        limits.max_message = 64 * 1024;
        limits.max_result_bytes = max_result_bytes;
    })
}

const MB: usize = 1024 * 1024;

/// Values behind messages for which the read buffer has to grow: a value that
/// is kept must not pin that buffer.
#[test]
fn values_that_nobody_takes_behind_large_messages() {
    let mut limits = for_results(16 * MB);
    limits.max_message = 256 * 1024;
    let (bucket, k) = (binding(), key("k"));
    let (value, stray) = (vec![b'v'; 17_000], vec![b's'; 255_000]);
    untaken(
        "values of 17 KB, each behind a message of 255 KB",
        &limits,
        |bare| get(bare, &bucket, &k),
        |reply, number| [message("nobody", &stray), direct(reply, number, &value)].concat(),
    );
}

/// Pages of names, of the shortest text for each.
#[test]
fn pages_of_names_that_nobody_takes() {
    let names = "\"KV_a\",".repeat(64 * 1024 / 7 - 20);
    let page = format!("{{\"total\":9,\"offset\":0,\"streams\":[{names}\"KV_a\"]}}");
    untaken(
        "pages of names",
        &for_results(16 * MB),
        |bare| bare.session.bucket_names(bare.now, 0, CALL()).is_ok(),
        |reply, _| message(reply, page.as_bytes()),
    );
}

const STREAM: &str = "{\"config\":{\"name\":\"KV_a\",\"max_msgs_per_subject\":1},\
                      \"created\":\"2026-11-23T19:32:47Z\"}";

/// Pages of statuses, of the shortest text for each.
#[test]
fn pages_of_statuses_that_nobody_takes() {
    let streams = format!("{STREAM},").repeat(64 * 1024 / (STREAM.len() + 1) - 2);
    let page = format!("{{\"total\":9,\"offset\":0,\"streams\":[{streams}{STREAM}]}}");
    untaken(
        "pages of statuses",
        &for_results(MB),
        |bare| bare.session.bucket_statuses(bare.now, 0, CALL()).is_ok(),
        |reply, _| message(reply, page.as_bytes()),
    );
}

/// Statuses that nobody takes, with a list in their configuration that is
/// larger in memory than as text.
fn statuses_with(field: &str, item: &str) {
    let items = format!("{item},").repeat(60 * 1024 / (item.len() + 1));
    let status = STREAM.replacen('1', &format!("1,\"{field}\":[{items}{item}]"), 1);
    untaken(
        &format!("statuses with many {field}"),
        &for_results(4 * MB),
        |bare| {
            let bucket = crate::support::embedder::name("a");
            bare.session.status(bare.now, &bucket, CALL()).is_ok()
        },
        |reply, _| message(reply, status.as_bytes()),
    );
}

/// A field that is not known here.
#[test]
fn statuses_with_an_unknown_list() {
    statuses_with("junk", "[]");
}

/// A field of texts.
#[test]
fn statuses_with_many_subjects() {
    statuses_with("subjects", "\"\"");
}

/// A field of objects.
#[test]
fn statuses_with_many_sources() {
    statuses_with("sources", "{}");
}

/// Limits under which one answer of the API weighs more than everything else.
fn for_one_answer() -> Limits {
    limits(|limits| {
        limits.max_ops = 16;
        limits.max_pending_bytes = 64 * 1024;
        limits.max_result_bytes = 64 * 1024;
        limits.max_message = 4 * MB;
    })
}

/// The largest answers of the API, and the most that their JSON can grow to.
#[test]
fn the_largest_answers() {
    let limits = for_one_answer();
    let rows = [
        ("junk", "[]"),
        ("junk", "{\"\":0}"),
        ("junk", "{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":0}}}}}}}"),
        ("subjects", "\"\""),
        ("sources", "{}"),
        ("metadata", "{}"),
    ];
    for (field, item) in rows {
        let items = format!("{item},").repeat((4 * MB - 200) / (item.len() + 1));
        let status = STREAM.replacen('1', &format!("1,\"{field}\":[{items}{item}]"), 1);
        assert!(status.len() <= 4 * MB);
        within(
            &format!("one answer with many {field} {item}"),
            &limits,
            || {
                let mut bare = Bare::new(of(&limits));
                let link = bare.log_in();
                let bucket = crate::support::embedder::name("a");
                let op = bare.session.status(bare.now, &bucket, CALL()).unwrap();
                let text = bare.written(link);
                let bytes = uncounted(|| message(reply_subject(&text), status.as_bytes()));
                bare.feed(link, &bytes);
                bare.session.cancel(op.id());
                uncounted(|| drop((text, bytes)));
            },
        );
    }
}

/// The largest page of a listing.
#[test]
fn the_largest_pages() {
    let limits = for_one_answer();
    for (what, item) in [("names", "\"KV_a\""), ("statuses", STREAM)] {
        let items = format!("{item},").repeat((4 * MB - 300) / (item.len() + 1));
        let page = format!("{{\"total\":9,\"offset\":0,\"streams\":[{items}{item}]}}");
        assert!(page.len() <= 4 * MB);
        within(&format!("one page of {what}"), &limits, || {
            let mut bare = Bare::new(of(&limits));
            let link = bare.log_in();
            let (now, session) = (bare.now, &mut bare.session);
            match what {
                "names" => session.bucket_names(now, 0, CALL()).map(|op| op.id()),
                _ => session.bucket_statuses(now, 0, CALL()).map(|op| op.id()),
            }
            .unwrap();
            let text = bare.written(link);
            let bytes = uncounted(|| message(reply_subject(&text), page.as_bytes()));
            bare.feed(link, &bytes);
            uncounted(|| drop((text, bytes)));
        });
    }
}

// ---- (c), (d), (e): loops that must leave nothing --------------------------------

/// Puts that are cancelled while the socket takes nothing, with and without a
/// frame that was begun before them.
#[test]
fn puts_and_cancels_under_a_stalled_socket() {
    let (limits, bucket) = (small(), binding());
    for (begun, len) in [(0, 100), (1, 100), (0, 100_000), (1, 100_000)] {
        let what = format!("{begun} begun, puts of {len} bytes and cancels");
        within(&what, &limits, || {
            let mut bare = Bare::new(of(&limits));
            let link = bare.log_in();
            let value = |len| Bytes::from(vec![b'v'; len]);
            let first = value(len);
            bare.session
                .put(bare.now, &bucket, key("k"), first, PUT())
                .unwrap();
            bare.session.transmit(link).advance(begun);
            for round in 0..5_000 {
                let op = bare
                    .session
                    .put(bare.now, &bucket, key("k"), value(len), PUT());
                bare.session.cancel(op.unwrap().id());
                if round % 7 == 0 {
                    assert!(bare.session.transmit(link).has_remaining());
                }
            }
        });
    }
}

/// A flood of pings while the socket takes nothing, and while it takes the
/// answers byte by byte.
#[test]
fn pings_under_a_stalled_socket() {
    let limits = small();
    let pings = b"PING\r\n".repeat(1_000);
    for taken in [0, 1] {
        within("pings", &limits, || {
            let mut bare = Bare::new(of(&limits));
            let link = bare.log_in();
            let left = left_by(5, 100, || {
                bare.feed(link, &pings);
                bare.session.transmit(link).advance(taken);
            });
            assert!(left < 64 * 1024, "{left} bytes of answers");
            assert!(bare.session.transmit(link).remaining() < 64);
        });
    }
}

/// Puts that are acknowledged and taken, by an embedder that never looks at
/// events.
#[test]
fn unread_events_do_not_add_up() {
    let bucket = binding();
    let mut bare = Bare::new(of(&small()));
    let link = bare.log_in();
    let mut revision = 0;
    let left = left_by(1_000, 40_000, || {
        let value = Bytes::from_static(b"v");
        let op = bare.session.put(bare.now, &bucket, key("k"), value, PUT());
        revision += 1;
        let text = bare.written(link);
        let ack = uncounted(|| {
            let payload = crate::support::peer::ack("KV_b", revision);
            message(reply_subject(&text), payload.as_bytes())
        });
        bare.feed(link, &ack);
        assert!(matches!(bare.session.take(&op.unwrap()), Some(Ok(_))));
        uncounted(|| drop((text, ack)));
    });
    assert!(left < 64 * 1024, "{left} bytes left by 40,000 puts");
}

/// Puts that end by their deadline and are taken, while there is no
/// connection, or a socket that takes nothing.
#[test]
fn timed_out_operations_do_not_add_up() {
    let bucket = binding();
    for connected in [false, true] {
        let mut bare = Bare::new(of(&small()).ping_interval(seconds(1_000_000)));
        if connected {
            bare.log_in();
        }
        let left = left_by(1_000, 40_000, || {
            let options = PUT().timeout(Duration::from_millis(1));
            let value = Bytes::from_static(b"v");
            let op = bare
                .session
                .put(bare.now, &bucket, key("k"), value, options);
            bare.now = bare.now + Duration::from_millis(1);
            bare.session.handle_timeout(bare.now);
            assert!(matches!(bare.session.take(&op.unwrap()), Some(Err(_))));
        });
        let state = bare.session.state();
        assert!(
            left < 64 * 1024,
            "{state:?}: {left} bytes left by 40,000 puts"
        );
    }
}

/// Connections that are made and lost, with operations that wait, by an
/// embedder that never looks at events; and dials that nobody carries out.
#[test]
fn reconnections_do_not_add_up() {
    let bucket = binding();
    let mut bare = Bare::new(of(&small()));
    bare.log_in();
    let value = Bytes::from_static(b"v");
    for _ in 0..50 {
        let op = bare
            .session
            .put(bare.now, &bucket, key("k"), value.clone(), PUT());
        op.unwrap();
    }
    let left = left_by(100, 2_000, || {
        let link = bare.link.take().expect("a socket");
        let error = link_error(LinkErrorKind::Read);
        bare.session.handle_closed(bare.now, link, error);
        bare.log_in();
    });
    assert!(left < 64 * 1024, "{left} bytes left by 2,000 reconnections");

    let mut session = Bare::new(of(&small())).session;
    let left = left_by(100, 20_000, || {
        let next = session.poll_timeout().expect("a dial is due");
        session.handle_timeout(next);
    });
    assert!(left < 64 * 1024, "{left} bytes left by unmade dials");
}

// ---- what is copied ------------------------------------------------------------

/// Bytes that are allocated, and so copied, for each byte of a message: no more for a larger one, in whatever pieces
/// it comes.
#[test]
fn a_large_message_is_copied_a_few_times_at_most() {
    for (chunk, lens) in [
        (1, &[MB / 4, MB][..]),
        (1_000, &[MB, 16 * MB]),
        (64 * 1024, &[MB, 8 * MB, 60 * MB]),
    ] {
        for len in lens {
            let bytes = uncounted(|| message("nobody.asked", &vec![b'v'; *len]));
            let mut bare = Bare::new(of(&Limits::default()));
            let link = bare.log_in();
            let allocated = measure(|| {
                for piece in bytes.chunks(chunk) {
                    bare.feed(link, piece);
                }
            });
            assert_eq!(bare.session.stats().stray_messages, 1);
            let copies = allocated.bytes_total / u64::try_from(*len).unwrap();
            assert!(copies <= 4, "{len} bytes by {chunk}: {copies}");
        }
    }
}
