//! What is secret is gone from memory with its owner. A process of its own looks for it in its own heap, as whoever
//! gets hold of a core dump would; on Linux, where memory can be read as a file.

#![cfg(all(target_os = "linux", feature = "nkeys"))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test may fail loudly"
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::process::Command;

use kv_proto::{Config, Credentials, Instant, NKey, Secret, Seed, Session, UserCreds};

/// A password, what is none, and the 32 bytes of a key; each byte is higher by one, so that they are in memory
/// where they are owned and nowhere else.
const PASSWORD: &[u8] = b"uif!qbttxpse!uibu!xf!mppl!gps!jt!mpoh!fopvhi!up!cf!gpvoe!boe!cfhjot!ifsf";
const WORDS: &[u8] = b"kvtu!b!tfoufodf!uibu!opcpez!ijeft-!boe!uibu!jt!mpoh!fopvhi!up!cf!gpvoe";
const KEY: [u8; 32] = [
    42, 74, 124, 161, 16, 66, 222, 70, 148, 108, 77, 197, 190, 162, 223, 204, 104, 194, 41, 231,
    160, 180, 213, 145, 239, 131, 14, 176, 125, 50, 141, 11,
];

/// The seed of that key.
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

fn plain(disguised: &[u8]) -> String {
    let bytes = disguised.iter().map(|byte| char::from(byte - 1));
    bytes.collect()
}

/// How often the later half of a secret is in the heap: what is freed loses its beginning to the allocator.
fn found(disguised: &[u8]) -> usize {
    let half = &disguised[disguised.len() / 2..];
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let heap = maps.lines().find(|line| line.ends_with("[heap]")).unwrap();
    let (from, to) = heap.split(' ').next().unwrap().split_once('-').unwrap();
    let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
    let memory = File::open("/proc/self/mem").unwrap();
    let mut piece = [0; 8_192]; // not in the heap, where it would be found
    let (mut at, mut count) = (from, 0);
    while at < to {
        let len = piece.len().min(usize::try_from(to - at).unwrap());
        memory.read_exact_at(&mut piece[..len], at).unwrap();
        let is_it = |window: &[u8]| {
            let mut pairs = window.iter().zip(half);
            pairs.all(|(byte, higher)| byte.wrapping_add(1) == *higher)
        };
        count += piece[..len]
            .windows(half.len())
            .filter(|window| is_it(window))
            .count();
        at += u64::try_from((len - half.len()).max(1)).unwrap();
        if len < piece.len() {
            break;
        }
    }
    count
}

/// How often a secret is found while it is owned, and after.
fn owned_and_after<T>(disguised: &[u8], make: impl FnOnce() -> T) -> (usize, usize) {
    let owner = black_box(Box::new(make()));
    let owned = found(disguised);
    drop(owner);
    (owned, found(disguised))
}

/// With one heap for all threads, and nobody else on it.
#[test]
fn secrets_are_gone_with_their_owners() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
            "child_of_the_test_above",
        ])
        .env("MALLOC_ARENA_MAX", "1")
        .env("KV_WIPED", "1")
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[test]
#[ignore = "the test above runs it"]
fn child_of_the_test_above() {
    if std::env::var("KV_WIPED").is_err() {
        return; // not run by the test above, but with all that are ignored
    }
    // That which wipes nothing is found out.
    assert_eq!(owned_and_after(WORDS, || plain(WORDS)), (1, 1));

    let password = || plain(PASSWORD);
    let config = || Config::new("localhost").unwrap();
    let key = || NKey::from_seed(SEED).unwrap();
    for (owned, after) in [
        owned_and_after(PASSWORD, || Secret::from(password())),
        owned_and_after(PASSWORD, || Credentials::Token(password().into())),
        owned_and_after(PASSWORD, || config().user("me", password())),
        owned_and_after(PASSWORD, || config().token(password()).clone()),
        owned_and_after(PASSWORD, || UserCreds::new(password(), key())),
        owned_and_after(PASSWORD, || {
            Session::new(
                Instant::ORIGIN,
                config().token(password()),
                Seed::from_u64(1),
            )
        }),
        owned_and_after(&KEY, key),
        owned_and_after(&KEY, || UserCreds::new("jwt", key())),
        owned_and_after(&KEY, || config().nkey(key())),
    ] {
        assert!(owned >= 1, "it was not there");
        assert_eq!(after, 0, "it is still there");
    }
}
