//! What simulated servers do to a client that watches, seen by a raw one.

mod flow;
mod watcher;

use std::time::Duration;

use kv_sim::server::{
    ApiCall, ApiRefusal, CountFault, DeliveryFault, HeartbeatFault, ReplyFault, ServerId,
};

use crate::watching::watcher::{INBOX, Watcher};

const MILLI: Duration = Duration::from_millis(1);

/// A bucket with three keys, and a watch of it that has been told of none yet.
fn three_keys() -> Watcher {
    let mut it = Watcher::new(1, |_| ());
    ["a", "b", "c"].iter().for_each(|key| it.put(key, "v"));
    it
}

/// The consumer sequences that are delivered of a snapshot of three keys, at once and within two seconds.
fn delivered(fault: DeliveryFault) -> (Vec<String>, Vec<String>) {
    let mut it = three_keys();
    it.cluster.disturb_delivery(fault);
    it.watch("w");
    assert_eq!(it.met().len(), 1);
    let at_once = it.sequences();
    it.advance(2_000 * MILLI);
    (at_once, it.sequences())
}

#[test]
fn deliveries_are_lost_repeated_and_late() {
    let none: [&str; 0] = [];
    let cases: [(DeliveryFault, &[&str], &[&str]); 6] = [
        (DeliveryFault::Dropped, &["2", "3"], &none),
        (DeliveryFault::Doubled, &["1", "1", "2", "3"], &none),
        (DeliveryFault::Overtaken, &["2", "1", "3"], &none),
        (DeliveryFault::Delayed { ms: 900 }, &["2", "3"], &["1"]),
        (DeliveryFault::Echoed { ms: 900 }, &["1", "2", "3"], &["1"]),
        (DeliveryFault::Orphaned, &none, &none),
    ];
    for (fault, at_once, later) in cases {
        let told = delivered(fault);
        assert_eq!(
            (told.0.as_slice(), told.1.as_slice()).0,
            at_once,
            "{fault:?}"
        );
        assert_eq!(told.1, later, "{fault:?}");
    }
}

#[test]
fn what_nothing_overtakes_comes_soon() {
    let mut it = Watcher::new(1, |_| ());
    it.watch("w");
    it.cluster.disturb_delivery(DeliveryFault::Overtaken);
    it.put("a", "v");
    assert_eq!(it.sequences(), [] as [&str; 0]);
    it.advance(50 * MILLI);
    assert_eq!(it.sequences(), ["1"]);
}

#[test]
fn a_late_message_comes_to_an_id_that_is_over() {
    let mut it = three_keys();
    it.cluster
        .disturb_delivery(DeliveryFault::Delayed { ms: 500 });
    it.watch("w");
    it.say("UNSUB 7\r\nSUB _INBOX.watch 8\r\n");
    it.come();
    it.advance(600 * MILLI);
    let late = it.come();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].sid.as_str(), late[0].token(2)), ("7", "1"));
}

#[test]
fn reply_subjects_have_other_forms() {
    for (tokens, wide) in [(11, false), (12, false), (11, true), (12, true)] {
        let mut it = Watcher::new(1, |config| config.wide_replies = wide);
        it.put("a", "v");
        it.cluster
            .disturb_delivery(DeliveryFault::Widened { tokens });
        it.watch("w");
        let come = it.come();
        let parts: Vec<&str> = come[0].reply.split('.').collect();
        assert_eq!(parts.len(), usize::from(tokens));
        assert_eq!(parts[4..6], ["KV_b", "w"]);
        assert_eq!((parts[7], parts[8], parts[10]), ("1", "1", "0"));
    }
    for form in 0..6 {
        let mut it = three_keys();
        it.cluster
            .disturb_delivery(DeliveryFault::Unreadable { form });
        it.watch("w");
        let come = it.come();
        let parts = come[0].reply.split('.').count();
        let counts = come[0].token(0).parse::<u64>().is_ok();
        assert!(parts != 9 || !counts, "{}", come[0].reply);
        assert_eq!(come[1].token(2), "2");
    }
}

#[test]
fn heartbeats_are_missing_late_early_and_wrong() {
    let beats = |it: &mut Watcher, time: Duration| -> Vec<String> {
        it.advance(time);
        let come = it.come();
        let beats = come.iter().filter(|frame| frame.has("Idle Heartbeat"));
        beats.map(|frame| frame.text.clone()).collect()
    };
    let mut it = three_keys();
    it.cluster.disturb_heartbeat(it.now, HeartbeatFault::Early);
    it.watch("w");
    let come = it.come();
    assert!(come[0].has("Nats-Last-Consumer: 0\r\n") && come[0].subject == INBOX);
    assert_eq!(come.len(), 4);

    it.cluster
        .disturb_heartbeat(it.now, HeartbeatFault::Missing { ms: 2_500 });
    assert_eq!(beats(&mut it, 2_600 * MILLI).len(), 0);
    assert_eq!(beats(&mut it, 1_000 * MILLI).len(), 1);

    it.cluster
        .disturb_heartbeat(it.now, HeartbeatFault::Tardy { ms: 700 });
    assert_eq!(beats(&mut it, 1_000 * MILLI).len(), 0);
    assert_eq!(beats(&mut it, 1_000 * MILLI).len(), 2);

    it.cluster
        .disturb_heartbeat(it.now, HeartbeatFault::Ahead { by: 5 });
    it.cluster
        .disturb_heartbeat(it.now, HeartbeatFault::Elsewhere { by: 6 });
    let wrong = beats(&mut it, 2_000 * MILLI);
    assert!(wrong[0].contains("Nats-Last-Consumer: 8\r\nNats-Last-Stream: 3\r\n"));
    assert!(wrong[1].contains("Nats-Last-Consumer: 3\r\nNats-Last-Stream: 9\r\n"));

    assert!(it.cluster.beat(it.now));
    assert_eq!(beats(&mut it, Duration::ZERO).len(), 1);
    it.say("UNSUB 7\r\n");
    assert!(!it.cluster.beat(it.now));
}

