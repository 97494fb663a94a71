//! How scenarios are drawn: who calls what when, and which faults come between.

mod consumers;
mod watches;

use super::{Act, Ask, Base, Scenario, Step};
use crate::fault::{Damage, Denied, Ending, Fault, Reception, Reply, Way};
use crate::profile::{Mix, Profile};
use crate::server::rng::Rng;
use crate::server::{Answerer, Refusal};

pub(super) const CALLS_PER_CLIENT: usize = 50;

/// The kinds of faults that are drawn, by the number that [`fault`] takes. A kind that needs several servers
/// or replicas draws something else without them.
const NETWORK: std::ops::Range<u64> = 0..12;
const SERVERS: std::ops::Range<u64> = 12..36;
const CLIENTS: std::ops::Range<u64> = 36..42;
const HOSTILE: std::ops::Range<u64> = 42..46;

pub(super) fn scenario(seed: u64, mix: Mix, calls: usize) -> Scenario {
    let mut rng = Rng::new(seed);
    let profile = Profile::draw(&mut rng.child(), mix);
    let mut steps = Vec::new();
    for client in 0..profile.clients.count {
        draw_calls(&mut rng.child(), &profile, client, calls, &mut steps);
    }
    draw_faults(&mut rng.child(), &profile, mix, &mut steps);
    consumers::draw_faults(&mut rng.child(), &profile, mix, &mut steps);
    watches::draw_watches(&mut rng.child(), &profile, &mut steps);
    draw_removals(&mut rng.child(), &profile, &mut steps);
    draw_answerers(&mut rng.child(), &profile, mix, &mut steps);
    steps.sort_by_key(|step| step.at_us);
    Scenario {
        seed,
        profile,
        steps,
    }
}

fn draw_calls(rng: &mut Rng, profile: &Profile, client: u8, calls: usize, steps: &mut Vec<Step>) {
    let storm_us = u64::from(profile.storm_ms) * 1_000;
    let gap = 2 * storm_us / (calls as u64).max(1);
    let burst = rng.pick(&[5, 30, 80]);
    let mut at_us = rng.below(gap + 1);
    for _ in 0..calls {
        let timeout_ms = if rng.chance(15) {
            rng.pick(&[1, 20, 200, 3_000])
        } else {
            0
        };
        let ask = draw_ask(rng, profile);
        let act = Act::Call {
            client,
            timeout_ms,
            ask,
        };
        steps.push(Step { at_us, act });
        if !rng.chance(burst) {
            at_us = (at_us + rng.below(gap + 1)).min(storm_us);
        }
    }
}

fn draw_ask(rng: &mut Rng, profile: &Profile) -> Ask {
    // The product of two draws: small numbers are hot.
    let keys = u64::from(profile.keys);
    let key = rng.below(keys + 1) * rng.below(keys + 1) / (keys + 1);
    let key = u8::try_from(key)
        .unwrap_or(0)
        .min(profile.keys.saturating_sub(1));
    let size = rng.pick(&[0, 20, 20, 20, 20, 20, 20, 20, 100, 100, 511, 700]);
    let wide = profile.net.window > 60_000 && profile.net.latency_us <= 2_000;
    let large = if wide { 300_000 } else { 20_000 };
    let size = match rng.below(1_000) {
        0 => large,
        1..4 => 20_000,
        4..30 => 5_000,
        _ => size,
    };
    let ttl = if profile.bucket.markers && rng.chance(30) {
        rng.pick(&[1, 2, 30])
    } else {
        0
    };
    let base = if rng.chance(75) {
        Base::Seen
    } else {
        rng.pick(&[Base::Older, Base::Zero])
    };
    let maybe = if rng.chance(50) { Some(base) } else { None };
    match rng.below(100) {
        0..24 => Ask::Put { key, size },
        24..38 => Ask::Create { key, size, ttl },
        38..56 => Ask::Update {
            key,
            size,
            base,
            ttl: if profile.bucket.history == 1 { ttl } else { 0 },
        },
        56..64 => Ask::Delete { key, base: maybe },
        64..69 => Ask::Purge {
            key,
            base: maybe,
            ttl,
        },
        69..83 => Ask::Get { key },
        83..90 => Ask::GetLeader { key },
        90..94 => Ask::GetRevision {
            key,
            back: rng.pick(&[0, 0, 1, 2]),
        },
        94..95 => Ask::Status,
        95..96 => Ask::Open,
        96..97 => Ask::Names,
        97..98 => Ask::Statuses,
        98..99 => Ask::Ping,
        _ => Ask::Sleep { ms: 100 },
    }
}

