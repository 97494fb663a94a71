//! How the bytes of servers are read that no public function shows, for fuzz
//! targets alone: no part of the interface of this crate.
//!
//! What was read is returned in the words of the server, so that it can be
//! held against its text by somebody who knows nothing of the parsers.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ServerError;
use crate::js::account::AccountInfo;
use crate::js::consumer::ConsumerInfo;
use crate::js::delivery::{self, Notice};
use crate::js::message::{ApiReply, PublishReply, StoredMessage};
use crate::js::purge::Purged;
use crate::js::stream::{StreamInfo, StreamList, StreamNames, Success};
use crate::limits;
use crate::wire::{Headers, JsonError};

/// The position of a delivered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "for fuzz targets")]
pub struct Delivery<'a> {
    /// The name of the consumer.
    pub consumer: &'a [u8],
    /// The sequence of the message in its stream.
    pub stream_seq: u64,
    /// The consumer's count of deliveries.
    pub consumer_seq: u64,
    /// When the message was stored, in nanoseconds since 1970.
    pub stored: i64,
    /// How many messages follow.
    pub pending: u64,
}

/// Reads the reply subject of a delivered message.
#[must_use]
pub fn delivery(reply: &[u8]) -> Option<Delivery<'_>> {
    let read = delivery::Delivery::parse(reply)?;
    Some(Delivery {
        consumer: read.consumer,
        stream_seq: read.stream_seq,
        consumer_seq: read.consumer_seq,
        stored: read.stored.as_unix_nanos(),
        pending: read.pending,
    })
}

/// What a heartbeat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "for fuzz targets")]
pub struct Heartbeat<'a> {
    /// The consumer sequence of the last message.
    pub last_consumer: u64,
    /// The stream sequence behind which the consumer looks next.
    pub last_stream: u64,
    /// The flow control request that it waits for.
    pub stalled: Option<&'a [u8]>,
}

/// Reads a header block as a heartbeat, if it is one.
#[must_use]
pub fn heartbeat<'a>(headers: &Headers<'a>) -> Option<Heartbeat<'a>> {
    match delivery::notice(headers)? {
        Notice::Heartbeat {
            last_consumer,
            last_stream,
            stalled,
        } => Some(Heartbeat {
            last_consumer,
            last_stream,
            stalled,
        }),
        Notice::FlowControl | Notice::Other(_) => None,
    }
}

/// What is asked for: each has a reply of its own shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "for fuzz targets")]
pub enum Asked {
    /// A publish.
    Publish,
    /// A stream.
    Stream,
    /// A page of streams.
    Streams,
    /// A page of names of streams.
    Names,
    /// A consumer.
    Consumer,
    /// A stored message.
    Message,
    /// The removal of messages.
    Purge,
    /// The removal of a stream or consumer.
    Delete,
    /// The account.
    Account,
}

impl Asked {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Publish,
        Self::Stream,
        Self::Streams,
        Self::Names,
        Self::Consumer,
        Self::Message,
        Self::Purge,
        Self::Delete,
        Self::Account,
    ];
}

/// The most bytes that a reply takes in memory while it is read, times its own
/// length.
pub const GROWTH: usize = limits::JSON_GROWTH;

/// Reads a reply: what was asked for, or the error that was answered.
///
/// # Errors
///
/// [`JsonError`] when it is neither.
pub fn reply(asked: Asked, payload: &[u8]) -> Result<Result<Value, ServerError>, JsonError> {
    match asked {
        Asked::Publish => Ok(match PublishReply::parse(payload)? {
            PublishReply::Ack {
                stream,
                domain,
                seq,
                duplicate,
            } => Ok(json!({
                "stream": stream, "domain": domain, "seq": seq, "duplicate": duplicate,
            })),
            PublishReply::Error(error) => Err(error),
        }),
        Asked::Stream => read(payload, stream),
        Asked::Streams => read(payload, |list: StreamList| {
            let streams: alloc::vec::Vec<Value> = list.streams.into_iter().map(stream).collect();
            json!({
                "total": list.total, "offset": list.offset, "streams": streams,
                "missing": list.missing,
            })
        }),
        Asked::Names => read(
            payload,
            |names: StreamNames| json!({ "total": names.total, "offset": names.offset, "streams": names.streams }),
        ),
        Asked::Consumer => read(payload, |info: ConsumerInfo| {
            json!({
                "name": info.name,
                "delivered": {
                    "consumer_seq": info.delivered.consumer_seq,
                    "stream_seq": info.delivered.stream_seq,
                },
                "num_pending": info.num_pending,
            })
        }),
        Asked::Message => Ok(StoredMessage::parse(payload)?.into_result().map(
            |message| json!({ "message": { "subject": message.subject, "seq": message.seq } }),
        )),
        Asked::Purge => read(
            payload,
            |purged: Purged| json!({ "success": purged.success, "purged": purged.purged }),
        ),
        Asked::Delete => read(
            payload,
            |reply: Success| json!({ "success": reply.success }),
        ),
        Asked::Account => read(
            payload,
            |account: AccountInfo| json!({ "api": { "level": account.api_level() } }),
        ),
    }
}

fn read<'a, T: Deserialize<'a>>(
    payload: &'a [u8],
    show: impl Fn(T) -> Value,
) -> Result<Result<Value, ServerError>, JsonError> {
    let reply = ApiReply::<T>::parse(payload)?;
    Ok(reply.into_result().map(show))
}

fn stream(info: StreamInfo) -> Value {
    let (config, state) = (&info.config.fields, &info.state);
    json!({
        "config": {
            "name": config.name,
            "description": config.description,
            "subjects": config.subjects,
            "retention": config.retention,
            "max_msgs": config.max_msgs,
            "max_bytes": config.max_bytes,
            "max_age": config.max_age,
            "max_msgs_per_subject": config.max_msgs_per_subject,
            "max_msg_size": config.max_msg_size,
            "discard": config.discard,
            "storage": config.storage,
            "num_replicas": config.num_replicas,
            "duplicate_window": config.duplicate_window,
            "compression": config.compression,
            "allow_direct": config.allow_direct,
            "mirror_direct": config.mirror_direct,
            "sealed": config.sealed,
            "deny_delete": config.deny_delete,
            "deny_purge": config.deny_purge,
            "allow_rollup_hdrs": config.allow_rollup_hdrs,
            "metadata": config.metadata,
            "allow_msg_ttl": config.allow_msg_ttl,
            "subject_delete_marker_ttl": config.subject_delete_marker_ttl,
        },
        "created": info.created_text,
        "state": {
            "messages": state.messages,
            "bytes": state.bytes,
            "first_seq": state.first_seq,
            "last_seq": state.last_seq,
            "num_subjects": state.num_subjects,
            "subjects": state.subjects,
            "num_deleted": state.num_deleted,
            "consumer_count": state.consumer_count,
        },
        "domain": info.domain,
    })
}
