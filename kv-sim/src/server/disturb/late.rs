//! What comes later than it was sent, and what goes with what never comes.

use kv_proto::Instant;

use crate::server::Cluster;
use crate::server::stream::Outgoing;

impl Cluster {
    /// The next message to be delivered, if faults have left one.
    pub(in crate::server) fn next_message(&mut self) -> Option<Outgoing> {
        loop {
            if let Some(message) = self.disturbances.next_ready() {
                return Some(message);
            }
            let message = self.outbox.pop_front()?;
            let met = self.disturbances.meet(message, self.now);
            self.follow_deliveries();
            if met.is_some() {
                return met;
            }
        }
    }

    /// Sends the late replies that are due.
    pub(in crate::server) fn send_late(&mut self, now: Instant) {
        while let Some(first) = self.disturbances.late.first_entry()
            && *first.key() <= now
        {
            for message in first.remove() {
                self.deliver(None, &message);
            }
        }
        self.send_overtaken(now);
    }

    /// Sends what waits for a next message in vain, and what comes late to subscriptions of before.
    fn send_overtaken(&mut self, now: Instant) {
        let disturbances = &mut self.disturbances;
        let mut waited = Vec::new();
        disturbances.overtaken.retain(|_, (due, message)| {
            if *due <= now {
                waited.push(message.clone());
            }
            *due > now
        });
        for message in waited {
            self.deliver(None, &message);
        }
        while let Some(first) = self.disturbances.late_to.first_entry()
            && *first.key() <= now
        {
            for ((conn, sid), message) in first.remove() {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    let Outgoing {
                        subject,
                        reply,
                        headers,
                        payload,
                        ..
                    } = &message;
                    connection.send_message(subject, &sid, reply, headers, payload);
                }
            }
        }
    }

    /// Does what faults of deliveries do beside them.
    fn follow_deliveries(&mut self) {
        for (due, message) in std::mem::take(&mut self.disturbances.echoes) {
            let listeners = self.router.listeners(&message.to);
            let late_to = self.disturbances.late_to.entry(due).or_default();
            late_to.extend(listeners.into_iter().map(|key| (key, message.clone())));
        }
        for to in std::mem::take(&mut self.disturbances.orphaned) {
            for stream in self.jetstream.streams.values_mut() {
                let consumers = &mut stream.consumers;
                consumers.retain(|_, one| one.config.deliver_subject.as_bytes() != to);
            }
            self.outbox.retain(|message| message.to != to);
        }
        for to in std::mem::take(&mut self.disturbances.severed) {
            for (conn, _) in self.router.listeners(&to) {
                self.fail(conn, None);
            }
        }
    }
}
