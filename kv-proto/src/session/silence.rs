//! Questions that nobody answers.
//!
//! A stream without a leader is silent, and so is a server that dies with questions that it was to answer for
//! another one, without the asker's connection noticing. So what only asks is asked again while it is unanswered, to
//! the same reply subject: whichever answer comes first is one. What may change something never is.

use core::time::Duration;

use super::Session;
use crate::link::Link;
use crate::log::trace;
use crate::mutant::{self, Mutant};
use crate::op::{Phase, Running};
use crate::out::HIGH_WATER;
use crate::paths::{Path, took};
use crate::tally::Tally;
use crate::time::Instant;
use crate::timer::Reason;
use crate::wire;

/// How long a question waits before it is asked again: well above any answer that a server in good order gives,
/// well below an election among servers that lost one, and the time that an operation usually has.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

impl Session {
    /// Sees to it that questions sent from now on are asked again if need be. One timer serves all of them.
    pub(super) fn watch_for_silence(&mut self) {
        if self.silence.is_none() && !mutant::is(Mutant::SilenceIsAccepted) {
            let timer = self.timers.arm(self.now + SILENCE, Reason::Silence);
            self.silence = Some(timer);
        }
    }

    pub(super) fn on_silence(&mut self) {
        self.silence = None;
        let mut next: Option<Instant> = None;
        for id in self.ops.ids() {
            let Some(running) = self.ops.get_mut(id) else {
                continue;
            };
            let Phase::Sent { link, .. } = running.phase else {
                continue;
            };
            if !running
                .machine
                .as_ref()
                .is_some_and(|machine| machine.asks())
            {
                continue;
            }
            if running.asked + SILENCE <= self.now {
                running.asked = self.now;
                let link = self.links.iter_mut().find(|known| known.id == link);
                if let Some(link) = link.filter(|link| self.active == Some(link.id))
                    && let Some(len) = ask_again(running, link)
                {
                    trace!(link = %link.id, len, "question asked again");
                    self.stats.frames_out.raise(1);
                    self.stats.bytes_out.raise(len);
                }
            }
            let due = running.asked + SILENCE;
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        self.silence = next.map(|next| self.timers.arm(next, Reason::Silence));
    }

    pub(super) fn end_silence(&mut self) {
        if let Some(timer) = self.silence.take() {
            self.timers.cancel(timer);
        }
    }
}

/// Encodes a question once more, if it has left and there is room; returns its length. The operation still counts
/// as sent with the first frame, which all answers follow.
fn ask_again(running: &mut Running, link: &mut Link) -> Option<u64> {
    let Phase::Sent { token, span, .. } = running.phase else {
        return None;
    };
    if !link.outbox.is_whole(span) || link.outbox.held() >= HIGH_WATER {
        return None;
    }
    let request = running.machine.as_ref()?.request()?;
    let reply = [link.mux.prefix(), link.mux.text(token)];
    let again = link.outbox.publish(request.payload, |out| {
        let (headers, len) = (request.headers.as_slice(), request.payload.len());
        wire::publish_head(out, &request.subject, &reply, headers, len);
    });
    took(Path::AskedSilence);
    running.repeated = true;
    Some(again.len())
}
