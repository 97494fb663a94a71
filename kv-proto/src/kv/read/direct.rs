//! The answers of direct gets, which any replica gives, or a mirror of the bucket, or a stranger.

use alloc::string::String;

use super::{Read, Stage, failed};
use crate::js::error::ServerError;
use crate::kv::answerers::{Vouch, Vouched, Voucher};
use crate::kv::entry::{Direct, server_status};
use crate::kv::step::{Answer, Reply, Step, Surroundings};

impl Read {
    pub(super) fn on_direct(&mut self, reply: &Reply<'_>, around: &mut Surroundings<'_>) -> Step {
        let Some(headers) = &reply.headers else {
            return Step::Ignore;
        };
        match server_status(headers) {
            None => {}
            Some(status) if status.code == 404 => {
                // Who says so is not told.
                return if around.answerers.has_stranger(&self.binding) {
                    self.distrust();
                    Step::Send
                } else {
                    self.on_nothing(around)
                };
            }
            Some(status) => {
                let text = String::from_utf8_lossy(status.description);
                let error = ServerError::from_status(status.code, &text);
                return if error.is_transient() {
                    Step::Pause(around.pause())
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
                self.look_at(vouch);
                Step::Send
            }
            Some(Voucher::Stranger) => {
                around.stats.foreign_replies += 1;
                self.distrust();
                Step::Send
            }
            Some(Voucher::Good) | None => self.judge(stored, around),
        }
    }

    fn look_at(&mut self, vouch: Vouch) {
        self.stage = Stage::Vouch;
        self.doubted = Some(vouch);
    }

    /// Only the leader is to be asked.
    fn distrust(&mut self) {
        self.direct = false;
        self.ask_again();
    }

    pub(super) fn on_vouched(&mut self, answer: Answer<'_>, around: &mut Surroundings<'_>) -> Step {
        let Some(vouch) = self.doubted.take() else {
            self.ask_again();
            return Step::Send;
        };
        match vouch.answer(&self.binding, answer, around) {
            Vouched::Mirror => {
                self.ask_anyone();
                Step::Send
            }
            Vouched::Not => {
                self.distrust();
                Step::Send
            }
            Vouched::Ignore => {
                self.look_at(vouch);
                Step::Ignore
            }
            Vouched::Again => {
                self.look_at(vouch);
                Step::Send
            }
        }
    }
}
