//! One session, twice.

use kv_sim::ServeConfig;
use kv_sim::server::Version as Simulated;
use kv_tests::{Server, Version};

/// A version of the real server and what simulates it.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) real: Version,
    pub(crate) simulated: Simulated,
}

pub(crate) const V2_10: Pair = Pair {
    real: Version::V2_10,
    simulated: Simulated::V2_10,
};
pub(crate) const V2_11: Pair = Pair {
    real: Version::V2_11,
    simulated: Simulated::V2_11,
};
pub(crate) const V2_12: Pair = Pair {
    real: Version::V2_12,
    simulated: Simulated::V2_12,
};
pub(crate) const V2_14: Pair = Pair {
    real: Version::V2_14,
    simulated: Simulated::V2_14,
};
pub(crate) const V2_15: Pair = Pair {
    real: Version::V2_15,
    simulated: Simulated::V2_15,
};

impl Pair {
    /// Whether these servers expire single values and leave markers.
    pub(crate) fn expires_values(self) -> bool {
        self.real >= Version::V2_11
    }
}

/// Runs a session against a fresh server of each kind, and compares what it printed.
pub(crate) fn prints_the_same(pair: Pair, session: impl Fn(&str) -> Vec<String>) {
    let real = {
        let server = Server::builder().version(pair.real).start();
        session(&server.url())
    };
    let server = kv_sim::serve(ServeConfig::new(pair.simulated)).unwrap();
    let simulated = session(&server.url());
    assert_eq!(simulated, real, "simulated, then real");
    assert!(real.len() > 30, "{real:#?}");
}
