//! Taking messages from other streams: what a mirror and a stream with sources make of them.

use bytes::Bytes;

use super::admission::{Admitted, Refusal, Rollup};
use super::group::Standing;
use super::store::{Message, Store};
use super::upstream::{Arrival, Upstream, taken_before};
use super::{Inbound, Now, Outbox, Stream};
use crate::server::error::ApiError;
use crate::server::header;
use crate::server::json::{Writer, go_time};
use crate::server::peers::Peers;
use crate::server::version::Version;

const SOURCE: &str = "Nats-Stream-Source";

/// What an origin has for a stream at this moment.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// The origin does not exist.
    Missing,
    Connected {
        /// Where it begins.
        after: u64,
        identity: kv_proto::Timestamp,
    },
    Arrived(Arrival),
}

impl Stream {
    /// Makes its upstreams from its configuration, anew or those that it has not yet.
    pub(super) fn set_up_upstreams(&mut self, now: Now) {
        let wanted: Vec<_> = self
            .config
            .mirror
            .iter()
            .chain(&self.config.sources)
            .collect();
        let mut old = std::mem::take(&mut self.upstreams);
        for source in wanted {
            let index = source.index_name();
            let known = old.iter().position(|one| one.index() == index);
            self.upstreams.push(match known {
                Some(at) => old.swap_remove(at),
                None => Upstream::new(source, now.instant, now.version),
            });
        }
    }

    /// Whether it answers direct gets for that stream.
    pub(crate) fn answers_for(&self, origin: &str) -> bool {
        let mirror = self.config.mirror.as_ref();
        let mirrors = mirror.is_some_and(|one| one.external.is_none() && one.name == origin);
        let mut upstreams = self.upstreams.iter();
        mirrors && self.config.mirror_direct && upstreams.any(|one| one.caught_up)
    }

    /// Looks at one of its upstreams, of which this is the origin.
    pub(crate) fn look_upstream(
        &mut self,
        at: usize,
        origin: Option<(&Store, Standing, kv_proto::Timestamp)>,
        now: Now,
        peers: &mut Peers,
    ) -> Found {
        if self.group.standing() != Standing::Led {
            return Found::Nothing;
        }
        let is_mirror = self.config.mirror.is_some();
        let Some(upstream) = self.upstreams.get_mut(at) else {
            return Found::Nothing;
        };
        let connects = upstream.connects(now.instant);
        let Some((origin, standing, created)) = origin else {
            return if connects {
                Found::Missing
            } else {
                Found::Nothing
            };
        };
        if standing != Standing::Led {
            return Found::Nothing;
        }
        if connects {
            let after = if is_mirror {
                mirror_start(&self.store, upstream, origin, now.version)
            } else {
                source_start(&self.store, upstream, origin, created, now.version)
            };
            return Found::Connected {
                after,
                identity: created,
            };
        }
        let delay = || peers.delay(peers.replication.mirror);
        match upstream.arrive(origin, now.instant, delay) {
            Some(arrival) => Found::Arrived(arrival),
            None => Found::Nothing,
        }
    }

    /// Does what follows from that look.
    pub(crate) fn follow_upstream(&mut self, at: usize, found: Found, now: Now, out: &mut Outbox) {
        let is_mirror = self.config.mirror.is_some();
        let Some(upstream) = self.upstreams.get_mut(at) else {
            return;
        };
        match found {
            Found::Nothing => {}
            Found::Missing => upstream.fail(ApiError::STREAM_NOT_FOUND, now.instant),
            Found::Connected { after, identity } => {
                upstream.open(after, now.instant);
                upstream.identity = Some(identity);
                if is_mirror && after > self.store.last_seq() {
                    self.store.skip_to(after, None);
                    self.last_seq = after;
                }
            }
            Found::Arrived(Arrival { messages, left }) => {
                let mut ahead = messages.len() as u64 + left;
                for message in messages {
                    ahead -= 1;
                    let seq = message.seq;
                    let before = if is_mirror {
                        self.store.last_seq()
                    } else {
                        seq - 1
                    };
                    let taken = if is_mirror {
                        self.take_mirrored(at, message, now, out)
                    } else {
                        self.take_sourced(at, message, now, out)
                    };
                    let Some(upstream) = self.upstreams.get_mut(at) else {
                        return;
                    };
                    if let Err(refusal) = taken {
                        let full =
                            matches!(&refusal, Refusal::Error(error) if error.is_store_full());
                        if is_mirror || full || now.version.repeats_what_failed() {
                            return upstream.retry_after(before, ahead, now.instant);
                        }
                        if ahead == 0 {
                            return upstream.took(seq, 0); // it hears what comes until it asks again
                        }
                        let known = taken_before(&self.store, upstream.index());
                        let after = known.map_or(seq, |(seq, _)| seq);
                        return upstream.retry_after(after, ahead, now.instant);
                    }
                    upstream.took(seq, ahead);
                }
            }
        }
    }

    fn mapped(&self, at: usize, subject: &Bytes) -> Bytes {
        let upstream = self.upstreams.get(at);
        let mapped = upstream.and_then(|one| one.map(subject));
        let subject = mapped.map_or_else(|| subject.clone(), Bytes::from);
        self.mappings.stored(subject)
    }

