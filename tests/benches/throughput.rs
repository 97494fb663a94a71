//! Puts and gets of 100 bytes, ours against async-nats on the same runtime and the same server.
//!
//! ```text
//! cargo bench -p kv-tests --bench throughput [-- options]
//!   --rounds <n>    rounds of each workload and client (7)
//!   --millis <n>    length of a round (200)
//!   --cpus <how>    "one" for server and clients together, so that CPU time per operation repeats
//!                   and the rate is 1 / (client + server), unless told; "split": one each; "all":
//!                   wherever the system puts them
//!   --only <text>   workloads and contenders whose "workload client/runtime" holds the text, as in
//!                   "W2/64 kv-tokio/current_thread"
//!   --ops <n>       runs what is chosen once for so many operations and prints no table: for
//!                   `valgrind --tool=callgrind --toggle-collect='*::measured'`
//! ```
//!
//! Each contender has a connection and a bucket (memory, history 1) of its own. Rounds interleave them,
//! so that what else the machine does hits all alike. Before the first round each workload is checked:
//! what it puts is read back and counted on the server, and every get ever made is compared with what
//! was put.

#[path = "throughput/clients.rs"]
mod clients;
#[path = "throughput/cpu.rs"]
mod cpu;
#[path = "throughput/report.rs"]
mod report;

use std::process::Command;
use std::time::{Duration, Instant};

use clients::{Contender, Entries, Flavor, KEYS, Limit, Verb, WORKLOADS, Workload, entries};
use kv_tests::{Admin, Server};
use report::{Allocations, Row, Sample};

/// When no further round is started, so that a slow machine ends within a minute too.
const PATIENCE: Duration = Duration::from_secs(50);

struct Options {
    rounds: usize,
    length: Duration,
    cpus: String,
    only: String,
    ops: Option<usize>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            rounds: 7,
            length: Duration::from_millis(200),
            cpus: "one".to_owned(),
            only: String::new(),
            ops: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("each option's value");
            let number = |text: String| text.parse().expect("a number");
            match argument.as_str() {
                "--rounds" => options.rounds = number(value()),
                "--millis" => options.length = Duration::from_millis(number(value()) as u64),
                "--cpus" => options.cpus = value(),
                "--only" => options.only = value(),
                "--ops" => options.ops = Some(number(value())),
                "--bench" => {} // cargo says so
                unknown => panic!("no option {unknown}"),
            }
        }
        options
    }

    fn wants(&self, workload: Workload, contender: &dyn Contender) -> bool {
        let flavor = contender.flavor().name();
        let name = format!("{} {}/{flavor}", workload.label(), contender.client());
        name.contains(&self.only)
    }
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output is the product; progress goes beside it"
)]
fn main() {
    // Built before the clock starts.
    let built = the_counter("build").status().expect("cargo runs");
    assert!(built.success(), "throughput-allocations does not build");
    let begin = Instant::now();
    let options = Options::read(std::env::args().skip(1));
    let (server, placement) = start_server(&options.cpus);

    let flavors = [Flavor::CurrentThread, Flavor::MultiThread];
    let mut contenders = clients::contenders(&server.url(), &flavors);
    contenders.retain(|contender| WORKLOADS.iter().any(|w| options.wants(*w, &**contender)));
    let values = entries("measured");
    let mut admin = Admin::connect(&server);
    for contender in &contenders {
        check(&**contender, &mut admin);
        fill(&**contender, &values);
    }
    if let Some(ops) = options.ops {
        for contender in &contenders {
            for workload in WORKLOADS
                .iter()
                .filter(|w| options.wants(**w, &**contender))
            {
                measured(&**contender, *workload, &values, Limit::ops(ops));
            }
        }
        return;
    }
    eprintln!("{:>5.1} s  checked", begin.elapsed().as_secs_f64());
    let allocations = count_allocations(&server);

    let cells: Vec<(Workload, &dyn Contender)> = WORKLOADS
        .iter()
        .flat_map(|workload| contenders.iter().map(|contender| (*workload, &**contender)))
        .filter(|(workload, contender)| options.wants(*workload, *contender))
        .collect();
    let mut samples: Vec<Vec<Sample>> = cells.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        if begin.elapsed() > PATIENCE {
            eprintln!("out of time after {} rounds", round - 1);
            break;
        }
        for (cell, samples) in cells.iter().zip(&mut samples) {
            let (workload, contender) = *cell;
            samples.push(sample(contender, workload, &values, &options, server.pid()));
        }
        let elapsed = begin.elapsed().as_secs_f64();
        eprintln!("{elapsed:>5.1} s  round {round} of {}", options.rounds);
    }

    let rows: Vec<Row> = cells
        .iter()
        .zip(&samples)
        .map(|((workload, contender), samples)| {
            Row::new(workload.label(), *contender, samples, &allocations)
        })
        .collect();
    println!("\nnats-server {}, {placement}\n", server.version());
    println!("{}\n{}", report::table(&rows), report::ratios(&rows));
    print!("{}", report::json_lines(&rows));
}

