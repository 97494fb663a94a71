//! Answers that come from an earlier life of a bucket, when the next one is known: they may be of either, and no floor.

use std::time::Duration;

use kv_proto::{Binding, BucketConfig, GetOptions, ReadError, Revision};

use crate::support::embedder::{World, config};
use crate::support::peer::{Message, Rule, failure};

const WRITES: &str = "$KV.b.k";
const READS: &str = "$JS.API.DIRECT.GET.";
const LEADER_READS: &str = "$JS.API.STREAM.MSG.GET.";
const STATES: &str = "$JS.API.STREAM.INFO.";

fn denied() -> Rule {
    Rule::Err("Permissions Violation for Publish to \"$JS.API.STREAM.INFO.KV_b\"".to_owned())
}

/// A bucket of several replicas, each of which may be behind. Key `k` is at 1, which this client was told.
fn with_replicas() -> (World, Binding) {
    let mut world = World::new(config(), 1);
    let bucket = world.create_bucket(BucketConfig::new("b").replicas(3));
    let op = world.put(&bucket, "k", "first");
    assert_eq!(world.done(op), Ok(Revision::new(1)));
    (world, bucket)
}

/// The bucket begins anew, and a read learns of that: of another request the answer is still under way.
fn begins_anew(world: &mut World, bucket: &Binding) {
    world.settle();
    assert_eq!(world.peer.held.len(), 1);
    world.peer.recreate("KV_b");
    assert_eq!(world.read(bucket, "k"), Ok(None));
    assert_eq!(world.session.stats().floors_dropped, 1);
    world.peer.release(0);
}

/// Reads find nothing of the key at once, and after it was written no less than that.
fn is_read_as_it_is(world: &mut World, bucket: &Binding) {
    for options in [GetOptions::default(), GetOptions::default().leader()] {
        let op = world.get(bucket, "k", options);
        assert_eq!(world.done(op), Ok(None));
    }
    let op = world.put(bucket, "k", "new");
    assert_eq!(world.done(op), Ok(Revision::new(1)));
    world
        .peer
        .rule(READS, Rule::Headed(NOTHING.to_owned(), Vec::new()));
    let op = world.get(bucket, "k", GetOptions::default());
    let entry = world.done(op).unwrap().expect("it was written");
    assert_eq!(entry.revision, Revision::new(1));
}

const NOTHING: &str = "NATS/1.0 404 Message Not Found\r\n\r\n";

#[test]
fn a_late_acknowledgement_is_no_floor() {
    let (mut world, bucket) = with_replicas();
    world.peer.rule(WRITES, Rule::Hold);
    let late = world.put(&bucket, "k", "second");
    begins_anew(&mut world, &bucket);
    assert_eq!(world.done(late), Ok(Revision::new(2)));
    is_read_as_it_is(&mut world, &bucket);
}

#[test]
fn what_a_late_answer_shows_is_no_floor() {
    let options = [
        GetOptions::default(),
        GetOptions::default().any_replica(),
        GetOptions::default().revision(Revision::new(2)),
    ];
    for options in options {
        let (mut world, bucket) = with_replicas();
        let rival = Message {
            subject: WRITES.to_owned(),
            block: Vec::new(),
            payload: b"rival".to_vec(),
        };
        world.peer.append("KV_b", rival);
        world.peer.rule(READS, Rule::Hold);
        let late = world.get(&bucket, "k", options);
        begins_anew(&mut world, &bucket);
        let entry = world.done(late).unwrap().expect("it was there");
        assert_eq!(entry.revision, Revision::new(2));
        is_read_as_it_is(&mut world, &bucket);
    }
}

/// What could not be explained in an earlier life has nothing to do with a leader that is silent in the next.
#[test]
fn a_read_is_not_stale_for_an_earlier_life() {
    let (mut world, bucket) = with_replicas();
    let nothing = || Rule::Reply(failure(404, 10_037, "no message found").to_string());
    world.peer.rule(LEADER_READS, nothing());
    let denied = "Permissions Violation for Publish to \"$JS.API.STREAM.INFO.KV_b\"";
    world
        .peer
        .rule("$JS.API.STREAM.INFO.", Rule::Err(denied.to_owned()));
    let op = world.get(&bucket, "k", GetOptions::default().leader());
    assert!(world.runs(op));
    assert_eq!(world.session.stats().stale_replies, 1);
    world.peer.recreate("KV_b");
    world.peer.rule(LEADER_READS, nothing());
    for _ in 0..9 {
        world.peer.rule(LEADER_READS, Rule::Silence);
    }
    world.pass(Duration::from_secs(1));
    assert_eq!(world.session.stats().floors_dropped, 1);
    assert_eq!(world.wait(op), Err(ReadError::TimedOut));
}

/// Others have been told of the next life meanwhile, and a leader that was deposed says less.
#[test]
fn a_read_that_learns_late_of_a_life_goes_by_what_is_known_of_it() {
    let (mut world, bucket) = with_replicas();
    world.peer.recreate("KV_b");
    world.peer.rule(STATES, Rule::Hold);
    let late = world.get(&bucket, "k", GetOptions::default().leader());
    world.settle();
    assert_eq!(world.read(&bucket, "k"), Ok(None));
    for revision in [1, 2] {
        let op = world.put(&bucket, "k", "new");
        assert_eq!(world.done(op), Ok(Revision::new(revision)));
    }
    let first =
        "{\"message\":{\"subject\":\"$KV.b.k\",\"seq\":1,\"time\":\"2026-11-23T18:48:30Z\"}}";
    world.peer.rule(LEADER_READS, Rule::Reply(first.to_owned()));
    world.peer.rule(STATES, denied());
    world.peer.release(0);
    let entry = world.wait(late).unwrap().expect("it was written");
    assert_eq!(entry.revision, Revision::new(2));
}
