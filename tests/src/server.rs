//! A running nats-server.
//!
//! ```text
//! start ──► running ──stop, kill──► down ──restart──► running   (same port, same store)
//!             │  ▲ pause, resume: stopped by signal, sockets open
//!             └──┘ reload, lame_duck: told by signal, waited for in the log
//! ```
//!
//! Each server has its own temporary directory with its configuration, log and store, and its own port.
//! It is up when it has sent an INFO that carries the name this process gave it, so that no other server
//! on the machine can be mistaken for it; one that greets nobody in clear, when its own log says so.

mod plan;
mod process;

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use process::Process;

use crate::stream::Stream;
use crate::{PATIENCE, Port, Version, provision, unique};

pub use plan::ServerBuilder;
pub(crate) use plan::{Login, OWNER};

/// What a server writes when it takes connections.
const READY: &str = "Server is ready";

/// How much of a log a panic quotes.
const LOG_TAIL_LINES: usize = 15;

/// A real nats-server of its own; killed, and its directory removed, when dropped.
#[derive(Debug)]
pub struct Server {
    /// First, so that the process is gone before its directory and its port are given back.
    running: Mutex<Option<Running>>,
    plan: ServerBuilder,
    name: String,
    port: Port,
    directory: TempDir,
    program: PathBuf,
}

#[derive(Debug)]
struct Running {
    process: Process,
    /// What it greeted with; null before.
    info: Value,
}

