//! Line 1 of the contract: any interleaving of requests, inputs, outputs and
//! pulls is legal.
//!
//! Work is done in *lanes*, each a sequence of operations on a bucket of its
//! own. In a lane the next operation is asked when the last one ended; lanes
//! run side by side. So the result of each operation is determined, however
//! calls, bytes and replies of different lanes are mixed: the impolite embedder
//! must see exactly what the polite one sees.
//!
//! With links that are lost at any byte results are not determined any more.
//! Then the server's log is the judge of what the caller was told.

mod lane;

use std::cell::Cell;
use std::time::Duration;

use self::lane::{Done, Lane, Work};
use crate::support::embedder::{PUT, World, assert_idle, key, laws, limits, seconds};
use crate::support::peer::{Commit, Rule};
use bytes::{Buf, Bytes};
use kv_proto::{
    Binding, BucketConfig, BucketError, Config, LinkErrorKind, LinkId, Operation, Outcome,
    Revision, Usage,
};
use proptest::prelude::*;

const LANES: usize = 4;

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        4 => Just(Work::Put),
        1 => Just(Work::Large),
        3 => Just(Work::Create),
        3 => (0_u64..3).prop_map(Work::Update),
        2 => Just(Work::Delete),
        1 => (0_u64..3).prop_map(Work::DeleteExpected),
        1 => Just(Work::Purge),
        3 => Just(Work::Get),
        2 => Just(Work::LeaderGet),
        2 => (0_u64..3).prop_map(Work::RevisionGet),
        1 => Just(Work::Open),
        1 => Just(Work::Status),
        1 => Just(Work::Names),
        1 => Just(Work::CreateBucket),
        1 => Just(Work::DeleteBucket),
    ]
}

fn lanes() -> impl Strategy<Value = Vec<Vec<Work>>> {
    prop::collection::vec(prop::collection::vec(work(), 1..12), LANES)
}

/// Most operations at a time, few enough that a leaked one shows.
const MAX_OPS: usize = 32;

fn world(work: &[Vec<Work>]) -> (World, Vec<Lane>) {
    let mut world = World::new(config(), 3);
    let lanes = work.iter().enumerate().map(|(number, work)| Lane {
        number,
        bucket: world.create_bucket(BucketConfig::new(format!("lane{number}").as_str()).history(4)),
        work: work.clone(),
        newest: 0,
        running: None,
        done: Vec::new(),
    });
    let lanes = lanes.collect();
    (world, lanes)
}

/// One lane after the other, each pumped until quiet.
fn politely(work: &[Vec<Work>]) -> Vec<Vec<Done>> {
    let (mut world, mut lanes) = world(work);
    for lane in &mut lanes {
        while !lane.is_done() {
            lane.ask(&mut world);
            world.settle();
            assert!(lane.take(&mut world), "{:?}", lane.work[lane.done.len()]);
        }
    }
    lanes.into_iter().map(|lane| lane.done).collect()
}

/// One random call. Returns false if it is none of the harmless ones.
fn harmless(world: &mut World, lanes: &mut [Lane], (call, number): (u8, usize)) -> bool {
    let lane = number % lanes.len();
    let links: Vec<LinkId> = world.sockets.keys().copied().collect();
    let link = links.get(number % links.len().max(1)).copied();
    // Mostly small, so that frames are cut everywhere.
    let amount = if number % 5 == 0 { number } else { number % 60 };
    match (call, link) {
        (0 | 1, _) => lanes[lane].ask(world),
        (2 | 3, Some(link)) => {
            world.hand_over(link, amount);
        }
        (4 | 5, Some(link)) => {
            world.receive(link, amount);
        }
        (6, _) => {
            lanes[lane].take(world);
        }
        (7, _) => drop(world.session.poll_event()),
        (8, _) => while world.session.poll_event().is_some() {},
        (9, _) => world.sleep(Duration::from_nanos(amount as u64)),
        (10, _) => {
            world.dial();
        }
        // Looks and takes nothing; a stale link has nothing to show.
        (11, Some(_)) => {
            let stale = world.dialed[number % world.dialed.len()];
            let shown = world.session.transmit(stale).remaining();
            assert!(shown == 0 || world.sockets.contains_key(&stale));
        }
        (12, _) if !world.peer.held.is_empty() => {
            // Answers come in another order than they were made.
            let index = number % world.peer.held.len();
            world.peer.release(index);
        }
        (13, _) => world.peer.hold_all = number % 2 == 0,
        (0..=13, _) => {}
        _ => return false,
    }
    true
}

