//! Each planted bug shows. For each there is a scene that gives one result in
//! correct code and another one with the bug planted; both are told here, so
//! that a scene which proves nothing would be noticed.
//!
//! Planting is process-wide, so one test goes through all scenes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail loudly"
)]

mod floor_scenes;
mod link_scenes;
mod read_scenes;
#[path = "../support/mod.rs"]
mod support;
mod watch_scenes;
mod write_scenes;

use bytes::{Buf, Bytes};
use kv_proto::mutant::{self, Mutant};
use kv_proto::{
    BucketConfig, Config, ConnectionEvent, ConnectionState, CreateOptions, Entry, EventCursor,
    GetOptions, LinkErrorKind, ReadError, Revision, WriteError,
};
use support::embedder::{PUT, World, config, key, seconds};
use support::peer::{Rule, refusal};
use watch_scenes::Scene;

#[test]
fn each_planted_bug_shows() {
    let scenes = write_scenes::SCENES.iter().chain(&link_scenes::SCENES);
    let scenes = scenes.chain(&read_scenes::SCENES);
    let scenes = scenes.chain(&watch_scenes::SCENES);
    let scenes = scenes.chain(&floor_scenes::SCENES);
    for &(mutant, scene, correct, wrong) in scenes.clone() {
        let name = mutant.name();
        mutant::plant(None);
        assert_eq!(scene(), correct, "{name} not planted");
        mutant::plant(Some(mutant));
        assert_eq!(scene(), wrong, "{name}: {}", mutant.summary());
    }
    mutant::plant(None);
    for mutant in Mutant::ALL {
        let shown = scenes.clone().any(|scene| scene.0 == *mutant);
        assert!(shown, "{} has no scene", mutant.name());
    }
}

/// What a caller is told of a write.
fn told(result: Result<Revision, WriteError>) -> String {
    match result {
        Ok(revision) => format!("applied at {revision}"),
        Err(WriteError::Exists { revision }) => format!("exists at {revision}"),
        Err(WriteError::Conflict { current, .. }) => {
            format!("conflict with {}", current.expect("a number"))
        }
        Err(WriteError::NotApplied(_)) => "not applied".to_owned(),
        Err(WriteError::Unknown(_)) => "unknown".to_owned(),
        Err(other) => panic!("{other:?}"),
    }
}

/// What a caller is told of a get.
fn read(result: &Result<Option<Entry>, ReadError>) -> &'static str {
    match result {
        Ok(Some(_)) => "found",
        Ok(None) => "no such key",
        Err(_) => "an error",
    }
}

fn link_kept(world: &World) -> &'static str {
    if world.dialed.len() == 1 {
        "link kept"
    } else {
        "link lost"
    }
}

/// Everything that a link has to write, without writing it.
fn unwritten(world: &mut World) -> Vec<u8> {
    let link = world.link();
    let mut output = world.session.transmit(link);
    output.copy_to_bytes(output.remaining()).to_vec()
}

/// Lets a time pass, and everything that it brings.
fn pass(world: &mut World, time: u64) {
    let end = world.now + seconds(time);
    world.settle();
    while let Some(next) = world.session.poll_timeout().filter(|next| *next < end) {
        world.at(next.max(world.now));
        world.settle();
    }
    world.at(end);
    world.settle();
}
