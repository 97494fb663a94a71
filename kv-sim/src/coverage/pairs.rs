//! Pairs of faults that struck while one and the same call was open.

use kv_proto::Instant;

use super::{Coverage, Point};

/// The families of faults that strike at a moment. The others are a matter of the whole run: how bytes are cut
/// into pieces, how slow readers are, how small limits are.
pub const FAMILIES: [&str; 25] = [
    "F-N2", "F-N3", "F-N4", "F-N5", "F-N6", "F-S1", "F-S2", "F-S3", "F-S4", "F-S5", "F-S6", "F-S7",
    "F-S8", "F-S9", "F-S10", "F-S11", "F-S12", "F-S13", "F-S15", "F-S16", "F-C1", "F-C2", "F-C3",
    "F-C5", "F-C6",
];

/// The family of a fault by its name, if it strikes at a moment.
pub(crate) fn family_of(name: &str) -> Option<&'static str> {
    let family = name.split(' ').next()?;
    FAMILIES.into_iter().find(|known| *known == family)
}

/// Every pair, the earlier family first.
pub(super) fn expected() -> impl Iterator<Item = Point> {
    let behind = |at: usize| FAMILIES.get(at + 1..).unwrap_or_default().iter();
    let pairs = FAMILIES.iter().enumerate();
    pairs.flat_map(move |(at, one)| behind(at).map(|other| Point(one, other)))
}

/// What has struck in a run, and when.
#[derive(Debug, Default)]
pub(crate) struct Struck(Vec<(Instant, &'static str)>);

impl Struck {
    /// A fault strikes, and the call that is open for longest is so since then. A call that spans two of them
    /// spans the earlier one and all that comes up to now.
    pub(crate) fn strike(
        &mut self,
        now: Instant,
        name: &str,
        open_since: Option<Instant>,
        coverage: &mut Coverage,
    ) {
        let Some(family) = family_of(name) else {
            return;
        };
        let place = |family| FAMILIES.iter().position(|known| *known == family);
        let during = |at: Instant| open_since.is_some_and(|since| since <= at);
        let earlier = self.0.iter().rev().take_while(|(at, _)| during(*at));
        for (_, other) in earlier.filter(|(_, other)| *other != family) {
            let (one, other) = if place(family) < place(other) {
                (family, *other)
            } else {
                (*other, family)
            };
            coverage.hit_how(one, other);
        }
        self.0.push((now, family));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_pair_is_two_families_within_one_call() {
        let (mut struck, mut coverage) = (Struck::default(), Coverage::default());
        let mut strike = |ms, name, since: Option<u64>| {
            struck.strike(at(ms), name, since.map(at), &mut coverage);
        };
        strike(1, "F-N2 clog", None);
        strike(3, "F-S1 restart", Some(2));
        strike(4, "F-N3 cut: reset", Some(2));
        strike(5, "F-N3 cut: finished", Some(5));
        strike(6, "foreign write", Some(1));
        let pairs: Vec<Point> = coverage.iter().map(|(point, _)| point).collect();
        assert_eq!(pairs, [Point("F-N3", "F-S1")]);
    }

    #[test]
    fn every_pair_is_expected_once() {
        let all: std::collections::BTreeSet<Point> = expected().collect();
        assert_eq!(all.len(), FAMILIES.len() * (FAMILIES.len() - 1) / 2);
        assert_eq!(expected().count(), all.len());
    }
}
