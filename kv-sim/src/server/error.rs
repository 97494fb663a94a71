//! JetStream API errors: code, error code and text as the real server writes them.

use std::borrow::Cow;

use super::json::Writer;

/// One error of the JetStream API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) err_code: u16,
    pub(crate) description: Cow<'static, str>,
}

impl ApiError {
    const fn fixed(code: u16, err_code: u16, description: &'static str) -> Self {
        let description = Cow::Borrowed(description);
        Self {
            code,
            err_code,
            description,
        }
    }

    fn told(code: u16, err_code: u16, description: impl Into<Cow<'static, str>>) -> Self {
        let description = description.into();
        Self {
            code,
            err_code,
            description,
        }
    }

    /// An error that the simulation makes up.
    pub(crate) fn new(code: u16, err_code: u16, description: &'static str) -> Self {
        Self::fixed(code, err_code, description)
    }

    /// Whether a stream has no room.
    pub(crate) fn is_store_full(&self) -> bool {
        self.err_code == 10077
    }

    /// The value of `error` in an answer.
    pub(crate) fn json(&self) -> String {
        let mut out = Writer::object();
        out.number("code", self.code)
            .number("err_code", self.err_code)
            .text("description", &self.description);
        out.end()
    }

    pub(crate) fn invalid_config(why: impl Into<Cow<'static, str>>) -> Self {
        Self::told(500, 10052, why)
    }

    pub(crate) fn invalid_json(why: &str, explained: bool) -> Self {
        if explained {
            return Self::told(400, 10025, format!("invalid JSON: {why}"));
        }
        Self::fixed(400, 10025, "invalid JSON")
    }

    pub(crate) fn wrong_last_sequence(actual: u64) -> Self {
        Self::told(400, 10071, format!("wrong last sequence: {actual}"))
    }

    pub(crate) fn wrong_last_msg_id(actual: &str) -> Self {
        Self::told(400, 10070, format!("wrong last msg ID: {actual}"))
    }

    pub(crate) fn rollup_failed(why: impl Into<Cow<'static, str>>) -> Self {
        Self::told(500, 10111, why)
    }

    pub(crate) fn store_failed(why: &'static str) -> Self {
        Self::told(503, 10077, why)
    }

    pub(crate) fn sequence_not_found(seq: u64) -> Self {
        Self::told(400, 10043, format!("sequence {seq} not found"))
    }

    pub(crate) fn msg_delete_failed(why: &'static str) -> Self {
        Self::told(500, 10057, why)
    }

    pub(crate) fn purge_failed(why: &'static str) -> Self {
        Self::told(500, 10110, why)
    }

    pub(crate) fn invalid_policy(why: String) -> Self {
        Self::told(400, 10094, why)
    }

    pub(crate) fn consumer_create(why: &'static str) -> Self {
        Self::told(500, 10012, why)
    }

    pub(crate) fn create_failed(why: String) -> Self {
        Self::told(500, 10049, why)
    }

    pub(crate) fn update_failed(why: String) -> Self {
        Self::told(500, 10069, why)
    }

    pub(crate) fn transform_source(source: &str) -> Self {
        let text = format!("stream transform source: invalid subject {source}");
        Self::told(400, 10155, text)
    }

    pub(crate) fn transform_destination(why: &str) -> Self {
        Self::told(400, 10156, format!("stream transform: {why}"))
    }

    pub(crate) fn external_overlap(prefix: &str) -> Self {
        let text = format!("stream external api prefix {prefix} must not overlap with $JS.API");
        Self::told(400, 10021, text)
    }

    pub(crate) fn external_delivery_overlap(prefix: &str, subject: &str) -> Self {
        let text = format!(
            "stream external delivery prefix {prefix} overlaps with stream subject {subject}"
        );
        Self::told(400, 10022, text)
    }

    pub(crate) fn external_delivery(prefix: &str) -> Self {
        let text = format!("stream external delivery prefix {prefix} must not contain wildcards");
        Self::told(400, 10024, text)
    }

    /// About the mappings of a mirror or of sources, in words of that kind.
    pub(crate) fn mapping(err_code: u16, text: String) -> Self {
        Self::told(400, err_code, text)
    }

    pub(crate) fn batch_too_large(max: u64) -> Self {
        let text = format!("atomic publish batch is too large: {max}");
        Self::told(400, 10199, text)
    }

    pub(crate) fn batch_header(header: &str) -> Self {
        let text = format!("atomic publish unsupported header used: {header}");
        Self::told(400, 10177, text)
    }

    pub(crate) fn limits_violate_consumers(names: &[&str]) -> Self {
        let text = format!("change to limits violates consumers: {}", names.join(", "));
        Self::told(500, 10069, text)
    }

    pub(crate) fn description_too_long(max: usize) -> Self {
        let text = format!("consumer description is too long, maximum allowed is {max}");
        Self::told(400, 10107, text)
    }

