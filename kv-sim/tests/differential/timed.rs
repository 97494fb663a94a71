//! What happens by itself as time goes by: expiry, markers, heartbeats, inactivity, forgotten ids.
//!
//! Each script runs in real time against a real server and in virtual time against the simulated one. The
//! moments looked at lie far from the moments things happen, because a real server is never exact.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use kv_sim::server::Version;
use kv_tests::Server;

use crate::real::Real;
use crate::sim::{Sim, real_version};

enum Act {
    Say(String),
    Wait(u64),
}

use Act::{Say, Wait};

struct Script {
    name: &'static str,
    since: Version,
    acts: Vec<Act>,
}

impl Script {
    fn inbox(&self) -> String {
        self.name.replace(|c: char| !c.is_ascii_alphabetic(), "-")
    }
}

fn ask(number: usize, subject: &str, body: &str) -> Act {
    Say(format!(
        "PUB {subject} _INBOX.d.{number} {}\r\n{body}\r\n",
        body.len()
    ))
}

fn put(number: usize, subject: &str, headers: &str, body: &str) -> Act {
    let block = format!("NATS/1.0\r\n{headers}\r\n");
    let total = block.len() + body.len();
    Say(format!(
        "HPUB {subject} _INBOX.d.{number} {} {total}\r\n{block}{body}\r\n",
        block.len()
    ))
}

fn create(bucket: &str, more: &str) -> Act {
    let config = format!(
        "{{\"name\":\"KV_{bucket}\",\"subjects\":[\"$KV.{bucket}.>\"],\"storage\":\"memory\",\"allow_direct\":true,\"allow_rollup_hdrs\":true{more}}}"
    );
    ask(1, &format!("$JS.API.STREAM.CREATE.KV_{bucket}"), &config)
}

fn consumer(number: usize, bucket: &str, more: &str) -> Act {
    let body = format!(
        "{{\"stream_name\":\"KV_{bucket}\",\"config\":{{\"name\":\"c1\",\"deliver_subject\":\"dv.{bucket}\",\"ack_policy\":\"none\",\"max_deliver\":1,\"mem_storage\":true,\"num_replicas\":1{more}}}}}"
    );
    ask(
        number,
        &format!("$JS.API.CONSUMER.CREATE.KV_{bucket}.c1"),
        &body,
    )
}

fn get(number: usize, bucket: &str, key: &str) -> Act {
    ask(
        number,
        &format!("$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}"),
        "",
    )
}

fn info(number: usize, bucket: &str) -> Act {
    ask(number, &format!("$JS.API.STREAM.INFO.KV_{bucket}"), "")
}

