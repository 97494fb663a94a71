//! How a watch goes on: after gaps, silence and lost links, and whether the
//! bucket is still the same then.

use std::time::Duration;

use crate::support::embedder::{World, config, seconds};
use crate::support::peer::Rule;
use kv_proto::{Binding, KeyFilter, LinkErrorKind, Position, WatchId, WatchOptions, WatchState};

const TENTH: Duration = Duration::from_millis(100);

/// A live watch that was told of `a` at 1 and `b` at 2.
fn live(options: WatchOptions) -> (World, Binding, WatchId) {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    let watch = world.opened(&bucket, options);
    assert_eq!(world.told(watch), "a=1@1 b=2@2 synced");
    world.pass(seconds(6)); // long enough to be no short life
    world.calls();
    (world, bucket, watch)
}

fn all() -> WatchOptions {
    WatchOptions::default()
}

/// The link is lost and made again.
fn relink(world: &mut World) {
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
}

/// The policy of the consumer that was asked for last.
fn newest(world: &World) -> String {
    world.peer.consumers.policies().pop().unwrap()
}

/// The subscription and the consumer of each predecessor are given up.
const REPLACED: [&str; 5] = [
    "UNSUB",
    "SUB",
    "CONSUMER.DELETE",
    "CONSUMER.CREATE",
    "STREAM.INFO",
];

/// A gap: the message behind it is not told before the one that is missing.
#[test]
fn a_gap_is_closed() {
    let (mut world, _, watch) = live(all());
    world.peer.consumers.deliver_at_once = false;
    world.write("a", "3");
    world.write("b", "4");
    world.write("c", "5");
    world.peer.deliver(1);
    world.peer.lose_one();
    world.peer.deliver(1);
    assert_eq!(world.told(watch), "a=3@3");
    world.peer.consumers.deliver_at_once = true;
    world.pass(TENTH);
    assert_eq!(newest(&world), "by_start_sequence 3");
    assert_eq!(world.told(watch), "b=4@4 c=5@5");
    let calls = world.calls();
    for call in REPLACED {
        assert!(calls.iter().any(|one| one == call), "{call} in {calls:?}");
    }
    assert_eq!(world.peer.consumers.all.len(), 1);
}

/// A heartbeat that counts more than came tells of the gap as well.
#[test]
fn a_heartbeat_tells_of_a_gap() {
    let (mut world, _, watch) = live(all());
    world.peer.consumers.deliver_at_once = false;
    world.write("a", "3");
    world.peer.lose_one();
    assert_eq!(world.told(watch), "");
    world.peer.consumers.deliver_at_once = true;
    world.pass(TENTH * 2);
    assert_eq!(world.told(watch), "a=3@3");
    assert_eq!(newest(&world), "by_start_sequence 2");
}

/// What comes a second time is told once.
#[test]
fn a_message_that_comes_twice_is_told_once() {
    let (mut world, _, watch) = live(all());
    world.write("a", "3");
    world.peer.repeat_last();
    world.peer.repeat_last();
    assert_eq!(world.told(watch), "a=3@3");
    world.write("a", "4");
    world.peer.repeat_last();
    assert_eq!(world.told(watch), "a=4@4");
    assert_eq!(world.peer.consumers.created.len(), 1);
}

/// A consumer that is gone says nothing. Two heartbeats later another one is
/// there, though nobody asks for updates.
#[test]
fn silence_is_noticed_without_being_asked() {
    for heartbeat in [Duration::from_millis(100), seconds(2)] {
        let (mut world, _, watch) = live(all().heartbeat(heartbeat));
        world.peer.lose_consumers();
        let lost = world.now;
        world.write("a", "3");
        while world.peer.consumers.all.is_empty() {
            let next = world.session.poll_timeout().unwrap();
            world.at(next);
            world.settle();
        }
        let noticed = world.now.saturating_duration_since(lost);
        // The rest before the next one is within a tenth of a second.
        assert!(noticed <= heartbeat * 2 + TENTH, "{noticed:?}");
        assert!(noticed >= heartbeat, "{noticed:?}");
        assert_eq!(world.told(watch), "a=3@3");
    }
}

/// Silence is no silence while messages come.
#[test]
fn messages_are_signs_of_life() {
    let (mut world, _, watch) = live(all().heartbeat(seconds(1)));
    for _ in 0..30 {
        world.pass_silently(seconds(1));
        world.write("a", "x");
        world.settle();
    }
    assert_eq!(world.peer.consumers.created.len(), 1);
    assert_eq!(world.told(watch).split(' ').count(), 30);
}

/// After a lost link the watch goes on at once, at what it received last.
#[test]
fn a_lost_link_costs_nothing() {
    let (mut world, _, watch) = live(all());
    world.write("a", "3");
    world.settle(); // received, and not read
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    assert_eq!(
        world.session.watch_state(watch),
        Some(WatchState::Recovering)
    );
    assert_eq!(world.session.usage().consumers, 0);
    world.write("b", "4");
    world.reconnect();
    assert_eq!(newest(&world), "by_start_sequence 3");
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
    assert_eq!(world.told(watch), "a=3@3 b=4@4");
}

