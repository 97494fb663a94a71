//! Scenes that show the planted bugs of watches.

use kv_proto::mutant::Mutant;
use kv_proto::{LinkErrorKind, WatchId, WatchOptions};

use crate::support::consumers::frame;
use crate::support::embedder::{World, config, seconds};
use crate::support::peer::Rule;

/// Plays a scene and tells what is to be seen.
pub(crate) type Scene = fn() -> String;

/// The bug, the scene, what it shows in correct code, and what with the bug.
pub(crate) const SCENES: [(Mutant, Scene, &str, &str); 25] = [
    (
        Mutant::UnpolledStaysSilent,
        a_consumer_is_lost_and_nobody_asks,
        "1 consumers",
        "0 consumers",
    ),
    (
        Mutant::SilenceOfConsumerIgnored,
        a_consumer_is_lost_and_nobody_asks,
        "1 consumers",
        "0 consumers",
    ),
    (
        Mutant::SilenceOfConsumerIgnored,
        a_consumer_is_lost,
        "c=3@3",
        "",
    ),
    (
        Mutant::ResumeFromZero,
        the_link_is_lost_before_anything_was_told,
        "synced a=1@1",
        "synced",
    ),
    (
        Mutant::ConsumerNameReused,
        the_link_is_lost_twice,
        "3 names",
        "1 names",
    ),
    (
        Mutant::NotUnsubscribed,
        the_watch_is_dropped,
        "0 subscriptions, 0 consumers",
        "1 subscriptions, 0 consumers",
    ),
    (
        Mutant::ConsumerLeftBehind,
        the_watch_is_dropped,
        "0 subscriptions, 0 consumers",
        "0 subscriptions, 1 consumers",
    ),
    (
        Mutant::DeletionForgottenOffline,
        the_watch_is_dropped_offline,
        "0 consumers",
        "1 consumers",
    ),
    (Mutant::NoRest, nobody_makes_consumers, "a few", "a storm"),
    (
        Mutant::DroppedWhenFull,
        the_reader_is_slow,
        "a=1@1 b=2@2 synced c=3@3 c=4@4 c=5@5",
        "a=1@1 b=2@2 synced c=3@3",
    ),
    (
        Mutant::SyncedTooEarly,
        a_zero_comes_too_early,
        "a=1@1 b=2@2 synced",
        "a=1@1 synced b=2@2",
    ),
    (
        Mutant::NeverSyncedOnNothing,
        nothing_is_there,
        "Live synced",
        "Live ",
    ),
    (
        Mutant::EndsWhenEmpty,
        nothing_is_there,
        "Live synced",
        "Ended ",
    ),
    (
        Mutant::IncarnationIgnored,
        the_bucket_is_made_again,
        "Recreated c=1@1 synced",
        "",
    ),
    (
        Mutant::IncarnationIgnored,
        the_bucket_loses_its_end,
        "Rewound a=1@1 synced",
        "",
    ),
    (
        Mutant::RewindIgnored,
        the_bucket_loses_its_end,
        "Rewound a=1@1 synced",
        "",
    ),
    (
        Mutant::VerifiedTooEarly,
        the_bucket_is_made_again_in_between,
        "Recreated synced",
        "",
    ),
    (
        Mutant::HeartbeatMiscounted,
        a_heartbeat_comes,
        "1 consumers were made",
        "2 consumers were made",
    ),
    (Mutant::SequenceNotReset, a_consumer_is_lost, "c=3@3", ""),
    (
        Mutant::FirstFailureIsFinal,
        a_consumer_cannot_be_made_at_once,
        "c=3@3",
        "error: bucket is not available",
    ),
    (
        Mutant::OldMessageSlipsIn,
        a_message_of_another_consumer_comes,
        "nothing",
        "stale=v@9",
    ),
    (
        Mutant::FlowControlIgnored,
        the_server_waits_for_flow_control,
        "a=1@1 b=2@2 synced",
        "a=1@1",
    ),
    (
        Mutant::WildcardListener,
        values_are_there,
        "a=1@1 b=2@2 synced",
        "",
    ),
    (Mutant::MarkersIgnored, a_marker_comes, "a!@3", "a=@3"),
    (
        Mutant::ConsumerNameReused,
        a_consumer_is_made_while_its_predecessor_is_deleted,
        "Live, c=3@3",
        "Recovering, ",
    ),
];

