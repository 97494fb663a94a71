//! What waits for readers is bounded, for each watch and for all together, and
//! whoever reads goes on.

use std::time::Duration;

use crate::support::embedder::{World, config, limits, seconds};
use crate::support::peer::Rule;
use kv_proto::{Binding, Config, KeyFilter, LinkErrorKind, WatchId, WatchOptions, WatchState};

fn all() -> WatchOptions {
    WatchOptions::default()
}

/// What one piece takes beside its content, at most.
const PIECE: usize = 2_048;

fn state(world: &World, watch: WatchId) -> WatchState {
    world.session.watch_state(watch).unwrap()
}

/// Flow control is answered when all that came before it was read: at once if
/// nothing waits.
#[test]
fn flow_control_is_answered_after_reading() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    let watch = world.opened(&bucket, all());
    assert_eq!(world.told(watch), "synced");
    world.peer.ask_for_flow(0);
    world.settle();
    assert_eq!(world.peer.consumers.flow_answers.len(), 1, "nothing waits");
    world.write("a", "1");
    world.write("b", "2");
    world.settle();
    world.peer.ask_for_flow(0);
    world.write("c", "3");
    world.settle();
    assert_eq!(world.peer.consumers.flow_answers.len(), 1);
    assert_eq!(world.read_one(watch).as_deref(), Some("a=1@1"));
    world.settle();
    assert_eq!(world.peer.consumers.flow_answers.len(), 1);
    assert_eq!(world.read_one(watch).as_deref(), Some("b=2@2"));
    world.settle();
    assert_eq!(world.peer.consumers.flow_answers.len(), 2);
    assert_eq!(world.told(watch), "c=3@3");
    assert_eq!(world.peer.consumers.created.len(), 1);
}

/// A server that waits for the answer after every few messages, and one whose
/// request was lost and is repeated by a heartbeat.
#[test]
fn a_small_window_delivers_everything() {
    let values: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    let (mut world, bucket) = World::with_values(config(), &[]);
    for k in &values {
        world.write(k, "v");
    }
    world.peer.consumers.window = Some(3);
    let watch = world.opened(&bucket, all());
    let told = world.told(watch);
    assert_eq!(told.split(' ').count(), 101);
    assert_eq!(world.peer.consumers.flow_answers.len(), 33);
    let link = world.link();
    world.peer.consumers.all[0].stalled = Some("$JS.FC.KV_b.lost".to_owned());
    world.write("x", "y");
    assert_eq!(world.told(watch), "");
    world.peer.beat();
    world.settle();
    assert_eq!(world.told(watch), "x=y@101");
    assert_eq!(world.link(), link);
}

/// At the bound of its buffer a watch gives up its consumer, and goes on when
/// all was read.
#[test]
fn a_full_buffer_pauses_the_watch() {
    for (entries, bytes) in [(10, usize::MAX), (usize::MAX, 10 * PIECE)] {
        let (mut world, bucket) = World::with_values(config(), &[]);
        let watch = world.opened(&bucket, all().buffer(entries, bytes));
        assert_eq!(world.told(watch), "synced");
        let value = "v".repeat(PIECE);
        for _ in 0..15 {
            world.write("a", &value);
            world.settle();
        }
        assert_eq!(state(&world, watch), WatchState::Recovering);
        assert!(world.peer.consumers.all.is_empty(), "it is deleted");
        assert!(world.session.usage().watch_bytes <= 10 * 3 * PIECE);
        world.pass(seconds(30));
        assert!(world.peer.consumers.all.is_empty(), "nobody reads");
        let first = world.read_one(watch).unwrap();
        assert!(first.ends_with("@1"), "{first}");
        world.settle();
        assert!(world.peer.consumers.all.is_empty(), "not all was read");
        let rest = world.told(watch);
        assert_eq!(rest.split(' ').count(), 14, "history 8: {}", rest.len());
        assert_eq!(state(&world, watch), WatchState::Live);
    }
}

