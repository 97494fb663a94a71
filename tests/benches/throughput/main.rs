//! Everything a bucket is asked for, by ours and by async-nats on the same runtimes and the same server, by the
//! bare session on a blocking socket, and by no client at all.
//!
//! ```text
//! cargo bench -p kv-tests --bench throughput [-- options]
//!   --quick         one short round, and nobody's allocations are counted
//!   --rounds <n>    rounds of each workload and client (7)
//!   --millis <n>    length of a round (200)
//!   --cpus <how>    "one" for server and clients together, so that CPU time per operation repeats
//!                   and the rate is 1 / (client + server), unless told; "split": one each; "all":
//!                   wherever the system puts them; or two numbers as in "0,1": the server's and the clients'
//!   --only <text>   workloads and contenders whose "workload client/runtime" holds the text, as in
//!                   "put/64 kv-tokio/current_thread"
//!   --plot <file>   draws the ratios as SVG
//!   --ops <n>       runs what is chosen once for so many operations and prints no table: for
//!                   `valgrind --tool=callgrind --toggle-collect='*::measured'`
//! ```
//!
//! Each contender has a connection and buckets (memory, history 1) of its own; what is listed, 100,000 keys, is
//! everybody's. Values have 100 bytes. Rounds interleave the contenders, so that what else the machine does hits all
//! alike. Before the first round each workload is checked: what it writes is counted on the server, and every value
//! ever read is compared with what was put.
//!
//! The *floor* sends frames that were made before and counts replies: what it takes is the kernel's.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected is no result"
)]

mod contenders;
mod cpu;
mod feeder;
mod hello;
mod plot;
mod report;
mod stage;
mod wire;
mod workloads;

use std::process::Command;
use std::time::{Duration, Instant};

use contenders::{Contender, name_of};
use kv_tests::{Admin, Server};
use report::{Allocations, Row, Sample};
use stage::Stage;
use workloads::{Data, HISTORIES, KEYS, Limit, Tally, UPDATES, Verb, WORKLOADS, Workload};

/// When no further round is started, so that a slow machine ends too.
const PATIENCE: Duration = Duration::from_secs(900);

struct Options {
    rounds: usize,
    length: Duration,
    cpus: String,
    counted: bool,
    only: String,
    plot: Option<String>,
    ops: Option<usize>,
    hello: Option<(String, String)>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            rounds: 7,
            length: Duration::from_millis(200),
            cpus: "one".to_owned(),
            counted: true,
            only: String::new(),
            plot: None,
            ops: None,
            hello: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("each option's value");
            let number = |text: String| text.parse().expect("a number");
            match argument.as_str() {
                "--quick" => {
                    options.rounds = 1;
                    options.length = Duration::from_millis(20);
                    options.counted = false;
                }
                "--rounds" => options.rounds = number(value()),
                "--millis" => options.length = Duration::from_millis(number(value()) as u64),
                "--cpus" => options.cpus = value(),
                "--only" => options.only = value(),
                "--plot" => options.plot = Some(value()),
                hello::ARGUMENT => options.hello = Some((value(), value())),
                "--ops" => options.ops = Some(number(value())),
                "--bench" => {} // cargo says so
                unknown => panic!("no option {unknown}"),
            }
        }
        options
    }

    fn counts(&self) -> bool {
        self.counted && self.ops.is_none()
    }

    fn wants(&self, workload: Workload, contender: &dyn Contender) -> bool {
        let name = format!("{} {}", workload.label(), name_of(contender));
        name.contains(&self.only)
    }
}

#[allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output is the product; progress goes beside it"
)]
fn main() {
    let options = Options::read(std::env::args().skip(1));
    if let Some((contender, url)) = &options.hello {
        return hello::say(contender, url);
    }
    if options.counts() {
        // Before the clock starts.
        let built = the_counter(&["--no-run"]).status().expect("cargo runs");
        assert!(built.success(), "throughput-allocations does not build");
    }
    let begin = Instant::now();
    let (server, placement) = start_server(&options.cpus);

    let stage = Stage::set(&server.url());
    let mut contenders = contenders::all(&stage);
    contenders.retain(|contender| WORKLOADS.iter().any(|w| options.wants(*w, &**contender)));
    let data = Data::new("measured");
    let mut admin = Admin::connect(&server);
    if let Some(ops) = options.ops {
        for contender in &mut contenders {
            fill(&mut **contender, &data);
            for workload in WORKLOADS {
                if options.wants(workload, &**contender) {
                    measured(&mut **contender, &stage, workload, &data, Limit::ops(ops));
                }
            }
        }
        return;
    }
    for contender in &mut contenders {
        check(&mut **contender, &stage, &mut admin);
        stage::tidy(&mut admin);
        fill(&mut **contender, &data);
    }
    eprintln!("{:>5.1} s  checked", begin.elapsed().as_secs_f64());
    let allocations = match options.counts() {
        true => count_allocations(&server),
        false => Allocations::new(),
    };

    let mut rows: Vec<Row> = Vec::new();
    for round in 1..=options.rounds {
        if begin.elapsed() > PATIENCE {
            eprintln!("out of time after {} rounds", round - 1);
            break;
        }
        for workload in WORKLOADS {
            for contender in &mut contenders {
                if !options.wants(workload, &**contender) {
                    continue;
                }
                let sample = sample(
                    &mut **contender,
                    (&stage, &data),
                    workload,
                    &options,
                    server.pid(),
                );
                stage::tidy(&mut admin);
                Row::of(&mut rows, workload, &**contender).add(sample);
            }
        }
        let elapsed = begin.elapsed().as_secs_f64();
        eprintln!("{elapsed:>5.1} s  round {round} of {}", options.rounds);
    }

    let results = report::Results::new(rows, &allocations);
    println!("\nnats-server {}, {placement}\n", server.version());
    println!("{}\n{}", results.table(), results.ratios());
    print!("{}", results.json_lines());
    if let Some(file) = &options.plot {
        std::fs::write(file, plot::svg(&results.bars())).expect("a file");
    }
}

