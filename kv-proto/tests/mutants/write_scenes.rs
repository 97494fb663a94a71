//! Scenes that show the planted bugs of writes, of their frames and of the replies to them.

use super::*;

/// The bug, the scene, what it shows in correct code, and what with the bug.
pub(crate) const SCENES: [(Mutant, Scene, &str, &str); 17] = [
    (
        Mutant::CreateWithoutCondition,
        a_rival_replaces_the_tombstone,
        "exists at 2",
        "applied at 3",
    ),
    (
        Mutant::CreateForgetsTtl,
        a_create_with_ttl_meets_a_tombstone,
        "ttl 0: 9, ttl 1: 9",
        "ttl 0: 9, ttl 1: none",
    ),
    (
        Mutant::ConflictWithItself,
        the_acknowledgement_of_an_update_is_lost,
        "applied at 2, 2 in the log",
        "conflict with 2, 2 in the log",
    ),
    (
        Mutant::NameChanges,
        the_acknowledgement_of_an_update_is_lost,
        "applied at 2, 2 in the log",
        "conflict with 2, 2 in the log",
    ),
    (
        Mutant::RefusalForgetsDoubt,
        an_update_in_doubt_is_refused_when_it_is_repeated,
        "unknown, 2 in the log",
        "not applied, 2 in the log",
    ),
    (
        Mutant::PutSentTwice,
        the_acknowledgement_of_a_put_is_lost,
        "unknown, 1 in the log",
        "applied at 2, 2 in the log",
    ),
    (
        Mutant::LossIsNotApplied,
        the_acknowledgement_of_a_put_is_lost,
        "unknown, 1 in the log",
        "not applied, 1 in the log",
    ),
    (
        Mutant::CancelCutsFrame,
        a_begun_put_is_cancelled,
        "finished",
        "cut",
    ),
    (
        Mutant::FrameContinuedOnNextLink,
        a_link_is_lost_in_the_middle_of_a_frame,
        "SUB",
        "rest",
    ),
    (
        Mutant::TokenUsedTooEarly,
        a_reply_comes_after_the_deadline,
        "runs",
        "applied at 1",
    ),
    (
        Mutant::SlotLeaked,
        a_put_times_out,
        "0 reply slots",
        "1 reply slots",
    ),
    (
        Mutant::DeadlineRestarts,
        nobody_answers_a_put,
        "not applied, on time",
        "applied at 1, late",
    ),
    (
        Mutant::CopyIsBelieved,
        an_acknowledgement_comes_twice,
        "runs",
        "applied at 1",
    ),
    (
        Mutant::LateTimersForgotten,
        a_connection_comes_after_the_deadline,
        "0 in the log",
        "1 in the log",
    ),
    (
        Mutant::OneTimerAtATime,
        two_deadlines_are_one_moment,
        "both ended",
        "one ended",
    ),
    (
        Mutant::RestIsPolled,
        nobody_can_be_reached,
        "a few timers",
        "many timers",
    ),
    (
        Mutant::SilenceIsAccepted,
        a_question_is_not_answered,
        "v",
        "no answer in time",
    ),
];

fn a_rival_replaces_the_tombstone() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let tombstone = world.delete(&bucket, "k");
    world.done(tombstone).unwrap();
    // Between the look at the tombstone and the second attempt a rival writes.
    world.peer.rule("$JS.API.STREAM.MSG.GET.", Rule::Hold);
    let create = world.create(&bucket, "k", "mine");
    assert!(world.runs(create));
    let rival = world.put(&bucket, "k", "theirs");
    world.done(rival).unwrap();
    world.peer.release(0);
    told(world.wait(create))
}

fn a_create_with_ttl_meets_a_tombstone() -> String {
    let mut world = World::new(config(), 1);
    let bucket = world.create_bucket(BucketConfig::new("b").limit_markers(seconds(1)));
    let tombstone = world.delete(&bucket, "k");
    world.done(tombstone).unwrap();
    let options = CreateOptions::default().ttl(seconds(9));
    let (now, value) = (world.now, Bytes::from_static(b"v"));
    let create = world.session.create(now, &bucket, key("k"), value, options);
    world.wait(create.unwrap()).unwrap();
    let attempts = world.peer.seen.iter().filter(|p| p.payload == *b"v");
    let ttls = attempts.map(|p| p.header("Nats-TTL").unwrap_or("none".to_owned()));
    let told = ttls.enumerate().map(|(at, ttl)| format!("ttl {at}: {ttl}"));
    told.collect::<Vec<_>>().join(", ")
}

fn an_update_in_doubt_is_refused_when_it_is_repeated() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let first = world.put(&bucket, "k", "0");
    world.done(first).unwrap();
    world.peer.rule("$KV", Rule::LoseReply);
    let op = world.update(&bucket, "k", "1", 1);
    let link = world.link();
    assert!(world.runs(op));
    world.peer.rule(
        "$KV",
        Rule::Reply(refusal(10_023, "insufficient resources")),
    );
    world.cut(link, LinkErrorKind::Read);
    let result = told(world.wait(op));
    format!("{result}, {} in the log", world.peer.log.len())
}

fn the_acknowledgement_of_an_update_is_lost() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let first = world.put(&bucket, "k", "v");
    world.done(first).unwrap();
    world.peer.rule("$KV.b.k", Rule::LoseReply);
    let update = world.update(&bucket, "k", "v", 1);
    world.settle();
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    let result = told(world.wait(update));
    format!("{result}, {} in the log", world.peer.log.len())
}

