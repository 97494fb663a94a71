//! Old tombstones go, and what is below them.

use super::*;

/// Tombstones go with what is below them when they are old by the server's clock; of younger ones the
/// history goes that a delete has left. The embedder's clock does not matter.
#[test]
fn old_tombstones_go() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    for key in ["kept", "old", "gone", "young", "buried"] {
        world.write(key, "1");
    }
    world.erase("old");
    bury(&mut world, "gone");
    server_time(&mut world, 60);
    world.erase("young");
    bury(&mut world, "buried");
    server_time(&mut world, 100);
    world.write("kept", "2");
    assert_eq!(
        held(&world),
        "kept@1 old@2 young@4 old@6 gone@7 young@8 buried@9 kept@10"
    );
    world.sleep(seconds(3_000));
    world.reconnect();
    let op = sweep(&mut world, &bucket, 90);
    assert_eq!(counts(world.done(op)), removed(2, 4));
    assert_eq!(held(&world), "kept@1 young@8 buried@9 kept@10");
    assert_eq!(purges(&world).len(), 3, "no purge without need");
    assert_over(&mut world);

    let op = sweep(&mut world, &bucket, 0);
    assert_eq!(counts(world.done(op)), removed(2, 2));
    assert_eq!(held(&world), "kept@1 kept@10");
    let op = world.update(&bucket, "young", "anew", 0);
    world.done(op).unwrap();
    let op = sweep(&mut world, &bucket, 0);
    assert_eq!(counts(world.done(op)), removed(0, 0));
    assert_over(&mut world);
}

/// A server that says it has removed more than there are numbers for is told of as far as they go.
#[test]
fn more_than_can_be_counted_is_the_most() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    for key in ["a", "b"] {
        world.write(key, "1");
        world.erase(key);
        let purged = json!({"success": true, "purged": u64::MAX});
        world.peer.rule(PURGE, Rule::Reply(purged.to_string()));
    }
    let op = sweep(&mut world, &bucket, 0);
    assert_eq!(counts(world.done(op)), removed(2, u64::MAX));
}

/// What the loss of a tombstone brings back is a value again: it is not removed in the place of the tombstone.
#[test]
fn a_value_that_came_back_stays() {
    for written in [false, true] {
        let (mut world, bucket) = World::with_values(config(), &[("a", "1")]);
        world.erase("a");
        world.peer.rule(PURGE, Rule::Silence);
        let op = sweep(&mut world, &bucket, 0);
        world.settle();
        world.peer.rewind("KV_b", if written { 0 } else { 1 });
        if written {
            world.write("a", "anew");
        }
        lose_link(&mut world);
        world.reconnect();
        assert_eq!(counts(world.wait(op)), removed(0, 0));
        assert_eq!(held(&world), "a@1");
        assert_over(&mut world);
    }
}

/// A tombstone is old when it has the whole age.
#[test]
fn age_is_exact() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    world.erase("a"); // a nanosecond after the full second
    server_time(&mut world, 90);
    let op = sweep(&mut world, &bucket, 90);
    assert_eq!(counts(world.done(op)), removed(0, 0));
    server_time(&mut world, 91);
    let op = sweep(&mut world, &bucket, 90);
    assert_eq!(counts(world.done(op)), removed(1, 1));
}

/// A key that got a value between the listing and the purge keeps it, and only keys that match are
/// looked at.
#[test]
fn a_key_that_was_created_again_keeps_its_value() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    for key in ["a.x", "a.y", "b"] {
        world.write(key, "1");
        world.erase(key);
    }
    world.peer.rule(PURGE, Rule::Hold);
    world.peer.rule(PURGE, Rule::Hold);
    let link = world.link();
    let filter = KeyFilter::new("a.*").unwrap();
    let options = PurgeDeletesOptions::default().older_than(Duration::ZERO);
    let op = sweep_with(&mut world, &bucket, options.filter(filter));
    // The listing is read, and the purges are not handed over.
    world.hand_over(link, usize::MAX);
    world.receive(link, usize::MAX);
    world.hand_over(link, usize::MAX);
    world.receive(link, usize::MAX);
    assert_eq!((purges(&world).len(), world.pending(link) > 0), (0, true));
    world.write("a.x", "2");
    world.settle();
    world.write("a.y", "3");
    world.peer.release(0);
    world.peer.release(0);
    assert_eq!(counts(world.done(op)), removed(2, 4));
    assert_eq!(held(&world), "b@5 b@6 a.x@7 a.y@8");
    assert_over(&mut world);
}

