//! The frames of a watch and their order: how a feed is made, verified and
//! ended, on a server in memory.

mod contract;
mod credit;
mod end;
mod epochs;
mod failures;
mod law;
mod no_panic;
mod resume;
mod synced;

use crate::support::embedder::{World, assert_idle, config, seconds};
use crate::support::peer::Rule;
use kv_proto::{KeyFilter, LinkErrorKind, WatchError, WatchOptions, WatchState};
use serde_json::json;

/// Who listens first misses nothing: the subscription goes before the consumer,
/// and the stream is looked at behind it.
#[test]
fn a_feed_is_made_in_three_steps() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    let watch = world.watch(&bucket, WatchOptions::default());
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Opening));
    assert_eq!(world.told(watch), "a=1@1 b=2@2 synced");
    assert_eq!(world.calls(), ["SUB", "CONSUMER.CREATE", "STREAM.INFO"]);
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
    world.write("a", "3");
    assert_eq!(world.told(watch), "a=3@3");
    world.erase("a");
    assert_eq!(world.told(watch), "a!@4");
    world.unwatched(watch);
    assert!(world.peer.consumers.all.is_empty());
}

/// Without a literal subscription a consumer delivers nothing; and the reply
/// inbox does not hear it as well.
#[test]
fn the_deliver_subject_is_listened_to_literally() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
    world.opened(&bucket, WatchOptions::default());
    let line = world.peer.lines.first().unwrap().clone();
    let subject = line.split(' ').nth(1).unwrap();
    assert_eq!(world.peer.newest().deliver, subject);
    assert!(!subject.contains(['*', '>']), "{subject}");
    let inbox = String::from_utf8_lossy(&world.written).into_owned();
    let inbox = inbox.lines().find(|line| line.starts_with("SUB ")).unwrap();
    let prefix = inbox.split(' ').nth(1).unwrap().trim_end_matches('*');
    let rest = subject.strip_prefix(prefix).unwrap();
    assert_eq!(rest.split('.').count(), 2, "{inbox} hears {subject}");
}

/// What the consumer is asked to be, and that the same is never asked of two.
#[test]
fn each_consumer_has_a_name_of_its_own() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
    let options = WatchOptions::default().heartbeat(seconds(2)).meta_only();
    let watch = world.opened(&bucket, options);
    for _ in 0..3 {
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        world.reconnect();
        assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
    }
    let created = &world.peer.consumers.created;
    let mut names: Vec<_> = created.iter().map(|c| c["name"].to_string()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
    for config in created {
        assert_eq!(config["ack_policy"], json!("none"));
        assert_eq!(config["idle_heartbeat"], json!(2_000_000_000));
        assert_eq!(config["flow_control"], json!(true));
        assert_eq!(config["headers_only"], json!(true));
        assert_eq!(config["filter_subject"], json!("$KV.b.>"));
        assert!(config["inactive_threshold"].as_u64().unwrap() <= 300_000_000_000);
    }
    assert_eq!(world.told(watch), "a=@1 synced");
}

/// Several filters, and what none of them matches.
#[test]
fn filters_are_the_server_s_work() {
    let values = [("a.x", "1"), ("b", "2"), ("c.y", "3"), ("a", "4")];
    let (mut world, bucket) = World::with_values(config(), &values);
    let filter = |text| KeyFilter::new(text).unwrap();
    let options = WatchOptions::default()
        .filter(filter("a.*"))
        .filter(filter("b"));
    let watch = world.opened(&bucket, options);
    assert_eq!(world.told(watch), "a.x=1@1 b=2@2 synced");
    let config = &world.peer.consumers.created[0];
    assert_eq!(
        config["filter_subjects"],
        json!(["$KV.b.a.*", "$KV.b.b"]),
        "{config}"
    );
    // A server that does not filter tells nothing that was not asked for.
    let link = world.link();
    let stray = world.peer.newest().clone();
    let sid = world.peer.lines[0].rsplit_once(' ').unwrap().1.to_owned();
    let reply = format!("$JS.ACK.KV_b.{}.1.9.3.9.0", stray.name);
    let frame = crate::support::consumers::frame("$KV.b.c.y", &sid, &reply, b"", b"v");
    world.inject(link, &frame);
    assert_eq!(world.told(watch), "");
}

