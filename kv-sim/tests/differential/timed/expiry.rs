//! Values, ids and markers that end by themselves.

use kv_sim::server::Version;

use super::Act::{Mark, Say, Wait};
use super::{Script, ask, consumer, create, get, info, put};

pub(super) fn scripts() -> Vec<Script> {
    let ttl = ",\"allow_msg_ttl\":true";
    let marked = ",\"max_msgs_per_subject\":1,\"allow_msg_ttl\":true,\"subject_delete_marker_ttl\":1000000000";
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
            name: "max_age leaves markers where they are wanted",
            since: Version::V2_11,
            acts: vec![
                create("T12", &format!(",\"max_age\":1000000000{marked}")),
                Say("SUB dv.T12 7\r\nSUB $KV.T12.> 8\r\n".to_owned()),
                consumer(2, "T12", ",\"deliver_policy\":\"all\""),
                put(3, "$KV.T12.a", "", "v1"),
                put(4, "$KV.T12.b", "Nats-TTL: never\r\n", "v1"),
                Wait(1600),
                get(6, "T12", "a"),
                get(7, "T12", "b"),
                Wait(1700),
                get(9, "T12", "a"),
                info(10, "T12"),
            ],
        },
        Script {
            name: "a TTL below that of markers is raised, with history",
            since: Version::V2_11,
            acts: vec![
                create(
                    "T13",
                    ",\"max_msgs_per_subject\":3,\"subject_delete_marker_ttl\":3000000000",
                ),
                put(2, "$KV.T13.a", "Nats-TTL: 1\r\n", "v1"),
                put(3, "$KV.T13.b", "", "v1"),
                put(4, "$KV.T13.b", "Nats-TTL: 1\r\n", "v2"),
                get(5, "T13", "b"),
                Wait(2000),
                get(6, "T13", "a"),
                Wait(2200),
                get(7, "T13", "a"),
                get(8, "T13", "b"),
                info(9, "T13"),
            ],
        },
        Script {
            name: "a smaller max_age ends what is older at once",
            since: Version::V2_10,
            acts: vec![
                create("T14", ""),
                put(2, "$KV.T14.a", "", "v1"),
                Wait(1500),
                put(3, "$KV.T14.b", "", "v1"),
                update(
                    4,
                    "T14",
                    ",\"max_age\":1000000000,\"duplicate_window\":1000000000",
                ),
                Wait(150),
                get(5, "T14", "a"),
                get(6, "T14", "b"),
                Wait(2000),
                get(7, "T14", "b"),
                info(8, "T14"),
            ],
        },
        Script {
            name: "reading as of a moment",
            since: Version::V2_11,
            acts: vec![
                create("T15", ",\"max_msgs_per_subject\":5"),
                put(2, "$KV.T15.a", "", "v1"),
                put(3, "$KV.T15.b", "", "v1"),
                Wait(200),
                Mark,
                Wait(200),
                put(4, "$KV.T15.a", "", "v2"),
                put(5, "$KV.T15.c", "", "v1"),
                ask(
                    6,
                    "$JS.API.DIRECT.GET.KV_T15",
                    "{\"multi_last\":[\"$KV.T15.>\"],\"up_to_time\":\"<mark>\"}",
                ),
                ask(
                    7,
                    "$JS.API.DIRECT.GET.KV_T15",
                    "{\"start_time\":\"<mark>\",\"batch\":10}",
                ),
                ask(
                    8,
                    "$JS.API.DIRECT.GET.KV_T15",
                    "{\"next_by_subj\":\"$KV.T15.a\",\"start_time\":\"<mark>\"}",
                ),
            ],
        },
        Script {
            name: "an id is known as long as the window that an update gives",
            since: Version::V2_10,
            acts: vec![
                create("T16", ""),
                put(2, "$KV.T16.a", "Nats-Msg-Id: x\r\n", "v1"),
                update(3, "T16", ",\"duplicate_window\":500000000"),
                put(4, "$KV.T16.a", "Nats-Msg-Id: x\r\n", "v1"),
                Wait(1500),
                put(5, "$KV.T16.a", "Nats-Msg-Id: x\r\n", "v2"),
            ],
        },
    ]
}

fn update(number: usize, bucket: &str, more: &str) -> super::Act {
    let config = super::config(bucket, more);
    ask(
        number,
        &format!("$JS.API.STREAM.UPDATE.KV_{bucket}"),
        &config,
    )
}
