//! Line 5 of the contract: no bytes from a server and no sequence of calls can
//! panic. Beyond that, whatever a server sends, what the session writes is
//! valid, and every operation ends.

use std::time::Duration;

use crate::mutation::{mutated, mutation};
use crate::support::embedder::{
    CALL, PUT, World, config, key, law_holds, laws, link_error, name, seconds,
};
use crate::support::parser;
use bytes::{Buf, Bytes, BytesMut};
use kv_proto::{
    Binding, BucketConfig, Config, ConnectionState, CreateOptions, GetOptions, Instant, KeyFilter,
    LinkAction, LinkErrorKind, Op, OpId, OpResult, PurgeDeletesOptions, Revision, Seed, Session,
};
use proptest::prelude::*;

/// Every kind of operation, asked at once.
struct Asked {
    writes: Vec<Op<Revision>>,
    reads: Vec<Op<Option<kv_proto::Entry>>>,
    bound: Vec<Op<Binding>>,
    others: Vec<OpId>,
}

fn ask_everything(session: &mut Session, now: Instant, bucket: &Binding) -> Asked {
    let value = Bytes::from_static(b"value");
    let (k, create) = (key("k"), CreateOptions::default());
    let get = GetOptions::default();
    let every = KeyFilter::new("e.>").unwrap();
    let sweep = PurgeDeletesOptions::default().older_than(Duration::ZERO);
    Asked {
        writes: vec![
            session
                .put(now, bucket, k.clone(), value.clone(), PUT())
                .unwrap(),
            session
                .create(now, bucket, key("n"), value.clone(), create)
                .unwrap(),
            session
                .create(now, bucket, k.clone(), value, create)
                .unwrap(),
        ],
        reads: vec![
            session.get(now, bucket, k.clone(), get).unwrap(),
            session.get(now, bucket, k.clone(), get.leader()).unwrap(),
            session
                .get(now, bucket, k, get.revision(Revision::new(1)))
                .unwrap(),
        ],
        bound: vec![
            session.open(now, &name("b"), CALL()).unwrap(),
            session
                .create_bucket(now, BucketConfig::new("n"), CALL())
                .unwrap(),
            session
                .create_or_update_bucket(
                    now,
                    BucketConfig::new("b").limit_markers(seconds(9)),
                    CALL(),
                )
                .unwrap(),
        ],
        others: vec![
            session.status(now, &name("b"), CALL()).unwrap().id(),
            session.bucket_names(now, 0, CALL()).unwrap().id(),
            session.bucket_statuses(now, 0, CALL()).unwrap().id(),
            session.delete_bucket(now, &name("n"), CALL()).unwrap().id(),
            session.erase(now, bucket, &every, CALL()).unwrap().id(),
            session.purge_deletes(now, bucket, sweep).unwrap().id(),
        ],
    }
}

/// What a server sends to a session that asks for everything.
fn transcript() -> (Vec<u8>, Binding) {
    let (mut model, bucket) = World::with_bucket(config());
    (0..20).for_each(|number| model.erase(&format!("gone.{number}")));
    let mut world = World::new(config(), 7);
    world.peer.streams = model.peer.streams;
    world.peer.consumers.deliver_at_once = true;
    ask_everything(&mut world.session, world.now, &bucket);
    world.dial();
    let (link, mut all) = (world.link(), Vec::new());
    let conn = world.sockets[&link].conn;
    let mut queue = Vec::new();
    loop {
        world.hand_over(link, usize::MAX);
        let conn = world.peer.conns.get_mut(&conn).unwrap();
        queue.extend(conn.output.drain(..));
        let Some(end) = queue.iter().position(|byte| *byte == b'\n') else {
            return (all, bucket);
        };
        let line: Vec<u8> = queue.drain(..=end).collect();
        world.inject(link, &line);
        all.extend(line);
    }
}

/// Feeds a stream to a session that asks for everything, in pieces; what the
/// session writes must stay valid, and everything must end.
fn replay(bucket: &Binding, stream: &[u8], piece: usize) -> Vec<bool> {
    let mut now = Instant::ORIGIN + seconds(100);
    let mut session = Session::new(now, config(), Seed::from_u64(7));
    let asked = ask_everything(&mut session, now, bucket);
    let Some(LinkAction::Dial { link, .. }) = session.poll_link() else {
        panic!("a dial");
    };
    session.handle_dialed(now, link);
    let (mut input, mut written) = (BytesMut::new(), Vec::new());
    // Line by line, as it was recorded: what is sent between two lines decides
    // which reply subjects are used again.
    let lines = stream.split_inclusive(|byte| *byte == b'\n');
    for bytes in lines.flat_map(|line| line.chunks(piece)) {
        input.extend_from_slice(bytes);
        session.handle_input(now, link, &mut input);
        let mut output = session.transmit(link);
        while output.has_remaining() {
            written.extend_from_slice(output.chunk());
            let len = output.chunk().len();
            output.advance(len);
        }
        while parser::take(&mut written).is_some() {}
    }
    now = now + seconds(3);
    session.handle_timeout(now);
    law_holds(&session, now);
    session.abort(now);
    let mut results = Vec::new();
    results.extend(asked.writes.iter().map(|op| taken(&mut session, op)));
    results.extend(asked.reads.iter().map(|op| taken(&mut session, op)));
    results.extend(asked.bound.iter().map(|op| taken(&mut session, op)));
    for id in &asked.others {
        session.cancel(*id);
    }
    assert_eq!(session.state(), ConnectionState::Closed);
    results
}

/// Takes a result, which must be there; whether it is a success.
fn taken<T: OpResult>(session: &mut Session, op: &Op<T>) -> bool {
    session.take(op).expect("everything ended").is_ok()
}

