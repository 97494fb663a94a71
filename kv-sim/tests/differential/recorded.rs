//! What seven real clients once sent, sent again to both servers.
//!
//! The traffic lies in `tests/corpus/c2s-streams`, or where `KV_SIM_RECORDINGS` says, one file for one
//! connection. Each is replayed alone, operation by operation, up to the first one that asks for what is
//! not simulated.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use kv_sim::server::Version;
use kv_tests::Server;

use crate::real::Real;
use crate::sim::{Sim, real_version};

const PATIENCE: Duration = Duration::from_millis(700);
const WORKERS: usize = 4;

/// How often a recording that differs is played again, more slowly, before it counts.
const RETRIES: u32 = 3;

/// Text that shows that something is asked for which is not simulated yet; and a `*` within a token, of
/// which each store, and each path to it, has its own opinion.
const BEYOND: [&str; 6] = [
    "a*\"",
    "\"mirror\":{",
    "\"mirror\": {",
    "\"sources\":[{",
    "\"sources\": [{",
    "$SYS.",
];

#[derive(Debug)]
struct Recording {
    name: String,
    operations: Vec<Vec<u8>>,
    /// Whether it goes on with what is not simulated.
    cut: bool,
}

fn recordings() -> Vec<Recording> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/c2s-streams");
    let directory = std::env::var_os("KV_SIM_RECORDINGS").map_or(corpus, PathBuf::from);
    let entries = fs::read_dir(&directory).expect("the corpus is part of the repository");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let read = |path: &Path| {
        let bytes = fs::read(path).expect("readable");
        let all = operations(&bytes);
        let beyond = |one: &Vec<u8>| {
            let text = String::from_utf8_lossy(one);
            BEYOND.iter().any(|word| text.contains(word))
        };
        let known = all.iter().position(beyond).unwrap_or(all.len());
        Recording {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            cut: known < all.len(),
            operations: all.into_iter().take(known).collect(),
        }
    };
    paths.iter().map(|path| read(path)).collect()
}

/// Cuts a stream of bytes into whole operations; what is left at the end is dropped.
fn operations(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let line = String::from_utf8_lossy(&rest[..end]).to_ascii_uppercase();
        let has_payload = line.starts_with("PUB ") || line.starts_with("HPUB ");
        let size = line
            .split_whitespace()
            .last()
            .and_then(|word| word.parse().ok());
        let payload = size
            .filter(|_| has_payload)
            .map_or(0, |size: usize| size + 2);
        let Some(operation) = rest.get(..end + 2 + payload) else {
            break;
        };
        out.push(operation.to_vec());
        rest = &rest[operation.len()..];
    }
    out
}

/// What it is about: the streams it names.
fn streams(recording: &Recording) -> Vec<String> {
    let text: String = recording
        .operations
        .iter()
        .map(|one| String::from_utf8_lossy(one))
        .collect();
    let after = text.split("STREAM.CREATE.").skip(1);
    let mut names: Vec<String> = after
        .filter_map(|rest| rest.split([' ', '\r']).next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

fn play(
    recording: &Recording,
    server: &Server,
    version: Version,
    pause: Duration,
) -> Result<(), String> {
    let mut sim = Sim::new(version, 1);
    let mut real = Real::connect(server.addr());
    real.await_frames(1, PATIENCE);
    for operation in &recording.operations {
        let before = sim.frames.all.len();
        sim.send(operation);
        real.write(operation);
        let expected = sim.frames.all.len();
        real.await_frames(expected, PATIENCE);
        let silent = expected == before;
        thread::sleep(
            pause
                + if silent {
                    Duration::from_millis(3)
                } else {
                    Duration::ZERO
                },
        );
        if real.frames.all.len() < expected || real.closed || sim.closed {
            break;
        }
    }
    real.linger(Duration::from_millis(15) + pause);
    clean(recording, server);
    let report = difference(&sim, &real);
    if report.is_empty() {
        return Ok(());
    }
    Err(format!("{} on {version}\n{report}", recording.name))
}

fn difference(sim: &Sim, real: &Real) -> String {
    let mut report = String::new();
    let (ours, theirs) = (sim.frames.groups(), real.frames.groups());
    for group in ours.keys().chain(theirs.keys()) {
        // Recordings have heartbeats; the clocks differ.
        let timeless = |frames: Option<&Vec<&str>>| -> Vec<String> {
            let all = frames.into_iter().flatten();
            let kept = all.filter(|frame| !frame.contains("Idle Heartbeat"));
            kept.map(|frame| (*frame).to_owned()).collect()
        };
        let (own, other) = (timeless(ours.get(group)), timeless(theirs.get(group)));
        if own == other {
            continue;
        }
        let at = own.iter().zip(&other).take_while(|(a, b)| a == b).count();
        let (a, b) = (
            own.get(at).map_or("-", String::as_str),
            other.get(at).map_or("-", String::as_str),
        );
        let (a, b) = crate::where_they_part(a, b);
        report += &format!("  group {group}\n  ours [{at}] {a}\n  real [{at}] {b}\n");
        break;
    }
    if sim.closed != real.closed {
        report += &format!("  closed: ours {}, real {}\n", sim.closed, real.closed);
    }
    report
}

fn clean(recording: &Recording, server: &Server) {
    let mut real = Real::connect(server.addr());
    let mut bytes =
        b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB _INBOX.x.* 1\r\n".to_vec();
    let names = streams(recording);
    for name in &names {
        bytes.extend_from_slice(
            format!("PUB $JS.API.STREAM.DELETE.{name} _INBOX.x.1 0\r\n\r\n").as_bytes(),
        );
    }
    real.write(&bytes);
    real.await_frames(1 + names.len(), Duration::from_secs(5));
    thread::sleep(Duration::from_millis(15));
}

fn all_agree(version: Version) {
    let recordings = recordings();
    let (total, cut) = (
        recordings.len(),
        recordings.iter().filter(|one| one.cut).count(),
    );
    let operations: usize = recordings.iter().map(|one| one.operations.len()).sum();
    let (queue, reports) = (Mutex::new(recordings), Mutex::new(Vec::new()));
    let builder = Server::builder().version(real_version(version));
    let work = || {
        let mut server = builder.clone().start();
        loop {
            let Some(recording) = queue.lock().expect("no panic").pop() else {
                return;
            };
            let mut outcome = play(&recording, &server, version, Duration::ZERO);
            for attempt in 1..=RETRIES {
                if outcome.is_ok() {
                    break;
                }
                server = builder.clone().start();
                outcome = play(
                    &recording,
                    &server,
                    version,
                    Duration::from_millis(5) * attempt,
                );
            }
            reports.lock().expect("no panic").extend(outcome.err());
        }
    };
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(work);
        }
    });
    let reports = reports.into_inner().expect("no panic");
    println!(
        "{version}: {total} recordings, {operations} operations, {cut} cut short, {} differ",
        reports.len()
    );
    assert!(reports.is_empty(), "\n{}", reports.join("\n"));
}

#[test]
fn recorded_traffic_is_answered_as_by_2_15() {
    all_agree(Version::V2_15);
}

#[test]
fn recorded_traffic_is_answered_as_by_the_others() {
    if crate::campaign::number("KV_SIM_SEQUENCES").is_some() {
        for version in [
            Version::V2_10,
            Version::V2_11,
            Version::V2_12,
            Version::V2_14,
        ] {
            all_agree(version);
        }
    }
}
