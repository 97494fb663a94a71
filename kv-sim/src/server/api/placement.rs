//! What answers tell about the servers of a stream.

use super::{JetStream, Request};
use crate::server::json::Writer;
use crate::server::stream::Stream;

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
        let leader = stream.group.leader().map(|leader| self.peers.name(leader));
        out.text("name", CLUSTER);
        out.some_text("leader", leader.unwrap_or_default());
        if !stream.group.is_replicated() {
            return out.end();
        }
        let followers = stream.group.followers();
        let shown = followers.map(|(server, up, current, lag)| {
            let mut one = Writer::object();
            one.text("name", self.peers.name(server))
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
}
