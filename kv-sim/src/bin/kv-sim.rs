//! Runs the simulator: `kv-sim run --seeds 20000`, `kv-sim replay 7`; `kv-sim serve` puts its servers on
//! sockets; with the feature `mutants`, `kv-sim mutants`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to a person"
)]
#![allow(clippy::disallowed_methods, reason = "rates are measured in real time")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, builder::PossibleValuesParser};
#[cfg(feature = "mutants")]
use kv_sim::campaign::{Bug, Row};
use kv_sim::runner::{Summary, run_seeds};
use kv_sim::serve::{Fault, FaultError};
use kv_sim::server::Version;
use kv_sim::shrink::shrink;
use kv_sim::{Mix, Scenario, ServeConfig, picture, run_recorded, run_traced};

/// A simulated world for NATS key-value clients.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs many seeds and sums up what they came across.
    Run {
        /// How many.
        #[arg(long, default_value_t = 1_000)]
        seeds: u64,
        /// The first one.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Which faults there are.
        #[arg(long, default_value = "swarm", value_parser = mixes())]
        profile: String,
        /// Stops after so many failures.
        #[arg(long, default_value_t = 5)]
        failures: usize,
    },
    /// Runs one seed, shows what happens in it, and shrinks it if a promise is broken.
    Replay {
        /// The seed.
        seed: u64,
        /// Which faults there are.
        #[arg(long, default_value = "swarm", value_parser = mixes())]
        profile: String,
        /// Shows the trace even if nothing is broken.
        #[arg(long)]
        trace: bool,
        /// Does not shrink.
        #[arg(long)]
        whole: bool,
        /// Draws the run as a page for a browser: who said what to whom and when, what went wrong, and where
        /// the promise was broken. What is drawn is what is shown: the shrunk scenario of a seed that breaks
        /// one, all of it with `--whole`, and all of a seed that breaks none.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// The name of a bug to plant.
        #[cfg(feature = "mutants")]
        #[arg(long)]
        plant: Option<String>,
    },
    /// Serves NATS clients on sockets, until it is interrupted.
    #[command(after_help = faults_help())]
    Serve {
        /// Where the first server listens; port 0 is any that is free.
        #[arg(long, default_value = "127.0.0.1:4222")]
        listen: SocketAddr,
        /// Which nats-server they behave like.
        #[arg(long = "version", default_value = "2.15", value_parser = versions())]
        release: String,
        /// How many servers there are; more than one are a cluster.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
        servers: u16,
        /// What goes wrong again and again, with commas between.
        #[arg(long, default_value = "", hide_default_value = true, value_parser = faults)]
        faults: Faults,
        /// Where identifiers and choices come from.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Plants one bug after the other, and counts the seeds until a run turns red.
    #[cfg(feature = "mutants")]
    Mutants {
        /// Bugs that so many do not show survive.
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// How often each is hunted for, from seeds far apart.
        #[arg(long, default_value_t = 5)]
        hunts: u64,
        /// The name of the only one to plant.
        #[arg(long)]
        only: Option<String>,
        /// Which faults there are.
        #[arg(long, default_value = "swarm", value_parser = mixes())]
        profile: String,
    },
}

fn mixes() -> PossibleValuesParser {
    PossibleValuesParser::new(Mix::ALL.map(|(name, _)| name))
}

fn mix_of(name: &str) -> Mix {
    let known = Mix::ALL.iter().find(|(known, _)| *known == name);
    known.map_or(Mix::Swarm, |(_, mix)| *mix)
}

/// The faults that one argument names.
#[derive(Clone, Debug)]
struct Faults(Vec<Fault>);

fn faults(text: &str) -> Result<Faults, FaultError> {
    Fault::parse_list(text).map(Faults)
}

fn faults_help() -> String {
    format!("Faults: {}", Fault::menu())
}

/// The release line that a version belongs to, such as 2.15.
fn line_of(version: Version) -> &'static str {
    let number = version.number();
    number.rsplit_once('.').map_or(number, |(line, _)| line)
}

fn versions() -> PossibleValuesParser {
    PossibleValuesParser::new(Version::ALL.map(line_of))
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run {
            seeds,
            from,
            profile,
            failures,
        } => run(from..from.saturating_add(seeds), &profile, failures),
        Command::Replay {
            seed,
            profile,
            trace,
            whole,
            html,
            #[cfg(feature = "mutants")]
            plant,
        } => {
            #[cfg(feature = "mutants")]
            Bug::all()
                .filter(|bug| plant.as_deref() == Some(bug.name()))
                .for_each(Bug::plant);
            let shown = Shown { trace, whole, html };
            replay(seed, &profile, &shown)
        }
        Command::Serve {
            listen,
            release,
            servers,
            faults,
            seed,
        } => {
            let mut known = Version::ALL.into_iter();
            let version = known.find(|version| line_of(*version) == release);
            let config = ServeConfig::new(version.unwrap_or(Version::V2_15))
                .listen(listen)
                .servers(usize::from(servers))
                .faults(faults.0)
                .seed(seed);
            serve(config)
        }
        #[cfg(feature = "mutants")]
        Command::Mutants {
            seeds,
            hunts,
            only,
            profile,
        } => mutants(seeds, hunts, only.as_deref(), &profile),
    }
}

