//! When the initial data is complete: exactly once, never early, and always.

use std::time::Duration;

use crate::support::embedder::{World, config, seconds};
use crate::support::peer::Rule;
use kv_proto::{KeyFilter, LinkErrorKind, ResetReason, WatchError, WatchOptions, WatchState};

const VALUES: [(&str, &str); 4] = [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")];

fn all() -> WatchOptions {
    WatchOptions::default()
}

/// Sets that are empty for different reasons.
#[test]
fn nothing_is_complete_at_once() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    for options in [all(), all().include_history(), all().updates_only()] {
        let watch = world.opened(&bucket, options);
        assert_eq!(world.told(watch), "synced");
    }
    for (key, value) in VALUES {
        world.write(key, value);
    }
    let filter = KeyFilter::new("nothing.>").unwrap();
    let watch = world.opened(&bucket, all().filter(filter));
    assert_eq!(world.told(watch), "synced");
    let watch = world.opened(&bucket, all().updates_only());
    assert_eq!(world.told(watch), "synced");
    for key in ["a", "b", "c"] {
        world.erase(key);
    }
    let watch = world.opened(&bucket, all());
    assert_eq!(
        world.told(watch),
        "b!@6 c!@7 synced".replace("b!", "a!@5 b!")
    );
    let watch = world.opened(&bucket, all().ignore_deletes());
    assert_eq!(world.told(watch), "synced");
    let watch = world.opened(&bucket, all().from_revision(99.into_revision()));
    assert_eq!(world.told(watch), "synced");
    // What comes after it is told after it.
    world.write("a", "8");
    assert_eq!(world.told(watch), "", "it starts with 99");
}

trait IntoRevision {
    fn into_revision(self) -> kv_proto::Revision;
}

impl IntoRevision for u64 {
    fn into_revision(self) -> kv_proto::Revision {
        kv_proto::Revision::new(self)
    }
}

/// Not before as many messages came as were counted, though new ones are
/// written all the time.
#[test]
fn it_is_complete_with_the_last_that_was_counted() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.opened(&bucket, all());
    for (told, written) in [
        ("b=2@2", 5),
        ("c=3@3", 6),
        ("a=4@4 synced", 7),
        ("n=x@5", 8),
    ] {
        assert_eq!(world.told(watch), "");
        world.write("n", "x");
        assert_eq!(world.peer.streams["KV_b"].last_seq, written);
        world.peer.deliver(1);
        assert_eq!(world.told(watch), told);
    }
}

/// A message that says too early that nothing is pending ends nothing: the
/// server is asked, and has more.
#[test]
fn a_premature_zero_ends_nothing() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.opened(&bucket, all());
    let link = world.link();
    let consumer = world.peer.newest().clone();
    let sid = world.peer.lines[0].rsplit_once(' ').unwrap().1.to_owned();
    let reply = format!("$JS.ACK.KV_b.{}.1.2.1.1795460400000000002.0", consumer.name);
    world.calls();
    world.inject(
        link,
        &crate::support::consumers::frame("$KV.b.b", &sid, &reply, b"", b"2"),
    );
    assert_eq!(world.told(watch), "b=2@2");
    assert_eq!(world.calls(), ["STREAM.MSG"]);
    // The rest comes as it should; the first was delivered above.
    world.peer.lose_one();
    world.peer.deliver(9);
    assert_eq!(world.told(watch), "c=3@3 a=4@4 synced");
}

/// Entries that vanish before they are delivered are not waited for: a message
/// with nothing pending behind it, or a heartbeat, lets the server be asked.
#[test]
fn what_vanished_is_not_waited_for() {
    // The last one is left.
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.opened(&bucket, all());
    world.vanish(2);
    world.peer.deliver(9);
    assert_eq!(world.told(watch), "c=3@3 a=4@4 synced");
    let asked = |world: &mut World| {
        let calls = world.calls();
        let is_asked = |call: &&String| ["STREAM.MSG", "CONSUMER.INFO"].contains(&call.as_str());
        calls.iter().filter(is_asked).count()
    };
    assert_eq!(asked(&mut world), 0, "it was the last revision of all");
    // The last one is gone.
    for gone in [&[4][..], &[1, 2, 3, 4]] {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        world.peer.consumers.deliver_at_once = false;
        let watch = world.opened(&bucket, all());
        for revision in gone {
            if *revision == 4 {
                world.peer.deliver(usize::from(gone.len() == 1) * 2);
            }
            world.vanish(*revision);
        }
        let first = world.told(watch);
        assert!(!first.contains("synced"), "{first}");
        world.peer.beat();
        assert_eq!(world.told(watch), "synced");
        assert_eq!(asked(&mut world), 1);
        world.peer.beat();
        world.settle();
        assert_eq!(asked(&mut world), 0, "it is complete");
    }
}

