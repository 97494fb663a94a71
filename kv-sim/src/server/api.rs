//! The JetStream API: which request a subject is, and the answers all have in common.

mod consumers;
mod direct;
mod follow;
mod gate;
mod messages;
mod placement;
mod pulls;
mod streams;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use self::gate::Gate;
use super::connection::ConnId;
use super::consumer::Habits;
use super::domain;
use super::error::ApiError;
use super::header;
use super::journal::Journal;
use super::json::Writer;
use super::look::MadeConsumer;
use super::peers::Peers;
use super::rng::Rng;
use super::router::Router;
use super::stream::batch::{BatchLimits, Part};
use super::stream::group::Standing;
use super::stream::{Inbound, Now, Outbox, Outgoing, Stream};
use super::subject::{is_valid, token};
use super::version::Version;

pub(crate) use self::placement::CLUSTER;

pub(crate) const PREFIX: &str = "$JS.API.";
const TYPE: &str = "io.nats.jetstream.api.v1.";

/// One account's streams.
#[derive(Debug)]
pub(crate) struct JetStream {
    pub(crate) streams: BTreeMap<String, Stream>,
    /// The streams that take messages from others.
    followers: BTreeSet<String>,
    batch_limits: BatchLimits,
    pub(crate) rng: Rng,
    pub(crate) peers: Peers,
    pub(crate) journal: Journal,
    habits: Habits,
    domain: Option<Arc<str>>,
    /// What wide reply subjects have before the stream's name.
    place: String,
    /// Consumers that were made since somebody asked.
    pub(crate) made: VecDeque<MadeConsumer>,
    /// Who asked for a consumer since somebody asked, got it or not.
    pub(crate) asking: VecDeque<ConnId>,
    /// The names of consumers that ended as nobody listened, since somebody asked.
    pub(crate) expired: VecDeque<String>,
    requests: u64,
    errors: u64,
}

/// One API request.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) subject: &'a str,
    pub(crate) headers: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) now: Now,
    pub(crate) conn: ConnId,
    /// The client's own server, which answers what any server can.
    pub(crate) server: usize,
    pub(crate) server_id: &'a str,
}

/// The body of an answer, or why there is no better one.
type Answer = Result<Writer, ApiError>;

impl JetStream {
    pub(crate) fn new(
        rng: Rng,
        peers: Peers,
        journal: Journal,
        habits: Habits,
        batch_limits: BatchLimits,
        domain: Option<&str>,
    ) -> Self {
        Self {
            streams: BTreeMap::new(),
            followers: BTreeSet::new(),
            batch_limits,
            rng,
            peers,
            journal,
            habits,
            domain: domain.map(Arc::from),
            place: domain::place(domain),
            made: VecDeque::new(),
            asking: VecDeque::new(),
            expired: VecDeque::new(),
            requests: 0,
            errors: 0,
        }
    }

    /// Publishes to the streams that capture the subject; true if one does and has somebody to listen.
    pub(crate) fn publish(&mut self, message: &Inbound, now: Now, out: &mut Outbox) -> bool {
        let mut heard = false;
        let open = match Part::of(&message.headers, now.version) {
            Some(_) => self.streams.values().map(|one| one.batches.len()).sum(),
            None => 0,
        };
        let streams = self.streams.values_mut();
        for stream in streams.filter(|stream| stream.captures(&message.subject)) {
            heard |= match stream.group.standing() {
                Standing::Led | Standing::Stalled => {
                    let elsewhere = open - stream.batches.len().min(open);
                    stream.publish(message.clone(), elsewhere, now, &mut self.peers, out);
                    true
                }
                Standing::Leaderless if stream.group.has_election() => self.peers.coin(),
                Standing::Leaderless | Standing::Offline => false,
            };
        }
        heard
    }

    /// Moves the replication of all streams on to this moment.
    pub(crate) fn replicate(&mut self, now: Now, out: &mut Outbox) {
        for stream in self.streams.values_mut() {
            stream.replicate(now, &mut self.peers, &mut self.journal, out);
        }
        self.follow(now, out);
    }

