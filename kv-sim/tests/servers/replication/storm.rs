//! Everything at once: writers, readers, elections, stops, lag and rewinds in a random order. Whatever
//! happens, no call panics, time moves on, acknowledgements agree with the journal, and when calm returns
//! all replicas agree with what the journal says.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_sim::server::{Change, Election, InFlight, ServerId, Version};

use crate::replication::MILLI;
use crate::replication::client::Cluster3;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What the journal leaves in a stream, sequence to payload, and everything that was ever stored.
struct Told {
    left: BTreeMap<u64, String>,
    stored: Vec<(u64, String)>,
}

fn told(it: &Cluster3) -> Told {
    let (mut left, mut stored, mut last) = (BTreeMap::new(), Vec::new(), 0);
    let mut at = None;
    for event in it.cluster.journal() {
        assert!(at <= Some(event.at), "the journal is in order");
        at = Some(event.at);
        match &event.change {
            Change::Created => {}
            Change::Deleted => panic!("nobody deletes it"),
            Change::Stored { seq, payload, .. } => {
                assert_eq!(*seq, last + 1, "no sequence is skipped");
                last = *seq;
                let payload = String::from_utf8_lossy(payload).into_owned();
                left.insert(*seq, payload.clone());
                stored.push((*seq, payload));
            }
            Change::Removed { seq, .. } => assert!(left.remove(seq).is_some(), "{seq} was there"),
            Change::Rewound { last: kept } => {
                assert!(*kept <= last);
                last = *kept;
                left.retain(|seq, _| seq <= kept);
            }
        }
    }
    Told { left, stored }
}

