//! What a replicated stream answers when several write at once, and while its leader steps down. No two
//! runs of a real cluster are the same, so both sides are held to the same set of answers.

use std::collections::BTreeSet;
use std::time::Duration;

use kv_proto::Instant;
use kv_sim::server::{Cluster, Config, ConnId, Election, InFlight, ServerId, Version};

use crate::frames::Frames;
use crate::real::Real;
use crate::sim::real_version;
use crate::timed;

const WRITERS: usize = 6;
const ROUNDS: usize = 20;
const STREAM: &str = r#"{"name":"KV_R","subjects":["$KV.R.>"],"allow_direct":true,"max_msgs_per_subject":5,"num_replicas":3}"#;
const PATIENCE: Duration = Duration::from_secs(5);

fn login(writer: usize) -> String {
    format!(
        "CONNECT {{\"verbose\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true}}\r\nSUB _INBOX.w{writer}.* 1\r\nPING\r\n"
    )
}

fn create_stream() -> String {
    let subject = "$JS.API.STREAM.CREATE.KV_R";
    let length = STREAM.len();
    format!("PUB {subject} _INBOX.w0.create {length}\r\n{STREAM}\r\n")
}

fn create_key(writer: usize, round: usize) -> String {
    timed::publish(
        &format!("$KV.R.key{round}"),
        &format!("_INBOX.w{writer}.{round}"),
        "Nats-Expected-Last-Subject-Sequence: 0\r\n",
        "mine",
    )
}

/// What an answer comes down to.
fn verdict(frame: &str) -> &'static str {
    let known = [
        ("\"err_code\":10071,", "10071"),
        ("\"err_code\":10164,", "10164"),
        ("NATS/1.0 503", "503"),
        ("\"seq\":", "ok"),
    ];
    let found = known.iter().find(|(sign, _)| frame.contains(sign));
    found.map_or("unexpected", |(_, verdict)| verdict)
}

/// The verdicts of one round: one writer won, and the others know.
fn judge(round: usize, frames: &[&Frames]) -> BTreeSet<&'static str> {
    let mut verdicts = Vec::new();
    for (writer, frames) in frames.iter().enumerate() {
        let reply = format!("1 _INBOX.w{writer}.{round}");
        let own = frames.all.iter().filter(|(group, _)| *group == reply);
        let own: Vec<&str> = own.map(|(_, frame)| frame.as_str()).collect();
        assert_eq!(own.len(), 1, "one answer for writer {writer}: {own:?}");
        verdicts.push(verdict(own[0]));
    }
    let won = verdicts.iter().filter(|one| **one == "ok").count();
    assert_eq!(won, 1, "{verdicts:?}");
    verdicts.into_iter().collect()
}

fn race_really(version: Version) -> BTreeSet<&'static str> {
    let cluster = kv_tests::Cluster::start(real_version(version));
    let mut writers: Vec<Real> = (0..WRITERS)
        .map(|writer| {
            let mut real = Real::connect(cluster.server(writer % 3).addr());
            real.write(login(writer).as_bytes());
            real.await_frames(if version >= Version::V2_12 { 3 } else { 2 }, PATIENCE);
            real
        })
        .collect();
    writers[0].write(create_stream().as_bytes());
    for writer in &mut writers {
        writer.linger(Duration::from_millis(300));
    }
    let mut seen = BTreeSet::new();
    for round in 0..ROUNDS {
        for (at, writer) in writers.iter_mut().enumerate() {
            writer.write(create_key(at, round).as_bytes());
        }
        for writer in &mut writers {
            let count = writer.frames.all.len() + 1;
            writer.await_frames(count, PATIENCE);
        }
        let frames: Vec<&Frames> = writers.iter().map(|one| &one.frames).collect();
        seen.extend(judge(round, &frames));
    }
    seen
}

/// Simulated writers, one on each of three servers in turn.
struct Writers {
    cluster: Cluster,
    now: Instant,
    conns: Vec<(ConnId, Frames)>,
}

impl Writers {
    fn new(version: Version, seed: u64) -> Self {
        let mut config = Config::new(version);
        config.servers = 3;
        config.replication.commit = Duration::from_millis(2);
        config.replication.lag = Duration::from_millis(2);
        let mut cluster = Cluster::new(config, seed);
        let now = Instant::ORIGIN;
        let conns = (0..WRITERS).map(|writer| {
            let conn = cluster.accept(now, ServerId(writer % 3)).expect("it is up");
            cluster.handle_input(now, conn, login(writer).as_bytes());
            (conn, Frames::default())
        });
        let conns = conns.collect();
        let mut out = Self {
            cluster,
            now,
            conns,
        };
        out.say(0, &create_stream());
        out.wait(Duration::from_millis(300));
        out
    }