/// Servers before 2.15 mix several filters up, so they are given one that covers
/// them; what it lets through besides is not told.
#[test]
fn older_servers_are_given_one_filter() {
    for (version, given) in [
        ("2.14.6", json!("$KV.b.a.>")),
        ("2.10.26", json!("$KV.b.a.>")),
        ("2.15.0", json!(null)),
    ] {
        let values = [("a.x", "1"), ("a.y", "2"), ("a.z", "3"), ("b", "4")];
        let (mut world, bucket) = World::with_values(config(), &values);
        world.peer.info["version"] = json!(version);
        let info = format!("INFO {}\r\n", world.peer.info);
        let link = world.link();
        world.inject(link, info.as_bytes());
        let filter = |text| KeyFilter::new(text).unwrap();
        let options = WatchOptions::default()
            .filter(filter("a.x"))
            .filter(filter("a.y"));
        let watch = world.opened(&bucket, options);
        assert_eq!(world.told(watch), "a.x=1@1 a.y=2@2 synced", "{version}");
        let config = &world.peer.consumers.created[0];
        assert_eq!(config["filter_subject"], given, "{version}");
        world.write("a.z", "5");
        world.write("a.y", "6");
        assert_eq!(world.told(watch), "a.y=6@6", "{version}");
    }
}

/// Messages that overtake the answer to the creation are held, and told once the
/// bucket was seen to be the same.
#[test]
fn what_overtakes_the_answer_is_held() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Hold);
    let watch = world.watch(&bucket, WatchOptions::default());
    assert_eq!(world.told(watch), "");
    assert!(world.session.usage().watch_bytes > 0, "it is counted");
    world.peer.rule("$JS.API.STREAM.INFO.", Rule::Hold);
    world.peer.release(0);
    assert_eq!(world.told(watch), "", "not verified");
    world.write("a", "3");
    assert_eq!(world.told(watch), "");
    world.peer.release(0);
    assert_eq!(world.told(watch), "a=1@1 b=2@2 a=3@3 synced");
    assert_eq!(world.session.usage().watch_bytes, 0);
}

/// What was held of a feed that does not last is gone with it, and comes again
/// with the next.
#[test]
fn what_is_held_is_gone_with_its_feed() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
    world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Hold);
    let watch = world.watch(&bucket, WatchOptions::default());
    assert_eq!(world.told(watch), "");
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    assert_eq!(world.session.usage().watch_bytes, 0);
    world.reconnect();
    assert_eq!(world.told(watch), "a=1@1 synced");
}

/// A feed has at most one open question, whatever comes.
#[test]
fn one_question_is_open_at_a_time() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    let watch = world.watch(&bucket, WatchOptions::default());
    world.peer.hold_all = true;
    world.peer.consumers.deliver_at_once = false;
    world.settle();
    for _ in 0..5 {
        world.peer.beat();
        world.settle();
        assert_eq!(world.session.usage().reply_slots, 1);
    }
    while !world.peer.held.is_empty() {
        world.peer.release(0);
        world.settle();
    }
    world.vanish(2);
    world.peer.consumers.last_only = true; // else two heartbeats would answer it
    for _ in 0..5 {
        world.peer.beat();
        world.peer.deliver(1);
        world.settle();
        assert_eq!(world.session.usage().reply_slots, 1, "STREAM.MSG");
    }
    let asked = world.calls();
    let asked = asked.iter().filter(|call| *call == "STREAM.MSG");
    assert_eq!(asked.count(), 1);
    world.peer.calm();
    assert_eq!(world.told(watch), "a=1@1");
    world.session.unwatch(world.now, watch);
    world.settle();
    assert_eq!(world.session.usage().reply_slots, 0, "nobody waits for it");
}

