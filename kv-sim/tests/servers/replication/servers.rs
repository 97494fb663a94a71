//! Servers that stop and start again.

use std::time::Duration;

use kv_sim::server::{Change, ServerId, Version};

use crate::replication::MILLI;
use crate::replication::client::Cluster3;

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
    assert_eq!(it.answer(&create), None);
    it.advance(Duration::from_secs(12));
    let late = it.put(leader.0, "$KV.A.a", "", "third");
    let info = it.ask(leader.0, "$JS.API.STREAM.INFO.KV_A", "");
    let create = it.ask(leader.0, "$JS.API.STREAM.CREATE.X", r#"{"name":"X"}"#);
    let get = it.ask(leader.0, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    assert!(
        it.answer(&late)
            .expect("an answer")
            .starts_with("NATS/1.0 503")
    );
    assert!(it.answer(&create).expect("an answer").contains("10008"));
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

#[test]
fn a_stream_takes_more_replicas_and_gives_them_up() {
    let mut it = filled(r#","num_replicas":1"#);
    let change = |it: &mut Cluster3, replicas: usize| {
        let more = format!(r#","num_replicas":{replicas}"#);
        let body = crate::replication::create_json("KV_A", &more);
        let reply = it.ask(0, "$JS.API.STREAM.UPDATE.KV_A", &body);
        let answer = it.answer(&reply).expect("an answer");
        assert!(!answer.contains("error"), "{answer}");
        it.settle();
    };
    change(&mut it, 3);
    it.put(0, "$KV.A.a", "", "second");
    it.settle();
    let first = it.cluster.leader("KV_A").expect("it has one");
    it.cluster.stop(it.now, first);
    it.settle();
    let other = up_but(&[first.0])[0];
    let get = it.ask(other, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
    assert!(it.answer(&get).expect("an answer").ends_with("second"));
    it.cluster.restart(it.now, first, true);
    it.connect(0);
    it.settle();
    change(&mut it, 1);
    let reply = it.put(0, "$KV.A.a", "", "third");
    assert!(it.answer(&reply).expect("an answer").contains("\"seq\":3}"));
    assert_eq!(it.cluster.applied("KV_A"), Some((3, 3)));
}

#[test]
fn five_servers_take_a_stream_of_three_or_of_five() {
    for replicas in [3, 5] {
        let mut it = Cluster3::new(Version::V2_15, 11, |config| config.servers = 5);
        it.create("KV_A", &format!(r#","num_replicas":{replicas}"#));
        it.put(0, "$KV.A.a", "", "v");
        for stopped in [3, 4] {
            it.cluster.stop(it.now, ServerId(stopped));
        }
        it.settle();
        // Servers without a replica let others answer.
        for server in 0..3 {
            let get = it.ask(server, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
            let answer = it.answer(&get).expect("an answer");
            assert!(answer.ends_with("\r\nv"), "{answer}");
        }
        if replicas == 5 {
            let reply = it.put(0, "$KV.A.a", "", "w");
            assert!(it.answer(&reply).expect("an answer").contains("\"seq\":2}"));
        }
    }
}
