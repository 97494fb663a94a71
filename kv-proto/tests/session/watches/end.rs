//! How feeds and watches end, and that nothing is left of them: neither here
//! nor on the servers.

use std::time::Duration;

use crate::support::embedder::{World, assert_idle, config, limits, seconds};
use crate::support::peer::Rule;
use kv_proto::{
    Binding, ConnectionState, LinkErrorKind, Refused, Usage, WatchError, WatchId, WatchOptions,
    WatchState,
};

const VALUES: [(&str, &str); 2] = [("a", "1"), ("b", "2")];

fn all() -> WatchOptions {
    WatchOptions::default()
}

fn lose_link(world: &mut World) {
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
}

/// Each predecessor is given up on its own: by name, not by chance.
#[test]
fn each_predecessor_is_deleted() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watch = world.opened(&bucket, all());
    let mut names = Vec::new();
    for _ in 0..5 {
        names.push(world.peer.newest().name.clone());
        world.peer.lose_one(); // there is none: nothing happens
        world.write("a", "x");
        world.peer.consumers.deliver_at_once = false;
        world.write("a", "y");
        world.peer.lose_one();
        world.peer.beat();
        world.settle();
        world.peer.consumers.deliver_at_once = true;
        world.pass(seconds(6));
        assert_eq!(world.peer.consumers.all.len(), 1);
    }
    world.told(watch);
    for name in names {
        let delete = format!("$JS.API.CONSUMER.DELETE.KV_b.{name}");
        let asked = world.peer.lines.iter().filter(|line| **line == delete);
        assert_eq!(asked.count(), 1, "{name}");
    }
    assert_eq!(world.session.usage().deletions, 0);
    assert!(world.peer.consumers.most <= 2, "two during a switch");
}

/// Brings a watch into a state.
type Reach = fn(&mut World, &Binding) -> WatchId;

/// The ways in which a watch is when it is dropped.
const STATES: [(&str, Reach); 10] = [
    ("never sent", |world, bucket| world.watch(bucket, all())),
    ("half sent", |world, bucket| {
        let watch = world.watch(bucket, all());
        let link = world.link();
        world.hand_over(link, 70);
        watch
    }),
    ("creating", |world, bucket| {
        world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::LoseReply);
        let watch = world.watch(bucket, all());
        world.settle();
        watch
    }),
    ("verifying", |world, bucket| {
        world.peer.rule("$JS.API.STREAM.INFO.", Rule::Silence);
        let watch = world.watch(bucket, all());
        world.settle();
        watch
    }),
    ("live", |world, bucket| world.opened(bucket, all())),
    ("asking", |world, bucket| {
        world.peer.consumers.deliver_at_once = false;
        let watch = world.opened(bucket, all());
        world.peer.rule("$JS.API.STREAM.MSG.GET.", Rule::Silence);
        world.peer.beat();
        world.settle();
        assert_eq!(world.session.usage().reply_slots, 1);
        watch
    }),
    ("resting", |world, bucket| {
        world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Nobody);
        let watch = world.watch(bucket, all());
        world.settle();
        assert_eq!(world.session.usage().consumers, 0);
        watch
    }),
    ("paused", |world, bucket| {
        let watch = world.watch(bucket, all().buffer(1, 1));
        world.settle();
        assert_eq!(world.session.usage().consumers, 0);
        watch
    }),
    ("over", |world, bucket| {
        let watch = world.watch(bucket, all().until_synced());
        world.settle();
        watch
    }),
    ("offline", |world, bucket| {
        let watch = world.opened(bucket, all());
        lose_link(world);
        watch
    }),
];

