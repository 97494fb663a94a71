//! Who subscribes to what.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::ConnId;
use super::rng::Rng;
use super::subject;

/// A subscription by its connection and its client-chosen id.
pub(crate) type Key = (ConnId, Vec<u8>);

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) subject: Vec<u8>,
    pub(crate) queue: Option<Vec<u8>>,
    /// Delivered so far, and after how many it ends.
    delivered: u64,
    max: Option<u64>,
    /// Subjects it must not see although its pattern matches them.
    pub(crate) hidden: Vec<String>,
}

/// All subscriptions of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Router {
    all: BTreeMap<Key, Subscription>,
    literal: BTreeMap<Vec<u8>, BTreeSet<Key>>,
    patterns: BTreeSet<Key>,
    /// Something was subscribed or unsubscribed since it was last asked.
    changed: bool,
}

impl Router {
    /// Adds a subscription; one with an id in use changes nothing.
    pub(crate) fn subscribe(
        &mut self,
        key: Key,
        subject: Vec<u8>,
        queue: Option<Vec<u8>>,
        hidden: Vec<String>,
    ) {
        if self.all.contains_key(&key) {
            return;
        }
        if subject::has_wildcard(&subject) {
            self.patterns.insert(key.clone());
        } else {
            self.literal
                .entry(subject.clone())
                .or_default()
                .insert(key.clone());
        }
        let (delivered, max) = (0, None);
        self.all.insert(
            key,
            Subscription {
                subject,
                queue,
                delivered,
                max,
                hidden,
            },
        );
        self.changed = true;
    }

    /// Ends a subscription, now or after `max` messages in all.
    pub(crate) fn unsubscribe(&mut self, key: &Key, max: Option<u64>) {
        let Some(subscription) = self.all.get_mut(key) else {
            return;
        };
        match max {
            Some(max) if max > subscription.delivered => subscription.max = Some(max),
            Some(_) | None => self.remove(key),
        }
    }

    pub(crate) fn remove_connection(&mut self, conn: ConnId) {
        let keys: Vec<Key> = self.of(conn).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    pub(crate) fn count(&self, conn: ConnId) -> usize {
        self.of(conn).count()
    }

    /// Whether some subscription, other than a queue's, is for exactly that subject. A pattern that
    /// matches does not count: consumers are bound by literal subjects only.
    pub(crate) fn has_literal(&self, subject: &[u8], queue: &str) -> bool {
        let keys = self.literal.get(subject).into_iter().flatten();
        let mut subscriptions = keys.filter_map(|key| self.all.get(key));
        subscriptions.any(|subscription| match &subscription.queue {
            None => queue.is_empty(),
            Some(own) => own.as_slice() == queue.as_bytes(),
        })
    }

    /// Whether anybody would get a message on that subject.
    pub(crate) fn has_interest(&self, subject: &[u8]) -> bool {
        !self.matching(subject).is_empty()
    }

    /// The id of a subscription of this connection that would get a reply.
    pub(crate) fn reply_sid(&self, conn: ConnId, reply: &[u8]) -> Option<Vec<u8>> {
        let mut own = self.of(conn);
        let found = own.find(|(_, one)| subject::matches(reply, &one.subject))?;
        Some(found.0.1.clone())
    }

    /// Picks who gets a message: every plain subscription, one member of each queue group. `echo` tells
    /// whether a connection gets what it published itself.
    pub(crate) fn recipients(
        &mut self,
        subject: &[u8],
        except: Option<ConnId>,
        rng: &mut Rng,
    ) -> Vec<Key> {
        let mut out = Vec::new();
        let mut groups: BTreeMap<Vec<u8>, Vec<Key>> = BTreeMap::new();
        for key in self.matching(subject) {
            if Some(key.0) == except {
                continue;
            }
            match self.all.get(&key).and_then(|one| one.queue.clone()) {
                None => out.push(key),
                Some(queue) => groups.entry(queue).or_default().push(key),
            }
        }
        for members in groups.into_values() {
            let pick = usize::try_from(rng.below(members.len() as u64)).unwrap_or(0);
            out.extend(members.into_iter().nth(pick));
        }
        for key in &out {
            self.count_delivery(key);
        }
        out
    }

    /// Whether subscriptions changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn count_delivery(&mut self, key: &Key) {
        let Some(subscription) = self.all.get_mut(key) else {
            return;
        };
        subscription.delivered += 1;
        if subscription
            .max
            .is_some_and(|max| subscription.delivered >= max)
        {
            self.remove(key);
        }
    }

    fn matching(&self, subject: &[u8]) -> Vec<Key> {
        let literal = self.literal.get(subject).into_iter().flatten(); // none has an empty token
        let patterns = self.patterns.iter().filter(|key| {
            let one = self.all.get(*key);
            one.is_some_and(|one| subject::matches(subject, &one.subject))
        });
        let visible = |key: &&Key| {
            let hidden = self
                .all
                .get(*key)
                .map(|one| one.hidden.as_slice())
                .unwrap_or_default();
            !hidden
                .iter()
                .any(|deny| subject::matches(subject, deny.as_bytes()))
        };
        let both: BTreeSet<&Key> = literal.chain(patterns).filter(visible).collect();
        both.into_iter().cloned().collect()
    }

    fn of(&self, conn: ConnId) -> impl Iterator<Item = (&Key, &Subscription)> {
        let all = self.all.range((conn, Vec::new())..);
        all.take_while(move |((owner, _), _)| *owner == conn)
    }

    fn remove(&mut self, key: &Key) {
        let Some(subscription) = self.all.remove(key) else {
            return;
        };
        self.patterns.remove(key);
        if let Some(keys) = self.literal.get_mut(&subscription.subject) {
            keys.remove(key);
            if keys.is_empty() {
                self.literal.remove(&subscription.subject);
            }
        }
        self.changed = true;
    }
}