/// Nothing was told yet: the next consumer is asked for what the first one was.
#[test]
fn who_was_told_nothing_starts_again_the_same_way() {
    for (options, policy) in [
        (all(), "last_per_subject"),
        (all().include_history(), "all"),
        (all().updates_only(), "new"),
        (
            all().from_revision(kv_proto::Revision::new(7)),
            "by_start_sequence 7",
        ),
        (
            all().from_revision(kv_proto::Revision::new(0)),
            "by_start_sequence 1",
        ),
    ] {
        let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
        world.peer.rule("$JS.API.STREAM.INFO.", Rule::Hold);
        let watch = world.watch(&bucket, options);
        world.settle();
        relink(&mut world);
        assert_eq!(world.peer.consumers.policies(), [policy, policy]);
        assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
    }
}

/// Nothing is there: what comes after the initial data is not only the last of
/// each key.
#[test]
fn nothing_was_there() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    let watch = world.opened(&bucket, all());
    assert_eq!(world.told(watch), "synced");
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.write("a", "1");
    world.write("a", "2");
    world.reconnect();
    assert_eq!(world.told(watch), "a=1@1 a=2@2");
}

/// A watch of updates goes on behind the place where its first consumer began,
/// even if nothing was told since.
#[test]
fn updates_go_on_where_they_began() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    let watch = world.opened(&bucket, all().updates_only());
    assert_eq!(world.told(watch), "synced");
    assert_eq!(world.session.position(watch).unwrap().revision().get(), 2);
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.write("a", "3");
    world.reconnect();
    assert_eq!(newest(&world), "by_start_sequence 3");
    assert_eq!(world.told(watch), "a=3@3");
}

// ---- positions ----------------------------------------------------------------

/// The position is that of the reader, and another session goes on behind it.
#[test]
fn a_position_is_a_place_to_go_on_from() {
    let (mut world, bucket, watch) = live(all());
    world.write("a", "3");
    world.settle();
    let position = world.session.position(watch).unwrap();
    assert_eq!(position.revision().get(), 2, "what waits was not read");
    let stored: Position = position.to_string().parse().unwrap();
    let other = world.opened(&bucket, all().from_position(stored));
    assert_eq!(newest(&world), "by_start_sequence 2");
    assert_eq!(world.session.position(other), Some(stored));
    assert_eq!(world.told(other), "a=3@3 synced");

    world.peer.recreate("KV_b");
    world.write("c", "1");
    let late = world.watch(&bucket, all().from_position(stored));
    world.pass(seconds(1));
    assert_eq!(world.told(late), "Recreated c=1@1 synced");

    let (mut world, bucket, _) = live(all());
    world.peer.rewind("KV_b", 1);
    let late = world.watch(&bucket, all().from_position(stored));
    world.pass(seconds(1));
    assert_eq!(world.told(late), "Rewound a=1@1 synced");
    assert_eq!(world.session.position(late).unwrap().revision().get(), 1);
}

/// The reader comes on with what is not told, too: else it would be looked at
/// again with every resume.
#[test]
fn what_is_left_out_moves_the_position() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
    world.erase("b");
    let watch = world.opened(&bucket, all().ignore_deletes());
    assert_eq!(world.told(watch), "a=1@1 synced");
    world.erase("a");
    assert_eq!(world.told(watch), "");
    assert_eq!(world.session.position(watch).unwrap().revision().get(), 3);
    relink(&mut world);
    assert_eq!(newest(&world), "by_start_sequence 3");
    assert_eq!(world.told(watch), "");
}

/// A filtered watch sees the same bucket by its own keys only.
#[test]
fn a_filtered_watch_goes_on_as_well() {
    let filter = KeyFilter::new("b").unwrap();
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2"), ("a", "3")]);
    let watch = world.opened(&bucket, all().filter(filter));
    assert_eq!(world.told(watch), "b=2@2 synced");
    world.write("b", "4");
    world.settle();
    relink(&mut world);
    assert_eq!(newest(&world), "by_start_sequence 4");
    assert_eq!(world.told(watch), "b=4@4");
}

/// A flow control request that comes while a feed is not verified does not
/// make the watch forget where it is.
#[test]
fn flow_control_keeps_the_place() {
    let (mut world, _, watch) = live(all());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.peer.rule("$JS.API.STREAM.INFO.", Rule::Hold);
    world.reconnect();
    world.peer.ask_for_flow(0);
    world.settle();
    world.peer.release(0);
    world.settle();
    relink(&mut world);
    assert_eq!(newest(&world), "by_start_sequence 2");
    assert_eq!(world.told(watch), "");
    assert_eq!(world.session.position(watch).unwrap().revision().get(), 2);
}

/// What can be read and what cannot, in stored messages that a writer made.
#[test]
fn damage_is_told_and_passed() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
    for (subject, block) in [
        ("$KV.b.k", "NATS/1.0\r\nno colon\r\n\r\n"),
        ("$KV.b.k", "NATS/1.0\r\nX: a\rb\r\n\r\n"),
        ("$KV.b.sp\u{e9}cial", ""),
        ("$KV.b.k", "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\n\r\n"),
    ] {
        world.peer.publish_as_other(subject, block, b"v");
    }
    world.write("z", "6");
    let watch = world.opened(&bucket, all().include_history());
    let told = world.told(watch);
    assert_eq!(told, "a=1@1 ~2 ~3 ~4 k!@5 z=6@6 synced");
    relink(&mut world);
    assert_eq!(newest(&world), "by_start_sequence 6");
    assert_eq!(world.told(watch), "");
}
