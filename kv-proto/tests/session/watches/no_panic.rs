//! Line 5 of the contract, for watches: no bytes from a server and no sequence
//! of calls can panic. Beyond that, whatever a server sends, what a watch tells
//! is in order, and what it holds is bounded.

use std::cell::Cell;
use std::time::Duration;

use crate::mutation::{mutated, mutation};
use crate::support::embedder::{World, config, law_holds, laws, limits, link_error, seconds};
use crate::support::parser;
use bytes::{Buf, BytesMut};
use kv_proto::{
    Binding, Config, ConnectionState, Instant, LinkAction, LinkErrorKind, Revision, Seed, Session,
    Update, Usage, WatchError, WatchId, WatchOptions,
};
use proptest::prelude::*;

/// Watches of all kinds, asked at once.
fn ask(session: &mut Session, now: Instant, bucket: &Binding) -> Vec<WatchId> {
    let all = WatchOptions::default;
    let options = [
        all(),
        all().include_history().buffer(2, 100),
        all().updates_only().ignore_deletes(),
        WatchOptions::keys(),
        all().from_revision(Revision::new(3)).meta_only(),
    ];
    let asked = options.map(|options| session.watch(now, bucket, options).unwrap());
    asked.into_iter().collect()
}

fn small() -> Config {
    config().limits(limits(|limits| limits.max_watch_bytes = 2_000))
}

/// What a server sends to a session with watches of all kinds.
fn transcript() -> (Vec<u8>, Binding) {
    let (mut world, bucket) = World::with_values(config(), &[("a", "1"), ("b", "2"), ("a", "3")]);
    world.erase("b");
    let (block, long) = ("NATS/1.0\r\nno colon\r\n\r\n", "v".repeat(900));
    world.peer.publish_as_other("$KV.b.bad", block, b"v");
    world.write("long", &long);
    let streams = std::mem::take(&mut world.peer.streams);
    let mut world = World::new(small(), 7);
    world.peer.streams = streams;
    world.peer.consumers.deliver_at_once = true;
    world.peer.consumers.window = Some(2);
    let watches = ask(&mut world.session, world.now, &bucket);
    world.dial();
    let (link, mut all) = (world.link(), Vec::new());
    let conn = world.sockets[&link].conn;
    let mut queue = Vec::new();
    let mut rounds = 0;
    loop {
        world.hand_over(link, usize::MAX);
        let output = &mut world.peer.conns.get_mut(&conn).unwrap().output;
        queue.extend(output.drain(..));
        match queue.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line: Vec<u8> = queue.drain(..=end).collect();
                world.inject(link, &line);
                all.extend(line);
                for watch in &watches {
                    world.session.next_update(*watch);
                }
            }
            None if rounds == 6 => return (all, bucket),
            None => {
                rounds += 1;
                world.write("c", "new");
                world.peer.beat();
            }
        }
    }
}

/// What is true of a watch whatever it is told by a server.
#[derive(Debug, Default)]
struct Reader {
    last: u64,
    synced: bool,
    over: bool,
    entries: usize,
}

impl Reader {
    fn read(&mut self, session: &mut Session, watch: WatchId) {
        match session.next_update(watch) {
            None => return,
            Some(_) if self.over => panic!("something behind the end"),
            Some(Ok(Update::Entry(entry))) => self.advance(entry.revision),
            Some(Ok(Update::Damaged(damage))) => self.advance(damage.revision),
            Some(Ok(Update::Synced)) => {
                assert!(!self.synced, "the initial data ends once");
                self.synced = true;
            }
            Some(Ok(Update::Reset(_))) => (self.last, self.synced) = (0, false),
            Some(Ok(other)) => panic!("{other:?}"),
            Some(Err(_)) => self.over = true,
        }
        assert!(session.watch_state(watch).is_some());
    }

    fn advance(&mut self, revision: Revision) {
        assert!(revision.get() > self.last || self.entries == 0 || self.last == 0);
        self.last = revision.get();
        self.entries += 1;
    }
}

