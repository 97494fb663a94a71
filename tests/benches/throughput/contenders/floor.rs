//! No client at all: frames that were made before, and replies that are only counted. What is left is the
//! kernel's work and the server's.

use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

use kv_tests::unique;

use super::Contender;
use crate::feeder::Feeder;
use crate::stage::{DEEP, MANY_KEYS, Stage};
use crate::wire::Wire;
use crate::workloads::{DEPTH, Data, Limit, MANY, Tally, UPDATES, Verb, Workload};

pub(crate) struct Floor {
    wire: Wire,
    buckets: [String; 2],
    feeder: Feeder,
    /// The last revision of the second bucket, which an update has to name.
    written: usize,
}

impl Floor {
    pub(crate) fn new(stage: &Stage) -> Self {
        let buckets = ["own", "scratch"].map(unique);
        let mut wire = connect(stage.url());
        for bucket in &buckets {
            create(&mut wire, bucket);
        }
        Self {
            feeder: Feeder::new(stage, &buckets[1]),
            wire,
            buckets,
            written: 0,
        }
    }

    fn frames(&self, workload: Workload, data: &Data) -> Vec<Vec<u8>> {
        let [own, scratch] = &self.buckets;
        let entries = data.of(workload).iter().enumerate();
        let frame = |(number, (key, value)): (usize, &(String, bytes::Bytes))| {
            let lane = number % workload.in_flight;
            let removal = |header: &str| {
                let block = format!("NATS/1.0\r\n{header}\r\n\r\n");
                let len = block.len();
                let inbox = inbox(lane);
                format!("HPUB $KV.{scratch}.{key} {inbox} {len} {len}\r\n{block}\r\n").into_bytes()
            };
            match workload.verb {
                Verb::Put | Verb::PutLarge => request(&format!("$KV.{own}.{key}"), lane, value),
                Verb::Get | Verb::GetLarge => {
                    let subject = format!("$JS.API.DIRECT.GET.KV_{own}.$KV.{own}.{key}");
                    request(&subject, lane, b"")
                }
                Verb::Delete => removal("KV-Operation: DEL"),
                Verb::Purge => removal("KV-Operation: PURGE\r\nNats-Rollup: sub"),
                _ => unreachable!("not made before"),
            }
        };
        entries.map(frame).collect()
    }

    fn exchange(&mut self, workload: Workload, data: &Data, limit: Limit) -> Tally {
        let frames = self.frames(workload, data);
        let mut next = frames.iter().cycle();
        let mut tally = Tally::for_one_of(1);
        let (mut asked, mut room) = (0, workload.in_flight);
        let mut output = Vec::new();
        loop {
            output.clear();
            for frame in next.by_ref().take(room.min(limit.ops - asked)) {
                output.extend_from_slice(frame);
                asked += 1;
            }
            let start = (workload.in_flight == 1).then(Instant::now);
            self.wire.write(&output);
            room = self.wire.read().0;
            while workload.in_flight == 1 && room == 0 {
                room = self.wire.read().0;
            }
            tally.ops += room;
            if let Some(start) = start {
                tally.took(start.elapsed());
            }
            if limit.is_reached(tally.ops) {
                let left = asked.checked_sub(tally.ops);
                count(
                    &mut self.wire,
                    left.expect("no reply that nobody asked for"),
                );
                tally.ops = asked;
                if matches!(workload.verb, Verb::Delete | Verb::Purge) {
                    self.written += asked;
                }
                return tally;
            }
        }
    }

    /// Writes one key again and again, each time on condition that nobody else did.
    fn update(&mut self, data: &Data, limit: Limit) -> Tally {
        let mut tally = Tally::for_one_of(1);
        let (subject, inbox) = (format!("$KV.{}.counter", self.buckets[1]), inbox(0));
        let mut frame = Vec::new();
        for (_, value) in data.small.iter().cycle() {
            let start = Instant::now();
            frame.clear();
            if tally.ops == 0 {
                frame.extend(request(&subject, 0, value));
            } else {
                let condition = "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: ";
                let block = format!("{condition}{}\r\n\r\n", self.written);
                let (head, total) = (block.len(), block.len() + value.len());
                write!(frame, "HPUB {subject} {inbox} {head} {total}\r\n{block}")
                    .expect("a vector takes all");
                frame.extend_from_slice(value);
                frame.extend_from_slice(b"\r\n");
            }
            self.wire.write(&frame);
            count(&mut self.wire, 1);
            self.written += 1;
            tally.ops += 1;
            tally.took(start.elapsed());
            if limit.is_reached(tally.ops) {
                break;
            }
        }
        tally
    }

