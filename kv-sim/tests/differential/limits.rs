//! Servers at their limits, and at their end; and answers that are longer than a page.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use kv_sim::server::{Auth, Config, Version};
use kv_tests::{Server, ServerBuilder};

use crate::real::Real;
use crate::sim::{Sim, real_version};

const PATIENCE: Duration = Duration::from_secs(15);
const QUIET: Duration = Duration::from_millis(60);
pub(crate) const LOGIN: &str = "CONNECT {\"verbose\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\nPING\r\nSUB _INBOX.d.* 1\r\n";

/// A simulated and a real server with one client each.
pub(crate) struct Pair {
    version: Version,
    pub(crate) sim: Sim,
    server: Server,
    pub(crate) real: Real,
}

impl Pair {
    pub(crate) fn new(version: Version) -> Self {
        Self::with(Config::new(version), Server::builder())
    }

    pub(crate) fn with(config: Config, builder: ServerBuilder) -> Self {
        let version = config.version;
        let server = builder.version(real_version(version)).start();
        thread::sleep(QUIET); // until it has noticed that who waited for its start is gone
        let mut real = Real::connect(server.addr());
        real.await_frames(1, PATIENCE);
        Self {
            version,
            sim: Sim::with(config, 1),
            server,
            real,
        }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.sim.send(text.as_bytes());
        self.real.write(text.as_bytes());
        self.settle();
    }

    pub(crate) fn ask(&mut self, number: usize, subject: &str, body: &str) {
        self.say(&request(number, subject, body));
    }

    pub(crate) fn settle(&mut self) {
        self.real.await_frames(self.sim.frames.all.len(), PATIENCE);
    }

    #[track_caller]
    pub(crate) fn assert_agreed(mut self) {
        self.real.linger(QUIET);
        let (ours, theirs) = (self.sim.frames.groups(), self.real.frames.groups());
        for group in ours.keys().chain(theirs.keys()) {
            let (own, other) = (ours.get(group), theirs.get(group));
            let both = own.into_iter().flatten().zip(other.into_iter().flatten());
            for (own, other) in both {
                let (a, b) = crate::where_they_part(own, other);
                assert_eq!(own, other, "on {}, {group}:\n{a}\n{b}", self.version);
            }
            let count = |frames: Option<&Vec<&str>>| frames.map_or(0, Vec::len);
            assert_eq!(count(own), count(other), "on {}, {group}", self.version);
        }
        assert_eq!(self.sim.closed, self.real.closed, "on {}", self.version);
    }
}

pub(crate) fn request(number: usize, subject: &str, body: &str) -> String {
    format!(
        "PUB {subject} _INBOX.d.{number} {}\r\n{body}\r\n",
        body.len()
    )
}

fn long_lists(version: Version) {
    let mut pair = Pair::new(version);
    pair.say(LOGIN);
    let mut number = 0;
    for chunk in (0..1030).collect::<Vec<_>>().chunks(103) {
        let mut text = String::new();
        for at in chunk {
            number += 1;
            let config = format!(
                "{{\"name\":\"KV_S{at}\",\"subjects\":[\"$KV.S{at}.>\"],\"storage\":\"memory\"}}"
            );
            text += &request(number, &format!("$JS.API.STREAM.CREATE.KV_S{at}"), &config);
        }
        pair.say(&text);
    }
    for body in [
        "",
        "{\"offset\":1024}",
        "{\"offset\":1030}",
        "{\"offset\":1000,\"subject\":\"$KV.*.>\"}",
        "{\"subject\":\"$KV.S1029.x\"}",
    ] {
        number += 1;
        pair.ask(number, "$JS.API.STREAM.NAMES", body);
    }
    for body in [
        "",
        "{\"offset\":256}",
        "{\"offset\":1024,\"subject\":\"$KV.*.>\"}",
        "{\"offset\":2000}",
    ] {
        number += 1;
        pair.ask(number, "$JS.API.STREAM.LIST", body);
    }
    pair.assert_agreed();
}

