//! The examples of the other packages do what they print.

use std::process::Command;

use kv_tests::{Admin, Server};

/// Runs an example, against a server or on its own, and returns what it printed.
fn run(package: &str, example: &str, server: Option<&Server>) -> String {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--package", package, "--example", example])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("NATS_URL");
    if let Some(server) = server {
        command.env("NATS_URL", server.url());
    }
    let output = command.output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} failed:\n{errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// The quickstart on tokio tells of each step, loses the two races that it stages, watches what it does
/// itself, and leaves nothing behind.
#[test]
fn quickstart() {
    let server = Server::start();
    let printed = run("kv-tokio", "quickstart", Some(&server));
    expect_quickstart(&printed, &server.addr().to_string());
    let names = Admin::connect(&server).request("$JS.API.STREAM.NAMES", b"");
    assert_eq!(names["total"], 0, "{names}");
}

/// Without a server it brings its own, and tells the same.
#[test]
fn quickstart_alone() {
    let printed = run("kv-tokio", "quickstart", None);
    expect_quickstart(&printed, "127.0.0.1:");
}

fn expect_quickstart(printed: &str, address: &str) {
    let mut lines = printed.lines();
    for wanted in [
        &format!("connected to {address}"),
        "bucket \"quickstart\" keeps 5 revisions of each key",
        "-> revision 1",
        "-> b\"on\"",
        "-> revision 2",
        "-> lost: it is at 2",
        "-> lost: key exists at revision 3",
        "-> b\"on\", 20",
        "history      app.setting at 1           -> b\"on\"",
        "history      app.setting at 2           -> b\"off\"",
        "-> [\"app.lock\", \"app.setting\"]",
        "-> app.setting = b\"off\"",
        "-> app.lock = b\"me\"",
        "-> that was all there is",
        "-> None",
        "-> app.setting Delete at 4",
        "status       2 keys, ",
        "bucket deleted, connection closed: Closed",
    ] {
        let line = lines.next().unwrap_or("the end");
        assert!(
            line.contains(wanted),
            "{line:?} instead of {wanted:?} in:\n{printed}"
        );
    }
    assert_eq!(lines.next(), None, "{printed}");
}

/// On smol, one thread follows what two writers do to one key, and neither of them loses.
#[test]
fn settings() {
    let server = Server::start();
    for real in [Some(&server), None] {
        let printed = run("kv-smol", "settings", real);
        let lines: Vec<_> = printed.lines().collect();
        let address = real.map_or("127.0.0.1:".into(), |server| server.addr().to_string());
        assert!(
            lines[0].starts_with(&format!("connected to {address}")),
            "{printed}"
        );
        let loaded = r#"loaded   {"log.level": "info", "pool.size": "8"}"#;
        assert_eq!(lines[1], loaded, "{printed}");
        for told in [
            r#"Put pool.size b"32""#,
            r#"Delete log.level b"""#,
            r#"Put log.target b"stderr""#,
            r#"Delete pool.size b"""#,
        ] {
            assert!(lines.contains(&told), "{told} is missing:\n{printed}");
        }
        let last = r#"in force {"log.target": "stderr"}"#;
        assert_eq!(lines.last(), Some(&last), "{printed}");
    }
    let names = Admin::connect(&server).request("$JS.API.STREAM.NAMES", b"");
    assert_eq!(names["total"], 0, "{names}");
}

/// The bare session on blocking sockets stores, reads and deletes.
#[test]
fn blocking() {
    let server = Server::start();
    let printed = run("kv-proto", "blocking", Some(&server));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        lines,
        [
            "put app.setting = on -> revision 1",
            "get app.setting -> b\"on\" at revision 1",
            "bucket deleted",
        ]
    );
    let names = Admin::connect(&server).request("$JS.API.STREAM.NAMES", b"");
    assert_eq!(names["total"], 0, "{names}");
}
