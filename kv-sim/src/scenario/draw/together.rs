//! Faults that strike together: each pair of families within the time of one call, and what is rare unless it is
//! aimed at. They are drawn beside the others, so that these are the same with and without them.

use super::{Moments, consumers, one_of};
use crate::coverage::FAMILIES;
use crate::fault::{Ending, Fault, Reply, Way};
use crate::profile::{Mix, Profile};
use crate::scenario::{Act, Ask, Step};
use crate::server::rng::Rng;

/// In one run of so many two pairs strike, and in one of so many something is aimed at.
const PAIRS: u64 = 4;
const AIMED: u64 = 10;

pub(super) fn draw_pairs(rng: &mut Rng, profile: &Profile, mix: Mix, steps: &mut Vec<Step>) {
    if mix != Mix::Swarm {
        return;
    }
    let moments = Moments::new(profile, steps);
    if rng.below(PAIRS) == 0 {
        for _ in 0..2 {
            let at_us = moments.draw(rng);
            let then_us = at_us + rng.below(moments.soon + 1);
            for at_us in [at_us, then_us] {
                let family = rng.pick(&FAMILIES);
                steps.extend(one_of_family(family, rng, profile).map(|fault| step(at_us, fault)));
            }
        }
    }
    if rng.below(AIMED) == 0 {
        aim(rng, profile, &moments, steps);
    }
}

fn step(at_us: u64, fault: Fault) -> Step {
    let act = Act::Fault(fault);
    Step { at_us, act }
}

/// A fault of a family, if this run can have one.
fn one_of_family(family: &str, rng: &mut Rng, profile: &Profile) -> Option<Fault> {
    const TRIES: usize = 200;
    let mut drawn = (0..TRIES).map(|_| {
        if rng.chance(50) {
            super::fault(rng.below(super::CLIENTS.end), rng, profile)
        } else {
            consumers::fault(rng.below(consumers::KINDS), rng, profile)
        }
    });
    drawn.find(|fault| crate::coverage::family_of(fault.name()) == Some(family))
}

/// What needs two things in a short time.
fn aim(rng: &mut Rng, profile: &Profile, moments: &Moments, steps: &mut Vec<Step>) {
    let client = one_of(rng, profile.clients.count);
    let at_us = moments.draw(rng);
    let round_trip_us = 2 * u64::from(profile.net.latency_us);
    let call = |at_us, ask| Step {
        at_us,
        act: Act::Call {
            client,
            timeout_ms: 0,
            ask,
        },
    };
    let twice = |ms| Fault::Reply {
        how: Reply::Twice,
        ms,
    };
    let between_us = rng.below(2 * round_trip_us + 2_000);
    match rng.below(4) {
        // The second copy of an answer meets a question about another key.
        0 => {
            let other = profile.keys.saturating_sub(1);
            steps.push(step(at_us, twice(1)));
            steps.push(call(at_us, Ask::Get { key: 0 }));
            steps.push(call(at_us + between_us, Ask::Get { key: other }));
        }
        // The second copy of an acknowledgement comes before what it could be taken to be for has left.
        1 => {
            let write = rng.pick(&[
                Ask::Put { key: 0, size: 20 },
                Ask::Delete { key: 0, base: None },
            ]);
            steps.push(step(at_us, twice(5)));
            steps.push(call(at_us, write));
            if rng.chance(50) {
                let stall = Fault::Stall { client, ms: 20 };
                steps.push(step(at_us + round_trip_us + 1_000, stall));
            }
            steps.push(call(at_us + between_us + 5_000, write));
        }
        // Bytes arrive after a deadline whose timer is late, and then the socket takes what waits.
        2 => {
            let put = Ask::Put { key: 0, size: 20 };
            let late = Fault::PolledLate { client, ms: 1_500 };
            steps.push(step(at_us, late));
            steps.push(step(at_us, Fault::Stall { client, ms: 20 }));
            steps.push(Step {
                at_us: at_us + 100,
                act: Act::Call {
                    client,
                    timeout_ms: 1,
                    ask: put,
                },
            });
            steps.push(step(at_us + 5_000, Fault::Pings { client, count: 1 }));
        }
        // The bucket loses its end, or begins anew, while tombstones are removed.
        _ => {
            let older_ms = 0;
            let key = one_of(rng, profile.keys);
            let delete = Ask::Delete { key, base: None };
            let at_us = at_us + 4 * round_trip_us;
            steps.push(call(at_us - 4 * round_trip_us, delete));
            steps.push(call(at_us, Ask::PurgeDeletes { older_ms }));
            let then_us = at_us + round_trip_us + rng.below(4 * round_trip_us + 2_000);
            if rng.chance(50) {
                let count = rng.pick(&[1, 1, 3, 20]);
                steps.push(step(then_us, Fault::Rewind { count }));
            } else {
                let (way, after, how) = (Way::Down, 0, Ending::Reset);
                steps.push(step(then_us, Fault::Recreate { ms: 0 }));
                let cut = Fault::Cut {
                    client,
                    way,
                    after,
                    how,
                };
                steps.push(step(then_us, cut));
            }
        }
    }
}