fn run(seeds: std::ops::Range<u64>, profile: &str, failures: usize) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let (start, total) = (Instant::now(), seeds.end - seeds.start);
    let mut told = start;
    let summary = run_seeds(seeds, mix_of(profile), |so_far| {
        if told.elapsed() >= Duration::from_secs(2) {
            told = Instant::now();
            eprintln!(
                "{} of {total} seeds, {:.0}/s",
                so_far.seeds,
                rate(so_far.seeds, start.elapsed())
            );
        }
        so_far.failures.len() < failures
    });
    report(&summary, profile, start.elapsed());
    if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn report(summary: &Summary, profile: &str, time: Duration) {
    println!("{:52} {:>10} {:>8}", "", "times", "% seeds");
    for (point, hits) in summary.coverage.iter() {
        let percent = 100.0 * hits.seeds as f64 / summary.seeds.max(1) as f64;
        println!("{point:52} {:>10} {percent:>8.2}", hits.times);
    }
    println!();
    if summary.is_long() {
        for fault in summary.never_fired() {
            println!("never fired: {fault}");
        }
        for point in summary.never_seen() {
            println!("never seen: {point}");
        }
    }
    for (seed, violation) in &summary.failures {
        println!("seed {seed}: {violation}");
        println!("    kv-sim replay {seed} --profile {profile}");
    }
    println!(
        "{} seeds ({} counting) in {:.1} s: {:.0} seeds/s, {:.0} operations/s, {:.0} events/s; {} s of virtual time; hash {:016x}",
        summary.seeds,
        summary.counting,
        time.as_secs_f64(),
        rate(summary.seeds, time),
        rate(summary.ended, time),
        rate(summary.events, time),
        summary.virtual_seconds,
        summary.hash,
    );
    println!(
        "{}",
        if summary.is_good() {
            "no promise is broken"
        } else {
            "FAILED"
        }
    );
}

/// Serves until the process ends; the system closes its sockets then.
fn serve(config: ServeConfig) -> ExitCode {
    let server = match kv_sim::serve(config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("kv-sim: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("serving at {}", server.url());
    for fault in server.faults() {
        println!("fault {fault}");
    }
    server.join();
    ExitCode::FAILURE
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(0.001)
}

/// What is shown of a run.
struct Shown {
    trace: bool,
    whole: bool,
    html: Option<PathBuf>,
}

fn replay(seed: u64, profile: &str, shown: &Shown) -> ExitCode {
    let scenario = Scenario::draw(seed, mix_of(profile));
    let first = kv_sim::runner::run_caught(&scenario);
    if first.violations.is_empty() {
        if shown.trace {
            run_traced(&scenario)
                .trace
                .iter()
                .for_each(|line| println!("{line}"));
        }
        println!(
            "seed {seed}: no promise is broken; hash {:016x}",
            first.hash
        );
        return match draw(&scenario, profile, &scenario, shown) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let small = if shown.whole {
        scenario.clone()
    } else {
        shrink(&scenario)
    };
    println!("{}", small.to_rust());
    // A run that panics ends what follows.
    let _ = draw(&small, profile, &scenario, shown);
    run_traced(&small)
        .trace
        .iter()
        .for_each(|line| println!("{line}"));
    println!("seed {seed}: {:?}", first.violations);
    ExitCode::FAILURE
}

/// Draws the run of a scenario, and says what it was before it was shrunk, if a drawing is wanted.
fn draw(
    scenario: &Scenario,
    profile: &str,
    whole: &Scenario,
    shown: &Shown,
) -> std::io::Result<()> {
    let Some(file) = &shown.html else {
        return Ok(());
    };
    let (_, mut recording) = run_recorded(scenario);
    recording.facts.push(("profile".into(), profile.into()));
    if scenario != whole {
        let steps = format!("{} steps", whole.steps.len());
        recording.facts.push(("shrunk from".into(), steps));
    }
    let page = picture::draw(&recording);
    let written = std::fs::write(file, page);
    match &written {
        Ok(()) => println!("drawn: {}", file.display()),
        Err(error) => eprintln!("{}: {error}", file.display()),
    }
    written
}

#[cfg(feature = "mutants")]
fn mutants(seeds: u64, hunts: u64, only: Option<&str>, profile: &str) -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    println!("bug   median  seeds of each hunt, how it showed: what it is");
    let (mut all, mut survivors) = (0, 0);
    for bug in Bug::all().filter(|bug| only.is_none_or(|only| only == bug.name())) {
        let row = Row::new(bug, hunts, seeds, mix_of(profile));
        println!("{row}");
        all += 1;
        survivors += u32::from(row.has_survived());
    }
    println!(
        "{survivors} of {all} bugs survived, in {:.0} s",
        start.elapsed().as_secs_f64()
    );
    if all > 0 && survivors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