fn values(values: &[(&str, &str)], options: WatchOptions) -> (World, WatchId) {
    let (mut world, bucket) = World::with_values(config(), values);
    let watch = world.watch(&bucket, options);
    world.settle();
    (world, watch)
}

/// A live watch that was told of `a` and `b`, and has lived for a while.
fn live() -> (World, WatchId) {
    let (mut world, watch) = values(&[("a", "1"), ("b", "2")], WatchOptions::default());
    assert_eq!(world.told(watch), "a=1@1 b=2@2 synced");
    world.pass_silently(seconds(6));
    (world, watch)
}

fn relink(world: &mut World) {
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
}

// ---- feeds -----------------------------------------------------------------------

fn a_consumer_is_lost_and_nobody_asks() -> String {
    let (mut world, _) = live();
    world.peer.lose_consumers();
    world.pass(seconds(60));
    format!("{} consumers", world.peer.consumers.all.len())
}

fn a_consumer_is_lost() -> String {
    let (mut world, watch) = live();
    world.peer.lose_consumers();
    world.write("c", "3");
    world.pass(seconds(60));
    world.told(watch)
}

fn the_link_is_lost_before_anything_was_told() -> String {
    let (mut world, watch) = values(&[], WatchOptions::default());
    let synced = world.told(watch);
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.write("a", "1");
    world.reconnect();
    world.pass(seconds(30));
    format!("{synced} {}", world.told(watch)).trim().to_owned()
}

fn the_link_is_lost_twice() -> String {
    let (mut world, _) = live();
    relink(&mut world);
    relink(&mut world);
    let created = &world.peer.consumers.created;
    let mut names: Vec<_> = created.iter().map(|c| c["name"].to_string()).collect();
    // Also what was asked for and refused.
    let asked = world.peer.lines.iter();
    let asked = asked.filter_map(|line| line.strip_prefix("$JS.API.CONSUMER.CREATE.KV_b."));
    names.extend(asked.map(|rest| format!("\"{}\"", rest.split('.').next().unwrap())));
    names.sort();
    names.dedup();
    format!("{} names", names.len())
}

fn a_consumer_is_made_while_its_predecessor_is_deleted() -> String {
    let (mut world, watch) = live();
    // Its deletion takes long.
    world.peer.rule("$JS.API.CONSUMER.DELETE.", Rule::Silence);
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.write("c", "3");
    world.reconnect();
    let state = world.session.watch_state(watch).unwrap();
    format!("{state:?}, {}", world.told(watch))
}

fn the_watch_is_dropped() -> String {
    let (mut world, watch) = live();
    world.session.unwatch(world.now, watch);
    world.settle();
    let subs: usize = world.peer.conns.values().map(|conn| conn.subs.len()).sum();
    let consumers = world.peer.consumers.all.len();
    format!("{subs} subscriptions, {consumers} consumers")
}

fn the_watch_is_dropped_offline() -> String {
    let (mut world, watch) = live();
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.session.unwatch(world.now, watch);
    world.reconnect();
    world.pass_silently(seconds(5));
    format!("{} consumers", world.peer.consumers.all.len())
}

fn nobody_makes_consumers() -> String {
    let (mut world, _) = live();
    for _ in 0..500 {
        world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Nobody);
    }
    relink(&mut world);
    world.pass(seconds(10));
    let asked = 500 - world.peer.rules_left();
    let told = if asked > 100 { "a storm" } else { "a few" };
    told.to_owned()
}

