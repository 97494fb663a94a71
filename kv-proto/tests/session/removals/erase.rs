//! Keys that match a filter go, with all their revisions.

use super::*;

/// One look, one purge, of what matches and no more.
#[test]
fn what_matches_goes() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let op = erase(&mut world, &bucket, "a.>");
    assert_eq!(world.done(op), Ok(3));
    assert_eq!(held(&world), "b@3");
    assert_eq!(world.calls(), ["STREAM.INFO", "STREAM.PURGE"]);
    assert_eq!(
        purges(&world),
        [json!({"filter": "$KV.b.a.>", "seq": 5_u64})]
    );
    let op = erase(&mut world, &bucket, ">");
    assert_eq!(world.done(op), Ok(1));
    let op = world.update(&bucket, "a.x", "anew", 0);
    assert_eq!(world.done(op).map(kv_proto::Revision::get), Ok(5));
    assert_over(&mut world);
}

/// To a server nothing is before revision 1, and a bound of 1 is none.
#[test]
fn of_an_empty_bucket_nothing_goes() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    world.peer.rule(INFO, Rule::Hold);
    let op = erase(&mut world, &bucket, ">");
    world.settle();
    world.write("a", "1");
    world.peer.release(0);
    assert_eq!(world.done(op), Ok(0));
    assert_eq!(held(&world), "a@1");
    assert_eq!(
        purges(&world),
        [json!({"filter": "$KV.b.>", "keep": u64::MAX})]
    );
}

/// What is written between the look and the purge stays.
#[test]
fn what_is_written_meanwhile_stays() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.rule(INFO, Rule::Hold);
    let op = erase(&mut world, &bucket, "a.>");
    world.settle();
    world.write("a.x", "5");
    world.write("a.z", "6");
    world.peer.release(0);
    assert_eq!(world.done(op), Ok(3));
    assert_eq!(held(&world), "b@3 a.x@5 a.z@6");
}

/// A purge whose answer was lost is repeated with the very same bound, after a
/// look whether the bucket is the same.
#[test]
fn a_lost_answer_is_asked_for_again() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.rule(PURGE, Rule::LoseReply);
    let op = erase(&mut world, &bucket, "a.>");
    world.settle();
    world.write("a.x", "5");
    lose_link(&mut world);
    world.calls();
    assert_eq!(world.wait(op), Ok(0), "what went before is not known");
    assert_eq!(held(&world), "b@3 a.x@5");
    assert_eq!(world.calls(), ["STREAM.INFO", "STREAM.PURGE"]);
    let purges = purges(&world);
    assert_eq!((purges.len(), &purges[0]), (2, &purges[1]));
    assert_over(&mut world);
}

/// A bucket that was deleted and created again while there was no link is
/// another one, and its revisions are others.
#[test]
fn a_bucket_that_began_anew_is_not_erased() {
    for begun in [false, true] {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        world.peer.rule(INFO, Rule::Hold);
        let op = erase(&mut world, &bucket, "a.>");
        world.settle();
        world.peer.release(0);
        let link = world.link();
        world.receive(link, usize::MAX);
        if begun {
            world.peer.rule(PURGE, Rule::Silence);
            world.settle();
        }
        world.peer.recreate("KV_b");
        world.write("a.x", "new");
        lose_link(&mut world);
        let error = world.wait(op).unwrap_err();
        let expected = if begun {
            BucketError::Unknown(Doubt::LinkLost)
        } else {
            BucketError::NotFound
        };
        assert_eq!(error, expected);
        assert_eq!(held(&world), "a.x@1");
        assert_over(&mut world);
    }
}

/// A stream that lost its end stores other values under the same revisions: those above its end now are
/// not erased with what was there before.
#[test]
fn what_follows_a_lost_end_is_not_erased() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.rule(PURGE, Rule::Silence);
    let op = erase(&mut world, &bucket, "a.>");
    world.settle();
    world.peer.rewind("KV_b", 2);
    lose_link(&mut world);
    world.peer.rule(
        PURGE,
        Rule::Reply(failure(503, 10_008, "not now").to_string()),
    );
    world.peer.rule(INFO, Rule::Hold);
    world.reconnect();
    world.write("a.x", "new");
    world.peer.release(0);
    assert_eq!(world.wait(op), Ok(2));
    assert_eq!(held(&world), "a.x@3");
}

/// What a server refuses is not applied, unless an earlier purge can have been.
#[test]
fn refusals_are_told() {
    let violation = |call: &str| format!("Permissions Violation for Publish to \"{call}\"");
    for (call, lost) in [(INFO, false), (PURGE, false), (PURGE, true)] {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        if lost {
            world.peer.rule(PURGE, Rule::Silence);
        }
        let op = erase(&mut world, &bucket, "a.>");
        if lost {
            world.settle();
            lose_link(&mut world);
        }
        world.peer.rule(call, Rule::Err(violation(call)));
        let expected = if lost {
            BucketError::Unknown(Doubt::LinkLost)
        } else {
            BucketError::Denied {
                subject: call.to_owned(),
            }
        };
        assert_eq!(world.wait(op), Err(expected));
        assert_eq!(held(&world).len(), "a.x@1 a.y@2 b@3 a.x@4".len());
        assert_over(&mut world);
    }
}