    /// Serves a request on a subject below `$JS.API.`; returns whether anybody serves it.
    pub(crate) fn request(
        &mut self,
        request: &Request<'_>,
        reply: &Bytes,
        router: &Router,
        out: &mut Outbox,
    ) -> bool {
        let rest = request.subject.strip_prefix(PREFIX).unwrap_or_default();
        if rest == "DIRECT.GET" || !is_valid(request.subject.as_bytes()) {
            return false;
        }
        if let Some(tail) = rest.strip_prefix("DIRECT.GET.") {
            return self.direct_get(tail, request, reply, out);
        }
        if let Some(tail) = rest.strip_prefix("CONSUMER.MSG.NEXT.") {
            return self.next_message(tail, request, reply, router, out);
        }
        let Some((kind, answer)) = self.answer(rest, request, router, out) else {
            return true; // the API has a catch-all subscription, which says nothing
        };
        self.requests += 1;
        let payload = match answer {
            Ok(body) => body.end(),
            Err(error) => {
                self.errors += 1;
                failed(kind, &error)
            }
        };
        if !reply.is_empty() {
            out.push_back(Outgoing::answer(reply, payload));
        }
        true
    }

    fn answer(
        &mut self,
        rest: &str,
        request: &Request<'_>,
        router: &Router,
        out: &mut Outbox,
    ) -> Option<(&'static str, Answer)> {
        let version = request.now.version;
        let tokens = rest.split('.').count();
        let verb = |n: usize| {
            let end = rest
                .match_indices('.')
                .nth(n - 1)
                .map_or(rest.len(), |(at, _)| at);
            rest.get(..end).unwrap_or_default()
        };
        let name = token(request.subject, 5);
        let kind = match (verb(2), tokens) {
            ("INFO", 1) => "account_info",
            ("STREAM.CREATE", 3) => "stream_create",
            ("STREAM.UPDATE", 3) => "stream_update",
            ("STREAM.INFO", 3) => "stream_info",
            ("STREAM.DELETE", 3) => "stream_delete",
            ("STREAM.PURGE", 3) => "stream_purge",
            ("STREAM.NAMES", 2) => "stream_names",
            ("STREAM.LIST", 2) => "stream_list",
            ("STREAM.MSG", 4) if verb(3) == "STREAM.MSG.GET" => "stream_msg_get",
            ("STREAM.MSG", 4) if verb(3) == "STREAM.MSG.DELETE" => "stream_msg_delete",
            ("CONSUMER.DURABLE", 5) if verb(3) == "CONSUMER.DURABLE.CREATE" => "consumer_create",
            ("CONSUMER.CREATE", 3..) => "consumer_create",
            ("CONSUMER.INFO", 4) => "consumer_info",
            ("CONSUMER.DELETE", 4) => "consumer_delete",
            ("CONSUMER.NAMES", 3) => "consumer_names",
            ("CONSUMER.LIST", 3) => "consumer_list",
            ("CONSUMER.PAUSE", 4) if version.has_level_1() => "consumer_pause",
            _ => return None,
        };
        match self.gate(kind, request) {
            Gate::Open => {}
            Gate::Silent => return None,
            Gate::Refused(error) => return Some((kind, Err(error))),
        }
        // The one request whose body is read before this is looked at.
        let early = kind != "consumer_create";
        if let Some(error) = required_level(request).err().filter(|_| early) {
            return Some((kind, Err(error)));
        }
        if let "stream_purge" | "stream_msg_delete" | "stream_update" = kind
            && let Some(name) = gate::stream_of(kind, request.subject)
            && let Some(stream) = self.streams.get_mut(name)
        {
            stream.flush(request.now, out);
        }
        let answer = match kind {
            "account_info" => Ok(self.account_info(request)),
            "stream_create" => self.create_stream(name, request),
            "stream_update" => self.update_stream(name, request),
            "stream_info" => self.stream_info(name, request),
            "stream_delete" => self.delete_stream(name, request, out),
            "stream_purge" => self.purge_stream(name, request),
            "stream_names" => self.stream_names(request),
            "stream_list" => self.stream_list(request),
            "stream_msg_get" => self.get_message(token(request.subject, 6), request),
            "stream_msg_delete" => self.delete_message(token(request.subject, 6), request),
            "consumer_create" => self.create_consumer(request, router),
            "consumer_info" => self.consumer_info(name, token(request.subject, 6), request, router),
            "consumer_delete" => {
                self.delete_consumer(name, token(request.subject, 6), request, out)
            }
            "consumer_pause" => self.pause_consumer(name, token(request.subject, 6), request),
            "consumer_names" => self.consumer_names(name, request),
            _ => self.consumer_list(name, request, router),
        };
        Some((kind, answer))
    }

