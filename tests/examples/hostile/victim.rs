//! A client in a process of its own, which says what the server did to it.

use std::fs;
use std::io::Read;
use std::panic;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use futures_util::future::{Either, select};
use kv_proto::ConnectionEvent;
use kv_proto::driver::Client;
use kv_tests::Fake;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::rows::Row;

/// How the process is told what to do.
const GIVEN: &str = "KV_HOSTILE";

/// What its last line begins with, and other lines do not.
const REPORT: &str = "report: ";

/// When a client counts as hanging.
const HANGS: Duration = Duration::from_secs(80);

/// Who is exposed to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    KvTokio,
    KvSmol,
    AsyncNats,
}

impl Victim {
    pub(crate) const ALL: [Self; 3] = [Self::KvTokio, Self::KvSmol, Self::AsyncNats];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::KvTokio => "kv-tokio",
            Self::KvSmol => "kv-smol",
            Self::AsyncNats => "async-nats",
        }
    }
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Panics in any of its threads and tasks.
    pub(crate) panics: usize,
    /// The most memory it held beyond what it held when it was idle.
    pub(crate) peak_kib: u64,
    pub(crate) cpu: Duration,
    /// When its user could know that something is wrong; `None` if it hangs.
    pub(crate) told_after: Option<Duration>,
    /// What its user is told, and what it says of its connection then.
    pub(crate) end: String,
}

/// Exposes a client, which `process` starts, to a server.
pub(crate) fn expose(victim: Victim, row: Row, mut process: Command) -> Report {
    let healthy = Fake::start(|conn| {
        conn.handshake();
        conn.read_to_end(HANGS);
    });
    let hostile = Fake::start(move |conn| row.play(conn));
    let given =
        json!({ "victim": victim.name(), "healthy": healthy.url(), "hostile": hostile.url() });
    process
        .env(GIVEN, given.to_string())
        .env("RUST_BACKTRACE", "0");
    process.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = process.spawn().expect("a process");
    let mut output = String::new();
    let mut stdout = child.stdout.take().expect("its output");
    stdout.read_to_string(&mut output).expect("text");
    let status = child.wait().expect("its end");
    let report = output.lines().find_map(|line| line.split_once(REPORT));
    let Some((_, report)) = report else {
        panic!("{victim:?}, {row:?}: {status}, without a report:\n{output}");
    };
    let report: Value = serde_json::from_str(report).expect("a report");
    let number = |field: &str| report[field].as_u64();
    Report {
        panics: number("panics").map_or(0, |panics| usize::try_from(panics).expect("few")),
        peak_kib: number("peak_kib").expect("a number"),
        cpu: Duration::from_micros(number("cpu_us").expect("a number")),
        told_after: number("told_after_us").map(Duration::from_micros),
        end: report["end"].as_str().expect("a text").to_owned(),
    }
}

/// Whether this process is one to be exposed; then it has been.
pub(crate) fn was_exposed() -> bool {
    let Ok(given) = std::env::var(GIVEN) else {
        return false;
    };
    let given: Value = serde_json::from_str(&given).expect("what to do");
    let text = |field: &str| given[field].as_str().expect("a text");
    let victim = Victim::ALL
        .into_iter()
        .find(|victim| victim.name() == text("victim"));
    suffer(victim.expect("a client"), text("healthy"), text("hostile"));
    true
}

static PANICS: AtomicUsize = AtomicUsize::new(0);
static TOLD: Mutex<Option<Instant>> = Mutex::new(None);

/// Takes note that the user knows; the first time counts.
fn told() {
    TOLD.lock()
        .expect("no panic")
        .get_or_insert_with(Instant::now);
}

fn suffer(victim: Victim, healthy: &str, hostile: &str) {
    panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let play = |url: &str| {
        let url = url.to_owned();
        match victim {
            Victim::KvTokio => runtime.block_on(on_tokio(url)),
            Victim::KvSmol => smol::block_on(on_smol(url)),
            Victim::AsyncNats => runtime.block_on(theirs(url)),
        }
    };
    // What any connection costs is paid for before.
    drop(runtime.block_on(async {
        tokio::time::timeout(HANGS, async {
            match victim {
                Victim::KvTokio => drop(kv_tokio::connect(healthy).await),
                Victim::KvSmol => drop(kv_smol::connect(healthy).await),
                Victim::AsyncNats => drop(async_nats::connect(healthy).await),
            }
        })
        .await
    }));
    let _ = fs::write("/proc/self/clear_refs", "5"); // begins the peak anew
    let before = memory("VmRSS:");
    let (began, cpu) = (Instant::now(), cpu());
    let report = move |end: &str| {
        let told = TOLD.lock().expect("no panic").map(|told| told - began);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let report = json!({
            "panics": PANICS.load(Ordering::Relaxed),
            "peak_kib": memory("VmHWM:").saturating_sub(before),
            "cpu_us": micros(self::cpu() - cpu),
            "told_after_us": told.map(micros),
            "end": end,
        });
        println!("{REPORT}{report}");
        std::process::exit(0);
    };
    thread::spawn(move || {
        thread::sleep(HANGS);
        report("hangs");
    });
    let end = play(hostile);
    report(&end);
}

async fn on_tokio(url: String) -> String {
    let (client, driver) = kv_tokio::connect_with_driver(&url).expect("a client");
    let driver = tokio::spawn(driver);
    let end = ours(client).await;
    drop(driver);
    end
}

async fn on_smol(url: String) -> String {
    let (client, driver) = kv_smol::connect_with_driver(&url).expect("a client");
    let _driver = smol::spawn(driver);
    ours(client).await
}

/// Asks for a bucket, and listens to what becomes of the connection.
async fn ours(client: Client) -> String {
    let mut events = client.events();
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "what is no loss is no matter"
    )]
    let lost = async {
        while let Some(event) = events.next().await {
            match event {
                ConnectionEvent::Failed { reason, .. }
                | ConnectionEvent::Disconnected { reason, .. } => {
                    return format!("left it: {reason}");
                }
                ConnectionEvent::ServerError { text, .. } => {
                    return format!("the server says {text:?}");
                }
                _ => {}
            }
        }
        "closed".to_owned()
    };
    let asked = async {
        if let Err(error) = client.connected().await {
            return error.to_string();
        }
        match client.bucket("b").await {
            Ok(_) => "a bucket".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let (Either::Left((end, _)) | Either::Right((end, _))) =
        select(Box::pin(lost), Box::pin(asked)).await;
    told();
    format!("{end} [{:?}]", client.state())
}

/// The same with the other client.
async fn theirs(url: String) -> String {
    let options = ConnectOptions::new().event_callback(|event| async move {
        if !matches!(event, async_nats::Event::Connected) {
            told();
        }
    });
    let client = match options.connect(url).await {
        Ok(client) => client,
        Err(error) => {
            told();
            return error.to_string();
        }
    };
    let context = async_nats::jetstream::new(client.clone());
    let end = match context.get_key_value("b").await {
        Ok(_) => "a bucket".to_owned(),
        Err(error) => error.to_string(),
    };
    told();
    format!("{end} [{}]", client.connection_state())
}

/// The CPU time of this process so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a time after the start")
}

/// A line of the system's word on this process's memory, in KiB.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let number = found.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.expect("a number")
}
