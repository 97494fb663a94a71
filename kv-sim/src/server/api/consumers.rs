//! CONSUMER.CREATE in its forms, INFO, DELETE, NAMES and LIST.

use kv_proto::Timestamp;

use super::placement::of_consumer;
use super::streams::PageRequest;
use super::{Answer, JetStream, Request, begin, page, required_level};
use crate::server::consumer::config::{Action, CreateRequest};
use crate::server::consumer::{Consumer, Site};
use crate::server::decode::{is_empty, is_structured, request as decode};
use crate::server::error::ApiError;
use crate::server::json::{Writer, texts};
use crate::server::look::MadeConsumer;
use crate::server::router::Router;
use crate::server::stream::config::MAX_NAME;
use crate::server::stream::{Outbox, nanos_between};
use crate::server::subject::token;
use crate::server::version::Version;

const NAMES_LIMIT: usize = 1024;
const LIST_LIMIT: usize = 256;
/// Names that a server makes up have this many letters.
const NAME_LENGTH: usize = 8;

/// What the subject of a create request says.
#[derive(Debug)]
struct Addressed<'a> {
    stream: &'a str,
    name: Option<&'a str>,
    durable: bool,
    filter: &'a str,
}

fn addressed(subject: &str) -> Addressed<'_> {
    if token(subject, 4) == "DURABLE" {
        return Addressed {
            stream: token(subject, 6),
            name: Some(token(subject, 7)),
            durable: true,
            filter: "",
        };
    }
    let mut parts = subject.splitn(7, '.').skip(4);
    Addressed {
        stream: parts.next().unwrap_or_default(),
        name: parts.next(),
        durable: false,
        filter: parts.next().unwrap_or_default(),
    }
}

impl JetStream {
    pub(super) fn create_consumer(&mut self, request: &Request<'_>, router: &Router) -> Answer {
        let now = request.now;
        let version = now.version;
        let mut asked = decode(
            version,
            request.body,
            "server.CreateConsumerRequest",
            |out: &mut CreateRequest, name, json, read| out.member(name, json, read, version),
        )?;
        required_level(request)?;
        let addressed = addressed(request.subject);
        check_address(&addressed, &mut asked, version)?;
        if asked.config.replicas > 1 && !self.peers.is_cluster() {
            return Err(ApiError::REPLICAS_STANDALONE);
        }
        let stream = self
            .streams
            .get_mut(&asked.stream)
            .ok_or(ApiError::STREAM_NOT_FOUND)?;
        let mut config = asked.config;
        let known = addressed.name.and_then(|name| stream.consumers.get(name));
        if let Some(existing) = known.filter(|_| version.has_level_1()) {
            config.pause_until = existing.config.pause_until; // only CONSUMER.PAUSE changes it
        }
        config.stamp(version);
        config.fill(&stream.config, version);
        config.check(&stream.config, version)?;

        let name = if config.is_durable() {
            config.durable.clone()
        } else {
            config.name.clone()
        };
        let unique = stream.check_unique(&config, &name);
        if let Some(existing) = stream.consumers.get_mut(&name) {
            if asked.action == Action::Create {
                let mut same = config.clone();
                same.name.clone_from(&existing.config.name);
                if same != existing.config {
                    return Err(ApiError::CONSUMER_EXISTS);
                }
            }
            unique?;
            let interest = router.has_interest(existing.config.deliver_subject.as_bytes());
            config.check_update(&existing.config, interest, version)?;
            let store = stream.group.store_at(existing.home, &stream.store);
            existing.update(config, store, now, &mut self.rng);
            existing.look_at_requests(router, now.instant);
            // The answer is made before the consumer learns who listens to a new subject.
            let cluster = of_consumer(&self.peers, &stream.group, existing);
            let info = existing.created_json(store, now, cluster.as_deref());
            let (deliver, group) = existing.listeners();
            let bound = router.has_literal(deliver, group);
            existing.set_interest(bound, now.instant);
            return Ok(described("consumer_create", info));
        }
        if asked.action == Action::Update {
            return Err(ApiError::CONSUMER_DOES_NOT_EXIST);
        }
        let limit = usize::try_from(stream.config.max_consumers)
            .ok()
            .filter(|max| *max > 0)
            .or(version.default_max_consumers());
        if limit.is_some_and(|max| stream.consumers.len() >= max) {
            return Err(ApiError::MAXIMUM_CONSUMERS);
        }
        stream.check_queue(&config, &name, version)?;
        let name = if name.is_empty() {
            self.rng.name(NAME_LENGTH)
        } else {
            name
        };
        if name.len() > MAX_NAME && config.is_durable() {
            return Err(ApiError::consumer_name_too_long(MAX_NAME));
        }
        let bound = router.has_literal(config.deliver_subject.as_bytes(), &config.deliver_group);
        // Any of the stream's servers runs it, and reads its own replica.
        let home = self.peers.pick(&stream.group.live_servers());
        let home = home.or(stream.group.leader()).unwrap_or_default();
        let store = stream.group.store_at(home, &stream.store);
        let site = Site {
            stream: &stream.config,
            store,
            habits: &self.habits,
        };
        let mut consumer = Consumer::new(config, name.clone(), site, bound, now, &mut self.rng);
        consumer.home = home;
        let cluster = of_consumer(&self.peers, &stream.group, &consumer);
        let shared = stream.group.is_replicated() && consumer.is_replicated();
        let info = consumer.first_info_json(store, now, shared, cluster.as_deref());
        stream.lost_consumers.remove(&name);
        self.made.push_back(MadeConsumer {
            by: request.conn,
            stream: asked.stream,
            name: name.clone(),
            deliver: consumer.config.deliver_subject.clone(),
        });
        stream.consumers.insert(name, consumer);
        Ok(described("consumer_create", info))
    }