fn a_consumer_cannot_be_made_at_once() -> String {
    let (mut world, watch) = live();
    world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Nobody);
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.write("c", "3");
    world.reconnect();
    world.pass(seconds(5));
    world.told(watch)
}

fn a_heartbeat_comes() -> String {
    let (mut world, _) = values(&[("a", "1"), ("a", "2")], WatchOptions::default());
    world.peer.beat();
    world.pass(seconds(1));
    let made = world.peer.consumers.created.len();
    format!("{} consumers were made", made.min(2))
}

fn a_message_of_another_consumer_comes() -> String {
    let (mut world, watch) = live();
    let sid = world
        .peer
        .lines
        .iter()
        .find(|line| line.starts_with("SUB "));
    let sid = sid.unwrap().rsplit_once(' ').unwrap().1.to_owned();
    let reply = "$JS.ACK.KV_b.former.1.9.3.1795460400000000009.0";
    let bytes = frame("$KV.b.stale", &sid, reply, b"", b"v");
    let link = world.link();
    world.inject(link, &bytes);
    let told = world.told(watch);
    if told.is_empty() {
        "nothing".to_owned()
    } else {
        told
    }
}

fn values_are_there() -> String {
    let (mut world, watch) = values(&[("a", "1"), ("b", "2")], WatchOptions::default());
    world.pass(seconds(1));
    world.told(watch)
}

// ---- what is told ------------------------------------------------------------------

fn the_reader_is_slow() -> String {
    let options = WatchOptions::default().buffer(3, usize::MAX);
    let (mut world, watch) = values(&[("a", "1"), ("b", "2")], options);
    for value in ["3", "4", "5"] {
        world.write("c", value);
        world.settle();
    }
    world.told(watch)
}

fn a_zero_comes_too_early() -> String {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.watch(&bucket, WatchOptions::default());
    world.settle();
    let sid = world.peer.lines[0].rsplit_once(' ').unwrap().1.to_owned();
    let name = world.peer.newest().name.clone();
    let reply = format!("$JS.ACK.KV_b.{name}.1.1.1.1795460400000000001.0");
    let link = world.link();
    world.peer.lose_one();
    world.inject(link, &frame("$KV.b.a", &sid, &reply, b"", b"1"));
    world.settle();
    world.peer.deliver(1);
    world.told(watch)
}

fn nothing_is_there() -> String {
    let (mut world, watch) = values(&[], WatchOptions::default());
    world.pass(seconds(3));
    let state = world.session.watch_state(watch).unwrap();
    format!("{state:?} {}", world.told(watch))
}

fn the_bucket_is_made_again() -> String {
    let (mut world, watch) = live();
    world.peer.recreate("KV_b");
    world.write("c", "1");
    relink(&mut world);
    world.pass(seconds(5));
    world.told(watch)
}

fn the_bucket_loses_its_end() -> String {
    let (mut world, watch) = live();
    world.peer.rewind("KV_b", 1);
    relink(&mut world);
    world.pass(seconds(3));
    world.told(watch)
}

/// The bucket is deleted and made again between the first question of a feed
/// and the second one.
fn the_bucket_is_made_again_in_between() -> String {
    let (mut world, watch) = live();
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.peer.hold_all = true;
    world.reconnect();
    world.settle();
    world.peer.recreate("KV_b");
    world.peer.calm();
    while !world.peer.held.is_empty() {
        world.peer.release(0);
    }
    world.pass(seconds(3));
    world.told(watch)
}

fn the_server_waits_for_flow_control() -> String {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    world.peer.consumers.window = Some(1);
    let watch = world.watch(&bucket, WatchOptions::default());
    world.pass(seconds(3));
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(world.told(watch));
        world.pass(seconds(3));
    }
    told.retain(|told| !told.is_empty());
    told.join(" ")
}

fn a_marker_comes() -> String {
    let (mut world, watch) = live();
    let block = "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\n\r\n";
    world.peer.publish_as_other("$KV.b.a", block, b"");
    world.settle();
    world.told(watch)
}