/// More subjects than a page of them holds; the whole answer is as large as it is.
fn many_subjects(version: Version) {
    if crate::campaign::number("KV_SIM_SEQUENCES").is_none() {
        return;
    }
    let mut pair = Pair::new(version);
    pair.say(LOGIN);
    let config = "{\"name\":\"KV_N\",\"subjects\":[\"$KV.N.>\"],\"storage\":\"memory\"}";
    pair.ask(1, "$JS.API.STREAM.CREATE.KV_N", config);
    for chunk in (0..100_010).collect::<Vec<_>>().chunks(2000) {
        let mut text = String::new();
        for at in chunk {
            let _ = write!(text, "PUB $KV.N.k{at} 0\r\n\r\n"); // a String takes it
        }
        pair.say(&(text + "PING\r\n"));
    }
    pair.real.linger(QUIET * 20);
    for (number, offset) in [(2, 99_990), (3, 0), (4, 100_010), (5, 100_005)] {
        let body = format!("{{\"subjects_filter\":\">\",\"offset\":{offset}}}");
        pair.ask(number, "$JS.API.STREAM.INFO.KV_N", &body);
    }
    pair.assert_agreed();
}

fn many_consumers_and_keys(version: Version) {
    let mut pair = Pair::new(version);
    pair.say(LOGIN);
    let config = "{\"name\":\"KV_M\",\"subjects\":[\"$KV.M.>\"],\"storage\":\"memory\",\"allow_direct\":true,\"max_msgs_per_subject\":2}";
    pair.ask(1, "$JS.API.STREAM.CREATE.KV_M", config);
    let mut text = String::new();
    for at in 0..1100 {
        let _ = write!(text, "PUB $KV.M.k{at} 1\r\nv\r\n"); // a String takes it
    }
    pair.say(&(text + "PING\r\n"));
    let mut number = 1;
    // PONG says that all was read, an answer of the leader that all before it is stored.
    for _ in 0..3 {
        pair.real.linger(QUIET * 5);
    }
    for body in [
        "{\"multi_last\":[\"$KV.M.>\"]}",
        "{\"multi_last\":[\"$KV.M.>\"],\"batch\":5}",
        "{\"multi_last\":[\"$KV.M.>\"],\"up_to_seq\":1024,\"batch\":3}",
        "{\"multi_last\":[\"$KV.M.>\"],\"up_to_seq\":1024}",
        "{\"next_by_subj\":\"$KV.M.>\",\"batch\":2000}",
        "{\"seq\":1000,\"batch\":5000}",
        "{\"seq\":1,\"batch\":5000,\"max_bytes\":1000}",
    ] {
        number += 1;
        pair.ask(number, "$JS.API.DIRECT.GET.KV_M", body);
        pair.real.linger(QUIET);
    }
    for body in [
        "{\"subjects_filter\":\">\",\"offset\":1000}",
        "{\"subjects_filter\":\"$KV.M.k*\"}",
    ] {
        number += 1;
        pair.ask(number, "$JS.API.STREAM.INFO.KV_M", body);
    }
    // Requests that are under way together overtake each other, which matters at the limit of 2.15.
    let (many, few): (Vec<_>, Vec<_>) = (0..1030).partition(|at| *at < 980);
    for chunk in many.chunks(98).chain(few.chunks(1)) {
        let mut text = String::new();
        for at in chunk {
            number += 1;
            let body = format!(
                "{{\"stream_name\":\"KV_M\",\"config\":{{\"deliver_subject\":\"dv.{at}\",\"ack_policy\":\"none\",\"mem_storage\":true,\"inactive_threshold\":300000000000}}}}"
            );
            text += &request(
                number,
                &format!("$JS.API.CONSUMER.CREATE.KV_M.c{at}"),
                &body,
            );
        }
        pair.say(&text);
    }
    for body in ["", "{\"offset\":1024}", "{\"offset\":2000}"] {
        number += 1;
        pair.ask(number, "$JS.API.CONSUMER.NAMES.KV_M", body);
    }
    for body in ["", "{\"offset\":256}", "{\"offset\":1024}"] {
        number += 1;
        pair.ask(number, "$JS.API.CONSUMER.LIST.KV_M", body);
    }
    pair.assert_agreed();
}

