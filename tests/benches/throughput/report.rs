//! From the samples of all rounds to the table, the ratios, the bars and the JSON lines.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::contenders::Contender;
use crate::plot::Bar;
use crate::workloads::{Tally, WORKLOADS, Workload};

/// One round of one workload of one contender.
#[derive(Clone)]
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
            nanos.map_or(f64::NAN, |nanos| micros(Duration::from_nanos(nanos)))
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

/// A workload of a contender.
pub(crate) struct Row {
    workload: Workload,
    client: &'static str,
    runtime: &'static str,
    samples: Vec<Sample>,
}

impl Row {
    /// The row of these two, which is made if there is none.
    pub(crate) fn of<'a>(
        rows: &'a mut Vec<Self>,
        workload: Workload,
        contender: &dyn Contender,
    ) -> &'a mut Self {
        let (client, runtime) = (contender.client(), contender.runtime());
        let is_it = |row: &Self| row.is(workload, client, runtime);
        let place = rows.iter().position(is_it).unwrap_or_else(|| {
            rows.push(Self {
                workload,
                client,
                runtime,
                samples: Vec::new(),
            });
            rows.len() - 1
        });
        &mut rows[place]
    }

    pub(crate) fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    fn is(&self, workload: Workload, client: &str, runtime: &str) -> bool {
        self.workload == workload && self.client == client && self.runtime == runtime
    }

    fn sorted(&self, field: fn(&Sample) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.samples.iter().map(field).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    fn median(&self, field: fn(&Sample) -> f64) -> f64 {
        let values = self.sorted(field);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn client_cpu(&self) -> f64 {
        self.median(|sample| sample.client)
    }

    fn rate(&self) -> f64 {
        self.median(|sample| sample.ops_per_second)
    }
}

/// What was allocated.
#[derive(Clone, Copy)]
pub(crate) struct Allocated {
    /// Per operation, and their bytes.
    count: f64,
    bytes: f64,
    /// The most bytes that were held at a time, above what was held at the beginning.
    peak: f64,
}

/// By workload and client.
pub(crate) type Allocations = BTreeMap<(String, String), Allocated>;

/// Reads the output of `throughput-allocations`.
pub(crate) fn allocations(output: &str) -> Allocations {
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |name| Some(line[name].as_str()?.to_owned());
        let counted = Allocated {
            count: line["allocations"].as_f64()?,
            bytes: line["bytes"].as_f64()?,
            peak: line["peak"].as_f64()?,
        };
        Some(((text("workload")?, text("client")?), counted))
    };
    output.lines().filter_map(read).collect()
}

/// A ratio that is aimed at: a workload, who is compared with whom, and the most or least it shall be.
struct Aim {
    what: &'static str,
    ours: (&'static str, &'static str),
    theirs: (&'static str, &'static str),
    of: fn(&Row) -> f64,
    bar: fn(&str) -> Option<f64>,
    at_most: bool,
}

const CURRENT: &str = "current_thread";
const MULTI: &str = "multi_thread";

const AIMS: [Aim; 5] = [
    Aim {
        what: "client CPU, kv-tokio : async-nats, one thread",
        ours: ("kv-tokio", CURRENT),
        theirs: ("async-nats", CURRENT),
        of: Row::client_cpu,
        bar: most_of_the_rival,
        at_most: true,
    },
    Aim {
        what: "client CPU, kv-tokio : async-nats, two threads",
        ours: ("kv-tokio", MULTI),
        theirs: ("async-nats", MULTI),
        of: Row::client_cpu,
        bar: |_| None,
        at_most: true,
    },
    Aim {
        what: "client CPU, kv-smol : async-nats, one thread",
        ours: ("kv-smol", "smol"),
        theirs: ("async-nats", CURRENT),
        of: Row::client_cpu,
        bar: |_| None,
        at_most: true,
    },
    Aim {
        what: "operations a second, kv-tokio : async-nats, one thread",
        ours: ("kv-tokio", CURRENT),
        theirs: ("async-nats", CURRENT),
        of: Row::rate,
        bar: |workload| workload.ends_with("/256").then_some(1.8),
        at_most: false,
    },
    Aim {
        what: "client CPU, bare session : floor",
        ours: ("kv-proto", "blocking"),
        theirs: ("floor", "blocking"),
        of: Row::client_cpu,
        bar: most_of_the_floor,
        at_most: true,
    },
];

fn most_of_the_rival(workload: &str) -> Option<f64> {
    Some(match workload {
        "put" | "delete" | "purge" => 0.62,
        "put/256" => 0.25,
        "get" => 0.55,
        "get/256" | "keys" => 0.20,
        "watch-initial" => 0.30,
        "watch-live" => 0.35,
        "update" => 0.60,
        "history" => 0.15,
        "put-1MB" | "get-1MB" => 1.0,
        "hello" => 0.6,
        _ => return None,
    })
}

fn most_of_the_floor(workload: &str) -> Option<f64> {
    Some(match workload {
        "put/256" => 5.0,
        "get/256" => 4.0,
        "watch-initial" => 7.0,
        _ => return None,
    })
}

