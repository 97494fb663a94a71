//! Mirrors and streams with sources: brings them what their origins have.

use super::JetStream;
use crate::server::stream::upstream::Upstream;
use crate::server::stream::{Now, Outbox, Stream};

impl JetStream {
    /// Notes whether a stream takes messages from others.
    pub(super) fn note_follower(&mut self, name: &str) {
        let follows = self
            .streams
            .get(name)
            .is_some_and(|one| !one.upstreams.is_empty());
        if follows {
            self.followers.insert(name.to_owned());
        } else {
            self.followers.remove(name);
        }
    }

    /// Tells the streams that took messages from a deleted one.
    pub(super) fn lose_origin(&mut self, name: &str, now: Now) {
        self.followers.remove(name);
        for follower in &self.followers {
            if let Some(stream) = self.streams.get_mut(follower) {
                stream.lose_origin(name, now.instant);
            }
        }
    }

    /// Whether some stream takes messages from another.
    pub(crate) fn has_followers(&self) -> bool {
        !self.followers.is_empty()
    }

    /// Moves all streams on that take messages from others.
    pub(super) fn follow(&mut self, now: Now, out: &mut Outbox) {
        let names: Vec<String> = self.followers.iter().cloned().collect();
        for name in names {
            let Some(count) = self.streams.get(&name).map(|one| one.upstreams.len()) else {
                self.followers.remove(&name);
                continue;
            };
            for at in 0..count {
                self.follow_one(&name, at, now, out);
            }
        }
    }

    fn follow_one(&mut self, name: &str, at: usize, now: Now, out: &mut Outbox) {
        // For a moment it is not there, which only a stream that is its own origin could see.
        let Some((name, mut stream)) = self.streams.remove_entry(name) else {
            return;
        };
        let origin = stream.upstreams.get(at).map(|one| one.origin.clone());
        let origin = origin.and_then(|origin| self.streams.get(&origin));
        let origin = origin.map(|one| (&one.store, one.group.standing(), one.created));
        let found = stream.look_upstream(at, origin, now, &mut self.peers);
        stream.follow_upstream(at, found, now, out);
        stream.replicate(now, &mut self.peers, &mut self.journal, out);
        self.streams.insert(name, stream);
    }

    /// The consumers by which streams take messages from others, which only the account's figures show.
    pub(super) fn hidden_consumers(&self) -> usize {
        let followers = self
            .followers
            .iter()
            .filter_map(|name| self.streams.get(name));
        let open = |one: &Stream| {
            one.upstreams
                .iter()
                .filter(|one| Upstream::has_consumer(one))
                .count()
        };
        followers.map(open).sum()
    }
}
