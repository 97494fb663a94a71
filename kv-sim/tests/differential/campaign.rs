//! Many generated sequences on one version, and the verdict on each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use kv_sim::server::Version;
use kv_tests::Server;

use crate::exceptions::Case;
use crate::generate::{Generator, STREAMS, Step};
use crate::real::Real;
use crate::sim::{Sim, real_version};

const STEPS: usize = 40;
const PATIENCE: Duration = Duration::from_millis(700);

/// How often a sequence that differs is tried again, more slowly, before it counts.
const RETRIES: usize = 3;

/// A restart, or connecting to an origin, takes as long as this many sequences without.
const RESTARTS_COST: u64 = 20;

/// A server that is killed has not yet written what it acknowledged a moment ago.
const WRITTEN: Duration = Duration::from_millis(250);

/// How long a real server is given for what it does behind its answers.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// After every step: consumers learn of a message after its acknowledgement.
    step: Duration,
    /// After a step that is not answered, or deletes: a stream's directory goes behind the answer, and a
    /// new stream of its name fails before that.
    unseen: Duration,
}

const BRISK: Pace = Pace {
    step: Duration::ZERO,
    unseen: Duration::from_millis(15),
};
const SLOW: Pace = Pace {
    step: Duration::from_millis(8),
    unseen: Duration::from_millis(150),
};

/// What kind of sequences a campaign runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Steady,
    /// The server is restarted within the sequence.
    Restarting,
    /// Mirrors and sources, which need time.
    Following,
}

/// What a campaign is to do, and where it stops.
#[derive(Debug)]
struct Plan {
    version: Version,
    kind: Kind,
    first: u64,
    sequences: u64,
    stop_after: usize,
}

#[derive(Debug, Default)]
struct Tally {
    next: AtomicU64,
    steps: AtomicUsize,
    failures: AtomicUsize,
    unsteady: AtomicUsize,
}

/// Runs sequences on one version and fails when one differs; the environment may ask for more of them,
/// or for another version.
pub(crate) fn run(version: Version, kind: Kind, default: u64) {
    if std::env::var("KV_SIM_VERSION").is_ok_and(|wanted| !version.number().starts_with(&wanted)) {
        return;
    }
    let asked = number("KV_SIM_SEQUENCES").map(|count| match kind {
        Kind::Steady => count,
        Kind::Restarting | Kind::Following => count.div_ceil(RESTARTS_COST),
    });
    let plan = Plan {
        version,
        kind,
        first: number("KV_SIM_SEED").unwrap_or(1),
        sequences: asked.unwrap_or(default),
        stop_after: number("KV_SIM_FAILURES").unwrap_or(5) as usize,
    };
    // Most of the time is waiting, so several servers run side by side.
    let workers = number("KV_SIM_WORKERS").unwrap_or(4).min(plan.sequences);
    let tally = Tally {
        next: AtomicU64::new(plan.first),
        ..Tally::default()
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&plan, &tally));
        }
    });
    let ran = tally.next.into_inner().min(plan.first + plan.sequences) - plan.first;
    let (steps, failures) = (tally.steps.into_inner(), tally.failures.into_inner());
    let unsteady = tally.unsteady.into_inner();
    println!(
        "{version} {kind:?}: {ran} sequences, {steps} steps agreed, {failures} sequences differed, {unsteady} only agreed when tried again"
    );
    assert_eq!(failures, 0, "sequences that differ on {version}");
}

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn work(plan: &Plan, tally: &Tally) {
    let builder = Server::builder().version(real_version(plan.version));
    let mut server = builder.clone().start();
    while tally.failures.load(Ordering::Relaxed) < plan.stop_after {
        let seed = tally.next.fetch_add(1, Ordering::Relaxed);
        if seed >= plan.first + plan.sequences {
            return;
        }
        let mut generator = Generator::new(seed, plan.version);
        let steps = match plan.kind {
            Kind::Steady => generator.sequence(STEPS),
            Kind::Restarting => generator.sequence_with_restarts(STEPS),
            Kind::Following => generator.following_sequence(STEPS),
        };
        if TcpStream::connect(server.addr()).is_err() {
            server = builder.clone().start();
        }
        let Err(first) = compare(&server, plan.version, seed, &steps, BRISK) else {
            tally.steps.fetch_add(steps.len(), Ordering::Relaxed);
            continue;
        };
        // What a real server does behind its answers is not always done in time, and what failed for
        // that may stay: each attempt gets a fresh one.
        let settled = (0..RETRIES).any(|_| {
            server = builder.clone().start();
            compare(&server, plan.version, seed, &steps, SLOW).is_ok()
        });
        let counter = if settled {
            &tally.unsteady
        } else {
            &tally.failures
        };
        counter.fetch_add(1, Ordering::Relaxed);
        println!("{}{first}", if settled { "unsteady: " } else { "" });
    }
}