fn scripts() -> Vec<Script> {
    let ttl = ",\"allow_msg_ttl\":true";
    let marked = ",\"max_msgs_per_subject\":1,\"allow_msg_ttl\":true,\"subject_delete_marker_ttl\":1000000000";
    let big = "x".repeat(700_000);
    vec![
        Script {
            name: "a value with TTL expires into a marker, which expires",
            since: Version::V2_11,
            acts: vec![
                create("T1", marked),
                Say("SUB dv.T1 7\r\nSUB $KV.T1.> 8\r\n".to_owned()),
                put(2, "$KV.T1.a", "Nats-TTL: 1\r\n", "v"),
                put(3, "$KV.T1.b", "", "stays"),
                consumer(4, "T1", ",\"deliver_policy\":\"all\""),
                Wait(500),
                get(5, "T1", "a"),
                Wait(1200),
                get(6, "T1", "a"),
                put(
                    7,
                    "$KV.T1.a",
                    "Nats-Expected-Last-Subject-Sequence: 0\r\n",
                    "new",
                ),
                Wait(1700),
                get(8, "T1", "a"),
                info(9, "T1"),
            ],
        },
        Script {
            name: "with history the previous value comes back",
            since: Version::V2_11,
            acts: vec![
                create("T2", &format!(",\"max_msgs_per_subject\":5{ttl}")),
                put(2, "$KV.T2.a", "", "v1"),
                put(3, "$KV.T2.a", "Nats-TTL: 1\r\n", "v2"),
                Wait(2000),
                get(4, "T2", "a"),
                info(5, "T2"),
            ],
        },
        Script {
            name: "max_age spares what never expires",
            since: Version::V2_11,
            acts: vec![
                create("T3", &format!(",\"max_age\":1000000000{ttl}")),
                put(2, "$KV.T3.a", "Nats-TTL: never\r\n", "v1"),
                put(3, "$KV.T3.b", "", "v2"),
                Wait(2000),
                get(4, "T3", "a"),
                get(5, "T3", "b"),
                info(6, "T3"),
            ],
        },
        Script {
            name: "max_age empties a bucket, silently",
            since: Version::V2_10,
            acts: vec![
                create("T4", ",\"max_age\":1000000000"),
                Say("SUB dv.T4 7\r\n".to_owned()),
                consumer(2, "T4", ",\"deliver_policy\":\"all\""),
                put(3, "$KV.T4.a", "", "v1"),
                Wait(2000),
                get(4, "T4", "a"),
                info(5, "T4"),
                put(
                    6,
                    "$KV.T4.a",
                    "Nats-Expected-Last-Subject-Sequence: 0\r\n",
                    "v2",
                ),
            ],
        },
        Script {
            name: "expiring tombstones: a delete leaves a marker, a purge none",
            since: Version::V2_11,
            acts: vec![
                create("T5", marked),
                Say("SUB dv.T5 7\r\n".to_owned()),
                consumer(2, "T5", ",\"deliver_policy\":\"all\""),
                put(3, "$KV.T5.a", "KV-Operation: DEL\r\nNats-TTL: 1\r\n", ""),
                put(
                    4,
                    "$KV.T5.b",
                    "KV-Operation: PURGE\r\nNats-Rollup: sub\r\nNats-TTL: 1\r\n",
                    "",
                ),
                Wait(1700),
                get(5, "T5", "a"),
                get(6, "T5", "b"),
            ],
        },
        Script {
            name: "heartbeats tell the position",
            since: Version::V2_10,
            acts: vec![
                create("T6", ""),
                put(2, "$KV.T6.a", "", "v1"),
                put(3, "$KV.T6.b", "", "v2"),
                Say("SUB dv.T6 7\r\n".to_owned()),
                consumer(
                    4,
                    "T6",
                    ",\"idle_heartbeat\":400000000,\"filter_subject\":\"$KV.T6.a\"",
                ),
                Wait(1000),
                put(5, "$KV.T6.b", "", "v3"),
                Wait(600),
                Say("UNSUB 7\r\n".to_owned()),
                Wait(900),
                ask(6, "$JS.API.CONSUMER.INFO.KV_T6.c1", ""),
            ],
        },
        Script {
            name: "a consumer without listeners goes",
            since: Version::V2_10,
            acts: vec![
                create("T7", ""),
                consumer(2, "T7", ",\"inactive_threshold\":500000000"),
                ask(3, "$JS.API.CONSUMER.INFO.KV_T7.c1", ""),
                Wait(1300),
                ask(4, "$JS.API.CONSUMER.INFO.KV_T7.c1", ""),
                Say("SUB dv.T7 7\r\n".to_owned()),
                consumer(5, "T7", ",\"inactive_threshold\":500000000"),
                Wait(1300),
                ask(6, "$JS.API.CONSUMER.INFO.KV_T7.c1", ""),
                Say("UNSUB 7\r\n".to_owned()),
                Wait(1300),
                ask(7, "$JS.API.CONSUMER.INFO.KV_T7.c1", ""),
            ],
        },
        Script {
            name: "a consumer is not bound by a wildcard",
            since: Version::V2_10,
            acts: vec![
                create("T8", ""),
                put(2, "$KV.T8.a", "", "v1"),
                Say("SUB *.T8 7\r\n".to_owned()),
                consumer(
                    3,
                    "T8",
                    ",\"idle_heartbeat\":300000000,\"inactive_threshold\":900000000",
                ),
                Wait(500),
                ask(4, "$JS.API.CONSUMER.INFO.KV_T8.c1", ""),
                Wait(1200),
                ask(5, "$JS.API.CONSUMER.INFO.KV_T8.c1", ""),
            ],
        },
        Script {
            name: "a vanished entry of the snapshot costs a heartbeat",
            since: Version::V2_10,
            acts: vec![
                create("T9", ",\"max_msgs_per_subject\":2"),
                put(2, "$KV.T9.a", "", "v1"),
                put(3, "$KV.T9.b", "", "v2"),
                put(4, "$KV.T9.c", "", "v3"),
                put(5, "$KV.T9.d", "", "v4"),
                consumer(
                    6,
                    "T9",
                    ",\"idle_heartbeat\":600000000,\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"$KV.T9.>\",\"inactive_threshold\":9000000000",
                ),
                ask(7, "$JS.API.STREAM.PURGE.KV_T9", "{\"filter\":\"$KV.T9.b\"}"),
                Wait(100),
                Say("SUB dv.T9 7\r\n".to_owned()),
                Wait(1000),
                ask(8, "$JS.API.CONSUMER.INFO.KV_T9.c1", ""),
                Wait(600),
            ],
        },
        Script {
            name: "ids are forgotten after the window",
            since: Version::V2_10,
            acts: vec![
                create("T10", ",\"duplicate_window\":500000000"),
                put(2, "$KV.T10.a", "Nats-Msg-Id: x\r\n", "v1"),
                put(3, "$KV.T10.b", "Nats-Msg-Id: x\r\n", "v1"),
                Wait(1500),
                put(4, "$KV.T10.a", "Nats-Msg-Id: x\r\n", "v2"),
            ],
        },
        Script {
            name: "an unanswered flow-control request stalls",
            since: Version::V2_10,
            acts: vec![
                create("T11", ""),
                put(2, "$KV.T11.a", "", &big),
                put(3, "$KV.T11.b", "", &big),
                put(4, "$KV.T11.c", "", &big),
                put(5, "$KV.T11.d", "", &big),
                put(6, "$KV.T11.e", "", "small"),
                Say("SUB dv.T11 7\r\n".to_owned()),
                consumer(
                    7,
                    "T11",
                    ",\"idle_heartbeat\":1000000000,\"flow_control\":true",
                ),
                Wait(1500),
                ask(8, "$JS.API.CONSUMER.INFO.KV_T11.c1", ""),
            ],
        },
    ]
}