/// Ends everything politely.
fn finish(world: &mut World, lanes: &mut [Lane]) {
    world.peer.calm();
    world.peer.info["max_payload"] = 1_048_576.into();
    let (info, links): (_, Vec<_>) = (
        world.peer.info.clone(),
        world.sockets.keys().copied().collect(),
    );
    for link in links {
        tell(world, link, &info);
    }
    world.down = false;
    for _ in 0..10_000 {
        while !world.peer.held.is_empty() {
            world.peer.release(0);
        }
        world.settle();
        let moved = lanes.iter_mut().fold(false, |moved, lane| {
            let before = lane.done.len();
            lane.ask(world);
            world.settle();
            moved | lane.take(world) | (lane.done.len() > before)
        });
        if lanes.iter().all(Lane::is_done) {
            return;
        }
        if !moved {
            let next = world.session.poll_timeout().expect("something is due");
            world.at(next.max(world.now));
        }
    }
    panic!("no end: {lanes:?}");
}

/// Most bytes that wait, few enough that a leaked one shows.
const MAX_PENDING: usize = 100_000;

fn config() -> Config {
    let few = limits(|limits| {
        limits.max_ops = MAX_OPS;
        limits.max_pending_bytes = MAX_PENDING;
        limits.max_result_bytes = 40_000;
    });
    crate::support::embedder::config()
        .limits(few)
        .request_timeout(seconds(60))
}

/// The longest value that an idle session accepts.
fn room(world: &mut World, bucket: &Binding) -> usize {
    let accepts = |world: &mut World, len: usize| {
        let value = Bytes::from(vec![0; len]);
        let op = world.session.put(world.now, bucket, key("k"), value, PUT());
        op.map(|op| world.session.cancel(op.id())).is_ok()
    };
    let (mut yes, mut no) = (0, MAX_PENDING + 1);
    while no - yes > 1 {
        let middle = yes.midpoint(no);
        match accepts(world, middle) {
            true => yes = middle,
            false => no = middle,
        }
    }
    yes
}

/// Nothing is left behind: as many operations and bytes are accepted as ever,
/// and closing has nothing to wait for.
fn nothing_is_left(world: &mut World, lanes: &[Lane]) {
    world.reconnect();
    assert_idle(world);
    world.assert_usable(&lanes[0].bucket, MAX_OPS);
    let mut fresh = World::new(config(), 3);
    assert_eq!(
        room(world, &lanes[0].bucket),
        room(&mut fresh, &lanes[0].bucket)
    );
    let link = world.link();
    assert_eq!(world.pending(link), 0);
    world.session.close(world.now);
    world.settle();
    assert_eq!(world.session.poll_timeout(), None);
    assert!(world.sockets.is_empty(), "all links are closed");
    assert_eq!(world.session.usage(), Usage::default());
}

fn calls(kinds: u8) -> impl Strategy<Value = Vec<(u8, usize)>> {
    prop::collection::vec((0..kinds, 0_usize..10_000), 0..600)
}

proptest! {
    #![proptest_config(laws(250))]

    /// The impolite embedder sees what the polite one sees: requests, pulls,
    /// hints, timer calls, partial writes and reads of any size, and replies in
    /// any order, in any mixture.
    #[test]
    fn every_interleaving_gives_the_same_results(work in lanes(), calls in calls(14)) {
        let expected = politely(&work);
        let (mut world, mut lanes) = world(&work);
        world.drain_events = false;
        for call in calls {
            harmless(&mut world, &mut lanes, call);
        }
        finish(&mut world, &mut lanes);
        for (lane, expected) in lanes.iter().zip(&expected) {
            for ((work, found), expected) in lane.work.iter().zip(&lane.done).zip(expected) {
                prop_assert_eq!(found, expected, "{:?} of {:?}", work, lane);
            }
        }
        nothing_is_left(&mut world, &lanes);
    }
}

