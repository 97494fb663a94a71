//! I-11: clients that lost a server together do not come back together.

use kv_sim::fault::Fault;
use kv_sim::run_traced;
use kv_sim::scenario::{Act, Ask, Scenario, Step};

use crate::scenes::{call, fair};

const CLIENTS: u8 = 200;
/// When the server goes, in milliseconds of the storm.
const LOST_MS: u64 = 100;

/// Runs a world of 200 clients whose only server restarts under them; returns when they dial and when they
/// arrive, in milliseconds since they were cut off.
fn reconnections(seed: u64, away_ms: u16) -> (Vec<u64>, Vec<u64>) {
    let mut profile = fair(CLIENTS);
    // What a client does that is not told otherwise.
    profile.clients.reconnect_ms = 2_000;
    profile.clients.reconnect_max_ms = 30_000;
    profile.clients.request_ms = 5_000;
    profile.clients.ping_ms = 20_000;
    profile.clients.connect_ms = 5_000;
    profile.storm_ms = 10_000;
    let restart = Fault::Restart {
        server: 0,
        ms: away_ms,
        keep_memory: true,
    };
    let mut steps: Vec<Step> = (0..CLIENTS)
        .map(|client| call(u64::from(client), client, Ask::Get { key: 0 }))
        .collect();
    let at_us = LOST_MS * 1_000;
    let act = Act::Fault(restart);
    steps.push(Step { at_us, act });
    let outcome = run_traced(&Scenario::new(seed, profile, steps));
    assert_eq!(outcome.violations, []);
    let restart = outcome
        .trace
        .iter()
        .position(|line| line.contains("fault:"));
    let storm = &outcome.trace[restart.expect("it strikes")..];
    let began = millis(&storm[0]);
    let times = |what: &str| {
        let lines = storm.iter().take_while(|line| !line.ends_with("calm"));
        let lines = lines.filter(|line| line.contains(what));
        lines.map(|line| millis(line) - began).collect()
    };
    (times("wants Dial"), times("is connected"))
}

fn millis(line: &str) -> u64 {
    let time = line.split_whitespace().next();
    let (seconds, micros) = time
        .and_then(|time| time.split_once('.'))
        .expect("lines begin with the time");
    let number = |digits: &str| digits.parse::<u64>().expect("digits");
    number(seconds) * 1_000 + number(micros) / 1_000
}

/// The most that fall into any 100 ms.
fn crowd(times: &mut [u64]) -> usize {
    times.sort_unstable();
    let windows = times.iter().enumerate();
    let within = windows.map(|(at, first)| {
        times[at..]
            .iter()
            .take_while(|time| **time < first + 100)
            .count()
    });
    within.max().unwrap_or(0)
}

/// Of a hundred clients at most so many may come within any 100 ms.
const PERCENT: usize = 10;

/// Everybody is back within the window of two seconds, and nowhere in it is a crowd.
#[test]
fn a_restart_is_followed_by_a_trickle() {
    let (mut dials, mut arrivals) = reconnections(1, 1);
    for times in [&mut dials, &mut arrivals] {
        assert_eq!(times.len(), usize::from(CLIENTS));
        let crowd = crowd(times);
        assert!(crowd * 100 <= PERCENT * times.len(), "{crowd} at once");
        assert!(
            times
                .last()
                .is_some_and(|last| (1_900..2_010).contains(last))
        );
    }
}

/// The same for a thousand clients, in five worlds, after a moment and after an outage that is longer than the
/// first window.
#[test]
fn a_thousand_clients_trickle_too() {
    for away_ms in [1, 3_000] {
        let worlds = 1..=5;
        let mut arrivals: Vec<u64> = worlds
            .flat_map(|seed| reconnections(seed, away_ms).1)
            .collect();
        let crowd = crowd(&mut arrivals);
        assert!(arrivals.len() > 900, "{} came back", arrivals.len());
        assert!(crowd * 100 <= PERCENT * arrivals.len(), "{crowd} at once");
    }
}