/// In some runs a few removals, at any time.
fn draw_removals(rng: &mut Rng, profile: &Profile, steps: &mut Vec<Step>) {
    if !rng.chance(30) {
        return;
    }
    for _ in 0..rng.pick(&[1, 2, 5]) {
        let ask = match rng.below(10) {
            0..2 => Ask::EraseKeys { key: None },
            2..5 => Ask::EraseKeys {
                key: Some(one_of(rng, profile.keys)),
            },
            _ => Ask::PurgeDeletes {
                older_ms: rng.pick(&[0, 0, 0, 300, 2_000, 60_000]),
            },
        };
        let act = Act::Call {
            client: one_of(rng, profile.clients.count),
            timeout_ms: rng.pick(&[0, 0, 0, 20, 3_000]),
            ask,
        };
        let at_us = rng.below(u64::from(profile.storm_ms) * 1_000);
        steps.push(Step { at_us, act });
    }
}

/// In some runs other streams answer reads.
fn draw_answerers(rng: &mut Rng, profile: &Profile, mix: Mix, steps: &mut Vec<Step>) {
    let stormy = matches!(mix, Mix::Servers | Mix::Swarm | Mix::Hostile);
    if !stormy || !rng.chance(15) {
        return;
    }
    let moments = Moments::new(profile, steps);
    for _ in 0..rng.pick(&[1, 2, 4]) {
        let who = rng.pick(&Answerer::ALL);
        let count = rng.pick(&[1, 1, 3, u8::MAX]);
        let act = Act::Fault(Fault::AnsweredBy { who, count });
        let at_us = moments.draw(rng);
        steps.push(Step { at_us, act });
    }
}

fn draw_faults(rng: &mut Rng, profile: &Profile, mix: Mix, steps: &mut Vec<Step>) {
    let ranges: &[std::ops::Range<u64>] = match mix {
        Mix::Quiet | Mix::Watches => &[],
        Mix::Network => &[NETWORK],
        Mix::Servers => &[SERVERS],
        Mix::Clients => &[CLIENTS],
        Mix::Swarm => &[NETWORK, SERVERS, CLIENTS],
        Mix::Hostile => &[NETWORK, SERVERS, CLIENTS, HOSTILE],
    };
    let share = rng.pick(&[12, 25, 60]);
    let mut kinds: Vec<u64> = ranges
        .iter()
        .cloned()
        .flatten()
        .filter(|_| rng.chance(share))
        .collect();
    if kinds.is_empty() {
        kinds.extend(ranges.iter().cloned().flatten().take(4));
    }
    if kinds.is_empty() {
        return;
    }
    let moments = Moments::new(profile, steps);
    for _ in 0..rng.pick(&[4, 8, 16, 30]) {
        let kind = rng.pick(&kinds);
        let at_us = moments.draw(rng);
        let act = Act::Fault(fault(kind, rng, profile));
        steps.push(Step { at_us, act });
    }
}

/// When faults strike: most soon after a call, as that is when they matter.
struct Moments {
    calls: Vec<u64>,
    soon: u64,
    storm_us: u64,
}

impl Moments {
    fn new(profile: &Profile, steps: &[Step]) -> Self {
        let is_call = |step: &&Step| matches!(step.act, Act::Call { .. });
        let calls = steps.iter().filter(is_call).map(|step| step.at_us);
        let net = &profile.net;
        Self {
            calls: calls.collect(),
            soon: 4 * u64::from(net.latency_us) + 2 * u64::from(net.quantum_us),
            storm_us: u64::from(profile.storm_ms) * 1_000,
        }
    }

    fn draw(&self, rng: &mut Rng) -> u64 {
        if rng.chance(75) && !self.calls.is_empty() {
            (rng.pick(&self.calls) + rng.below(self.soon + 1)).min(self.storm_us)
        } else {
            rng.below(self.storm_us)
        }
    }
}

/// The number of one of so many.
fn one_of(rng: &mut Rng, count: u8) -> u8 {
    u8::try_from(rng.below(u64::from(count))).unwrap_or(0)
}

