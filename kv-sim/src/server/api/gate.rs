//! Whether anybody answers a request at all, when servers are down or a stream has no leader.

use super::{JetStream, Request};
use crate::server::error::ApiError;
use crate::server::stream::group::Standing;
use crate::server::subject::token;

/// What becomes of a request before anybody looks at it.
#[derive(Debug)]
pub(super) enum Gate {
    Open,
    Silent,
    Refused(ApiError),
}

impl JetStream {
    pub(super) fn gate(&mut self, kind: &str, request: &Request<'_>) -> Gate {
        if !self.peers.is_cluster() {
            return Gate::Open;
        }
        if is_for_meta_leader(kind) && !self.peers.has_meta_leader() {
            return Gate::Refused(ApiError::UNAVAILABLE);
        }
        let Some(name) = stream_of(kind, request.subject) else {
            return Gate::Open;
        };
        let Some(stream) = self.streams.get(name) else {
            return if looks_first(kind) {
                Gate::Refused(ApiError::STREAM_NOT_FOUND)
            } else {
                Gate::Open
            };
        };
        let election = stream.group.has_election();
        match stream.group.standing() {
            Standing::Led => Gate::Open,
            Standing::Stalled if is_read(kind) => Gate::Open,
            Standing::Stalled => Gate::Silent,
            Standing::Offline if kind == "stream_info" => Gate::Refused(ApiError::STREAM_OFFLINE),
            Standing::Offline => Gate::Silent,
            // Without a majority the replicas themselves tell what they have.
            Standing::Leaderless if kind == "stream_info" && !election => Gate::Open,
            Standing::Leaderless
                if kind == "stream_msg_get"
                    && stream.answers_as_old_leader(request.now.instant) =>
            {
                Gate::Open
            }
            Standing::Leaderless if election && self.peers.coin() => Gate::Silent,
            Standing::Leaderless => Gate::Refused(ApiError::UNAVAILABLE),
        }
    }
}

/// The cluster's leader answers these.
fn is_for_meta_leader(kind: &str) -> bool {
    matches!(
        kind,
        "account_info"
            | "stream_create"
            | "stream_update"
            | "stream_delete"
            | "stream_names"
            | "stream_list"
            | "consumer_create"
            | "consumer_delete"
    )
}

/// With these the cluster's leader looks for the stream before anybody reads the request.
fn looks_first(kind: &str) -> bool {
    matches!(
        kind,
        "stream_info" | "stream_purge" | "stream_msg_get" | "stream_msg_delete"
    )
}

/// These change nothing, so that a leader needs nobody for them.
fn is_read(kind: &str) -> bool {
    matches!(
        kind,
        "stream_info" | "stream_msg_get" | "consumer_info" | "consumer_names" | "consumer_list"
    )
}

/// The existing stream that a request needs.
pub(super) fn stream_of<'a>(kind: &str, subject: &'a str) -> Option<&'a str> {
    match kind {
        "account_info" | "stream_create" | "stream_names" | "stream_list" | "stream_delete" => None,
        "stream_msg_get" | "stream_msg_delete" => Some(token(subject, 6)),
        "consumer_create" if token(subject, 4) == "DURABLE" => Some(token(subject, 6)),
        _ => Some(token(subject, 5)),
    }
}
