//! Ends have causes, and nothing comes behind them.

use kv_proto::Instant;

use super::Judge;
use crate::history::{Cause, News, Told};
use crate::violation::Violation;

impl Judge<'_> {
    pub(super) fn end(&self) -> Option<Violation> {
        let watch = self.id;
        let told = &self.watch.told;
        let end = told.iter().position(|told| self.watch.ends(told))?;
        if end + 1 < told.len() {
            return Some(Violation::AfterEnd { watch });
        }
        match told.get(end)? {
            Told {
                at,
                news: News::Ended(cause),
                ..
            } => (!self.is_caused(*at, *cause)).then_some(Violation::UncausedEnd {
                watch,
                cause: *cause,
            }),
            Told { .. } => None,
        }
    }

    fn is_caused(&self, at: Instant, cause: Cause) -> bool {
        let watch = self.watch;
        let listing = watch.asked.until_synced;
        // Whoever lists, or was never confirmed, gives up at some time.
        let nothing = |told: &Told| matches!(told.news, News::Reset(_) | News::Ended(_));
        let gives_up = listing || (watch.opened.is_none() && watch.told.iter().all(nothing));
        match cause {
            Cause::NoBucket => {
                let from = self.history.oldest_view(watch.called, at, true);
                self.oracle.was_missing(from, at)
            }
            Cause::Denied => self.history.denied,
            Cause::Closed => watch.closing.is_some_and(|closing| closing <= at),
            Cause::Recreated => listing && self.oracle.lives_by(at) > self.began().0,
            Cause::Rewound => {
                let since = self.began().1;
                let mut rewinds = self.oracle.rewinds.iter();
                listing && rewinds.any(|rewind| (since..=at).contains(rewind))
            }
            Cause::TimedOut => gives_up || watch.asked.limited,
            Cause::Unavailable
            | Cause::NoJetStream
            | Cause::Server(_)
            | Cause::Full
            | Cause::TooLarge => gives_up,
            Cause::Option | Cause::LinkLost | Cause::Contended | Cause::Other => false,
        }
    }
}
