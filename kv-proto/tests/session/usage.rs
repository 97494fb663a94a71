//! Nothing is left behind: whatever way operations end, once all are over and
//! taken, the session holds nothing for them.

use crate::support::embedder::{
    CALL, PUT, World, assert_idle, config, key, name, outcome, seconds,
};
use crate::support::peer::Rule;
use kv_proto::{
    Binding, GetOptions, KeyFilter, LinkErrorKind, OpId, Outcome, PurgeDeletesOptions, Usage,
};

/// Each number counts what it says, at the moment at which it is not zero.
#[test]
fn what_is_held_is_counted() {
    let (mut world, bucket) = World::with_bucket(config());
    assert_idle(&world);
    let idle = world.session.usage();
    assert_eq!(
        (idle.links, idle.timers),
        (1, 1),
        "the liveness of one link"
    );
    let link = world.link();
    world.peer.rule("$KV.b.k", Rule::Hold);
    let put = world.put(&bucket, "k", "value");
    let frame = world.pending(link);
    let sent = world.session.usage();
    assert_eq!((sent.operations, sent.waiting), (1, 0));
    assert_eq!((sent.reply_slots, sent.unsent_bytes), (1, frame));
    assert_eq!((sent.links, sent.timers), (1, 2), "and a deadline");
    assert!(sent.pending_bytes >= "kvalue".len());
    world.hand_over(link, 7);
    assert_eq!(world.session.usage().unsent_bytes, frame - 7);
    world.settle();
    world.peer.release(0);
    world.settle();
    let ended = world.session.usage();
    assert_eq!((ended.operations, ended.pending_bytes), (1, 0));
    assert_eq!((ended.reply_slots, ended.unsent_bytes), (0, 0));
    world.session.take(&put).unwrap().unwrap();
    assert_idle(&world);

    let get = world.get(&bucket, "k", GetOptions::default());
    world.settle();
    assert!(world.session.usage().result_bytes >= "value".len());
    world.session.take(&get).unwrap().unwrap();
    assert_idle(&world);

    world.cut(link, LinkErrorKind::Read);
    let waits = world.put(&bucket, "k", "value");
    let waiting = world.session.usage();
    assert_eq!((waiting.operations, waiting.waiting), (1, 1));
    assert_eq!((waiting.links, waiting.unsent_bytes), (0, 0));
    world.wait(waits).unwrap();
    assert_idle(&world);
}

/// One operation of each kind; more than one request is in each of their
/// lives if something goes wrong.
fn ask_all(world: &mut World, bucket: &Binding) -> Vec<OpId> {
    let large = "v".repeat(9_000);
    let now = world.now;
    let mut ops = vec![
        world.put(bucket, "k", "v").id(),
        world.put(bucket, "large", &large).id(),
        world.create(bucket, "k", "v").id(),
        world.update(bucket, "k", "v", 3).id(),
        world.delete(bucket, "k").id(),
        world.get(bucket, "k", GetOptions::default()).id(),
        world.get(bucket, "k", GetOptions::default().leader()).id(),
    ];
    let session = &mut world.session;
    ops.push(session.open(now, &name("b"), CALL()).unwrap().id());
    ops.push(session.status(now, &name("b"), CALL()).unwrap().id());
    ops.push(session.bucket_names(now, 0, CALL()).unwrap().id());
    ops.push(session.bucket_statuses(now, 0, CALL()).unwrap().id());
    let all = KeyFilter::new(">").unwrap();
    ops.push(session.erase(now, bucket, &all, CALL()).unwrap().id());
    let options = PurgeDeletesOptions::default().timeout(seconds(5));
    let sweep = session.purge_deletes(now, bucket, options);
    ops.push(sweep.unwrap().id());
    ops.push(session.sleep(now, seconds(2)).unwrap().id());
    ops
}

/// How the operations of a run end.
#[derive(Clone, Copy, Debug)]
enum End {
    Answers,
    Cancel,
    Deadline,
    LinkLost,
    Close,
    Abort,
}

const ENDS: [End; 6] = [
    End::Answers,
    End::Cancel,
    End::Deadline,
    End::LinkLost,
    End::Close,
    End::Abort,
];

/// Law: with every kind of operation under way, at every point of the
/// hand-over, whatever ends them leaves nothing behind.
#[test]
fn nothing_is_left_behind() {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    ask_all(&mut world, &bucket);
    let len = world.pending(link);
    for end in ENDS {
        for cut in (0..=len).step_by(61) {
            let (mut world, bucket) = World::with_bucket(config());
            let ops = ask_all(&mut world, &bucket);
            end_all(&mut world, &ops, end, cut);
            // A result that nobody takes is given up by its name.
            ops.iter().for_each(|op| world.session.cancel(*op));
            world.peer.calm();
            if !matches!(end, End::Close | End::Abort) {
                // Until the consumer of the listing is deleted.
                world.pass_silently(seconds(10));
                world.reconnect();
                world.pass_silently(seconds(3));
            }
            world.settle();
            assert_idle(&world);
            if matches!(end, End::Close | End::Abort) {
                assert_eq!(world.session.usage(), Usage::default(), "{end:?} {cut}");
            }
        }
    }
}

fn end_all(world: &mut World, ops: &[OpId], end: End, cut: usize) {
    let link = world.link();
    let silent = !matches!(end, End::Answers);
    world.peer.hold_all = silent;
    world.hand_over(link, cut);
    match end {
        End::Answers => {}
        End::Cancel => ops.iter().for_each(|op| world.session.cancel(*op)),
        End::Deadline => world.sleep(seconds(5)),
        End::LinkLost => {
            world.peer.calm();
            world.cut(link, LinkErrorKind::Read);
            world.reconnect();
        }
        End::Close => {
            world.session.close(world.now);
            world.settle();
            world.sleep(seconds(5));
        }
        End::Abort => world.session.abort(world.now),
    }
    let (mut ended, last) = (0, world.now + seconds(5));
    while let Some(next) = world.session.poll_timeout().filter(|next| *next <= last) {
        world.settle();
        world.at(next.max(world.now));
    }
    world.settle();
    while let Some(event) = world.events.pop() {
        ended += usize::from(matches!(event, kv_proto::Event::Op(id) if ops.contains(&id)));
    }
    let all = if matches!(end, End::Cancel) {
        0
    } else {
        ops.len()
    };
    assert_eq!(ended, all, "{end:?} {cut}");
    let held = world.session.usage();
    assert_eq!(
        (held.operations, held.pending_bytes),
        (all, 0),
        "{end:?} {cut}"
    );
}

/// Nothing is left of what was refused, of what no link could take, or of what
/// was given up while there was no link.
#[test]
fn nothing_is_left_of_what_never_left() {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.down = true;
    let now = world.now;
    let large = "v".repeat(1_000);
    let too_large = world.put(&bucket, "k", &large);
    for _ in 0..500 {
        let op = world.put(&bucket, "k", "v");
        world.session.cancel(op.id());
    }
    let late = world.put_within(&bucket, "k", seconds(1));
    assert_eq!(world.session.usage().waiting, 2);
    world.sleep(seconds(1));
    let result = world.session.take(&late).unwrap();
    assert_eq!(outcome(&result), Some(Outcome::NotApplied));
    world.peer.info["max_payload"] = 100.into();
    world.down = false;
    world.reconnect();
    let result = world.done(too_large);
    assert_eq!(outcome(&result), Some(Outcome::NotApplied));
    let refused = world
        .session
        .put(now, &bucket, key("k"), large.into(), PUT());
    assert!(refused.is_err());
    assert_idle(&world);
}
