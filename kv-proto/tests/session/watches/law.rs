//! The law of watches: whatever servers, links and readers do, what is told is
//! in order, each epoch is told once and whole, and nothing is left behind.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::embedder::{World, assert_idle, config, law_holds, laws, limits, seconds};
use crate::support::peer::{Rule, failure};
use kv_proto::{
    BucketConfig, Config, LinkErrorKind, Operation, ResetReason, Revision, Update, WatchError,
    WatchId, WatchOptions,
};
use proptest::prelude::*;

const MAX_WATCH_BYTES: usize = 6_000;
const LARGEST: usize = 3_000;
/// What a piece takes beside its content, at most.
const PIECE: usize = 400;

/// How a run is set up.
#[derive(Clone, Debug)]
struct Setup {
    history: u32,
    start: u8,
    buffer: Option<(usize, usize)>,
    window: Option<usize>,
}

fn setup() -> impl Strategy<Value = Setup> {
    let buffer = prop_oneof![
        Just(None),
        (1_usize..4, Just(usize::MAX)).prop_map(Some),
        (Just(usize::MAX), 1_usize..2_000).prop_map(Some),
        Just(Some((1, 1))),
    ];
    let window = prop_oneof![Just(None), (1_usize..4).prop_map(Some)];
    let history = prop_oneof![Just(1), Just(64)];
    (history, 0_u8..3, buffer, window).prop_map(|(history, start, buffer, window)| Setup {
        history,
        start,
        buffer,
        window,
    })
}

fn options(setup: &Setup) -> WatchOptions {
    let options = match setup.start {
        0 => WatchOptions::default(),
        1 => WatchOptions::default().include_history(),
        _ => WatchOptions::default().updates_only(),
    };
    let options = options.heartbeat(seconds(1));
    match setup.buffer {
        Some((entries, bytes)) => options.buffer(entries, bytes),
        None => options,
    }
}

fn small() -> Config {
    config().limits(limits(|limits| limits.max_watch_bytes = MAX_WATCH_BYTES))
}

/// What a reader was told, epoch by epoch.
#[derive(Debug)]
struct Reader {
    watch: WatchId,
    epochs: Vec<Epoch>,
}

#[derive(Debug, Default)]
struct Epoch {
    /// Revisions with key and value (`None` for a tombstone), in order.
    told: Vec<(u64, String, Option<Vec<u8>>)>,
    /// How many were told before the end of the initial data.
    synced: Option<usize>,
    reset: Option<ResetReason>,
}

impl Reader {
    /// Reads one update; what it tells must be in order. False if there is none.
    fn read(&mut self, world: &mut World) -> bool {
        let epoch = self.epochs.last_mut().unwrap();
        match world.session.next_update(self.watch) {
            None => return false,
            Some(Ok(Update::Entry(entry))) => {
                let last = epoch.told.last().map_or(0, |told| told.0);
                let revision = entry.revision.get();
                assert!(revision > last, "{revision} after {last}");
                let put = entry.operation == Operation::Put;
                let value = put.then(|| entry.value.to_vec());
                epoch.told.push((revision, entry.key.to_string(), value));
                let position = world.session.position(self.watch).unwrap();
                assert_eq!(position.revision(), Revision::new(revision));
            }
            Some(Ok(Update::Synced)) => {
                assert_eq!(epoch.synced, None, "the initial data ends once");
                epoch.synced = Some(epoch.told.len());
            }
            Some(Ok(Update::Reset(reason))) => {
                self.epochs.push(Epoch {
                    reset: Some(reason),
                    ..Epoch::default()
                });
            }
            Some(other) => panic!("{other:?}"),
        }
        true
    }
}

fn check_step(world: &World, watches: usize) {
    let usage = world.session.usage();
    // Beside entries there are marks: the end of the initial data, flow control.
    let most = MAX_WATCH_BYTES + LARGEST + PIECE * (1 + watches);
    assert!(usage.watch_bytes <= most, "{usage:?}");
    assert!(usage.consumers <= watches);
    // One question for each watch, and the deletions.
    assert!(usage.operations <= watches + usage.deletions, "{usage:?}");
    assert!(world.peer.heard_consumers() <= 2 * watches);
}