fn acknowledged(answer: &str) -> Option<u64> {
    let answer = answer.replace(", ", ","); // up to 2.11
    let rest = answer.strip_prefix(r#"{"stream":"KV_A","seq":"#)?;
    rest.trim_end_matches('}').parse().ok()
}

/// Sequence and value of a direct get.
fn read(answer: &str) -> Option<(u64, String)> {
    let (headers, value) = answer.rsplit_once("\r\n\r\n")?;
    let seq = headers.rsplit_once("Nats-Sequence: ")?.1;
    Some((seq.split('\r').next()?.parse().ok()?, value.to_owned()))
}

/// What was asked for, to be judged when the journal is known.
enum Asked {
    Put { reply: String, value: String },
    Get { reply: String },
}

/// One random act.
fn act(it: &mut Cluster3, dice: &mut Dice, round: u64) -> Option<Asked> {
    let server = usize::try_from(dice.below(3)).unwrap_or(0);
    let time = MILLI * u32::try_from(1 + dice.below(300)).unwrap_or(1);
    match dice.below(100) {
        0..50 => {
            it.reconnect(server)?;
            let key = format!("$KV.A.k{}", dice.below(4));
            let headers = match dice.below(4) {
                0 => format!("Nats-Expected-Last-Subject-Sequence: {}\r\n", dice.below(9)),
                1 => "Nats-Expected-Last-Subject-Sequence: 0\r\n".to_owned(),
                2 => format!("Nats-Msg-Id: id{}\r\n", dice.below(round + 1)),
                _ => String::new(),
            };
            let value = format!("v{round}");
            let reply = it.put(server, &key, &headers, &value);
            return Some(Asked::Put { reply, value });
        }
        50..60 => {
            it.reconnect(server)?;
            let key = format!("$JS.API.DIRECT.GET.KV_A.$KV.A.k{}", dice.below(4));
            let reply = it.ask(server, &key, "");
            return Some(Asked::Get { reply });
        }
        60..63 => {
            it.reconnect(server)?;
            it.ask(
                server,
                "$JS.API.STREAM.PURGE.KV_A",
                r#"{"filter":"$KV.A.k1"}"#,
            );
        }
        63..68 => it.cluster.stop(it.now, ServerId(server)),
        68..76 => it
            .cluster
            .restart(it.now, ServerId(server), dice.below(3) > 0),
        76..82 => it.cluster.lag(it.now, ServerId(server), time),
        82..88 => {
            let in_flight = if dice.below(2) == 0 {
                InFlight::Lost
            } else {
                InFlight::CommittedUnacknowledged
            };
            let election = Election {
                leaderless: time,
                in_flight,
                old_leader_answers: time / 2,
            };
            it.cluster.elect(it.now, "KV_A", election);
        }
        88 => it.cluster.rewind(it.now, "KV_A", dice.below(4)),
        _ => it.advance(time),
    }
    None
}

#[test]
fn whatever_happens_the_journal_and_the_replicas_agree() {
    let (mut acknowledgements, mut reads, mut deliveries, mut rewinds) = (0, 0, 0, 0);
    for seed in 1..=250_u64 {
        let version = Version::ALL[(seed % 5) as usize];
        let mut it = Cluster3::new(version, seed, |config| {
            config.replication.commit = MILLI * u32::try_from(seed % 7).unwrap_or(0) * 5;
            config.replication.lag = MILLI * u32::try_from(seed % 5).unwrap_or(0) * 10;
            config.replication.election = MILLI * u32::try_from(seed % 3).unwrap_or(0) * 50;
            config.replication.prefers_own_server = seed % 2 == 0;
        });
        let storage = if seed % 3 == 0 { "memory" } else { "file" };
        let more = format!(r#","storage":"{storage}","max_msgs":30"#);
        it.create("KV_A", &more);
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        watch(&mut it);
        let mut asked = Vec::new();
        for round in 0..80 {
            asked.extend(act(&mut it, &mut dice, round));
            it.advance(3 * MILLI);
        }
        calm(&mut it);
        let Told { left, stored } = told(&it);
        for one in &asked {
            let (reply, value) = match one {
                Asked::Put { reply, value } => (reply, Some(value)),
                Asked::Get { reply } => (reply, None),
            };
            for answer in it.answers(reply) {
                let claimed = match value {
                    Some(value) => acknowledged(&answer).map(|seq| (seq, value.clone())),
                    None => read(&answer),
                };
                let Some(claimed) = claimed else {
                    continue;
                };
                assert!(stored.contains(&claimed), "seed {seed}: {claimed:?}");
                acknowledgements += usize::from(value.is_some());
                reads += usize::from(value.is_none());
            }
        }
        for (subject, text) in &it.delivered {
            if subject.starts_with("$KV.A.") {
                let value = text.rsplit("\r\n\r\n").next().unwrap_or(text);
                let happened = stored.iter().any(|(_, payload)| payload == value);
                assert!(happened, "seed {seed}: {value} was delivered");
                deliveries += 1;
            }
        }
        let rewound =
            |event: &&kv_sim::server::Event| matches!(event.change, Change::Rewound { .. });
        rewinds += it.cluster.journal().iter().filter(rewound).count();
        agree(&mut it, &left, seed);
    }
    assert!(acknowledgements > 2_000, "{acknowledgements}");
    assert!(reads > 300 && rewinds > 30, "{reads} {rewinds}");
    assert!(deliveries > 1_000, "{deliveries}");
}

/// Consumers in the memory of one server, in the files of one, and on all; heard on every server.
fn watch(it: &mut Cluster3) {
    for server in 0..3 {
        it.say(
            server,
            b"SUB dv.memory 7\r\nSUB dv.file 8\r\nSUB dv.shared 9\r\n",
        );
    }
    for (name, kind) in [
        ("memory", r#""mem_storage":true,"num_replicas":1"#),
        ("file", r#""durable_name":"file","num_replicas":1"#),
        ("shared", r#""durable_name":"shared""#),
    ] {
        let config = format!(
            r#""name":"{name}","deliver_subject":"dv.{name}","ack_policy":"none","idle_heartbeat":1000000000,"inactive_threshold":60000000000,{kind}"#
        );
        let body = format!(r#"{{"stream_name":"KV_A","config":{{{config}}}}}"#);
        let reply = it.ask(0, &format!("$JS.API.CONSUMER.CREATE.KV_A.{name}"), &body);
        let answer = it.answer(&reply).expect("an answer");
        assert!(!answer.contains("error"), "{answer}");
    }
}

/// All servers are up, all delays over.
fn calm(it: &mut Cluster3) {
    for server in 0..3 {
        if it.reconnect(server).is_none() {
            it.cluster.restart(it.now, ServerId(server), true);
            it.connect(server);
        }
    }
    it.advance(Duration::from_secs(20));
    assert!(it.cluster.leader("KV_A").is_some());
    let (lowest, leader) = it.cluster.applied("KV_A").expect("it is there");
    assert_eq!(lowest, leader);
}

/// Every replica has exactly what the journal says.
fn agree(it: &mut Cluster3, left: &BTreeMap<u64, String>, seed: u64) {
    let last = it.cluster.applied("KV_A").map_or(0, |(_, leader)| leader);
    for seq in 1..=last {
        for server in 0..3 {
            let body = format!(r#"{{"seq":{seq}}}"#);
            let reply = it.ask(server, "$JS.API.DIRECT.GET.KV_A", &body);
            let answer = it.answer(&reply).expect("an answer");
            match left.get(&seq) {
                Some(value) => assert!(
                    answer.ends_with(&format!("\r\n{value}")),
                    "seed {seed}, {seq} at {server}: {answer}"
                ),
                None => assert!(
                    answer.starts_with("NATS/1.0 404"),
                    "seed {seed}, {seq} at {server}: {answer}"
                ),
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_storm() {
    let run = |seed: u64| {
        let mut it = Cluster3::new(Version::V2_15, seed, |config| {
            config.replication.commit = 9 * MILLI;
            config.replication.lag = 9 * MILLI;
        });
        it.create("KV_A", "");
        let mut dice = Dice(seed);
        for round in 0..80 {
            act(&mut it, &mut dice, round);
        }
        format!("{:?}", it.cluster.journal())
    };
    for seed in 1..10 {
        assert_eq!(run(seed), run(seed));
    }
}