    fn say(&mut self, writer: usize, text: &str) {
        let (conn, _) = self.conns[writer];
        self.cluster.handle_input(self.now, conn, text.as_bytes());
        self.collect();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.cluster.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.cluster.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    fn collect(&mut self) {
        for (conn, frames) in &mut self.conns {
            frames.push(&self.cluster.take_output(*conn));
        }
    }
}

fn race_simulated(version: Version) -> BTreeSet<&'static str> {
    let mut writers = Writers::new(version, 1);
    let mut seen = BTreeSet::new();
    for round in 0..ROUNDS {
        for writer in 0..WRITERS {
            writers.say(writer, &create_key(writer, round));
            writers.wait(Duration::from_micros(400));
        }
        writers.wait(Duration::from_millis(50));
        let frames: Vec<&Frames> = writers.conns.iter().map(|(_, frames)| frames).collect();
        seen.extend(judge(round, &frames));
    }
    seen
}

fn races_agree(version: Version) {
    let (simulated, real) = (race_simulated(version), race_really(version));
    let allowed: BTreeSet<&str> = if version == Version::V2_10 {
        ["ok", "10071"].into()
    } else {
        ["ok", "10071", "10164"].into()
    };
    assert!(real.is_subset(&allowed), "real {real:?} on {version}");
    assert_eq!(simulated, allowed, "simulated on {version}");
}

#[test]
fn conflicting_creates_end_as_in_2_15() {
    races_agree(Version::V2_15);
}

#[test]
fn conflicting_creates_end_as_in_the_other_versions() {
    if std::env::var("KV_SIM_SEQUENCES").is_ok() {
        for version in Version::ALL {
            races_agree(version);
        }
    }
}

/// How one after the other of a series of puts was answered while the leader stepped down.
fn tally(frames: &Frames, count: usize) -> Vec<&'static str> {
    let answer = |put: usize| {
        let reply = format!("1 _INBOX.w0.p{put}");
        let own = frames.all.iter().find(|(group, _)| *group == reply);
        own.map_or("silence", |(_, frame)| verdict(frame))
    };
    (0..count).map(answer).collect()
}

fn put(number: usize) -> String {
    timed::publish("$KV.R.k", &format!("_INBOX.w0.p{number}"), "", "v")
}

const PUTS: usize = 400;

#[test]
fn a_step_down_is_silent_or_unserved_and_passes() {
    let cluster = kv_tests::Cluster::start(real_version(Version::V2_15));
    let mut real = Real::connect(cluster.server(0).addr());
    real.write(login(0).as_bytes());
    real.write(create_stream().as_bytes());
    real.await_frames(4, PATIENCE);
    real.linger(Duration::from_millis(300));
    for number in 0..PUTS {
        if number % 100 == 50 {
            real.write(b"PUB $JS.API.STREAM.LEADER.STEPDOWN.KV_R _INBOX.w0.down 0\r\n\r\n");
        }
        real.write(put(number).as_bytes());
        real.linger(Duration::from_millis(4));
    }
    real.linger(Duration::from_secs(1));
    let theirs = tally(&real.frames, PUTS);

    let mut sim = Writers::new(Version::V2_15, 3);
    for number in 0..PUTS {
        if number % 100 == 50 {
            let election = Election {
                leaderless: Duration::from_millis(100),
                in_flight: InFlight::Lost,
                old_leader_answers: Duration::ZERO,
            };
            sim.cluster.elect(sim.now, "KV_R", election);
        }
        sim.say(0, &put(number));
        sim.wait(Duration::from_millis(4));
    }
    sim.wait(Duration::from_secs(1));
    let ours = tally(&sim.conns[0].1, PUTS);

    let allowed: BTreeSet<&str> = ["ok", "503", "silence"].into();
    for (who, answers) in [("real", theirs), ("simulated", ours)] {
        let seen: BTreeSet<&str> = answers.iter().copied().collect();
        assert!(seen.is_subset(&allowed), "{who}: {seen:?}");
        let ok = answers.iter().filter(|one| **one == "ok").count();
        println!("{who}: {ok} of {PUTS} acknowledged, {seen:?}");
        assert!(ok > PUTS / 2, "{who}: {ok}");
        assert_eq!(answers.last(), Some(&"ok"), "{who} ends well");
    }
}

