//! What runs came across: counted, so that nobody has to believe that it happens.

use std::collections::BTreeMap;

/// How often things happened, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    hits: BTreeMap<&'static str, Hits>,
}

/// How often something happened, and in how many runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hits {
    /// Times.
    pub times: u64,
    /// Runs.
    pub seeds: u64,
}

impl Coverage {
    /// Counts something.
    pub(crate) fn hit(&mut self, point: &'static str) {
        let hits = self.hits.entry(point).or_default();
        hits.times += 1;
        hits.seeds = 1;
    }

    /// Whether something happened.
    #[must_use]
    pub fn has(&self, point: &str) -> bool {
        self.hits.contains_key(point)
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (point, more) in &other.hits {
            let hits = self.hits.entry(point).or_default();
            hits.times += more.times;
            hits.seeds += more.seeds;
        }
    }

    /// Everything that happened, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Hits)> {
        self.hits.iter().map(|(point, hits)| (*point, *hits))
    }

    /// How often something happened.
    #[must_use]
    pub fn get(&self, point: &str) -> Hits {
        self.hits.get(point).copied().unwrap_or_default()
    }
}