/// While something is on its way the answer confirms nothing.
#[test]
fn what_is_on_its_way_is_waited_for() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.opened(&bucket, all());
    world.peer.deliver(1);
    world.vanish(4);
    world.peer.beat();
    world.settle();
    assert_eq!(world.told(watch), "b=2@2", "one is to be delivered");
    world.peer.deliver(1);
    assert_eq!(world.told(watch), "c=3@3 synced");
}

/// A lost answer to that question is asked for again with the next heartbeat.
#[test]
fn a_lost_answer_is_asked_for_again() {
    for rule in [Rule::Silence, Rule::Nobody, Rule::Reply("{}".to_owned())] {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        world.peer.consumers.deliver_at_once = false;
        let watch = world.opened(&bucket, all());
        for revision in [1, 2, 3, 4] {
            world.vanish(revision);
        }
        world.peer.rule("$JS.API.STREAM.MSG.GET.", rule.clone());
        world.peer.beat();
        assert_eq!(world.told(watch), "", "{rule:?}");
        world.pass(seconds(6));
        assert_eq!(world.told(watch), "synced", "{rule:?}");
        assert_eq!(world.peer.consumers.created.len(), 1, "{rule:?}");
    }
}

/// An interruption starts another count, at any place in the initial data; the
/// end is still told once.
#[test]
fn an_interruption_starts_another_count() {
    for after in 0..=3 {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        world.peer.consumers.deliver_at_once = false;
        let watch = world.opened(&bucket, all());
        world.peer.deliver(after);
        let mut told = world.told(watch);
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        world.peer.consumers.deliver_at_once = true;
        world.reconnect();
        told = format!("{told} {}", world.told(watch));
        assert_eq!(told.trim(), "b=2@2 c=3@3 a=4@4 synced", "after {after}");
    }
}

/// A consumer that was made before (its answer was slow) has delivered some:
/// they count.
#[test]
fn what_was_delivered_before_the_answer_counts() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Silence);
    let watch = world.watch(&bucket, all());
    world.settle();
    // The request is carried out now; two messages leave before its answer.
    let request = world.peer.seen.last().unwrap().clone();
    let call = request.subject.strip_prefix("$JS.API.CONSUMER.").unwrap();
    let conn = world.sockets[&world.link()].conn;
    world.peer.consumer_call(conn, call, &request.payload);
    world.peer.deliver(2);
    let answer = world.peer.consumer_call(conn, call, &request.payload);
    let answer = answer.unwrap().to_string();
    let frame = world.peer.frame(conn, &request, "", answer.as_bytes());
    world.peer.send(conn, &frame.unwrap());
    assert_eq!(world.told(watch), "b=2@2 c=3@3");
    world.peer.deliver(1);
    assert_eq!(world.told(watch), "a=4@4 synced");
}

/// A server whose counts are too little, as where older revisions expire, is not
/// believed: neither its messages nor what it tells of the consumer.
#[test]
fn counts_that_are_too_little_end_nothing() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    world.peer.consumers.too_few = 2;
    let watch = world.opened(&bucket, all());
    world.peer.deliver(1);
    assert_eq!(world.told(watch), "b=2@2");
    world.peer.beat();
    assert_eq!(world.told(watch), "");
    world.peer.deliver(1);
    assert_eq!(world.told(watch), "c=3@3");
    world.peer.beat();
    assert_eq!(world.told(watch), "");
    let calls = world.calls();
    let floors = calls.iter().filter(|call| *call == "STREAM.MSG").count();
    assert_eq!(floors, 3, "by the first zero, and twice by heartbeats");
    assert!(!calls.contains(&"CONSUMER.INFO".to_owned()), "{calls:?}");
    world.peer.deliver(1);
    assert_eq!(world.told(watch), "a=4@4 synced");
}

