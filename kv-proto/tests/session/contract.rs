//! The seven lines of the contract that is printed on `Session`, one by one.
//! Lines 1 and 5 have files of their own, `interleaving.rs` and `no_panic.rs`; line 4
//! has `../memory`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::support::embedder::{CALL, World, config, law_holds, laws, seconds};
use kv_proto::{BucketConfig, Event, GetOptions, Instant, LinkErrorKind, LinkId, Revision};
use proptest::prelude::*;

// ---- 1. Any interleaving is legal ----------------------------------------------

/// Not polling costs latency, never correctness: each output is withheld for a
/// long time in turn, and an operation that waits long enough succeeds.
#[test]
fn an_output_that_is_polled_late_costs_latency_only() {
    let (_, bucket) = World::with_bucket(config());
    for withheld in ["links", "bytes", "events", "input"] {
        let config = config().connect_timeout(seconds(100_000));
        let mut world = World::new(config.ping_interval(seconds(100_000)), 1);
        world.peer.streams = World::with_bucket(kv_proto::Config::new("x").unwrap())
            .0
            .peer
            .streams;
        let op = world.put_within(&bucket, "k", seconds(10_000));
        for _ in 0..100 {
            world.sleep(seconds(10));
            if withheld != "links" {
                world.dial();
            }
            let links: Vec<LinkId> = world.sockets.keys().copied().collect();
            for link in links {
                if withheld != "bytes" {
                    world.hand_over(link, usize::MAX);
                }
                if withheld != "input" {
                    world.receive(link, usize::MAX);
                }
            }
        }
        let result = world.wait(op);
        assert_eq!(result, Ok(Revision::new(1)), "{withheld}");
    }
}

// ---- 2. Events are hints -------------------------------------------------------

const fn is_copy<T: Copy>() {}
const _: () = is_copy::<Event>();

/// A session in which a little of everything happens; returns how each
/// operation ended, and every byte that was written.
fn story(seed: u64, drain_events: bool, chunk: usize) -> (Vec<String>, Vec<u8>, Vec<Event>) {
    let mut world = World::new(config(), seed);
    world.drain_events = drain_events;
    let bucket = world.create_bucket(BucketConfig::new("b").history(3));
    let mut results = Vec::new();
    for round in 0..6_u64 {
        let writes = [
            world.put(&bucket, "a", &format!("a{round}")),
            world.create(&bucket, "b", &format!("b{round}")),
            world.update(&bucket, "a", &"u".repeat(6_000), round),
            world.delete(&bucket, &format!("c{}", round % 2)),
        ];
        let read = world.get(&bucket, "a", GetOptions::default());
        let names = world.session.bucket_names(world.now, 0, CALL()).unwrap();
        step(&mut world, chunk);
        results.extend(writes.map(|op| format!("{:?}", world.wait(op))));
        results.push(format!("{:?}", world.wait(read)));
        results.push(format!("{:?}", world.wait(names)));
        if round == 3 {
            let link = world.link();
            world.cut(link, LinkErrorKind::Read);
            world.reconnect();
        }
    }
    world.session.close(world.now);
    world.settle();
    (results, world.written, world.events)
}

/// Moves bytes in pieces of one size, until nothing moves.
fn step(world: &mut World, chunk: usize) {
    while let Some(link) = world.sockets.keys().next().copied()
        && world.hand_over(link, chunk) + world.receive(link, chunk) > 0
    {}
}

/// Ignoring all hints gives the same results and the same bytes; and all the
/// hints together are one for each operation, and no more for the connection
/// than it had changes.
#[test]
fn events_can_be_ignored() {
    let (results, written, events) = story(1, true, usize::MAX);
    let (unhinted, silent, none) = story(1, false, usize::MAX);
    assert_eq!(results, unhinted);
    assert_eq!(written, silent);
    assert!(none.is_empty());
    let mut ops: Vec<&Event> = events.iter().filter(|e| **e != Event::Connection).collect();
    assert_eq!(ops.len(), results.len() + 1, "one for each, and the bucket");
    let all = ops.len();
    ops.dedup();
    assert_eq!(ops.len(), all);
}

