//! What each fault does, to whom it is done: one fault at one moment, and those that come again and again.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kv_sim::serve::{Calamity, Fault, Server};
use kv_sim::server::{Recurring, ReplyFault, Version};
use kv_sim::{ServeConfig, serve};
use serde_json::{Value, json};

use crate::client::{Client, eventually, one};

/// One fault at one moment: the write is stored, its acknowledgement does not come, the next one does.
#[test]
fn a_test_loses_one_acknowledgement() {
    let server = one();
    let mut client = Client::connect(server.addresses()[0]);
    client.create_bucket("b");
    server.with_cluster(|cluster, _| cluster.disturb_reply(ReplyFault::Lost));
    client.publish("$KV.b.k", "lost", "1");
    client.publish("$KV.b.k", "comes", "2");
    let line = client.line();
    assert!(line.contains(".comes "), "{line}");
    let ack: Value = serde_json::from_str(&client.line()).unwrap();
    assert_eq!(ack["seq"], 2);
}

/// Standing faults of messages meet exactly one in so many, and end when they are taken back.
#[test]
fn standing_faults_are_counted() {
    let faults = Fault::parse_list("lost-ack=3").unwrap();
    let server = serve(ServeConfig::new(Version::V2_15).faults(faults.clone())).unwrap();
    assert_eq!(server.faults(), faults);
    let mut client = Client::connect(server.addresses()[0]);
    client.create_bucket("b");
    let mut acked = |count: u64| {
        for number in 0..count {
            client.publish("$KV.b.k", &number.to_string(), "v");
        }
        client.publish("$JS.API.STREAM.INFO.KV_b", "end", "");
        let mut acked = Vec::new();
        loop {
            let line = client.line();
            let inbox = line.split(' ').nth(1).unwrap().to_owned();
            client.line();
            match inbox.rsplit('.').next().unwrap() {
                "end" => return acked,
                number => acked.push(number.parse::<u64>().unwrap()),
            }
        }
    };
    assert_eq!(acked(7), [0, 1, 3, 4, 6]);
    server.set_faults(&[]);
    assert_eq!(acked(4), [0, 1, 2, 3]);
}

/// Each fault of a write does what it says to the write, to what the client is told, and to the connection.
#[test]
fn faults_of_writes_are_what_they_say() {
    let one = NonZeroU64::MIN;
    for (fault, told, stored) in [
        (Recurring::RefusedPublish, Some(10_023), 0),
        (Recurring::MisreportedPublish, Some(10_077), 1),
        (Recurring::SeveredAck, None, 1),
    ] {
        let server = serve(ServeConfig::new(Version::V2_15)).unwrap();
        let mut client = Client::connect(server.addresses()[0]);
        client.create_bucket("b");
        server.set_faults(&[Fault::Message(fault, one)]);
        client.publish("$KV.b.k", "write", "v");
        match told {
            Some(code) => {
                let answer = client.answer("write");
                assert_eq!(answer["error"]["err_code"], code);
            }
            None => assert_eq!(client.last_words(), "", "{fault:?}"),
        }
        let mut other = Client::connect(server.addresses()[0]);
        let info = other.request("$JS.API.STREAM.INFO.KV_b", "");
        assert_eq!(info["state"]["messages"], stored, "{fault:?}");
    }
}

