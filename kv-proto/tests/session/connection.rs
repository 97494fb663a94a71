//! The life of a connection as its owner sees it: what is told of it, how long
//! an answer takes, when a client gives up, and what its end cuts short.

use std::time::Duration;

use crate::support::embedder::{CALL, World, config, seconds};
use crate::support::peer::Rule;
use kv_proto::limits::{MAX_CONNECTION_EVENTS, MAX_EVENT_TEXT};
use kv_proto::{
    CallOptions, Cause, Config, ConnectError, ConnectionEvent, ConnectionState, Disconnect, Doubt,
    EventCursor, LinkErrorKind, PingError, Refused, Stats, WriteError,
};

/// All that was told behind the cursor, in words.
fn told(world: &World, cursor: &mut EventCursor) -> Vec<String> {
    let next = || world.session.next_connection_event(cursor);
    std::iter::from_fn(next)
        .map(|event| match event {
            ConnectionEvent::Connected { server, .. } => format!("connected {server}"),
            ConnectionEvent::Disconnected { reason, .. } => format!("lost: {reason}"),
            ConnectionEvent::Failed {
                reason, attempts, ..
            } => format!("failed {attempts}: {reason}"),
            ConnectionEvent::LameDuck { server, .. } => format!("lame duck {server}"),
            other => other.to_string(),
        })
        .collect()
}

/// Lets dials fail until the session has no more of them, or so many.
fn fail_dials(world: &mut World, most: usize) -> usize {
    world.down = true;
    let mut cursor = world.session.connection_events();
    let mut failed = 0;
    while failed < most && world.session.state() != ConnectionState::Closed {
        world.settle();
        if let Some(next) = world.session.poll_timeout() {
            world.at(next.max(world.now));
        }
        failed += told(world, &mut cursor)
            .iter()
            .filter(|line| line.starts_with("failed"))
            .count();
    }
    world.down = false;
    failed
}

/// One life, from the first attempt to the end; whoever begins to read in between is told the rest, and
/// the counters agree.
#[test]
fn everything_that_happens_is_told_in_order() {
    let mut world = World::new(config().retry_first_connect(true), 1);
    let mut all = EventCursor::default();
    fail_dials(&mut world, 2);
    world.reconnect();
    let mut later = world.session.connection_events();
    let link = world.link();
    world.inject(link, b"-ERR 'Something new'\r\n");
    let mut info = world.peer.info.clone();
    info["connect_urls"] = serde_json::json!(["two:2"]);
    world.inject(link, format!("INFO {info}\r\n").as_bytes());
    info["ldm"] = true.into();
    world.inject(link, format!("INFO {info}\r\n").as_bytes());
    while world.dialed.len() < 2 {
        let next = world.session.poll_timeout().expect("a dial is due");
        world.at(next);
        world.settle();
    }
    world.settle();
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.reconnect();
    world.session.close(world.now);
    world.settle();
    let rest = [
        "one:1 says: Something new",
        "servers announced: 1 came, 0 went",
        "lame duck one:1",
        "connected two:2",
        "lost: server is shutting down",
        "lost: connection ended: test",
        "connected one:1",
        "lost: client was closed",
        "closed",
    ];
    assert_eq!(told(&world, &mut later), rest);
    let mut whole = vec![
        "failed 1: cannot connect: test",
        "failed 2: cannot connect: test",
        "connected one:1",
    ];
    whole.extend(rest);
    assert_eq!(told(&world, &mut all), whole);
    assert_eq!(told(&world, &mut all), [""; 0], "nothing follows the end");
    let Stats {
        connects,
        disconnects,
        failed_attempts,
        server_errors,
        lame_ducks,
        authentication_failures,
        ..
    } = *world.session.stats();
    let counted = [connects, disconnects, failed_attempts, server_errors];
    assert_eq!(counted, [3, 3, 2, 1]);
    assert_eq!([lame_ducks, authentication_failures], [1, 0]);
}

/// A server that reports errors without end costs no memory: texts are cut, and who reads too late is told
/// how much was missed.
#[test]
fn a_flood_of_errors_is_bounded() {
    let (mut world, _) = World::with_bucket(config());
    let mut cursor = world.session.connection_events();
    let link = world.link();
    let line = format!("-ERR '{}'\r\n", "x".repeat(4_000));
    for _ in 0..1_000 {
        world.inject(link, line.as_bytes());
    }
    let missed = 1_000 - u64::try_from(MAX_CONNECTION_EVENTS).unwrap();
    let first = world.session.next_connection_event(&mut cursor);
    assert_eq!(first, Some(ConnectionEvent::Missed(missed)));
    let mut kept = 0;
    while let Some(event) = world.session.next_connection_event(&mut cursor) {
        let ConnectionEvent::ServerError { text, .. } = event else {
            panic!("{event:?}");
        };
        assert_eq!(text.len(), MAX_EVENT_TEXT);
        kept += 1;
    }
    assert_eq!(kept, MAX_CONNECTION_EVENTS);
    assert_eq!(world.session.stats().server_errors, 1_000);
    assert_eq!(world.session.state(), ConnectionState::Connected);
}