/// At most one hint of a name is pending, however often the thing happens; it
/// is gone once it was read, and comes again with the next change.
#[test]
fn at_most_one_hint_is_pending_for_each_name() {
    let (mut world, bucket) = World::with_bucket(config());
    world.drain_events = false;
    while world.session.poll_event().is_some() {}
    for _ in 0..3 {
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        world.reconnect();
    }
    assert_eq!(world.session.poll_event(), Some(Event::Connection));
    assert_eq!(world.session.poll_event(), None);
    let op = world.put(&bucket, "k", "v");
    world.settle();
    assert_eq!(world.session.poll_event(), Some(Event::Op(op.id())));
    assert_eq!(world.session.poll_event(), None);
    assert!(world.session.take(&op).is_some());
    let op = world.put(&bucket, "k", "v");
    assert!(world.done(op).is_ok());
    assert_eq!(world.session.poll_event(), None, "taken before it was read");
}

// ---- 3. Time ------------------------------------------------------------------

/// A smaller `now` counts as the largest seen, in every call that takes one:
/// no deadline moves, and nothing fires early.
#[test]
fn time_never_runs_backwards_inside() {
    let (mut world, bucket) = World::with_bucket(config());
    let (late, early) = (world.now + seconds(1_000), Instant::ORIGIN);
    world.at(late);
    world.settle();
    world.now = early;
    world
        .peer
        .rule("$KV.b.k", crate::support::peer::Rule::Silence);
    let op = world.put_within(&bucket, "k", seconds(10));
    world.settle();
    assert_eq!(world.session.now(), late);
    let link = world.link();
    world.inject(link, b"PING\r\n");
    world.session.handle_timeout(early);
    world.session.handle_dialed(early, link);
    world.session.cancel(op.id());
    let op = world.put_within(&bucket, "k2", seconds(10));
    world.session.handle_timeout(late);
    assert!(world.session.take(&op).is_none());
    assert_eq!(world.session.now(), late);
    world.session.handle_timeout(late + seconds(10));
    assert!(world.session.take(&op).is_some());
}

proptest! {
    #![proptest_config(laws(300))]

    /// After `handle_timeout(t)`, `poll_timeout()` is `None` or later than
    /// `t`: for time-outs of zero, of nothing much, and of centuries.
    #[test]
    fn after_a_timer_call_the_next_one_is_later(
        times in prop::collection::vec(prop_oneof![Just(0), 1_u64..50, Just(1 << 40)], 6),
        steps in prop::collection::vec((0_u8..6, 0_u64..40), 1..60),
    ) {
        let time = |index: usize| Duration::from_millis(times[index]);
        let config = config()
            .request_timeout(time(0))
            .connect_timeout(time(1))
            .close_timeout(time(2))
            .ping_interval(time(3))
            .reconnect_within(time(4), time(5))
            .retry_first_connect(true);
        let (_, bucket) = World::with_bucket(crate::support::embedder::config());
        let mut world = World::new(config, 1);
        for (what, amount) in steps {
            match what {
                0 => world.settle(),
                1 => { world.put(&bucket, "k", "v"); }
                2 => { world.put_within(&bucket, "k", Duration::from_millis(amount)); }
                3 => if let Some(link) = world.dialed.last().copied() {
                    world.cut(link, LinkErrorKind::Read);
                },
                4 => { world.session.sleep(world.now, Duration::from_millis(amount)).ok(); }
                _ => {}
            }
            world.sleep(Duration::from_millis(amount));
            law_holds(&world.session, world.now);
        }
        world.session.close(world.now);
        world.at(world.now);
        law_holds(&world.session, world.now);
        world.sleep(time(2));
        prop_assert_eq!(world.session.poll_timeout(), None);
    }
}