/// The last revisions vanish, and an older one of a key is its last again: the
/// consumer does not deliver it. Two heartbeats in a row tell that it is not to
/// be waited for; one of them, or a message between them, proves nothing.
#[test]
fn what_comes_back_is_not_waited_for() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.opened(&bucket, all());
    for revision in [2, 3, 4] {
        world.vanish(revision);
    }
    for told in ["", "synced"] {
        world.peer.beat();
        assert_eq!(world.told(watch), told);
    }
    assert_eq!(world.peer.consumers.created.len(), 1);

    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.opened(&bucket, all());
    world.settle();
    let consumer = world.peer.newest().clone();
    let early = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\n\
                 Nats-Last-Stream: 9\r\n\r\n";
    for told in ["b=2@2", "c=3@3", "a=4@4 synced"] {
        world.peer.notify(&consumer, "", early);
        assert_eq!(world.told(watch), "", "it comes too early");
        world.peer.deliver(1);
        assert_eq!(world.told(watch), told);
    }
}

// ---- clusters -------------------------------------------------------------------

/// A stream that `n1` leads, and consumers that live beside a copy on `n2` that
/// reaches up to a revision.
fn behind(copied: u64) -> (World, kv_proto::Binding) {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.streams.get_mut("KV_b").unwrap().leader = Some("n1".to_owned());
    world.peer.consumers.host = Some("n2".to_owned());
    world.peer.consumers.copied = Some(copied);
    (world, bucket)
}

/// A consumer that is behind the leader has counted too little: what the leader
/// has is owed as well.
#[test]
fn who_is_behind_owes_what_the_leader_has() {
    for (copied, first, rest) in [
        // What the copy had not when the consumer was made comes one by one.
        (0, "", "a=1@1 b=2@2 c=3@3 a=4@4 synced"),
        (2, "a=1@1 b=2@2", "c=3@3 a=4@4 synced"),
        (3, "a=1@1 b=2@2 c=3@3", "a=4@4 synced"),
    ] {
        let (mut world, bucket) = behind(copied);
        let watch = world.opened(&bucket, all());
        assert_eq!(world.told(watch), first, "{copied}");
        let calls = ["SUB", "CONSUMER.CREATE", "STREAM.INFO", "STREAM.MSG"];
        assert_eq!(world.calls(), calls, "{copied}: at once");
        world.peer.beat();
        assert_eq!(world.told(watch), "", "{copied}");
        world.peer.consumers.copied = None;
        world.peer.deliver(9);
        assert_eq!(world.told(watch), rest, "{copied}");
        assert_eq!(world.peer.consumers.created.len(), 1);
    }
}

/// Who lives with the leader is believed its count, and nothing is asked.
#[test]
fn who_is_with_the_leader_is_not_behind() {
    let (mut world, bucket) = behind(4);
    world.peer.consumers.host = Some("n1".to_owned());
    let watch = world.opened(&bucket, all());
    assert_eq!(world.told(watch), "b=2@2 c=3@3 a=4@4 synced");
    assert_eq!(world.calls(), ["SUB", "CONSUMER.CREATE", "STREAM.INFO"]);
}

/// What the leader had may be gone before it comes; then it owes less.
#[test]
fn a_floor_may_vanish() {
    for (gone, end) in [(&[4][..], 3), (&[4, 3], 2), (&[1, 2, 3, 4], 0)] {
        let (mut world, bucket) = behind(end);
        let watch = world.opened(&bucket, all());
        let told = world.told(watch);
        assert!(!told.contains("synced"), "{told}");
        for revision in gone {
            world.vanish(*revision);
        }
        assert_eq!(world.told(watch), "", "nobody knows yet");
        world.peer.beat();
        assert_eq!(world.told(watch), "synced", "{gone:?}");
    }
}

