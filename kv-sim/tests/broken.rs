//! A picture of a run that breaks a promise shows which, and where; one that panics shows what led up to it.
//!
//! A bug is planted in the whole process: this is the only test in it.

use kv_sim::campaign::Bug;
use kv_sim::picture::{What, draw};
use kv_sim::shrink::shrink;
use kv_sim::{Mix, Scenario, run_recorded};

fn plant(name: &str) {
    let mut bugs = Bug::all();
    bugs.find(|bug| bug.name() == name)
        .expect("there is such a bug")
        .plant();
}

#[test]
fn what_is_broken_is_shown_where_it_is() {
    std::panic::set_hook(Box::new(|_| {}));
    for (bug, sign) in [
        ("S5", "Unaccounted"),
        ("S11", "Panicked"),
        ("S12", "Canary"),
    ] {
        plant(bug);
        let broken = (1..200)
            .map(|seed| Scenario::draw(seed, Mix::Swarm))
            .find(|scenario| {
                let (outcome, _) = run_recorded(scenario);
                outcome
                    .violations
                    .iter()
                    .any(|one| one.to_string().contains(sign))
            });
        let scenario = broken.expect("some seed shows the bug");
        for scenario in [shrink(&scenario), scenario] {
            let (outcome, recording) = run_recorded(&scenario);
            assert!(recording.is_broken() && recording.marks.len() > 10, "{bug}");
            let texts = recording.marks.iter().filter_map(|mark| {
                let What::Broken { text, .. } = &mark.what else {
                    return None;
                };
                Some(text.clone())
            });
            let expected = outcome.violations.iter().map(ToString::to_string);
            assert_eq!(
                texts.collect::<Vec<_>>(),
                expected.collect::<Vec<_>>(),
                "{bug}"
            );
            assert!(draw(&recording).contains("id=\"jump\""));
        }
    }
}
