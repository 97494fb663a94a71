//! The subjects of the JetStream API.

use alloc::format;
use alloc::string::String;

use crate::name::BucketName;

/// The prefix of all of them.
pub(crate) const API: &str = "$JS.API.";
pub(crate) const ACCOUNT_INFO: &str = "$JS.API.INFO";
pub(crate) const STREAM_CREATE: &str = "$JS.API.STREAM.CREATE.";
pub(crate) const STREAM_UPDATE: &str = "$JS.API.STREAM.UPDATE.";
pub(crate) const STREAM_INFO: &str = "$JS.API.STREAM.INFO.";
pub(crate) const STREAM_DELETE: &str = "$JS.API.STREAM.DELETE.";
pub(crate) const STREAM_NAMES: &str = "$JS.API.STREAM.NAMES";
pub(crate) const STREAM_LIST: &str = "$JS.API.STREAM.LIST";
pub(crate) const STREAM_MSG_GET: &str = "$JS.API.STREAM.MSG.GET.";
pub(crate) const STREAM_PURGE: &str = "$JS.API.STREAM.PURGE.";
pub(crate) const CONSUMER_CREATE: &str = "$JS.API.CONSUMER.CREATE.";
pub(crate) const CONSUMER_INFO: &str = "$JS.API.CONSUMER.INFO.";
pub(crate) const CONSUMER_DELETE: &str = "$JS.API.CONSUMER.DELETE.";
pub(crate) const DIRECT_GET: &str = "$JS.API.DIRECT.GET.";

/// The prefix of the streams that are buckets (ADR-8).
pub(crate) const STREAM_PREFIX: &str = "KV_";

/// The stream of a bucket.
pub(crate) fn stream_of(bucket: &BucketName) -> String {
    format!("{STREAM_PREFIX}{bucket}")
}
