//! Servers that refuse, that do not answer, and that are not there: how often
//! a watch asks, and when it gives up.

use std::time::Duration;

use crate::support::embedder::{World, config, seconds};
use crate::support::peer::{Rule, failure};
use kv_proto::{LinkErrorKind, WatchError, WatchId, WatchOptions, WatchState};

const VALUES: [(&str, &str); 2] = [("a", "1"), ("b", "2")];

fn all() -> WatchOptions {
    WatchOptions::default()
}

/// A rule for very many requests.
fn always(world: &mut World, prefix: &str, rule: &Rule) {
    for _ in 0..2_000 {
        world.peer.rule(prefix, rule.clone());
    }
}

fn error(code: u16, err_code: u32) -> Rule {
    Rule::Reply(failure(code, err_code, "test").to_string())
}

fn asked(world: &mut World, verb: &str) -> usize {
    let calls = world.calls();
    calls.iter().filter(|call| *call == verb).count()
}

fn told_error(world: &mut World, watch: WatchId) -> WatchError {
    world.settle();
    world.session.next_update(watch).unwrap().unwrap_err()
}

/// A server that refuses everything is asked ever more rarely: no storm of
/// consumers, whatever the refusal is.
#[test]
fn refusals_are_no_reason_to_hurry() {
    for rule in [
        Rule::Nobody,
        error(503, 10_008),
        error(500, 10_074),
        error(400, 10_013),
        error(429, 10_167),
    ] {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        let watch = world.opened(&bucket, all());
        world.told(watch);
        world.calls();
        always(&mut world, "$JS.API.CONSUMER.CREATE.", &rule);
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        world.reconnect();
        world.pass(seconds(10));
        let first = asked(&mut world, "CONSUMER.CREATE");
        assert!((3..=20).contains(&first), "{rule:?}: {first} in 10 s");
        world.pass(seconds(100));
        let later = asked(&mut world, "CONSUMER.CREATE");
        assert!((8..=50).contains(&later), "{rule:?}: {later} in 100 s");
        assert_eq!(
            world.session.watch_state(watch),
            Some(WatchState::Recovering)
        );
        world.peer.calm();
        world.write("a", "3");
        world.pass(seconds(11));
        assert_eq!(world.told(watch), "a=3@3", "{rule:?}");
        world.unwatched(watch);
    }
}

/// Consumers that are made and do not last are no storm either.
#[test]
fn short_lives_are_no_reason_to_hurry() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watch = world.opened(&bucket, all());
    world.told(watch);
    world.peer.consumers.deliver_at_once = false;
    let end = world.now + seconds(10);
    while world.now < end {
        // A gap with every message.
        world.write("a", "x");
        world.peer.lose_one();
        world.write("a", "x");
        world.peer.deliver(1);
        world.pass(Duration::from_millis(10));
    }
    let made = world.peer.consumers.created.len();
    assert!((3..=25).contains(&made), "{made} in 10 s");
    assert!(world.peer.consumers.most <= 2);
    world.peer.consumers.deliver_at_once = true;
    world.pass(seconds(11));
    let told = world.told(watch);
    let last = world.peer.streams["KV_b"].last_seq;
    assert!(told.ends_with(&format!("@{last}")), "{last}");
}

/// A stable life makes up for failures before it.
#[test]
fn a_stable_life_forgives() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watch = world.opened(&bucket, all());
    for _ in 0..8 {
        world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Nobody);
    }
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
    world.pass(seconds(60));
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
    // By silence, and by the loss of its link.
    for by_link in [true, false] {
        world.calls();
        world.peer.rule("$JS.API.CONSUMER.CREATE.", Rule::Nobody);
        if by_link {
            let link = world.link();
            world.cut(link, LinkErrorKind::Read);
            world.reconnect();
        } else {
            world.peer.lose_consumers();
            world.pass_silently(seconds(10));
        }
        world.pass(Duration::from_millis(300));
        assert_eq!(asked(&mut world, "CONSUMER.CREATE"), 2, "{by_link}");
        assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
        world.pass(seconds(60));
    }
}

