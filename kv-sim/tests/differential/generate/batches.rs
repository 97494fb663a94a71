//! Atomic batches: whole ones in one go, and parts that may never become whole.

use kv_sim::server::Version;

use super::{Generator, Step};

const COMMITS: [&str; 10] = ["1", "1", "1", "1", "1", "eob", "eob", "2", "", "EOB"];

impl Generator {
    pub(super) fn batch(&mut self) -> Step {
        let stream = self.stream();
        if self.chance(70) {
            self.batches += 1;
        }
        let id = match self.below(30) {
            0 => "i".repeat(64),
            1 => "i".repeat(65),
            _ => format!("b{}", self.batches),
        };
        let mut bytes = Vec::new();
        // Without batches these are plain messages, which consumers get while they come in.
        let whole = self.version >= Version::V2_12;
        let length = if whole { 1 + self.below(5) } else { 1 };
        let first = if self.chance(90) {
            1
        } else {
            1 + self.below(3)
        };
        let commits = self.chance(85);
        for at in first..first + length {
            let number = if self.chance(97) { at } else { self.below(7) };
            let last = at + 1 == first + length;
            let commit = (last && commits).then(|| self.pick(&COMMITS));
            bytes.extend_from_slice(&self.part(stream, &id, number, commit));
        }
        Step::say(bytes, !commits || !whole)
    }

    /// One message of a batch.
    fn part(&mut self, stream: &str, id: &str, number: usize, commit: Option<&str>) -> Vec<u8> {
        let subject = self.subject(stream);
        let mut headers = format!("Nats-Batch-Id: {id}\r\n");
        match self.below(60) {
            0 => {}
            1 => headers += "Nats-Batch-Sequence: x\r\n",
            2 => headers += "Nats-Batch-Sequence: 1001\r\n",
            _ => headers += &format!("Nats-Batch-Sequence: {number}\r\n"),
        }
        if let Some(commit) = commit {
            headers += &format!("Nats-Batch-Commit: {commit}\r\n");
        }
        if self.chance(20) {
            let value = self.expectation();
            headers += &format!("Nats-Expected-Last-Subject-Sequence: {value}\r\n");
        }
        if self.chance(4) {
            let other = self.subject(stream);
            headers += &format!("Nats-Expected-Last-Subject-Sequence-Subject: {other}\r\n");
        }
        if self.chance(5) {
            let value = self.expectation();
            headers += &format!("Nats-Expected-Last-Sequence: {value}\r\n");
        }
        if self.chance(8) {
            self.ids += self.below(2);
            headers += &format!("Nats-Msg-Id: id{}\r\n", self.ids);
        }
        for (header, percent) in [
            ("Nats-Expected-Last-Msg-Id: id1\r\n", 1),
            ("Nats-Rollup: sub\r\n", 6),
            ("Nats-Rollup: all\r\n", 3),
            ("Nats-Rollup: foo\r\n", 1),
            ("Nats-TTL: 1h\r\n", 6),
            ("Nats-TTL: soon\r\n", 1),
            ("Nats-Expected-Stream: OTHER\r\n", 1),
            ("Nats-Required-Api-Level: 2\r\n", 3),
            ("Nats-Required-Api-Level: 99\r\n", 1),
            ("KV-Operation: DEL\r\n", 6),
            ("Nats-Stream-Source: a b c\r\n", 1),
        ] {
            if self.chance(percent) {
                headers += header;
            }
        }
        let payload = self.pick(&["", "v", "a longer value, of more bytes than fit"]);
        let answered = self.chance(95);
        self.message(&subject, &headers, payload, answered)
            .text()
            .into_bytes()
    }
}
