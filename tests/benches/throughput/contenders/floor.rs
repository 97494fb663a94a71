//! No client at all: frames that were made before, and replies that are only counted. What is left is the
//! kernel's work and the server's.

use std::time::Instant;

use kv_tests::unique;

use super::Contender;
use crate::feeder::Feeder;
use crate::stage::{MANY_KEYS, Stage};
use crate::wire::Wire;
use crate::workloads::{Data, Limit, MANY, Tally, UPDATES, Verb, Workload};

pub(crate) struct Floor {
    wire: Wire,
    buckets: [String; 2],
    feeder: Feeder,
}

impl Floor {
    pub(crate) fn new(stage: &Stage) -> Self {
        let buckets = ["own", "scratch"].map(unique);
        let mut wire = Wire::connect(stage.url());
        wire.write(b"SUB _INBOX.floor.* 1\r\n");
        for bucket in &buckets {
            let config = format!(
                r#"{{"name":"KV_{bucket}","subjects":["$KV.{bucket}.>"],"storage":"memory","max_msgs_per_subject":1,"discard":"new","allow_direct":true,"allow_rollup_hdrs":true,"deny_delete":true}}"#
            );
            wire.write(&request(
                &format!("$JS.API.STREAM.CREATE.KV_{bucket}"),
                0,
                config.as_bytes(),
            ));
            count(&mut wire, 1);
        }
        Self {
            feeder: Feeder::new(stage, &buckets[1]),
            wire,
            buckets,
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
                format!("HPUB $KV.{scratch}.{key} _INBOX.floor.{lane} {len} {len}\r\n{block}\r\n")
                    .into_bytes()
            };
            match workload.verb {
                Verb::Put | Verb::PutLarge => request(&format!("$KV.{own}.{key}"), lane, value),
                Verb::Get | Verb::GetLarge => {
                    let subject = format!("$JS.API.DIRECT.GET.KV_{own}.$KV.{own}.{key}");
                    request(&subject, lane, b"")
                }
                Verb::Delete => removal("KV-Operation: DEL"),
                Verb::Purge => removal("KV-Operation: PURGE\r\nNats-Rollup: sub"),
                Verb::Initial | Verb::Live | Verb::Keys | Verb::Update | Verb::History => {
                    unreachable!("not asked for one by one")
                }
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
                count(&mut self.wire, asked - tally.ops);
                tally.ops = asked;
                return tally;
            }
        }
    }

    /// Makes a consumer, lets it deliver so many messages, and deletes it.
    fn deliver(&mut self, bucket: &str, rest: &str, many: usize, stands: impl FnOnce()) {
        let name = unique("floor");
        let config = format!(
            r#"{{"stream_name":"KV_{bucket}","config":{{"name":"{name}","deliver_subject":"_INBOX.floor.{name}","ack_policy":"none","replay_policy":"instant","max_deliver":1,"num_replicas":1,"mem_storage":true,"inactive_threshold":60000000000,{rest}}}}}"#
        );
        let sub = format!("SUB _INBOX.floor.{name} 2\r\n");
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

    fn can(&self, workload: Workload) -> bool {
        !matches!(workload.verb, Verb::Update | Verb::History)
    }

    fn run(&mut self, workload: Workload, data: &Data, limit: Limit) -> Tally {
        const LAST: &str = r#""deliver_policy":"last_per_subject""#;
        match workload.verb {
            Verb::Initial => self.whole(LAST, limit),
            Verb::Keys => self.whole(&format!(r#"{LAST},"headers_only":true"#), limit),
            Verb::Live => self.live(limit),
            _ => self.exchange(workload, data, limit),
        }
    }
}

fn request(subject: &str, lane: usize, payload: &[u8]) -> Vec<u8> {
    let head = format!("PUB {subject} _INBOX.floor.{lane} {}\r\n", payload.len());
    [head.as_bytes(), payload, b"\r\n"].concat()
}

fn count(wire: &mut Wire, many: usize) {
    let mut seen = 0;
    while seen < many {
        seen += wire.read().0;
    }
    assert_eq!(seen, many, "more replies than requests");
}
