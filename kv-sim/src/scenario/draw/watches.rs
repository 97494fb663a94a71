//! Who watches and lists what, and how it is read.

use crate::profile::Profile;
use crate::scenario::{Act, Purpose, Reader, Scope, Since, Step, Watch};
use crate::server::rng::Rng;

/// Watches are begun at any time, but mostly when something goes wrong soon or just has.
pub(super) fn draw_watches(rng: &mut Rng, profile: &Profile, steps: &mut Vec<Step>) {
    let storm_us = u64::from(profile.storm_ms) * 1_000;
    let faults: Vec<u64> = steps
        .iter()
        .filter(|step| matches!(step.act, Act::Fault(_)))
        .map(|step| step.at_us)
        .collect();
    let soon = 8 * u64::from(profile.net.latency_us) + 2 * u64::from(profile.net.quantum_us);
    for client in 0..profile.clients.count {
        for _ in 0..rng.pick(&[0, 1, 2, 2, 3, 5]) {
            let at_us = match rng.below(10) {
                0..4 if !faults.is_empty() => rng.pick(&faults).saturating_sub(rng.below(soon + 1)),
                4..5 if !faults.is_empty() => rng.pick(&faults) + rng.below(soon + 1),
                5..8 => rng.below(storm_us / 4 + 1),
                _ => rng.below(storm_us),
            };
            let watch = draw_watch(rng, profile);
            steps.push(Step {
                at_us: at_us.min(storm_us),
                act: Act::Follow { client, watch },
            });
            if rng.chance(20) {
                let nth = u8::try_from(rng.below(3)).unwrap_or(0);
                let later = if rng.chance(50) { soon } else { storm_us };
                steps.push(Step {
                    at_us: (at_us + rng.below(later + 1)).min(storm_us),
                    act: Act::Unfollow { client, nth },
                });
            }
        }
    }
}

fn draw_watch(rng: &mut Rng, profile: &Profile) -> Watch {
    let keys = u64::from(profile.keys);
    let key = u8::try_from(rng.below(keys)).unwrap_or(0);
    let purpose = match rng.below(20) {
        0..13 => Purpose::Watching,
        13..15 => Purpose::Listing,
        15..18 => Purpose::KeysOnly,
        _ => Purpose::HistoryOf(key),
    };
    let scope = match rng.below(20) {
        0..10 => Scope::Every,
        10..12 => Scope::Star,
        12..19 => {
            let more = (0..rng.below(3)).fold(1 << key, |bits, _| bits | 1 << rng.below(keys));
            Scope::These(more)
        }
        _ => Scope::NoKey,
    };
    let nth = u8::try_from(rng.below(4)).unwrap_or(0);
    let since = match rng.below(20) {
        0..9 => Since::Last,
        9..12 => Since::History,
        12..15 => Since::Now,
        15..17 => Since::Revision(rng.pick(&[0, 1, 5])),
        _ => Since::Position(nth),
    };
    let reader = match rng.below(20) {
        0..12 => Reader::Eager,
        12..15 => Reader::Slow(rng.pick(&[1, 20, 200])),
        15..18 => Reader::Pausing(
            rng.pick(&[0, 0, 1, 5]),
            rng.pick(&[200, 200, 2_000, 2_000, 8_000, 35_000]),
        ),
        _ => Reader::Asleep,
    };
    Watch {
        purpose,
        scope,
        since,
        ignore_deletes: rng.chance(15),
        meta_only: rng.chance(15),
        heartbeat_ms: heartbeat(rng, profile),
        patience_ms: rng.pick(&[0, 0, 0, 20, 3_000]),
        timeout_ms: if purpose == Purpose::Watching || rng.chance(70) {
            0
        } else {
            rng.pick(&[50, 500, 5_000])
        },
        buffer: rng.pick(&[
            (0, 0),
            (0, 0),
            (1, 0),
            (3, 0),
            (20, 0),
            (0, 200),
            (0, 2_000),
        ]),
        reader,
    }
}

/// A heartbeat that is not lost in what the network and embedders are late by.
fn heartbeat(rng: &mut Rng, profile: &Profile) -> u16 {
    let late_us =
        10 * profile.net.latency_us + 5 * profile.net.quantum_us + 5 * profile.clients.lazy_us;
    let least = u16::try_from(late_us / 1_000).unwrap_or(0);
    match rng.pick(&[0, 100, 300, 1_000, 2_000]) {
        0 => 0,
        ms => least.max(ms),
    }
}
