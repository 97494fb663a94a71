//! What a server does not permit: whose requests it refused.

use alloc::vec::Vec;

use super::Session;
use crate::kv::step::Answer;
use crate::link::LinkId;
use crate::op::OpId;
use crate::out::Handover;
use crate::paths::{Path, took};

impl Session {
    /// The server refused a publish to a subject, and does not say which one.
    pub(super) fn on_denied(&mut self, id: LinkId, subject: &str) {
        self.on_flow_denied(id, subject);
        if self.sent_to(id, subject).is_empty() {
            return; // nobody waits for it any more
        }
        let now = self.now;
        if let Some(link) = self.link_mut(id) {
            link.deny(now, subject);
        }
    }

    /// Ends publishes of which the server has refused as many as it has seen. If it has refused fewer, one
    /// of them had its effect before the permission went, and its acknowledgement is lost: then nobody can
    /// tell which, and all wait for what their deadlines bring.
    pub(super) fn settle_denials(&mut self, id: LinkId, answered: u64) {
        let Some(link) = self.link_mut(id) else {
            return;
        };
        for (denial, orphans) in link.told_denials(answered) {
            let mut sent = self.sent_to(id, &denial.subject);
            sent.retain(|(_, span)| span.start() < denial.ping);
            let all = sent.len().saturating_add(orphans) <= denial.count;
            took(if all {
                Path::DeniedAll
            } else {
                Path::DeniedSome
            });
            if all {
                for (op, _) in sent {
                    self.answer(op, Answer::Denied(denial.subject.clone()));
                }
            }
        }
    }

    /// The operations whose request to that subject was handed over whole.
    fn sent_to(&self, id: LinkId, subject: &str) -> Vec<(OpId, crate::out::Span)> {
        let mut found = Vec::new();
        for op in self.ops.ids() {
            let is_to = || {
                let machine = self.ops.get(op)?.machine.as_ref()?;
                Some(machine.request()?.is_to(subject))
            };
            if self.handed_over_on(op, id) == Some(Handover::Whole)
                && is_to() == Some(true)
                && let Some(span) = self.sent_on(op, id)
            {
                found.push((op, span));
            }
        }
        found
    }

    /// The server refused the reply inbox, so the answers to what was sent are
    /// lost; what is sent from now on is refused here.
    pub(super) fn on_deaf(&mut self, id: LinkId) {
        took(Path::DeafLink);
        for (op, _) in self.in_flight_on(id, |_| Handover::Whole) {
            let handover = if self.take_back(op, id) {
                Handover::None
            } else {
                Handover::Whole // what is begun is finished
            };
            self.answer(op, Answer::LinkLost(handover));
        }
    }

    /// Withdraws the frame of an operation from a link, if it was not begun.
    fn take_back(&mut self, op: OpId, id: LinkId) -> bool {
        let Some(span) = self.sent_on(op, id) else {
            return false;
        };
        let known = self.links.iter_mut().find(|known| known.id == id);
        known.is_some_and(|known| known.withdraw(span))
    }
}
