//! The commit of a batch: everything is checked before anything is stored.

use bytes::Bytes;

use super::super::admission::{Admitted, Refusal};
use super::super::{Inbound, Now, Outbox, Stream};
use super::{Part, Staged};
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::peers::Peers;

impl Stream {
    /// Checks a whole batch and stores or proposes it.
    pub(super) fn commit_batch(
        &mut self,
        id: &str,
        messages: Vec<Inbound>,
        reply: &Bytes,
        now: Now,
        peers: &mut Peers,
        out: &mut Outbox,
    ) {
        self.forget_msg_ids(now.time);
        let mut staged = Staged::default();
        let mut checked = Vec::new();
        for mut inbound in messages {
            inbound.subject = self.mappings.stored(inbound.subject);
            inbound.reply = Bytes::new();
            match self.check_part(&inbound, &mut staged, now) {
                Ok(condition) => checked.push((inbound, condition)),
                Err(refusal) => {
                    let refusal = match refusal {
                        Refusal::Duplicate(_) => ApiError::BATCH_DUPLICATE.into(),
                        other @ (Refusal::Error(_) | Refusal::Silent) => other,
                    };
                    return self.answer(reply, Err(refusal), None, now.version, out);
                }
            }
        }
        if let Some((last, _)) = checked.last_mut() {
            last.reply = reply.clone();
        }
        if self.group.is_replicated() {
            return self.propose_all(checked, now, peers, out);
        }
        let mut part = Part {
            id: id.to_owned(),
            number: 0,
        };
        for (inbound, _) in checked {
            part.number += 1;
            let reply = inbound.reply.clone();
            let result = self.store_part(inbound, now, out);
            self.answer(&reply, result, Some(&part), now.version, out);
        }
    }

    /// All that is checked of one message at the commit, after those that are staged.
    fn check_part(
        &mut self,
        inbound: &Inbound,
        staged: &mut Staged,
        now: Now,
    ) -> Result<Option<Bytes>, Refusal> {
        let (version, headers) = (now.version, &inbound.headers);
        if header::text(headers, "Nats-Expected-Last-Msg-Id").is_some() {
            return Err(ApiError::batch_header("Nats-Expected-Last-Msg-Id").into());
        }
        self.check_size_of_record(inbound, version)?;
        let id = header::text(headers, "Nats-Msg-Id").map(|id| id.into_owned());
        if id.is_some() {
            self.read_msg_ids(now);
        }
        let condition = self.check_ahead(inbound, id.as_deref(), staged, version)?;
        let size = self
            .store
            .size(&inbound.subject, &inbound.headers, &inbound.payload);
        staged.add(&inbound.subject, size);
        staged.ids.extend(id);
        Ok(condition)
    }

    fn store_part(&mut self, inbound: Inbound, now: Now, out: &mut Outbox) -> Result<u64, Refusal> {
        let rollup = self.rollup_taken(&inbound.headers, now.version)?;
        let msg_id = header::text(&inbound.headers, "Nats-Msg-Id").map(|id| id.into_owned());
        let admitted = Admitted { msg_id, rollup };
        if self.drops_next(&inbound.subject) {
            return Ok(self.skip(admitted, now.time));
        }
        let (lifetime, headers) = self.lifetime(&inbound, now.version)?;
        let inbound = Inbound { headers, ..inbound };
        Ok(self.store_admitted(inbound, admitted, lifetime, now, out))
    }
}
