//! The smallest use of a client that makes sense, as a process of its own: what it costs to begin and to end.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::contenders;
use crate::cpu;
use crate::workloads::{Limit, Tally};

/// Asks this program to be such a process; the contender and the URL follow.
pub(crate) const ARGUMENT: &str = "--hello";

/// Runs such processes, one after the other.
pub(crate) fn repeat(contender: &str, url: &str, limit: Limit) -> Tally {
    let program = std::env::current_exe().expect("this program");
    let mut tally = Tally::for_one_of(1);
    let mut cpu = Duration::ZERO;
    while !limit.is_reached(tally.ops) {
        let start = Instant::now();
        let arguments = [ARGUMENT, contender, url];
        let output = Command::new(&program).args(arguments).output();
        tally.took(start.elapsed());
        let output = output.expect("this program runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{contender}: {errors}");
        let nanos = String::from_utf8_lossy(&output.stdout);
        cpu += Duration::from_nanos(nanos.trim().parse().expect("a number"));
        tally.ops += 1;
    }
    tally.elsewhere = Some(cpu);
    tally
}

/// Is such a process, and prints what CPU time it took, in nanoseconds. All but its end, which is the system's.
#[allow(clippy::print_stdout, reason = "the process that asked reads it")]
pub(crate) fn say(contender: &str, url: &str) {
    contenders::say_hello(contender, url);
    println!("{}", cpu::of_this_process().as_nanos());
}