/// A listing that lost its link would go on with old revisions; so it starts over instead. A tombstone that
/// a value has followed, before the call, is none to remove, and neither is the history below it; and as none
/// is told of, nothing has to be confirmed.
#[test]
fn history_of_a_living_key_stays() {
    for resumed in [true, false] {
        let (mut world, bucket) = World::with_values(config(), &[]);
        world.erase("gone"); // 1
        for key in ["kept", "old"] {
            world.write(key, "1"); // 2, 4
            world.erase(key); // 3, 5
        }
        world.write("kept", "2"); // 6
        world.peer.consumers.deliver_at_once = false;
        let op = sweep(&mut world, &bucket, 0);
        world.settle();
        world.peer.deliver(1);
        world.settle();
        if resumed {
            lose_link(&mut world);
            world.reconnect();
        }
        world.peer.consumers.deliver_at_once = true;
        world.peer.deliver(10);
        assert_eq!(counts(world.done(op)), removed(2, 3));
        assert_eq!(held(&world), "kept@2 kept@3 kept@6");
        let asked = world.calls();
        let confirmed = asked.iter().filter(|call| *call == "STREAM.MSG").count();
        assert_eq!(confirmed, 0, "{asked:?}");
        assert_over(&mut world);
    }
}

/// A mirror that is behind shows a tombstone that a value has followed at its origin.
#[test]
fn a_mirror_that_is_behind_is_not_believed() {
    for lives in [true, false] {
        let (mut world, _) = World::with_values(config(), &[("k", "1")]);
        world.erase("k");
        let mirror = BucketConfig::new("m")
            .history(8)
            .mirror(Source::bucket("b"));
        let mirror = world.create_bucket(mirror);
        for message in world.peer.streams["KV_b"].messages.clone().into_values() {
            world.peer.append("KV_m", message);
        }
        if lives {
            world.write("k", "2");
        }
        let op = sweep(&mut world, &mirror, 0);
        let (expected, left) = if lives {
            (removed(0, 0), "k@1 k@2 k@3")
        } else {
            (removed(1, 2), "")
        };
        assert_eq!(counts(world.done(op)), expected);
        assert_eq!(held(&world), left);
        assert_over(&mut world);
    }
}

fn many(world: &mut World, keys: usize) {
    for number in 0..keys {
        world.erase(&format!("k{number}"));
    }
}

/// Several keys are cleaned at the same time, but not too many.
#[test]
fn so_many_at_a_time() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    many(&mut world, 50);
    for _ in 0..50 {
        world.peer.rule(PURGE, Rule::Hold);
    }
    let op = sweep(&mut world, &bucket, 0);
    let mut most = 0;
    while world.runs(op) {
        most = most.max(world.peer.held.len());
        assert_eq!(world.session.usage().operations, 1, "as the embedder asked");
        world.peer.release(world.peer.held.len() / 2);
        if purges(&world).len() == 50 && world.peer.held.is_empty() {
            break;
        }
    }
    assert_eq!(most, AT_ONCE);
    assert_eq!(purges(&world).len(), 50);
    assert_eq!(held(&world), "");
}

/// What is under way at a time also keeps to the limits, down to one purge.
#[test]
fn within_the_limits() {
    let small = limits(|limits| {
        limits.max_pending_bytes = 4_000;
    });
    let few = limits(|limits| limits.max_ops = 8);
    for (limits, at_most) in [(small, 3), (few, 7)] {
        let bound = limits.max_pending_bytes;
        let (mut world, bucket) = World::with_values(config().limits(limits), &[]);
        for number in 0..30 {
            world.erase(&format!("{}{number}", "k".repeat(700)));
        }
        let most = std::cell::Cell::new(0);
        for _ in 0..30 {
            world.peer.rule(PURGE, Rule::Hold);
        }
        let op = sweep(&mut world, &bucket, 0);
        loop {
            world.settle();
            let usage = world.session.usage();
            assert!(usage.pending_bytes < bound + 1_700, "{usage:?}");
            most.set(most.get().max(world.peer.held.len()));
            if world.peer.held.is_empty() {
                break;
            }
            world.peer.release(0);
        }
        assert_eq!(counts(world.done(op)), removed(30, 30));
        assert!((1..=at_most).contains(&most.get()), "{most:?}");
        assert_over(&mut world);
    }
}

/// A purge that is lost with its link is repeated, within the patience that was asked for.
#[test]
fn lost_purges_are_repeated() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    many(&mut world, 3);
    world.peer.rule(PURGE, Rule::LoseReply);
    world.peer.rule(PURGE, Rule::Silence);
    let options = PurgeDeletesOptions::default().older_than(Duration::ZERO);
    let op = sweep_with(&mut world, &bucket, options.patience(seconds(60)));
    world.settle();
    world.down = true;
    lose_link(&mut world);
    world.pass_silently(seconds(20));
    world.down = false;
    let done = world.wait(op).unwrap();
    assert_eq!(
        (done.tombstones, done.revisions),
        (2, 2),
        "one is not known"
    );
    assert_eq!(held(&world), "");
    assert_over(&mut world);
}

