//! Bugs of a published client that the simulated servers show: async-nats and kv-tokio take the same steps.
//!
//! ```sh
//! cargo run -q -p kv-tests --example rivals -- lost-ack    # one of them
//! cargo run -q -p kv-tests --example rivals                # all
//! ```
//!
//! Nobody planted them. Each runs on a server of its own in this process, and says what each client told its
//! user, which of them is right, and why.

#![allow(clippy::print_stdout, reason = "it talks to a person")]
#![allow(clippy::unwrap_used, reason = "what is set up here must work")]

mod bugs;

use std::process::ExitCode;

use bugs::{Bug, Conduct};

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| Bug::ALL.iter().any(|bug| bug.name() == name);
    if !wanted.iter().all(known) {
        println!("usage: rivals [BUG...], where a bug is one of");
        for bug in Bug::ALL {
            println!("  {:<14} {}", bug.name(), bug.story());
        }
        return ExitCode::FAILURE;
    }
    // What panics is the client, and is told.
    std::panic::set_hook(Box::new(|panic| println!("  ... {panic}")));
    let mut ours_is_right = true;
    for bug in Bug::ALL {
        if wanted.is_empty() || wanted.iter().any(|name| name == bug.name()) {
            println!("{}: {}", bug.name(), bug.story());
            println!("  right is: {}", bug.right());
            let report = bug.run();
            tell("async-nats", &report.async_nats);
            tell("kv-tokio", &report.kv_tokio);
            ours_is_right &= report.kv_tokio.is_right;
        }
    }
    if ours_is_right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn tell(client: &str, conduct: &Conduct) {
    let verdict = if conduct.is_right { "right" } else { "wrong" };
    println!("  {client} is {verdict}:");
    for line in &conduct.told {
        println!("    {line}");
    }
}