    pub(super) fn consumer_info(
        &mut self,
        stream: &str,
        name: &str,
        request: &Request<'_>,
        router: &Router,
    ) -> Answer {
        if !is_empty(request.body) {
            return Err(ApiError::NOT_EMPTY_REQUEST);
        }
        let found = self.streams.get_mut(stream);
        let stream = found.ok_or(ApiError::STREAM_NOT_FOUND)?;
        if self.peers.is_cluster() && stream.lost_consumers.contains_key(name) {
            return Err(ApiError::CONSUMER_OFFLINE);
        }
        let consumer = stream
            .consumers
            .get_mut(name)
            .ok_or(ApiError::CONSUMER_NOT_FOUND)?;
        consumer.look_at_requests(router, request.now.instant);
        let cluster = of_consumer(&self.peers, &stream.group, consumer);
        let store = stream.group.store_at(consumer.home, &stream.store);
        let info = consumer.info_json(store, request.now, true, cluster.as_deref());
        Ok(described("consumer_info", info))
    }

    pub(super) fn delete_consumer(
        &mut self,
        stream: &str,
        name: &str,
        request: &Request<'_>,
        out: &mut Outbox,
    ) -> Answer {
        if !is_empty(request.body) {
            return Err(ApiError::NOT_EMPTY_REQUEST);
        }
        let stream = self.stream(stream)?;
        let lost = stream.lost_consumers.remove(name).is_some();
        let deleted = stream.consumers.remove(name);
        if deleted.is_none() && !lost {
            return Err(ApiError::CONSUMER_NOT_FOUND);
        }
        if let Some(mut consumer) = deleted {
            consumer.release(out);
            stream.drop_orphaned(consumer.floor());
        }
        let mut out = begin("consumer_delete");
        out.bool("success", true);
        Ok(out)
    }