/// What is written after the consumer was made is not owed.
#[test]
fn what_is_written_later_is_not_owed() {
    let (mut world, bucket) = behind(2);
    world.peer.rule("$JS.API.STREAM.MSG.GET.", Rule::Silence);
    let watch = world.opened(&bucket, all());
    assert_eq!(world.told(watch), "a=1@1 b=2@2");
    for _ in 0..3 {
        world.write("new", "x");
    }
    world.pass(seconds(6));
    assert_eq!(world.told(watch), "");
    world.peer.consumers.copied = Some(4);
    world.peer.deliver(9);
    assert_eq!(world.told(watch), "c=3@3 a=4@4 synced");
}

/// Several filters are asked for one by one, each with its own subject, and the
/// highest of all is owed.
#[test]
fn filters_are_asked_for_one_by_one() {
    let filters = ["a", "b", "none.*"].map(|filter| KeyFilter::new(filter).unwrap());
    for version in ["2.15.1", "2.14.6"] {
        let (mut world, bucket) = behind(2);
        world.peer.info["version"] = version.into();
        let info = format!("INFO {}\r\n", world.peer.info);
        let link = world.link();
        world.inject(link, info.as_bytes());
        world.peer.rule("$JS.API.STREAM.INFO.", Rule::Hold);
        let options = filters.iter().cloned().fold(all(), WatchOptions::filter);
        let watch = world.watch(&bucket, options);
        world.settle();
        world.peer.hold_all = true;
        world.peer.release(0);
        for (round, subject) in ["$KV.b.a", "$KV.b.b", "$KV.b.none.*"].iter().enumerate() {
            world.settle();
            assert_eq!(world.peer.held.len(), 1, "one question at a time");
            let asked = world.peer.seen.last().unwrap();
            assert_eq!(asked.subject, "$JS.API.STREAM.MSG.GET.KV_b");
            let body = serde_json::json!({ "last_by_subj": subject });
            let sent: serde_json::Value = serde_json::from_slice(&asked.payload).unwrap();
            assert_eq!(sent, body, "{version}: round {round}");
            world.peer.release(0);
        }
        world.peer.calm();
        assert_eq!(world.told(watch), "a=1@1 b=2@2", "{version}");
        world.peer.consumers.copied = None;
        world.peer.deliver(9);
        assert_eq!(world.told(watch), "a=4@4 synced", "{version}");
    }
}

// ---- permissions ----------------------------------------------------------------

/// The server lets this client not publish to these subjects.
fn deny(world: &mut World, subject: &str) {
    for _ in 0..100 {
        let text = format!("Permissions Violation for Publish to \"{subject}\"");
        world.peer.rule(subject, Rule::Err(text));
    }
}

/// Who may not ask the leader believes what the server tells of the consumer.
#[test]
fn who_may_not_ask_the_leader_believes_the_server() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let watch = world.opened(&bucket, all());
    deny(&mut world, "$JS.API.STREAM.MSG.GET.KV_b");
    world.peer.deliver(1);
    world.vanish(4);
    world.calls();
    world.peer.beat();
    assert_eq!(world.told(watch), "b=2@2", "one is still to be delivered");
    assert_eq!(world.calls(), ["STREAM.MSG", "CONSUMER.INFO"]);
    world.peer.deliver(1);
    assert_eq!(world.told(watch), "c=3@3 synced");
    assert_eq!(world.calls(), ["CONSUMER.INFO"], "it was refused once");
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
    // And beside a copy that is behind, the count of what it has.
    let (mut world, bucket) = behind(3);
    deny(&mut world, "$JS.API.STREAM.MSG.GET.KV_b");
    let watch = world.opened(&bucket, all());
    assert_eq!(world.told(watch), "a=1@1 b=2@2 c=3@3 synced");
}

