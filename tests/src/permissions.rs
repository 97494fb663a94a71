//! The least that a user must be allowed, as the manual says it: its words become the configuration of servers.

const MANUAL: &str = include_str!("../../kv-proto/src/manual/permissions.md");

/// A subject that the manual says must be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permission {
    /// The subject, for the bucket that was asked for.
    pub subject: String,
    /// Without it everything works, as far as a look tells.
    pub optional: bool,
    /// It is to be subscribed to, and not published to.
    pub subscribe: bool,
}

/// All that is needed to read, write and manage a bucket; of all buckets, if it is named `*`.
#[must_use]
pub fn least_permissions(bucket: &str) -> Vec<Permission> {
    let (mut permissions, mut subscribe) = (Vec::new(), false);
    let mut fenced = false;
    for line in MANUAL.lines() {
        match line {
            "```text" => fenced = true,
            "```" => fenced = false,
            "publish:" => subscribe = false,
            "subscribe:" => subscribe = true,
            _ if !fenced => {}
            line => {
                let Some(rest) = line
                    .strip_prefix("  ")
                    .filter(|rest| !rest.starts_with(' '))
                else {
                    continue; // the words of the line before go on
                };
                let (subject, words) = rest.split_once(' ').unwrap_or((rest, ""));
                let stream = if bucket == "*" {
                    "*".to_owned()
                } else {
                    format!("KV_{bucket}")
                };
                permissions.push(Permission {
                    subject: subject
                        .replace("KV_config", &stream)
                        .replace("$KV.config.", &format!("$KV.{bucket}.")),
                    optional: words.trim_start().starts_with("optional"),
                    subscribe,
                });
            }
        }
    }
    permissions
}

/// The same for buckets behind a domain or another prefix, such as `$JS.hub.API`.
#[must_use]
pub fn least_permissions_behind(api: &str, bucket: &str) -> Vec<Permission> {
    let behind = |mut permission: Permission| {
        let subject = &permission.subject;
        if let Some(call) = subject.strip_prefix("$JS.API.") {
            permission.subject = format!("{api}.{call}");
        } else if subject.starts_with("$KV.") {
            permission.subject = format!("{api}.{subject}");
        }
        permission
    };
    let permissions = least_permissions(bucket).into_iter();
    permissions.map(behind).collect()
}

/// The permissions as part of a server's configuration.
#[must_use]
pub fn permissions_config<'a>(permissions: impl IntoIterator<Item = &'a Permission>) -> String {
    let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
    for permission in permissions {
        let list = if permission.subscribe {
            &mut subscribe
        } else {
            &mut publish
        };
        list.push(format!("{:?}", permission.subject));
    }
    let (publish, subscribe) = (publish.join(", "), subscribe.join(", "));
    format!("publish: {{allow: [{publish}]}}, subscribe: {{allow: [{subscribe}]}}")
}
