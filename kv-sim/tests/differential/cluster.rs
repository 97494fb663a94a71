//! The same comparison for replicated streams: a real cluster of three against a simulated one without
//! delays, one request at a time.
//!
//! Real followers need a moment, and so do consumers that live on them. So a read that does not agree yet
//! is asked again, and a publish that met 503, which means that it was not stored, is sent again.

use std::time::{Duration, Instant};

use kv_sim::server::{Config, Version};
use kv_tests::{Cluster, Server};

use crate::campaign::number;
use crate::cut;
use crate::exceptions::{Case, Exception};
use crate::frames::{Frames, mask_cluster, mask_numbers};
use crate::generate::{Generator, STREAMS, Step};
use crate::real::Real;
use crate::sim::{Sim, real_version};

const STEPS: usize = 30;
const REPLICAS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(3);
/// How long followers may take to agree.
const CATCH_UP: Duration = Duration::from_secs(3);
/// Between two sequences, and after a difference, for what goes on behind the answers.
const REST: Duration = Duration::from_millis(60);

/// A real consumer begins with what the replica on its own server has, which may lag by up to a second;
/// so do the answers. What does not agree in so many attempts is a difference.
const ATTEMPTS: usize = 3;

/// Requests that change nothing.
const READS: [&str; 9] = [
    "DIRECT.GET.",
    "STREAM.INFO.",
    "STREAM.MSG.GET.",
    "STREAM.NAMES",
    "STREAM.LIST",
    "CONSUMER.INFO.",
    "CONSUMER.NAMES.",
    "CONSUMER.LIST.",
    "INFO ",
];

/// What may differ besides [`crate::exceptions::EXCEPTIONS`].
const EXCEPTIONS: [Exception; 4] = [
    Exception {
        name: "several refusals",
        reason: "a request about a consumer with a body that it must not have is refused by every server that reads it",
        explains: |_, ours, theirs| {
            let codes = ["\"err_code\":10025,", "\"err_code\":10038,"];
            ours.len() == 1
                && codes.iter().any(|code| ours[0].contains(code))
                && theirs.iter().all(|frame| *frame == ours[0])
        },
    },
    Exception {
        name: "usage",
        reason: "what an account uses is summed up from what the servers tell each other now and then",
        explains: |_, ours, theirs| {
            let without = |frames: &[&str]| mask_numbers(frames, &["memory", "storage"]);
            without(ours) == without(theirs)
        },
    },
    Exception {
        name: "level of the unnamed",
        reason: "a cluster that makes up a consumer's name, and is to create it, does not note which level it needs; the simulated one does",
        explains: |_, ours, theirs| {
            let unnamed = ours
                .iter()
                .any(|frame| frame.contains("\"name\":\"<masked>\""));
            let without = |frames: &[&str]| {
                let text = frames.join("\n");
                text.replace("\"_nats.req.level\":\"0\",", "")
            };
            unnamed && without(ours) == without(theirs)
        },
    },
    Exception {
        name: "consumers elsewhere",
        reason: "the answer to an update, or a repeated create, counts the consumers on the leader's own server",
        explains: |_, ours, theirs| {
            let changed = |kind: &str| ours.iter().any(|frame| frame.contains(kind));
            let without = |frames: &[&str]| mask_numbers(frames, &["consumer_count"]);
            (changed("stream_update_response") || changed("stream_create_response"))
                && without(ours) == without(theirs)
        },
    },
];

fn compare(cluster: &Cluster, version: Version, seed: u64) -> Result<usize, String> {
    let steps = Generator::replicated(seed, version, REPLICAS).sequence(STEPS);
    let mut config = Config::new(version);
    config.servers = REPLICAS;
    let mut sim = Sim::with(config, seed);
    let server = cluster.server(seed as usize % REPLICAS);
    let mut real = Real::connect(server.addr());
    real.await_frames(1, PATIENCE);
    let mut verdict = Ok(steps.len());
    let trace = std::env::var("KV_SIM_TRACE").is_ok();
    for (at, step) in steps.iter().enumerate() {
        sim.send(&step.bytes(&sim.frames));
        real.write(&step.bytes(&real.frames));
        let agreed = agree(&sim, &mut real, step, version);
        if trace {
            println!("{at} > {:?}", step.text());
            let last = sim.frames.all.last();
            println!("  ours {:?}\n  real {:?}", last, real.frames.all.last());
        }
        if let Err(difference) = agreed {
            let sent = step.text();
            if trace {
                for server in cluster.servers() {
                    let log = server.log();
                    let tail = log.lines().rev().take(8).collect::<Vec<_>>();
                    println!("{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
                }
            }
            verdict = Err(format!(
                "seed {seed} on {version} R3, step {at}\n{difference}  sent {sent:?}\n"
            ));
            break;
        }
        if step.is_unseen() {
            std::thread::sleep(Duration::from_millis(20));
        }
        if sim.closed || real.closed {
            break;
        }
    }
    clean(server);
    verdict
}

/// Waits until the real server has said what the simulated one has.
fn agree(sim: &Sim, real: &mut Real, step: &Step, version: Version) -> Result<(), String> {
    real.await_frames(sim.frames.all.len(), Duration::from_millis(200));
    let deadline = Instant::now() + CATCH_UP;
    loop {
        let Some(difference) = difference(&sim.frames, &real.frames, version) else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(difference);
        }
        let reply = reply_of(step);
        let repeatable = is_read(step) || real.frames.has(&reply, "NATS/1.0 503");
        if repeatable && !reply.is_empty() {
            real.linger(Duration::from_millis(10));
            real.frames.forget(&reply);
            real.write(&step.bytes(&real.frames));
        }
        real.linger(Duration::from_millis(15));
    }
}

