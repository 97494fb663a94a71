//! What evidence proves about writes: the table of outcomes, row by row, each
//! produced by a server in memory and judged by the caller's view of it.

mod support;

use kv_proto::{
    BucketConfig, Cause, Doubt, Outcome, Revision, WriteError,
};
use support::embedder::{World, config, outcome};
use support::peer::{Rule, ack, refusal};

fn rev(revision: u64) -> Revision {
    Revision::new(revision)
}

/// A put's success is its acknowledgement, at the revision that it names.
#[test]
fn an_acknowledged_put_is_applied() {
    let (mut world, bucket) = World::with_bucket(config());
    let op = world.put(&bucket, "k", "v");
    assert_eq!(world.done(op), Ok(rev(1)));
    assert_eq!(world.peer.log.len(), 1);
}
