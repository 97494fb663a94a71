//! What generated sequences leave to chance or have no time for: who answers for an origin, origins that come late
//! or go, and the limits of atomic batches.

use std::collections::BTreeSet;
use std::time::Duration;

use kv_sim::server::{Config, Version};
use kv_tests::Server;

use crate::campaign::number;
use crate::limits::{LOGIN, Pair};

const CONNECTED: Duration = Duration::from_millis(500);
const ORIGIN: &str = "{\"name\":\"KV_O\",\"subjects\":[\"$KV.O.>\"],\"storage\":\"memory\",\"allow_direct\":true,\"max_msgs_per_subject\":5}";
const MIRROR: &str = "{\"name\":\"KV_M\",\"mirror\":{\"name\":\"KV_O\"},\"storage\":\"memory\"}";
const SINK: &str = "{\"name\":\"KV_S\",\"sources\":[{\"name\":\"KV_O\",\"filter_subject\":\"$KV.O.b\"}],\"storage\":\"memory\"}";

impl Pair {
    fn pass(&mut self, time: Duration) {
        self.sim.wait(time);
        self.real.linger(time);
    }
}

/// Direct gets for an origin are answered by it and by its mirror, and by the mirror alone when it is gone.
fn mirrors_answer_for_their_origin(version: Version) {
    let mut pair = Pair::new(version);
    pair.say(LOGIN);
    pair.ask(1, "$JS.API.STREAM.CREATE.KV_O", ORIGIN);
    pair.ask(2, "$KV.O.a", "v");
    pair.ask(3, "$JS.API.STREAM.CREATE.KV_M", MIRROR);
    pair.pass(CONNECTED);
    let gets = 60;
    for at in 0..gets {
        pair.ask(10 + at, "$JS.API.DIRECT.GET.KV_O.$KV.O.a", "");
    }
    for frames in [&pair.sim.frames, &pair.real.frames] {
        let all = frames.all.iter();
        let names: BTreeSet<&str> = all
            .filter_map(|(_, frame)| frame.split_once("Nats-Stream: "))
            .filter_map(|(_, rest)| rest.split('\\').next())
            .collect();
        assert_eq!(names, BTreeSet::from(["KV_M", "KV_O"]), "on {version}");
    }
    for at in 0..gets {
        let subject = format!("_INBOX.d.{}", 10 + at);
        pair.sim.frames.forget(&subject);
        pair.real.frames.forget(&subject);
    }
    pair.ask(100, "$JS.API.STREAM.DELETE.KV_O", "");
    pair.pass(CONNECTED);
    for at in 0..5 {
        pair.ask(101 + at, "$JS.API.DIRECT.GET.KV_O.$KV.O.a", "");
    }
    pair.ask(110, "$JS.API.STREAM.INFO.KV_M", "");
    pair.assert_agreed();
}

/// An origin that is not there yet is looked for again, a deleted one missed, both after many seconds.
fn origins_come_late_and_go(version: Version) {
    if number("KV_SIM_SEQUENCES").is_none() {
        return;
    }
    let mut pair = Pair::new(version);
    pair.say(LOGIN);
    pair.ask(1, "$JS.API.STREAM.CREATE.KV_M", MIRROR);
    pair.ask(2, "$JS.API.STREAM.CREATE.KV_S", SINK);
    pair.pass(CONNECTED);
    pair.ask(3, "$JS.API.STREAM.INFO.KV_M", "");
    pair.ask(4, "$JS.API.STREAM.INFO.KV_S", "");
    pair.ask(5, "$JS.API.STREAM.CREATE.KV_O", ORIGIN);
    pair.ask(6, "$KV.O.a", "v");
    pair.ask(7, "$KV.O.b", "w");
    pair.pass(Duration::from_secs(6));
    pair.ask(8, "$JS.API.STREAM.INFO.KV_M", "");
    pair.pass(Duration::from_secs(8));
    pair.ask(9, "$JS.API.STREAM.INFO.KV_M", "");
    pair.ask(10, "$JS.API.STREAM.INFO.KV_S", "");
    pair.ask(11, "$JS.API.STREAM.DELETE.KV_O", "");
    pair.pass(CONNECTED);
    pair.ask(12, "$JS.API.STREAM.CREATE.KV_O", ORIGIN);
    for at in 13..18 {
        pair.ask(at, "$KV.O.b", &at.to_string());
    }
    pair.pass(Duration::from_secs(5));
    pair.ask(20, "$JS.API.STREAM.INFO.KV_M", "");
    pair.ask(21, "$JS.API.STREAM.INFO.KV_S", "");
    pair.pass(Duration::from_secs(25));
    pair.ask(22, "$JS.API.STREAM.INFO.KV_M", "");
    pair.ask(23, "$JS.API.STREAM.INFO.KV_S", "");
    pair.assert_agreed();
}

