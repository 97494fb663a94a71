//! F-C5: a call may be cancelled at any moment, enumerated: before each event between call and answer.
//!
//! Nothing may be left of it then (the run looks for operations, slots and bytes that are held after the
//! storm), and what had begun to leave is finished: a frame that is cut is read by no server.

use std::collections::BTreeSet;

use kv_sim::fault::{Ending, Fault, Way};
use kv_sim::history::Sent;
use kv_sim::scenario::{Act, Ask, Base, Purpose, Reader, Scenario, Scope, Since, Step, Watch};
use kv_sim::{Outcome, run, run_traced};

use crate::scenes::{call, fair};

/// Everything that can be asked for, on a key that has a value, one that never had any, and one that has a
/// tombstone.
const ASKS: [Ask; 27] = {
    const SIZE: u32 = 700;
    const VALUE: u8 = 0;
    const NOTHING: u8 = 1;
    const TOMBSTONE: u8 = 2;
    const fn update(key: u8, base: Base) -> Ask {
        let (size, ttl) = (SIZE, 0);
        Ask::Update {
            key,
            size,
            base,
            ttl,
        }
    }
    const fn create(key: u8) -> Ask {
        let (size, ttl) = (SIZE, 0);
        Ask::Create { key, size, ttl }
    }
    const fn delete(base: Option<Base>) -> Ask {
        let key = VALUE;
        Ask::Delete { key, base }
    }
    const fn purge(base: Option<Base>) -> Ask {
        let (key, ttl) = (VALUE, 0);
        Ask::Purge { key, base, ttl }
    }
    [
        Ask::Put {
            key: VALUE,
            size: SIZE,
        },
        Ask::Put {
            key: VALUE,
            size: 0,
        },
        create(VALUE),
        create(NOTHING),
        create(TOMBSTONE),
        update(VALUE, Base::Seen),
        update(VALUE, Base::Zero),
        update(NOTHING, Base::Seen),
        delete(None),
        delete(Some(Base::Seen)),
        delete(Some(Base::Zero)),
        purge(None),
        purge(Some(Base::Seen)),
        purge(Some(Base::Zero)),
        Ask::Get { key: VALUE },
        Ask::Get { key: NOTHING },
        Ask::GetLeader { key: VALUE },
        Ask::GetRevision {
            key: VALUE,
            back: 0,
        },
        Ask::Status,
        Ask::Open,
        Ask::Names,
        Ask::Statuses,
        Ask::EraseKeys { key: Some(VALUE) },
        Ask::EraseKeys { key: None },
        Ask::PurgeDeletes { older_ms: 0 },
        Ask::Ping,
        Ask::Sleep { ms: 20 },
    ]
};

/// When the call is made that is cancelled.
const CALLED: u64 = 30_000;
/// Its number: three calls come before.
const NUMBER: usize = 3;

fn fault(at_us: u64, fault: Fault) -> Step {
    let act = Act::Fault(fault);
    Step { at_us, act }
}

/// A call, and what goes wrong behind it.
fn scenario(ask: Ask, trouble: Option<Fault>) -> Scenario {
    let mut profile = fair(1);
    profile.keys = 3;
    profile.storm_ms = 700;
    // Frames leave in parts, and arrive byte by byte.
    profile.net.window = 300;
    profile.net.max_chunk = 0;
    let tombstone = Ask::Delete { key: 2, base: None };
    let mut steps = vec![
        call(0, 0, Ask::Put { key: 0, size: 20 }),
        call(0, 0, Ask::Put { key: 2, size: 20 }),
        call(10_000, 0, tombstone),
    ];
    steps.extend(trouble.map(|trouble| fault(CALLED, trouble)));
    steps.push(call(CALLED, 0, ask));
    Scenario::new(11, profile, steps)
}

