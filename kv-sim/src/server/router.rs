//! Who subscribes to what.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::connection::ConnId;
use super::rng::Rng;
use super::subject;

/// A subscription by its connection and its client-chosen id.
pub(crate) type Key = (ConnId, Bytes);

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) subject: Bytes,
    is_pattern: bool,
    /// How many bytes come before its first wildcard.
    literal: usize,
    pub(crate) queue: Option<Bytes>,
    /// Delivered so far, and after how many it ends.
    delivered: u64,
    max: Option<u64>,
    /// Subjects it must not see although its pattern matches them.
    pub(crate) hidden: Vec<String>,
}

impl Subscription {
    /// Counts a message; returns whether it was the last one.
    fn count_delivery(&mut self) -> bool {
        self.delivered += 1;
        self.is_over()
    }

    fn is_over(&self) -> bool {
        self.max.is_some_and(|max| self.delivered >= max)
    }

    /// Whether it gets messages on that subject.
    fn sees(&self, subject: &[u8]) -> bool {
        let literal = self.subject.get(..self.literal).unwrap_or_default();
        let matches = subject.starts_with(literal)
            && if self.is_pattern {
                subject::matches(subject, &self.subject)
            } else {
                subject.len() == literal.len() // none has an empty token
            };
        let mut hidden = self.hidden.iter();
        matches && !hidden.any(|deny| subject::matches(subject, deny.as_bytes()))
    }
}

/// All subscriptions of a cluster. Clients have few: looking at each is faster than an index.
#[derive(Debug, Default)]
pub(crate) struct Router {
    all: BTreeMap<Key, Subscription>,
    /// Something was subscribed or unsubscribed since it was last asked.
    changed: bool,
}

impl Router {
    /// Adds a subscription; one with an id in use changes nothing.
    pub(crate) fn subscribe(
        &mut self,
        key: Key,
        subject: Bytes,
        queue: Option<Bytes>,
        hidden: Vec<String>,
    ) {
        if self.all.contains_key(&key) {
            return;
        }
        let subscription = Subscription {
            is_pattern: subject::has_wildcard(&subject),
            literal: subject::literal_prefix(&subject),
            subject,
            queue,
            delivered: 0,
            max: None,
            hidden,
        };
        self.all.insert(key, subscription);
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
        self.literal(subject, queue).is_some()
    }

    /// Whose subscription that is.
    pub(crate) fn literal(&self, subject: &[u8], queue: &str) -> Option<ConnId> {
        let literal = |one: &Subscription| !one.is_pattern && one.subject == subject;
        let mut all = self.all.iter().filter(|(_, one)| literal(one));
        let found = all.find(|(_, subscription)| match &subscription.queue {
            None => queue.is_empty(),
            Some(own) => own == queue.as_bytes(),
        });
        found.map(|((conn, _), _)| *conn)
    }

    /// The subscriptions that see a subject, whether they get what is sent there or not.
    pub(crate) fn listeners(&self, subject: &[u8]) -> Vec<Key> {
        let all = self.all.iter().filter(|(_, one)| one.sees(subject));
        all.map(|(key, _)| key.clone()).collect()
    }

    /// Whether anybody would get a message on that subject.
    pub(crate) fn has_interest(&self, subject: &[u8]) -> bool {
        self.all.values().any(|one| one.sees(subject))
    }

    /// The id of a subscription of this connection that would get a reply.
    pub(crate) fn reply_sid(&self, conn: ConnId, reply: &[u8]) -> Option<Bytes> {
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
        let mut groups: BTreeMap<Bytes, Vec<Key>> = BTreeMap::new();
        let mut ended = false;
        let others = self.all.iter_mut().filter(|(key, _)| Some(key.0) != except);
        for (key, subscription) in others.filter(|(_, one)| one.sees(subject)) {
            match &subscription.queue {
                None => {
                    out.push(key.clone());
                    ended |= subscription.count_delivery();
                }
                Some(queue) => groups.entry(queue.clone()).or_default().push(key.clone()),
            }
        }
        for members in groups.into_values() {
            let pick = usize::try_from(rng.below(members.len() as u64)).unwrap_or(0);
            if let Some(key) = members.into_iter().nth(pick) {
                let subscription = self.all.get_mut(&key);
                ended |= subscription.is_some_and(Subscription::count_delivery);
                out.push(key);
            }
        }
        if ended {
            self.all.retain(|_, one| !one.is_over());
            self.changed = true;
        }
        out
    }

    /// Whether nothing was subscribed or unsubscribed since that was last taken.
    pub(crate) fn is_unchanged(&self) -> bool {
        !self.changed
    }

    /// Whether subscriptions changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn of(&self, conn: ConnId) -> impl Iterator<Item = (&Key, &Subscription)> {
        let all = self.all.range((conn, Bytes::new())..);
        all.take_while(move |((owner, _), _)| *owner == conn)
    }

    fn remove(&mut self, key: &Key) {
        self.changed |= self.all.remove(key).is_some();
    }
}
