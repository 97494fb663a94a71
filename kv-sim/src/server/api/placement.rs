//! What answers tell about the servers of a stream.

use super::{JetStream, Request};
use crate::server::consumer::Consumer;
use crate::server::json::Writer;
use crate::server::peers::Peers;
use crate::server::stream::Stream;
use crate::server::stream::group::Group;

/// The name of every simulated cluster.
pub(crate) const CLUSTER: &str = "sim";
/// How long ago a follower was heard of, as far as anybody can tell.
const ACTIVE_NANOS: u64 = 1_000_000;

impl JetStream {
    /// The `cluster` of an answer about a stream; a lone server calls itself by its id.
    pub(super) fn cluster_json(&self, stream: &Stream, request: &Request<'_>) -> String {
        let mut out = Writer::object();
        if !self.peers.is_cluster() {
            out.text("leader", request.server_id);
            return out.end();
        }
        described(&self.peers, &stream.group, stream.group.leader(), true)
    }
}

/// The `cluster` of an answer about a consumer.
pub(super) fn of_consumer(peers: &Peers, group: &Group, consumer: &Consumer) -> Option<String> {
    let replicated = consumer.is_replicated();
    peers
        .is_cluster()
        .then(|| described(peers, group, Some(consumer.home), replicated))
}

fn described(peers: &Peers, group: &Group, leader: Option<usize>, replicated: bool) -> String {
    let mut out = Writer::object();
    let name = leader.map_or("", |leader| peers.name(leader));
    out.text("name", CLUSTER).some_text("leader", name);
    if !replicated || !group.is_replicated() {
        return out.end();
    }
    let shown = group.followers(leader).map(|(server, up, current, lag)| {
        let mut one = Writer::object();
        one.text("name", peers.name(server))
            .bool("current", current)
            .some_bool("offline", !up)
            .number("active", ACTIVE_NANOS)
            .some_number("lag", lag)
            .text("peer", &format!("peer{server:04}"));
        one.end()
    });
    let shown: Vec<String> = shown.collect();
    out.raw("replicas", &format!("[{}]", shown.join(",")));
    out.end()
}
