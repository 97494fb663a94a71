//! Where the Python client nats-py is: installed on first use by pip, from the wheel that `nats-py.txt` names
//! and no other, into a directory of its own below the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::provision::{install, run, target};

/// What pip is to install, with its hash.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/nats-py.txt");

/// Returns the directory that `PYTHONPATH` must name for `import nats`, after installing it if need be.
///
/// # Panics
///
/// When it cannot be installed; the message says what is missing.
#[track_caller]
pub fn nats_py() -> PathBuf {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(place) => place.clone(),
        Err(reason) => panic!("no nats-py: {reason}"),
    }
}

fn find() -> Result<PathBuf, String> {
    let version = pinned()?;
    let home = target().join("nats-py");
    let place = home.join(&version);
    let is_missing = || !place.join("nats").is_dir();
    if is_missing() {
        install(&home, &version, &is_missing, &download)
            .map_err(|reason| format!("{reason} (let python3 -m pip reach its package index)"))?;
    }
    Ok(place)
}

/// The version that is to be installed.
fn pinned() -> Result<String, String> {
    let text = fs::read_to_string(REQUIREMENTS).map_err(|e| format!("{REQUIREMENTS}: {e}"))?;
    let mut words = text.split_whitespace();
    let version = words.find_map(|word| word.strip_prefix("nats-py=="));
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("{REQUIREMENTS} names no nats-py"))
}

fn download(staging: &Path) -> Result<PathBuf, String> {
    let ready = staging.join("ready");
    run(Command::new("python3")
        .args(["-m", "pip", "--disable-pip-version-check", "install"])
        .args(["--quiet", "--no-deps", "--only-binary=:all:"])
        .args(["--require-hashes", "--root-user-action=ignore", "-r"])
        .arg(REQUIREMENTS)
        .arg("--target")
        .arg(&ready))?;
    run(Command::new("python3")
        .args(["-c", "import nats"])
        .env("PYTHONPATH", &ready))?;
    Ok(ready)
}