/// The law at the end of time: whatever state the session is in, the timer
/// call of the last instant returns, and nothing is due after it. A watchdog
/// turns an endless loop into a failure.
#[test]
fn the_end_of_time_comes() {
    let end = Instant::from_nanos(u64::MAX);
    type Prepare = fn(&mut World);
    let states: [(&str, Prepare); 5] = [
        ("new", |_| {}),
        ("dialing", |world| {
            world.dial();
        }),
        ("connected", World::settle),
        ("lost", |world| {
            world.settle();
            let link = world.link();
            world.cut(link, LinkErrorKind::Read);
        }),
        ("closing", |world| {
            world.settle();
            world.session.sleep(world.now, Duration::MAX).unwrap();
            world.session.close(world.now);
        }),
    ];
    for (what, reach) in states {
        for retry in [false, true] {
            let (sender, done) = mpsc::channel();
            let run = move || {
                let mut world = World::new(config().retry_first_connect(retry), 1);
                reach(&mut world);
                for nanos in [u64::MAX - 1, u64::MAX, u64::MAX] {
                    world.session.handle_timeout(Instant::from_nanos(nanos));
                    law_holds(&world.session, Instant::from_nanos(nanos));
                }
                let zero = world.session.sleep(end, Duration::ZERO);
                world.session.handle_timeout(end);
                assert_eq!(world.session.poll_timeout(), None);
                drop(zero);
                sender.send(()).ok();
            };
            let thread = std::thread::Builder::new().spawn(run).expect("a thread");
            let ended = done.recv_timeout(Duration::from_secs(5));
            assert!(ended.is_ok(), "{what}, retry {retry}: no end");
            thread.join().expect("no panic");
        }
    }
}

// ---- 6. Determinism ---------------------------------------------------------------

/// The same seed and the same calls give the same bytes and results; also when
/// the bytes of both directions are cut in another way. Another seed gives
/// another inbox, and otherwise the same.
#[test]
fn the_seed_decides_everything_that_is_not_asked() {
    let (results, written, _) = story(5, true, usize::MAX);
    let (again, rewritten, _) = story(5, true, usize::MAX);
    assert_eq!((&results, &written), (&again, &rewritten));
    for chunk in [1, 7, 4_096] {
        let (again, _, _) = story(5, true, chunk);
        assert_eq!(results, again, "in pieces of {chunk}");
    }
    let (other, other_written, _) = story(6, true, usize::MAX);
    assert_eq!(results, other);
    let inbox = |written: &[u8]| {
        let text = String::from_utf8_lossy(written).into_owned();
        let start = text.find("_INBOX.").expect("an inbox");
        text[start..start + 29].to_owned()
    };
    let (one, two) = (inbox(&written), inbox(&other_written));
    assert_ne!(one, two);
    let fresh = written.len() == other_written.len();
    assert!(fresh, "only the random parts differ");
}

// ---- 7. All impurity comes from outside ------------------------------------------

/// The source names no clock, no random numbers, no environment, no thread,
/// and nothing whose order differs between runs. The lints forbid the same;
/// this holds for builds that no linter sees, and for names they do not list.
#[test]
fn the_source_is_pure() {
    let banned = [
        "Instant::now",
        "SystemTime",
        "UNIX_EPOCH",
        "HashMap",
        "HashSet",
        "RandomState",
        "rand::",
        "getrandom",
        "thread_rng",
        "std::thread",
        "thread::",
        "std::env::",
        "std::fs",
        "std::net",
        "std::process",
        "static mut",
        "thread_local",
        "Atomic",
        "LazyLock",
        "OnceLock",
        "println!",
    ];
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 40, "{}", files.len());
    let mut found = Vec::new();
    let exempt = [
        "tests.rs",
        // Which bug is planted is state of the process, with a feature for that alone.
        "mutant/planted.rs",
        // Which paths were taken is state of the thread, with a feature for that alone.
        "paths/counted.rs",
        // The user's files are read outside of sessions, with features for that alone.
        "driver/authenticator.rs",
        // The seed of a client is drawn outside of its session, for adapters alone.
        "driver/entropy.rs",
        "tls/config.rs",
    ];
    let exempt = |path: &Path| exempt.iter().any(|end| path.ends_with(end));
    for path in files.iter().filter(|path| !exempt(path)) {
        let text = fs::read_to_string(path).unwrap();
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            let words = banned.iter().filter(|word| line.contains(**word));
            found.extend(words.map(|word| format!("{}:{}: {word}", path.display(), number + 1)));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