/// The moments between call and answer at which something happens, in microseconds of the storm.
fn moments(scenario: &Scenario) -> BTreeSet<u64> {
    let trace = run_traced(scenario).trace;
    let called = format!("calls #{NUMBER} ");
    let told = format!("    #{NUMBER} is told");
    let from = trace.iter().position(|line| line.contains(&called));
    let from = from.expect("it is called");
    let lines = trace[from..].iter();
    let mut moments = BTreeSet::new();
    let mut answered_at_once = false;
    for line in lines {
        let (seconds, micros) = line
            .split_whitespace()
            .next()
            .and_then(|time| time.split_once('.'))
            .expect("lines begin with the time");
        let number = |digits: &str| digits.parse::<u64>().expect("digits");
        moments.insert(number(seconds) * 1_000_000 + number(micros));
        if line.contains(&told) {
            answered_at_once = moments.len() == 1;
            break;
        }
    }
    if answered_at_once {
        return BTreeSet::new();
    }
    let began = *moments.first().expect("there is one") - CALLED;
    moments.into_iter().map(|moment| moment - began).collect()
}

/// Cancels at each moment; returns how many there were.
fn cancelled_everywhere(ask: Ask, trouble: Option<Fault>, judge: impl Fn(&Outcome)) -> usize {
    let whole = scenario(ask, trouble);
    assert_eq!(run(&whole).violations, [], "{ask:?}");
    let moments = moments(&whole);
    for at_us in &moments {
        let mut cancelled = whole.clone();
        let cancel = Fault::Cancel { client: 0, nth: 0 };
        cancelled.steps.push(fault(*at_us, cancel));
        let outcome = run(&cancelled);
        let place = format!("{ask:?} {trouble:?} cancelled at {at_us} of {moments:?}");
        assert_eq!(outcome.violations, [], "{place}");
        assert!(outcome.work.reached_calm, "{place}");
        assert!(outcome.coverage.has("F-C5 cancel"), "{place}");
        assert_eq!(outcome.history.calls[NUMBER].answer, None, "{place}");
        judge(&outcome);
    }
    moments.len()
}

#[test]
fn every_call_is_cancelled_at_every_moment() {
    let mut moments = 0;
    for ask in ASKS {
        moments += cancelled_everywhere(ask, None, |outcome| {
            let record = &outcome.history.calls[NUMBER];
            // What is begun is finished, as the link lives.
            let cut = record.call.carries_value() && record.sent == Sent::Part;
            assert!(!cut, "{ask:?}");
        });
    }
    assert!(moments > 350, "{moments}");
}

/// The same while the link is lost under the call, after a few bytes or before its answer.
#[test]
fn every_call_is_cancelled_while_its_link_is_lost() {
    let mut moments = 0;
    let troubles = [
        (Way::Up, 40, Ending::Reset),
        (Way::Up, 0, Ending::WriteFails),
        (Way::Down, 10, Ending::Finished),
    ];
    for (way, after, how) in troubles {
        let client = 0;
        let cut = Fault::Cut {
            client,
            way,
            after,
            how,
        };
        for ask in ASKS {
            moments += cancelled_everywhere(ask, Some(cut), |_| {});
        }
    }
    assert!(moments > 900, "{moments}");
}

/// The same while the server refuses to say anything clear.
#[test]
fn every_call_is_cancelled_while_it_is_refused() {
    use kv_sim::fault::Reply;
    let mut moments = 0;
    let troubles = [
        Fault::Reply {
            how: Reply::Garbage,
            ms: 0,
        },
        Fault::Reply {
            how: Reply::Late,
            ms: 20,
        },
        Fault::Reply {
            how: Reply::Lost,
            ms: 0,
        },
        Fault::NoJetStream { ms: 10 },
        Fault::Stall { client: 0, ms: 15 },
    ];
    for trouble in troubles {
        for ask in ASKS {
            moments += cancelled_everywhere(ask, Some(trouble), |_| {});
        }
    }
    assert!(moments > 1_900, "{moments}");
}