fn difference(ours: &Frames, theirs: &Frames, version: Version) -> Option<String> {
    let (ours, theirs) = (ours.groups(), theirs.groups());
    for key in ours.keys().chain(theirs.keys()) {
        let frames = |from: &std::collections::BTreeMap<&str, Vec<&str>>| -> Vec<String> {
            let own = from.get(key).into_iter().flatten();
            own.map(|frame| mask_cluster(frame)).collect()
        };
        let (own, other) = (frames(&ours), frames(&theirs));
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let other: Vec<&str> = other.iter().map(String::as_str).collect();
        let case = Case {
            version,
            steps: &[],
            group: key,
        };
        let here = || {
            EXCEPTIONS
                .iter()
                .any(|one| (one.explains)(&case, &own, &other))
        };
        if own == other || case.explains(&own, &other) || here() {
            continue;
        }
        let mut out = format!("group {key}\n");
        for at in 0..own.len().max(other.len()) {
            let (a, b) = (own.get(at).unwrap_or(&"-"), other.get(at).unwrap_or(&"-"));
            if a != b {
                out += &format!("  ours [{at}] {}\n  real [{at}] {}\n", cut(a), cut(b));
            }
        }
        return Some(out);
    }
    None
}

fn reply_of(step: &Step) -> String {
    let text = step.text();
    let mut words = text.split_whitespace().skip(1);
    let reply = words.find(|word| word.starts_with("_INBOX.d."));
    reply.unwrap_or_default().to_owned()
}

fn is_read(step: &Step) -> bool {
    let text = step.text();
    READS.iter().any(|verb| {
        let start = text.find(" $JS.API.").map(|at| at + " $JS.API.".len());
        start.is_some_and(|start| text[start..].starts_with(verb))
    })
}

/// Removes every stream, and waits until nobody knows it any more.
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
    std::thread::sleep(REST);
}

fn campaign(version: Version, sequences: u64) -> usize {
    let cluster = Cluster::start(real_version(version));
    let first = number("KV_SIM_SEED").unwrap_or(1);
    let stop_after = number("KV_SIM_FAILURES").unwrap_or(5) as usize;
    let (mut failures, mut steps, mut unsteady) = (0, 0, 0);
    for seed in first..first + sequences {
        let mut verdict = compare(&cluster, version, seed);
        for _ in 1..ATTEMPTS {
            let Err(report) = &verdict else {
                break;
            };
            std::thread::sleep(10 * REST);
            let again = compare(&cluster, version, seed);
            if again.is_ok() {
                unsteady += 1;
                println!("not again: {report}");
            }
            verdict = again;
        }
        match verdict {
            Ok(n) => steps += n,
            Err(report) => {
                failures += 1;
                println!("{report}");
                if failures >= stop_after {
                    println!("stopping after {} sequences", seed - first + 1);
                    break;
                }
            }
        }
    }
    println!(
        "{version} R3: {steps} steps agreed, {failures} sequences differed, {unsteady} but not every time"
    );
    failures
}

fn run(version: Version, default: u64) {
    if std::env::var("KV_SIM_VERSION").is_ok_and(|wanted| !version.number().starts_with(&wanted)) {
        return;
    }
    let sequences = number("KV_SIM_SEQUENCES").unwrap_or(default);
    let differing = campaign(version, sequences);
    assert_eq!(
        differing, 0,
        "replicated sequences that differ on {version}"
    );
}

#[test]
fn replicated_agrees_with_2_15() {
    run(Version::V2_15, 60);
}

#[test]
fn replicated_agrees_with_the_other_versions() {
    if number("KV_SIM_SEQUENCES").is_some() {
        for version in [
            Version::V2_10,
            Version::V2_11,
            Version::V2_12,
            Version::V2_14,
        ] {
            run(version, 0);
        }
    }
}

#[test]
fn every_exception_of_clusters_has_a_reason() {
    for exception in &EXCEPTIONS {
        assert!(exception.reason.len() > 20, "{}", exception.name);
    }
}