const LOGIN: &str = "CONNECT {\"verbose\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\nPING\r\nSUB _INBOX.d.* 1\r\n";

fn play(script: &Script, server: &Server, version: Version) -> Result<(), String> {
    let mut sim = Sim::new(version, 1);
    let mut real = Real::connect(server.addr());
    real.await_frames(1, Duration::from_secs(2));
    // Scripts run side by side on one server, each with an inbox of its own.
    let own = |text: &str| text.replace("_INBOX.d.", &format!("_INBOX.{}.", script.inbox()));
    sim.send(own(LOGIN).as_bytes());
    real.write(own(LOGIN).as_bytes());
    for act in &script.acts {
        match act {
            Say(text) => {
                let bytes = own(text);
                sim.send(bytes.as_bytes());
                real.write(bytes.as_bytes());
                real.await_frames(sim.frames.all.len(), Duration::from_millis(300));
            }
            Wait(millis) => {
                let time = Duration::from_millis(*millis);
                sim.wait(time);
                let start = std::time::Instant::now();
                real.linger(time);
                thread::sleep(time.saturating_sub(start.elapsed()));
            }
        }
    }
    real.linger(Duration::from_millis(30));
    let (ours, theirs) = (sim.frames.groups(), real.frames.groups());
    if ours == theirs {
        return Ok(());
    }
    Err(format!(
        "{} on {version}\n{}",
        script.name,
        difference(&ours, &theirs)
    ))
}

fn difference(ours: &BTreeMap<&str, Vec<&str>>, theirs: &BTreeMap<&str, Vec<&str>>) -> String {
    let mut out = String::new();
    for group in ours
        .keys()
        .chain(theirs.keys())
        .collect::<std::collections::BTreeSet<_>>()
    {
        let (own, other) = (ours.get(group), theirs.get(group));
        if own == other {
            continue;
        }
        for frame in own.into_iter().flatten() {
            out += &format!("  ours {}\n", crate::cut(frame));
        }
        for frame in other.into_iter().flatten() {
            out += &format!("  real {}\n", crate::cut(frame));
        }
    }
    out
}

fn all_scripts_agree(version: Version) {
    let server = Server::builder().version(real_version(version)).start();
    let scripts = scripts();
    let differences: Vec<String> = thread::scope(|scope| {
        let fitting = scripts.iter().filter(|script| script.since <= version);
        let running: Vec<_> = fitting
            .map(|script| scope.spawn(|| play(script, &server, version)))
            .collect();
        let ended = running
            .into_iter()
            .map(|one| one.join().expect("no script panics"));
        ended.filter_map(Result::err).collect()
    });
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn time_passes_as_in_2_15() {
    all_scripts_agree(Version::V2_15);
}

#[test]
fn time_passes_as_in_2_10() {
    all_scripts_agree(Version::V2_10);
}

#[test]
fn time_passes_as_in_the_versions_between() {
    if std::env::var("KV_SIM_SEQUENCES").is_ok() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            all_scripts_agree(version);
        }
    }
}