/// One thing that a server, a link, a writer or a reader does.
fn act(world: &mut World, readers: &mut [Reader], setup: &Setup, (what, number): (u8, usize)) {
    let key = ["a", "b", "c.d"][number % 3];
    let link = world.sockets.keys().next().copied();
    let reader = number % readers.len();
    match what {
        0..=4 => {
            let len = [0, 10, 300, LARGEST][number % 4];
            let mut value = format!("{number}.").into_bytes();
            value.resize(len.max(value.len()), b'v');
            let subject = format!("$KV.b.{key}");
            world.peer.publish_as_other(&subject, "", &value);
        }
        5 => world.erase(key),
        6..=8 => world.peer.deliver(number % 4 + 1),
        9 => world.peer.lose_one(),
        10 => world.peer.repeat_last(),
        11 => {
            if let Some(link) = link {
                world.cut(link, LinkErrorKind::Read);
            }
        }
        12 => world.peer.lose_consumers(),
        13 => world.peer.beat(),
        14 => {
            let last = world.peer.streams["KV_b"].last_seq;
            if setup.history > 1 && can_lose_its_end(world, readers, setup) {
                world
                    .peer
                    .rewind("KV_b", last.saturating_sub(number as u64 % 5));
            }
        }
        15 => {
            if number % 3 == 0 {
                world.peer.recreate("KV_b");
            }
        }
        16..=18 => {
            for _ in 0..number % 5 {
                readers[reader].read(world);
                check_step(world, readers.len());
            }
        }
        19 | 20 => world.sleep(Duration::from_millis(number as u64 % 700)),
        21 => world.sleep(seconds(number as u64 % 4)),
        22 => {
            let verb = ["CREATE", "INFO", "DELETE"][number % 3];
            let fault = match number % 5 {
                0 => Rule::Nobody,
                1 => Rule::Silence,
                2 => Rule::LoseReply,
                3 => Rule::Hold,
                _ => Rule::Reply(failure(503, 10_008, "not now").to_string()),
            };
            world.peer.rule(&format!("$JS.API.CONSUMER.{verb}."), fault);
        }
        23 => {
            let fault = [Rule::Nobody, Rule::Silence, Rule::Hold][number % 3].clone();
            let verb = ["INFO", "MSG.GET"][number % 2];
            world.peer.rule(&format!("$JS.API.STREAM.{verb}."), fault);
        }
        24 if !world.peer.held.is_empty() => {
            let index = number % world.peer.held.len();
            world.peer.release(index);
        }
        25 => world.peer.consumers.deliver_at_once = number % 2 == 0,
        26 => world.down = number % 4 == 0,
        27 if !world.peer.consumers.all.is_empty() => {
            let at = number % world.peer.consumers.all.len();
            world.peer.ask_for_flow(at);
        }
        29 => {
            // Consumers live beside a copy that may be behind the leader's.
            let stream = world.peer.streams.get_mut("KV_b").unwrap();
            stream.leader = Some("n1".to_owned());
            world.peer.consumers.host = Some(["n1", "n2"][number % 2].to_owned());
            let copied = stream.last_seq.saturating_sub(number as u64 % 4);
            world.peer.consumers.copied = (number % 4 == 1).then_some(copied);
        }
        30 => world.peer.consumers.too_few = number % 3,
        28 => {
            world.dial();
            if let Some(link) = link {
                world.hand_over(link, number % 90);
                world.receive(link, number % 90);
            }
        }
        _ => world.settle(),
    }
}

/// A stream that loses its end while a watch is told the last revision of each
/// key can bring back older ones behind the place where it is: no client can
/// see that. So it happens to watches of history at any time, to others after
/// the initial data.
fn can_lose_its_end(world: &mut World, readers: &mut [Reader], setup: &Setup) -> bool {
    if setup.start == 1 {
        return true;
    }
    world.settle();
    readers.iter_mut().all(|reader| {
        while reader.read(world) {}
        reader.epochs.last().unwrap().synced.is_some()
    })
}

/// Ends all faults.
fn calm(world: &mut World) {
    world.peer.calm();
    world.down = false;
    world.peer.consumers.deliver_at_once = true;
    world.peer.consumers.copied = None;
}

/// Everything is well for a while, and all is read.
fn recover(world: &mut World, readers: &mut [Reader]) {
    calm(world);
    // Not all at the same moment: nobody waits for a reader that is asleep.
    for round in 0..6 {
        world.reconnect();
        world.pass(seconds(6));
        for reader in readers.iter_mut() {
            // It wants more when there is nothing, and looks once more then.
            let (mut reads, mut nothing) = (0, 0);
            while nothing < 2 {
                let read = reader.read(world);
                nothing = if read { 0 } else { nothing + 1 };
                check_step(world, 3);
                reads += 1;
                assert!(reads < 2_000, "round {round}: it tells without end");
                world.settle();
            }
        }
    }
}

/// What the last epoch of a reader told, against what the stream keeps.
fn check_end(world: &World, reader: &Reader, setup: &Setup, from: u64) {
    let stream = &world.peer.streams["KV_b"];
    let last = reader.epochs.last().unwrap();
    let context = || format!("{:?}\n{:?}", reader.epochs, stream.messages);
    let told: BTreeMap<u64, _> = last.told.iter().map(|told| (told.0, told)).collect();
    for epoch in &reader.epochs[..reader.epochs.len() - 1] {
        // A watch of updates has a place to lose though it was told nothing, if
        // the end of its initial data was taken back.
        let updates = setup.start == 2 && epoch.reset.is_none();
        let something = epoch.synced.is_some() || !epoch.told.is_empty();
        assert!(something || updates, "{}", context());
    }
    let Some(synced) = last.synced else {
        panic!("the initial data never ends: {}", context());
    };
    // In the first epoch a watch of updates starts behind what was there.
    let updates = setup.start == 2 && last.reset.is_none();
    let first = if updates { from } else { 0 };
    let initial = last.told[..synced].last().map_or(first, |told| told.0);
    let mut last_of = BTreeMap::new();
    for (seq, message) in &stream.messages {
        last_of.insert(&message.subject, *seq);
    }
    for (seq, message) in stream.messages.range(first + 1..) {
        let every = setup.start == 1 || *seq > initial;
        if !every && last_of[&message.subject] != *seq {
            continue;
        }
        let Some((_, key, value)) = told.get(seq).copied() else {
            panic!("{seq} was not told: {}", context());
        };
        assert_eq!(format!("$KV.b.{key}"), message.subject);
        let expected = message.block.is_empty().then_some(&message.payload);
        assert_eq!(value.as_ref(), expected, "{seq}: {}", context());
    }
}

