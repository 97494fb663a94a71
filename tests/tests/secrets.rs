//! No secret shows, nor what is stored: not in what is logged at the most talkative level, not in errors and their
//! sources, not in `Debug`, not in panics. Every place that takes a secret gets a canary; a process of its own connects
//! with it, rightly and wrongly, to servers that are real and to one that repeats what it was told in confidence, and
//! shows all that it has. What it wrote is searched for each canary, in clear and in disguise.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "the output is what is tested")]

#[allow(dead_code, reason = "the suite uses the rest")]
#[path = "suite/tls/authority.rs"]
mod authority;
#[path = "secrets/leaks.rs"]
mod leaks;
#[path = "secrets/listener.rs"]
mod listener;
#[path = "suite/credentials/operator.rs"]
mod operator;
#[path = "secrets/scenes.rs"]
mod scenes;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kv_tests::Server;

use authority::{Authority, Identity};
use leaks::{Canary, contains};
use operator::Operator;
use scenes::Adapter;

/// All there is to hide, and where it is to be used, by name.
type Secrets = BTreeMap<String, String>;

/// How the child is told what to use, and what to betray.
const GIVEN: &str = "KV_SECRETS";
const BETRAYED: &str = "KV_SECRETS_BETRAYED";

/// What the child wrote to both of its outputs, after it came to its end.
fn output_of_child(secrets: &Secrets, betrayed: &str) -> Vec<u8> {
    let given = serde_json::to_string(secrets).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "child_of_the_tests_above",
        ])
        .env(GIVEN, given)
        .env(BETRAYED, betrayed)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let mut output = child.stdout;
    output.extend(child.stderr);
    let text = String::from_utf8_lossy(&output);
    assert!(child.status.success(), "the child failed:\n{text}");
    output
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// Secrets nobody else has, by name.
fn fresh(operator: &Operator, authority: &Authority) -> Secrets {
    let (user, seed) = (operator.user(None), nkeys::KeyPair::new_user());
    let identity = authority.issue(&["localhost"]);
    let secrets = [
        ("password", text("canary-Pass/word+1 %")),
        ("token", text("canary-t0ken-of-the-hour")),
        ("in_url", text("canary-in-the-url-0815")),
        ("value", text("canary-value-that-is-stored")),
        ("name", text("canary-name-of-a-key")),
        ("seed", seed.seed().unwrap()),
        ("public_key", seed.public_key()),
        ("jwt", user.jwt.clone()),
        ("user_seed", user.seed()),
        ("creds", user.creds()),
        ("cert", identity.cert),
        ("key", identity.key),
        ("authority", authority.pem()),
    ];
    secrets.map(|(name, secret)| (text(name), secret)).into()
}

fn canaries(secrets: &Secrets) -> Vec<Canary> {
    let pem = secrets["key"].lines().filter(|line| !line.starts_with('-'));
    let der = BASE64_STANDARD.decode(pem.collect::<String>()).unwrap();
    let mut canaries: Vec<Canary> = [
        "password",
        "token",
        "in_url",
        "value",
        "name",
        "seed",
        "user_seed",
        "jwt",
    ]
    .map(|name| Canary::new(name, secrets[name].as_bytes()))
    .into();
    let (_, signature) = secrets["jwt"].rsplit_once('.').unwrap();
    canaries.push(Canary::new("signature of the JWT", signature.as_bytes()));
    // The private scalar of a P-256 key in PKCS #8.
    canaries.push(Canary::new("key", &der[36..68]));
    for line in secrets["key"].lines().filter(|line| line.len() == 64) {
        canaries.push(Canary::new("line of the key", line.as_bytes()));
    }
    canaries
}

