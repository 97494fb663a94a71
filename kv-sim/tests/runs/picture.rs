//! `kv-sim replay SEED --html FILE` draws what it replays.

use std::path::PathBuf;
use std::process::{Command, Output};

use kv_sim::{Mix, Scenario, picture, run_recorded};

fn replay(arguments: &[&str], file: &str) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_kv-sim"))
        .args(["replay", "--html", file])
        .args(arguments)
        .output();
    output.expect("the binary runs")
}

fn place(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The page that another process draws is the one that is drawn here.
#[test]
fn a_seed_that_breaks_nothing_is_drawn_as_a_whole() {
    for (profile, mix) in [("swarm", Mix::Swarm), ("watches", Mix::Watches)] {
        let file = place(&format!("{profile}.html"));
        let path = file.to_str().expect("it is text");
        let output = replay(&["7", "--profile", profile], path);
        assert!(output.status.success(), "{output:?}");
        let (outcome, mut recording) = run_recorded(&Scenario::draw(7, mix));
        recording.facts.push(("profile".into(), profile.into()));
        let drawn = std::fs::read_to_string(&file).expect("it was written");
        assert!(drawn == picture::draw(&recording), "{profile}");
        let hash = format!("{:016x}", outcome.hash);
        assert!(drawn.contains(&hash));
        let told = String::from_utf8(output.stdout).expect("it prints text");
        assert!(told.contains(&hash) && told.contains(path), "{told}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let nowhere = place("not/there/x.html");
    let output = replay(&["7"], nowhere.to_str().expect("it is text"));
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("x.html"));
}