    /// Asks for all revisions of a key in one request.
    fn history(&mut self, limit: Limit) -> Tally {
        let mut tally = Tally::for_one_of(1);
        let body = format!(r#"{{"seq":1,"batch":{DEPTH},"next_by_subj":"$KV.{DEEP}.deep"}}"#);
        let frame = request(&format!("$JS.API.DIRECT.GET.KV_{DEEP}"), 0, body.as_bytes());
        while !limit.is_reached(tally.ops) {
            let start = Instant::now();
            self.wire.write(&frame);
            // The last reply says that it is the last.
            count(&mut self.wire, DEPTH + 1);
            tally.ops += 1;
            tally.took(start.elapsed());
        }
        tally
    }

    /// Makes a consumer, lets it deliver so many messages, and deletes it.
    fn deliver(&mut self, bucket: &str, rest: &str, many: usize, stands: impl FnOnce()) {
        let name = unique("floor");
        let config = format!(
            r#"{{"stream_name":"KV_{bucket}","config":{{"name":"{name}","deliver_subject":"_INBOX.flow.{name}","ack_policy":"none","replay_policy":"instant","max_deliver":1,"num_replicas":1,"mem_storage":true,"inactive_threshold":60000000000,"filter_subject":"$KV.{bucket}.>",{rest}}}}}"#
        );
        let sub = format!("SUB _INBOX.flow.{name} 2\r\n");
        self.wire.write(sub.as_bytes());
        let subject = format!("$JS.API.CONSUMER.CREATE.KV_{bucket}.{name}");
        self.wire.write(&request(&subject, 0, config.as_bytes()));
        // The answer may come behind what is delivered.
        let before = self.wire.read().0;
        stands();
        count(&mut self.wire, (many + 1).saturating_sub(before));
        let subject = format!("$JS.API.CONSUMER.DELETE.KV_{bucket}.{name}");
        self.wire.write(b"UNSUB 2\r\n");
        self.wire.write(&request(&subject, 0, b""));
        count(&mut self.wire, 1);
    }

    fn whole(&mut self, rest: &str, limit: Limit) -> Tally {
        let mut tally = Tally::for_one_of(1);
        while !limit.is_reached(tally.ops) {
            let start = Instant::now();
            self.deliver(MANY_KEYS, rest, MANY, || {});
            tally.ops += MANY;
            tally.took(start.elapsed());
        }
        tally
    }

    fn live(&mut self, limit: Limit) -> Tally {
        let mut tally = Tally::default();
        let scratch = self.buckets[1].clone();
        while !limit.is_reached(tally.ops) {
            let feeding = self.feeder.prepare();
            self.deliver(
                &scratch,
                r#""deliver_policy":"new""#,
                UPDATES,
                feeding.starter(),
            );
            tally.foreign += self.feeder.finish(feeding);
            tally.ops += UPDATES;
            self.written += UPDATES;
        }
        tally
    }
}

impl Contender for Floor {
    fn client(&self) -> &'static str {
        "floor"
    }

    fn runtime(&self) -> &'static str {
        "blocking"
    }

    fn own_buckets(&self) -> [&str; 2] {
        self.buckets.each_ref().map(String::as_str)
    }

    fn run(&mut self, workload: Workload, data: &Data, limit: Limit) -> Tally {
        const LAST: &str = r#""deliver_policy":"last_per_subject""#;
        match workload.verb {
            Verb::Initial => self.whole(LAST, limit),
            Verb::Keys => self.whole(&format!(r#"{LAST},"headers_only":true"#), limit),
            Verb::Live => self.live(limit),
            Verb::Update => self.update(data, limit),
            Verb::History => self.history(limit),
            _ => self.exchange(workload, data, limit),
        }
    }
}

pub(crate) fn hello(url: &str) {
    let mut wire = connect(url);
    let bucket = unique("hello");
    create(&mut wire, &bucket);
    let subject = format!("$KV.{bucket}.hello");
    wire.write(&request(&subject, 0, b"world"));
    count(&mut wire, 1);
    let get = format!("$JS.API.DIRECT.GET.KV_{bucket}.{subject}");
    wire.write(&request(&get, 0, b""));
    count(&mut wire, 1);
    let delete = format!("$JS.API.STREAM.DELETE.KV_{bucket}");
    wire.write(&request(&delete, 0, b""));
    count(&mut wire, 1);
}

fn connect(url: &str) -> Wire {
    let mut wire = Wire::connect(url);
    wire.write(format!("SUB {} 1\r\n", inbox("*")).as_bytes());
    wire
}

fn create(wire: &mut Wire, bucket: &str) {
    let config = format!(
        r#"{{"name":"KV_{bucket}","subjects":["$KV.{bucket}.>"],"storage":"memory","max_msgs_per_subject":1,"discard":"new","allow_direct":true,"allow_rollup_hdrs":true,"deny_delete":true}}"#
    );
    let subject = format!("$JS.API.STREAM.CREATE.KV_{bucket}");
    wire.write(&request(&subject, 0, config.as_bytes()));
    count(wire, 1);
}

/// Where replies go; no other process has the same.
fn inbox(lane: impl Display) -> String {
    format!("_INBOX.floor-{}.{lane}", std::process::id())
}

fn request(subject: &str, lane: usize, payload: &[u8]) -> Vec<u8> {
    let head = format!("PUB {subject} {} {}\r\n", inbox(lane), payload.len());
    [head.as_bytes(), payload, b"\r\n"].concat()
}

fn count(wire: &mut Wire, many: usize) {
    let mut seen = 0;
    while seen < many {
        seen += wire.read().0;
    }
    assert_eq!(seen, many, "more replies than requests");
}