fn part(number: usize, id: &str, sequence: usize, more: &str) -> String {
    let headers =
        format!("NATS/1.0\r\nNats-Batch-Id: {id}\r\nNats-Batch-Sequence: {sequence}\r\n{more}\r\n");
    let length = headers.len();
    format!("HPUB $KV.O.k{sequence} _INBOX.d.{number} {length} {length}\r\n{headers}\r\n")
}

/// How many batches there may be, of how many messages, and for how long; and who is told of their end.
fn batches_have_limits(version: Version) {
    let mut config = Config::new(version);
    config.batches.open_per_stream = 2;
    config.batches.open_in_all = 3;
    config.batches.messages = 4;
    config.batches.timeout = Duration::from_secs(1);
    let limits = "limits { batch { max_inflight_per_stream: 2, max_inflight_total: 3, max_msgs: 4, timeout: \"1s\" } }";
    let known = version >= Version::V2_12;
    let builder = Server::builder().jetstream_extra(if known { limits } else { "" });
    let mut pair = Pair::with(config, builder);
    pair.say(LOGIN);
    pair.say("SUB $JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.> 2\r\n");
    for (at, name) in ["O", "P"].iter().enumerate() {
        let config = format!(
            "{{\"name\":\"KV_{name}\",\"subjects\":[\"$KV.{name}.>\"],\"allow_atomic\":true}}"
        );
        pair.ask(1 + at, &format!("$JS.API.STREAM.CREATE.KV_{name}"), &config);
    }
    pair.say(&part(10, "a", 1, ""));
    pair.say(&part(11, "b", 1, ""));
    pair.say(&part(12, "c", 1, "")); // one too many for the stream
    pair.say(&part(13, "d", 1, "").replace("$KV.O", "$KV.P"));
    pair.say(&part(14, "e", 1, "").replace("$KV.O", "$KV.P")); // and for all
    pair.say(&part(15, "a", 3, "")); // a gap
    for sequence in 2..6 {
        pair.say(&part(14 + sequence, "b", sequence, "")); // the last is too much
    }
    pair.say(&part(20, "f", 1, "Nats-Required-Api-Level: 99\r\n"));
    pair.say(&part(21, "g", 9, ""));
    pair.say(&part(22, "h", 1, ""));
    pair.pass(Duration::from_millis(700));
    pair.say(&part(23, "h", 2, ""));
    pair.pass(Duration::from_millis(700));
    pair.say(&part(24, "h", 3, "Nats-Batch-Commit: 1\r\n")); // each message gave it another second
    pair.say(&part(25, "d", 2, "").replace("$KV.O", "$KV.P")); // this one had none
    pair.say(&part(26, "i", 1, ""));
    pair.pass(Duration::from_millis(1400));
    pair.say(&part(27, "i", 2, "Nats-Batch-Commit: 1\r\n"));
    pair.ask(28, "$JS.API.STREAM.INFO.KV_O", "");
    pair.assert_agreed();
}

fn all(version: Version) {
    std::thread::scope(|scope| {
        for check in [
            mirrors_answer_for_their_origin,
            origins_come_late_and_go,
            batches_have_limits,
        ] {
            scope.spawn(move || check(version));
        }
    });
}

#[test]
fn origins_are_those_of_2_15() {
    all(Version::V2_15);
}

#[test]
fn origins_are_those_of_2_10() {
    all(Version::V2_10);
}

#[test]
fn origins_are_those_of_the_versions_between() {
    if number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            all(version);
        }
    }
}