/// No event shows what we log in with, however it ends.
#[test]
fn events_show_no_secrets() {
    let config = config()
        .user("me", "canary")
        .allow_passwords_in_clear()
        .max_auth_failures(2);
    let mut world = World::new(config.retry_first_connect(true), 1);
    refuse(&mut world, 2);
    let mut cursor = EventCursor::default();
    while let Some(event) = world.session.next_connection_event(&mut cursor) {
        assert!(!format!("{event:?} {event}").contains("canary"), "{event}");
    }
    assert_eq!(world.session.state(), ConnectionState::Closed);
}

/// An answer takes as long as it takes: what was asked first is answered first, and questions that the
/// session asks by itself, or that nobody waits for any more, take nobody else's answer.
#[test]
fn each_question_is_answered_by_its_own_answer() {
    let config = config().ping_interval(seconds(10));
    let (mut world, bucket) = World::with_bucket(config);
    let ms = Duration::from_millis;
    let link = world.link();
    let ask = |world: &mut World| world.session.ping(world.now, CALL()).unwrap();
    let first = ask(&mut world);
    world.hand_over(link, usize::MAX);
    world.sleep(ms(3));
    let (cancelled, gone) = (ask(&mut world), ask(&mut world));
    world.session.cancel(cancelled.id()); // never sent
    world.hand_over(link, usize::MAX);
    world.session.cancel(gone.id()); // sent, and answered to nobody
    world.sleep(ms(4));
    let last = ask(&mut world);
    world.hand_over(link, usize::MAX);
    world.sleep(ms(5));
    assert_eq!(world.done(first), Ok(ms(12)));
    assert_eq!(world.done(last), Ok(ms(5)));
    assert_eq!(world.session.rtt(), Some(ms(5)));
    // The session's own question, and then ours.
    let due = world.session.poll_timeout().unwrap();
    world.at(due);
    world.hand_over(link, usize::MAX);
    world.sleep(ms(1));
    let ours = ask(&mut world);
    world.hand_over(link, usize::MAX);
    world.sleep(ms(6));
    assert_eq!(world.done(ours), Ok(ms(6)));
    let put = world.put(&bucket, "k", "v");
    assert!(world.done(put).is_ok());
    let usage = world.session.usage();
    assert_eq!((usage.operations, usage.reply_slots), (0, 0));
}

/// A question waits for a connection, and is asked again when that is lost; then the time counts anew. It
/// ends with its deadline, or with the session.
#[test]
fn a_question_outlives_connections_and_not_its_deadline() {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    let asked = world.session.ping(world.now, CALL()).unwrap();
    world.hand_over(link, usize::MAX);
    world.cut(link, LinkErrorKind::Read);
    assert_eq!(world.wait(asked), Ok(Duration::ZERO));
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.down = true;
    let short = CallOptions::default().timeout(seconds(1));
    let asked = world.session.ping(world.now, short).unwrap();
    assert_eq!(world.wait(asked), Err(PingError::TimedOut));
    let asked = world.session.ping(world.now, CALL()).unwrap();
    world.session.abort(world.now);
    assert_eq!(world.done(asked), Err(PingError::Closed));
    let refused = world.session.ping(world.now, CALL());
    assert_eq!(refused.err(), Some(Refused::Closed));
}

/// Closing waits for an answer that is under way, like for any other.
#[test]
fn closing_finishes_questions_and_counts_what_it_cuts() {
    let (mut world, bucket) = World::with_bucket(config());
    let asked = world.session.ping(world.now, CALL()).unwrap();
    world.session.close(world.now);
    assert_eq!(world.session.state(), ConnectionState::Closing);
    assert_eq!(world.done(asked), Ok(Duration::ZERO));
    assert_eq!(world.session.state(), ConnectionState::Closed);
    assert_eq!(world.session.unfinished(), 0);

    let (mut world, _) = World::with_bucket(config().close_timeout(seconds(1)));
    for k in ["a", "b"] {
        world.peer.rule(&format!("$KV.b.{k}"), Rule::LoseReply);
    }
    let (a, b) = (world.put(&bucket, "a", "v"), world.put(&bucket, "b", "v"));
    let nap = world.session.sleep(world.now, seconds(60)).unwrap();
    world.settle();
    world.session.close(world.now);
    assert_eq!(world.session.unfinished(), 0, "it is not over");
    world.sleep(seconds(1));
    assert_eq!(world.session.state(), ConnectionState::Closed);
    assert_eq!(world.session.unfinished(), 2, "a nap is no work");
    let closed = || Err(WriteError::Unknown(Doubt::Closed));
    assert_eq!((world.done(a), world.done(b)), (closed(), closed()));
    assert!(world.done(nap).is_ok());
}