/// The smallest buffer still comes on, by one entry at a time; one that is
/// larger than the buffer gets through.
#[test]
fn the_smallest_buffer_comes_on() {
    for held in [false, true] {
        let (mut world, bucket) = World::with_values(config(), &[]);
        for n in 0..20 {
            world.write(&format!("k{n}"), &"v".repeat(10_000));
        }
        if held {
            for _ in 0..100 {
                world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Hold);
            }
        }
        let watch = world.watch(&bucket, all().buffer(1, 1));
        let mut told = Vec::new();
        for round in 0..100 {
            world.settle();
            while !world.peer.held.is_empty() {
                world.peer.release(0);
                world.settle();
            }
            told.extend(world.read_one(watch));
            if told.last().is_some_and(|last| last == "synced") {
                assert!(round < 70, "{round}");
                break;
            }
        }
        assert_eq!(told.len(), 21, "{held}");
        assert!(world.session.usage().watch_bytes <= 10_000 + 2 * PIECE);
    }
}

const LIMIT: usize = 64 * 1024;
const VALUE: usize = 8 * 1024;

fn small() -> Config {
    config().limits(limits(|limits| {
        limits.max_watch_bytes = LIMIT;
        limits.max_message = 32 * 1024;
    }))
}

/// All together hold no more than they may and one message.
#[track_caller]
fn bounded(world: &World) {
    let held = world.session.usage().watch_bytes;
    assert!(held <= LIMIT + VALUE + PIECE, "{held}");
}

/// Takes what the server sent in pieces, and looks at each step.
fn step(world: &mut World) {
    for _ in 0..10_000 {
        let link = world.link();
        let moved = world.dial() | (world.hand_over(link, usize::MAX) > 0);
        let moved = moved | (world.receive(link, 1_000) > 0);
        bounded(world);
        if !moved {
            return;
        }
    }
    panic!("no end");
}

fn three(world: &mut World, bucket: &Binding) -> [WatchId; 3] {
    let watches = [(); 3].map(|()| world.opened(bucket, all()));
    for watch in watches {
        assert_eq!(world.told(watch), "synced");
    }
    watches
}

/// Two that do not read, and one that does: it is never kept waiting, however
/// much comes at a time, and the bound holds at every step.
#[test]
fn who_reads_is_not_kept_waiting() {
    for burst in 1..=6 {
        let (mut world, bucket) = World::with_values(small(), &[]);
        let [slow, fast, slower] = three(&mut world, &bucket);
        let value = "v".repeat(VALUE);
        let mut revision = 0;
        for _ in 0..60 / burst {
            for _ in 0..burst {
                revision += 1;
                world.write(&format!("k{revision}"), &value);
            }
            step(&mut world);
            // As often as it takes, but in no time.
            let (mut last, start) = (0, world.now);
            for _ in 0..20 {
                while let Some(told) = world.read_one(fast) {
                    last = told.rsplit_once('@').unwrap().1.parse().unwrap();
                    step(&mut world);
                }
                step(&mut world);
            }
            assert_eq!((last, world.now), (revision, start), "bursts of {burst}");
        }
        // The slow ones lose nothing.
        for watch in [slow, slower] {
            let told = world.told(watch);
            let count = usize::try_from(revision).unwrap();
            assert_eq!(told.split(' ').count(), count, "bursts of {burst}");
        }
        assert_eq!(world.session.usage().watch_bytes, 0);
    }
}

/// Listings that are over and that nobody reads do not keep a watch waiting.
#[test]
fn unread_listings_do_not_keep_others_waiting() {
    let (mut world, bucket) = World::with_values(small(), &[]);
    let value = "v".repeat(VALUE);
    for n in 0..3 {
        world.write(&format!("l.{n}"), &value);
    }
    let filter = |text| KeyFilter::new(text).unwrap();
    let fast = world.opened(&bucket, all().filter(filter("k")));
    for _ in 0..2 {
        let options = all().filter(filter("l.*")).until_synced();
        world.watch(&bucket, options);
        step(&mut world);
    }
    assert!(world.session.usage().watch_bytes > LIMIT / 2);
    assert_eq!(world.told(fast), "synced");
    for n in 0..5 {
        for _ in 0..4 {
            world.write("k", &value);
        }
        step(&mut world);
        let told = world.told(fast);
        assert_eq!(told.split(' ').count(), 4, "round {n}");
    }
}