/// Draws one fault of a kind.
fn fault(kind: u64, rng: &mut Rng, profile: &Profile) -> Fault {
    let client = one_of(rng, profile.clients.count);
    let server = one_of(rng, profile.servers);
    let key = one_of(rng, profile.keys);
    let way = rng.pick(&[Way::Up, Way::Down]);
    let ms = rng.pick(&[1, 20, 100, 400, 1_500, 5_000]);
    let after = rng.pick(&[0, 1, 3, 17, 60, 61, 62, 63, 64, 100, 150, 300, 1_000]);
    let cut = |how| Fault::Cut {
        client,
        way,
        after,
        how,
    };
    let connect = |how| Fault::Connect { server, how, ms };
    let reply = |how| Fault::Reply { how, ms };
    let replicated = profile.bucket.replicas > 1;
    match kind {
        0 => Fault::Clog { client, way, ms },
        1 | 2 => cut(Ending::Reset),
        3 => cut(Ending::Finished),
        4 => cut(Ending::WriteFails),
        5 => Fault::HalfOpen { client, way },
        6 => Fault::Stall { client, ms },
        7 => connect(Reception::Refuses),
        8 => connect(Reception::BlackHole),
        9 => connect(Reception::Silent),
        10 => connect(Reception::Hangs),
        11 => connect(Reception::Nameless),
        12 => Fault::Restart {
            server,
            ms,
            keep_memory: true,
        },
        13 => Fault::Restart {
            server,
            ms,
            keep_memory: false,
        },
        14 => Fault::Rewind {
            count: rng.pick(&[1, 2, 7]),
        },
        15 => Fault::Recreate {
            ms: rng.pick(&[0, 0, 50, 1_000]),
        },
        16 | 17 if replicated => Fault::Elect {
            leaderless_ms: rng.pick(&[0, 50, 300, 2_000]),
            lost: rng.chance(50),
            old_leader_ms: rng.pick(&[0, 0, 50, 500]),
        },
        18 if replicated => Fault::Lag { server, ms },
        16 | 19 => reply(Reply::Lost),
        17 | 20 => reply(Reply::Late),
        18 | 21 => reply(Reply::Twice),
        22 => reply(Reply::Garbage),
        23 | 24 => Fault::Refuse {
            error: rng.pick(&Refusal::ALL),
            stored: rng.chance(50),
        },
        25 => Fault::Stray { client },
        26 => rng.pick(&[Fault::Infos { client, count: 50 }, Fault::Urls { client }]),
        // A server that goes gives its clients time.
        27 => Fault::LameDuck {
            server,
            ms: ms.max(1_500),
        },
        28 => Fault::MaxPayload {
            bytes: rng.pick(&[64, 600, 65_536]),
            ms,
        },
        29 => Fault::NoJetStream { ms },
        30 => Fault::Err {
            client,
            text: u8::try_from(rng.below(20)).unwrap_or(0),
        },
        31 => Fault::Logins { ms },
        32 => Fault::Pings { client, count: 100 },
        33 if !profile.auth => Fault::Foreign {
            key,
            tombstone: rng.chance(40),
        },
        33 => Fault::Deny {
            client,
            what: rng.pick(&[
                Denied::Keys,
                Denied::DirectGet,
                Denied::MessageGet,
                Denied::StreamInfo,
            ]),
        },
        34 => Fault::Poison { key },
        35 => rng.pick(&[
            Fault::Foreign {
                key,
                tombstone: false,
            },
            Fault::PurgeKey { key },
        ]),
        36 => Fault::Jump {
            client,
            ms: rng.pick(&[-500, -5_000, 300, 1_000, 60_000, 3_600_000]),
        },
        37 => Fault::Freeze { client, ms },
        38 => Fault::PolledLate { client, ms },
        39 => Fault::Wake { client, count: 20 },
        40 => Fault::Cancel {
            client,
            nth: u8::try_from(rng.below(8)).unwrap_or(0),
        },
        41 => rng.pick(&[Fault::Drop { client }, Fault::Close { client }]),
        42 => Fault::Garble {
            client,
            way: Way::Down,
            how: Damage::Flip,
        },
        43 => Fault::Garble {
            client,
            way: Way::Down,
            how: Damage::Double,
        },
        44 => Fault::Garble {
            client,
            way: Way::Down,
            how: Damage::Gap,
        },
        _ => Fault::Garble {
            client,
            way: Way::Down,
            how: Damage::Noise,
        },
    }
}