/// The transcript that the next test mutates does what it should: without
/// mutations all but one operation succeed, the create of a key that exists.
#[test]
fn the_transcript_is_a_good_one() {
    let (stream, bucket) = transcript();
    assert!(stream.len() > 4_000, "{}", stream.len());
    for piece in [1, 7, usize::MAX] {
        let results = replay(&bucket, &stream, piece);
        assert_eq!(results.iter().filter(|ok| !**ok).count(), 1, "{results:?}");
    }
}

/// 5,000 mutations of a valid stream: no panic, no invalid output, and every
/// operation ends.
#[test]
fn mutated_streams_do_not_panic() {
    let (stream, bucket) = transcript();
    let mutations = prop::collection::vec(mutation(), 1..6);
    let law = (mutations, prop_oneof![Just(usize::MAX), 8_usize..60]);
    proptest!(laws(5_000), |((mutations, piece) in law)| {
        replay(&bucket, &mutated(&stream, &mutations), piece);
    });
}

/// 3,000 streams of random bytes and of random protocol words, from the start
/// and after the login.
#[test]
fn random_streams_do_not_panic() {
    let (stream, bucket) = transcript();
    let words = [
        "MSG ",
        "HMSG ",
        "_INBOX.",
        "a ",
        "1 ",
        "2 ",
        "16 ",
        "16 16\r\n",
        "5\r\nhello\r\n",
        "NATS/1.0 503\r\n\r\n\r\n",
        "INFO ",
        "{}",
        "{\"headers\":true}",
        "\r\n",
        "PING\r\n",
        "PONG\r\n",
        "+OK\r\n",
        "-ERR ",
        "'x'",
        "\"",
        "99999999999",
        "\0",
        "\u{e9}",
    ];
    let word = prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ];
    let law = (
        prop::collection::vec(word, 0..40),
        any::<bool>(),
        1_usize..100,
    );
    let login = stream.windows(6).position(|w| w == b"PONG\r\n").unwrap() + 6;
    proptest!(laws(3_000), |((words, logged_in, piece) in law)| {
        let start = if logged_in { &stream[..login] } else { &[] };
        replay(&bucket, &[start, &words.concat()].concat(), piece);
    });
}

/// 4,000 sequences of any calls in any order, with names that are stale, of
/// another session, or used twice.
#[test]
fn random_calls_do_not_panic() {
    let (stream, bucket) = transcript();
    let calls = prop::collection::vec((0_u8..17, any::<u16>()), 1..80);
    proptest!(laws(4_000), |((tls, calls) in (prop::bool::weighted(0.3), calls))| {
        let mut now = Instant::ORIGIN + seconds(100);
        let config = Config::new("one,two").unwrap().retry_first_connect(true);
        let config = if tls { config.tls_first() } else { config.tls_when_asked() };
        let mut session = Session::new(now, config, Seed::from_u64(7));
        let (mut links, mut ops, mut fed) = (Vec::new(), Vec::new(), 0);
        let mut input = BytesMut::new();
        for (call, number) in calls {
            let number = usize::from(number);
            let link = (!links.is_empty()).then(|| links[number % links.len()]);
            let op: Option<Op<Revision>> = (!ops.is_empty()).then(|| ops[number % ops.len()]);
            match (call, link) {
                (0, _) => {
                    if let Some(LinkAction::Dial { link, .. }) = session.poll_link() {
                        links.push(link);
                        (fed, input) = (0, BytesMut::new());
                    }
                },
                (1, Some(link)) => session.handle_dialed(now, link),
                (2, Some(link)) => {
                    let next = stream.len().min(fed + number % 1_500);
                    input.extend_from_slice(&stream[fed..next]);
                    fed = next;
                    session.handle_input(now, link, &mut input);
                }
                (3, Some(link)) => {
                    let mut output = session.transmit(link);
                    let len = output.remaining().min(number);
                    output.advance(len);
                }
                (4, Some(link)) => {
                    let kinds = [LinkErrorKind::Read, LinkErrorKind::Write, LinkErrorKind::Secure];
                    session.handle_closed(now, link, link_error(kinds[number % 3]));
                }
                (5, _) => now = now + Duration::from_millis(number as u64),
                (6, _) => {
                    let back = Duration::from_millis(number as u64);
                    let t = Instant::ORIGIN + now.saturating_duration_since(Instant::ORIGIN + back);
                    session.handle_timeout(t);
                }
                (7, _) => {
                    session.handle_timeout(now);
                    law_holds(&session, now);
                }
                (8, _) => {
                    let time = Duration::from_millis((number % 50) as u64);
                    let value = Bytes::from(vec![0; number]);
                    let options = PUT().timeout(time);
                    ops.extend(session.put(now, &bucket, key("k"), value, options));
                }
                (9, _) => drop(session.open(now, &name("b"), CALL())),
                (10, _) => if let Some(op) = op { session.cancel(op.id()) },
                (11, _) => if let Some(op) = op { session.take(&op); },
                (12, _) => {
                    let mut seen = Vec::new();
                    while let Some(event) = session.poll_event() {
                        prop_assert!(!seen.contains(&event), "{:?} twice", event);
                        seen.push(event);
                    }
                }
                (13, Some(link)) => {
                    session.handle_credentials(now, link, &kv_proto::Credentials::None);
                    assert!(session.read_hint(link, number) > 0);
                }
                (14, _) if number % 40 == 0 => session.close(now),
                (15, _) if number % 40 == 0 => session.abort(now),
                (16, Some(link)) => session.handle_secured(now, link),
                _ => drop(session.get(now, &bucket, key("k"), GetOptions::default())),
            }
        }
        session.abort(now);
        prop_assert_eq!(session.poll_timeout(), None);
        prop_assert_eq!(session.state(), ConnectionState::Closed);
    });
}
