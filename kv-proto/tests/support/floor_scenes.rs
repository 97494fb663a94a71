//! Scenes that show the planted bugs of what is known of keys; `mutants.rs` plays them.

use kv_proto::mutant::Mutant;
use kv_proto::{Binding, BucketConfig, GetOptions, ReadError};

use crate::support::embedder::{World, config, limits};
use crate::support::peer::Rule;
use crate::watch_scenes::Scene;

/// The bug, the scene, what it shows in correct code, and what with the bug.
pub(crate) const SCENES: [(Mutant, Scene, &str, &str); 5] = [
    (Mutant::FloorIgnored, a_replica_is_behind, "at 2", "at 1"),
    (
        Mutant::FloorOutlivesBucket,
        a_bucket_begins_anew,
        "no such key",
        "stale",
    ),
    (
        Mutant::NothingIsAboveTheFloor,
        a_replica_has_nothing,
        "at 1",
        "no such key",
    ),
    (
        Mutant::ForgottenFloorIsNone,
        a_replica_has_nothing_of_a_key_long_not_used,
        "at 1",
        "no such key",
    ),
    (Mutant::LeaderIsBelieved, a_leader_is_behind, "at 2", "at 1"),
];

const NOTHING: &str = "NATS/1.0 404 Message Not Found\r\n\r\n";
const FIRST: &str = "NATS/1.0\r\nNats-Stream: KV_b\r\nNats-Subject: $KV.b.k\r\nNats-Sequence: 1\r\n\
                     Nats-Time-Stamp: 2026-11-23T18:48:30.59781313Z\r\n\r\n";
const FIRST_OF_LEADER: &str = "{\"message\":{\"subject\":\"$KV.b.k\",\"seq\":1,\
                               \"time\":\"2026-11-23T18:48:30.59781313Z\"}}";

fn write(world: &mut World, bucket: &Binding, key: &str) {
    let put = world.put(bucket, key, "v");
    world.done(put).unwrap();
}

fn is_shown(world: &mut World, headers: &str) {
    let answer = Rule::Headed(headers.to_owned(), Vec::new());
    world.peer.rule("$JS.API.DIRECT.GET.", answer);
}

/// What a reader of a key is told.
fn read(world: &mut World, bucket: &Binding) -> String {
    let get = world.get(bucket, "k", GetOptions::default());
    match world.wait(get) {
        Ok(Some(entry)) => format!("at {}", entry.revision),
        Ok(None) => "no such key".to_owned(),
        Err(ReadError::Stale { .. }) => "stale".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn a_replica_is_behind() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    write(&mut world, &bucket, "k");
    write(&mut world, &bucket, "k");
    is_shown(&mut world, FIRST);
    read(&mut world, &bucket)
}

fn a_replica_has_nothing() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    write(&mut world, &bucket, "k");
    is_shown(&mut world, NOTHING);
    read(&mut world, &bucket)
}

fn a_replica_has_nothing_of_a_key_long_not_used() -> String {
    let few = limits(|limits| limits.max_floor_bytes = 9_000);
    let (mut world, bucket) = World::with_bucket(config().limits(few));
    for key in ["k", "a", "b", "c", "d"] {
        write(&mut world, &bucket, key);
    }
    is_shown(&mut world, NOTHING);
    let told = read(&mut world, &bucket);
    assert!(told == "no such key" || world.session.stats().vague_replies == 1);
    told
}

fn a_leader_is_behind() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    write(&mut world, &bucket, "k");
    write(&mut world, &bucket, "k");
    is_shown(&mut world, FIRST);
    let behind = Rule::Reply(FIRST_OF_LEADER.to_owned());
    world.peer.rule("$JS.API.STREAM.MSG.GET.", behind);
    read(&mut world, &bucket)
}

fn a_bucket_begins_anew() -> String {
    let mut world = World::new(config(), 1);
    let bucket = world.create_bucket(BucketConfig::new("b").replicas(3));
    write(&mut world, &bucket, "k");
    let stream = world.peer.streams.get_mut("KV_b").unwrap();
    stream.created += 1;
    stream.last_seq = 0;
    stream.messages.clear();
    read(&mut world, &bucket)
}