/// The tombstone of a bucket's earlier life bounds nothing in the next one.
#[test]
fn purges_of_an_earlier_life_end() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    many(&mut world, 3);
    (0..3).for_each(|_| world.peer.rule(PURGE, Rule::Silence));
    let op = sweep(&mut world, &bucket, 0);
    world.settle();
    world.peer.recreate("KV_b");
    world.write("k0", "new");
    lose_link(&mut world);
    assert_eq!(world.wait(op), Err(WatchError::TimedOut));
    assert_eq!(held(&world), "k0@1");
    world.reconnect();
    assert_over(&mut world);
}

/// The end of the listing, or of one purge, is the end of all.
#[test]
fn errors_end_it() {
    let violation = format!("Permissions Violation for Publish to \"{PURGE}\"");
    let denied = WatchError::Denied {
        subject: PURGE.to_owned(),
    };
    let failed = |code, number| Rule::Reply(failure(code, number, "no").to_string());
    let create = "$JS.API.CONSUMER.CREATE.KV_b";
    type Row<'a> = (&'a str, Rule, fn(&WatchError) -> bool);
    let rows: [Row<'_>; 6] = [
        (create, failed(404, 10_059), |e| {
            *e == WatchError::BucketNotFound
        }),
        (create, failed(400, 10_099), |e| {
            matches!(e, WatchError::Server(_))
        }),
        (PURGE, failed(404, 10_059), |e| {
            *e == WatchError::BucketNotFound
        }),
        (PURGE, failed(500, 10_110), |e| {
            matches!(e, WatchError::Server(_))
        }),
        (PURGE, Rule::Silence, |e| *e == WatchError::TimedOut),
        (PURGE, Rule::Reply("{}".to_owned()), |e| {
            *e == WatchError::TimedOut
        }),
    ];
    for (call, rule, expected) in rows {
        let (mut world, bucket) = World::with_values(config(), &[]);
        many(&mut world, 40);
        world.peer.rule(call, rule);
        let op = sweep(&mut world, &bucket, 0);
        let error = world.wait(op).unwrap_err();
        assert!(expected(&error), "{call}: {error:?}");
        assert_over(&mut world);
    }
    let (mut world, bucket) = World::with_values(config(), &[]);
    many(&mut world, 5);
    (0..5).for_each(|_| world.peer.rule(PURGE, Rule::Err(violation.clone())));
    let op = sweep(&mut world, &bucket, 0);
    assert_eq!(world.wait(op), Err(denied));
    assert_over(&mut world);
}

/// A client whose inbox is denied is told so, whatever it asks for; nothing waits for ever.
#[test]
fn a_denied_inbox_is_told() {
    let (mut world, bucket) = World::with_values(config(), &[]);
    many(&mut world, 3);
    let link = world.link();
    let inbox = world.peer.seen[0]
        .reply
        .rsplit_once('.')
        .unwrap()
        .0
        .to_owned();
    let violation = format!("-ERR 'Permissions Violation for Subscription to \"{inbox}.*\"'\r\n");
    world.inject(link, violation.as_bytes());
    let op = sweep(&mut world, &bucket, 0);
    let erased = erase(&mut world, &bucket, ">");
    let denied = world.done(op);
    assert!(
        matches!(denied, Err(WatchError::Denied { .. })),
        "{denied:?}"
    );
    let denied = world.done(erased);
    assert!(
        matches!(denied, Err(BucketError::Denied { .. })),
        "{denied:?}"
    );
    assert_idle(&world);
    assert!(
        world
            .events
            .iter()
            .all(|event| !matches!(event, Event::Watch(_)))
    );
}

/// What is refused leaves nothing.
#[test]
fn what_is_refused_leaves_nothing() {
    let config = |change: fn(&mut kv_proto::Limits)| -> Config { config().limits(limits(change)) };
    let full = |error: WatchError| assert_eq!(error, Refused::Full.into());
    let all = PurgeDeletesOptions::default;

    let (mut world, bucket) = World::with_values(config(|limits| limits.max_watches = 1), &[]);
    let first = world
        .session
        .purge_deletes(world.now, &bucket, all())
        .unwrap();
    full(
        world
            .session
            .purge_deletes(world.now, &bucket, all())
            .unwrap_err(),
    );
    world.done(first).unwrap();
    assert_over(&mut world);

    let (mut world, bucket) = World::with_values(config(|limits| limits.max_ops = 1), &[]);
    world.peer.rule("$KV.b.k", Rule::Hold);
    let put = world.put(&bucket, "k", "v");
    full(
        world
            .session
            .purge_deletes(world.now, &bucket, all())
            .unwrap_err(),
    );
    let filter = KeyFilter::new(">").unwrap();
    let erased = world.session.erase(world.now, &bucket, &filter, CALL());
    assert_eq!(erased.unwrap_err(), Refused::Full.into());
    world.session.cancel(put.id());
    world.settle();
    assert_over(&mut world);

    let (mut world, bucket) = World::with_values(config(|_| {}), &[]);
    let overlapping = all().filter(key("a").into()).filter(filter);
    let refused = world.session.purge_deletes(world.now, &bucket, overlapping);
    assert!(matches!(refused, Err(WatchError::InvalidOptions(_))));
    assert_over(&mut world);
    world.session.close(world.now);
    world.settle();
    let refused = world.session.purge_deletes(world.now, &bucket, all());
    assert_eq!(refused.unwrap_err(), Refused::Closed.into());
    assert_eq!(world.session.usage(), Usage::default());
}