/// What befalls servers comes by itself, and again.
#[test]
fn calamities_come_by_themselves() {
    let server = one();
    let address = server.addresses()[0];
    let mut client = Client::connect(address);
    client.create_bucket("b");
    client.request("$KV.b.k", "v");
    let before = client.request("$JS.API.STREAM.INFO.KV_b", "")["created"].clone();

    let often = Duration::from_millis(50);
    server.set_faults(&[Fault::Servers(Calamity::Recreate, often)]);
    let mut info = || client.request("$JS.API.STREAM.INFO.KV_b", "");
    eventually("it is created again", || info()["created"] != before);
    server.set_faults(&[]);
    let now = info();
    assert_eq!(
        (&now["state"]["messages"], &now["state"]["last_seq"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(now["config"]["max_msgs_per_subject"], 1);

    client.request("$KV.b.k", "v");
    server.set_faults(&[Fault::Servers(Calamity::Rewind, often)]);
    assert_eq!(client.last_words(), "");
    server.set_faults(&[]);
    let mut client = Client::connect(address);
    let now = client.request("$JS.API.STREAM.INFO.KV_b", "");
    assert_eq!(now["state"]["last_seq"], 0);

    for calamity in [
        Calamity::Disconnect,
        Calamity::Restart,
        Calamity::Disconnect,
    ] {
        let mut client = Client::connect(address);
        server.set_faults(&[Fault::Servers(calamity, often)]);
        assert_eq!(client.last_words(), "");
    }
}

/// A watcher on a bucket with that many entries, and what it is sent: consumer sequences, until they are all
/// there or nothing came for a while.
fn deliveries(fault: Recurring, entries: u64) -> (Server, Vec<u64>) {
    let server = one();
    let mut client = Client::connect(server.addresses()[0]);
    client.create_bucket("b");
    for number in 0..entries {
        client.request(&format!("$KV.b.k{number}"), "v");
    }
    let third = NonZeroU64::new(3).unwrap();
    server.set_faults(&[Fault::Message(fault, third)]);
    client.send(b"SUB told 2\r\n");
    let config = json!({ "stream_name": "KV_b", "config": { "name": "w", "deliver_subject": "told",
        "deliver_policy": "all", "ack_policy": "none", "filter_subject": "$KV.b.>" } });
    client.publish(
        "$JS.API.CONSUMER.CREATE.KV_b.w.$KV.b.>",
        "made",
        &config.to_string(),
    );
    let quiet = Duration::from_millis(300);
    client
        .reader
        .get_ref()
        .set_read_timeout(Some(quiet))
        .unwrap();
    let mut sequences = Vec::new();
    while let Some(line) = client.line_in_time() {
        if let Some((_, ack)) = line.split_once(" $JS.ACK.KV_b.w.1.") {
            sequences.push(ack.split('.').nth(1).unwrap().parse().unwrap());
        }
    }
    (server, sequences)
}

/// One in three messages of a consumer is lost, or comes twice, or late; or takes the consumer with it.
#[test]
fn faults_of_deliveries_are_what_they_say() {
    let (_server, told) = deliveries(Recurring::DroppedDelivery, 7);
    assert_eq!(told, [1, 2, 4, 5, 7]);
    let (_server, told) = deliveries(Recurring::DoubledDelivery, 4);
    assert_eq!(told, [1, 2, 3, 3, 4]);
    let (_server, told) = deliveries(Recurring::OvertakenDelivery, 5);
    assert_eq!(told, [1, 2, 4, 3, 5]);
    let (server, told) = deliveries(Recurring::OrphanedDelivery, 5);
    assert_eq!(told, [1, 2]);
    let consumers = server.with_cluster(|cluster, _| cluster.consumers());
    assert_eq!(consumers, 0);
}

/// Calls about consumers and looks at streams are refused, other calls are not.
#[test]
fn refused_calls_are_refused() {
    let server = one();
    let mut client = Client::connect(server.addresses()[0]);
    client.create_bucket("b");
    server.set_faults(&[Fault::Message(Recurring::RefusedCall, NonZeroU64::MIN)]);
    let info = client.request("$JS.API.STREAM.INFO.KV_b", "");
    assert_eq!(info["error"]["err_code"], 10_008);
    assert_eq!(client.request("$KV.b.k", "v")["seq"], 1);
}

/// Heartbeats are what else a silent watcher hears; one in two is lost, or all.
#[test]
fn lost_heartbeats_are_lost() {
    for (one_in, fewest, most) in [(None, 6, 11), (Some(2), 2, 6), (Some(1), 0, 0)] {
        let server = one();
        let mut client = Client::connect(server.addresses()[0]);
        client.create_bucket("b");
        let faults = one_in.and_then(NonZeroU64::new);
        let faults = faults.map(|one_in| Fault::Message(Recurring::LostHeartbeat, one_in));
        server.set_faults(faults.as_slice());
        client.send(b"SUB told 2\r\n");
        let config = json!({ "stream_name": "KV_b", "config": { "name": "w", "deliver_subject": "told",
            "deliver_policy": "all", "ack_policy": "none", "idle_heartbeat": 100_000_000 } });
        client.request("$JS.API.CONSUMER.CREATE.KV_b.w", &config.to_string());
        let began = Instant::now();
        let step = Duration::from_millis(20);
        client
            .reader
            .get_ref()
            .set_read_timeout(Some(step))
            .unwrap();
        let mut beats = 0;
        while began.elapsed() < Duration::from_millis(1_050) {
            let line = client.line_in_time().unwrap_or_default();
            beats += u32::from(line.contains("Idle Heartbeat"));
        }
        assert!((fewest..=most).contains(&beats), "{one_in:?}: {beats}");
    }
}

/// In a cluster, leaders step down by themselves and replicas lag.
#[test]
fn faults_of_clusters_come_by_themselves() {
    let server = serve(ServeConfig::new(Version::V2_15).servers(3)).unwrap();
    let mut client = Client::connect(server.addresses()[0]);
    client.create_replicated_bucket("b", 3);
    let leader = || server.with_cluster(|cluster, _| cluster.leader("KV_b"));
    assert!(leader().is_some());
    let often = Duration::from_millis(50);
    server.set_faults(&[Fault::Servers(Calamity::Elect, often)]);
    eventually("nobody leads", || leader().is_none());
    server.set_faults(&[]);
    eventually("somebody leads again", || leader().is_some());

    server.set_faults(&[Fault::Servers(Calamity::Lag, often)]);
    let applied = || server.with_cluster(|cluster, _| cluster.applied("KV_b").unwrap());
    eventually("a replica is behind", || {
        client.publish("$KV.b.k", "ack", "v");
        let (lowest, last) = applied();
        lowest < last
    });
    server.set_faults(&[]);
    eventually("it has caught up", || {
        let (lowest, last) = applied();
        lowest == last
    });
}
