//! The contract that is printed on `Session`, for watches; see `../contract.rs`.

use std::sync::mpsc;
use std::time::Duration;

use crate::support::embedder::{World, config, law_holds, laws, seconds};
use crate::support::peer::Rule;
use kv_proto::{Event, Instant, LinkErrorKind, WatchId, WatchOptions};
use proptest::prelude::*;

fn all() -> WatchOptions {
    WatchOptions::default()
}

/// Moves bytes in pieces of one size, until nothing moves.
fn step(world: &mut World, chunk: usize) {
    while let Some(link) = world.sockets.keys().next().copied()
        && world.hand_over(link, chunk) + world.receive(link, chunk) > 0
    {}
}

/// Watches and puts through a lost link, a gap, a rewind and the end; returns
/// what was told, what was written, and the hints.
fn story(seed: u64, drain_events: bool, chunk: usize) -> (Vec<String>, Vec<u8>, Vec<Event>) {
    let mut world = World::new(config(), seed);
    world.drain_events = drain_events;
    let bucket = world.create_bucket(kv_proto::BucketConfig::new("b").history(3));
    world.peer.consumers.deliver_at_once = true;
    world.peer.consumers.window = Some(3);
    for n in 0..6 {
        world.write(&format!("k{}", n % 4), &n.to_string());
    }
    let options = [
        all(),
        all().include_history().buffer(2, 500),
        all().updates_only(),
        WatchOptions::keys(),
    ];
    let watches = options.map(|options| world.watch(&bucket, options));
    let mut told = vec![String::new(); watches.len()];
    for round in 0..6 {
        step(&mut world, chunk);
        match round {
            1 => {
                let link = world.link();
                world.cut(link, LinkErrorKind::Read);
                world.reconnect();
            }
            2 => {
                world.peer.consumers.deliver_at_once = false;
                world.write("gap", "1");
                world.peer.lose_one();
                world.write("gap", "2");
                world.peer.deliver(1);
                world.settle();
                world.peer.consumers.deliver_at_once = true;
            }
            3 => {
                world.peer.rewind("KV_b", 4);
                world.write("k", "again");
            }
            _ => {}
        }
        let put = world.put(&bucket, "put", &round.to_string());
        assert!(world.wait(put).is_ok());
        world.pass(seconds(12));
        for (watch, told) in watches.iter().zip(&mut told) {
            *told += &world.told(*watch);
            told.push('|');
        }
    }
    world.session.close(world.now);
    world.settle();
    for (watch, told) in watches.iter().zip(&mut told) {
        *told += &world.told(*watch);
    }
    (told, world.written, world.events)
}

/// 2: ignoring all hints gives the same; 6: the seed decides everything, and
/// where bytes are cut decides nothing.
#[test]
fn hints_and_pieces_change_nothing() {
    let (told, written, events) = story(1, true, usize::MAX);
    assert!(told[0].contains("Rewound"), "{told:#?}");
    assert!(told.iter().all(|told| told.contains("synced")), "{told:#?}");
    assert!(events.iter().any(|event| matches!(event, Event::Watch(_))));
    let (unhinted, silent, none) = story(1, false, usize::MAX);
    assert_eq!((&told, &written), (&unhinted, &silent));
    assert!(none.is_empty());
    assert_eq!(story(1, true, usize::MAX), (told.clone(), written, events));
    for chunk in [1, 7, 1_000] {
        assert_eq!(story(1, true, chunk).0, told, "in pieces of {chunk}");
    }
    assert_eq!(story(2, true, usize::MAX).0, told, "another seed");
}

/// 2: at most one hint of a watch is pending, however much comes; it comes
/// again with the next thing to tell.
#[test]
fn at_most_one_hint_is_pending() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    world.drain_events = false;
    while world.session.poll_event().is_some() {}
    let watch = world.opened(&bucket, all());
    let pending = |world: &mut World| {
        let mut count = 0;
        while let Some(event) = world.session.poll_event() {
            count += usize::from(event == Event::Watch(watch));
        }
        count
    };
    assert_eq!(pending(&mut world), 1);
    assert_eq!(world.told(watch), "a=1@1 b=2@2 synced");
    assert_eq!(pending(&mut world), 0);
    for _ in 0..3 {
        world.write("a", "x");
        world.settle();
    }
    assert_eq!(pending(&mut world), 1);
    world.write("a", "y");
    world.settle();
    assert_eq!(pending(&mut world), 1, "not all was read");
    world.session.unwatch(world.now, watch);
    world.settle();
    assert_eq!(pending(&mut world), 0);
}

/// 1: each output is withheld for a long time in turn; a watch opens later, and
/// tells the same.
#[test]
fn an_output_that_is_polled_late_costs_latency_only() {
    for withheld in ["links", "bytes", "events", "input", "updates"] {
        let config = config().connect_timeout(seconds(100_000));
        let config = config.ping_interval(seconds(100_000));
        let (mut model, bucket) = World::with_values(config.clone(), &[("a", "1"), ("b", "2")]);
        let mut world = World::new(config, 1);
        world.peer.streams = std::mem::take(&mut model.peer.streams);
        world.peer.consumers.deliver_at_once = true;
        let watch = world.watch(&bucket, all().patience(seconds(10_000)));
        for _ in 0..100 {
            world.sleep(seconds(10));
            if withheld != "links" {
                world.dial();
            }
            let links: Vec<_> = world.sockets.keys().copied().collect();
            for link in links {
                if withheld != "bytes" {
                    world.hand_over(link, usize::MAX);
                }
                if withheld != "input" {
                    world.receive(link, usize::MAX);
                }
            }
        }
        world.pass(seconds(30));
        let told = world.told(watch);
        assert_eq!(told, "a=1@1 b=2@2 synced", "{withheld}");
    }
}

