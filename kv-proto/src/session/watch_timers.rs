//! The timers of watches.

use super::Session;
use crate::error::WatchError;
use crate::kv::watch::WatchId;
use crate::kv::watch::pulse::Finding;
use crate::mutant::{self, Mutant};
use crate::paths::{Path, took};
use crate::timer::{Reason, WatchTimer};

impl Session {
    pub(super) fn on_watch_timer(&mut self, id: WatchId, timer: WatchTimer) {
        match timer {
            WatchTimer::Pulse => self.on_pulse(id),
            WatchTimer::Rest => self.want_feed(id),
            WatchTimer::Patience => self.on_patience(id),
            WatchTimer::Deadline => {
                if let Some(watch) = self.watches.get_mut(id) {
                    watch.timers.deadline = None;
                }
                self.end_watch(id, Some(WatchError::TimedOut));
            }
        }
    }

    /// The heartbeat's timer fired.
    pub(super) fn on_pulse(&mut self, id: WatchId) {
        let now = self.now;
        let Some(feed) = self.watches.get_mut(id).and_then(|watch| watch.feed_mut()) else {
            return;
        };
        feed.pulse_timer = None;
        match feed.pulse.look(now) {
            Finding::Alive(at) => {
                let reason = Reason::Watch(id, WatchTimer::Pulse);
                feed.pulse_timer = Some(self.timers.arm(at, reason));
            }
            Finding::Silent if mutant::is(Mutant::UnpolledStaysSilent) => {
                self.end_feed(id);
                if let Some(watch) = self.watches.get_mut(id) {
                    watch.planted.silent = true;
                }
            }
            Finding::Silent => {
                took(Path::Silent);
                let received = feed.received();
                if let Some(watch) = self.watches.get_mut(id) {
                    watch.planted.note_silence(received);
                }
                self.feed_anew(id, false);
            }
        }
    }

    /// It has taken long to open, or a listing to move.
    pub(super) fn on_patience(&mut self, id: WatchId) {
        let now = self.now;
        let patience = self.patience_of(id);
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        watch.timers.patience = None;
        let due = watch.progress_due(now, patience);
        if due <= now {
            took(Path::Impatient);
            let error = watch.impatience();
            return self.end_watch(id, Some(error));
        }
        let reason = Reason::Watch(id, WatchTimer::Patience);
        watch.timers.patience = Some(self.timers.arm(due, reason));
    }

    /// A server has confirmed the watch for the first time.
    pub(super) fn on_opened(&mut self, id: WatchId) {
        let Some(watch) = self.watches.get_mut(id) else {
            return;
        };
        if !watch.options.until_synced
            && let Some(timer) = watch.timers.patience.take()
        {
            self.timers.cancel(timer);
        }
        self.hint_watch(id);
    }
}