    /// Stores a message under its own sequence and time.
    fn take_mirrored(
        &mut self,
        at: usize,
        message: Message,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        if message.seq <= self.store.last_seq() {
            return Ok(());
        }
        if message.seq > self.store.last_seq() + 1 {
            self.store.skip_to(message.seq - 1, None);
            self.last_seq = message.seq - 1;
        }
        let mut headers = message.headers;
        if now.version.mirrors_without_conditions() {
            headers = header::without_prefixed(&headers, "Nats-Expected-");
        }
        if now.version.has_level_2() {
            headers = header::without_prefixed(&headers, "Nats-Batch-");
        }
        let inbound = Inbound {
            subject: self.mapped(at, &message.subject),
            reply: Bytes::new(),
            headers,
            payload: message.payload,
        };
        let admitted = if now.version.mirrors_without_conditions() {
            Admitted {
                msg_id: header::text(&inbound.headers, "Nats-Msg-Id").map(|id| id.into_owned()),
                rollup: self.rollup_taken(&inbound.headers, now.version)?,
            }
        } else {
            self.forget_msg_ids(now.time);
            self.check_headers(&inbound, true, now.version)?
        };
        self.check_size(&inbound)?;
        let now = Now {
            time: message.time,
            ..now
        };
        if self.drops_next(&inbound.subject) {
            self.skip(admitted, now.time);
            return Ok(());
        }
        self.check_room(&inbound, now.version)?;
        let (lifetime, headers) = self.lifetime(&inbound, now.version)?;
        let inbound = Inbound { headers, ..inbound };
        self.store_admitted(inbound, admitted, lifetime, now, out);
        Ok(())
    }

    /// A roll-up that comes from another stream happens here too, where that is allowed.
    pub(super) fn rollup_taken(
        &self,
        headers: &[u8],
        version: Version,
    ) -> Result<Option<Rollup>, Refusal> {
        let allowed = self.config.allow_rollup && !self.config.deny_purge;
        if !allowed && version.takes_forbidden_rollups() {
            return Ok(None);
        }
        self.check_rollup(headers, version)
    }

    /// Stores a message as if it had been published here, and where it comes from.
    fn take_sourced(
        &mut self,
        at: usize,
        message: Message,
        now: Now,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        let Some(upstream) = self.upstreams.get(at) else {
            return Ok(());
        };
        let mut origin = upstream.index().splitn(3, ' ');
        let mut part = || origin.next().unwrap_or_default();
        let mut value = format!("{} {} {} {}", part(), message.seq, part(), part());
        if now.version.names_sourced_subject() {
            value += &format!(" {}", String::from_utf8_lossy(&message.subject));
        }
        if let Some(identity) = upstream
            .identity
            .filter(|_| now.version.identifies_origins())
        {
            value += &format!(" {}", identity_text(identity));
        }
        let mut headers = message.headers;
        if !headers.is_empty() {
            headers = header::without(&headers, SOURCE).unwrap_or_default().into();
            headers = header::without_prefixed(&headers, "Nats-Expected-");
            if now.version.has_level_2() {
                headers = header::without_prefixed(&headers, "Nats-Batch-");
            }
        }
        let inbound = Inbound {
            subject: self.mapped(at, &message.subject),
            reply: Bytes::new(),
            headers: header::with(&headers, SOURCE, &value).into(),
            payload: message.payload,
        };
        match self.store_checked(inbound, true, now, out) {
            Ok(_) => Ok(()),
            Err(Refusal::Duplicate(_)) if now.version.repeats_what_failed() => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Its origin of that name was deleted.
    pub(crate) fn lose_origin(&mut self, name: &str, now: kv_proto::Instant) {
        for upstream in self.upstreams.iter_mut().filter(|one| one.origin == name) {
            upstream.lose(now);
        }
    }

    /// Adds what an answer tells about the streams it takes messages from.
    pub(crate) fn describe_origins(&self, out: &mut Writer, now: Now) {
        let is_mirror = self.config.mirror.is_some();
        let json = |one: &Upstream| one.json(is_mirror, now.instant, now.version);
        if let Some(first) = self.upstreams.first().filter(|_| is_mirror) {
            out.raw("mirror", &json(first));
        } else {
            out.some_list("sources", self.upstreams.iter().map(json));
        }
    }
}

/// A mirror goes on behind what it has, and begins where it is told to.
fn mirror_start(own: &Store, upstream: &Upstream, origin: &Store, v: Version) -> u64 {
    if own.len() == 0 && own.first_seq() == 0 {
        return upstream.configured_start(origin, v);
    }
    let first = origin.first_seq().saturating_sub(1);
    own.last_seq().max(first)
}

/// A stream with sources goes on behind the newest message that it has of one.
fn source_start(
    own: &Store,
    upstream: &Upstream,
    origin: &Store,
    created: kv_proto::Timestamp,
    v: Version,
) -> u64 {
    let known = || taken_before(own, upstream.index()).filter(|(seq, _)| *seq > 0);
    let before = upstream.position().or_else(known);
    if let Some((seq, identity)) = before {
        let same = identity.is_none_or(|one| one == identity_text(created));
        if same || !v.identifies_origins() {
            return seq.max(origin.first_seq().saturating_sub(1));
        }
        return upstream.configured_start(origin, v);
    }
    let last = own.last_time();
    match (upstream.start_time(), last) {
        _ if upstream.starts_at_seq() => {}
        (Some(time), Some(last)) if time < last => return upstream.start_before(origin, last, v),
        (None, Some(last)) if own.first_seq() > 1 => return upstream.start_before(origin, last, v),
        (Some(_) | None, _) => {}
    }
    upstream.configured_start(origin, v)
}

/// Eight letters that tell a stream from another of its name, made of when it was created.
pub(super) fn identity_text(created: kv_proto::Timestamp) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let text = go_time(created);
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut out = String::new();
    for _ in 0..8 {
        let at = usize::try_from(hash % 62).unwrap_or(0);
        out.push(char::from(LETTERS.get(at).copied().unwrap_or(b'0')));
        hash /= 62;
    }
    out
}
