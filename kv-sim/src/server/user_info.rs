//! `$SYS.REQ.USER.INFO`: who a client is, and what it may do.

use bytes::Bytes;

use super::Cluster;
use super::api::CLUSTER;
use super::auth::{Permissions, Subjects};
use super::connection::{ConnId, Connection};
use super::json::Writer;
use super::stream::Outgoing;
use super::version::Version;

/// Where to ask.
pub(super) const SUBJECT: &[u8] = b"$SYS.REQ.USER.INFO";
const ACCOUNT: &str = "$G";

impl Cluster {
    /// Answers a client that asks about itself.
    pub(super) fn tell_user(&mut self, conn: ConnId, reply: &Bytes) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        if reply.is_empty() {
            return;
        }
        self.told_users += 1;
        let mut out = Writer::object();
        out.raw("server", &self.server_json(connection.server))
            .raw("data", &user_json(connection, self.config.version));
        self.outbox.push_back(Outgoing::answer(reply, out.end()));
    }

    fn server_json(&self, server: usize) -> String {
        let version = self.config.version;
        let mut out = Writer::object();
        let Some(at) = self.servers.get(server) else {
            return out.end();
        };
        out.text("name", &at.name)
            .text("host", "127.0.0.1")
            .text("id", &at.id);
        if self.servers.len() > 1 {
            out.text("cluster", CLUSTER);
        }
        out.some_text("domain", self.config.domain.as_deref().unwrap_or_default());
        out.text("ver", version.number());
        if let Some(flags) = feature_flags(version, self.config.wide_replies) {
            out.raw("feature_flags", &flags);
        }
        out.bool("jetstream", self.config.jetstream)
            .number("flags", if version == Version::V2_10 { 3 } else { 7 })
            .number("seq", self.told_users)
            .time("time", Some(self.moment().time));
        out.end()
    }
}

fn feature_flags(version: Version, wide_replies: bool) -> Option<String> {
    let flags: &[(&str, bool)] = match version {
        Version::V2_10 | Version::V2_11 | Version::V2_12 => return None,
        Version::V2_14 => &[
            ("js_ack_fc_v2", wide_replies),
            ("js_raft_delete_range", false),
        ],
        Version::V2_15 => &[
            ("js_ack_fc_v2", wide_replies),
            ("js_api_reply_v2", false),
            ("js_raft_delete_range", true),
            ("js_snapshot_sources", false),
        ],
    };
    let mut out = Writer::object();
    for (name, on) in flags {
        out.bool(name, *on);
    }
    Some(out.end())
}

fn user_json(connection: &Connection, version: Version) -> String {
    let options = &connection.options;
    let user = if options.user.is_empty() && !options.token.is_empty() {
        "[REDACTED]"
    } else {
        &options.user
    };
    let mut out = Writer::object();
    out.text("user", user).text("account", ACCOUNT);
    if version.has_level_2() {
        out.text("account_name", ACCOUNT);
    }
    let Permissions { publish, subscribe } = &connection.permissions;
    let open = |subjects: &Subjects| subjects.allow.is_empty() && subjects.deny.is_empty();
    if !open(publish) || !open(subscribe) {
        let mut both = Writer::object();
        both.raw("publish", &subjects_json(publish))
            .raw("subscribe", &subjects_json(subscribe));
        out.raw("permissions", &both.end());
    }
    out.end()
}

fn subjects_json(subjects: &Subjects) -> String {
    let mut out = Writer::object();
    out.some_texts("allow", &subjects.allow)
        .some_texts("deny", &subjects.deny);
    out.end()
}
