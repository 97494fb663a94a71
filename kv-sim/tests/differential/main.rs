//! The simulated server held against the real one.
//!
//! The same generated sequence of bytes goes to both; all that comes back must be equal after times, ids
//! and made-up names are masked: codes, texts, sequences, headers, the order of JSON members, the order of
//! messages on each subscription. What may differ is listed in [`EXCEPTIONS`] with its reason.
//!
//! `KV_SIM_SEQUENCES=10000 cargo test --release --test differential -- --nocapture` is the long run: that
//! many sequences on each of the five versions. `KV_SIM_SEED` is the first seed, `KV_SIM_VERSION` (such as
//! `2.12`) picks one version.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a real server lives in real time"
)]

mod core;
mod frames;
mod generate;
mod real;
mod timed;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kv_proto::Instant;
use kv_sim::server::{Cluster, Config, ConnId, ServerId, Version};
use kv_tests::Server;

use crate::frames::Frames;
use crate::generate::{Generator, STREAMS, Step};
use crate::real::Real;

const STEPS: usize = 40;
const PATIENCE: Duration = Duration::from_millis(700);

/// A deleted stream's directory goes behind the answer, and a new one of its name fails before that.
const UNLINK: Duration = Duration::from_millis(15);

/// A difference that is known and allowed.
struct Exception {
    name: &'static str,
    reason: &'static str,
    /// Whether it explains that these two groups of frames differ.
    explains: fn(Version, &[&str], &[&str]) -> bool,
}

const EXCEPTIONS: [Exception; 4] = [
    Exception {
        name: "1970",
        reason: "the file store of 2.10 gives an emptied stream the time 1970 or the zero time, by the way it was emptied",
        explains: |version, ours, theirs| {
            let without = |frames: &[&str]| frames.join("\n").replace("1970-01-01T", "0001-01-01T");
            version == Version::V2_10 && without(ours) == without(theirs)
        },
    },
    Exception {
        name: "pending of several filters",
        reason: "2.10 and 2.11 miscount what is pending for a consumer with several filters (nats-server#4824)",
        explains: |version, ours, theirs| {
            let several = ours
                .iter()
                .any(|frame| frame.contains("\"filter_subjects\":["));
            let without = |frames: &[&str]| frames::mask_pending(&frames.join("\n"));
            version <= Version::V2_11 && several && without(ours) == without(theirs)
        },
    },
    Exception {
        name: "made-up names",
        reason: "a list is sorted by names, and the names that servers make up are random",
        explains: |_, ours, theirs| {
            let made_up = |frames: &[&str]| {
                frames.len() == 1
                    && frames[0].contains("consumer_list_response")
                    && frames[0].contains("<masked>")
            };
            made_up(ours) && made_up(theirs)
        },
    },
    Exception {
        name: "sequence 0",
        reason: "the file store of a never-used stream mostly says that sequence 0 is deleted; when not is not found yet",
        explains: |_, ours, theirs| {
            let without = |frames: &[&str]| {
                frames
                    .join("\n")
                    .replace(",\"num_deleted\":1,\"deleted\":[0]", "")
            };
            without(ours) == without(theirs)
        },
    },
];

struct Sim {
    cluster: Cluster,
    conn: ConnId,
    now: Instant,
    frames: Frames,
    closed: bool,
}

impl Sim {
    fn new(version: Version, seed: u64) -> Self {
        Self::with(Config::new(version), seed)
    }

    fn with(config: Config, seed: u64) -> Self {
        let mut cluster = Cluster::new(config, seed);
        let now = Instant::ORIGIN;
        let conn = cluster.accept(now, ServerId(0)).expect("it is up");
        let mut out = Self {
            cluster,
            conn,
            now,
            frames: Frames::default(),
            closed: false,
        };
        out.collect();
        out
    }

    fn send(&mut self, bytes: &[u8]) {
        self.now = self.now + Duration::from_millis(1);
        self.cluster.handle_timeout(self.now);
        self.cluster.handle_input(self.now, self.conn, bytes);
        self.collect();
    }

    /// Lets virtual time pass, stopping wherever something is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.cluster.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.cluster.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    fn collect(&mut self) {
        let output = self.cluster.take_output(self.conn);
        self.frames.push(&output);
        self.closed |= self.cluster.poll_closed().is_some();
    }
}

fn real_version(version: Version) -> kv_tests::Version {
    kv_tests::Version::parse(version.number()).expect("a number")
}

