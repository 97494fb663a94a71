//! The published nats-py, of the version that `nats-py.txt` names.

use std::process::Command;

use kv_tests::nats_py;

use crate::site::{Pair, V2_10, V2_11, V2_12, V2_14, V2_15, prints_the_same};

#[test]
fn v2_10() {
    both_ways(V2_10);
}

#[test]
fn v2_11() {
    both_ways(V2_11);
}

#[test]
fn v2_12() {
    both_ways(V2_12);
}

#[test]
fn v2_14() {
    both_ways(V2_14);
}

#[test]
fn v2_15() {
    both_ways(V2_15);
}

fn both_ways(pair: Pair) {
    prints_the_same(pair, |url| {
        let output = Command::new("python3")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/clients/session.py"
            ))
            .arg(url)
            .args(pair.expires_values().then_some("expires"))
            .env("PYTHONPATH", nats_py())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let printed = String::from_utf8(output.stdout).unwrap();
        printed.lines().map(str::to_owned).collect()
    });
}