/// The law, for up to three watches whose readers are of different diligence.
#[test]
fn what_is_told_is_in_order_and_whole() {
    let seen = Cell::new([0_u32; 4]);
    let actions = prop::collection::vec((0_u8..34, 0_usize..1_000), 0..150);
    proptest!(laws(1_500), |(setup in setup(), watches in 1_usize..4, actions in actions)| {
        let mut world = World::new(small(), 1);
        let bucket = world.create_bucket(BucketConfig::new("b").history(setup.history));
        world.peer.consumers.deliver_at_once = true;
        world.peer.consumers.window = setup.window;
        for key in ["a", "b", "a"] {
            world.write(key, "0");
        }
        let mut readers: Vec<Reader> = (0..watches).map(|_| Reader {
            watch: world.watch(&bucket, options(&setup).patience(seconds(100_000))),
            epochs: vec![Epoch::default()],
        }).collect();
        world.settle();
        for action in actions {
            act(&mut world, &mut readers, &setup, action);
            check_step(&world, watches);
            let now = world.now;
            world.session.handle_timeout(now);
            law_holds(&world.session, now);
        }
        recover(&mut world, &mut readers);
        let mut counts = seen.get();
        for reader in &readers {
            check_end(&world, reader, &setup, 3);
            for epoch in &reader.epochs {
                let kind = match epoch.reset {
                    None => 0,
                    Some(ResetReason::Recreated) => 1,
                    Some(_) => 2,
                };
                counts[kind] += 1;
            }
        }
        counts[3] += u32::try_from(world.peer.consumers.created.len()).unwrap();
        seen.set(counts);
        for reader in &readers {
            world.session.unwatch(world.now, reader.watch);
        }
        world.pass(seconds(70));
        assert_idle(&world);
        prop_assert!(world.peer.heard_consumers() == 0);
        world.session.abort(world.now);
        prop_assert_eq!(world.session.poll_timeout(), None);
    });
    let seen = seen.get();
    eprintln!("first epochs, recreated, rewound, consumers: {seen:?}");
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}

/// Listings under the same: they end, and with a whole listing or an error.
#[test]
fn listings_end() {
    let ends = Cell::new([0_u32; 3]);
    let actions = prop::collection::vec((0_u8..34, 0_usize..1_000), 0..60);
    proptest!(laws(500), |(setup in setup(), actions in actions)| {
        let mut world = World::new(small(), 1);
        let bucket = world.create_bucket(BucketConfig::new("b").history(setup.history));
        for key in ["a", "b", "a", "untouched"] {
            world.write(key, "0");
        }
        world.peer.consumers.window = setup.window;
        let setup = Setup { start: setup.start % 2, ..setup };
        let listing = options(&setup).until_synced();
        let watch = world.watch(&bucket, listing.patience(seconds(20)));
        let mut readers = [Reader { watch, epochs: vec![Epoch::default()] }];
        for action in actions {
            // A listing can fail under way; then there is nothing to read.
            if !(16..=18).contains(&action.0) && (action.0 != 14 || setup.start == 1) {
                act(&mut world, &mut readers, &setup, action);
            }
            check_step(&world, 1);
        }
        calm(&mut world);
        let mut keys = Vec::new();
        let mut end = None;
        for _ in 0..600 {
            world.pass(Duration::from_millis(100));
            while let Some(update) = world.session.next_update(watch) {
                assert_eq!(end, None, "something behind the end");
                match update {
                    Ok(Update::Entry(entry)) => keys.push(entry.key.to_string()),
                    Ok(Update::Synced) => end = Some(None),
                    Err(error) => end = Some(Some(error)),
                    Ok(other) => panic!("{other:?}"),
                }
            }
        }
        let mut counts = ends.get();
        match end.expect("it ends") {
            None => {
                counts[0] += 1;
                let there = world.peer.streams["KV_b"].messages.values()
                    .any(|message| message.subject == "$KV.b.untouched");
                prop_assert!(!there || keys.contains(&"untouched".to_owned()), "{:?}", keys);
            }
            Some(WatchError::Interrupted(_)) => counts[1] += 1,
            Some(_) => counts[2] += 1,
        }
        ends.set(counts);
        world.session.unwatch(world.now, watch);
        world.reconnect();
        world.pass(seconds(70));
        assert_idle(&world);
    });
    let ends = ends.get();
    eprintln!("whole, interrupted, failed: {ends:?}");
    assert!(ends[0] > 100 && ends[1] > 5, "{ends:?}");
}
