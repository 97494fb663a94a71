//! Replicated streams of a simulated cluster, driven by raw bytes: what is acknowledged, what is
//! answered by whom, and what the journal says really happened.

mod client;
mod elections;
mod pulls;
mod servers;
mod storm;

use std::collections::BTreeSet;
use std::time::Duration;

use kv_sim::server::{Change, Removal, Version};

use crate::replication::client::{Cluster3, create_json};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn an_acknowledgement_comes_after_the_commit_and_not_before() {
    let mut it = Cluster3::new(Version::V2_15, 1, |config| {
        config.replication.commit = 100 * MILLI;
    });
    it.create("KV_A", "");
    let reply = it.put(0, "$KV.A.a", "", "v");
    let before = it.journal_len();
    assert_eq!(it.answer(&reply), None);
    it.settle();
    assert_eq!(
        it.answer(&reply).as_deref(),
        Some(r#"{"stream":"KV_A","seq":1}"#)
    );
    let stored = it.cluster.journal().get(before).expect("one event");
    assert!(matches!(stored.change, Change::Stored { seq: 1, .. }));
}

#[test]
fn a_follower_answers_with_a_true_prefix() {
    for seed in 1..30 {
        let mut it = Cluster3::new(Version::V2_15, seed, |config| {
            config.replication.lag = 50 * MILLI;
            config.replication.prefers_own_server = seed % 2 == 0;
        });
        it.create("KV_A", r#","max_msgs_per_subject":1"#);
        let (mut seen, mut stale) = ([0_u64; 3], 0);
        for round in 1..=40_u64 {
            it.put(0, "$KV.A.a", "", &format!("v{round}"));
            it.advance(3 * MILLI);
            for (server, last) in seen.iter_mut().enumerate() {
                let reply = it.ask(server, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
                let answer = it.answer(&reply).expect("a replica answers at once");
                let seq = answer
                    .split("Nats-Sequence: ")
                    .nth(1)
                    .and_then(|rest| rest.split('\r').next()?.parse().ok())
                    .unwrap_or(0);
                assert!(seq == 0 || answer.ends_with(&format!("v{seq}")), "{answer}");
                assert!(seq <= round);
                stale += u64::from(seq < round);
                if seed % 2 == 0 {
                    assert!(*last <= seq, "each replica only goes forward");
                }
                *last = seq;
            }
            let (lowest, leader) = it.cluster.applied("KV_A").expect("it is there");
            assert!(lowest <= leader && leader == round);
        }
        assert!(stale > 10, "seed {seed}: {stale}");
        it.settle();
        assert_eq!(it.cluster.applied("KV_A"), Some((40, 40)));
    }
}

#[test]
fn a_condition_meets_what_is_under_way() {
    let answers = |version, first: &str, second: &str| {
        let mut it = Cluster3::new(version, 3, |config| config.replication.commit = 50 * MILLI);
        it.create("KV_A", "");
        let (one, two) = (
            it.put(0, "$KV.A.a", first, "1"),
            it.put(1, "$KV.A.a", second, "2"),
        );
        it.settle();
        let answer = |reply: &str| it.answer(reply).expect("an answer");
        (answer(&one), answer(&two))
    };
    let create = "Nats-Expected-Last-Subject-Sequence: 0\r\n";
    for version in Version::ALL {
        let (one, two) = answers(version, create, create);
        assert!(one.contains("\"seq\":1"), "{one}");
        let code = if version == Version::V2_10 {
            10071
        } else {
            10164
        };
        assert!(two.contains(&format!("\"err_code\":{code},")), "{two}");

        // A plain put under way is seen from 2.12 on; before, at the commit.
        let (_, two) = answers(version, "", create);
        let code = if version < Version::V2_12 {
            10071
        } else {
            10164
        };
        assert!(two.contains(&format!("\"err_code\":{code},")), "{two}");

        let id = "Nats-Msg-Id: x\r\n";
        let (_, two) = answers(version, id, id);
        if version == Version::V2_10 {
            assert!(two.contains("\"seq\":0,\"duplicate\": true"), "{two}");
        } else {
            assert!(two.contains("\"err_code\":10158,"), "{two}");
        }
    }
}

#[test]
fn a_pattern_does_not_see_what_is_under_way() {
    let mut it = Cluster3::new(Version::V2_15, 3, |config| {
        config.replication.commit = 50 * MILLI;
    });
    it.create("KV_A", "");
    let one = it.put(0, "$KV.A.g.a", "", "1");
    let condition = "Nats-Expected-Last-Subject-Sequence: 0\r\nNats-Expected-Last-Subject-Sequence-Subject: $KV.A.g.>\r\n";
    let two = it.put(1, "$KV.A.other", condition, "2");
    it.settle();
    assert!(it.answer(&one).expect("stored").contains("\"seq\":1"));
    assert!(it.answer(&two).expect("stored too").contains("\"seq\":2"));
}

#[test]
fn a_repeated_condition_with_its_id_is_answered_by_version() {
    for version in Version::ALL {
        let mut it = Cluster3::new(version, 1, |_| {});
        it.create("KV_A", "");
        let headers = "Nats-Msg-Id: x\r\nNats-Expected-Last-Subject-Sequence: 0\r\n";
        it.put(0, "$KV.A.a", headers, "1");
        let again = it.put(0, "$KV.A.a", headers, "1");
        let answer = it.answer(&again).expect("an answer");
        let wanted = if version == Version::V2_10 {
            "10071"
        } else {
            "\"duplicate\": true"
        };
        assert!(answer.contains(wanted), "{version}: {answer}");
    }
}

#[test]
fn the_journal_tells_every_removal_and_why() {
    let mut it = Cluster3::new(Version::V2_15, 1, |_| {});
    it.create(
        "KV_A",
        r#","max_msgs_per_subject":2,"allow_rollup_hdrs":true,"allow_msg_ttl":true"#,
    );
    for value in ["1", "2", "3"] {
        it.put(0, "$KV.A.a", "", value); // 1 goes by the limit
    }
    it.put(0, "$KV.A.b", "Nats-TTL: 1\r\n", "4");
    it.put(0, "$KV.A.a", "Nats-Rollup: sub\r\n", "5"); // 2 by the limit, 3 by the roll-up
    it.put(0, "$KV.A.c", "", "6");
    it.put(0, "$KV.A.d", "", "7");
    it.ask(0, "$JS.API.STREAM.MSG.DELETE.KV_A", r#"{"seq":6}"#);
    it.advance(Duration::from_secs(3));
    it.ask(0, "$JS.API.STREAM.PURGE.KV_A", "");
    it.ask(0, "$JS.API.STREAM.DELETE.KV_A", "");
    let mut told = Vec::new();
    let mut stored = BTreeSet::new();
    for event in it.cluster.journal() {
        match &event.change {
            Change::Stored { seq, .. } => assert!(stored.insert(*seq), "stored once"),
            Change::Removed { seq, why } => told.push((*seq, *why)),
            Change::Created | Change::Deleted | Change::Rewound { .. } => {}
        }
    }
    assert_eq!(stored.len(), 7);
    assert_eq!(
        told,
        [
            (1, Removal::Limit),
            (2, Removal::Limit),
            (3, Removal::RolledUp),
            (6, Removal::Deleted),
            (4, Removal::Expired),
            (5, Removal::Purged),
            (7, Removal::Purged),
        ]
    );
    let last = it.cluster.journal().last().map(|event| &event.change);
    assert_eq!(last, Some(&Change::Deleted));
}

#[test]
fn followers_end_equal_to_their_leader() {
    for seed in 1..40 {
        let mut it = Cluster3::new(Version::V2_15, seed, |config| {
            config.replication.commit = 5 * MILLI;
            config.replication.lag = 30 * MILLI;
            config.replication.prefers_own_server = true;
        });
        it.create(
            "KV_A",
            r#","max_msgs_per_subject":2,"allow_rollup_hdrs":true,"max_msgs":5"#,
        );
        for round in 0..30_u64 {
            let key = ["$KV.A.a", "$KV.A.b", "$KV.A.c"][(round * seed % 3) as usize];
            let headers = if round % 7 == 3 {
                "Nats-Rollup: sub\r\n"
            } else {
                ""
            };
            it.put((round % 3) as usize, key, headers, &format!("{round}"));
            if round % 11 == 5 {
                it.ask(0, "$JS.API.STREAM.PURGE.KV_A", r#"{"filter":"$KV.A.b"}"#);
            }
            it.advance(2 * MILLI);
        }
        it.settle();
        let all = r#"{"multi_last":["$KV.A.>"]}"#;
        let replies = [0, 1, 2].map(|server| it.ask(server, "$JS.API.DIRECT.GET.KV_A", all));
        let answers = replies.map(|reply| it.answers(&reply));
        assert!(!answers[0].is_empty());
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }
}

#[test]
fn stream_info_tells_the_replicas() {
    let mut it = Cluster3::new(Version::V2_15, 1, |_| {});
    it.create("KV_A", "");
    let reply = it.ask(0, "$JS.API.STREAM.INFO.KV_A", "");
    let info = it.answer(&reply).expect("an answer");
    let leader = it.cluster.leader("KV_A").expect("it has one").0;
    assert!(
        info.contains(&format!("\"leader\":\"sim-{leader}\"")),
        "{info}"
    );
    assert_eq!(info.matches("\"current\":true").count(), 2, "{info}");
    assert!(create_json("KV_A", "").contains("\"num_replicas\":3"));
}

#[test]
fn draws_of_replication_change_nothing_else() {
    let names = |lag: u64| {
        let mut it = Cluster3::new(Version::V2_15, 5, |config| {
            config.replication.lag = MILLI * u32::try_from(lag).unwrap_or(0);
        });
        it.create("KV_A", "");
        for _ in 0..9 {
            it.put(0, "$KV.A.a", "", "v");
        }
        // The server makes up the name of this consumer.
        let body = r#"{"stream_name":"KV_A","config":{"deliver_subject":"d","ack_policy":"none"}}"#;
        let reply = it.ask(0, "$JS.API.CONSUMER.CREATE.KV_A", body);
        let answer = it.answer(&reply).unwrap_or_default();
        answer
            .split("\"name\":\"")
            .nth(1)
            .map(|rest| rest[..8].to_owned())
    };
    assert!(names(0).is_some());
    assert_eq!(names(0), names(40));
}
