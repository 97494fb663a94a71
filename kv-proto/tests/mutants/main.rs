//! Each planted bug shows. For each there is a scene that gives one result in
//! correct code and another one with the bug planted; both are told here, so
//! that a scene which proves nothing would be noticed.
//!
//! Planting is process-wide, so one test goes through all scenes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail loudly"
)]

mod floor_scenes;
#[path = "../support/mod.rs"]
mod support;
mod watch_scenes;

use bytes::{Buf, Bytes};
use kv_proto::mutant::{self, Mutant};
use kv_proto::{
    BucketConfig, Config, ConnectionEvent, ConnectionState, CreateOptions, Entry, EventCursor,
    GetOptions, LinkErrorKind, ReadError, Revision, WriteError,
};
use support::embedder::{PUT, World, config, key, seconds};
use support::peer::{Rule, refusal};
use watch_scenes::Scene;

/// The bug, the scene, what it shows in correct code, and what with the bug.
const SCENES: [(Mutant, Scene, &str, &str); 28] = [
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
        Mutant::SecondAuthErrorIsFinal,
        the_credentials_are_refused_until_they_are_known,
        "Connected",
        "Closed",
    ),
    (
        Mutant::OrderNotKept,
        servers_are_tried_in_order,
        "one:1 two:2 three:3 four:4",
        "three:3 one:1 four:4 two:2",
    ),
    (
        Mutant::AttemptsNeverForgotten,
        attempts_fail_between_connections,
        "Connected",
        "Closed",
    ),
    (
        Mutant::ExpiryIsRefusal,
        credentials_expire_again_and_again,
        "Connected",
        "Closed",
    ),
    (
        Mutant::LameDuckIgnored,
        a_server_announces_its_end,
        "moved to two:2",
        "stayed on one:1",
    ),
    (
        Mutant::DiscoveredReplaceConfigured,
        a_server_announces_another,
        "one:1 two:2",
        "two:2",
    ),
    (
        Mutant::MaxPayloadNeverChanges,
        a_server_lowers_its_limit,
        "not applied, link kept",
        "unknown, link lost",
    ),
    (
        Mutant::NobodyIsNotFound,
        nobody_answers_a_get_at_first,
        "found",
        "no such key",
    ),
    (
        Mutant::DeadlineRestarts,
        nobody_answers_a_put,
        "not applied, on time",
        "applied at 1, late",
    ),
    (
        Mutant::SilenceIsLife,
        a_server_falls_silent,
        "server does not answer pings",
        "connected",
    ),
    (
        Mutant::BadHeadersEndLink,
        a_message_has_bad_headers,
        "an error, link kept",
        "found, link lost",
    ),
    // The same bug, seen by what is in flight beside the message.
    (
        Mutant::BadHeadersEndLink,
        a_message_has_bad_headers_beside_a_put,
        "applied at 2",
        "unknown",
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

#[test]
fn each_planted_bug_shows() {
    let scenes = SCENES.iter().chain(&watch_scenes::SCENES);
    let scenes = scenes.chain(&floor_scenes::SCENES);
    for &(mutant, scene, correct, wrong) in scenes.clone() {
        let name = mutant.name();
        mutant::plant(None);
        assert_eq!(scene(), correct, "{name} not planted");
        mutant::plant(Some(mutant));
        assert_eq!(scene(), wrong, "{name}: {}", mutant.summary());
    }
    mutant::plant(None);
    for mutant in Mutant::ALL {
        let shown = scenes.clone().any(|scene| scene.0 == *mutant);
        assert!(shown, "{} has no scene", mutant.name());
    }
}

/// What a caller is told of a write.
fn told(result: Result<Revision, WriteError>) -> String {
    match result {
        Ok(revision) => format!("applied at {revision}"),
        Err(WriteError::Exists { revision }) => format!("exists at {revision}"),
        Err(WriteError::Conflict { current, .. }) => {
            format!("conflict with {}", current.expect("a number"))
        }
        Err(WriteError::NotApplied(_)) => "not applied".to_owned(),
        Err(WriteError::Unknown(_)) => "unknown".to_owned(),
        Err(other) => panic!("{other:?}"),
    }
}

/// What a caller is told of a get.
fn read(result: &Result<Option<Entry>, ReadError>) -> &'static str {
    match result {
        Ok(Some(_)) => "found",
        Ok(None) => "no such key",
        Err(_) => "an error",
    }
}

fn link_kept(world: &World) -> &'static str {
    if world.dialed.len() == 1 {
        "link kept"
    } else {
        "link lost"
    }
}

/// Everything that a link has to write, without writing it.
fn unwritten(world: &mut World) -> Vec<u8> {
    let link = world.link();
    let mut output = world.session.transmit(link);
    output.copy_to_bytes(output.remaining()).to_vec()
}

/// Lets a time pass, and everything that it brings.
fn pass(world: &mut World, time: u64) {
    let end = world.now + seconds(time);
    world.settle();
    while let Some(next) = world.session.poll_timeout().filter(|next| *next < end) {
        world.at(next.max(world.now));
        world.settle();
    }
    world.at(end);
    world.settle();
}

// ---- writes --------------------------------------------------------------------

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