/// Every kind of watch and listing.
fn watches() -> Vec<Watch> {
    let kinds = [
        (Purpose::Watching, Since::Last),
        (Purpose::Watching, Since::History),
        (Purpose::Watching, Since::Now),
        (Purpose::Watching, Since::Revision(0)),
        (Purpose::Listing, Since::Last),
        (Purpose::KeysOnly, Since::Last),
        (Purpose::HistoryOf(0), Since::History),
    ];
    let watch = |(purpose, since)| Watch {
        purpose,
        scope: Scope::Every,
        since,
        ignore_deletes: false,
        meta_only: false,
        heartbeat_ms: 100,
        patience_ms: 0,
        timeout_ms: 0,
        buffer: (0, 0),
        reader: Reader::Eager,
    };
    kinds.map(watch).to_vec()
}

/// A watch, what goes wrong so many microseconds behind its opening, and a write that it is to tell.
fn watching(watch: Watch, trouble: Option<(u64, Fault)>) -> Scenario {
    let mut scenario = scenario(Ask::Put { key: 0, size: 30 }, None);
    scenario.profile.net.max_chunk = 64;
    let written = scenario.steps.pop().expect("a call");
    let act = Act::Follow { client: 0, watch };
    scenario.steps.push(Step { at_us: CALLED, act });
    scenario.steps.push(Step {
        at_us: CALLED + 20_000,
        ..written
    });
    let trouble = trouble.map(|(later, trouble)| fault(CALLED + later, trouble));
    scenario.steps.extend(trouble);
    scenario.steps.sort_by_key(|step| step.at_us);
    scenario
}

/// The moments at which something happens from the opening of the watch until it has told the write, or is over.
fn moments_of_watch(scenario: &Scenario) -> BTreeSet<u64> {
    let trace = run_traced(scenario).trace;
    let called = format!("calls #{NUMBER} ");
    let from = trace.iter().position(|line| line.contains(&called));
    let lines = trace[from.expect("it is called")..].iter();
    let times = lines.filter_map(|line| {
        let (seconds, micros) = line.split_whitespace().next()?.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
    });
    let times: BTreeSet<u64> = times.collect();
    let began = *times.first().expect("there is one") - CALLED;
    let moments = times.into_iter().map(|time| time - began);
    moments.filter(|moment| *moment < CALLED + 24_000).collect()
}

/// F-C6: a watch is dropped in each of its states, at each moment of its opening and of its life: nothing is left of
/// it on the servers, nor in the client.
#[test]
fn every_watch_is_dropped_at_every_moment() {
    let (way, after, how) = (Way::Down, 10, Ending::Reset);
    let client = 0;
    let cut = Fault::Cut {
        client,
        way,
        after,
        how,
    };
    let troubles = [
        None,
        Some((0, cut)),
        Some((8_000, cut)),
        Some((0, Fault::DropConsumers { nth: None })),
    ];
    let (mut all, mut states) = (0, BTreeSet::new());
    for trouble in troubles {
        for watch in watches() {
            let whole = watching(watch, trouble);
            assert_eq!(run(&whole).violations, [], "{watch:?} {trouble:?}");
            for at_us in moments_of_watch(&whole) {
                let mut dropped = whole.clone();
                let act = Act::Unfollow { client, nth: 0 };
                dropped.steps.push(Step { at_us, act });
                dropped.steps.sort_by_key(|step| step.at_us);
                let outcome = run(&dropped);
                let place = format!("{watch:?} {trouble:?} dropped at {at_us}");
                assert_eq!(outcome.violations, [], "{place}");
                assert!(outcome.work.reached_calm, "{place}");
                let points = outcome.coverage.iter().map(|(point, _)| point);
                states.extend(points.filter(|point| point.0 == "F-C6 watch dropped"));
                all += 1;
            }
        }
    }
    println!("dropped at {all} moments");
    assert!(all > 600, "{all}");
    assert!(states.len() >= 3, "{states:?}");
}