/// The same with links that are lost at any byte of either direction, servers
/// that cannot be reached or do not answer, answers that come twice, lame
/// ducks, limits that change, deadlines and cancellations: what the caller was
/// told is true of the server's log. A run that never left anybody in doubt
/// would prove little, so the ways to end are counted.
#[test]
fn what_the_caller_is_told_is_true() {
    let ends = Cell::new([0_u32; 4]);
    proptest!(laws(400), |(work in lanes(), calls in calls(28))| {
        let (mut world, mut lanes) = world(&work);
        world.drain_events = false;
        for call in calls {
            if !harmless(&mut world, &mut lanes, call) {
                harm(&mut world, &mut lanes, call);
            }
        }
        finish(&mut world, &mut lanes);
        nothing_is_left(&mut world, &lanes);
        for lane in &lanes {
            check(&world, lane);
            ends.set(lane.done.iter().fold(ends.get(), tally));
        }
    });
    let ends = ends.get();
    assert!(ends.iter().all(|count| *count > 100), "{ends:?}");
}

/// Counts writes that were applied, were not, may have been, and reads.
fn tally(mut ends: [u32; 4], done: &Done) -> [u32; 4] {
    let kind = match done {
        Done::Write(Ok(_)) => 0,
        Done::Write(Err(error)) if error.outcome() == Outcome::NotApplied => 1,
        Done::Write(Err(_)) => 2,
        Done::Read(Ok(_)) => 3,
        _ => return ends,
    };
    ends[kind] += 1;
    ends
}

fn harm(world: &mut World, lanes: &mut [Lane], (call, number): (u8, usize)) {
    let kinds = [LinkErrorKind::Read, LinkErrorKind::Write];
    match (call, world.sockets.keys().next().copied()) {
        (14 | 15, Some(link)) => world.cut(link, kinds[number % 2]),
        (16, _) => world.down = number % 3 == 0,
        (17, _) => {
            let faults = [Rule::Nobody, Rule::LoseReply, Rule::Silence, Rule::Hold];
            let prefix = ["$KV.", "$JS.API.STREAM.", "$JS.API.DIRECT."][number % 3];
            world.peer.rule(prefix, faults[number % 4].clone());
        }
        (18, _) => {
            let lane = number % lanes.len();
            lanes[lane].cancel(world);
        }
        (19, _) => world.sleep(seconds(number as u64 % 70)),
        (20, Some(link)) => {
            // The socket ends, with what it still had to say.
            world.receive(link, usize::MAX);
            world.cut(link, LinkErrorKind::Read);
        }
        (21 | 22, _) => {
            let prefix = ["$KV.", "$JS.API."][number % 2];
            world.peer.rule(prefix, Rule::Copy);
        }
        (23, Some(link)) => {
            let most = [1_048_576, 2_000][number % 2];
            world.peer.info["max_payload"] = most.into();
            tell(world, link, &world.peer.info.clone());
        }
        (24, Some(link)) => {
            let mut info = world.peer.info.clone();
            info["ldm"] = true.into();
            info["connect_urls"] = serde_json::json!(["two:2", "three:3"]);
            tell(world, link, &info);
        }
        // Time for a connection.
        _ => {
            world.sleep(seconds(3));
            world.settle();
        }
    }
}

/// Sends an `INFO` behind what the server sent before.
fn tell(world: &mut World, link: LinkId, info: &serde_json::Value) {
    let conn = world.sockets[&link].conn;
    world.peer.send(conn, format!("INFO {info}\r\n").as_bytes());
}