proptest! {
    #![proptest_config(laws(300))]

    /// 3: after `handle_timeout(t)`, `poll_timeout()` is `None` or later than
    /// `t`, for heartbeats, patience and deadlines of nothing much and of
    /// centuries.
    #[test]
    fn after_a_timer_call_the_next_one_is_later(
        times in prop::collection::vec(prop_oneof![Just(0), 1_u64..300, Just(1 << 60)], 4),
        steps in prop::collection::vec((0_u8..12, 0_u64..400), 1..80),
    ) {
        let time = |index: usize| Duration::from_millis(times[index]);
        let config = config()
            .request_timeout(time(0))
            .reconnect_within(time(1), time(1))
            .retry_first_connect(true);
        let (mut model, bucket) = World::with_values(crate::support::embedder::config(), &[("a", "1")]);
        let mut world = World::new(config, 1);
        world.peer.streams = std::mem::take(&mut model.peer.streams);
        world.peer.consumers.deliver_at_once = true;
        let mut watches: Vec<WatchId> = Vec::new();
        for (what, amount) in steps {
            let watch = watches.get(usize::try_from(amount).unwrap() % watches.len().max(1)).copied();
            match (what, watch) {
                (0 | 1, _) => world.settle(),
                (2 | 3, _) => {
                    let options = all().heartbeat(time(2)).patience(time(3));
                    let options = match amount % 3 {
                        0 => options.timeout(Duration::from_millis(amount)),
                        1 => options.until_synced(),
                        _ => options,
                    };
                    watches.extend(world.session.watch(world.now, &bucket, options));
                }
                (4, _) => if let Some(link) = world.dialed.last().copied() {
                    world.cut(link, LinkErrorKind::Read);
                },
                (5, _) => world.peer.lose_consumers(),
                (6, _) => world.peer.beat(),
                (7, _) => world.peer.rule("$JS.API.", [Rule::Nobody, Rule::Silence][amount as usize % 2].clone()),
                (8, Some(watch)) => drop(world.session.next_update(watch)),
                (9, Some(watch)) => world.session.unwatch(world.now, watch),
                (10, _) => world.peer.recreate("KV_b"),
                _ => {}
            }
            world.sleep(Duration::from_millis(amount));
            law_holds(&world.session, world.now);
        }
        world.session.abort(world.now);
        prop_assert_eq!(world.session.poll_timeout(), None);
    }
}

/// 3: time passes for watches that nobody answers without a storm of timers:
/// each call has something to do, and there are few of them.
#[test]
fn an_idle_watch_costs_few_timers() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    world.opened(&bucket, all());
    let end = world.now + seconds(1_000);
    let mut calls = 0;
    while world.now < end {
        world.peer.beat();
        world.settle();
        let next = world.session.poll_timeout().unwrap();
        let beat = world.now + seconds(5);
        world.at(next.min(beat));
        calls += usize::from(next <= beat);
    }
    assert!(calls <= 200, "{calls} timer calls in 1,000 s");
}

/// The end of time comes for watches in any state.
#[test]
fn the_end_of_time_comes() {
    type Prepare = fn(&mut World, &kv_proto::Binding);
    let states: [(&str, Prepare); 5] = [
        ("waiting", |world, bucket| {
            world.watch(bucket, all());
        }),
        ("live", |world, bucket| {
            world.opened(bucket, all());
        }),
        ("resting", |world, bucket| {
            world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Nobody);
            world.watch(bucket, all());
            world.settle();
        }),
        ("patient", |world, bucket| {
            let options = all().patience(Duration::MAX).timeout(Duration::MAX);
            world.watch(bucket, options.heartbeat(Duration::MAX));
            world.settle();
        }),
        ("deleting", |world, bucket| {
            world.peer.rule("$JS.API.CONSUMER.DELETE.", Rule::Nobody);
            let watch = world.opened(bucket, all());
            world.session.unwatch(world.now, watch);
            world.settle();
        }),
    ];
    for (what, reach) in states {
        let (sender, done) = mpsc::channel();
        let run = move || {
            let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
            reach(&mut world, &bucket);
            for nanos in [u64::MAX - 1, u64::MAX, u64::MAX] {
                world.session.handle_timeout(Instant::from_nanos(nanos));
                law_holds(&world.session, Instant::from_nanos(nanos));
            }
            let end = Instant::from_nanos(u64::MAX);
            drop(world.session.watch(end, &bucket, all()));
            world.session.handle_timeout(end);
            sender.send(()).ok();
        };
        let thread = std::thread::Builder::new().spawn(run).expect("a thread");
        let ended = done.recv_timeout(Duration::from_secs(5));
        assert!(ended.is_ok(), "{what}: no end");
        thread.join().expect("no panic");
    }
}
