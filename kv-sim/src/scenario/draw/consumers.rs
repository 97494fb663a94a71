//! The faults that show where somebody watches. They are drawn beside the others, so that these are the same
//! with and without them.

use super::{Moments, one_of};
use crate::fault::{Denied, Ending, Fault, Reply, Way};
use crate::profile::{Mix, Profile};
use crate::scenario::{Act, Step};
use crate::server::rng::Rng;
use crate::server::{ApiCall, ApiRefusal, CountFault, DeliveryFault, FlowFault, HeartbeatFault};

/// How many kinds there are, by the number that [`fault`] takes.
pub(super) const KINDS: u64 = 36;

pub(super) fn draw_faults(rng: &mut Rng, profile: &Profile, mix: Mix, steps: &mut Vec<Step>) {
    let (counts, share): (&[u64], u64) = match mix {
        Mix::Quiet | Mix::Network | Mix::Clients => return,
        Mix::Servers | Mix::Swarm | Mix::Hostile => (&[0, 1, 3, 6, 12], 25),
        Mix::Watches => (&[3, 8, 16, 30], 40),
    };
    let mut kinds: Vec<u64> = (0..KINDS).filter(|_| rng.chance(share)).collect();
    if kinds.is_empty() {
        kinds.push(rng.below(KINDS));
    }
    let moments = Moments::new(profile, steps);
    for _ in 0..rng.pick(counts) {
        let kind = rng.pick(&kinds);
        let at_us = moments.draw(rng);
        let fault = fault(kind, rng, profile);
        if let Fault::Count {
            how: CountFault::Asked { by },
            ..
        } = fault
            && profile.auth
        {
            // Only who may not ask the leader asks that, and only if less came than was counted.
            let (what, how) = (Denied::MessageGet, CountFault::AtFirst { by });
            let clients = 0..profile.clients.count;
            let denials = clients.map(|client| Fault::Deny { client, what });
            let gone = Fault::ApiRefuse {
                call: ApiCall::InfoCall,
                error: ApiRefusal::NotFound,
                done: false,
            };
            let gone = rng.chance(30).then_some(gone);
            let before = denials.chain([Fault::Count { how, count: 3 }]).chain(gone);
            steps.extend(before.map(|fault| Step {
                at_us,
                act: Act::Fault(fault),
            }));
        }
        if let Fault::RecreateBehind { .. } = fault {
            // While watches are made anew, as that is when they look.
            let interruptions = (0..profile.clients.count).map(|client| {
                let (way, after, how) = (Way::Down, 0, Ending::Reset);
                let cut = Fault::Cut {
                    client,
                    way,
                    after,
                    how,
                };
                let act = Act::Fault(cut);
                Step { at_us, act }
            });
            steps.extend(interruptions);
        }
        let act = Act::Fault(fault);
        steps.push(Step { at_us, act });
    }
}

/// Draws one fault of a kind.
pub(super) fn fault(kind: u64, rng: &mut Rng, profile: &Profile) -> Fault {
    let client = one_of(rng, profile.clients.count);
    let key = one_of(rng, profile.keys);
    let ms = rng.pick(&[1, 20, 100, 400, 1_500, 5_000]);
    let count = rng.pick(&[1, 1, 1, 2, 5]);
    let by = rng.pick(&[1, 1, 2, 7, 100]);
    let nth = u8::try_from(rng.below(8)).unwrap_or(0);
    let call = rng.pick(&ApiCall::ALL);
    let answer = |how| Fault::ApiReply { call, how, ms };
    let heartbeat = |how| Fault::Heartbeat { how };
    let delivery = |how| Fault::Delivery { how, count };
    let wrong = |how| Fault::Count { how, count };
    match kind {
        0 | 1 => Fault::DropConsumers { nth: Some(nth) },
        2 => Fault::DropConsumers { nth: None },
        3 => Fault::KillHost { nth, ms },
        4 => answer(Reply::Lost),
        5 => answer(Reply::Late),
        6 => answer(Reply::Twice),
        7 => answer(Reply::Garbage),
        8 => {
            let error = rng.pick(ApiRefusal::of(call));
            // Of a consumer that is said to be gone nobody can know that it is not.
            let done = call == ApiCall::DeleteCall && error == ApiRefusal::NotFound;
            Fault::ApiRefuse { call, error, done }
        }
        9 => {
            let call = rng.pick(&[ApiCall::CreateCall, ApiCall::DeleteCall]);
            Fault::ApiRefuse {
                call,
                error: rng.pick(ApiRefusal::of(call)),
                done: true,
            }
        }
        10 => heartbeat(HeartbeatFault::Missing { ms }),
        11 => heartbeat(HeartbeatFault::Tardy { ms }),
        12 => heartbeat(HeartbeatFault::Early),
        13 => Fault::Beat,
        14 => heartbeat(HeartbeatFault::Ahead { by }),
        15 => heartbeat(HeartbeatFault::Elsewhere { by }),
        16 => Fault::Flow {
            how: FlowFault::RequestLost,
        },
        17 => Fault::Flow {
            how: FlowFault::AnswerLost,
        },
        18 => delivery(DeliveryFault::Dropped),
        19 => delivery(DeliveryFault::Doubled),
        20 => delivery(DeliveryFault::Overtaken),
        21 => delivery(DeliveryFault::Delayed { ms }),
        22 => delivery(DeliveryFault::Echoed { ms }),
        23 => delivery(DeliveryFault::Widened {
            tokens: rng.pick(&[11, 12]),
        }),
        24 => delivery(DeliveryFault::Unreadable {
            form: u8::try_from(rng.below(6)).unwrap_or(0),
        }),
        25 => Fault::Delivery {
            how: DeliveryFault::Orphaned,
            count: 1,
        },
        26 => Fault::Count {
            how: CountFault::More { by: by.into() },
            count: rng.pick(&[1, 5, u8::MAX]),
        },
        27 => wrong(CountFault::Fewer { by: by.into() }),
        28 => wrong(CountFault::Nothing),
        29 => wrong(CountFault::AtFirst { by: by.into() }),
        30 => wrong(CountFault::Asked { by: by.into() }),
        31 => rng.pick(&[Fault::PurgeAll, Fault::Erase { key }]),
        32 => Fault::RecreateBehind {
            call: rng.pick(&[
                ApiCall::StreamInfoCall,
                ApiCall::StreamInfoCall,
                ApiCall::StreamInfoCall,
                ApiCall::CreateCall,
            ]),
        },
        33 => Fault::Rewind {
            count: rng.pick(&[1, 5, 40, 200]),
        },
        // Nobody is denied anything where nobody logs in.
        _ if !profile.auth => Fault::DropConsumers { nth: Some(nth) },
        34 => Fault::Deny {
            client,
            what: rng.pick(&[
                Denied::CreateConsumer,
                Denied::DeleteConsumer,
                Denied::FlowControl,
            ]),
        },
        _ => Fault::Deny {
            client,
            what: Denied::Inbox,
        },
    }
}
