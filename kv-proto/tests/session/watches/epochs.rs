//! Whether a bucket is still the same when a watch goes on: rewinds and
//! re-creations, and the epochs that they start.

use crate::support::embedder::{World, config, seconds};
use crate::support::peer::Rule;
use kv_proto::{LinkErrorKind, WatchId, WatchOptions};

/// A live watch that was told of `a` at 1 and `b` at 2.
fn live(options: WatchOptions) -> (World, WatchId) {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2")]);
    let watch = world.opened(&bucket, options);
    assert_eq!(world.told(watch), "a=1@1 b=2@2 synced");
    world.pass(seconds(6)); // long enough to be no short life
    (world, watch)
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

/// What is lost behind the last told revision is no matter.
#[test]
fn a_rewind_that_costs_nothing_is_none() {
    let (mut world, watch) = live(all());
    world.peer.rewind("KV_b", 2);
    relink(&mut world);
    world.write("a", "3");
    assert_eq!(world.told(watch), "a=3@3");
}

/// The bucket has lost revisions that were told, and is still shorter.
#[test]
fn a_bucket_that_went_back_starts_a_new_epoch() {
    let (mut world, watch) = live(all());
    world.peer.rewind("KV_b", 1);
    relink(&mut world);
    world.pass(seconds(1));
    assert_eq!(world.told(watch), "Rewound a=1@1 synced");
    world.write("b", "9");
    assert_eq!(world.told(watch), "b=9@2");
}

/// It has grown past the place since, with other messages: the same number
/// comes again with another time.
#[test]
fn a_bucket_that_grew_again_starts_a_new_epoch() {
    for held in [false, true] {
        let (mut world, watch) = live(all());
        world.peer.rewind("KV_b", 1);
        world.write("b", "8");
        world.write("b", "9");
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        if held {
            // It comes before the stream was looked at.
            world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Hold);
            world.reconnect();
            world.settle();
            assert_eq!(world.told(watch), "");
            world.peer.release(0);
        }
        world.reconnect();
        world.pass(seconds(1));
        assert_eq!(world.told(watch), "Rewound a=1@1 b=9@3 synced");
    }
}

/// The same revision with the same time is dropped, and nothing else.
#[test]
fn the_last_revision_comes_again_and_is_dropped() {
    let (mut world, watch) = live(all());
    for _ in 0..5 {
        relink(&mut world);
        assert_eq!(newest(&world), "by_start_sequence 2");
    }
    assert_eq!(world.told(watch), "");
}

/// A bucket that was deleted and created again, as it looks at any size.
#[test]
fn another_bucket_starts_a_new_epoch() {
    for writes in 0..4 {
        let (mut world, watch) = live(all());
        world.peer.recreate("KV_b");
        for number in 0..writes {
            world.write("c", &number.to_string());
        }
        relink(&mut world);
        world.pass(seconds(1));
        let now = match writes {
            0 => String::new(),
            n => format!("c={}@{n} ", n - 1),
        };
        assert_eq!(world.told(watch), format!("Recreated {now}synced"));
        world.write("d", "x");
        let next = writes + 1;
        assert_eq!(world.told(watch), format!("d=x@{next}"));
    }
}

/// The same without a lost link: the consumer went with its stream.
#[test]
fn another_bucket_is_noticed_by_silence() {
    let (mut world, watch) = live(all());
    world.peer.recreate("KV_b");
    world.write("c", "1");
    world.pass(seconds(12));
    assert_eq!(world.told(watch), "Recreated c=1@1 synced");
}

/// Nothing of the former bucket was told: its end is no news.
#[test]
fn an_unseen_bucket_is_not_told_of() {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
    world.peer.recreate("KV_b");
    world.write("c", "1");
    let watch = world.watch(&bucket, all());
    world.pass(seconds(1));
    assert_eq!(world.told(watch), "c=1@1 synced");
    assert_eq!(world.peer.consumers.policies(), ["last_per_subject"; 2]);
}

/// An epoch follows the other, each with its own end of the initial data; a
/// reset that nobody has read yet is not told twice.
#[test]
fn epochs_follow_one_another() {
    let (mut world, watch) = live(all().include_history());
    for round in 0..3 {
        world.peer.recreate("KV_b");
        world.write("a", &round.to_string());
        world.write("a", "x");
        relink(&mut world);
        world.pass(seconds(1));
        if round > 0 {
            let told = world.told(watch);
            let epochs = told.matches("Recreated").count();
            assert_eq!(epochs, told.matches("synced").count(), "{told}");
            assert!(told.ends_with(&format!("Recreated a={round}@1 a=x@2 synced")));
        }
    }
}
