//! Purges through the stream: unlike the purge marker of a key, they leave
//! nothing behind, and what they remove is gone for good.
//!
//! So a purge never says more than it must: it is bounded by a revision or by
//! a number of messages to keep, because a value that was written since its
//! sender last looked is not its sender's to remove.

use alloc::string::ToString;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

/// The reply to a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Purged {
    pub(crate) success: bool,
    /// How many messages it removed.
    pub(crate) purged: u64,
}

/// The body of a purge of all messages of a subject before a revision.
///
/// Nothing is before revision 1, but servers read a `seq` of 0 or 1 as "without
/// bound" and remove everything; those ask for nothing to be removed instead.
pub(crate) fn purge_before(subject: &str, revision_exclusive: u64) -> Bytes {
    if revision_exclusive < 2 {
        return purge_keeping(subject, u64::MAX);
    }
    let body = json!({ "filter": subject, "seq": revision_exclusive });
    Bytes::from(body.to_string())
}

fn purge_keeping(subject: &str, count: u64) -> Bytes {
    Bytes::from(json!({ "filter": subject, "keep": count }).to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::message::ApiReply;
    use super::*;

    #[test]
    fn bodies_are_what_servers_read() {
        assert_eq!(
            purge_before("$KV.B.x", 3),
            r#"{"filter":"$KV.B.x","seq":3}"#
        );
        assert_eq!(
            purge_before("$KV.B.x", 1),
            r#"{"filter":"$KV.B.x","keep":18446744073709551615}"#
        );
    }

    proptest! {
        /// No purge is without a filter, or without a bound: a `seq` of 0 or 1
        /// is none, and neither is a `keep` of 0; both together are refused.
        #[test]
        fn every_purge_is_bounded(
            subject in "\\PC{1,12}",
            revision in prop_oneof![0..4_u64, any::<u64>()],
        ) {
            let body: Value = serde_json::from_slice(&purge_before(&subject, revision)).expect("JSON");
            prop_assert_eq!(&body["filter"], &subject);
            match (body["seq"].as_u64(), body["keep"].as_u64()) {
                (Some(seq), None) => prop_assert!(seq == revision && seq >= 2),
                (None, Some(keep)) => prop_assert!(keep >= 1 && revision < 2),
                both => prop_assert!(false, "{:?}", both),
            }
        }
    }

    #[test]
    fn replies_parse() {
        let purged = |success, purged| ApiReply::Success(Purged { success, purged });
        let text = br#"{"type":"io.nats.jetstream.api.v1.stream_purge_response","success":true,"purged":3}"#;
        assert_eq!(ApiReply::<Purged>::parse(text), Ok(purged(true, 3)));
        assert_eq!(ApiReply::<Purged>::parse(b"{}"), Ok(purged(false, 0)));
        assert!(ApiReply::<Purged>::parse(br#"{"success":true,"purged":-1}"#).is_err());
        let text =
            br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"},"success":false,"purged":0}"#;
        let reply = ApiReply::<Purged>::parse(text).expect("a reply");
        assert!(
            reply
                .into_result()
                .is_err_and(|error| error.is_stream_not_found())
        );
    }
}