/// Holds what a lane was told against the server's log.
fn check(world: &World, lane: &Lane) {
    let stream = format!("KV_{}", lane.bucket.name());
    let of_lane = |commit: &&Commit| {
        commit.stream == stream && commit.message.subject == format!("$KV.{}.k", lane.bucket.name())
    };
    let log: Vec<&Commit> = world.peer.log.iter().filter(of_lane).collect();
    let at = |revision: Revision| log.iter().find(|commit| commit.seq == revision.get());
    let (mut newest, mut tombstones, mut doubtful) = (0, 0, 0);
    for (index, (work, done)) in lane.work.iter().zip(&lane.done).enumerate() {
        let context = || format!("{index}: {work:?} ended {done:?} in {lane:?}, log {log:?}");
        let value = lane.value(index);
        let value = match work {
            Work::Large => value.repeat(300),
            _ => value,
        };
        let commits = log.iter().filter(|c| c.message.payload == value.as_bytes());
        let commits = commits.count();
        let removal = matches!(work, Work::Delete | Work::DeleteExpected(_) | Work::Purge);
        match done {
            Done::Write(Ok(revision)) => {
                let commit = at(*revision).unwrap_or_else(|| panic!("{}", context()));
                assert!(revision.get() > newest, "{}", context());
                newest = revision.get();
                if removal {
                    assert!(commit.message.payload.is_empty(), "{}", context());
                    tombstones += 1;
                } else {
                    assert_eq!(commit.message.payload, value.as_bytes(), "{}", context());
                    assert_eq!(commits, 1, "{}", context());
                }
            }
            Done::Write(Err(error)) if error.outcome() == Outcome::NotApplied => {
                assert_eq!(commits, 0, "{}", context());
            }
            Done::Write(Err(_)) | Done::Cancelled => {
                assert!(commits <= 1, "{}", context());
                doubtful += usize::from(removal);
            }
            Done::Read(Ok(Some(entry))) => {
                let commit = at(entry.revision).unwrap_or_else(|| panic!("{}", context()));
                assert_eq!(entry.value, commit.message.payload, "{}", context());
                let is_tombstone = entry.operation != Operation::Put;
                assert_eq!(
                    is_tombstone,
                    !commit.message.block.is_empty() && entry.value.is_empty()
                );
                if matches!(work, Work::Get | Work::LeaderGet) {
                    assert!(entry.revision.get() >= newest, "{}", context());
                    newest = entry.revision.get();
                }
            }
            Done::Read(Ok(None)) if matches!(work, Work::Get | Work::LeaderGet) => {
                assert_eq!(newest, 0, "{}", context());
            }
            Done::Bound(result) if matches!(work, Work::CreateBucket) => {
                check_created(
                    world,
                    lane,
                    index,
                    result.as_ref().err().map(BucketError::outcome),
                );
            }
            Done::Read(_) | Done::Bound(_) | Done::Status(_) | Done::Names(_) => {}
            Done::Deleted(_) => {}
        }
    }
    let removed = log.iter().filter(|c| c.message.payload.is_empty()).count();
    assert!(
        (tombstones..=tombstones + doubtful).contains(&removed),
        "{removed} removals, {tombstones} told, {doubtful} in doubt: {lane:?}"
    );
}

/// A bucket of its own that a lane created: it is there unless a later
/// operation of the lane deleted it, or its creation had no effect.
fn check_created(world: &World, lane: &Lane, index: usize, failed: Option<Outcome>) {
    let own = |other: &usize| other / 2 == index / 2;
    let shared = (0..lane.work.len()).filter(own).filter(|other| {
        let work = lane.work[*other];
        *other != index && matches!(work, Work::CreateBucket | Work::DeleteBucket)
    });
    if shared.count() > 0 {
        return;
    }
    let stream = format!("KV_zz-{}-{}", lane.number, index / 2);
    let exists = world.peer.streams.contains_key(&stream);
    match failed {
        None => assert!(exists, "{stream} was created: {lane:?}"),
        Some(Outcome::NotApplied) => assert!(!exists, "{stream} was not created: {lane:?}"),
        Some(_) => {}
    }
}