/// All that was measured.
pub(crate) struct Results<'a> {
    rows: Vec<Row>,
    allocations: &'a Allocations,
}

impl<'a> Results<'a> {
    pub(crate) fn new(mut rows: Vec<Row>, allocations: &'a Allocations) -> Self {
        let place = |row: &Row| {
            WORKLOADS
                .iter()
                .position(|workload| *workload == row.workload)
        };
        rows.sort_by_key(place);
        Self { rows, allocations }
    }

    fn allocations_of(&self, row: &Row) -> Option<Allocated> {
        let counted = row.runtime == CURRENT || row.runtime == "blocking";
        let name = (row.workload.label(), row.client.to_owned());
        self.allocations.get(&name).copied().filter(|_| counted)
    }

    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<14}{:<12}{:<16}{:>9}{:>9}{:>18}{:>9}{:>9}{:>9}{:>8}{:>10}{:>9}\n",
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
            "bytes",
            "peak KB"
        );
        for row in &self.rows {
            let spread = row.sorted(|sample| sample.client);
            let spread = match spread.as_slice() {
                [] => String::new(),
                [only] => format!("({only:.2})"),
                [least, .., most] => format!("({least:.2}..{most:.2})"),
            };
            let allocated = self.allocations_of(row);
            let allocated = allocated.map_or(["-"; 3].map(str::to_owned), |allocated| {
                [
                    format!("{:.1}", allocated.count),
                    format!("{:.0}", allocated.bytes),
                    format!("{:.0}", allocated.peak / 1024.0),
                ]
            });
            let [allocations, bytes, peak] = allocated;
            let _ = writeln!(
                text,
                "{:<14}{:<12}{:<16}{:>9.0}{:>9.2}{spread:>18}{:>9.2}{:>9}{:>9}{allocations:>8}{bytes:>10}{peak:>9}",
                row.workload.label(),
                row.client,
                row.runtime,
                row.rate(),
                row.client_cpu(),
                row.median(|sample| sample.server),
                shown(row.median(|sample| sample.p50)),
                shown(row.median(|sample| sample.p99)),
            );
        }
        text + "Medians; times in microseconds, CPU times per operation; allocations and their bytes per operation, and the most bytes held, on one thread.\n"
    }

    fn find(&self, workload: Workload, (client, runtime): (&str, &str)) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.is(workload, client, runtime))
    }

    fn ratio(&self, workload: Workload, aim: &Aim) -> Option<f64> {
        let ours = self.find(workload, aim.ours)?;
        Some((aim.of)(ours) / (aim.of)(self.find(workload, aim.theirs)?))
    }

    /// Ours as a multiple of others, beside what is aimed at.
    pub(crate) fn ratios(&self) -> String {
        let mut text = String::new();
        for aim in &AIMS {
            let _ = writeln!(text, "{}", aim.what);
            for workload in WORKLOADS {
                let Some(ratio) = self.ratio(workload, aim) else {
                    continue;
                };
                let label = workload.label();
                let verdict = (aim.bar)(&label).map_or(String::new(), |bar| {
                    let (sign, met) = match aim.at_most {
                        true => ("<=", ratio <= bar),
                        false => (">=", ratio >= bar),
                    };
                    format!("  {sign} {bar:.2} {}", if met { "met" } else { "not met" })
                });
                let _ = writeln!(text, "    {label:<14}{ratio:>7.2}{verdict}");
            }
        }
        text
    }

    /// What the plot shows.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let aim = &AIMS[0];
        let bar = |workload: Workload| {
            let ratio = self.ratio(workload, aim)?;
            Some(Bar {
                label: workload.label(),
                ratio,
            })
        };
        WORKLOADS.into_iter().filter_map(bar).collect()
    }

    /// One JSON object a line, for programs.
    pub(crate) fn json_lines(&self) -> String {
        let line = |row: &Row| {
            let client = row.sorted(|sample| sample.client);
            let counted = self.allocations_of(row);
            json!({
                "workload": row.workload.label(),
                "client": row.client,
                "runtime": row.runtime,
                "rounds": row.samples.len(),
                "ops_per_second": row.rate().round(),
                "client_us": rounded(row.client_cpu()),
                "client_us_min": client.first().copied().map(rounded),
                "client_us_max": client.last().copied().map(rounded),
                "server_us": rounded(row.median(|sample| sample.server)),
                "p50_us": rounded(row.median(|sample| sample.p50)),
                "p99_us": rounded(row.median(|sample| sample.p99)),
                "allocations": counted.map(|counted| rounded(counted.count)),
                "allocated_bytes": counted.map(|counted| counted.bytes.round()),
                "peak_bytes": counted.map(|counted| counted.peak),
            })
        };
        self.rows
            .iter()
            .map(|row| format!("{}\n", line(row)))
            .collect()
    }
}

/// To three places, of which more would be noise.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// A time, where one was taken.
fn shown(micros: f64) -> String {
    if micros.is_nan() {
        "-".to_owned()
    } else {
        format!("{micros:.1}")
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(ops: usize) -> f64 {
    ops as f64
}