fn configured_limits(version: Version) {
    let mut config = Config::new(version);
    (config.max_payload, config.max_control_line) = (1000, 512);
    (config.max_subscriptions, config.max_connections) = (2, 1);
    let extra = "max_payload: 1000\nmax_pending: 100000\nmax_control_line: 512\nmax_subscriptions: 2\nmax_connections: 1\n";
    let limited = || Server::builder().config_extra(extra);

    let mut pair = Pair::with(config.clone(), limited());
    pair.say("CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\nSUB a 1\r\nSUB b 2\r\nSUB c 3\r\nUNSUB 1\r\nSUB c 3\r\nPING\r\n");
    pair.say("PUB b 1000\r\n");
    pair.say(&("x".repeat(1000) + "\r\n"));
    // The one too many is told so, and closed.
    let second = pair.sim.another();
    let mut other = Real::connect(pair.server.addr());
    other.linger(Duration::from_millis(300));
    let said: Vec<&str> = other
        .frames
        .all
        .iter()
        .map(|(_, frame)| frame.as_str())
        .collect();
    let ours: Vec<&str> = second.all.iter().map(|(_, frame)| frame.as_str()).collect();
    assert_eq!(ours, said, "on {version}");
    assert!(other.closed, "on {version}");
    pair.say("PUB b 1001\r\n");
    pair.assert_agreed();

    let mut pair = Pair::with(config, limited());
    pair.say("CONNECT {\"verbose\":false}\r\nPING\r\n");
    pair.say(&format!("SUB {} 1\r\n", "s".repeat(600)));
    pair.assert_agreed();
}

fn the_end_of_a_server(version: Version) {
    for protocol in [0, 1] {
        let mut pair = Pair::new(version);
        pair.say(&format!(
            "CONNECT {{\"verbose\":false,\"protocol\":{protocol}}}\r\nPING\r\nSUB a 1\r\n"
        ));
        pair.sim.lame_duck();
        pair.server.lame_duck();
        pair.settle();
        pair.assert_agreed();
    }
    let mut pair = Pair::new(version);
    pair.say(LOGIN);
    pair.sim.stop();
    pair.server.stop();
    pair.real.linger(QUIET);
    pair.assert_agreed();
}

fn silence(version: Version) {
    let mut config = Config::new(version);
    config.auth = Auth::Token("t".to_owned());
    let mut pair = Pair::with(config, Server::builder().token("t"));
    pair.sim.wait(Duration::from_millis(2500));
    pair.real.linger(Duration::from_millis(2500));
    pair.assert_agreed();

    let mut config = Config::new(version);
    (config.ping_interval, config.ping_max) = (Duration::from_secs(1), 2);
    let extra = "ping_interval: \"1s\"\nping_max: 2\n";
    let mut pair = Pair::with(config, Server::builder().config_extra(extra));
    pair.real.is_mute = true;
    pair.say("CONNECT {\"verbose\":false}\r\n");
    pair.sim.wait(Duration::from_millis(3500));
    pair.real.linger(Duration::from_millis(3500));
    pair.assert_agreed();
}

fn all(version: Version) {
    thread::scope(|scope| {
        for check in [
            silence,
            configured_limits,
            the_end_of_a_server,
            long_lists,
            many_subjects,
            many_consumers_and_keys,
        ] {
            scope.spawn(move || check(version));
        }
    });
}

#[test]
fn limits_are_those_of_2_15() {
    all(Version::V2_15);
}

#[test]
fn limits_are_those_of_2_10() {
    all(Version::V2_10);
}

#[test]
fn limits_are_those_of_the_versions_between() {
    if crate::campaign::number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            all(version);
        }
    }
}