/// How a sweep is ended from outside.
#[derive(Clone, Copy, Debug)]
enum End {
    Cancel,
    Deadline,
    Close,
    Abort,
}

/// Law: whatever ends a sweep, after any number of steps, with purges under way or not, nothing is left of
/// it, here or on the server.
#[test]
fn nothing_is_left() {
    for end in [End::Cancel, End::Deadline, End::Close, End::Abort] {
        for steps in 0..12 {
            for lost in [false, true] {
                // Where parts have lower places in the table than the whole, and where not.
                for low in [false, true] {
                    left_by(end, steps, lost, low);
                }
            }
        }
    }
}

fn left_by(end: End, steps: usize, lost: bool, low: bool) {
    let (mut world, bucket) = World::with_values(config(), &[]);
    let about = format!("{end:?} after {steps}, lost {lost}, low {low}");
    many(&mut world, 40);
    if low {
        let ops = ["x", "y", "z"].map(|key| world.put(&bucket, key, "v"));
        for op in ops {
            world.done(op).unwrap();
        }
    }
    (0..100).for_each(|_| world.peer.rule(PURGE, Rule::Hold));
    let options = PurgeDeletesOptions::default().older_than(Duration::ZERO);
    let op = sweep_with(&mut world, &bucket, options.timeout(seconds(4)));
    for _ in 0..steps {
        let link = world.link();
        world.hand_over(link, 300);
        world.receive(link, 700);
    }
    if lost {
        lose_link(&mut world);
    }
    match end {
        End::Cancel => world.session.cancel(op.id()),
        End::Deadline => {
            world.at(world.now + seconds(4));
            assert_eq!(
                world.session.take(&op),
                Some(Err(WatchError::TimedOut)),
                "{about}"
            );
        }
        End::Close => {
            world.session.close(world.now);
            world.pass_silently(seconds(6));
            // When the listing is complete, it is finished within its own time.
            let error = world.session.take(&op).unwrap().unwrap_err();
            let errors = [WatchError::Closed, WatchError::TimedOut];
            assert!(errors.contains(&error), "{about}: {error}");
        }
        End::Abort => {
            world.session.abort(world.now);
            let result = world.session.take(&op);
            assert_eq!(result, Some(Err(WatchError::Closed)), "{about}");
        }
    }
    assert_eq!(world.session.usage().operations, 0, "{about}");
    assert_eq!(world.session.usage().pending_bytes, 0, "{about}");
    world.peer.calm();
    if matches!(end, End::Close | End::Abort) {
        world.settle();
        assert_eq!(world.session.usage(), Usage::default(), "{about}");
    } else {
        world.reconnect();
        world.pass_silently(seconds(3));
        assert_idle(&world);
        assert_eq!(world.peer.consumers.all.len(), 0, "{about}");
    }
}

/// A sweep whose listing is complete is finished when the client is closed; one that still lists is not.
#[test]
fn closing_finishes_what_is_listed() {
    for complete in [true, false] {
        let (mut world, bucket) = World::with_values(config(), &[]);
        many(&mut world, 40);
        world.peer.consumers.deliver_at_once = complete;
        (0..40).for_each(|_| world.peer.rule(PURGE, Rule::Hold));
        let op = sweep(&mut world, &bucket, 0);
        world.settle();
        if !complete {
            world.peer.deliver(30);
            world.settle();
        }
        assert_eq!(world.peer.held.len(), AT_ONCE);
        world.session.close(world.now);
        world.settle();
        let result = world.session.take(&op);
        if !complete {
            assert_eq!(result, Some(Err(WatchError::Closed)));
            world.settle();
            assert_eq!(purges(&world).len(), AT_ONCE, "none is begun");
            continue;
        }
        assert_eq!(result, None);
        while !world.peer.held.is_empty() {
            world.peer.release(0);
            world.settle();
        }
        let result = world.session.take(&op).expect("it is over");
        assert_eq!(counts(result), removed(40, 40));
        assert_eq!(world.session.usage(), Usage::default());
    }
}