/// Feeds a stream to a session with watches, in pieces.
fn replay(bucket: &Binding, stream: &[u8], piece: usize) -> Vec<Reader> {
    let mut now = Instant::ORIGIN + seconds(100);
    let mut session = Session::new(now, small(), Seed::from_u64(7));
    let watches = ask(&mut session, now, bucket);
    let mut readers: Vec<Reader> = watches.iter().map(|_| Reader::default()).collect();
    let Some(LinkAction::Dial { link, .. }) = session.poll_link() else {
        panic!("a dial");
    };
    session.handle_dialed(now, link);
    let (mut input, mut written) = (BytesMut::new(), Vec::new());
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
        for (watch, reader) in watches.iter().zip(&mut readers) {
            reader.read(&mut session, *watch);
        }
        let usage = session.usage();
        assert!(usage.watch_bytes < 8_000, "{usage:?}");
        assert!(usage.operations <= 5 + usage.deletions, "{usage:?}");
    }
    for time in [0, 1, 3, 11] {
        now = now + seconds(time);
        session.handle_timeout(now);
        law_holds(&session, now);
    }
    session.abort(now);
    for (watch, reader) in watches.iter().zip(&mut readers) {
        for _ in 0..50 {
            reader.read(&mut session, *watch);
        }
        let told = session.next_update(*watch);
        assert_eq!(told, None, "{reader:?}");
        session.unwatch(now, *watch);
    }
    assert_eq!(session.usage(), Usage::default());
    assert_eq!(session.state(), ConnectionState::Closed);
    readers
}

/// The transcript that the next test mutates does what it should.
#[test]
fn the_transcript_is_a_good_one() {
    let (stream, bucket) = transcript();
    assert!(stream.len() > 8_000, "{}", stream.len());
    for piece in [1, 7, usize::MAX] {
        let readers = replay(&bucket, &stream, piece);
        let synced = readers.iter().filter(|reader| reader.synced).count();
        assert!(synced >= 4, "{readers:?}");
    }
}

/// 4,000 mutations of a valid stream.
#[test]
fn mutated_streams_do_not_panic() {
    let (stream, bucket) = transcript();
    let mutations = prop::collection::vec(mutation(), 1..6);
    let law = (mutations, prop_oneof![Just(usize::MAX), 8_usize..60]);
    proptest!(laws(4_000), |((mutations, piece) in law)| {
        replay(&bucket, &mutated(&stream, &mutations), piece);
    });
}

/// 4,000 feeds that are made of hostile frames: acknowledgement subjects that
/// are forged or out of range, heartbeats that are none, statuses that nobody
/// knows, answers that are no JSON, under the subjects of the watches' own.
#[test]
fn hostile_feeds_do_not_panic() {
    let (stream, bucket) = transcript();
    let text = String::from_utf8_lossy(&stream).into_owned();
    // Up to where the first consumers were made.
    let at = text.find("\"deliver_subject\":\"").unwrap();
    let start = stream[..at]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap();
    let start = stream[..start]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .unwrap()
        + 1;
    let values = |mark: &str| -> Vec<String> {
        let places = text.match_indices(mark);
        let value = |at: usize| text[at + mark.len()..].split('"').next().unwrap();
        places.map(|(at, _)| value(at).to_owned()).collect()
    };
    let mut names = values("\"name\":\"");
    names.retain(|name| name.len() == 22);
    let deliver = values("\"deliver_subject\":\"").remove(0);
    let prefix = deliver[..=deliver.rfind('.').unwrap()].to_owned();
    let numbers = [
        "0",
        "1",
        "2",
        "3",
        "4",
        "9",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "-1",
        "x",
        "",
    ];
    let number = || prop::sample::select(numbers.to_vec());
    let name = prop_oneof![
        8 => prop::sample::select(names),
        1 => Just("other".to_owned()),
        1 => Just(String::new()),
    ];
    let reply = prop_oneof![
        6 => (name, number(), number(), number(), number(), number()).prop_map(
            |(name, times, stream, consumer, time, pending)| format!(
                "$JS.ACK.KV_b.{name}.{times}.{stream}.{consumer}.{time}.{pending}")),
        2 => number().prop_map(|number| format!("$JS.FC.KV_b.c.{number}")),
        1 => Just(String::new()),
        1 => Just("$JS.FC.*.>".to_owned()),
    ];
    let blocks = [
        "",
        "NATS/1.0\r\n\r\n",
        "NATS/1.0 100 FlowControl Request\r\n\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
        "NATS/1.0 409 Consumer Deleted\r\n\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Consumer-Stalled: a b\r\n\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 0\r\nNats-Consumer-Stalled: $JS.FC.x\r\n\r\n",
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 18446744073709551615\r\n\r\n",
        "NATS/1.0\r\nKV-Operation: \r\nNats-Msg-Size: 99999999999999999999\r\n\r\n",
        "garbage",
    ];
    let subject = prop_oneof![
        3 => Just(String::new()),
        2 => prop::sample::select(vec!["$KV.b.k", "$KV.b.", "$KV.b", "x", "$KV.other.k", "$KV.b.a..b"])
            .prop_map(str::to_owned),
    ];
    let one = (
        subject,
        0_u64..9,
        reply,
        prop::sample::select(blocks.to_vec()),
        0_usize..40,
    );
    let law = (
        prop::collection::vec(one, 0..60),
        0_usize..20_000,
        any::<bool>(),
    );
    let told = Cell::new(0);
    proptest!(laws(4_000), |((feeds, rest, created) in law)| {
        let upto = if created { stream.len().min(start + rest) } else { start };
        let upto = stream[..upto].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let mut hostile = stream[..upto].to_vec();
        for (subject, sid, reply, block, len) in feeds {
            let own = format!("{prefix}{sid}");
            let subject = if subject.is_empty() { own } else { subject };
            let sid = sid.to_string();
            let payload = vec![b'{'; len];
            hostile.extend(crate::support::consumers::frame(&subject, &sid, &reply, block.as_bytes(), &payload));
        }
        let readers = replay(&bucket, &hostile, usize::MAX);
        told.set(told.get() + readers.iter().map(|reader| reader.entries).sum::<usize>());
    });
    assert!(told.get() > 1_000, "{} entries got through", told.get());
}