/// Nobody tells what is missing: a listing ends by its patience, and a watch
/// stays and asks with each heartbeat.
#[test]
fn who_is_told_nothing_is_patient() {
    let refusal = Rule::Reply(crate::support::peer::failure(500, 10_074, "no").to_string());
    for (denied, rule) in [
        (false, Rule::Nobody),
        (false, Rule::Silence),
        (false, refusal.clone()),
        (true, Rule::Nobody),
        (true, Rule::Silence),
        (true, refusal),
    ] {
        for listing in [true, false] {
            let (mut world, bucket) = World::with_values(config(), &VALUES);
            world.peer.consumers.deliver_at_once = false;
            let options = all().patience(seconds(20));
            let options = if listing {
                options.until_synced()
            } else {
                options
            };
            let watch = world.opened(&bucket, options);
            world.peer.consumers.last_only = true;
            world.peer.deliver(2);
            world.vanish(4);
            if denied {
                deny(&mut world, "$JS.API.STREAM.MSG.GET.KV_b");
            }
            let verb = if denied {
                "$JS.API.CONSUMER.INFO."
            } else {
                "$JS.API.STREAM.MSG.GET."
            };
            for _ in 0..1_000 {
                world.peer.rule(verb, rule.clone());
            }
            let context = format!("{denied} {rule:?} {listing}");
            assert_eq!(world.told(watch), "b=2@2 c=3@3", "{context}");
            world.pass(seconds(30));
            let told = world.told(watch);
            if listing {
                let error = match rule {
                    Rule::Nobody => "error: bucket is not available",
                    _ => "error: timed out",
                };
                assert_eq!(told, error, "{context}");
                world.peer.calm();
                world.unwatched(watch);
                continue;
            }
            assert_eq!(told, "", "{context}");
            world.peer.calm();
            world.pass(seconds(6));
            assert_eq!(world.told(watch), "synced", "{context}");
            assert_eq!(world.peer.consumers.created.len(), 1, "{context}");
        }
    }
}

// ---- listings -------------------------------------------------------------------

/// A listing ends with its initial data, and leaves no consumer.
#[test]
fn a_listing_ends() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let history = WatchOptions::history_of(crate::support::embedder::key("a"));
    for (options, told) in [
        (WatchOptions::keys(), "b=@2 c=@3 a=@4 synced"),
        (history, "a=1@1 a=4@4 synced"),
        (all().updates_only().until_synced(), "synced"),
    ] {
        let listing = world.watch(&bucket, options);
        world.settle();
        assert_eq!(world.session.watch_state(listing), Some(WatchState::Ended));
        assert_eq!(world.session.usage().consumers, 0);
        assert_eq!(world.told(listing), told);
        world.write("n", "later");
        assert_eq!(world.told(listing), "");
        world.unwatched(listing);
        world.vanish(world.peer.streams["KV_b"].last_seq);
        assert!(world.peer.consumers.all.is_empty());
    }
}

/// A listing goes on over a lost link, but not over the end of its bucket.
#[test]
fn a_listing_that_is_interrupted() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let listing = world.opened(&bucket, WatchOptions::keys());
    world.peer.deliver(1);
    assert_eq!(world.told(listing), "b=@2");
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
    world.peer.deliver(2);
    assert_eq!(world.told(listing), "c=@3");
    world.peer.recreate("KV_b");
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
    let interrupted = WatchError::Interrupted(ResetReason::Recreated);
    assert_eq!(world.session.next_update(listing), Some(Err(interrupted)));
    assert_eq!(world.session.next_update(listing), None);
    world.unwatched(listing);
}

/// A listing that makes no progress ends; one that does goes on for as long as
/// it takes, and waits for its reader.
#[test]
fn a_listing_needs_progress() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.consumers.deliver_at_once = false;
    let patient = WatchOptions::keys().patience(seconds(2));
    let listing = world.opened(&bucket, patient);
    for _ in 0..2 {
        world.pass(Duration::from_millis(1_800));
        world.peer.deliver(1);
        assert!(!world.told(listing).is_empty());
    }
    world.peer.consumers.deliver_at_once = false;
    let stalled = |world: &mut World, time| {
        // It is alive, and has nothing to say.
        world.peer.rule("$JS.API.STREAM.MSG.GET.", Rule::Silence);
        world.pass(time);
        world.told(listing)
    };
    assert_eq!(stalled(&mut world, Duration::from_millis(1_900)), "");
    assert_eq!(
        stalled(&mut world, Duration::from_millis(200)),
        "error: timed out"
    );
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let small = WatchOptions::keys().patience(seconds(2)).buffer(1, 1);
    let listing = world.watch(&bucket, small);
    world.pass(seconds(60));
    assert_eq!(
        world.told(listing),
        "b=@2 c=@3 a=@4 synced",
        "the reader is slow"
    );
}
