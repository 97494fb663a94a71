//! The `err_code` numbers that something here branches on.

/// Account resource limits exceeded.
pub(crate) const ACCOUNT_RESOURCES: u32 = 10_002;
/// Incomplete results.
pub(crate) const INCOMPLETE_RESULTS: u32 = 10_004;
/// JetStream system temporarily unavailable: no meta leader.
pub(crate) const CLUSTER_NOT_AVAILABLE: u32 = 10_008;
/// The server that answers does not lead the cluster.
pub(crate) const CLUSTER_NOT_LEADER: u32 = 10_009;
/// A consumer of that name delivers to another subject.
pub(crate) const CONSUMER_NAME_IN_USE: u32 = 10_013;
/// Consumer not found.
pub(crate) const CONSUMER_NOT_FOUND: u32 = 10_014;
/// Insufficient resources.
pub(crate) const INSUFFICIENT_RESOURCES: u32 = 10_023;
/// Invalid JSON, since 2.12 also for a field that the server does not know.
pub(crate) const INVALID_JSON: u32 = 10_025;
/// Maximum number of consumers reached.
pub(crate) const MAXIMUM_CONSUMERS: u32 = 10_026;
/// Maximum number of streams reached.
pub(crate) const MAXIMUM_STREAMS: u32 = 10_027;
/// Insufficient memory.
pub(crate) const INSUFFICIENT_MEMORY: u32 = 10_028;
/// Account not found.
pub(crate) const NO_ACCOUNT: u32 = 10_035;
/// No message found.
pub(crate) const NO_MESSAGE: u32 = 10_037;
/// JetStream not enabled for the account.
pub(crate) const NOT_ENABLED_FOR_ACCOUNT: u32 = 10_039;
/// Insufficient storage.
pub(crate) const INSUFFICIENT_STORAGE: u32 = 10_047;
/// Invalid stream configuration.
pub(crate) const INVALID_STREAM_CONFIG: u32 = 10_052;
/// Message size exceeds the maximum allowed.
pub(crate) const MESSAGE_TOO_LARGE: u32 = 10_054;
/// Message delete not permitted: `deny_delete`.
pub(crate) const DELETE_NOT_PERMITTED: u32 = 10_057;
/// Stream name in use with another configuration.
pub(crate) const STREAM_NAME_IN_USE: u32 = 10_058;
/// Stream not found.
pub(crate) const STREAM_NOT_FOUND: u32 = 10_059;
/// Expected stream does not match.
pub(crate) const STREAM_MISMATCH: u32 = 10_060;
/// Wrong last sequence, with the sequence found.
pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10_071;
/// More than one replica on a server without a cluster.
pub(crate) const REPLICAS_NOT_SUPPORTED: u32 = 10_074;
/// JetStream not enabled.
pub(crate) const NOT_ENABLED: u32 = 10_076;
/// The store refused or failed.
pub(crate) const STORE_FAILED: u32 = 10_077;
/// Header block larger than 64 KiB.
pub(crate) const HEADER_TOO_LARGE: u32 = 10_097;
/// The stream is sealed.
pub(crate) const SEALED: u32 = 10_109;
/// Roll-up not permitted, or a bad value of the header.
pub(crate) const ROLLUP_FAILED: u32 = 10_111;
/// The server that holds the consumer is down.
pub(crate) const CONSUMER_OFFLINE: u32 = 10_119;
/// `max_bytes` above the limit of the account.
pub(crate) const MAX_BYTES_ABOVE_ACCOUNT: u32 = 10_122;
/// A consumer of that name exists with another configuration.
pub(crate) const CONSUMER_ALREADY_EXISTS: u32 = 10_148;
/// A message of the same id is being stored.
pub(crate) const DUPLICATE_IN_PROCESS: u32 = 10_158;
/// The expected sequence cannot be checked at the moment.
pub(crate) const SEQUENCE_CHECK_UNAVAILABLE: u32 = 10_163;
/// Wrong last sequence, found against a write in flight: no number.
pub(crate) const WRONG_LAST_SEQUENCE_IN_FLIGHT: u32 = 10_164;
/// Invalid TTL.
pub(crate) const TTL_INVALID: u32 = 10_165;
/// TTL on a stream that does not allow it.
pub(crate) const TTL_DISABLED: u32 = 10_166;
/// Too many requests.
pub(crate) const TOO_MANY_REQUESTS: u32 = 10_167;
/// The API level that the request requires is not supported.
pub(crate) const REQUIRED_API_LEVEL: u32 = 10_185;
/// The consumer is offline, with the reason.
pub(crate) const CONSUMER_OFFLINE_REASON: u32 = 10_195;
/// Too many atomic batches in flight.
pub(crate) const TOO_MANY_BATCHES: u32 = 10_210;
