//! From the samples of all rounds to the table, the ratios and the JSON lines.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clients::{Contender, Tally, WORKLOADS};

/// One round of one workload of one contender.
pub(crate) struct Sample {
    ops_per_second: f64,
    /// Microseconds per operation, as all that follow.
    client: f64,
    server: f64,
    p50: f64,
    p99: f64,
}

impl Sample {
    pub(crate) fn new(
        mut tally: Tally,
        wall: Duration,
        client: Duration,
        server: Duration,
    ) -> Self {
        tally.latencies.sort_unstable();
        let ops = count(tally.ops);
        let quantile = |percent: usize| {
            let last = tally.latencies.len().saturating_sub(1);
            let nanos = tally.latencies.get(last * percent / 100).copied();
            micros(Duration::from_nanos(nanos.unwrap_or_default()))
        };
        Self {
            ops_per_second: ops / wall.as_secs_f64(),
            client: micros(client) / ops,
            server: micros(server) / ops,
            p50: quantile(50),
            p99: quantile(99),
        }
    }
}

/// The medians of a workload of a contender.
pub(crate) struct Row {
    workload: String,
    client: &'static str,
    runtime: &'static str,
    median: Sample,
    /// The lowest and the highest CPU time of the client among the rounds.
    spread: (f64, f64),
    rounds: usize,
    /// Per operation: how many, and how many bytes.
    allocations: Option<(f64, f64)>,
}

/// Allocations and their bytes per operation, by workload and client.
pub(crate) type Allocations = BTreeMap<(String, String), (f64, f64)>;

/// Reads the output of `throughput-allocations`.
pub(crate) fn allocations(output: &str) -> Allocations {
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |name| Some(line[name].as_str()?.to_owned());
        let names = (text("workload")?, text("client")?);
        Some((
            names,
            (line["allocations"].as_f64()?, line["bytes"].as_f64()?),
        ))
    };
    output.lines().filter_map(read).collect()
}

impl Row {
    pub(crate) fn new(
        workload: String,
        contender: &dyn Contender,
        samples: &[Sample],
        allocations: &Allocations,
    ) -> Self {
        let all = |field: fn(&Sample) -> f64| {
            let mut values: Vec<f64> = samples.iter().map(field).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let median = |field| {
            let values = all(field);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let client = all(|sample| sample.client);
        let at = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        let names = (workload.clone(), contender.client().to_owned());
        Self {
            client: contender.client(),
            runtime: contender.flavor().name(),
            median: Sample {
                ops_per_second: median(|sample| sample.ops_per_second),
                client: median(|sample| sample.client),
                server: median(|sample| sample.server),
                p50: median(|sample| sample.p50),
                p99: median(|sample| sample.p99),
            },
            spread: (at(client.first()), at(client.last())),
            rounds: samples.len(),
            allocations: allocations.get(&names).copied(),
            workload,
        }
    }

    fn json(&self) -> Value {
        let median = &self.median;
        json!({
            "workload": self.workload,
            "client": self.client,
            "runtime": self.runtime,
            "rounds": self.rounds,
            "ops_per_second": median.ops_per_second,
            "client_us": median.client,
            "client_us_min": self.spread.0,
            "client_us_max": self.spread.1,
            "server_us": median.server,
            "p50_us": median.p50,
            "p99_us": median.p99,
            "allocations": self.allocations.map(|(count, _)| count),
            "allocated_bytes": self.allocations.map(|(_, bytes)| bytes),
        })
    }
}

/// The table for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<8}{:<12}{:<16}{:>9}{:>8}{:>16}{:>8}{:>9}{:>9}{:>9}{:>9}\n",
        "",
        "client",
        "runtime",
        "ops/s",
        "client",
        "(min..max)",
        "server",
        "p50",
        "p99",
        "allocs",
        "bytes"
    );
    for row in rows {
        let Row { median, spread, .. } = row;
        let spread = format!("({:.2}..{:.2})", spread.0, spread.1);
        let (allocations, bytes) = match row.allocations {
            Some((count, bytes)) => (format!("{count:.1}"), format!("{bytes:.0}")),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let _ = writeln!(
            text,
            "{:<8}{:<12}{:<16}{:>9.0}{:>8.2}{spread:>16}{:>8.2}{:>9.1}{:>9.1}{allocations:>9}{bytes:>9}",
            row.workload,
            row.client,
            row.runtime,
            median.ops_per_second,
            median.client,
            median.server,
            median.p50,
            median.p99,
        );
    }
    text + "Medians; times in microseconds, CPU times per operation; allocations per operation on one thread.\n"
}

/// What `performance.md` asks of a workload: the most client CPU as a multiple of async-nats's, and the
/// least rate as a multiple of its rate, where it names them.
fn bar(workload: &str) -> (Option<f64>, Option<f64>) {
    match workload {
        "W1/1" => (Some(0.62), None),
        "W2/256" => (Some(0.25), Some(1.8)),
        "W3/1" => (Some(0.55), None),
        "W4/256" => (Some(0.20), Some(1.8)),
        _ => (None, None),
    }
}

/// Ours as a multiple of async-nats, beside the bar.
pub(crate) fn ratios(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<8}{:<16}{:>12}{:>8}{:>12}{:>8}{:>12}\n",
        "", "runtime", "client CPU", "bar", "ops/s", "bar", "server CPU"
    );
    let show = |bar: Option<f64>, sign| bar.map_or("-".to_owned(), |bar| format!("{sign}{bar:.2}"));
    for workload in WORKLOADS.map(|workload| workload.label()) {
        let of = |client, runtime| {
            rows.iter().find(|row| {
                row.workload == workload && row.client == client && row.runtime == runtime
            })
        };
        for runtime in ["current_thread", "multi_thread"] {
            let (Some(ours), Some(rival)) = (of("kv-tokio", runtime), of("async-nats", runtime))
            else {
                continue;
            };
            let (most_cpu, least_rate) = bar(&workload);
            let _ = writeln!(
                text,
                "{workload:<8}{runtime:<16}{:>12.2}{:>8}{:>12.2}{:>8}{:>12.2}",
                ours.median.client / rival.median.client,
                show(most_cpu, "<="),
                ours.median.ops_per_second / rival.median.ops_per_second,
                show(least_rate, ">="),
                ours.median.server / rival.median.server,
            );
        }
    }
    text + "Ours as a multiple of async-nats.\n"
}

/// One JSON object a line, for programs.
pub(crate) fn json_lines(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{}\n", row.json())).collect()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(ops: usize) -> f64 {
    ops as f64
}