/// Starts the server, and settles where it and this process run. Returns that in words.
fn start_server(cpus: &str) -> (Server, String) {
    let allowed = cpu::allowed();
    let (first, last) = (allowed[0], allowed[allowed.len() - 1]);
    // Whatever is started later inherits the CPU.
    match cpus {
        "one" => {
            cpu::pin(last);
            (Server::start(), format!("server and clients on CPU {last}"))
        }
        "split" => {
            cpu::pin(first);
            let server = Server::start();
            cpu::pin(last);
            (
                server,
                format!("server on CPU {first}, clients on CPU {last}"),
            )
        }
        "all" => (
            Server::start(),
            format!("not pinned, {} CPUs", allowed.len()),
        ),
        unknown => panic!("--cpus cannot be {unknown}"),
    }
}

/// One round of one workload.
fn sample(
    contender: &dyn Contender,
    workload: Workload,
    values: &Entries,
    options: &Options,
    server: u32,
) -> Sample {
    let before = (cpu::of_this_process(), cpu::of(server));
    let start = Instant::now();
    let limit = Limit::until(start + options.length);
    let tally = measured(contender, workload, values, limit);
    let wall = start.elapsed();
    let client = cpu::of_this_process().saturating_sub(before.0);
    let server = cpu::of(server).saturating_sub(before.1);
    Sample::new(tally, wall, client, server)
}

/// What is measured and nothing else, for profilers to find.
#[inline(never)]
fn measured(
    contender: &dyn Contender,
    workload: Workload,
    values: &Entries,
    limit: Limit,
) -> clients::Tally {
    contender.run(workload, values, limit)
}

/// Proves that each workload does what it says: once over all keys, with values of its own.
fn check(contender: &dyn Contender, admin: &mut Admin) {
    let mut values = entries("unchecked");
    for workload in WORKLOADS {
        let before = last_revision(contender, admin);
        if workload.verb == Verb::Put {
            values = entries(&workload.label());
        }
        let done = contender.run(workload, &values, Limit::ops(KEYS)).ops;
        let written = last_revision(contender, admin) - before;
        let expected = if workload.verb == Verb::Put { done } else { 0 };
        assert_eq!(done, KEYS);
        assert_eq!(
            written,
            expected,
            "{} by {}",
            workload.label(),
            contender.client()
        );
        // Every get compares what it reads with what was put last.
        let read = WORKLOADS[WORKLOADS.len() - 1];
        contender.run(read, &values, Limit::ops(KEYS));
    }
}

/// Puts what all gets of the measured rounds expect to find.
fn fill(contender: &dyn Contender, values: &Entries) {
    contender.run(WORKLOADS[1], values, Limit::ops(KEYS));
}

fn last_revision(contender: &dyn Contender, admin: &mut Admin) -> usize {
    let info = admin.stream_info(&format!("KV_{}", contender.bucket()));
    let last = info["state"]["last_seq"].as_u64().expect("a sequence");
    usize::try_from(last).expect("a small number")
}

fn count_allocations(server: &Server) -> Allocations {
    let output = the_counter("run")
        .args(["--", &server.url()])
        .output()
        .expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    report::allocations(&String::from_utf8_lossy(&output.stdout))
}

/// Builds or runs what counts allocations.
fn the_counter(verb: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args([verb, "--quiet", "--profile", "bench", "--example"])
        .arg("throughput-allocations")
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}
