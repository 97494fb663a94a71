//! Storms of the simulator: any part of the steps of any scenario is a scenario, in which no promise is broken.

use kv_sim::{Mix, Scenario, run};

use crate::input::Input;

const MIXES: [Mix; 6] = [
    Mix::Swarm,
    Mix::Quiet,
    Mix::Network,
    Mix::Servers,
    Mix::Clients,
    Mix::Watches,
];

/// The mix, the seed, and one bit for each step: whether it is left out.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mix = input.pick(&MIXES);
    let seed = input.number();
    let mut scenario = Scenario::draw(seed, mix);
    let bits = input.rest();
    let mut place = 0_usize;
    scenario.steps.retain(|_| {
        let byte = bits.get(place / 8).copied().unwrap_or(0);
        let stays = byte >> (place % 8) & 1 == 0;
        place += 1;
        stays
    });
    let violations = run(&scenario).violations;
    assert!(
        violations.is_empty(),
        "seed {seed}, {mix:?}: {violations:?}"
    );
}
