//! Filter, start, order, positions: what may be told at all.

use super::Judge;
use super::epoch::{Epoch, Item};
use crate::history::{News, Start};
use crate::oracle::Commit;
use crate::violation::Violation;

impl Judge<'_> {
    pub(super) fn told(&self, epoch: &Epoch<'_>) -> Option<Violation> {
        let mut before: Option<&Item<'_>> = None;
        for item in &epoch.items {
            let broken = self.item(epoch, before, item);
            if broken.is_some() {
                return broken;
            }
            before = Some(item);
        }
        None
    }

    fn item(
        &self,
        epoch: &Epoch<'_>,
        before: Option<&Item<'_>>,
        item: &Item<'_>,
    ) -> Option<Violation> {
        let watch = self.id;
        let revision = item.commit.revision;
        let told_value = matches!(&item.told.news, News::Entry { value, .. } if !value.is_empty());
        if !self.shows(item.commit) || (self.watch.asked.meta_only && told_value) {
            return Some(Violation::NotWanted { watch, revision });
        }
        if before.is_some_and(|before| before.commit.revision >= revision) {
            return Some(Violation::OutOfOrder { watch, revision });
        }
        if epoch.reset.is_none() && self.is_before_start(item.commit, item.told.at) {
            return Some(Violation::BeforeStart { watch, revision });
        }
        let early = item.told.position.is_none_or(|at| at < revision);
        let late = before
            .and_then(|before| before.told.position)
            .is_some_and(|at| at >= revision);
        (early || late).then_some(Violation::WrongPosition { watch, revision })
    }

    /// Whether a commit lies before what was asked for.
    fn is_before_start(&self, commit: &Commit, told: kv_proto::Instant) -> bool {
        let old = || commit.at < self.shown_since(self.watch.called, told);
        match self.watch.asked.start {
            Start::Last | Start::History => false,
            Start::Updates => old(),
            // A server counts on from its own end if it has not come as far.
            Start::Revision(first) => commit.revision < first && old(),
            Start::Position { revision, .. } => commit.revision <= revision,
        }
    }
}