    pub(crate) fn metadata_length() -> Self {
        Self::fixed(
            400,
            10135,
            "consumer metadata exceeds maximum size of 128KB",
        )
    }

    pub(crate) fn consumer_name_too_long(max: usize) -> Self {
        let text = format!("consumer name is too long, maximum allowed is {max}");
        Self::told(400, 10102, text)
    }

    pub(crate) fn invalid_sampling(text: &str, why: &str) -> Self {
        let text = format!(
            "failed to parse consumer sampling configuration: strconv.Atoi: parsing {text:?}: {why}"
        );
        Self::told(400, 10095, text)
    }

    pub(crate) fn inactive_threshold(limit: &str) -> Self {
        let text = format!("consumer inactive threshold exceeds system limit of {limit}");
        Self::told(400, 10153, text)
    }

    pub(crate) fn max_ack_pending(limit: i64) -> Self {
        let text = format!("consumer max ack pending exceeds system limit of {limit}");
        Self::told(400, 10121, text)
    }
}

macro_rules! errors {
    ($($name:ident = $code:literal, $err_code:literal, $text:literal;)*) => {
        impl ApiError {
            $(pub(crate) const $name: Self = Self::fixed($code, $err_code, $text);)*
        }
    };
}

errors! {
    BAD_REQUEST = 400, 10003, "bad request";
    NO_SUITABLE_PEERS = 400, 10005, "no suitable peers for placement";
    UNAVAILABLE = 503, 10008, "JetStream system temporarily unavailable";
    CONSUMER_NAME_IN_USE = 400, 10013, "consumer name already in use";
    CONSUMER_NOT_FOUND = 404, 10014, "consumer not found";
    DURABLE_MISMATCH = 400, 10017, "consumer name in subject does not match durable name in request";
    DURABLE_NOT_SET = 400, 10018, "consumer expected to be durable but a durable name was not set";
    EPHEMERAL_WITH_DURABLE_NAME = 400, 10020, "consumer expected to be ephemeral but a durable name was set in request";
    MAXIMUM_CONSUMERS = 400, 10026, "maximum consumers limit reached";
    NO_MESSAGE_FOUND = 404, 10037, "no message found";
    NOT_EMPTY_REQUEST = 400, 10038, "expected an empty request payload";
    MIRROR_MAX_SIZE = 400, 10030, "stream mirror must have max message size >= source";
    MIRROR_WITH_SOURCES = 400, 10031, "stream mirrors can not also contain other sources";
    MIRROR_WITH_SUBJECTS = 400, 10034, "stream mirrors can not contain subjects";
    SOURCE_MAX_SIZE = 400, 10046, "stream source must have max message size >= target";
    MIRROR_NOT_UPDATABLE = 400, 10055, "stream mirror configuration can not be updated";
    TOO_LARGE = 400, 10054, "message size exceeds maximum allowed";
    STREAM_MISMATCH = 400, 10056, "stream name in subject does not match request";
    STREAM_NAME_IN_USE = 400, 10058, "stream name already in use with a different configuration";
    STREAM_NOT_FOUND = 404, 10059, "stream not found";
    EXPECTED_STREAM = 400, 10060, "expected stream does not match";
    SUBJECTS_OVERLAP = 400, 10065, "subjects overlap with an existing stream";
    REPLICAS_STANDALONE = 500, 10074, "replicas > 1 not supported in non-clustered mode";
    DELIVER_WILDCARD = 400, 10079, "consumer deliver subject has wildcards";
    PUSH_MAX_WAITING = 400, 10080, "consumer in push mode can not set max waiting";
    DELIVER_CYCLE = 400, 10081, "consumer deliver subject forms a cycle";
    MAX_PENDING_ACK_POLICY = 400, 10082, "consumer requires ack policy for max ack pending";
    SMALL_HEARTBEAT = 400, 10083, "consumer idle heartbeat needs to be >= 100ms";
    PULL_NEEDS_ACK = 400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream";
    PULL_NEEDS_ACK_2_10 = 400, 10084, "consumer in pull mode requires ack policy";
    PULL_RATE_LIMIT = 400, 10086, "consumer in pull mode can not have rate limit set";
    PULL_MAX_WAITING = 400, 10087, "consumer max waiting needs to be positive";
    HEARTBEAT_NEEDS_PUSH = 400, 10088, "consumer idle heartbeat requires a push based consumer";
    FLOW_CONTROL_NEEDS_PUSH = 400, 10089, "consumer flow control requires a push based consumer";
    DIRECT_NEEDS_PUSH = 400, 10090, "consumer direct requires a push based consumer";
    HEADER_TOO_LARGE = 400, 10097, "header size exceeds maximum allowed of 64k";
    FLOW_CONTROL_NEEDS_HEARTBEAT = 400, 10108, "consumer with flow control also needs heartbeats";
    SEALED = 400, 10109, "invalid operation on sealed stream";
    BAD_DELIVER_SUBJECT = 400, 10112, "invalid push consumer deliver subject";
    MAX_BATCH_NEGATIVE = 400, 10114, "consumer max request batch needs to be > 0";
    MAX_EXPIRES_SMALL = 400, 10115, "consumer max request expires needs to be >= 1ms";
    MAX_DELIVER_BACKOFF = 400, 10116, "max deliver is required to be > length of backoff values";
    STREAM_OFFLINE = 500, 10118, "stream is offline";
    CONSUMER_OFFLINE = 500, 10119, "consumer is offline";
    CONSUMER_REPLICAS = 400, 10126, "consumer config replica count exceeds parent stream";
    CONSUMER_NAME_SEPARATORS = 400, 10127, "Consumer name can not contain path separators";
    STREAM_NAME_SEPARATORS = 400, 10128, "Stream name can not contain path separators";
    FILTER_MISMATCH = 400, 10131, "Consumer create request did not match filtered subject from create subject";
    NAME_MISMATCH = 400, 10132, "Consumer Durable and Name have to be equal if both are provided";
    REPLICAS_NEGATIVE = 400, 10133, "replicas count cannot be negative";
    BOTH_FILTERS = 400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified";
    FILTERS_IN_SUBJECT = 400, 10137, "consumer with multiple subject filters cannot use subject based API";
    FILTERS_OVERLAP = 400, 10138, "consumer subject filters cannot overlap";
    FILTER_EMPTY = 400, 10139, "consumer filter in FilterSubjects cannot be empty";
    SOURCE_DUPLICATE = 400, 10140, "duplicate source configuration detected";
    SOURCE_NAME = 400, 10141, "sourced stream name is invalid";
    MIRROR_NAME = 400, 10142, "mirrored stream name is invalid";
    MIRROR_FIRST_SEQ = 400, 10143, "stream mirrors can not have first sequence configured";
    SOURCE_FILTERS = 400, 10144, "source with multiple subject transforms cannot also have a single subject filter";
    SOURCE_OVERLAP = 400, 10147, "source filters can not overlap";
    MIRROR_FILTERS = 400, 10150, "mirror with multiple subject transforms cannot also have a single subject filter";
    MIRROR_OVERLAP = 400, 10152, "mirror subject filters can not overlap";
    DIRECT_NEEDS_EPHEMERAL = 400, 10091, "consumer direct requires an ephemeral consumer";
    QUEUE_NEEDS_ACKS = 400, 10098, "workqueue stream requires explicit ack";
    QUEUE_HAS_UNFILTERED = 400, 10099, "multiple non-filtered consumers not allowed on workqueue stream";
    QUEUE_NOT_UNIQUE = 400, 10100, "filtered consumer not unique on workqueue stream";
    QUEUE_NEEDS_ALL = 400, 10101, "consumer must be deliver all on workqueue stream";
    REPLICAS_SHOULD_MATCH = 400, 10134, "consumer config replicas must match interest retention stream's replicas";
    ACK_WAIT_NEGATIVE = 400, 10183, "consumer ack wait needs to be positive";
    BACKOFF_NEGATIVE = 400, 10184, "consumer backoff needs to be positive";
    CONSUMER_EXISTS = 400, 10148, "consumer already exists";
    CONSUMER_DOES_NOT_EXIST = 400, 10149, "consumer does not exist";
    DUPLICATE_IN_PROCESS = 409, 10158, "duplicate message id is in process";
    WRONG_LAST_SEQUENCE_IN_FLIGHT = 400, 10164, "wrong last sequence";
    TTL_INVALID = 400, 10165, "invalid per-message TTL";
    TTL_DISABLED = 400, 10166, "per-message TTL is disabled";
    INCR_DISABLED = 400, 10168, "message counters is disabled";
    MIRROR_WITH_COUNTERS = 400, 10173, "stream mirrors can not also calculate counters";
    ATOMIC_DISABLED = 400, 10174, "atomic publish is disabled";
    BATCH_SEQUENCE_MISSING = 400, 10175, "atomic publish sequence is missing";
    BATCH_INCOMPLETE = 400, 10176, "atomic publish batch is incomplete";
    BATCH_ID_INVALID = 400, 10179, "atomic publish batch ID is invalid";
    REQUIRED_API_LEVEL = 412, 10185, "JetStream minimum api level required";
    CAS_SUBJECT_ALONE = 400, 10193, "missing sequence for expected last sequence per subject";
    MIRROR_WITH_ATOMIC = 400, 10198, "stream mirrors can not also use atomic publishing";
    BATCH_COMMIT_INVALID = 400, 10200, "atomic publish batch commit is invalid";
    BATCH_DUPLICATE = 400, 10201, "atomic publish batch contains duplicate message id";
    BATCHES_TOO_MANY = 429, 10210, "atomic publish too many inflight";
    SOURCE_HEADER = 400, 10227, "message stream source header is not allowed";
}
