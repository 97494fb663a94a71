//! Core NATS, byte by byte: login, options, permissions, limits, and everything a strict parser must refuse.

mod domains;
mod scripts;

use std::time::Duration;

use kv_proto::Instant;
use kv_sim::server::{Auth, Config, Permissions, Subjects, User, Version};
use kv_tests::{Server, ServerBuilder};

use self::scripts::{OPEN, USERS, long_scripts, token_scripts};
use crate::frames::Frames;
use crate::real::Real;
use crate::sim::{Sim, real_version};

const PATIENCE: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(40);

fn compare<T: AsRef<str>>(server: &Server, config: &Config, scripts: &[impl AsRef<[T]>]) -> String {
    let mut report = String::new();
    for chunks in scripts {
        let chunks: Vec<&str> = chunks.as_ref().iter().map(AsRef::as_ref).collect();
        let mut sim = Sim::with(config.clone(), 1);
        let mut real = Real::connect(server.addr());
        real.await_frames(1, Duration::from_secs(2));
        for chunk in &chunks {
            sim.send(chunk.as_bytes());
            real.write(chunk.as_bytes());
            real.await_frames(sim.frames.all.len(), PATIENCE); // passwords are checked slowly
            real.linger(QUIET);
        }
        if sim.closed {
            real.linger(PATIENCE); // ends when the server closes
        }
        // The order between subscriptions is nobody's promise.
        if sim.frames.groups() != real.frames.groups() || sim.closed != real.closed {
            report += &format!(
                "{}\n  ours {:?} closed {}\n  real {:?} closed {}\n",
                crate::cut(&format!("{chunks:?}")),
                sim.frames.all,
                sim.closed,
                real.frames.all,
                real.closed
            );
        }
    }
    report
}

fn check(version: Version, built: ServerBuilder, auth: Auth, scripts: &[&[&str]]) {
    let server = built.version(real_version(version)).start();
    let mut config = Config::new(version);
    config.auth = auth;
    let report = compare(&server, &config, scripts);
    assert!(report.is_empty(), "on {version}\n{report}");
}

fn all_of_core(version: Version) {
    check(version, Server::builder(), Auth::Open, OPEN);
    let server = Server::builder().version(real_version(version)).start();
    let report = compare(&server, &Config::new(version), &long_scripts());
    assert!(report.is_empty(), "on {version}\n{report}");
    let users = "authorization { users: [{user: u, password: p, permissions: {publish: {allow: [\"ok.>\"]}, subscribe: {allow: [\"ok.>\"], deny: [\"ok.no\"]}}}] }";
    let subjects = |allow: &[&str], deny: &[&str]| Subjects {
        allow: allow.iter().map(|one| (*one).to_owned()).collect(),
        deny: deny.iter().map(|one| (*one).to_owned()).collect(),
    };
    let user = User {
        name: "u".to_owned(),
        password: "p".to_owned(),
        permissions: Permissions {
            publish: subjects(&["ok.>"], &[]),
            subscribe: subjects(&["ok.>"], &["ok.no"]),
        },
    };
    check(
        version,
        Server::builder().config_extra(users),
        Auth::Users(vec![user]),
        USERS,
    );
    let token = Auth::Token("t".to_owned());
    check(
        version,
        Server::builder().token("t"),
        token,
        &token_scripts(),
    );
}

/// A server with a JetStream domain, with either form of reply subjects.
fn all_of_a_domain(version: Version) {
    let users = "authorization { users: [{user: u, password: p, permissions: {publish: {allow: [\"$JS.API.STREAM.>\", \"$JS.leaf.>\"]}, subscribe: {allow: [\"in.>\"]}}}] }\n";
    let allow = |one: &str| Subjects {
        allow: one.split(' ').map(str::to_owned).collect(),
        deny: Vec::new(),
    };
    let user = User {
        name: "u".to_owned(),
        password: "p".to_owned(),
        permissions: Permissions {
            publish: allow("$JS.API.STREAM.> $JS.leaf.>"),
            subscribe: allow("in.>"),
        },
    };
    let wide = "feature_flags { js_ack_fc_v2: true }\n";
    for (auth, extra, wide_replies, scripts) in [
        (Auth::Open, "", false, domains::OPEN),
        (Auth::Open, wide, true, domains::OPEN),
        (Auth::Users(vec![user]), users, false, domains::USERS),
    ] {
        if wide_replies && version < Version::V2_14 {
            continue;
        }
        let server = Server::builder().version(real_version(version));
        let server = server.jetstream_extra("domain: hub").config_extra(extra);
        let mut config = Config::new(version);
        config.auth = auth;
        config.domain = Some("hub".to_owned());
        config.wide_replies = wide_replies;
        let report = compare(&server.start(), &config, scripts);
        assert!(report.is_empty(), "on {version}\n{report}");
    }
}

#[test]
fn a_domain_agrees_with_2_15() {
    all_of_a_domain(Version::V2_15);
}

#[test]
fn a_domain_agrees_with_2_10() {
    all_of_a_domain(Version::V2_10);
}

#[test]
fn a_domain_agrees_with_the_versions_between() {
    if crate::campaign::number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            all_of_a_domain(version);
        }
    }
}

#[test]
fn core_agrees_with_2_15() {
    all_of_core(Version::V2_15);
}

#[test]
fn core_agrees_with_2_10() {
    all_of_core(Version::V2_10);
}

#[test]
fn core_agrees_with_the_versions_between() {
    if crate::campaign::number("KV_SIM_SEQUENCES").is_some() {
        for version in [Version::V2_11, Version::V2_12, Version::V2_14] {
            all_of_core(version);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let (mut out, mut heard) = (Vec::new(), Frames::default());
        let mut cluster = kv_sim::server::Cluster::new(Config::new(Version::V2_15), seed);
        let mut now = Instant::ORIGIN;
        let conn = cluster
            .accept(now, kv_sim::server::ServerId(0))
            .expect("it is up");
        for step in crate::generate::Generator::new(seed, Version::V2_15).sequence(80) {
            now = now + Duration::from_millis(7);
            cluster.handle_input(now, conn, &step.bytes(&heard));
            let said = cluster.take_output(conn);
            heard.push(&said);
            out.extend(said);
        }
        out
    };
    for seed in 1..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn any_bytes_in_any_pieces_are_survived() {
    for seed in 1..300_u64 {
        let mut sim = Sim::new(Version::ALL[seed as usize % 5], seed);
        let steps = crate::generate::Generator::new(seed, Version::V2_15).sequence(30);
        let mut bytes: Vec<u8> = steps
            .iter()
            .flat_map(|step| step.bytes(&Frames::default()))
            .collect();
        let mut state = seed;
        for _ in 0..seed % 4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        for piece in bytes.chunks(1 + seed as usize % 97) {
            sim.send(piece);
        }
    }
}