/// What ends a watch: only what a server says for sure.
#[test]
fn what_ends_a_watch() {
    let not_found = error(404, 10_059);
    for verb in ["CONSUMER.CREATE", "STREAM.INFO"] {
        for opened in [false, true] {
            let (mut world, bucket) = World::with_values(config(), &VALUES);
            let prefix = format!("$JS.API.{verb}.");
            let watch = if opened {
                let watch = world.opened(&bucket, all());
                world.told(watch);
                let link = world.link();
                world.peer.rule(&prefix, not_found.clone());
                world.cut(link, LinkErrorKind::Read);
                world.reconnect();
                watch
            } else {
                world.peer.rule(&prefix, not_found.clone());
                world.watch(&bucket, all())
            };
            assert_eq!(told_error(&mut world, watch), WatchError::BucketNotFound);
            assert_eq!(world.session.next_update(watch), None);
            world.unwatched(watch);
            assert!(world.peer.consumers.all.is_empty(), "{verb}");
        }
    }
    // A bucket that is deleted under a live watch.
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watch = world.opened(&bucket, all());
    world.told(watch);
    world.peer.streams.clear();
    world.peer.lose_consumers();
    world.pass(seconds(11));
    assert_eq!(told_error(&mut world, watch), WatchError::BucketNotFound);
}

/// A refusal that will not pass ends a watch that was never open, and no other.
#[test]
fn a_refusal_at_the_start() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let rule = error(400, 10_026);
    world.peer.rule("$JS.API.CONSUMER.CREATE.", rule.clone());
    let watch = world.watch(&bucket, all());
    let WatchError::Server(refused) = told_error(&mut world, watch) else {
        panic!("refused");
    };
    assert_eq!(refused.err_code(), Some(10_026));
    world.unwatched(watch);
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watch = world.opened(&bucket, all());
    world.told(watch);
    let link = world.link();
    world.peer.rule("$JS.API.CONSUMER.CREATE.", rule);
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
    world.pass(seconds(1));
    assert_eq!(world.told(watch), "");
    assert_eq!(world.session.watch_state(watch), Some(WatchState::Live));
}

/// A watch that does not open in time ends, and says why as far as it knows.
#[test]
fn opening_takes_patience() {
    let cases = [
        (
            "$JS.API.CONSUMER.CREATE.",
            Rule::Nobody,
            WatchError::Unavailable,
        ),
        (
            "$JS.API.CONSUMER.CREATE.",
            error(503, 10_008),
            WatchError::Unavailable,
        ),
        (
            "$JS.API.CONSUMER.CREATE.",
            Rule::Silence,
            WatchError::TimedOut,
        ),
        (
            "$JS.API.CONSUMER.CREATE.",
            Rule::LoseReply,
            WatchError::TimedOut,
        ),
        (
            "$JS.API.STREAM.INFO.",
            Rule::Nobody,
            WatchError::Unavailable,
        ),
        ("$JS.API.STREAM.INFO.", Rule::Silence, WatchError::TimedOut),
    ];
    for (prefix, rule, expected) in cases {
        for patience in [1, 5, 40] {
            let (mut world, bucket) = World::with_values(config(), &VALUES);
            always(&mut world, prefix, &rule);
            let options = all().patience(seconds(patience));
            let watch = world.watch(&bucket, options);
            let context = format!("{prefix} {rule:?} {patience}");
            world.pass(seconds(patience) - Duration::from_millis(1));
            assert_eq!(
                world.session.watch_state(watch),
                Some(WatchState::Opening),
                "{context}"
            );
            world.pass(Duration::from_millis(1));
            let state = world.session.watch_state(watch);
            assert_eq!(state, Some(WatchState::Ended), "{context}");
            assert_eq!(told_error(&mut world, watch), expected, "{context}");
            world.peer.calm();
            world.pass(seconds(6));
            assert!(world.peer.consumers.all.is_empty(), "{context}");
            world.unwatched(watch);
        }
    }
}

/// Without a link a watch opens later, within its patience.
#[test]
fn a_watch_waits_for_a_link() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let link = world.link();
    world.down = true;
    world.cut(link, LinkErrorKind::Read);
    let patient = world.watch(&bucket, all().patience(seconds(60)));
    let hasty = world.watch(&bucket, all().patience(seconds(3)));
    world.pass(seconds(10));
    assert_eq!(told_error(&mut world, hasty), WatchError::TimedOut);
    world.down = false;
    world.pass(seconds(20));
    assert_eq!(world.told(patient), "a=1@1 b=2@2 synced");
    assert_eq!(world.peer.consumers.created.len(), 1);
}

/// An open watch has all the time in the world.
#[test]
fn patience_is_for_opening_only() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let watch = world.opened(&bucket, all().patience(seconds(1)));
    world.told(watch);
    let link = world.link();
    world.down = true;
    world.cut(link, LinkErrorKind::Read);
    world.pass(seconds(3_000));
    world.write("a", "3");
    world.down = false;
    world.pass(seconds(20));
    assert_eq!(world.told(watch), "a=3@3");
}
