//! The JetStream domain of the servers: the subjects that name it, and where answers do.
//!
//! A server with a domain takes the calls of its API below `$JS.<domain>.API`, too, and writes to buckets
//! below that. It renames them before anything else, permissions included, and only what it knows: a call
//! that it does not know is nobody's.

use bytes::Bytes;

use super::api::PREFIX;

/// What is renamed, with all that is below where it ends in a dot.
const CALLS: [&str; 7] = [
    "INFO",
    "STREAM.",
    "CONSUMER.",
    "DIRECT.",
    "META.",
    "SERVER.",
    "ACCOUNT.",
];
const STORES: [&str; 2] = ["$KV.", "$OBJ."];

/// Renames a subject that is below a domain.
pub(super) fn renamed(subject: &Bytes, domain: &str) -> Option<Bytes> {
    let text = std::str::from_utf8(subject).ok()?;
    let rest = text.strip_prefix("$JS.")?.strip_prefix(domain)?;
    let rest = rest.strip_prefix(".API.")?;
    let is_below = |one: &&str| {
        let below = rest.strip_prefix(*one);
        below.is_some_and(|below| one.ends_with('.') != below.is_empty())
    };
    if STORES.iter().any(is_below) {
        return Some(subject.slice_ref(rest.as_bytes()));
    }
    let call = CALLS.iter().any(is_below);
    call.then(|| Bytes::from(format!("{PREFIX}{rest}")))
}

/// What wide reply subjects have before the stream's name: the domain and the account.
pub(super) fn place(domain: Option<&str>) -> String {
    format!("{}.szMpdrwD.", domain.unwrap_or("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_renamed() {
        let renamed = |subject: &'static str| {
            let renamed = renamed(&Bytes::from_static(subject.as_bytes()), "hub");
            renamed.map(|one| String::from_utf8_lossy(&one).into_owned())
        };
        let to = |subject: &str| Some(subject.to_owned());
        assert_eq!(renamed("$JS.hub.API.INFO"), to("$JS.API.INFO"));
        let info = "$JS.hub.API.STREAM.INFO.KV_b";
        assert_eq!(renamed(info), to("$JS.API.STREAM.INFO.KV_b"));
        assert_eq!(renamed("$JS.hub.API.$KV.b.k"), to("$KV.b.k"));
        for other in [
            "$JS.API.INFO",
            "$JS.leaf.API.INFO",
            "$JS.hubs.API.INFO",
            "$JS.hub.API",
            "$JS.hub.API.",
            "$JS.hub.API.INFO.x",
            "$JS.hub.API.STREAM",
            "$JS.hub.API.STREAM.",
            "$JS.hub.API.FOO",
            "$JS.hub.API.$KV",
            "$KV.b.k",
        ] {
            assert_eq!(renamed(other), None, "{other}");
        }
    }
}