// ---- frames and replies --------------------------------------------------------

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

// ---- links ---------------------------------------------------------------------

fn the_credentials_are_refused_until_they_are_known() -> String {
    let mut world = World::new(config().retry_first_connect(true), 1);
    for attempt in 1..=3 {
        while world.dialed.len() < attempt && world.session.failure().is_none() {
            world.dial();
            if let Some(next) = world.session.poll_timeout() {
                world.at(next.max(world.now));
            }
            world.dial();
        }
        let link = world.link();
        world.inject(link, b"-ERR 'Authorization Violation'\r\n");
        world.dial();
    }
    pass(&mut world, 60);
    format!("{:?}", world.session.state())
}

fn servers_are_tried_in_order() -> String {
    let config = Config::new("one:1,two:2,three:3,four:4").unwrap();
    let mut world = World::new(config.shuffle_servers(false), 1);
    world.down = true;
    let mut cursor = EventCursor::default();
    world.settle();
    let next = || world.session.next_connection_event(&mut cursor);
    let tried = std::iter::from_fn(next).filter_map(|event| match event {
        ConnectionEvent::Failed { server, .. } => Some(server.to_string()),
        _ => None,
    });
    tried.collect::<Vec<_>>().join(" ")
}

fn attempts_fail_between_connections() -> String {
    let mut world = World::with_bucket(config().max_reconnects(3)).0;
    for _ in 0..4 {
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        world.down = true;
        while let Some(next) = world.session.poll_timeout()
            && world.session.state() == ConnectionState::Reconnecting
            && world.down
        {
            world.at(next.max(world.now));
            world.down = !world.dial();
        }
        world.down = false;
        pass(&mut world, 60);
    }
    format!("{:?}", world.session.state())
}

fn credentials_expire_again_and_again() -> String {
    let mut world = World::with_bucket(config().max_auth_failures(1)).0;
    for _ in 0..4 {
        let link = world.link();
        world.inject(link, b"-ERR 'User Authentication Expired'\r\n");
        pass(&mut world, 60);
    }
    format!("{:?}", world.session.state())
}

fn a_server_announces_its_end() -> String {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    let mut info = world.peer.info.clone();
    info["ldm"] = true.into();
    info["connect_urls"] = serde_json::json!(["two:2"]);
    world.inject(link, format!("INFO {info}\r\n").as_bytes());
    pass(&mut world, 30);
    let server = world.session.server().expect("a connection");
    let verb = if world.link() == link {
        "stayed on"
    } else {
        "moved to"
    };
    format!("{verb} {server}")
}

fn a_server_announces_another() -> String {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    let mut info = world.peer.info.clone();
    info["connect_urls"] = serde_json::json!(["two:2"]);
    world.inject(link, format!("INFO {info}\r\n").as_bytes());
    let servers = world.session.servers().map(ToString::to_string);
    servers.collect::<Vec<_>>().join(" ")
}

fn a_server_lowers_its_limit() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.peer.info["max_payload"] = 100.into();
    let info = format!("INFO {}\r\n", world.peer.info);
    world.inject(link, info.as_bytes());
    let value = Bytes::from(vec![b'v'; 1_000]);
    let put = world
        .session
        .put(world.now, &bucket, key("k"), value, PUT());
    let result = put.and_then(|put| world.wait(put));
    world.reconnect();
    format!("{}, {}", told(result), link_kept(&world))
}

fn a_server_falls_silent() -> String {
    let (mut world, _) = World::with_bucket(config());
    // Nothing moves any more, but the clock.
    let end = world.now + seconds(300);
    while world.now < end && world.session.last_disconnect().is_none() {
        let next = world.session.poll_timeout().expect("a check is due");
        world.at(next);
    }
    let reason = world.session.last_disconnect();
    reason.map_or("connected".to_owned(), ToString::to_string)
}

// ---- reads ---------------------------------------------------------------------

fn nobody_answers_a_get_at_first() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "v");
    world.done(put).unwrap();
    world.peer.rule("$JS.API.DIRECT.GET.", Rule::Nobody);
    let get = world.get(&bucket, "k", GetOptions::default());
    read(&world.wait(get)).to_owned()
}

const BAD: &str = "NATS/1.0\r\nno colon\r\n\r\n";

fn a_message_has_bad_headers() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "v");
    world.done(put).unwrap();
    let bad = Rule::Headed(BAD.to_owned(), b"v".to_vec());
    world.peer.rule("$JS.API.DIRECT.GET.", bad);
    let get = world.get(&bucket, "k", GetOptions::default());
    let result = world.wait(get);
    format!("{}, {}", read(&result), link_kept(&world))
}

fn a_message_has_bad_headers_beside_a_put() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "v");
    world.done(put).unwrap();
    let bad = Rule::Headed(BAD.to_owned(), b"v".to_vec());
    world.peer.rule("$JS.API.DIRECT.GET.", bad);
    world.peer.rule("$KV.b.k", Rule::Hold);
    let put = world.put(&bucket, "k", "v");
    world.settle();
    let get = world.get(&bucket, "k", GetOptions::default());
    world.settle();
    world.session.cancel(get.id());
    world.peer.release(0);
    told(world.wait(put))
}