/// Runs one sequence on both; returns what differs.
fn compare(
    server: &Server,
    version: Version,
    seed: u64,
    steps: &[Step],
    pace: Pace,
) -> Result<(), String> {
    let mut sim = Sim::new(version, seed);
    let mut real = Real::connect(server.addr());
    real.await_frames(1, PATIENCE);
    let mut before = sim.frames.all.len();
    let trace = std::env::var("KV_SIM_TRACE").is_ok();
    let (mut ran, mut shown) = (0, (0, 0));
    for step in steps {
        match step {
            Step::Say { .. } | Step::Acknowledge { .. } => {
                sim.send(&step.bytes(&sim.frames));
                real.write(&step.bytes(&real.frames));
            }
            Step::Settle(millis) => {
                let time = Duration::from_millis(*millis);
                sim.wait(time);
                real.linger(time);
            }
            Step::Restart { kill } => {
                sim.restart(*kill);
                restart(server, &mut real, *kill);
            }
        }
        let expected = sim.frames.all.len();
        real.await_frames(expected, PATIENCE);
        if trace {
            println!("> {step}");
            print_news("ours", &sim.frames.all[shown.0..]);
            print_news("real", &real.frames.all[shown.1..]);
            shown = (expected, real.frames.all.len());
        }
        ran += 1;
        let unseen = step.is_unseen() || expected == before;
        thread::sleep(pace.step + if unseen { pace.unseen } else { Duration::ZERO });
        before = expected;
        if real.frames.all.len() < expected || sim.closed || real.closed {
            break;
        }
    }
    real.linger(Duration::from_millis(10) + pace.unseen);
    let verdict = judge(version, seed, steps, ran, &sim, &real);
    clean(server, pace);
    verdict
}

fn print_news(whose: &str, news: &[(String, String)]) {
    for (_, frame) in news {
        println!("  {whose} {frame}");
    }
}

fn restart(server: &Server, real: &mut Real, kill: bool) {
    thread::sleep(WRITTEN);
    if kill {
        server.kill();
    } else {
        server.stop();
    }
    real.linger(PATIENCE); // what it said before it closed
    server.restart();
    real.reconnect(server.addr());
}

fn judge(
    version: Version,
    seed: u64,
    steps: &[Step],
    ran: usize,
    sim: &Sim,
    real: &Real,
) -> Result<(), String> {
    let (ours, theirs) = (sim.frames.groups(), real.frames.groups());
    let keys: BTreeSet<&&str> = ours.keys().chain(theirs.keys()).collect();
    let mut reports: BTreeMap<usize, String> = BTreeMap::new();
    for key in keys {
        let mut report = String::new();
        let none = Vec::new();
        let (own, other) = (
            ours.get(*key).unwrap_or(&none),
            theirs.get(*key).unwrap_or(&none),
        );
        let case = Case {
            version,
            steps,
            group: key,
        };
        let explained = case.explains(own, other);
        if own == other || explained {
            continue;
        }
        let step = steps.iter().position(|step| mentions(step, key));
        report += &format!("group {key}, of step {step:?}:\n");
        for at in 0..own.len().max(other.len()) {
            let (a, b) = (
                own.get(at).copied().unwrap_or("-"),
                other.get(at).copied().unwrap_or("-"),
            );
            if a != b {
                let (a, b) = crate::where_they_part(a, b);
                report += &format!("  ours [{at}] {a}\n  real [{at}] {b}\n");
                break;
            }
        }
        if let Some(step) = step.and_then(|at| steps.get(at)) {
            report += &format!("  sent {step}\n");
        }
        reports
            .entry(step.unwrap_or(usize::MAX))
            .or_default()
            .push_str(&report);
    }
    // What differs first explains most of what differs later.
    let mut report = reports.into_values().next().unwrap_or_default();
    if sim.closed != real.closed {
        report += &format!("closed: ours {}, real {}\n", sim.closed, real.closed);
    }
    if report.is_empty() {
        return Ok(());
    }
    let mut text = format!(
        "seed {seed} on {version}, {} of {} steps\n{report}",
        ran,
        steps.len()
    );
    if !real.frames.unread().is_empty() {
        text += &format!(
            "unread of the real server: {}\n",
            crate::cut(&real.frames.unread())
        );
    }
    Err(text)
}

fn mentions(step: &Step, group: &str) -> bool {
    let Some((_, subject)) = group.split_once(' ') else {
        return false;
    };
    step.text().contains(&format!(" {subject} "))
}

/// Removes every stream, so that the next sequence finds the server as new.
fn clean(server: &Server, pace: Pace) {
    if TcpStream::connect(server.addr()).is_err() {
        return; // the sequence ended it, which shows as a closed connection
    }
    let mut real = Real::connect(server.addr());
    let mut bytes =
        b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB _INBOX.x.* 1\r\n".to_vec();
    for (at, name) in STREAMS.iter().chain(&["OTHER", "KV_M", "KV_S"]).enumerate() {
        bytes.extend_from_slice(
            format!("PUB $JS.API.STREAM.DELETE.{name} _INBOX.x.{at} 0\r\n\r\n").as_bytes(),
        );
    }
    real.write(&bytes);
    real.await_frames(1 + STREAMS.len() + 3, Duration::from_secs(5));
    thread::sleep(pace.unseen);
}
