//! Runs a command beside a real nats-server with JetStream, whose address it
//! finds in `NATS_URL`, and ends both.
//!
//! ```sh
//! cargo run -p kv-tests --bin with-nats-server -- cargo run -p kv-tokio --example quickstart
//! ```

use std::process::{Command, ExitCode};

use kv_tests::Server;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        panic!("usage: with-nats-server COMMAND [ARGUMENT...]");
    };
    let server = Server::start();
    let ended = Command::new(&program)
        .args(words)
        .env("NATS_URL", server.url())
        .status();
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => panic!("cannot run {}: {error}", program.display()),
    }
}