#[test]
fn counts_are_wrong_where_a_client_can_know_better() {
    let mut it = three_keys();
    for fault in [
        CountFault::AtFirst { by: 4 },
        CountFault::More { by: 7 },
        CountFault::Nothing,
        CountFault::Asked { by: 2 },
    ] {
        it.cluster.disturb_count(fault);
    }
    let created = it.watch("w");
    // The answer comes before the messages.
    assert!(created.contains("\"num_pending\":7"), "{created}");
    let pending: Vec<String> = it
        .come()
        .iter()
        .map(|one| one.token(0).to_owned())
        .collect();
    assert_eq!(pending, ["9", "0", "0"]);
    let asked = it.ask("CONSUMER.INFO.KV_b.w", "");
    assert!(asked.contains("\"num_pending\":2"), "{asked}");
    let asked = it.ask("CONSUMER.INFO.KV_b.w", "");
    assert!(asked.contains("\"num_pending\":0"), "{asked}");
    assert_eq!(it.met().len(), 4);
}

#[test]
fn calls_are_refused_done_or_not() {
    let mut it = Watcher::new(1, |_| ());
    let (create, delete) = (ApiCall::CreateCall, ApiCall::DeleteCall);
    it.cluster
        .refuse_call(create, ApiRefusal::Unavailable, false);
    // What meets other calls waits.
    assert!(it.ask("CONSUMER.INFO.KV_b.w", "").contains("10014"));
    assert!(it.watch("w").contains("10008"));
    assert_eq!(it.cluster.consumers(), 0);
    it.cluster.refuse_call(create, ApiRefusal::Short, true);
    assert!(it.watch("w").contains("10023"));
    assert_eq!(it.cluster.consumers(), 1);
    // Once more is no other consumer.
    assert!(it.watch("w").contains("\"name\":\"w\""));
    assert_eq!(it.cluster.consumers(), 1);
    it.cluster
        .refuse_call(delete, ApiRefusal::NobodyThere, true);
    assert!(it.ask("CONSUMER.DELETE.KV_b.w", "").contains("503"));
    assert_eq!(it.cluster.consumers(), 0);
    it.cluster.disturb_call(create, ReplyFault::Lost);
    assert_eq!(it.watch("x"), "");
    let made: Vec<String> = std::iter::from_fn(|| it.cluster.poll_made())
        .filter(|made| made.by == it.conn)
        .map(|made| made.name)
        .collect();
    assert_eq!(made, ["w", "x"]);
}

#[test]
fn faults_of_replies_leave_alone_what_consumers_send() {
    let mut it = three_keys();
    it.cluster.disturb_reply(ReplyFault::Garbage);
    it.cluster.disturb_reply(ReplyFault::Lost);
    assert_eq!(it.watch("w"), "{\"stream\":");
    assert_eq!(it.sequences(), ["1", "2", "3"]);
    assert_eq!(it.ask("STREAM.INFO.KV_b", ""), "");
}

/// The stream's own replicas do not help: a consumer in memory is on one server only.
#[test]
fn consumers_in_memory_go_with_their_server() {
    for replicas in [1, 3] {
        for seed in 0..6 {
            let mut it = Watcher::new(replicas, |config| {
                config.replication.prefers_own_server = seed % 2 == 0;
            });
            it.watch("w");
            let seen = it.only_consumer();
            assert_eq!((seen.deliver.as_str(), seen.owner), (INBOX, Some(it.conn)));
            if replicas > 1 && seen.host == ServerId(0) {
                continue; // the client's own
            }
            it.come();
            it.cluster.stop(it.now, seen.host);
            it.advance(100 * MILLI);
            assert_eq!(it.come(), []);
            assert_eq!(it.cluster.consumer_list(), []);
            if replicas > 1 {
                let away = it.ask("CONSUMER.INFO.KV_b.w", "");
                assert!(away.contains("10119"), "{away}");
                it.cluster.restart(it.now, seen.host, true);
                let gone = it.ask("CONSUMER.INFO.KV_b.w", "");
                assert!(gone.contains("10014"), "{gone}");
            }
        }
    }
}

#[test]
fn an_inbox_is_denied() {
    let mut it = three_keys();
    it.cluster.deny_subscribing(it.now, it.conn, "_INBOX.>");
    it.say("UNSUB 7\r\nSUB _INBOX.watch 8\r\n");
    let come = it.come();
    let text = "-ERR 'Permissions Violation for Subscription to \"_INBOX.watch\"'";
    assert_eq!(come[0].text, text);
    assert!(it.watch("w").contains("\"name\":\"w\""));
    assert_eq!(it.only_consumer().owner, None);
    assert_eq!(it.come(), []);
    it.advance(7_000 * MILLI);
    assert_eq!(it.cluster.consumer_list(), []);
}

#[test]
fn entries_vanish_before_they_are_delivered() {
    let mut it = three_keys();
    assert!(it.cluster.erase(it.now, "KV_b", "$KV.b.b"));
    assert!(!it.cluster.erase(it.now, "KV_b", "$KV.b.b"));
    it.watch("w");
    assert_eq!(it.sequences(), ["1", "2"]);
}
