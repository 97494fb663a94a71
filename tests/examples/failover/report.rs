//! What a client was told, held against what is stored, and the table of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::clients::Said;
use crate::load::Record;

/// A message of the stream.
pub(crate) struct Kept {
    revision: u64,
    value: String,
}

impl Kept {
    pub(crate) fn read(message: &Value) -> Self {
        let value = message["data"].as_str().unwrap_or_default();
        let value = BASE64_STANDARD.decode(value).unwrap();
        Self {
            revision: message["seq"].as_u64().unwrap(),
            value: name(&value),
        }
    }
}

/// A value without what fills it up.
fn name(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_end_matches('.')
        .to_owned()
}

/// The figures of a client.
#[derive(Default)]
pub(crate) struct Judged {
    client: &'static str,
    writes: usize,
    reads: usize,
    failed: usize,
    unknown: usize,
    failed_reads: usize,
    longest_write: Duration,
    longest_read: Duration,
    gap: Duration,
    /// Said to be stored, and is not there.
    lost: usize,
    /// Said to have failed, and is there.
    denied: usize,
    /// Said to exist already: written by the caller, by nobody else.
    own_exists: usize,
    /// Stored more often than once.
    doubled: usize,
    /// Stored, and not told by the watch.
    untold: usize,
    /// Told more often than once, or out of order.
    disordered: usize,
    watch_errors: usize,
    /// Words of errors, with how often they came.
    words: BTreeMap<String, usize>,
}

impl Judged {
    pub(crate) fn new(record: &Record, kept: &[Kept]) -> Self {
        let mut places: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for kept in kept {
            places.entry(&kept.value).or_default().push(kept.revision);
        }
        let mut judged = Self {
            client: record.client,
            writes: record.writes.len(),
            reads: record.reads.len(),
            gap: record.watched.gap,
            watch_errors: record.watched.errors.len(),
            doubled: places.values().filter(|places| places.len() > 1).count(),
            ..Self::default()
        };
        for write in &record.writes {
            let places = places
                .get(write.value.as_str())
                .map_or(&[][..], Vec::as_slice);
            judged.longest_write = judged.longest_write.max(write.took);
            match &write.said {
                Said::Stored(revision) => judged.lost += usize::from(!places.contains(revision)),
                Said::Exists => judged.own_exists += 1,
                Said::Unknown(words) => {
                    judged.unknown += 1;
                    judged.quote("write", words);
                }
                Said::Failed(words) => {
                    judged.failed += 1;
                    judged.denied += usize::from(!places.is_empty());
                    judged.quote("write", words);
                }
            }
        }
        for read in &record.reads {
            judged.longest_read = judged.longest_read.max(read.took);
            if let Err(words) = &read.result {
                judged.failed_reads += 1;
                judged.quote("read", words);
            }
        }
        for words in &record.watched.errors {
            judged.quote("watch", words);
        }
        let told: Vec<u64> = record
            .watched
            .told
            .iter()
            .map(|(revision, _)| *revision)
            .collect();
        judged.disordered = told.windows(2).filter(|pair| pair[0] >= pair[1]).count();
        let told: BTreeSet<u64> = told.into_iter().collect();
        judged.untold = kept
            .iter()
            .filter(|kept| !told.contains(&kept.revision))
            .count();
        judged
    }

    fn quote(&mut self, what: &str, words: &str) {
        *self.words.entry(format!("{what}: {words}")).or_default() += 1;
    }

    fn rows(&self) -> [(&'static str, String); 15] {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        [
            ("writes", self.writes.to_string()),
            ("  failed", self.failed.to_string()),
            ("  unknown, or no answer", self.unknown.to_string()),
            (
                "  own create reported as exists",
                self.own_exists.to_string(),
            ),
            ("  the longest", seconds(self.longest_write)),
            ("reads", self.reads.to_string()),
            ("  failed", self.failed_reads.to_string()),
            ("  the longest", seconds(self.longest_read)),
            ("wrong: said stored, is not", self.lost.to_string()),
            ("wrong: said failed, is stored", self.denied.to_string()),
            ("wrong: stored twice", self.doubled.to_string()),
            ("watch: longest gap", seconds(self.gap)),
            ("  stored, not told", self.untold.to_string()),
            ("  told twice or out of order", self.disordered.to_string()),
            ("  errors", self.watch_errors.to_string()),
        ]
    }

    /// In which words operations failed, and how many.
    pub(crate) fn words(&self) -> String {
        let mut lines = format!("{} said:", self.client);
        for (words, count) in &self.words {
            write!(lines, "\n{count:>6} {words}").unwrap();
        }
        lines
    }

    /// One line for programs.
    pub(crate) fn to_json(&self, rounds: usize) -> Value {
        json!({
            "client": self.client, "rounds": rounds, "writes": self.writes, "failed": self.failed,
            "unknown": self.unknown, "own_exists": self.own_exists, "reads": self.reads,
            "failed_reads": self.failed_reads, "longest_write": self.longest_write.as_secs_f64(),
            "longest_read": self.longest_read.as_secs_f64(), "watch_gap": self.gap.as_secs_f64(),
            "lost": self.lost, "denied": self.denied, "doubled": self.doubled, "untold": self.untold,
            "disordered": self.disordered, "watch_errors": self.watch_errors, "words": self.words,
        })
    }
}

pub(crate) fn table(judged: &[Judged; 2]) -> String {
    let [one, other] = judged;
    let mut table = format!("{:<34}{:>14}{:>14}\n", "", one.client, other.client);
    for ((name, one), (_, other)) in one.rows().into_iter().zip(other.rows()) {
        writeln!(table, "{name:<34}{one:>14}{other:>14}").unwrap();
    }
    table
}