/// What was not read is taken back, the end of the initial data and a reset
/// among it, and told again in its place.
#[test]
fn what_is_taken_back_is_told_again() {
    let (mut world, bucket) = World::with_values(small(), &[]);
    let value = "v".repeat(VALUE);
    world.write("a", &value);
    let slow = world.opened(&bucket, all());
    // The initial data is complete, a new epoch begins, and all is unread.
    world.peer.recreate("KV_b");
    world.write("b", &value);
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
    world.pass(seconds(1));
    let fast = world.watch(&bucket, all().filter(KeyFilter::new("k").unwrap()));
    world.pass(seconds(1));
    for taken in 0..4 {
        for _ in 0..6 {
            world.write("k", &value);
        }
        step(&mut world);
        assert!(!world.told(fast).is_empty(), "{taken}");
    }
    let told = world.told(slow).replace(&value, "v");
    let start = "a=v@1 synced Recreated ";
    assert!(told.starts_with(start), "{told}");
    let rest = &told[start.len()..];
    assert_eq!(rest.matches("synced").count(), 1, "{told}");
    let last = world.peer.streams["KV_b"].last_seq;
    assert!(told.contains(&format!("k=v@{last}")), "{told}");
    assert!(rest.starts_with("b=v@1 "), "{told}");
}

/// The bound holds as well for what is held back while feeds are not verified,
/// and two large messages do not get through at a time.
#[test]
fn what_is_held_is_bounded() {
    let (mut world, bucket) = World::with_values(small(), &[]);
    let value = "v".repeat(VALUE);
    for n in 0..30 {
        world.write(&format!("k{n}"), &value);
    }
    for _ in 0..4 {
        world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Hold);
    }
    let watches = [(); 4].map(|()| world.watch(&bucket, all()));
    step(&mut world);
    step(&mut world);
    for _ in 0..4 {
        world.peer.release(0);
        step(&mut world);
    }
    for watch in watches {
        let mut told = 0;
        for _ in 0..100 {
            while world.read_one(watch).is_some() {
                told += 1;
                bounded(&world);
            }
            // Whoever was fed nothing rests for a while.
            world.peer.beat();
            step(&mut world);
            world.sleep(Duration::from_millis(100));
            step(&mut world);
        }
        assert_eq!(told, 31);
    }
}

/// Large messages for watches whose feeds are verified and for some whose are
/// not, under a small bound.
#[test]
fn one_large_message_is_let_through() {
    const LARGE: usize = 30_000;
    let tiny = config().limits(limits(|limits| {
        limits.max_watch_bytes = 8 * 1024;
        limits.max_message = 32 * 1024;
    }));
    let (mut world, bucket) = World::with_values(tiny, &[]);
    let live = [(); 2].map(|()| world.opened(&bucket, all()));
    for watch in live {
        assert_eq!(world.told(watch), "synced");
    }
    for _ in 0..2 {
        world.peer.rule("$JS.API.STREAM.INFO.", Rule::Hold);
    }
    let held = [(); 2].map(|()| world.watch(&bucket, all()));
    world.settle();
    world.write("a", &"v".repeat(LARGE));
    for _ in 0..200 {
        let link = world.link();
        world.hand_over(link, usize::MAX);
        world.receive(link, 1_000);
        let bytes = world.session.usage().watch_bytes;
        assert!(bytes <= 8 * 1024 + LARGE + PIECE, "{bytes}");
    }
    while !world.peer.held.is_empty() {
        world.peer.release(0);
        world.settle();
    }
    let mut told = vec![String::new(); 4];
    for _ in 0..100 {
        for (watch, told) in live.into_iter().chain(held).zip(&mut told) {
            *told += &world.told(watch).replace('v', "");
        }
        world.pass(seconds(1));
    }
    assert!(told.iter().all(|told| told.contains("a=@1")), "{told:?}");
}