/// Whatever a watch is doing when it is dropped, nothing is left of it.
#[test]
fn nothing_is_left_of_a_dropped_watch() {
    for (state, reach) in STATES {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        let watch = reach(&mut world, &bucket);
        world.session.unwatch(world.now, watch);
        let usage = world.session.usage();
        assert_eq!((usage.watches, usage.watch_bytes), (0, 0), "{state}");
        assert_eq!((usage.consumers, usage.pending_bytes), (0, 0), "{state}");
        world.reconnect();
        world.pass(seconds(3));
        assert!(world.peer.consumers.all.is_empty(), "{state}");
        let subs = world.peer.conns.values().map(|conn| conn.subs.len());
        assert_eq!(subs.sum::<usize>(), 0, "{state}");
        assert_idle(&world);
        assert_eq!(world.session.usage().timers, 1, "{state}: the link's own");
    }
}

/// The client's end is the last thing a watch tells, whatever it is doing; by
/// `close` the servers are told as well.
#[test]
fn the_client_s_end_is_the_watch_s() {
    for (state, reach) in STATES {
        for abort in [false, true] {
            let (mut world, bucket) = World::with_values(config(), &VALUES);
            let watch = reach(&mut world, &bucket);
            let was_over = world.session.watch_state(watch) == Some(WatchState::Ended);
            if abort {
                world.session.abort(world.now);
            } else {
                world.session.close(world.now);
            }
            let refused = world.session.watch(world.now, &bucket, all());
            assert_eq!(refused, Err(WatchError::Refused(Refused::Closed)));
            let told = world.told(watch);
            let closed = told.ends_with("error: client was closed");
            assert_eq!(closed, !was_over, "{state}: {told}");
            if !abort {
                world.pass(seconds(6));
                let left = world.peer.consumers.all.len();
                assert_eq!(left, usize::from(state == "offline"), "{state}");
            }
            assert_eq!(world.session.state(), ConnectionState::Closed, "{state}");
            world.session.unwatch(world.now, watch);
            assert_eq!(world.session.usage(), Usage::default(), "{state}");
            assert_eq!(world.session.poll_timeout(), None, "{state}");
        }
    }
}

/// What was to be deleted is remembered while there is no link, but not
/// without bound, and not longer than the servers themselves need.
#[test]
fn deletions_are_remembered_within_bounds() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watches: Vec<_> = (0..20).map(|_| world.opened(&bucket, all())).collect();
    lose_link(&mut world);
    assert_eq!(world.session.usage().deletions, 20);
    for watch in watches {
        world.session.unwatch(world.now, watch);
    }
    assert_eq!(world.session.usage().deletions, 20);
    world.reconnect();
    assert_idle(&world);
    assert!(world.peer.consumers.all.is_empty());

    let watches: Vec<_> = (0..20).map(|_| world.opened(&bucket, all())).collect();
    world.down = true;
    lose_link(&mut world);
    for watch in watches {
        world.session.unwatch(world.now, watch);
    }
    world.pass_silently(seconds(100));
    world.calls();
    world.down = false;
    world.reconnect();
    assert_idle(&world);
    assert_eq!(world.calls(), [""; 0], "they are gone by themselves");

    let few = config().limits(limits(|limits| limits.max_watches = 400));
    let (mut world, bucket) = World::with_values(few, &VALUES);
    for _ in 0..4 {
        let watches: Vec<_> = (0..400).map(|_| world.opened(&bucket, all())).collect();
        lose_link(&mut world);
        for watch in watches {
            world.session.unwatch(world.now, watch);
        }
        assert!(world.session.usage().deletions <= 1_024);
        if world.peer.conns.is_empty() {
            world.peer.rule("$JS.API.CONSUMER.DELETE.", Rule::Silence);
        }
        world.reconnect();
    }
    world.pass(seconds(10));
    assert_idle(&world);
}

