//! What a session holds stays under `Limits::worst_case_bytes`, with watches,
//! whatever a server sends for them; see `session.rs`.

use std::fmt::Write as _;

use crate::bare::{Bare, uncounted};
use crate::support::consumers::frame;
use crate::support::embedder::{World, config, limits, seconds};
use allocation_counter::measure;
use bytes::Buf;
use kv_proto::{Binding, Config, KeyFilter, Limits, LinkId, MAX_FILTERS, WatchId, WatchOptions};

/// Bounds small enough that a leak or a missing term shows.
fn small() -> Limits {
    limits(|limits| {
        limits.max_ops = 16;
        limits.max_pending_bytes = 256 * 1024;
        limits.max_result_bytes = 64 * 1024;
        limits.max_message = 64 * 1024;
        limits.max_watches = 64;
        limits.max_watch_bytes = 1024 * 1024;
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

/// What a server knows of a feed.
struct Fed {
    watch: WatchId,
    sid: String,
    deliver: String,
    consumer: String,
    received: u64,
}

/// Starts a watch, and reads what its feed is called.
fn start(bare: &mut Bare, link: LinkId, bucket: &Binding, options: WatchOptions) -> (Fed, String) {
    let watch = bare.session.watch(bare.now, bucket, options).unwrap();
    let text = bare.written(link);
    uncounted(|| {
        let line = |start: &str| text.lines().rfind(|line| line.starts_with(start)).unwrap();
        let sub: Vec<&str> = line("SUB ").split(' ').collect();
        let create: Vec<&str> = line("PUB $JS.API.CONSUMER.CREATE").split(' ').collect();
        let consumer = create[1].split('.').nth(5).unwrap();
        let fed = Fed {
            watch,
            sid: sub[2].to_owned(),
            deliver: sub[1].to_owned(),
            consumer: consumer.to_owned(),
            received: 0,
        };
        (fed, create[2].to_owned())
    })
}

/// Answers the creation and the look at the stream.
fn verify(bare: &mut Bare, link: LinkId, fed: &Fed, reply: &str) {
    let name = &fed.consumer;
    let json = uncounted(|| {
        let json = format!(
            "{{\"name\":\"{name}\",\"delivered\":{{\"consumer_seq\":0,\"stream_seq\":0}},\
             \"num_pending\":1000000}}"
        );
        frame(reply, "1", "", b"", json.as_bytes())
    });
    bare.feed(link, &json);
    let text = bare.written(link);
    let info = uncounted(|| {
        let ask = text.lines().rfind(|line| line.contains("STREAM.INFO"));
        let reply = ask.unwrap().split(' ').nth(2).unwrap();
        let json = "{\"config\":{\"name\":\"KV_b\"},\"created\":\"2026-11-23T18:00:00.000000001Z\",\
                    \"state\":{\"last_seq\":1000000,\"messages\":0,\"bytes\":0,\"first_seq\":1}}";
        frame(reply, "1", "", b"", json.as_bytes())
    });
    bare.feed(link, &info);
    uncounted(|| drop((json, text, info)));
}

/// The next entry of a feed.
fn entry(fed: &mut Fed, key: &str, value: &[u8]) -> Vec<u8> {
    uncounted(|| {
        fed.received += 1;
        let (name, number) = (&fed.consumer, fed.received);
        let reply = format!("$JS.ACK.KV_b.{name}.1.{number}.{number}.1795460400000000001.9");
        frame(&format!("$KV.b.{key}"), &fed.sid, &reply, b"", value)
    })
}

/// Floods of notices, with reply subjects of any length.
fn notices(fed: &Fed, length: usize) -> Vec<u8> {
    uncounted(|| {
        let mut all = Vec::new();
        for number in 0..64 {
            let mut reply = format!("$JS.FC.KV_b.{number}.");
            while reply.len() < length {
                reply.push('x');
            }
            let flow = "NATS/1.0 100 FlowControl Request\r\n\r\n";
            all.extend(frame(&fed.deliver, &fed.sid, &reply, flow.as_bytes(), b""));
            let mut beat = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\n".to_owned();
            write!(beat, "Nats-Consumer-Stalled: {reply}\r\n\r\n").unwrap();
            all.extend(frame(&fed.deliver, &fed.sid, "", beat.as_bytes(), b""));
        }
        all
    })
}

/// Flow control without end: before a feed is verified, behind an entry that
/// nobody reads, and with nothing to read; while the socket takes everything,
/// one byte at a time, or nothing behind a frame that it has begun.
#[test]
fn floods_of_flow_control() {
    let (limits, bucket) = (small(), binding());
    for state in ["creating", "unread", "read"] {
        for taken in [usize::MAX, 1, 0] {
            for length in [20, 4_000] {
                let what = format!("{state}, {taken} bytes taken, requests of {length} bytes");
                within(&what, &limits, || {
                    let mut bare = Bare::new(of(&limits));
                    let link = bare.log_in();
                    let options = WatchOptions::default();
                    let (mut fed, reply) = start(&mut bare, link, &bucket, options);
                    if state != "creating" {
                        verify(&mut bare, link, &fed, &reply);
                    }
                    if state == "unread" {
                        let bytes = entry(&mut fed, "k", b"v");
                        bare.feed(link, &bytes);
                        uncounted(|| drop(bytes));
                    }
                    bare.feed(link, b"PING\r\n");
                    bare.session.transmit(link).advance(1);
                    let flood = notices(&fed, length);
                    for _ in 0..120 {
                        bare.feed(link, &flood);
                        let mut output = bare.session.transmit(link);
                        let most = output.remaining().min(taken);
                        output.advance(most);
                        assert!(bare.session.usage().watch_bytes < 16 * 1024);
                    }
                    let unsent = bare.session.usage().unsent_bytes;
                    assert!(unsent < 300 * 1024, "{what}: {unsent}");
                    assert!(bare.session.watch_state(fed.watch).is_some());
                    uncounted(|| drop((fed, reply, flood)));
                });
            }
        }
    }
}

/// Entries that nobody reads, of all sizes, for feeds that are verified and for
/// those that are not.
#[test]
fn entries_that_nobody_reads() {
    let (limits, bucket) = (small(), binding());
    let long = "k".repeat(3_000);
    for verified in [true, false] {
        for (k, len) in [
            ("k", 0),
            ("k", 1_000),
            ("k", 15_000),
            ("k", 17_000),
            ("k", 60_000),
            (long.as_str(), 0),
        ] {
            let what = format!("verified {verified}, key {}, value {len}", k.len());
            within(&what, &limits, || {
                let mut bare = Bare::new(of(&limits));
                let link = bare.log_in();
                let mut feeds = Vec::new();
                for _ in 0..limits.max_watches {
                    let options = WatchOptions::default().include_history();
                    let (fed, reply) = start(&mut bare, link, &bucket, options);
                    if verified {
                        verify(&mut bare, link, &fed, &reply);
                    }
                    uncounted(|| drop(reply));
                    feeds.push(fed);
                }
                let value = uncounted(|| vec![b'v'; len]);
                let rounds = 3 * limits.max_watch_bytes / (len + 300) / limits.max_watches;
                for _ in 0..rounds.clamp(3, 200) {
                    for fed in &mut feeds {
                        let bytes = entry(fed, k, &value);
                        bare.feed(link, &bytes);
                        uncounted(|| drop(bytes));
                        let held = bare.session.usage().watch_bytes;
                        let most = limits.max_watch_bytes + limits.max_message + 1_024;
                        assert!(held <= most, "{what}: {held}");
                    }
                }
                bare.write(link);
                uncounted(|| drop((feeds, value)));
            });
        }
    }
}

/// As many watches as are accepted, with as many filters as there may be, of
/// the shortest and of the longest kind, before a socket that takes nothing and
/// one whose server answers nothing.
#[test]
fn as_many_watches_as_are_accepted() {
    let (limits, bucket) = (small(), binding());
    for length in [3, 100, 2_000] {
        for written in [false, true] {
            let what = format!("filters of {length} bytes, written: {written}");
            within(&what, &limits, || {
                let mut bare = Bare::new(of(&limits));
                let link = bare.log_in();
                let mut accepted = 0;
                loop {
                    let mut options = WatchOptions::default();
                    for number in 0..MAX_FILTERS {
                        let mut text = format!("{number:03}");
                        while text.len() < length {
                            text.push('x');
                        }
                        options = options.filter(KeyFilter::new(&text).unwrap());
                    }
                    if bare.session.watch(bare.now, &bucket, options).is_err() {
                        break;
                    }
                    accepted += 1;
                    assert!(accepted <= limits.max_watches);
                    if written {
                        bare.write(link);
                    }
                }
                // All that is asked for asks again, on another link.
                if written {
                    bare.write(link);
                    let error = crate::support::embedder::link_error(kv_proto::LinkErrorKind::Read);
                    bare.session.handle_closed(bare.now, link, error);
                    bare.link = None;
                    let link = bare.log_in();
                    bare.write(link);
                }
            });
        }
    }
}

/// Gaps without end: each costs a consumer, and none leaves anything, though
/// the server never answers a deletion.
#[test]
fn replaced_feeds_do_not_add_up() {
    let bucket = binding();
    let mut bare = Bare::new(of(&small()).request_timeout(seconds(5)));
    let link = bare.log_in();
    let options = WatchOptions::default().heartbeat(seconds(1));
    let (fed, reply) = start(&mut bare, link, &bucket, options);
    verify(&mut bare, link, &fed, &reply);
    let round = |bare: &mut Bare, fed: &mut Fed| {
        bare.now = bare.now + seconds(1);
        bare.feed(link, b"PONG\r\n");
        bare.session.handle_timeout(bare.now);
        fed.received += 1; // one is lost
        let bytes = entry(fed, "k", b"v");
        bare.feed(link, &bytes);
        let text = bare.written(link);
        while bare.session.next_update(fed.watch).is_some() {}
        while bare.session.poll_event().is_some() {}
        uncounted(|| {
            drop(bytes);
            let line = |start: &str| text.lines().rfind(|line| line.starts_with(start));
            if let Some(sub) = line("SUB ") {
                let sub: Vec<&str> = sub.split(' ').collect();
                (fed.sid, fed.deliver) = (sub[2].to_owned(), sub[1].to_owned());
                let create = line("PUB $JS.API.CONSUMER.CREATE").unwrap();
                fed.consumer = create.split('.').nth(5).unwrap().to_owned();
                fed.received = 0;
            }
            drop(text);
        });
    };
    let mut fed = fed;
    for _ in 0..500 {
        round(&mut bare, &mut fed);
    }
    let left = measure(|| {
        for _ in 0..3_000 {
            round(&mut bare, &mut fed);
        }
    });
    let usage = bare.session.usage();
    eprintln!("{} bytes left, {usage:?}", left.bytes_current);
    assert!(left.bytes_current < 64 * 1024);
    assert!(usage.deletions <= 1_024 && usage.consumers <= 1);
}
