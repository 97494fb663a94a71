//! `kv-sim serve`: what it says, what it refuses, that it sleeps when nothing happens, and that it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A process that serves; killed when dropped.
struct Serving {
    child: Child,
    address: String,
    /// What it said after its address.
    rest: BufReader<std::process::ChildStdout>,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kv-sim"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("serving at nats://").unwrap();
        Self {
            address: address.to_owned(),
            child,
            rest,
        }
    }

    fn connect(&self) -> (TcpStream, String) {
        let stream = TcpStream::connect(&self.address).unwrap();
        let mut info = String::new();
        BufReader::new(&stream).read_line(&mut info).unwrap();
        (stream, info)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn output(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kv-sim"))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, errors)
}

/// SIGTERM, as a shell has its background processes ignore the signal of the keyboard, and their children too.
#[test]
fn a_signal_ends_it() {
    let mut serving = Serving::start(&["--version", "2.10", "--faults", "lost-ack=3,restart=1m"]);
    let (mut stream, info) = serving.connect();
    assert!(info.contains("\"version\":\"2.10.26\""), "{info}");
    for wanted in ["fault lost-ack=3", "fault restart=60000ms"] {
        let mut said = String::new();
        serving.rest.read_line(&mut said).unwrap();
        assert_eq!(said.trim_end(), wanted);
    }
    let signal = Command::new("kill")
        .arg(serving.child.id().to_string())
        .status();
    assert!(signal.unwrap().success());
    assert!(!serving.child.wait().unwrap().success());
    stream.read_to_end(&mut Vec::new()).ok(); // ends, one way or the other
    let mut said = String::new();
    serving.rest.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn faults_that_are_none_are_refused_and_all_are_listed() {
    let (refused, errors) = output(&["serve", "--faults", "lost-ack=3,lost-sleep"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        errors.contains("there is no fault \"lost-sleep\""),
        "{errors}"
    );
    let (help, _) = output(&["serve", "--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    for line in kv_sim::serve::Fault::menu().lines() {
        assert!(help.contains(line), "{line}");
    }
}

#[test]
fn an_address_that_is_taken_is_told() {
    let serving = Serving::start(&[]);
    let (failed, errors) = output(&["serve", "--listen", &serving.address]);
    assert_eq!(failed.status.code(), Some(1));
    let wanted = format!("kv-sim: cannot listen at {}: ", serving.address);
    assert!(errors.starts_with(&wanted), "{errors}");
}

/// Clients that say nothing, and faults that come now and then, cost next to nothing: no loop, no polling.
#[cfg(target_os = "linux")]
#[test]
fn it_sleeps_when_nothing_happens() {
    let serving = Serving::start(&["--faults", "recreate=100ms"]);
    let _clients: Vec<_> = (0..10).map(|_| serving.connect()).collect();
    let pid = serving.child.id();
    let used = || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let nanos = tasks.map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(nanos.sum())
    };
    let before = used();
    std::thread::park_timeout(Duration::from_secs(1));
    let cost = used() - before;
    assert!(cost < Duration::from_millis(20), "{cost:?} in a second");
}