/// A deletion that nobody confirms is asked for again, and given up in the end.
#[test]
fn a_deletion_is_asked_for_again() {
    let reply = |text: &str| Rule::Reply(text.into());
    for rule in [
        Rule::Nobody,
        Rule::Silence,
        reply("{}"),
        reply("{\"success\":false}"),
        reply("{\"success\":"),
        Rule::Reply(crate::support::peer::failure(503, 10_008, "not available").to_string()),
    ] {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        let watch = world.opened(&bucket, all());
        world.peer.rule("$JS.API.CONSUMER.DELETE.", rule.clone());
        world.session.unwatch(world.now, watch);
        world.settle();
        assert_eq!(world.session.usage().deletions, 1, "{rule:?}");
        world.pass(seconds(8));
        assert_idle(&world);
        assert!(world.peer.consumers.all.is_empty());
    }
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    for _ in 0..1_000 {
        world.peer.rule("$JS.API.CONSUMER.DELETE.", Rule::Nobody);
    }
    let watch = world.opened(&bucket, all());
    world.session.unwatch(world.now, watch);
    world.pass(seconds(70));
    assert_idle(&world);
    let asked = 1_000 - world.peer.rules_left();
    assert!((20..=61).contains(&asked), "{asked} in a minute");
}

/// A server that says that it shuts down: the feed is on the next link before
/// the old one ends, and nothing is missing or told twice.
#[test]
fn a_lame_duck_s_feeds_move() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watch = world.opened(&bucket, all());
    let old = world.link();
    let mut info = world.peer.info.clone();
    info["ldm"] = true.into();
    info["connect_urls"] = serde_json::json!(["two:2"]);
    world.inject(old, format!("INFO {info}\r\n").as_bytes());
    world.write("a", "3");
    assert_eq!(world.told(watch), "a=1@1 b=2@2 synced a=3@3");
    world.calls();
    world.pass(seconds(3));
    let new = world.link();
    assert_ne!(new, old);
    assert!(world.closed.contains(&old));
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
    assert_eq!(world.peer.consumers.all.len(), 1);
    let conn = world.sockets[&new].conn;
    assert_eq!(world.peer.consumers.all[0].conn, conn);
    let calls = world.calls();
    assert!(calls.contains(&"UNSUB".to_owned()), "{calls:?}");
    world.write("b", "4");
    assert_eq!(world.told(watch), "b=4@4");
}

/// More watches than there may be.
#[test]
fn watches_are_bounded_in_number() {
    let few = config().limits(limits(|limits| limits.max_watches = 3));
    let (mut world, bucket) = World::with_values(few, &VALUES);
    let watches: Vec<_> = (0..3).map(|_| world.watch(&bucket, all())).collect();
    let refused = world.session.watch(world.now, &bucket, all());
    let full = WatchError::Refused(Refused::Full);
    assert_eq!(refused, Err(full));
    let mut unique = watches.clone();
    unique.dedup_by_key(|watch| watch.index());
    assert_eq!(unique.len(), 3);
    world.session.unwatch(world.now, watches[1]);
    let another = world.watch(&bucket, all());
    assert_ne!(another, watches[1]);
    assert_eq!(another.index(), watches[1].index());
    world.session.unwatch(world.now, watches[1]); // an old name means nothing
    assert_eq!(world.told(another), "a=1@1 b=2@2 synced");
}

/// A deadline on the whole ends a watch in any state, on time.
#[test]
fn the_deadline_is_on_the_whole() {
    for (down, live) in [(true, false), (false, true)] {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        if down {
            world.down = true;
            lose_link(&mut world);
        }
        let options = all().patience(seconds(1_000)).timeout(seconds(30));
        let watch = world.watch(&bucket, options);
        world.pass(Duration::from_millis(29_900));
        let state = world.session.watch_state(watch);
        let expected = if live {
            WatchState::Live
        } else {
            WatchState::Opening
        };
        assert_eq!(state, Some(expected));
        world.pass(Duration::from_millis(100));
        let told = world.told(watch);
        assert!(told.ends_with("error: timed out"), "{told}");
        world.down = false;
        world.unwatched(watch);
        assert!(world.peer.consumers.all.is_empty());
    }
}
