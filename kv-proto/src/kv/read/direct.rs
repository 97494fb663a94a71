//! The answers of direct gets, which any replica gives, or a mirror of the bucket, or a stranger.

use alloc::string::String;

use super::{Read, Stage, failed};
use crate::js::error::ServerError;
use crate::kv::answerers::{Vouch, Vouched, Voucher};
use crate::kv::entry::Direct;
use crate::kv::step::{Answer, Reply, Step, Surroundings};

impl Read {
    pub(super) fn on_direct(self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step<Self> {
        let Some(headers) = &reply.headers else {
            return Step::Ignore(self);
        };
        match headers.status() {
            None => {}
            Some(status) if status.code == 404 => {
                // Who says so is not told.
                return if around.answerers.has_stranger(&self.binding) {
                    Step::Send(self.distrusting())
                } else {
                    self.on_nothing(around)
                };
            }
            Some(status) => {
                let text = String::from_utf8_lossy(status.description);
                let error = ServerError::from_status(status.code, &text);
                return if error.is_transient() {
                    Step::Pause(self, around.pause())
                } else {
                    failed(error.into())
                };
            }
        }
        let Direct { stream, stored } = Direct::read(headers, reply.payload);
        let voucher = stream.map(|name| around.answerers.judge(&self.binding, name, around.now));
        match voucher {
            Some(Voucher::Unknown(vouch)) => {
                around.stats.foreign_replies += 1;
                Step::Send(self.doubting(vouch))
            }
            Some(Voucher::Stranger) => {
                around.stats.foreign_replies += 1;
                Step::Send(self.distrusting())
            }
            Some(Voucher::Good) | None => self.judge(stored, around),
        }
    }

    fn doubting(mut self, vouch: Vouch) -> Self {
        self.stage = Stage::Vouch;
        self.doubted = Some(vouch);
        self
    }

    /// Only the leader is to be asked.
    fn distrusting(mut self) -> Self {
        self.direct = false;
        self.asking_again()
    }

    pub(super) fn on_vouched(
        mut self,
        answer: Answer<'_>,
        around: &mut Surroundings<'_>,
    ) -> Step<Self> {
        let Some(vouch) = self.doubted.take() else {
            return Step::Send(self.asking_again());
        };
        match vouch.answer(&self.binding, answer, around) {
            Vouched::Mirror => Step::Send(self.asking_anyone()),
            Vouched::Not => Step::Send(self.distrusting()),
            Vouched::Ignore => Step::Ignore(self.doubting(vouch)),
            Vouched::Again => Step::Send(self.doubting(vouch)),
        }
    }
}
