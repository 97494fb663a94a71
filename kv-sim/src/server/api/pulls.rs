//! What clients of consumers say outside the API: pulls and acknowledgements.

use bytes::Bytes;

use super::{JetStream, Request, required_level};
use crate::server::consumer::{AckSubject, Consumer};
use crate::server::peers::Peers;
use crate::server::router::Router;
use crate::server::stream::group::Standing;
use crate::server::stream::{Inbound, Now, Outbox, Outgoing, Stream};

impl JetStream {
    /// Serves a request for messages; false if there is no such consumer.
    pub(super) fn next_message(
        &mut self,
        tail: &str,
        request: &Request<'_>,
        reply: &Bytes,
        router: &Router,
        out: &mut Outbox,
    ) -> bool {
        let Some((stream, name)) = tail.split_once('.') else {
            return false;
        };
        let Some(consumer) = running(self.streams.get_mut(stream), name, &self.peers) else {
            return false;
        };
        if reply.is_empty() {
            return true;
        }
        if required_level(request).is_err() && !consumer.config.is_push() {
            let headers = &b"NATS/1.0 412 Required Api Level\r\n\r\n"[..];
            out.push_back(Outgoing::status(reply, headers));
            return true;
        }
        consumer.pulled(request.body, reply, request.now, router, out);
        true
    }

    /// Takes what was published on the reply subject of a delivery; false if no consumer listens there.
    pub(crate) fn acked(
        &mut self,
        message: &Inbound,
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) -> bool {
        let text = String::from_utf8_lossy(&message.subject);
        let Some(subject) = AckSubject::read(&text, &self.place, now.version) else {
            return false;
        };
        let stream = self.streams.get_mut(subject.stream);
        let found = running(stream, subject.consumer, &self.peers);
        let Some(consumer) = found.filter(|one| one.wants_acks()) else {
            return false;
        };
        consumer.acked(&subject, message, now, router, out);
        true
    }

    /// Tells a consumer that a message which it sent for a pull has reached nobody.
    pub(crate) fn did_not_deliver(
        &mut self,
        message: &Outgoing,
        now: Now,
        router: &Router,
        out: &mut Outbox,
    ) {
        let text = String::from_utf8_lossy(&message.reply);
        let Some(subject) = AckSubject::read(&text, &self.place, now.version) else {
            return;
        };
        let stream = self.streams.get_mut(subject.stream);
        if let Some(consumer) = running(stream, subject.consumer, &self.peers) {
            consumer.did_not_deliver(subject.stream_seq(), &message.to, now, router, out);
        }
    }

    /// Tells all who wait for a consumer's messages that its server is about to go.
    pub(crate) fn warn_of_shutdown(&self, server: usize, out: &mut Outbox) {
        for stream in self.streams.values() {
            let here = stream.consumers.values().filter(|one| one.home == server);
            for consumer in here.filter(|one| one.config.replicas <= 1) {
                consumer.warn_of_shutdown(out);
            }
        }
    }
}

/// A stream's consumer that some server runs now.
fn running<'a>(
    stream: Option<&'a mut Stream>,
    name: &str,
    peers: &Peers,
) -> Option<&'a mut Consumer> {
    let stream = stream.filter(|stream| stream.group.standing() != Standing::Offline)?;
    stream.consumers.get_mut(name).filter(|one| one.runs(peers))
}