fn the_acknowledgement_of_a_put_is_lost() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.k", Rule::LoseReply);
    let put = world.put(&bucket, "k", "v");
    world.settle();
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    let result = told(world.wait(put));
    format!("{result}, {} in the log", world.peer.log.len())
}

fn nobody_answers_a_put() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    for _ in 0..100 {
        world.peer.rule("$KV.b.k", Rule::Nobody);
    }
    let deadline = world.now + seconds(3);
    let put = world.put_within(&bucket, "k", seconds(3));
    let result = told(world.wait(put));
    let on_time = if world.now <= deadline {
        "on time"
    } else {
        "late"
    };
    format!("{result}, {on_time}")
}

fn a_begun_put_is_cancelled() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    let put = world.put(&bucket, "k", "v");
    let len = world.pending(link);
    world.hand_over(link, 5);
    world.session.cancel(put.id());
    // The next frame follows it, or stands in the middle of it.
    world.put(&bucket, "next", "v");
    let unwritten = unwritten(&mut world);
    let next = unwritten.windows(4).position(|at| at == b"PUB ");
    let told = if next == Some(len - 5) {
        "finished"
    } else {
        "cut"
    };
    told.to_owned()
}

fn a_link_is_lost_in_the_middle_of_a_frame() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let lost = world.link();
    world.put(&bucket, "k", "the rest");
    let len = world.pending(lost);
    world.hand_over(lost, len - "rest\r\n".len());
    world.cut(lost, LinkErrorKind::Read);
    while world.link() == lost {
        let next = world.session.poll_timeout().expect("a dial is due");
        world.at(next);
        world.dial();
    }
    let link = world.link();
    world.receive(link, usize::MAX);
    world.hand_over(link, usize::MAX);
    world.receive(link, usize::MAX);
    // The login is over; what is the last thing that the client now says?
    let unwritten = String::from_utf8(unwritten(&mut world)).unwrap();
    let last = unwritten.lines().last().expect("it subscribes");
    last.split(' ').next().unwrap_or_default().to_owned()
}

fn a_reply_comes_after_the_deadline() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.late", Rule::Hold);
    world.peer.rule("$KV.b.next", Rule::Silence);
    let late = world.put_within(&bucket, "late", seconds(1));
    world.settle();
    world.sleep(seconds(1));
    assert!(!world.runs(late));
    let next = world.put(&bucket, "next", "v");
    world.settle();
    world.peer.release(0);
    world.settle();
    let result = world.session.take(&next);
    result.map_or("runs".to_owned(), told)
}

fn a_put_times_out() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.k", Rule::Silence);
    let put = world.put_within(&bucket, "k", seconds(1));
    world.settle();
    world.sleep(seconds(1));
    assert!(!world.runs(put));
    format!("{} reply slots", world.session.usage().reply_slots)
}

fn an_acknowledgement_comes_twice() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.first", Rule::Copy);
    world.peer.rule("$KV.b.next", Rule::Silence);
    let first = world.put(&bucket, "first", "v");
    world.done(first).unwrap();
    let next = world.put(&bucket, "next", "v");
    world.settle();
    world.peer.release(0);
    world.settle();
    let result = world.session.take(&next);
    result.map_or("runs".to_owned(), told)
}

/// The embedder is late: the link is ready long after the deadline, whose timer was not served yet.
fn a_connection_comes_after_the_deadline() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    let put = world.put_within(&bucket, "k", seconds(20));
    while world.link() == link {
        let next = world.session.poll_timeout().expect("a dial is due");
        world.at(next);
        world.dial();
    }
    world.now = world.now + seconds(60);
    let link = world.link();
    world.receive(link, usize::MAX);
    world.hand_over(link, usize::MAX);
    world.receive(link, usize::MAX);
    world.hand_over(link, usize::MAX);
    world.session.cancel(put.id());
    format!("{} in the log", world.peer.log.len())
}

fn two_deadlines_are_one_moment() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.k", Rule::Silence);
    world.peer.rule("$KV.b.k", Rule::Silence);
    let both = ["k1", "k2"].map(|k| world.put_within(&bucket, k, seconds(1)));
    world.settle();
    world.session.handle_timeout(world.now + seconds(1));
    let ended = both.map(|put| world.session.take(&put).is_some());
    if ended == [true, true] {
        "both ended".to_owned()
    } else {
        "one ended".to_owned()
    }
}

fn nobody_can_be_reached() -> String {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    let end = world.now + seconds(10);
    let mut timers = 0;
    while let Some(at) = world.session.poll_timeout().filter(|at| *at <= end) {
        timers += 1;
        world.session.handle_timeout(at);
        while let Some(action) = world.session.poll_link() {
            if let kv_proto::LinkAction::Dial { link, .. } = action {
                let error = support::embedder::link_error(LinkErrorKind::Dial);
                world.session.handle_closed(at, link, error);
            }
        }
    }
    if timers < 1_000 {
        "a few timers".to_owned()
    } else {
        "many timers".to_owned()
    }
}

fn a_question_is_not_answered() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "v");
    world.done(put).unwrap();
    world.peer.rule("$JS.API.STREAM.MSG.GET.", Rule::Silence);
    match world.read(&bucket, "k") {
        Ok(value) => value.unwrap_or_default(),
        Err(_) => "no answer in time".to_owned(),
    }
}
