//! Core NATS, byte by byte: login, options, permissions, limits, and everything a strict parser must refuse.

use std::time::Duration;

use kv_proto::Instant;
use kv_sim::server::{Auth, Config, Permissions, Subjects, User, Version};
use kv_tests::{Server, ServerBuilder};

use crate::real::Real;
use crate::sim::{Sim, real_version};

const PATIENCE: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(40);

const OPEN: [&[&str]; 27] = [
    &[
        "PUB a 1\r\nx\r\n",
        "SUB b 1\r\n",
        "PUB b.* 1\r\nx\r\n",
        "UNSUB 1\r\n",
        "PING\r\n",
    ],
    &[
        "CONNECT {}\r\nPING\r\n",
        "PUB a.* 1\r\nx\r\nSUB a 1\r\n",
        "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    ],
    &[
        "CONNECT {\"verbose\":true,\"headers\":true}\r\n",
        "SUB a 1\r\nHPUB a 12 13\r\nNATS/1.0\r\n\r\np\r\n",
    ],
    &[
        "CONNECT {\"pedantic\":true}\r\n",
        "SUB a. 1\r\nSUB x 5\r\nSUB x 5\r\nPUB x 1\r\ny\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false}\r\n",
        "PUB x _R_.a 0\r\n\r\n",
        "PUB x $JS.ACK.a 0\r\n\r\nPING\r\n",
    ],
    &["CONNECT bad\r\n"],
    &["CONNECT\r\n"],
    &["CONNECT {\"protocol\":2}\r\n"],
    &["CONNECT {\"protocol\":-1}\r\n"],
    &["CONNECT {\"no_responders\":true}\r\n"],
    &["CONNECT {\"verbose\":false,\"user\":null,\"unknown\":[1]}\r\nPING\r\n"],
    &["CONNECT {\"verbose\":\"x\"}\r\nPING\r\n"],
    &["MSG a 1 0\r\n\r\n"],
    &["+OK\r\nINFO {}\r\nPING\r\n"],
    &["-ERR 'x'\r\n"],
    &["\r\n"],
    &["PINGxyz\r\nping\r\nPONG\r\n"],
    &[
        "CONNECT {\"verbose\":false}\r\n",
        "pub\ta.b  \t2 \r\nhi\r\nSUB  a.b\t 3\nPUB a.b 0\r\n\r\n",
    ],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a 2\r\nhi\n"],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a 1048577\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "PUB foo\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a b c 1\r\n"],
    &[
        "CONNECT {\"verbose\":false,\"headers\":true}\r\n",
        "HPUB a 20 10\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\nUNSUB 1 3\r\nPING\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"echo\":false}\r\nSUB in.* 1\r\nSUB a 2\r\n",
        "PUB a in.1 0\r\n\r\nPUB none in.2 0\r\n\r\nPUB none elsewhere 0\r\n\r\nPUB a..b in.3 0\r\n\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false}\r\nSUB a 1\r\nSUB a.* 2\r\nSUB > 3\r\nSUB f*o 4\r\nUNSUB 1 2\r\nUNSUB 9\r\n",
        "PUB a 0\r\n\r\nPUB a 1\r\nx\r\nPUB a r 0\r\n\r\nPUB a.b 0\r\n\r\nPUB f*o 0\r\n\r\nUNSUB 3 1\r\nPUB a 0\r\n\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB h 1\r\n",
        "HPUB h 11 12\r\nHELLO WORLDp\r\nHPUB h 0 1\r\np\r\n",
    ],
];

const USERS: [&[&str]; 8] = [
    &["CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\n"],
    &["CONNECT {}\r\n"],
    &["CONNECT {\"auth_token\":\"p\"}\r\n"],
    &["PING\r\n"],
    &["PUB a 0\r\n\r\n"],
    &[
        "CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\nPING\r\n",
        "SUB nope q 1\r\nSUB nope 9\r\nPUB nope 0\r\n\r\nSUB ok.* 2\r\nSUB ok.no 3\r\n",
        "PUB ok.no 0\r\n\r\nPUB ok.yes 0\r\n\r\n",
    ],
    &[
        "CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n",
        "PUB nope 0\r\n\r\nSUB nope 1\r\nSUB > 1\r\nPING\r\n",
    ],
    &[
        "CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\n",
        "PUB ok.a b c d\r\n",
    ],
];

fn token_scripts() -> Vec<&'static [&'static str]> {
    vec![
        &["CONNECT {\"auth_token\":\"t\",\"verbose\":false}\r\nPING\r\n"],
        &["CONNECT {\"user\":\"t\",\"verbose\":false}\r\nPING\r\n"],
        &["CONNECT {\"auth_token\":\"x\"}\r\n"],
    ]
}

fn compare(server: &Server, config: &Config, scripts: &[&[&str]]) -> String {
    let mut report = String::new();
    for chunks in scripts {
        let mut sim = Sim::with(config.clone(), 1);
        let mut real = Real::connect(server.addr());
        real.await_frames(1, Duration::from_secs(2));
        for chunk in *chunks {
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
                "{chunks:?}\n  ours {:?} closed {}\n  real {:?} closed {}\n",
                sim.frames.all, sim.closed, real.frames.all, real.closed
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
    check(version, Server::builder(), Auth::Open, &OPEN);
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
        &USERS,
    );
    let token = Auth::Token("t".to_owned());
    check(
        version,
        Server::builder().token("t"),
        token,
        &token_scripts(),
    );
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
fn silence_is_ended_as_configured() {
    let mut config = Config::new(Version::V2_15);
    config.auth = Auth::Token("t".to_owned());
    let mut sim = Sim::with(config, 1);
    sim.wait(Duration::from_secs(3));
    assert!(sim.closed);
    let said: Vec<&str> = sim
        .frames
        .all
        .iter()
        .map(|(_, frame)| frame.as_str())
        .collect();
    assert_eq!(said.last(), Some(&"-ERR 'Authentication Timeout'"));

    // Measured: with an interval of 1 s and at most 2 unanswered, PING at 1 s and 2 s, closed at 3 s.
    let mut config = Config::new(Version::V2_15);
    (config.ping_interval, config.ping_max) = (Duration::from_secs(1), 2);
    let mut sim = Sim::with(config, 1);
    sim.send(b"CONNECT {\"verbose\":false}\r\n");
    sim.wait(Duration::from_millis(2_900));
    assert!(!sim.closed);
    sim.wait(Duration::from_millis(300));
    assert!(sim.closed);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut out = Vec::new();
        let mut cluster = kv_sim::server::Cluster::new(Config::new(Version::V2_15), seed);
        let mut now = Instant::ORIGIN;
        let conn = cluster
            .accept(now, kv_sim::server::ServerId(0))
            .expect("it is up");
        for step in crate::generate::Generator::new(seed, Version::V2_15).sequence(80) {
            now = now + Duration::from_millis(7);
            cluster.handle_input(now, conn, step.bytes());
            out.extend(cluster.take_output(conn));
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
            .flat_map(|step| step.bytes().to_vec())
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
