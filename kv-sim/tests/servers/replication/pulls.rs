//! Pull consumers in a cluster: who is told what when servers go.

use std::time::Duration;

use kv_sim::server::{ServerId, Version};

use crate::replication::MILLI;
use crate::replication::client::Cluster3;

const WAIT: &str = r#"{"batch":10,"expires":60000000000}"#;

/// A cluster with a bucket and a consumer `c` of so many replicas, and the server that has it.
fn pulled(replicas: usize) -> (Cluster3, ServerId) {
    let mut it = Cluster3::new(Version::V2_15, 5, |config| {
        config.replication.election = 40 * MILLI;
    });
    it.create("KV_A", "");
    let config = format!(r#""durable_name":"c","ack_policy":"explicit","num_replicas":{replicas}"#);
    let body = format!(r#"{{"stream_name":"KV_A","config":{{{config}}}}}"#);
    let reply = it.ask(0, "$JS.API.CONSUMER.CREATE.KV_A.c", &body);
    it.settle();
    let made = it.answer(&reply).expect("an answer");
    assert!(made.contains(r#""name":"c""#), "{made}");
    let home = it
        .cluster
        .consumer_list()
        .first()
        .expect("it is there")
        .host;
    (it, home)
}

/// The subjects of what was delivered since this was last asked.
fn delivered(it: &mut Cluster3) -> Vec<String> {
    let all = std::mem::take(&mut it.delivered);
    all.into_iter().map(|(subject, _)| subject).collect()
}

fn another_than(home: ServerId) -> usize {
    (0..3)
        .find(|server| *server != home.0)
        .expect("there are three")
}

#[test]
fn who_pulls_a_replicated_consumer_is_told_of_another_leader() {
    let (mut it, home) = pulled(3);
    let through = another_than(home);
    let waiting = it.ask(through, "$JS.API.CONSUMER.MSG.NEXT.KV_A.c", WAIT);
    it.settle();
    assert_eq!(it.answers(&waiting), [""; 0]);
    it.cluster.stop(it.now, home);
    it.settle();
    let told = it.answer(&waiting).expect("a status");
    assert!(
        told.starts_with("NATS/1.0 409 Leadership Change\r\n"),
        "{told}"
    );
    let again = it.ask(
        through,
        "$JS.API.CONSUMER.MSG.NEXT.KV_A.c",
        "{\"no_wait\":true}",
    );
    it.settle();
    let told = it.answer(&again).expect("the new leader answers");
    assert!(told.starts_with("NATS/1.0 404 No Messages\r\n"), "{told}");
}

#[test]
fn what_was_delivered_before_is_delivered_again_by_another_leader() {
    let (mut it, home) = pulled(3);
    let through = another_than(home);
    it.put(through, "$KV.A.a", "", "v");
    it.ask(through, "$JS.API.CONSUMER.MSG.NEXT.KV_A.c", "");
    it.settle();
    assert_eq!(delivered(&mut it), ["$KV.A.a"]);
    it.cluster.stop(it.now, home);
    it.settle();
    it.ask(through, "$JS.API.CONSUMER.MSG.NEXT.KV_A.c", WAIT);
    it.advance(Duration::from_secs(20));
    assert_eq!(delivered(&mut it), [""; 0], "its time has not run out");
    it.advance(Duration::from_secs(20));
    assert_eq!(delivered(&mut it), ["$KV.A.a"]);
}

#[test]
fn a_server_that_goes_in_good_order_tells_who_pulls() {
    let (mut it, home) = pulled(1);
    let through = another_than(home);
    let waiting = it.ask(through, "$JS.API.CONSUMER.MSG.NEXT.KV_A.c", WAIT);
    it.settle();
    it.cluster.shut_down(it.now, home);
    it.settle();
    let told = it.answer(&waiting).expect("a status");
    let expected = "NATS/1.0 409 Server Shutdown\r\nNats-Pending-Messages: 10\r\n";
    assert!(told.starts_with(expected), "{told}");
    let nobody = it.ask(through, "$JS.API.CONSUMER.MSG.NEXT.KV_A.c", WAIT);
    it.settle();
    let told = it.answer(&nobody).expect("a status");
    assert!(told.starts_with("NATS/1.0 503"), "{told}");
}

#[test]
fn a_message_for_nobody_comes_again_at_once() {
    let (mut it, home) = pulled(1);
    it.put(home.0, "$KV.A.a", "", "v");
    it.put(home.0, "$KV.A.b", "", "v");
    it.settle();
    // Its subscription ends with the first message; the second is already under way then.
    it.say(home.0, b"SUB once 77\r\nUNSUB 77 1\r\n");
    it.say(
        home.0,
        b"PUB $JS.API.CONSUMER.MSG.NEXT.KV_A.c once 1\r\n2\r\n",
    );
    it.settle();
    assert_eq!(delivered(&mut it), ["$KV.A.a"]);
    it.ask(home.0, "$JS.API.CONSUMER.MSG.NEXT.KV_A.c", WAIT);
    it.settle();
    assert_eq!(delivered(&mut it), ["$KV.A.b"]);
}