    /// Lets a consumer deliver nothing before a moment, or go on at once.
    pub(super) fn pause_consumer(
        &mut self,
        stream: &str,
        name: &str,
        request: &Request<'_>,
    ) -> Answer {
        let now = request.now;
        let until = if is_structured(request.body) {
            decode(
                now.version,
                request.body,
                "server.JSApiConsumerPauseRequest",
                |out: &mut Option<Timestamp>, name, json, read| {
                    name == "pause_until" && read.time(json, out)
                },
            )?
        } else {
            None
        };
        let found = self.streams.get_mut(stream);
        let stream = found.ok_or(ApiError::STREAM_NOT_FOUND)?;
        let consumer = stream
            .consumers
            .get_mut(name)
            .ok_or(ApiError::CONSUMER_NOT_FOUND)?;
        let mut config = consumer.config.clone();
        config.pause_until = until;
        config.stamp(now.version);
        let store = stream.group.store_at(consumer.home, &stream.store);
        consumer.update(config, store, now, &mut self.rng);
        let mut out = begin("consumer_pause");
        let paused = until.filter(|end| now.time < *end);
        out.bool("paused", paused.is_some())
            .time("pause_until", until);
        if let Some(end) = paused {
            out.number("pause_remaining", nanos_between(now.time, end));
        }
        Ok(out)
    }

    pub(super) fn consumer_names(&mut self, stream: &str, request: &Request<'_>) -> Answer {
        let asked = PageRequest::read(request, &["offset"])?;
        let stream = self.stream(stream)?;
        let total = stream.consumers.len();
        let start = asked.start(total);
        let names = stream.consumers.keys().skip(start).take(NAMES_LIMIT);
        let names: Vec<String> = names.cloned().collect();
        let mut out = begin("consumer_names");
        page(&mut out, total, start, NAMES_LIMIT).raw("consumers", &texts(&names));
        Ok(out)
    }

    pub(super) fn consumer_list(
        &mut self,
        stream: &str,
        request: &Request<'_>,
        router: &Router,
    ) -> Answer {
        let asked = PageRequest::read(request, &["offset"])?;
        let clustered = self.peers.is_cluster();
        let Some(stream) = self.streams.get_mut(stream) else {
            if !clustered {
                return Err(ApiError::STREAM_NOT_FOUND);
            }
            let mut out = begin("consumer_list");
            page(&mut out, 0, 0, LIST_LIMIT).raw("consumers", "[]");
            return Ok(out);
        };
        let total = stream.consumers.len();
        let start = asked.start(total);
        let shown = stream.consumers.values_mut().skip(start).take(LIST_LIMIT);
        let infos = shown.map(|consumer| {
            consumer.look_at_requests(router, request.now.instant);
            let cluster = of_consumer(&self.peers, &stream.group, consumer);
            let store = stream.group.store_at(consumer.home, &stream.store);
            let info = consumer.info_json(store, request.now, false, cluster.as_deref());
            info.end()
        });
        let infos: Vec<String> = infos.collect();
        let total = if infos.is_empty() && clustered {
            0
        } else {
            total
        };
        let mut out = begin("consumer_list");
        page(&mut out, total, start, LIST_LIMIT)
            .raw("consumers", &format!("[{}]", infos.join(",")));
        Ok(out)
    }
}

/// Holds the body of a create request against its subject.
fn check_address(
    at: &Addressed<'_>,
    asked: &mut CreateRequest,
    version: Version,
) -> Result<(), ApiError> {
    if at.stream != asked.stream {
        return Err(ApiError::STREAM_MISMATCH);
    }
    let name = at.name.unwrap_or(&asked.config.name);
    if name.contains(['\\', '/']) {
        return Err(ApiError::CONSUMER_NAME_SEPARATORS);
    }
    let durable = &asked.config.durable;
    match at.name {
        Some(_) if at.durable && durable.is_empty() => return Err(ApiError::DURABLE_NOT_SET),
        Some(name) if !durable.is_empty() && name != durable => {
            return Err(ApiError::DURABLE_MISMATCH);
        }
        Some(_) if at.durable && !version.names_durables() => {}
        Some(name) => name.clone_into(&mut asked.config.name),
        None if !durable.is_empty() => return Err(ApiError::EPHEMERAL_WITH_DURABLE_NAME),
        None => {}
    }
    if !at.filter.is_empty() && !asked.config.filter_subjects.is_empty() {
        return Err(ApiError::FILTERS_IN_SUBJECT);
    }
    if !at.filter.is_empty() && asked.config.filter_subject != at.filter {
        return Err(ApiError::FILTER_MISMATCH);
    }
    Ok(())
}

fn described(kind: &str, info: Writer) -> Writer {
    let mut out = begin(kind);
    out.extend(info);
    out
}
