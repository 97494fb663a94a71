//! What is removed for good: keys that match a filter, and old tombstones. Never
//! what was written since, whatever is lost, late or refused; and nothing is
//! left of the request itself.

mod erase;
mod sweep;

use std::time::Duration;

use crate::support::embedder::{CALL, World, assert_idle, config, key, limits, seconds};
use crate::support::peer::{Rule, failure};
use kv_proto::{
    Binding, BucketConfig, BucketError, Config, Doubt, Event, KeyFilter, LinkErrorKind, Op,
    Outcome, PurgeDeletesOptions, PurgedDeletes, Refused, Source, Usage, WatchError,
};
use serde_json::{Value, json};

const INFO: &str = "$JS.API.STREAM.INFO.KV_b";
const PURGE: &str = "$JS.API.STREAM.PURGE.KV_b";

/// At most so many purges of one request are under way.
const AT_ONCE: usize = 16;

const VALUES: [(&str, &str); 4] = [("a.x", "1"), ("a.y", "2"), ("b", "3"), ("a.x", "4")];

fn erase(world: &mut World, bucket: &Binding, filter: &str) -> Op<u64> {
    let filter = KeyFilter::new(filter).unwrap();
    let op = world.session.erase(world.now, bucket, &filter, CALL());
    op.unwrap()
}

fn sweep(world: &mut World, bucket: &Binding, age: u64) -> Op<PurgedDeletes> {
    let options = PurgeDeletesOptions::default().older_than(seconds(age));
    sweep_with(world, bucket, options)
}

fn sweep_with(
    world: &mut World,
    bucket: &Binding,
    options: PurgeDeletesOptions,
) -> Op<PurgedDeletes> {
    let op = world.session.purge_deletes(world.now, bucket, options);
    op.unwrap()
}

/// What the bucket holds: `a@3`.
fn held(world: &World) -> String {
    let messages = &world.peer.streams["KV_b"].messages;
    let name = |(seq, message): (&u64, &crate::support::peer::Message)| {
        let key = message.subject.strip_prefix("$KV.b.").unwrap();
        format!("{key}@{seq}")
    };
    messages.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// The bodies of the purges that arrived.
fn purges(world: &World) -> Vec<Value> {
    let seen = world.peer.seen.iter();
    let purges = seen.filter(|publish| publish.subject.contains(".STREAM.PURGE."));
    purges
        .map(|publish| serde_json::from_slice(&publish.payload).unwrap())
        .collect()
}

fn lose_link(world: &mut World) {
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
}

fn removed(tombstones: u64, revisions: u64) -> Result<(u64, u64), WatchError> {
    Ok((tombstones, revisions))
}

fn counts(result: Result<PurgedDeletes, WatchError>) -> Result<(u64, u64), WatchError> {
    result.map(|done| (done.tombstones, done.revisions))
}

/// A purge tombstone, as another client leaves it.
fn bury(world: &mut World, key: &str) {
    let subject = format!("$KV.b.{key}");
    let stream = world.peer.streams.get_mut("KV_b").unwrap();
    stream.messages.retain(|_, m| m.subject != subject);
    let block = "NATS/1.0\r\nKV-Operation: PURGE\r\nNats-Rollup: sub\r\n\r\n";
    world.peer.publish_as_other(&subject, block, b"");
}

/// From now on the server stores at this time, and it is this time there.
fn server_time(world: &mut World, seconds: u32) {
    world.peer.consumers.clock = seconds;
    world.peer.streams.get_mut("KV_b").unwrap().era = u64::from(seconds) * 1_000;
}

/// The loss of all that is asked for: once it is taken, nothing is held.
fn assert_over(world: &mut World) {
    world.pass_silently(seconds(3));
    assert_idle(world);
    let watches = world.events.iter();
    let watches = watches.filter(|event| matches!(event, Event::Watch(_)));
    assert_eq!(watches.count(), 0, "no embedder knows of the listing");
    assert_eq!(world.peer.consumers.all.len(), 0);
}
