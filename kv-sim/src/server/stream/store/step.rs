//! What is done to a store, noted so that the journal can tell it and other replicas repeat it.

use kv_proto::Timestamp;

use super::{Message, Store};
use crate::server::consumer::Notice;
use crate::server::journal::Removal;

/// One change of a store, as other replicas repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stored(Message),
    /// All sequences up to this one were used up without messages, at that time if it counts.
    Skipped(u64, Option<Timestamp>),
    Removed(u64, Removal),
    /// The next message will have this sequence.
    Jumped(u64),
    /// All above this sequence is lost.
    Rewound(u64),
    /// Nothing for the store: the consumers of that replica learn something.
    Noticed(Notice),
}

impl Store {
    /// Makes what is done to it be noted from now on.
    pub(crate) fn start_notes(&mut self) {
        self.noted = true;
    }

    /// The same messages for another replica, which notes nothing.
    pub(crate) fn replica(&self) -> Self {
        Self {
            noted: false,
            steps: Vec::new(),
            ..self.clone()
        }
    }

    /// What was done to it since this was last asked.
    pub(crate) fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// Whether nothing was done to it since that was last asked.
    pub(crate) fn has_no_steps(&self) -> bool {
        self.steps.is_empty()
    }

    /// Repeats what was done to another replica.
    pub(crate) fn repeat(&mut self, step: Step) {
        match step {
            Step::Stored(message) => {
                self.append(message);
            }
            Step::Skipped(last, time) => self.skip_to(last, time),
            Step::Removed(seq, why) => {
                self.remove(seq, why);
            }
            Step::Jumped(first) => self.jump(first),
            Step::Rewound(last) => self.cut(last),
            Step::Noticed(_) => {}
        }
    }

    pub(in crate::server::stream) fn note(&mut self, step: Step) {
        if self.noted {
            self.steps.push(step);
        }
    }
}
