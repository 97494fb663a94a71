//! From what a scenario asks for to the session's requests.

use std::time::Duration;

use bytes::Bytes;
use kv_proto::{
    BucketName, CallOptions, CreateOptions, DeleteOptions, GetOptions, Instant, Key, KeyFilter,
    PurgeDeletesOptions, PurgeOptions, PutOptions, Revision,
};

use super::{Client, Pending, Ticket};
use crate::history::{Answer, Call, CallId, Cause, History};
use crate::oracle::BUCKET;
use crate::scenario::{Ask, Base};

/// What became of a request at once.
type Begun = Result<Ticket, Answer>;

impl Client {
    /// Asks the session, and keeps the record; a client without bucket asks nothing of one.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        ask: Ask,
        timeout_ms: u16,
        default: Duration,
        history: &mut History,
    ) -> Option<(CallId, Call)> {
        let timeout = match (timeout_ms, ask) {
            (_, Ask::Sleep { ms }) => Duration::from_millis(u64::from(ms)),
            (0, _) => default,
            (ms, _) => Duration::from_millis(u64::from(ms)),
        };
        let (key, call) = self.concrete(ask);
        if self.binding.is_none() && ![Call::Manage, Call::Ping, Call::Sleep].contains(&call) {
            return None;
        }
        let id = history.begin(self.id, key, call, now);
        if let Some(record) = history.record(id) {
            record.life = self.life;
        }
        let local = self.local(now);
        let begun = self.request(local, id, key, ask, call, timeout);
        match begun {
            Ok(ticket) => {
                let deadline = self.session.now() + timeout;
                let call = Some(id);
                self.pending.push(Pending {
                    call,
                    key,
                    ticket,
                    deadline,
                });
            }
            Err(answer) => {
                if let Some(record) = history.record(id) {
                    record.answer = Some((now, answer));
                }
            }
        }
        Some((id, call))
    }

    /// Fills in what the client knows.
    fn concrete(&self, ask: Ask) -> (u8, Call) {
        let seconds = |ttl: u8| (ttl > 0).then_some(ttl);
        match ask {
            Ask::Put { key, .. } => (key, Call::Put),
            Ask::Create { key, ttl, .. } => (key, Call::Create { ttl: seconds(ttl) }),
            Ask::Update { key, base, ttl, .. } => {
                let expected = self.base(key, base);
                let ttl = seconds(ttl);
                (key, Call::Update { expected, ttl })
            }
            Ask::Delete { key, base } => {
                let expected = base.map(|base| self.base(key, base));
                (key, Call::Delete { expected })
            }
            Ask::Purge { key, base, ttl } => {
                let expected = base.map(|base| self.base(key, base));
                let ttl = seconds(ttl);
                (key, Call::Purge { expected, ttl })
            }
            Ask::Get { key } => (key, Call::Get),
            Ask::GetLeader { key } => (key, Call::GetLeader),
            Ask::GetRevision { key, back } => {
                let seen = self.seen.get(&key).copied().unwrap_or(0);
                let revision = seen.saturating_sub(u64::from(back));
                (key, Call::GetRevision { revision })
            }
            Ask::Status | Ask::Open | Ask::Names | Ask::Statuses => (0, Call::Manage),
            Ask::EraseKeys { key } => {
                let all = key.is_none();
                (key.unwrap_or(0), Call::Erase { all })
            }
            Ask::PurgeDeletes { older_ms } => (0, Call::PurgeDeletes { older_ms }),
            Ask::Ping => (0, Call::Ping),
            Ask::Sleep { .. } => (0, Call::Sleep),
        }
    }

    fn base(&self, key: u8, base: Base) -> u64 {
        let seen = self.seen.get(&key).copied().unwrap_or(0);
        match base {
            Base::Seen => seen,
            Base::Older => seen.saturating_sub(1),
            Base::Zero => 0,
        }
    }

    fn request(
        &mut self,
        local: Instant,
        id: CallId,
        key: u8,
        ask: Ask,
        call: Call,
        timeout: Duration,
    ) -> Begun {
        let options = CallOptions::default().timeout(timeout);
        let session = &mut self.session;
        let manage = |error: kv_proto::BucketError| super::told::of_bucket(&error);
        let bucket = || BucketName::new(BUCKET).map_err(|_| Answer::Failed(Cause::Other));
        match ask {
            Ask::Status => {
                let asked = session.status(local, &bucket()?, options);
                asked.map(Ticket::Status).map_err(manage)
            }
            Ask::Open => {
                let asked = session.open(local, &bucket()?, options);
                asked.map(Ticket::Open).map_err(manage)
            }
            Ask::Names => {
                let asked = session.bucket_names(local, 0, options);
                asked.map(Ticket::Names).map_err(manage)
            }
            Ask::Statuses => {
                let asked = session.bucket_statuses(local, 0, options);
                asked.map(Ticket::Statuses).map_err(manage)
            }
            Ask::Ping => {
                let refused = |refused| super::told::of_refused(&refused);
                let asked = session.ping(local, options);
                asked.map(Ticket::Ping).map_err(refused)
            }
            Ask::Sleep { .. } => {
                let slept = session.sleep(local, timeout);
                let refused = |refused| super::told::of_refused(&refused);
                slept.map(Ticket::Sleep).map_err(refused)
            }
            Ask::EraseKeys { .. } | Ask::PurgeDeletes { .. } => {
                self.request_removal(local, ask, timeout)
            }
            Ask::Put { .. }
            | Ask::Create { .. }
            | Ask::Update { .. }
            | Ask::Delete { .. }
            | Ask::Purge { .. }
            | Ask::Get { .. }
            | Ask::GetLeader { .. }
            | Ask::GetRevision { .. } => self.request_key(local, id, key, ask, call, timeout),
        }
    }

    fn request_removal(&mut self, local: Instant, ask: Ask, timeout: Duration) -> Begun {
        let Some(bucket) = self.binding.clone() else {
            return Err(Answer::Failed(Cause::Other));
        };
        if let Ask::PurgeDeletes { older_ms } = ask {
            let options = PurgeDeletesOptions::default()
                .older_than(Duration::from_millis(u64::from(older_ms)))
                .timeout(timeout);
            let begun = self.session.purge_deletes(local, &bucket, options);
            let failed = |error| Answer::Failed(super::told::of_watch(&error));
            return begun.map(Ticket::PurgeDeletes).map_err(failed);
        }
        let filter = if let Ask::EraseKeys { key: Some(key) } = ask {
            format!("k{key}")
        } else {
            ">".to_owned()
        };
        let filter = KeyFilter::new(&filter).map_err(|_| Answer::Failed(Cause::Other))?;
        let options = CallOptions::default().timeout(timeout);
        let begun = self.session.erase(local, &bucket, &filter, options);
        let failed = |error| super::told::of_bucket(&error);
        begun.map(Ticket::Erase).map_err(failed)
    }

    /// A request about a key of the bucket.
    fn request_key(
        &mut self,
        local: Instant,
        id: CallId,
        key: u8,
        ask: Ask,
        call: Call,
        timeout: Duration,
    ) -> Begun {
        let options = PutOptions::default().timeout(timeout);
        let seconds = |ttl: u8| Duration::from_secs(u64::from(ttl));
        let session = &mut self.session;
        let Some(bucket) = self.binding.clone() else {
            return Err(Answer::Failed(Cause::Other));
        };
        let name = Key::new(&format!("k{key}")).map_err(|_| Answer::Failed(Cause::Other))?;
        let write = |error: kv_proto::WriteError| super::told::of_write(&error);
        let read = |refused: kv_proto::Refused| super::told::of_refused(&refused);
        match (ask, call) {
            (Ask::Put { size, .. }, _) => {
                let value = value(id, size);
                session
                    .put(
                        local,
                        &bucket,
                        name,
                        value,
                        PutOptions::default().timeout(timeout),
                    )
                    .map(Ticket::Write)
                    .map_err(write)
            }
            (Ask::Create { size, .. }, Call::Create { ttl }) => {
                let mut options = CreateOptions::default().timeout(timeout);
                if let Some(ttl) = ttl {
                    options = options.ttl(seconds(ttl));
                }
                let created = session.create(local, &bucket, name, value(id, size), options);
                created.map(Ticket::Write).map_err(write)
            }
            (Ask::Update { size, .. }, Call::Update { expected, ttl }) => {
                let options = match ttl {
                    Some(ttl) => options.ttl(seconds(ttl)),
                    None => options,
                };
                let expected = Revision::new(expected);
                let updated =
                    session.update(local, &bucket, name, value(id, size), expected, options);
                updated.map(Ticket::Write).map_err(write)
            }
            (_, Call::Delete { expected }) => {
                let mut options = DeleteOptions::default().timeout(timeout);
                if let Some(expected) = expected {
                    options = options.expect(Revision::new(expected));
                }
                session
                    .delete(local, &bucket, name, options)
                    .map(Ticket::Write)
                    .map_err(write)
            }
            (_, Call::Purge { expected, ttl }) => {
                let mut options = PurgeOptions::default().timeout(timeout);
                if let Some(expected) = expected {
                    options = options.expect(Revision::new(expected));
                }
                if let Some(ttl) = ttl {
                    options = options.ttl(seconds(ttl));
                }
                session
                    .purge(local, &bucket, name, options)
                    .map(Ticket::Write)
                    .map_err(write)
            }
            (_, Call::GetRevision { revision }) => {
                let options = GetOptions::default()
                    .timeout(timeout)
                    .revision(Revision::new(revision));
                session
                    .get(local, &bucket, name, options)
                    .map(Ticket::Read)
                    .map_err(read)
            }
            (_, call) => {
                let mut options = GetOptions::default().timeout(timeout);
                if call == Call::GetLeader {
                    options = options.leader();
                }
                session
                    .get(local, &bucket, name, options)
                    .map(Ticket::Read)
                    .map_err(read)
            }
        }
    }
}

/// A value that tells the number of its call.
fn value(id: CallId, size: u32) -> Bytes {
    let mut value = format!("{}:", id.0).into_bytes();
    let size = usize::try_from(size).unwrap_or(0).max(value.len());
    value.resize(size, b'x');
    value.into()
}