impl Server {
    /// Starts a server of the default version with JetStream, open to all.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// What [`Server::start`] starts, to be changed first.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    /// The name by which other servers know it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL for clients, without credentials.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr())
    }

    /// The address it listens on, also while it is down.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }

    /// The port it listens on, also while it is down.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The id of the server's process.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.with_running(|running| running.process.id())
    }

    /// The INFO it greeted with when it last started.
    #[track_caller]
    pub fn info(&self) -> Value {
        self.with_running(|running| running.info.clone())
    }

    /// The version the server says it is (`NATS_SERVER` may name another than the one asked for).
    #[track_caller]
    pub fn version(&self) -> Version {
        let info = self.info();
        let said = info["version"].as_str().unwrap_or("nothing");
        let release = said.split('-').next().and_then(Version::parse); // 2.16.0-dev is 2.16.0
        release.unwrap_or_else(|| panic!("nats-server calls its version {said}"))
    }

    /// All it wrote so far, over all its restarts.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Ends it in good order (SIGTERM) and waits for the end.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::TERM);
        self.await_exit("SIGTERM");
    }

    /// Ends it as a crash would (SIGKILL) and waits for the end.
    #[track_caller]
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.await_exit("SIGKILL");
    }

    /// Waits until it has ended by itself, as it does at the end of a lame-duck phase.
    #[track_caller]
    pub fn await_end(&self) {
        self.await_exit("waiting for it");
    }

    /// Starts it again, after stopping it if it runs, on the same port and store.
    #[track_caller]
    pub fn restart(&self) {
        if self.running().is_some() {
            self.stop();
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.launch() {
            let port = self.port();
            assert!(Instant::now() < deadline, "a stranger holds port {port}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Freezes it (SIGSTOP): its sockets stay open and nothing answers. Returns when it stands still.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let stopped = self.with_running(|running| running.process.await_stopped());
        assert!(stopped, "nats-server did not stop{}", self.log_tail());
    }

    /// Lets a paused server go on (SIGCONT).
    #[track_caller]
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends it into lame-duck mode (SIGUSR2): after one second it closes its clients one by one, a second
    /// apart, and ends. Returns when it has begun.
    #[track_caller]
    pub fn lame_duck(&self) {
        let before = self.log().len();
        self.signal(Signal::USR2);
        self.await_log(before, "lame duck mode", None);
    }

    /// Replaces what [`ServerBuilder::config_extra`] gave and makes it read its configuration (SIGHUP).
    /// Returns when it has. A [`Server::restart`] goes back to the builder's lines.
    ///
    /// # Panics
    ///
    /// When the server refuses the configuration.
    #[track_caller]
    pub fn reload(&self, config_extra: &str) {
        self.write_config(config_extra);
        let before = self.log().len();
        self.signal(Signal::HUP);
        let refusal = Some("Failed to reload server configuration");
        self.await_log(before, "Reloaded server configuration", refusal);
    }

    pub(crate) fn login(&self) -> &Login {
        &self.plan.login
    }

    /// A server that has all it needs and does not run.
    #[track_caller]
    fn down(plan: ServerBuilder) -> Self {
        let directory = tempfile::Builder::new().prefix("kv-tests-").tempdir();
        Self {
            program: provision::binary(plan.version),
            name: unique("kv-tests"),
            port: Port::reserve(),
            directory: directory.unwrap_or_else(|e| panic!("cannot make a directory: {e}")),
            running: Mutex::new(None),
            plan,
        }
    }

    /// Starts the process and waits for its INFO; false if the port was taken.
    #[track_caller]
    fn launch(&self) -> bool {
        self.write_config(&self.plan.extra);
        let before = self.log().len();
        let (output, errors) = self.open_log();
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.directory.path().join("config"))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {}: {e}", self.program.display()));
        *self.running() = Some(Running {
            process: Process::new(child, self.directory.path()),
            info: Value::Null,
        });
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let says_ready = || self.log().get(before..)?.contains(READY).then_some(());
            let greeting = match self.plan.greets {
                true => self.greeting(),
                false => says_ready().map(|()| Value::Null),
            };
            if let Some(info) = greeting {
                self.with_running(|running| running.info = info);
                return true;
            }
            if self.try_reap() {
                let taken = self.log().get(before..).is_some_and(port_taken);
                assert!(taken, "nats-server ended at once{}", self.log_tail());
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("nats-server not up in {PATIENCE:?}{}", self.log_tail());
    }

    /// The INFO of the listener on our port, if it is our server.
    fn greeting(&self) -> Option<Value> {
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut stream = Stream::connect(self.addr(), Duration::from_secs(1)).ok()?;
        let line = stream.line(deadline).ok()?;
        let info: Value = serde_json::from_str(line.strip_prefix("INFO ")?).ok()?;
        (info["server_name"] == self.name.as_str()).then_some(info)
    }

    fn write_config(&self, extra: &str) {
        let store = self.directory.path().join("store");
        let text = self
            .plan
            .config(&self.name, self.port(), &store.to_string_lossy(), extra);
        let path = self.directory.path().join("config");
        fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    }

    fn open_log(&self) -> (File, File) {
        let path = self.directory.path().join("log");
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        opened
            .and_then(|file| Ok((file.try_clone()?, file)))
            .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn with_running<T>(&self, f: impl FnOnce(&mut Running) -> T) -> T {
        let mut running = self.running();
        let Some(running) = running.as_mut() else {
            panic!("nats-server {} is down", self.name);
        };
        f(running)
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        let sent = self.with_running(|running| running.process.signal(signal));
        if let Err(error) = sent {
            panic!("cannot signal nats-server with {signal:?}: {error}");
        }
    }

    #[track_caller]
    fn await_exit(&self, cause: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.try_reap() {
            let late = Instant::now() >= deadline;
            assert!(!late, "nats-server outlived {cause}{}", self.log_tail());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Forgets the process if it has ended; true if there is none.
    fn try_reap(&self) -> bool {
        let mut running = self.running();
        if running
            .as_ref()
            .is_some_and(|running| !running.process.has_ended())
        {
            return false;
        }
        *running = None;
        true
    }

    #[track_caller]
    fn await_log(&self, before: usize, wanted: &str, refusal: Option<&str>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let news = log.get(before..).unwrap_or_default();
            if news.contains(wanted) {
                return;
            }
            let refused = refusal.is_some_and(|refusal| news.contains(refusal));
            let hopeless = refused || Instant::now() >= deadline;
            assert!(!hopeless, "no {wanted:?}{}", self.log_tail());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.len().saturating_sub(LOG_TAIL_LINES);
        format!("; its log ends:\n{}", lines[tail..].join("\n"))
    }
}

fn port_taken(log: &str) -> bool {
    log.contains("address already in use")
}