/// 3,000 sequences of any calls in any order, with names that are stale or used
/// twice.
#[test]
fn random_calls_do_not_panic() {
    let (stream, bucket) = transcript();
    let law = prop::collection::vec((0_u8..16, any::<u16>()), 1..100);
    proptest!(laws(3_000), |(calls in law)| {
        let mut now = Instant::ORIGIN + seconds(100);
        let mut session = Session::new(now, small().retry_first_connect(true), Seed::from_u64(7));
        let mut watches = ask(&mut session, now, &bucket);
        let (mut links, mut fed) = (Vec::new(), 0);
        let mut input = BytesMut::new();
        for (call, number) in calls {
            let number = usize::from(number);
            let link = (!links.is_empty()).then(|| links[number % links.len()]);
            let watch = watches[number % watches.len()];
            match (call, link) {
                (0 | 1, _) => if let Some(LinkAction::Dial { link, .. }) = session.poll_link() {
                    session.handle_dialed(now, link);
                    links.push(link);
                    (fed, input) = (0, BytesMut::new());
                },
                (2..=5, Some(link)) => {
                    let next = stream.len().min(fed + number % 1_500);
                    for line in stream[fed..next].split_inclusive(|byte| *byte == b'\n') {
                        input.extend_from_slice(line);
                        session.handle_input(now, link, &mut input);
                        let mut output = session.transmit(link);
                        let len = output.remaining();
                        output.advance(len);
                    }
                    fed = next;
                }
                (6, Some(link)) => {
                    let kinds = [LinkErrorKind::Read, LinkErrorKind::Write, LinkErrorKind::Dial];
                    session.handle_closed(now, link, link_error(kinds[number % 3]));
                }
                (7, _) => {
                    now = now + Duration::from_millis(number as u64);
                    session.handle_timeout(now);
                    law_holds(&session, now);
                }
                (8, _) => drop(session.next_update(watch)),
                (9, _) => session.unwatch(now, watch),
                (10, _) => {
                    let options = WatchOptions::default()
                        .buffer(number % 4, number)
                        .heartbeat(Duration::from_millis(number as u64))
                        .patience(Duration::from_millis((number % 100) as u64));
                    let options = match (number % 5, session.position(watch)) {
                        (0, _) => options.timeout(Duration::from_millis((number % 90) as u64)),
                        (1, Some(position)) => options.from_position(position),
                        (2, _) => options.until_synced(),
                        _ => options,
                    };
                    match session.watch(now, &bucket, options) {
                        Ok(watch) => watches.push(watch),
                        Err(WatchError::Refused(_)) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
                (11, _) => {
                    let mut seen = Vec::new();
                    while let Some(event) = session.poll_event() {
                        prop_assert!(!seen.contains(&event), "{:?} twice", event);
                        seen.push(event);
                    }
                }
                (12, _) => _ = session.watch_state(watch),
                (14, _) if number % 40 == 0 => session.close(now),
                (15, _) if number % 40 == 0 => session.abort(now),
                _ => {}
            }
            let usage = session.usage();
            prop_assert!(usage.watch_bytes < 10_000, "{:?}", usage);
        }
        session.abort(now);
        for watch in watches {
            session.unwatch(now, watch);
        }
        prop_assert_eq!(session.usage(), Usage::default());
        prop_assert_eq!(session.poll_timeout(), None);
    });
}
