//! Servers that stop and start again.

use std::time::Duration;

use kv_sim::server::{Change, ServerId, Version};

use crate::MILLI;
use crate::client::Cluster3;

fn filled(more: &str) -> Cluster3 {
    let mut it = Cluster3::new(Version::V2_15, 7, |config| {
        config.replication.election = 40 * MILLI;
    });
    it.create("KV_A", more);
    it.put(0, "$KV.A.a", "", "first");
    it.settle();
    it
}

fn up_but(down: &[usize]) -> Vec<usize> {
    (0..3).filter(|server| !down.contains(server)).collect()
}

#[test]
fn a_stream_elects_another_leader_when_its_server_stops() {
    for more in ["", r#","storage":"memory""#] {
        let mut it = filled(more);
        let old = it.cluster.leader("KV_A").expect("it has one");
        it.cluster.stop(it.now, old);
        it.settle();
        let new = it.cluster.leader("KV_A").expect("another");
        assert_ne!(old, new);
        let through = up_but(&[old.0])[0];
        let reply = it.put(through, "$KV.A.a", "", "second");
        assert_eq!(
            it.answer(&reply).as_deref(),
            Some(r#"{"stream":"KV_A","seq":2}"#)
        );

        it.cluster.restart(it.now, old, false);
        it.connect(old.0);
        it.settle();
        let reply = it.ask(old.0, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
        assert!(it.answer(&reply).expect("it caught up").ends_with("second"));
        assert_eq!(it.cluster.applied("KV_A"), Some((2, 2)));
        let rewound = it.cluster.journal().iter();
        let mut rewound = rewound.filter(|one| matches!(one.change, Change::Rewound { .. }));
        assert!(rewound.next().is_none(), "nothing was lost");
    }
}

#[test]
fn without_a_majority_nothing_is_written_and_everything_read() {
    let mut it = filled("");
    let leader = it.cluster.leader("KV_A").expect("it has one");
    let others = up_but(&[leader.0]);
    for server in &others {
        it.cluster.stop(it.now, ServerId(*server));
    }
    // At first the leader does not know.
    let put = it.put(leader.0, "$KV.A.a", "", "second");
    let get = it.ask(leader.0, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    let create = it.ask(leader.0, "$JS.API.STREAM.CREATE.X", r#"{"name":"X"}"#);
    it.settle();
    assert_eq!(it.answer(&put), None);
    assert!(it.answer(&get).expect("an answer").ends_with("first"));
    assert!(it.answer(&create).expect("an answer").contains("10008"));
    it.advance(Duration::from_secs(12));
    let late = it.put(leader.0, "$KV.A.a", "", "third");
    let info = it.ask(leader.0, "$JS.API.STREAM.INFO.KV_A", "");
    let get = it.ask(leader.0, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    assert!(
        it.answer(&late)
            .expect("an answer")
            .starts_with("NATS/1.0 503")
    );
    assert!(!it.answer(&info).expect("an answer").contains("\"leader\""));
    assert!(it.answer(&get).expect("an answer").ends_with("first"));
    assert_eq!(it.journal_payloads(), ["first"]);

    it.cluster.restart(it.now, ServerId(others[0]), true);
    it.settle();
    assert!(it.cluster.leader("KV_A").is_some());
    let reply = it.put(leader.0, "$KV.A.a", "", "fourth");
    assert!(it.answer(&reply).expect("an answer").contains("\"seq\":"));
}

#[test]
fn an_unreplicated_stream_is_where_its_server_is() {
    let mut it = filled(r#","num_replicas":1"#);
    let home = it.cluster.leader("KV_A").expect("it has one");
    let other = up_but(&[home.0])[0];
    let reply = it.ask(other, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    assert!(it.answer(&reply).expect("an answer").ends_with("first"));
    it.cluster.stop(it.now, home);
    let put = it.put(other, "$KV.A.a", "", "second");
    let get = it.ask(other, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    let info = it.ask(other, "$JS.API.STREAM.INFO.KV_A", "");
    assert!(
        it.answer(&put)
            .expect("an answer")
            .starts_with("NATS/1.0 503")
    );
    assert!(
        it.answer(&get)
            .expect("an answer")
            .starts_with("NATS/1.0 503")
    );
    assert!(
        it.answer(&info)
            .expect("an answer")
            .contains("\"err_code\":10118,")
    );
    it.cluster.restart(it.now, home, false);
    let get = it.ask(other, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    assert!(it.answer(&get).expect("files survive").ends_with("first"));
}

#[test]
fn memory_is_lost_with_its_only_server() {
    let mut it = filled(r#","num_replicas":1,"storage":"memory""#);
    let home = it.cluster.leader("KV_A").expect("it has one");
    let other = up_but(&[home.0])[0];
    it.cluster.restart(it.now, home, false);
    let get = it.ask(other, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    assert!(
        it.answer(&get)
            .expect("an answer")
            .starts_with("NATS/1.0 404")
    );
    let last = it
        .cluster
        .journal()
        .last()
        .map(|event| event.change.clone());
    assert_eq!(last, Some(Change::Rewound { last: 0 }));
    let reply = it.put(other, "$KV.A.a", "", "again");
    assert_eq!(
        it.answer(&reply).as_deref(),
        Some(r#"{"stream":"KV_A","seq":1}"#)
    );
}

#[test]
fn memory_that_every_replica_lost_is_lost() {
    let mut it = filled(r#","storage":"memory""#);
    for server in 0..3 {
        it.cluster.stop(it.now, ServerId(server));
    }
    for server in 0..3 {
        it.cluster.restart(it.now, ServerId(server), false);
        it.connect(server);
    }
    it.settle();
    let get = it.ask(0, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    assert!(
        it.answer(&get)
            .expect("an answer")
            .starts_with("NATS/1.0 404")
    );
    let lost = |one: &kv_sim::server::Event| one.change == Change::Rewound { last: 0 };
    assert_eq!(
        it.cluster.journal().iter().filter(|one| lost(one)).count(),
        1
    );
}

#[test]
fn a_consumer_in_memory_goes_with_its_server_and_says_nothing() {
    let mut it = filled("");
    let other = 0;
    for server in 0..3 {
        it.say(server, b"SUB dv 9\r\n");
    }
    let body = r#"{"stream_name":"KV_A","config":{"name":"c1","deliver_subject":"dv","ack_policy":"none","mem_storage":true,"num_replicas":1,"idle_heartbeat":1000000000}}"#;
    it.ask(other, "$JS.API.CONSUMER.CREATE.KV_A.c1", body);
    assert_eq!(it.delivered.len(), 3);
    let info = it.ask(other, "$JS.API.CONSUMER.INFO.KV_A.c1", "");
    let answer = it.answer(&info).expect("an answer");
    let home = (0..3).find(|at| answer.contains(&format!("\"leader\":\"sim-{at}\"")));
    let home = ServerId(home.expect("it is somewhere"));
    it.cluster.stop(it.now, home);
    let other = up_but(&[home.0])[0];
    it.settle();
    it.advance(Duration::from_secs(5));
    it.put(other, "$KV.A.a", "", "second");
    it.settle();
    assert_eq!(it.delivered.len(), 3, "neither messages nor heartbeats");
    let info = it.ask(other, "$JS.API.CONSUMER.INFO.KV_A.c1", "");
    let answer = it.answer(&info).expect("an answer");
    assert!(answer.contains("\"err_code\":10119,"), "{answer}");
    it.cluster.restart(it.now, home, true);
    let info = it.ask(other, "$JS.API.CONSUMER.INFO.KV_A.c1", "");
    let answer = it.answer(&info).expect("an answer");
    assert!(answer.contains("\"err_code\":10014,"), "{answer}");
}
