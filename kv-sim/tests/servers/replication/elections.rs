//! Changes of leader, and what becomes of everything that was under way.

use std::time::Duration;

use kv_sim::server::{Change, Election, InFlight, ServerId, Version};

use crate::replication::MILLI;
use crate::replication::client::Cluster3;

fn election(in_flight: InFlight) -> Election {
    Election {
        leaderless: 80 * MILLI,
        in_flight,
        old_leader_answers: Duration::ZERO,
    }
}

fn slow_commits(seed: u64) -> Cluster3 {
    let mut it = Cluster3::new(Version::V2_15, seed, |config| {
        config.replication.commit = 60 * MILLI;
        config.replication.lag = 20 * MILLI;
    });
    it.create("KV_A", "");
    it.put(0, "$KV.A.a", "", "first");
    it.settle();
    it
}

#[test]
fn what_is_lost_in_flight_never_happens() {
    for seed in 1..40 {
        let mut it = slow_commits(seed);
        let reply = it.put(1, "$KV.A.a", "", "lost");
        it.cluster.elect(it.now, "KV_A", election(InFlight::Lost));
        it.settle();
        assert_eq!(it.answer(&reply), None);
        assert_eq!(it.journal_payloads(), ["first"]);
        let again = it.put(
            1,
            "$KV.A.a",
            "Nats-Expected-Last-Subject-Sequence: 1\r\n",
            "2",
        );
        it.settle();
        assert_eq!(
            it.answer(&again).as_deref(),
            Some(r#"{"stream":"KV_A","seq":2}"#)
        );
    }
}

#[test]
fn what_is_committed_without_acknowledgement_did_happen() {
    let mut it = slow_commits(2);
    let reply = it.put(1, "$KV.A.a", "Nats-Msg-Id: x\r\n", "kept");
    it.cluster
        .elect(it.now, "KV_A", election(InFlight::CommittedUnacknowledged));
    it.settle();
    assert_eq!(it.answer(&reply), None);
    assert_eq!(it.journal_payloads(), ["first", "kept"]);
    let again = it.put(1, "$KV.A.a", "Nats-Msg-Id: x\r\n", "kept");
    it.settle();
    let answer = it.answer(&again).expect("an answer");
    assert!(answer.contains("\"seq\":2,\"duplicate\": true"), "{answer}");
}

#[test]
fn without_a_leader_there_is_silence_or_503() {
    let (mut silent, mut refused, mut quiet, mut unavailable) = (0, 0, 0, 0);
    for seed in 1..40 {
        let mut it = slow_commits(seed);
        it.cluster.elect(it.now, "KV_A", election(InFlight::Lost));
        assert_eq!(it.cluster.leader("KV_A"), None);
        let put = it.put(0, "$KV.A.a", "", "v");
        let info = it.ask(0, "$JS.API.STREAM.INFO.KV_A", "");
        let get = it.ask(0, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
        assert!(
            it.answer(&get)
                .expect("replicas need no leader")
                .ends_with("first")
        );
        it.settle();
        match it.answer(&put) {
            None => silent += 1,
            Some(answer) if answer.starts_with("NATS/1.0 503\r\n") => refused += 1,
            Some(answer) => panic!("{answer}"),
        }
        match it.answer(&info) {
            None => quiet += 1,
            Some(answer) if answer.contains("10008") => unavailable += 1,
            Some(answer) => panic!("{answer}"),
        }
        assert!(it.cluster.leader("KV_A").is_some());
        assert_eq!(it.journal_payloads(), ["first"]);
    }
    assert!(silent > 5 && refused > 5 && quiet > 5 && unavailable > 5);
}

#[test]
fn an_old_leader_answers_with_what_it_had() {
    let mut it = slow_commits(4);
    let long = Election {
        leaderless: 10 * MILLI,
        in_flight: InFlight::Lost,
        old_leader_answers: 900 * MILLI,
    };
    it.cluster.elect(it.now, "KV_A", long);
    let last = r#"{"last_by_subj":"$KV.A.a"}"#;
    let during = it.ask(2, "$JS.API.STREAM.MSG.GET.KV_A", last);
    assert!(
        it.answer(&during)
            .expect("it answers")
            .contains("\"seq\":1,")
    );
    it.advance(50 * MILLI);
    it.put(0, "$KV.A.a", "", "second");
    it.settle();
    let stale = it.ask(2, "$JS.API.STREAM.MSG.GET.KV_A", last);
    assert!(
        it.answer(&stale)
            .expect("it answers")
            .contains("\"seq\":1,")
    );
    it.settle();
    let fresh = it.ask(2, "$JS.API.STREAM.MSG.GET.KV_A", last);
    assert!(it.answer(&fresh).expect("an answer").contains("\"seq\":2,"));
}

#[test]
fn a_lagging_server_answers_with_the_past() {
    let mut it = slow_commits(5);
    let leader = it.cluster.leader("KV_A").expect("it has one").0;
    let follower = (leader + 1) % 3;
    it.cluster
        .lag(it.now, ServerId(follower), Duration::from_secs(5));
    it.put(0, "$KV.A.a", "", "second");
    it.settle();
    let subject = "$JS.API.DIRECT.GET.KV_A.$KV.A.a";
    let (old, new) = (it.ask(follower, subject, ""), it.ask(leader, subject, ""));
    assert!(it.answer(&old).expect("an answer").ends_with("first"));
    assert!(it.answer(&new).expect("an answer").ends_with("second"));
    assert_eq!(it.cluster.applied("KV_A"), Some((1, 2)));
    it.advance(Duration::from_secs(6));
    assert_eq!(it.cluster.applied("KV_A"), Some((2, 2)));
}

#[test]
fn a_consumer_on_a_lagging_server_begins_in_the_past() {
    let mut it = slow_commits(6);
    it.say(0, b"SUB dv 9\r\n");
    for server in 0..3 {
        it.cluster
            .lag(it.now, ServerId(server), Duration::from_secs(5));
    }
    it.put(0, "$KV.A.a", "", "second");
    it.settle();
    let mut pending = Vec::new();
    for number in 0..12 {
        let body = format!(
            r#"{{"stream_name":"KV_A","config":{{"name":"c{number}","deliver_subject":"dv","ack_policy":"none","mem_storage":true}}}}"#
        );
        let reply = it.ask(0, &format!("$JS.API.CONSUMER.CREATE.KV_A.c{number}"), &body);
        let answer = it.answer(&reply).expect("an answer");
        pending.extend(
            answer
                .split("\"num_pending\":")
                .nth(1)
                .map(|rest| rest[..1].to_owned()),
        );
    }
    assert!(
        pending.contains(&"1".to_owned()),
        "some live with a follower: {pending:?}"
    );
    assert!(
        pending.contains(&"2".to_owned()),
        "some with the leader: {pending:?}"
    );
    let seconds = |it: &Cluster3| {
        let all = it.delivered.iter();
        all.filter(|(_, text)| text.ends_with("second")).count()
    };
    assert!(seconds(&it) < 12);
    it.advance(Duration::from_secs(6));
    assert_eq!(seconds(&it), 12);
}

#[test]
fn a_rewind_is_the_same_on_all_replicas() {
    for seed in 1..20 {
        let mut it = slow_commits(seed);
        for value in ["2", "3", "4"] {
            it.put(0, "$KV.A.a", "", value);
        }
        it.settle();
        let under_way = it.put(0, "$KV.A.a", "", "5");
        it.cluster.rewind(it.now, "KV_A", 2);
        assert_eq!(it.cluster.applied("KV_A"), Some((2, 2)));
        for server in 0..3 {
            it.connect(server);
        }
        it.settle();
        for server in 0..3 {
            let reply = it.ask(server, "$JS.API.DIRECT.GET.KV_A.$KV.A.a", "");
            assert!(it.answer(&reply).expect("an answer").ends_with('2'));
        }
        assert_eq!(it.answer(&under_way), None);
        let last = it
            .cluster
            .journal()
            .last()
            .map(|event| event.change.clone());
        assert_eq!(last, Some(Change::Rewound { last: 2 }));
        let reply = it.put(0, "$KV.A.a", "", "again 3");
        it.settle();
        assert_eq!(
            it.answer(&reply).as_deref(),
            Some(r#"{"stream":"KV_A","seq":3}"#)
        );
    }
}

#[test]
fn nonsense_changes_nothing() {
    let mut it = slow_commits(1);
    let events = it.journal_len();
    it.cluster.elect(it.now, "NOPE", election(InFlight::Lost));
    it.cluster.stop(it.now, ServerId(9));
    it.cluster.restart(it.now, ServerId(9), true);
    it.cluster.lag(it.now, ServerId(9), MILLI);
    it.cluster.elect(it.now, "KV_A", election(InFlight::Lost));
    it.cluster.elect(it.now, "KV_A", election(InFlight::Lost)); // nobody leads already
    it.settle();
    assert_eq!(it.journal_len(), events);
    assert_eq!(it.cluster.applied("NOPE"), None);
    assert_eq!(it.cluster.applied("KV_A"), Some((1, 1)));
}