/// Runs one sequence on both; returns what differs.
fn compare(server: &Server, version: Version, seed: u64) -> Result<usize, String> {
    let steps = Generator::new(seed, version).sequence(STEPS);
    let mut sim = Sim::new(version, seed);
    let mut real = Real::connect(server.addr());
    real.await_frames(1, PATIENCE);
    let mut marks = Vec::new();
    for step in &steps {
        sim.send(&step.bytes);
        real.write(&step.bytes);
        let expected = sim.frames.all.len();
        real.await_frames(expected, PATIENCE);
        if std::env::var("KV_SIM_TRACE").is_ok() {
            let (ours, theirs) = marks.last().copied().unwrap_or_default();
            println!("> {:?}", String::from_utf8_lossy(&step.bytes));
            sim.frames
                .all
                .iter()
                .skip(ours)
                .for_each(|(_, frame)| println!("  ours {frame}"));
            real.frames
                .all
                .iter()
                .skip(theirs)
                .for_each(|(_, frame)| println!("  real {frame}"));
        }
        marks.push((sim.frames.all.len(), real.frames.all.len()));
        let silent = marks.len() > 1 && marks[marks.len() - 2].0 == expected;
        if step.unacknowledged || silent {
            std::thread::sleep(UNLINK);
        }
        let late = real.frames.all.len() < expected;
        if late || sim.closed || real.closed {
            break;
        }
    }
    real.linger(Duration::from_millis(10));
    let verdict = judge(version, seed, &steps, &marks, &sim, &real);
    clean(server);
    verdict.map(|()| steps.len())
}

fn judge(
    version: Version,
    seed: u64,
    steps: &[Step],
    marks: &[(usize, usize)],
    sim: &Sim,
    real: &Real,
) -> Result<(), String> {
    let (ours, theirs) = (sim.frames.groups(), real.frames.groups());
    let keys: std::collections::BTreeSet<&&str> = ours.keys().chain(theirs.keys()).collect();
    let mut reports: BTreeMap<usize, String> = BTreeMap::new();
    for key in keys {
        let mut report = String::new();
        let none = Vec::new();
        let (own, other) = (
            ours.get(*key).unwrap_or(&none),
            theirs.get(*key).unwrap_or(&none),
        );
        let explained = EXCEPTIONS
            .iter()
            .any(|one| (one.explains)(version, own, other));
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
                report += &format!("  ours [{at}] {}\n  real [{at}] {}\n", cut(a), cut(b));
                break;
            }
        }
        break_marker(&mut report, steps, step);
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
        marks.len(),
        steps.len()
    );
    if !real.frames.unread().is_empty() {
        text += &format!(
            "unread of the real server: {}\n",
            cut(&real.frames.unread())
        );
    }
    Err(text)
}

fn break_marker(report: &mut String, steps: &[Step], step: Option<usize>) {
    if let Some(step) = step.and_then(|at| steps.get(at)) {
        *report += &format!("  sent {:?}\n", String::from_utf8_lossy(&step.bytes));
    }
}

fn mentions(step: &Step, group: &str) -> bool {
    let Some((_, subject)) = group.split_once(' ') else {
        return false;
    };
    String::from_utf8_lossy(&step.bytes).contains(&format!(" {subject} "))
}

fn cut(text: &str) -> &str {
    text.get(..1800).unwrap_or(text)
}

/// Removes every stream, so that the next sequence finds the server as new.
fn clean(server: &Server) {
    let mut real = Real::connect(server.addr());
    let mut bytes =
        b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB _INBOX.x.* 1\r\n".to_vec();
    for (at, name) in STREAMS.iter().chain(&["OTHER"]).enumerate() {
        bytes.extend_from_slice(
            format!("PUB $JS.API.STREAM.DELETE.{name} _INBOX.x.{at} 0\r\n\r\n").as_bytes(),
        );
    }
    real.write(&bytes);
    real.await_frames(1 + STREAMS.len() + 1, Duration::from_secs(5));
    std::thread::sleep(UNLINK);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs many sequences on one version, on several servers side by side as most of the time is waiting;
/// prints differences and returns how many sequences had one.
fn campaign(version: Version, sequences: u64) -> usize {
    let first = number("KV_SIM_SEED").unwrap_or(1);
    let stop_after = number("KV_SIM_FAILURES").unwrap_or(5) as usize;
    let workers = number("KV_SIM_WORKERS").unwrap_or(4).min(sequences);
    let next = AtomicU64::new(first);
    let (failures, steps) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let server = Server::builder().version(real_version(version)).start();
        while failures.load(Ordering::Relaxed) < stop_after {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + sequences {
                return;
            }
            match compare(&server, version, seed) {
                Ok(n) => {
                    steps.fetch_add(n, Ordering::Relaxed);
                }
                Err(report) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    println!("{report}");
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let (failures, steps) = (failures.into_inner(), steps.into_inner());
    let ran = next.into_inner().min(first + sequences) - first;
    println!("{version}: {ran} sequences, {steps} steps agreed, {failures} sequences differed");
    failures
}

fn run(version: Version, default: u64) {
    if std::env::var("KV_SIM_VERSION").is_ok_and(|wanted| !version.number().starts_with(&wanted)) {
        return;
    }
    let sequences = number("KV_SIM_SEQUENCES").unwrap_or(default);
    assert_eq!(
        campaign(version, sequences),
        0,
        "sequences that differ on {version}"
    );
}

#[test]
fn agrees_with_2_15() {
    run(Version::V2_15, 300);
}

#[test]
fn agrees_with_2_10() {
    run(Version::V2_10, 300);
}

#[test]
fn agrees_with_the_versions_between() {
    if number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            run(version, 0);
        }
    }
}

#[test]
fn every_exception_has_a_reason() {
    for exception in &EXCEPTIONS {
        assert!(exception.reason.len() > 20, "{}", exception.name);
    }
}
