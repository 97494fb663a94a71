//! What answers tell about a consumer.

use kv_proto::Timestamp;

use super::{Consumer, Pair};
use crate::server::json::{Writer, go_time};
use crate::server::stream::store::Store;
use crate::server::stream::{Now, nanos_between};
use crate::server::version::Version;

impl Consumer {
    /// The consumer as answers show it, with its `cluster` if there is one.
    pub(crate) fn info_json(
        &mut self,
        store: &Store,
        now: Now,
        shown: bool,
        cluster: Option<&str>,
    ) -> Writer {
        self.correct_pending(store, now.version);
        let position = self.position();
        let (delivered, floor) = match &self.saved {
            Some(saved) if now.version.shows_saved_position() => (saved.delivered, saved.floor),
            None if now.version.shows_saved_position() => (position, Pair::default()),
            Some(_) | None => (position, self.ack_floor),
        };
        let active = self.last_delivered;
        let mut out = Writer::object();
        out.text("stream_name", &self.stream)
            .text("name", &self.name)
            .text("created", &go_time(self.created))
            .raw("config", &self.config.json(now.version, shown))
            .raw("delivered", &delivered.json(active))
            .raw("ack_floor", &floor.json(self.last_acked))
            .number("num_ack_pending", self.redelivery.unacked.len())
            .number("num_redelivered", self.redelivered(now))
            .number("num_waiting", self.requests.len())
            .number("num_pending", self.pending.max(0));
        if let Some(cluster) = cluster {
            out.raw("cluster", cluster);
        }
        out.some_bool("push_bound", self.config.is_push() && self.active);
        if let Some(end) = self.config.pause_until.filter(|end| now.time < *end) {
            out.bool("paused", true)
                .number("pause_remaining", nanos_between(now.time, end));
        }
        out.text("ts", &go_time(now.time));
        out
    }

    /// The answer to its creation. Where it begins is not yet agreed upon if several servers have its state.
    pub(crate) fn first_info_json(
        &mut self,
        store: &Store,
        now: Now,
        shared: bool,
        cluster: Option<&str>,
    ) -> Writer {
        let (saved, floor) = (self.saved.take_if(|_| shared), self.ack_floor);
        if shared {
            self.ack_floor = Pair::default();
        }
        let out = self.info_json(store, now, true, cluster);
        self.saved = self.saved.take().or(saved);
        self.ack_floor = floor;
        out
    }

    /// A count that cannot be is corrected when somebody looks.
    fn correct_pending(&mut self, store: &Store, version: Version) {
        let behind = self.next_stream_seq > store.last_seq();
        if version <= Version::V2_11 {
            if (behind && self.pending > 0) || self.pending > store.len() as i64 {
                self.recount(store);
            }
        } else if behind {
            self.pending = 0;
        } else if self.pending > 0 {
            let left = store.last_seq() - self.next_stream_seq + 1;
            let most = i64::try_from(left.min(store.len())).unwrap_or(i64::MAX);
            self.pending = self.pending.min(most);
        }
    }
}

impl Pair {
    fn json(self, active: Option<Timestamp>) -> String {
        let mut out = Writer::object();
        out.number("consumer_seq", self.consumer)
            .number("stream_seq", self.stream);
        if let Some(active) = active {
            out.text("last_active", &go_time(active));
        }
        out.end()
    }
}
