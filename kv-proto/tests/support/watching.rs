//! What an embedder does with watches.

use std::time::Duration;

use kv_proto::{
    Binding, Config, Operation, Revision, Update, WatchError, WatchId, WatchOptions, WatchState,
};

use super::embedder::{World, seconds};

/// An update in a few characters: `k=v@7`, `k!@8` for a tombstone, `~9` for
/// what is damaged.
pub(crate) fn short(update: &Result<Update, WatchError>) -> String {
    match update {
        Ok(Update::Entry(entry)) => {
            let sign = match entry.operation {
                Operation::Put => format!("={}", String::from_utf8_lossy(&entry.value)),
                _ => "!".to_owned(),
            };
            format!("{}{sign}@{}", entry.key, entry.revision)
        }
        Ok(Update::Damaged(damage)) => format!("~{}", damage.revision),
        Ok(Update::Synced) => "synced".to_owned(),
        Ok(Update::Reset(reason)) => format!("{reason:?}"),
        Ok(other) => panic!("{other:?}"),
        Err(error) => format!("error: {error}"),
    }
}

impl World {
    /// A connected session with an open bucket `b`, some values in it, and a
    /// server that delivers at once.
    pub(crate) fn with_values(config: Config, values: &[(&str, &str)]) -> (Self, Binding) {
        let (mut world, bucket) = Self::with_bucket(config);
        world.peer.consumers.deliver_at_once = true;
        for (key, value) in values {
            world.write(key, value);
        }
        world.peer.lines.clear();
        (world, bucket)
    }

    /// Another client writes to the bucket `b`; returns the revision.
    pub(crate) fn write(&mut self, key: &str, value: &str) -> Revision {
        let subject = format!("$KV.b.{key}");
        self.peer.publish_as_other(&subject, "", value.as_bytes());
        Revision::new(self.peer.streams["KV_b"].last_seq)
    }

    /// Another client deletes a key of the bucket `b`.
    pub(crate) fn erase(&mut self, key: &str) {
        let block = "NATS/1.0\r\nKV-Operation: DEL\r\n\r\n";
        self.peer
            .publish_as_other(&format!("$KV.b.{key}"), block, b"");
    }

    /// A revision is gone without a word.
    pub(crate) fn vanish(&mut self, revision: u64) {
        let stream = self.peer.streams.get_mut("KV_b").expect("a stream");
        stream.messages.remove(&revision);
    }

    pub(crate) fn watch(&mut self, bucket: &Binding, options: WatchOptions) -> WatchId {
        let watch = self.session.watch(self.now, bucket, options);
        watch.expect("accepted")
    }

    /// A watch that is open, and what it told until then.
    pub(crate) fn opened(&mut self, bucket: &Binding, options: WatchOptions) -> WatchId {
        let watch = self.watch(bucket, options);
        self.settle();
        assert_eq!(self.session.watch_state(watch), Some(WatchState::Live));
        watch
    }

    /// Settles, and reads all that a watch has to tell: also what it goes on
    /// with when its reader has caught up.
    pub(crate) fn told(&mut self, watch: WatchId) -> String {
        let mut all = Vec::new();
        loop {
            self.settle();
            assert!(all.len() < 100_000, "it tells without end");
            let before = all.len();
            while let Some(update) = self.session.next_update(watch) {
                all.push(short(&update));
            }
            if all.len() == before {
                return all.join(" ");
            }
        }
    }

    /// Reads one update, without settling.
    pub(crate) fn read_one(&mut self, watch: WatchId) -> Option<String> {
        self.session.next_update(watch).as_ref().map(short)
    }

    /// Lets a time pass, with a server whose consumers say every tenth of a
    /// second that they are alive.
    pub(crate) fn pass(&mut self, time: Duration) {
        let step = Duration::from_millis(100);
        let end = self.now + time;
        while self.now < end {
            self.settle();
            self.peer.beat();
            if self.peer.consumers.deliver_at_once {
                self.peer.deliver(usize::MAX);
            }
            self.settle();
            let beat = (self.now + step).min(end);
            let next = self.session.poll_timeout().filter(|next| *next < beat);
            self.at(next.unwrap_or(beat).max(self.now));
        }
        self.settle();
    }

    /// Lets a time pass in which consumers say nothing.
    pub(crate) fn pass_silently(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while let Some(next) = self.session.poll_timeout().filter(|next| *next < end) {
            self.at(next.max(self.now));
            self.settle();
        }
        self.at(end);
        self.settle();
    }

    /// Drops a watch, and waits until nothing is left of it.
    pub(crate) fn unwatched(&mut self, watch: WatchId) {
        self.session.unwatch(self.now, watch);
        self.reconnect();
        self.pass_silently(seconds(3));
        super::embedder::assert_idle(self);
    }

    /// The calls of the JetStream API that came, by their verbs, with `SUB` and
    /// `UNSUB`; what was seen is forgotten.
    pub(crate) fn calls(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut self.peer.lines);
        let verb = |line: &String| match line.strip_prefix("$JS.API.") {
            Some(call) => call.split('.').take(2).collect::<Vec<_>>().join("."),
            None => line.split(' ').next().unwrap_or_default().to_owned(),
        };
        lines.iter().map(verb).collect()
    }
}