/// Runs all scenes in a child, and returns what it wrote and what it should not have written. The servers run in
/// this process, so that they cannot write where the child does.
fn leaks(betrayed: &str) -> (Vec<u8>, Vec<String>) {
    let (operator, clients, servers) = (Operator::new(), Authority::new(), Authority::new());
    let mut secrets = fresh(&operator, &clients);
    let path = |path: std::path::PathBuf| path.display().to_string();
    let (server_cert, server_key) = servers.files(&servers.issue(&["localhost"]));
    let tls = format!(
        "tls {{ cert_file: {server_cert:?}, key_file: {server_key:?}, ca_file: {:?}, verify: true }}",
        clients.file()
    );
    let nkey = format!(
        "authorization {{ users: [{{ nkey: {} }}] }}",
        secrets["public_key"]
    );
    let running = [
        (
            "user_server",
            Server::builder().user("me", &secrets["password"]),
        ),
        ("token_server", Server::builder().token(&secrets["token"])),
        (
            "in_url_server",
            Server::builder().user("me", &secrets["in_url"]),
        ),
        ("nkey_server", Server::builder().config_extra(&nkey)),
        ("tls_server", Server::builder().config_extra(&tls)),
    ];
    let running = running.map(|(name, server)| (name, server.start()));
    let mut running = Vec::from(running);
    running.push(("jwt_server", operator.start(Server::builder())));
    for (name, server) in &running {
        secrets.insert(text(name), server.addr().to_string());
    }
    let identity = Identity {
        cert: secrets["cert"].clone(),
        key: secrets["key"].clone(),
    };
    let (cert, key) = clients.files(&identity);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let file = folder.path().join(name);
        fs::write(&file, content).unwrap();
        path(file)
    };
    let creds = secrets["creds"].clone();
    let broken = creds.replace(&secrets["user_seed"], &format!("{}A", secrets["user_seed"]));
    let files = [
        ("tls_ca", servers.pem()),
        ("cert_file", path(cert)),
        ("key_file", path(key)),
        ("creds_file", write("user.creds", &creds)),
        ("broken_creds_file", write("broken.creds", &broken)),
    ];
    secrets.extend(files.map(|(name, file)| (text(name), file)));
    let output = output_of_child(&secrets, betrayed);
    let found = canaries(&secrets);
    let found = found
        .iter()
        .flat_map(|canary| canary.found_in(&output))
        .collect();
    (output, found)
}

#[test]
fn no_secret_shows() {
    let (output, leaks) = leaks("");
    let text = String::from_utf8_lossy(&output);
    assert!(leaks.is_empty(), "{leaks:?} in:\n{text}");
    // It was as talkative as it can be, and came to see both sides.
    for said in [
        "DEBUG kv_proto::session::links message=dialing",
        "message=connected",
        "message=asking for TLS",
        "message=disconnected",
        "TRACE kv_proto::session::links message=frame received",
        "TRACE kv_proto::session::flow message=request encoded",
        "WARN kv_proto::session::links message=the server broke the protocol",
        "authentication failed",
    ] {
        assert!(
            contains(&output, said.as_bytes()),
            "no {said:?} in:\n{text}"
        );
    }
}

/// A child that betrays the password in the middle of all it says is found out, whatever the disguise.
#[test]
fn a_leak_would_be_found() {
    for disguise in ["clear", "base64", "hex", "percent", "debug", "log"] {
        let (_, leaks) = leaks(disguise);
        assert!(
            leaks.iter().all(|leak| leak.starts_with("password in")),
            "{leaks:?}"
        );
        assert!(!leaks.is_empty(), "{disguise}");
    }
}

/// In base64 a text looks different at each of three places, and next to other texts.
#[test]
fn every_disguise_is_seen_through() {
    let secret = b"canary-\xff+secret";
    let canary = Canary::new("it", secret);
    assert_eq!(canary.found_in(b"canary-secret, Y2FuYXJ5"), [""; 0]);
    for before in ["", "a", "ab", "abc"] {
        let text = [before.as_bytes(), secret, b" and more"].concat();
        for engine in [BASE64_STANDARD, base64::prelude::BASE64_URL_SAFE] {
            assert_ne!(canary.found_in(engine.encode(&text).as_bytes()), [""; 0]);
        }
        assert_ne!(canary.found_in(format!("{text:?}").as_bytes()), [""; 0]);
        assert_ne!(canary.found_in(format!("{text:02x?}").as_bytes()), [""; 0]);
        assert_ne!(canary.found_in(&text), [""; 0]);
    }
}

#[test]
#[ignore = "the tests above run it"]
fn child_of_the_tests_above() {
    let Ok(given) = std::env::var(GIVEN) else {
        return; // not run by the tests above, but with all that are ignored
    };
    let secrets: Secrets = serde_json::from_str(&given).unwrap();
    tracing::subscriber::set_global_default(listener::Listener).unwrap();
    let betrayed = std::env::var(BETRAYED).unwrap_or_default();
    scenes::betray(&secrets["password"], &betrayed);
    if betrayed.is_empty() {
        for adapter in [Adapter::Tokio, Adapter::Smol] {
            scenes::play(adapter, &secrets);
        }
        scenes::bare(&secrets);
    }
}