/// An error that can come from a later stage of a purge leaves its outcome open; of a look it does not.
#[test]
fn errors_are_told() {
    let rows = [
        (INFO, 404, 10_059, Outcome::NotApplied),
        (PURGE, 404, 10_059, Outcome::NotApplied),
        (PURGE, 400, 10_003, Outcome::NotApplied),
        (PURGE, 500, 10_110, Outcome::Unknown),
        (INFO, 500, 10_110, Outcome::NotApplied),
    ];
    for (call, code, number, outcome) in rows {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        let reply = failure(code, number, "no").to_string();
        world.peer.rule(call, Rule::Reply(reply));
        let op = erase(&mut world, &bucket, "a.>");
        let error = world.done(op).unwrap_err();
        assert_eq!(error.outcome(), outcome, "{call} {number}: {error}");
        let missing = number == 10_059;
        assert_eq!(error == BucketError::NotFound, missing, "{error}");
        assert_over(&mut world);
    }
}

/// What can pass by itself is waited for, without haste.
#[test]
fn what_passes_is_waited_for() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let not_now = || Rule::Reply(failure(503, 10_008, "not now").to_string());
    world.peer.rule(INFO, not_now());
    world.peer.rule(INFO, Rule::Nobody);
    world.peer.rule(PURGE, not_now());
    world.peer.rule(PURGE, Rule::Nobody);
    let since = world.now;
    let op = erase(&mut world, &bucket, "a.>");
    assert!(world.runs(op));
    assert_eq!(world.wait(op), Ok(3));
    assert!(world.now >= since + Duration::from_millis(400));
    assert_eq!(world.peer.rules_left(), 0);
    assert_over(&mut world);
}

/// What a deadline leaves open is whether a purge that was handed over was applied.
#[test]
fn deadlines_say_what_is_known() {
    type Row = (&'static str, Rule, BucketError);
    let rows: [Row; 3] = [
        (INFO, Rule::Silence, BucketError::TimedOut),
        (PURGE, Rule::Silence, BucketError::Unknown(Doubt::TimedOut)),
        (INFO, Rule::Nobody, BucketError::Unavailable),
    ];
    for (call, rule, expected) in rows {
        let (mut world, bucket) = World::with_values(config(), &VALUES);
        for _ in 0..100 {
            world.peer.rule(call, rule.clone());
        }
        let op = erase(&mut world, &bucket, "a.>");
        assert_eq!(world.wait(op), Err(expected));
        world.peer.calm();
        assert_over(&mut world);
    }
    // The purge before the loss is not forgotten.
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    world.peer.rule(PURGE, Rule::LoseReply);
    let op = erase(&mut world, &bucket, "a.>");
    world.settle();
    world.down = true;
    lose_link(&mut world);
    let expected = BucketError::Unknown(Doubt::LinkLost);
    assert_eq!(world.wait(op), Err(expected));
    let op = erase(&mut world, &bucket, "a.>");
    assert_eq!(world.wait(op), Err(BucketError::TimedOut));
}

/// A mirror holds copies: the revisions are those of its origin, which can be in another domain.
#[test]
fn of_a_mirror_the_origin_is_asked() {
    for api in [None, Some("$JS.hub.API")] {
        let (mut world, _) = World::with_values(config(), &VALUES);
        let source = match api {
            Some(_) => Source::bucket("b").domain("hub"),
            None => Source::bucket("b"),
        };
        let mirror = world.create_bucket(BucketConfig::new("m").mirror(source));
        let prefix = api.unwrap_or("$JS.API");
        if api.is_some() {
            let info = json!({"config": {"name": "KV_b"}, "created": "2026-11-23T18:00:00Z",
                "state": {"last_seq": 4}});
            world.peer.rule(prefix, Rule::Reply(info.to_string()));
            let purged = json!({"success": true, "purged": 3});
            world.peer.rule(prefix, Rule::Reply(purged.to_string()));
        }
        world.peer.lines.clear();
        let op = erase(&mut world, &mirror, "a.>");
        assert_eq!(world.done(op), Ok(3));
        let asked = ["INFO", "PURGE"].map(|verb| format!("{prefix}.STREAM.{verb}.KV_b"));
        assert_eq!(world.peer.lines, asked);
        let bound = json!({"filter": "$KV.b.a.>", "seq": 5_u64});
        assert_eq!(purges(&world), [bound]);
    }
}

/// The answer about another stream is none: the right one is waited for, and asked for once more.
#[test]
fn an_answer_about_another_stream_is_none() {
    let (mut world, bucket) = World::with_values(config(), &VALUES);
    let other = json!({"config": {"name": "KV_bb"}, "created": "2026-11-23T18:00:00Z",
        "state": {"last_seq": 400}});
    world.peer.rule(INFO, Rule::Reply(other.to_string()));
    let op = erase(&mut world, &bucket, "a.>");
    assert!(world.runs(op));
    assert_eq!(purges(&world), [] as [Value; 0]);
    assert_eq!(world.wait(op), Ok(3));
}