    fn account_info(&self, request: &Request<'_>) -> Writer {
        let version = request.now.version;
        let consumers: usize = self
            .streams
            .values()
            .map(|stream| stream.consumers.len())
            .sum();
        let consumers = consumers + self.hidden_consumers();
        let used = |memory: bool| -> u64 {
            let all = self.streams.values();
            let of_kind = all.filter(|stream| stream.is_in_memory() == memory);
            of_kind.map(|stream| stream.store.bytes()).sum()
        };
        let mut limits = Writer::object();
        for name in [
            "max_memory",
            "max_storage",
            "max_streams",
            "max_consumers",
            "max_ack_pending",
            "memory_max_stream_bytes",
            "storage_max_stream_bytes",
        ] {
            limits.number(name, -1);
        }
        limits.bool("max_bytes_required", false);
        let mut api = Writer::object();
        if let Some(level) = version.api_level() {
            api.number("level", level);
        }
        api.number("total", self.requests)
            .number("errors", self.errors);
        let mut out = begin("account_info");
        out.number("memory", used(true))
            .number("storage", used(false))
            .number("reserved_memory", self.reserved(true, version))
            .number("reserved_storage", self.reserved(false, version))
            .number("streams", self.streams.len())
            .number("consumers", consumers)
            .raw("limits", &limits.end())
            .some_text("domain", self.domain())
            .raw("api", &api.end());
        out
    }

    /// The `max_bytes` of all streams; 2.10 counts "no limit" as -1 and shows it without sign.
    fn reserved(&self, memory: bool, version: Version) -> u64 {
        let of_kind = self
            .streams
            .values()
            .filter(|stream| stream.is_in_memory() == memory);
        let bytes = of_kind.map(|stream| stream.config.max_bytes);
        if version == Version::V2_10 {
            return bytes.fold(0, i64::wrapping_add).cast_unsigned();
        }
        bytes.filter_map(|bytes| u64::try_from(bytes).ok()).sum()
    }

    fn domain(&self) -> &str {
        self.domain.as_deref().unwrap_or_default()
    }

    fn found(&self, name: &str) -> Result<&Stream, ApiError> {
        self.streams.get(name).ok_or(ApiError::STREAM_NOT_FOUND)
    }

    fn stream(&mut self, name: &str) -> Result<&mut Stream, ApiError> {
        self.streams.get_mut(name).ok_or(ApiError::STREAM_NOT_FOUND)
    }
}

/// Refuses what asks for a higher level than this server has.
fn required_level(request: &Request<'_>) -> Result<(), ApiError> {
    if !request.now.version.has_level_2() {
        return Ok(());
    }
    let Some(asked) = header::text(request.headers, "Nats-Required-Api-Level") else {
        return Ok(());
    };
    let level = request.now.version.api_level().unwrap_or(0);
    match asked.parse::<u32>() {
        Ok(asked) if asked <= level => Ok(()),
        Ok(_) | Err(_) => Err(ApiError::REQUIRED_API_LEVEL),
    }
}

/// Begins an answer.
fn begin(kind: &str) -> Writer {
    let mut out = Writer::object();
    out.text_of("type", &[TYPE, kind, "_response"]);
    out
}

/// An error, with the members that this kind of answer always has.
pub(super) fn failed(kind: &str, error: &ApiError) -> String {
    let mut out = begin(kind);
    out.raw("error", &error.json());
    match kind {
        "stream_info" => {
            page(&mut out, 0, 0, 0);
        }
        "stream_names" => {
            page(&mut out, 0, 0, 0).raw("streams", "null");
        }
        "stream_list" => {
            page(&mut out, 0, 0, 0).raw("streams", "[]");
        }
        "consumer_names" | "consumer_list" => {
            page(&mut out, 0, 0, 0).raw("consumers", "[]");
        }
        "stream_purge" => {
            out.number("purged", 0);
        }
        "consumer_pause" => {
            out.bool("paused", false).time("pause_until", None);
        }
        _ => {}
    }
    out.end()
}

fn page(out: &mut Writer, total: usize, offset: usize, limit: usize) -> &mut Writer {
    out.number("total", total)
        .number("offset", offset)
        .number("limit", limit)
}