/// What the last of three servers, which led, answers when the others are dead, request by request.
#[derive(Debug, PartialEq, Eq)]
struct LastOne {
    put: String,
    get: String,
    leader_get: String,
    info: String,
    create: String,
    purge: String,
}

fn requests(phase: usize) -> [String; 6] {
    let ask = |name: &str, subject: &str, body: &str| {
        let reply = format!("_INBOX.w0.{name}{phase}");
        format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len())
    };
    let last = r#"{"last_by_subj":"$KV.R.k"}"#;
    [
        ask("put", "$KV.R.k", "late"),
        ask("get", "$JS.API.DIRECT.GET.KV_R.$KV.R.k", ""),
        ask("lead", "$JS.API.STREAM.MSG.GET.KV_R", last),
        ask("info", "$JS.API.STREAM.INFO.KV_R", ""),
        ask("create", "$JS.API.STREAM.CREATE.X", r#"{"name":"X"}"#),
        ask("purge", "$JS.API.STREAM.PURGE.KV_R", ""),
    ]
}

fn sum_up(frames: &Frames, phase: usize) -> LastOne {
    let of = |name: &str| {
        let reply = format!("1 _INBOX.w0.{name}{phase}");
        let own = frames.all.iter().find(|(group, _)| *group == reply);
        let Some((_, frame)) = own else {
            return "silence".to_owned();
        };
        let signs = ["10008", "10118", "NATS/1.0 503", "error"];
        let sign = signs.into_iter().find(|sign| frame.contains(sign));
        sign.unwrap_or("answer").to_owned()
    };
    LastOne {
        put: of("put"),
        get: of("get"),
        leader_get: of("lead"),
        info: of("info"),
        create: of("create"),
        purge: of("purge"),
    }
}

/// Soon after the others died, and long after.
fn last_one_really(version: Version) -> [LastOne; 2] {
    let cluster = kv_tests::Cluster::start(real_version(version));
    let mut admin = kv_tests::Admin::connect(cluster.server(0));
    let config: serde_json::Value = serde_json::from_str(STREAM).expect("JSON");
    let answer = admin.create_stream(&config);
    admin.publish("$KV.R.k", None, b"v");
    let leader = answer["cluster"]["leader"].as_str().unwrap_or_default();
    let leads = |at: &usize| cluster.server(*at).info()["server_name"] == leader;
    let survivor = (0..3).find(leads).expect("one of them leads");
    let mut real = Real::connect(cluster.server(survivor).addr());
    real.write(login(0).as_bytes());
    real.linger(Duration::from_millis(300));
    for at in (0..3).filter(|at| *at != survivor) {
        cluster.server(at).kill();
    }
    let mut out = Vec::new();
    for (phase, pause) in [(0, 200), (1, 25_000)] {
        real.linger(Duration::from_millis(pause));
        for request in requests(phase) {
            real.write(request.as_bytes());
        }
        real.linger(Duration::from_secs(3));
        out.push(sum_up(&real.frames, phase));
    }
    out.try_into().expect("two phases")
}

fn last_one_simulated(version: Version) -> [LastOne; 2] {
    let mut writers = Writers::new(version, 5);
    writers.say(0, &put(0));
    writers.wait(Duration::from_millis(50));
    let survivor = writers.cluster.leader("KV_R").expect("it has one").0;
    for at in (0..3).filter(|at| *at != survivor) {
        writers.cluster.stop(writers.now, ServerId(at));
    }
    let mut out = Vec::new();
    let (conn, frames) = &mut writers.conns[survivor];
    let conn = *conn;
    *frames = Frames::default();
    writers
        .cluster
        .handle_input(writers.now, conn, b"SUB _INBOX.w0.* 1\r\n");
    for (phase, pause) in [(0, 200), (1, 25_000)] {
        writers.wait(Duration::from_millis(pause));
        for request in requests(phase) {
            writers.say(survivor, &request);
        }
        writers.wait(Duration::from_secs(3));
        out.push(sum_up(&writers.conns[survivor].1, phase));
    }
    out.try_into().expect("two phases")
}

#[test]
fn the_last_server_of_three_answers_what_it_can() {
    if std::env::var("KV_SIM_SEQUENCES").is_err() {
        return;
    }
    for version in [Version::V2_15, Version::V2_10] {
        let (ours, theirs) = (last_one_simulated(version), last_one_really(version));
        assert_eq!(ours, theirs, "ours and theirs on {version}");
    }
}