/// A message that is there by a request of its own is no update: neither what
/// another consumer sends, nor what nobody can tell.
#[test]
fn what_is_not_the_feed_s_is_counted_and_left() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
    let watch = world.opened(&bucket, WatchOptions::default());
    assert_eq!(world.told(watch), "a=1@1 synced");
    let sid = world.peer.lines[0].rsplit_once(' ').unwrap().1.to_owned();
    let name = world.peer.newest().name.clone();
    let link = world.link();
    for reply in [
        "$JS.ACK.KV_b.other.1.9.2.9.0".to_owned(),
        format!("$JS.ACK.KV_b.{name}.1.9.1.9.0"),
        format!("$JS.ACK.KV_b.{name}.1.9.2.9"),
        "reply".to_owned(),
        String::new(),
    ] {
        let before = world.session.stats().stray_messages;
        for (sid, block) in [(sid.as_str(), &b""[..]), ("77", b"")] {
            let frame = crate::support::consumers::frame("$KV.b.k", sid, &reply, block, b"v");
            world.inject(link, &frame);
        }
        assert_eq!(world.told(watch), "", "{reply}");
        assert_eq!(world.session.stats().stray_messages, before + 2, "{reply}");
    }
    world.write("a", "2");
    assert_eq!(world.told(watch), "a=2@2", "it is the same feed");
    assert_eq!(world.peer.consumers.created.len(), 1);
}

/// A status line under a key's subject was stored by a writer: it is an entry,
/// not a notice.
#[test]
fn a_stored_status_is_no_notice() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    let watch = world.opened(&bucket, WatchOptions::default());
    assert_eq!(world.told(watch), "synced");
    for block in [
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 99\r\n\r\n",
        "NATS/1.0 100 FlowControl Request\r\n\r\n",
        "NATS/1.0 409 Consumer Deleted\r\n\r\n",
    ] {
        world.peer.publish_as_other("$KV.b.k", block, b"v");
    }
    assert_eq!(world.told(watch), "k=v@1 k=v@2 k=v@3");
    assert!(world.peer.consumers.flow_answers.is_empty());
    assert_eq!(world.peer.consumers.created.len(), 1);
}

/// Who may not listen is told so.
#[test]
fn a_refused_subscription_ends_the_watch() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    let watch = world.watch(&bucket, WatchOptions::default());
    world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Silence);
    world.settle();
    let subject = world.peer.lines[0].split(' ').nth(1).unwrap().to_owned();
    let link = world.link();
    let text = format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'\r\n");
    world.inject(link, text.as_bytes());
    let denied = WatchError::Denied { subject };
    assert_eq!(world.session.next_update(watch), Some(Err(denied)));
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Ended));
    world.unwatched(watch);
}

/// Watches of one session do not mix.
#[test]
fn watches_do_not_mix() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    let one = WatchOptions::default().filter(KeyFilter::new("a").unwrap());
    let one = world.opened(&bucket, one);
    let other = WatchOptions::default().filter(KeyFilter::new("b").unwrap());
    let other = world.opened(&bucket, other.updates_only());
    let both = world.opened(&bucket, WatchOptions::default());
    assert_eq!(world.session.usage().watches, 3);
    assert_eq!(world.session.usage().consumers, 3);
    world.write("b", "3");
    world.write("a", "4");
    assert_eq!(world.told(other), "synced b=3@3");
    assert_eq!(world.told(one), "a=1@1 synced a=4@4");
    assert_eq!(world.told(both), "a=1@1 b=2@2 synced b=3@3 a=4@4");
    for watch in [one, both, other] {
        world.session.unwatch(world.now, watch);
        assert_eq!(world.session.next_update(watch), None, "it is dropped");
        assert_eq!(world.session.watch_state(watch), None);
        assert_eq!(world.session.position(watch), None);
    }
    world.settle();
    assert_idle(&world);
}