/// Starts the server, and settles where it and this process run. Returns that in words.
fn start_server(cpus: &str) -> (Server, String) {
    let allowed = cpu::allowed();
    let (first, last) = (allowed[0], allowed[allowed.len() - 1]);
    let split = |of_server: usize, of_clients: usize| {
        cpu::pin(of_server);
        let server = Server::start();
        cpu::pin(of_clients);
        let placement = format!("server on CPU {of_server}, clients on CPU {of_clients}");
        (server, placement)
    };
    // Whatever is started later inherits the CPU.
    match cpus {
        "one" => {
            cpu::pin(last);
            (Server::start(), format!("server and clients on CPU {last}"))
        }
        "split" => split(first, last),
        "all" => (
            Server::start(),
            format!("not pinned, {} CPUs", allowed.len()),
        ),
        two => {
            let mut numbers = two.split(',').map(|number| number.parse().expect("a CPU"));
            let mut number = || numbers.next().expect("two CPUs");
            split(number(), number())
        }
    }
}

/// One round of one workload.
fn sample(
    contender: &mut dyn Contender,
    (stage, data): (&Stage, &Data),
    workload: Workload,
    options: &Options,
    server: u32,
) -> Sample {
    let before = (cpu::of_this_process(), cpu::of(server));
    let start = Instant::now();
    let mut limit = Limit::until(start + options.length);
    if workload.verb == Verb::History {
        limit.ops = HISTORIES;
    }
    let tally = measured(contender, stage, workload, data, limit);
    let wall = start.elapsed();
    let here = cpu::of_this_process() - before.0 - tally.foreign;
    let client = tally.elsewhere.unwrap_or(here);
    let server = cpu::of(server).saturating_sub(before.1);
    Sample::new(tally, wall, client, server)
}

/// What is measured and nothing else, for profilers to find.
#[inline(never)]
fn measured(
    contender: &mut dyn Contender,
    stage: &Stage,
    workload: Workload,
    data: &Data,
    limit: Limit,
) -> Tally {
    work(contender, stage, workload, data, limit)
}

fn work(
    contender: &mut dyn Contender,
    stage: &Stage,
    workload: Workload,
    data: &Data,
    limit: Limit,
) -> Tally {
    match workload.verb {
        Verb::Hello => hello::repeat(&name_of(contender), stage.url(), limit),
        _ => contender.run(workload, data, limit),
    }
}

/// Proves that each workload does what it says, with values of its own.
fn check(contender: &mut dyn Contender, stage: &Stage, admin: &mut Admin) {
    let data = Data::new("unchecked");
    for workload in WORKLOADS {
        let before = last_revisions(contender, admin);
        let ops = match workload.verb {
            _ if workload.is_large() => 2,
            Verb::Live => UPDATES,
            Verb::Hello => 2,
            Verb::History => 64,
            _ => KEYS,
        };
        let done = work(contender, stage, workload, &data, Limit::ops(ops)).ops;
        let written = last_revisions(contender, admin) - before;
        let label = workload.label();
        assert!(done >= ops, "{label}: {done}");
        assert_eq!(
            written,
            workload.verb.written(done),
            "{label} by {}",
            name_of(contender)
        );
    }
}

/// Puts what all gets of the measured rounds expect to find.
fn fill(contender: &mut dyn Contender, data: &Data) {
    for workload in WORKLOADS {
        if matches!(workload.verb, Verb::Put | Verb::PutLarge) {
            contender.run(workload, data, Limit::ops(data.of(workload).len()));
        }
    }
}

fn last_revisions(contender: &dyn Contender, admin: &mut Admin) -> usize {
    let last_of = |bucket: &str| {
        let info = admin.stream_info(&format!("KV_{bucket}"));
        let last = info["state"]["last_seq"].as_u64().expect("a sequence");
        usize::try_from(last).expect("a small number")
    };
    contender.own_buckets().map(last_of).into_iter().sum()
}

fn count_allocations(server: &Server) -> Allocations {
    let output = the_counter(&["--", &server.url()]).output().expect("runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    report::allocations(&String::from_utf8_lossy(&output.stdout))
}

/// Builds or runs what counts allocations, as its arguments say.
fn the_counter(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo tells this process about its package would make build scripts run again, and all be built anew.
    for (name, _) in std::env::vars() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|told| name.starts_with(told))
        {
            cargo.env_remove(name);
        }
    }
    cargo
        .args(["bench", "--quiet", "--bench", "throughput-allocations"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo
}