/// A request with nothing before it is answered though nobody reads, and one
/// that is repeated while nobody reads is remembered once.
#[test]
fn flow_control_without_a_reader() {
    let values = [("a", "1"), ("b", "2"), ("a", "3")];
    let (mut world, bucket) = World::with_values(config(), &values);
    world.peer.consumers.window = Some(1);
    let watch = world.opened(&bucket, all());
    assert_eq!(world.read_one(watch).as_deref(), Some("b=2@2"));
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    // It begins with what was told, which is dropped, and a request.
    world.reconnect();
    world.settle();
    let held = world.session.usage().watch_bytes;
    world.pass(seconds(100));
    assert_eq!(world.session.usage().watch_bytes, held);
    assert_eq!(world.told(watch), "a=3@3 synced");
    assert_eq!(world.peer.consumers.created.len(), 2);
}

/// What cannot be published to is not answered.
#[test]
fn flow_control_that_cannot_be_answered() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    let watch = world.opened(&bucket, all());
    assert_eq!(world.told(watch), "synced");
    world.calls();
    let consumer = world.peer.newest().clone();
    let flow = "NATS/1.0 100 FlowControl Request\r\n\r\n";
    for reply in ["$JS.FC.*.>", "$JS.FC..x", "a\u{7f}b", ">"] {
        world.peer.notify(&consumer, reply, flow);
        assert_eq!(world.told(watch), "");
        assert_eq!(world.calls(), [""; 0], "{reply}");
    }
    world.write("a", "1");
    assert_eq!(world.told(watch), "a=1@1");
}

/// Three watches with room for little more than a piece: two have read all and
/// come back to two pieces, while the third leaves one unread.
fn crowded() -> (World, [WatchId; 3]) {
    let tiny = config().limits(limits(|limits| limits.max_watch_bytes = 6_000));
    let (mut world, bucket) = World::with_values(tiny, &[]);
    world.peer.consumers.window = Some(2);
    let watches = [(); 3].map(|()| world.opened(&bucket, all().buffer(usize::MAX, 1)));
    for watch in watches {
        assert_eq!(world.told(watch), "synced");
    }
    let value = "v".repeat(3_000);
    let known = world.write("a", &value);
    for watch in &watches[..2] {
        assert_eq!(world.told(*watch).replace(&value, "v"), "a=v@1");
    }
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.vanish(known.get());
    world.write("b", &value);
    world.write("c", &value);
    (world, watches)
}

/// Two that come back while a third leaves a large piece unread: there is room
/// for one more piece. Whoever is fed nothing but a flow-control request rests;
/// it does not take the feeds of the others in turn without end.
#[test]
fn who_is_fed_nothing_rests() {
    let (mut world, watches) = crowded();
    let value = "v".repeat(3_000);
    let before = world.peer.consumers.created.len();
    world.reconnect();
    let made = world.peer.consumers.created.len() - before;
    assert!(made <= 4, "{made} consumers at once");
    world.pass(seconds(10));
    let made = world.peer.consumers.created.len() - before;
    assert!(made <= 20, "{made} consumers in 10 s");
    let mut told = watches.map(|_| Vec::new());
    for _ in 0..10 {
        for (watch, told) in watches.into_iter().zip(&mut told) {
            told.extend(world.read_one(watch).map(|one| one.replace(&value, "v")));
        }
        world.pass(seconds(10));
    }
    assert_eq!(told[0], ["b=v@2", "c=v@3"]);
    assert_eq!(told[1], ["b=v@2", "c=v@3"]);
    assert_eq!(told[2], ["a=v@1", "b=v@2", "c=v@3"]);
}

/// The same, and only one of those that were fed nothing still reads: the others
/// make room for it.
#[test]
fn who_waits_gets_room() {
    for reads in 0..3 {
        let (mut world, watches) = crowded();
        let value = "v".repeat(3_000);
        let mut told = Vec::new();
        for _ in 0..60 {
            world.pass(seconds(1));
            let read = world.read_one(watches[reads]);
            told.extend(read.map(|one| one.replace(&value, "v")));
        }
        told.retain(|one| one != "a=v@1"); // the third has not read it
        assert_eq!(told, ["b=v@2", "c=v@3"], "watch {reads}");
    }
}
