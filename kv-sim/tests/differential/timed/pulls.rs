//! Pulls and acknowledgements: ends, heartbeats, redelivery, idle consumers, pauses.

use kv_sim::server::Version;

use super::Act::{Ack, MarkAhead, Say, Wait};
use super::{Act, Script, ask, create, put};

/// A consumer `c1` that is pulled.
fn puller(number: usize, bucket: &str, more: &str) -> Act {
    let body = format!(
        "{{\"stream_name\":\"KV_{bucket}\",\"config\":{{\"durable_name\":\"c1\",\"ack_policy\":\"explicit\"{more}}}}}"
    );
    let subject = format!("$JS.API.CONSUMER.CREATE.KV_{bucket}.c1");
    ask(number, &subject, &body)
}

fn pull(number: usize, bucket: &str, body: &str) -> Act {
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.KV_{bucket}.c1");
    ask(number, &subject, body)
}

fn info(number: usize, bucket: &str) -> Act {
    ask(number, &format!("$JS.API.CONSUMER.INFO.KV_{bucket}.c1"), "")
}

fn ack(number: usize, bucket: &'static str, body: &'static str) -> Act {
    Ack {
        number,
        bucket,
        body,
    }
}

pub(super) fn scripts() -> Vec<Script> {
    vec![
        Script {
            name: "a pull ends when its time is over",
            since: Version::V2_10,
            acts: vec![
                create("T30", ""),
                puller(2, "T30", ""),
                put(3, "$KV.T30.a", "", "v1"),
                pull(
                    4,
                    "T30",
                    "{\"batch\":3,\"expires\":400000000,\"max_bytes\":1000}",
                ),
                Wait(200),
                info(5, "T30"),
                Wait(600),
                info(6, "T30"),
                pull(7, "T30", "{\"batch\":3,\"expires\":-5}"),
                pull(8, "T30", "{\"batch\":3,\"expires\":1000}"),
                Wait(100),
            ],
        },
        Script {
            name: "a pull has its own heartbeats",
            since: Version::V2_10,
            acts: vec![
                create("T31", ""),
                puller(2, "T31", ""),
                pull(
                    3,
                    "T31",
                    "{\"batch\":3,\"expires\":1500000000,\"idle_heartbeat\":400000000}",
                ),
                Wait(1000),
                put(4, "$KV.T31.a", "", "v1"),
                Wait(1000),
                info(5, "T31"),
            ],
        },
        Script {
            name: "a pull that does not want to wait",
            since: Version::V2_10,
            acts: vec![
                create("T32", ""),
                puller(2, "T32", ""),
                pull(
                    3,
                    "T32",
                    "{\"batch\":3,\"expires\":600000000,\"no_wait\":true}",
                ),
                Wait(300),
                put(4, "$KV.T32.a", "", "v1"),
                Wait(600),
                pull(
                    5,
                    "T32",
                    "{\"batch\":3,\"expires\":400000000,\"no_wait\":true}",
                ),
                Wait(700),
                put(6, "$KV.T32.a", "", "v2"),
                put(7, "$KV.T32.a", "", "v3"),
                Wait(50),
                pull(8, "T32", "{\"batch\":3,\"no_wait\":true}"),
                Wait(100),
                info(9, "T32"),
            ],
        },
        Script {
            name: "what is not acknowledged comes again",
            since: Version::V2_10,
            acts: vec![
                create("T33", ",\"max_msgs_per_subject\":5"),
                puller(2, "T33", ",\"ack_wait\":500000000"),
                put(3, "$KV.T33.a", "", "v1"),
                put(4, "$KV.T33.b", "", "v2"),
                pull(5, "T33", "{\"batch\":10,\"expires\":4000000000}"),
                Wait(250),
                ack(6, "T33", ""),
                Wait(550),
                info(7, "T33"),
                Wait(500),
                ack(8, "T33", "+ACK"),
                Wait(700),
                info(9, "T33"),
            ],
        },
        Script {
            name: "what was delivered often enough does not come again",
            since: Version::V2_10,
            acts: vec![
                create("T34", ""),
                puller(2, "T34", ",\"ack_wait\":300000000,\"max_deliver\":2"),
                put(3, "$KV.T34.a", "", "v1"),
                pull(4, "T34", "{\"batch\":10,\"expires\":3000000000}"),
                Wait(450),
                info(5, "T34"),
                Wait(600),
                info(6, "T34"),
                put(7, "$KV.T34.b", "", "v2"),
                Wait(100),
                ack(8, "T34", ""),
                info(9, "T34"),
            ],
        },
        Script {
            name: "backing off",
            since: Version::V2_10,
            acts: vec![
                create("T35", ""),
                puller(
                    2,
                    "T35",
                    ",\"backoff\":[300000000,900000000],\"max_deliver\":3",
                ),
                put(3, "$KV.T35.a", "", "v1"),
                pull(4, "T35", "{\"batch\":10,\"expires\":5000000000}"),
                Wait(600),
                info(5, "T35"),
                Wait(900),
                info(6, "T35"),
                Wait(1200),
                info(7, "T35"),
            ],
        },
        Script {
            name: "not now, but later",
            since: Version::V2_10,
            acts: vec![
                create("T36", ""),
                puller(2, "T36", ""),
                put(3, "$KV.T36.a", "", "v1"),
                pull(4, "T36", "{\"batch\":10,\"expires\":5000000000}"),
                Wait(50),
                ack(5, "T36", "-NAK {\"delay\":700000000}"),
                Wait(350),
                info(6, "T36"),
                Wait(700),
                ack(7, "T36", "-NAK 600ms"),
                Wait(300),
                info(8, "T36"),
                Wait(600),
                ack(9, "T36", "+TERM"),
                info(10, "T36"),
            ],
        },
        Script {
            name: "work in progress takes its time",
            since: Version::V2_10,
            acts: vec![
                create("T37", ""),
                puller(2, "T37", ",\"ack_wait\":600000000"),
                put(3, "$KV.T37.a", "", "v1"),
                pull(4, "T37", "{\"batch\":10,\"expires\":5000000000}"),
                Wait(400),
                ack(5, "T37", "+WPI"),
                Wait(400),
                info(6, "T37"),
                Wait(500),
                info(7, "T37"),
            ],
        },
        Script {
            name: "a consumer that nobody pulls goes",
            since: Version::V2_10,
            acts: vec![
                create("T38", ""),
                puller(2, "T38", ",\"inactive_threshold\":500000000"),
                Wait(350),
                info(3, "T38"),
                Wait(1500),
                info(4, "T38"),
                pull(5, "T38", "1"),
                puller(6, "T38", ",\"inactive_threshold\":500000000"),
                pull(7, "T38", "{\"batch\":1,\"expires\":9000000000}"),
                Wait(2200),
                info(8, "T38"),
            ],
        },
        Script {
            name: "a consumer lives as long as it may be acknowledged",
            since: Version::V2_11,
            acts: vec![
                create("T39", ""),
                puller(
                    2,
                    "T39",
                    ",\"inactive_threshold\":300000000,\"ack_wait\":2000000000,\"max_deliver\":1",
                ),
                put(3, "$KV.T39.a", "", "v1"),
                pull(4, "T39", "1"),
                Wait(1900),
                info(5, "T39"),
                ack(6, "T39", ""),
                Wait(1700),
                info(7, "T39"),
            ],
        },
        Script {
            name: "pushed and not acknowledged",
            since: Version::V2_10,
            acts: vec![
                create("T40", ",\"max_msgs_per_subject\":5"),
                Say("SUB dv.T40 7\r\n".to_owned()),
                puller(
                    2,
                    "T40",
                    ",\"deliver_subject\":\"dv.T40\",\"ack_wait\":500000000,\"max_ack_pending\":2",
                ),
                put(3, "$KV.T40.a", "", "v1"),
                put(4, "$KV.T40.b", "", "v2"),
                put(5, "$KV.T40.c", "", "v3"),
                Wait(250),
                info(6, "T40"),
                Wait(550),
                ack(7, "T40", ""),
                Wait(100),
                info(8, "T40"),
            ],
        },
        Script {
            name: "a pause ends by itself",
            since: Version::V2_11,
            acts: vec![
                create("T41", ""),
                puller(2, "T41", ""),
                put(3, "$KV.T41.a", "", "v1"),
                MarkAhead(700),
                ask(
                    4,
                    "$JS.API.CONSUMER.PAUSE.KV_T41.c1",
                    "{\"pause_until\":\"<mark>\"}",
                ),
                pull(5, "T41", "{\"batch\":10,\"expires\":5000000000}"),
                pull(6, "T41", "{\"batch\":10,\"no_wait\":true}"),
                Wait(350),
                info(7, "T41"),
                Wait(700),
                info(8, "T41"),
            ],
        },
        Script {
            name: "who waits is told that the consumer goes, and the bucket",
            since: Version::V2_10,
            acts: vec![
                create("T42", ""),
                puller(2, "T42", ""),
                pull(3, "T42", "{\"batch\":10,\"expires\":5000000000}"),
                pull(4, "T42", "5"),
                Wait(100),
                ask(5, "$JS.API.CONSUMER.DELETE.KV_T42.c1", ""),
                Wait(100),
                puller(6, "T42", ""),
                pull(7, "T42", "{\"batch\":10,\"expires\":5000000000}"),
                Wait(100),
                ask(8, "$JS.API.STREAM.DELETE.KV_T42", ""),
                Wait(200),
            ],
        },
        Script {
            name: "what is removed need not be acknowledged",
            since: Version::V2_10,
            acts: vec![
                create("T43", ",\"max_msgs_per_subject\":1"),
                puller(2, "T43", ",\"ack_wait\":500000000"),
                put(3, "$KV.T43.a", "", "v1"),
                put(4, "$KV.T43.b", "", "v2"),
                pull(5, "T43", "{\"batch\":2,\"expires\":5000000000}"),
                Wait(100),
                put(6, "$KV.T43.a", "", "v3"),
                Wait(100),
                info(7, "T43"),
                ask(
                    8,
                    "$JS.API.STREAM.PURGE.KV_T43",
                    "{\"filter\":\"$KV.T43.b\"}",
                ),
                Wait(100),
                info(9, "T43"),
                pull(10, "T43", "{\"batch\":2,\"expires\":5000000000}"),
                Wait(800),
                info(11, "T43"),
            ],
        },
    ]
}