/// After so many failed attempts the client ends; what was sent may have had an effect, what was not has
/// none. Connections in between start the count again.
#[test]
fn a_client_gives_up_after_so_many_attempts() {
    let (mut world, bucket) = World::with_bucket(config().max_reconnects(3));
    for _ in 0..2 {
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        assert_eq!(fail_dials(&mut world, 2), 2);
        world.reconnect();
    }
    world.peer.rule("$KV.b.sent", Rule::LoseReply);
    let sent = world.put_within(&bucket, "sent", seconds(600));
    world.settle();
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    assert_eq!(world.done(sent), Err(WriteError::Unknown(Doubt::LinkLost)));
    let queued = world.put_within(&bucket, "queued", seconds(600));
    assert_eq!(fail_dials(&mut world, usize::MAX), 3);
    let Some(ConnectError::GaveUp { attempts: 3, last }) = world.session.failure() else {
        panic!("{:?}", world.session.failure());
    };
    assert_eq!(last.to_string(), "cannot connect: test");
    let never = WriteError::NotApplied(Cause::Refused(Refused::Closed));
    assert_eq!(world.done(queued), Err(never));
    assert_eq!(world.session.unfinished(), 1);
    assert_eq!(world.session.poll_timeout(), None);

    let (mut world, _) = World::with_bucket(config().max_reconnects(0));
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    let gave_up = world.session.failure();
    assert!(matches!(
        gave_up,
        Some(ConnectError::GaveUp { attempts: 0, .. })
    ));
}

/// The same before the first connection, where that is retried.
#[test]
fn a_client_that_never_connects_gives_up_too() {
    let config = config().max_reconnects(5).retry_first_connect(true);
    let mut world = World::new(config, 1);
    assert_eq!(fail_dials(&mut world, usize::MAX), 5);
    let gave_up = world.session.failure();
    assert!(matches!(
        gave_up,
        Some(ConnectError::GaveUp { attempts: 5, .. })
    ));
}

/// Refuses logins until the session has had so many, or enough.
fn refuse(world: &mut World, times: usize) {
    for _ in 0..times {
        let before = world.dialed.len();
        while world.dialed.len() == before {
            world.dial();
            match world.session.poll_timeout() {
                Some(next) if world.dialed.len() == before => world.at(next.max(world.now)),
                Some(_) => {}
                None => return,
            }
        }
        let link = world.link();
        world.receive(link, usize::MAX);
        world.hand_over(link, usize::MAX);
        world.inject(link, b"-ERR 'Authorization Violation'\r\n");
        world.dial();
    }
}

/// A server that refuses the credentials is asked again and again, unless the configuration says how often;
/// what expires on a connection that stands is no refusal, and being let in starts the count again.
#[test]
fn refused_credentials_end_a_client_that_shall_end() {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    refuse(&mut world, 20);
    world.reconnect();

    let (mut world, _) = World::with_bucket(config().max_auth_failures(2));
    for _ in 0..3 {
        for text in ["User Authentication Expired", "User Authentication Revoked"] {
            let link = world.link();
            world.inject(link, format!("-ERR '{text}'\r\n").as_bytes());
            assert_eq!(world.session.state(), ConnectionState::Reconnecting);
            world.reconnect();
        }
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        refuse(&mut world, 1);
        world.reconnect();
    }
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    refuse(&mut world, 2);
    let refused = Disconnect::Authentication("Authorization Violation".into());
    let ended = world.session.failure();
    assert_eq!(ended, Some(&ConnectError::Failed(refused)));
    assert_eq!(world.session.stats().authentication_failures, 3 * 3 + 2);
}

/// Without an order of our own, sessions spread over the servers that they are told.
#[test]
fn sessions_spread_over_servers() {
    let first = |seed, shuffle| {
        let config = Config::new("one:1,two:2,three:3").unwrap();
        let mut world = World::new(config.shuffle_servers(shuffle), seed);
        world.connect();
        world.session.server().unwrap().port()
    };
    let drawn: Vec<u16> = (0..60).map(|seed| first(seed, true)).collect();
    for port in 1..=3 {
        let count = drawn.iter().filter(|drawn| **drawn == port).count();
        assert!(count > 5, "{port}: {count} of 60");
    }
    assert!((0..60).all(|seed| first(seed, false) == 1));
}

/// What the server says of itself is there while there is a connection.
#[test]
fn the_server_is_known_by_what_it_says() {
    let (mut world, _) = World::with_bucket(config());
    let info = world.session.server_info().unwrap();
    assert_eq!(info.version, world.peer.info["version"].as_str().unwrap());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    assert_eq!(world.session.server_info(), None);
    assert_eq!(world.session.rtt(), None);
}
