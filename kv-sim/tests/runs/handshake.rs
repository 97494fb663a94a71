//! F-N1, F-N3: a connection may end at any byte of its handshake and of the request behind it, in any way.
//!
//! Every byte is tried, not some: the client must recover, and what it says of the request must be true.

use kv_sim::coverage::Point;
use kv_sim::fault::{Ending, Fault, Way};
use kv_sim::history::{Answer, Cause};
use kv_sim::scenario::{Act, Ask, Scenario, Step};
use kv_sim::{Outcome, run, run_traced};

use crate::scenes::{call, fair};

const WAYS: [Way; 2] = [Way::Up, Way::Down];
const ENDINGS: [Ending; 3] = [Ending::Reset, Ending::Finished, Ending::WriteFails];

/// What comes behind the handshake.
#[derive(Clone, Copy, Debug)]
enum Scene {
    /// A new client, which opens the bucket.
    Open,
    /// A client that was cut off and has a request in its queue.
    Queued(Ask),
}

const PUT: Scene = Scene::Queued(Ask::Put { key: 0, size: 40 });
const CREATE: Scene = Scene::Queued(Ask::Create {
    key: 0,
    size: 40,
    ttl: 0,
});
const GET: Scene = Scene::Queued(Ask::Get { key: 0 });

impl Scene {
    /// The steps, and the connection that is cut.
    fn scenario(self, max_chunk: u32) -> Scenario {
        let mut profile = fair(1);
        profile.net.latency_us = 1_000;
        profile.net.max_chunk = max_chunk;
        profile.auth = true;
        profile.storm_ms = 60;
        let steps = match self {
            Self::Open => vec![fault(0, Fault::Drop { client: 0 })],
            Self::Queued(ask) => vec![fault(0, cut(Way::Up, 0, Ending::Reset)), call(1, 0, ask)],
        };
        Scenario::new(5, profile, steps)
    }
}

fn fault(at_us: u64, fault: Fault) -> Step {
    let act = Act::Fault(fault);
    Step { at_us, act }
}

fn cut(way: Way, after: u16, how: Ending) -> Fault {
    let client = 0;
    Fault::Cut {
        client,
        way,
        after,
        how,
    }
}

/// When the last connection of the storm is made, before any byte arrives on it.
fn connected_at(scenario: &Scenario) -> u64 {
    let trace = run_traced(scenario).trace;
    let micros = |line: &String| {
        let time = line.split_whitespace().next()?;
        let (seconds, micros) = time.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
    };
    let storm = trace.iter().position(|line| line.contains("fault:"));
    let storm = storm.expect("there is a storm");
    let began = micros(&trace[storm]).expect("lines begin with the time");
    let mut storm = trace[storm..].iter();
    let line = storm.find(|line| line.contains("client 0 is connected"));
    let at = line.and_then(micros).expect("it connects again");
    at - began + 1
}

/// Cuts at one byte after the other until one lies behind all that is sent; returns how many were tried.
fn every_byte(scene: Scene, max_chunk: u32, judge: impl Fn(&Outcome)) -> usize {
    let fair = scene.scenario(max_chunk);
    let at_us = connected_at(&fair);
    let lost = Point("disconnected", "transport");
    let without = run(&fair).coverage.get(lost).times;
    let mut tried = 0;
    for (way, how) in WAYS
        .into_iter()
        .flat_map(|way| ENDINGS.map(|how| (way, how)))
    {
        for after in 0..2_000 {
            let mut scenario = fair.clone();
            scenario.steps.push(fault(at_us, cut(way, after, how)));
            let outcome = run(&scenario);
            let place = format!("{scene:?}, {way:?} {after} {how:?}");
            assert_eq!(outcome.violations, [], "{place}");
            assert!(outcome.work.reached_calm, "{place}");
            judge(&outcome);
            tried += 1;
            // It lies behind all bytes, or behind the last write.
            let behind = outcome.coverage.get(lost).times == without;
            if behind {
                assert!(after > 150, "{place}");
                break;
            }
        }
    }
    tried
}

fn answer(outcome: &Outcome) -> Option<&Answer> {
    let first = outcome.history.calls.first()?;
    first.answer.as_ref().map(|(_, answer)| answer)
}

#[test]
fn a_bucket_is_opened_wherever_the_connection_ends() {
    let tried = every_byte(Scene::Open, 4_096, |_| {});
    assert!(tried > 2_500, "{tried}");
}

/// It was applied, or a part of it left and is not, or all of it left and nobody knows.
fn is_true_of_a_write(outcome: &Outcome) {
    let answer = answer(outcome);
    let fits = matches!(
        answer,
        Some(
            Answer::Applied(_)
                | Answer::NotApplied(Cause::LinkLost)
                | Answer::Unknown("unknown: link lost")
        )
    );
    assert!(fits, "{answer:?}");
}

#[test]
fn a_put_is_told_the_truth_wherever_the_connection_ends() {
    let tried = every_byte(PUT, 4_096, is_true_of_a_write);
    assert!(tried > 2_500, "{tried}");
}

#[test]
fn a_create_is_told_the_truth_wherever_the_connection_ends() {
    let tried = every_byte(CREATE, 4_096, is_true_of_a_write);
    assert!(tried > 2_500, "{tried}");
}

#[test]
fn a_read_ends_well_wherever_the_connection_ends() {
    let tried = every_byte(GET, 4_096, |outcome| {
        assert_eq!(answer(outcome), Some(&Answer::Absent));
    });
    assert!(tried > 2_500, "{tried}");
}

/// The same with every byte in a piece of its own.
#[test]
fn bytes_arrive_one_by_one() {
    let scenario = CREATE.scenario(0);
    let trace = run_traced(&scenario).trace;
    let pieces = trace.iter().filter(|line| line.contains("client 0 ◄──"));
    assert!(pieces.count() > 1_500);
    every_byte(CREATE, 0, is_true_of_a_write);
    assert_eq!(run(&Scene::Open.scenario(0)).violations, []);
}
