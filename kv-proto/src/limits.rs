//! Every bound on what a session holds, and the arithmetic of the worst case.
//!
//! A limit that a server can push against ends the link with a
//! [`ProtocolError`](crate::ProtocolError); a limit that the embedder can push
//! against is answered with a [`Refused`](crate::Refused). Nothing grows past
//! them, from the first byte received.

/// Longest `INFO` line in bytes. Real ones with hundreds of `connect_urls` stay
/// below 20 KiB.
pub const MAX_INFO_LINE: usize = 64 * 1024;

/// Longest other control line. Servers accept 4 KiB by default, but an account
/// mapping can lengthen the subject of a delivery.
pub const MAX_CONTROL_LINE: usize = 8 * 1024;

/// Largest header block: JetStream stores at most 64 KiB, and a direct get
/// adds a few lines to what is stored.
pub const MAX_HEADER_BYTES: usize = 68 * 1024;

/// Most header lines in one block.
pub const MAX_HEADER_LINES: usize = 1_024;

/// Largest message (headers and payload): the server's own ceiling. The
/// announced `max_payload` is only a hint, as another server of the cluster
/// may allow more.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// Most servers kept from `connect_urls`.
pub const MAX_DISCOVERED_SERVERS: usize = 256;

/// Longest `host:port` accepted from `connect_urls`.
pub const MAX_SERVER_URL: usize = 256;

/// Deepest nesting of JSON that is looked into.
pub const MAX_JSON_DEPTH: usize = 32;

/// Most links that can live at the same moment: the one in use, one that
/// drains, one that is being established.
pub const MAX_LINKS: usize = 3;

/// Payloads up to this size are copied out of the read buffer, so that a small
/// value which is kept does not pin the 64 KiB it arrived in.
pub const COPY_THRESHOLD: usize = 512;

/// How much a session may hold.
///
/// ```
/// use kv_proto::Limits;
///
/// let small = Limits {
///     max_ops: 64,
///     max_pending_bytes: 256 * 1024,
///     max_result_bytes: 256 * 1024,
///     max_message: 64 * 1024,
///     ..Limits::default()
/// };
/// assert!(small.worst_case_bytes() < 4 * 1024 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest `INFO` line accepted, in bytes. Default [`MAX_INFO_LINE`].
    pub max_info_line: usize,
    /// Longest other control line accepted, in bytes. Default [`MAX_CONTROL_LINE`].
    pub max_control_line: usize,
    /// Largest header block accepted, in bytes. Default [`MAX_HEADER_BYTES`].
    pub max_header_bytes: usize,
    /// Most header lines accepted in one block. Default [`MAX_HEADER_LINES`].
    pub max_header_lines: usize,
    /// Largest message accepted, headers and payload together, in bytes.
    /// Default [`MAX_MESSAGE`].
    pub max_message: usize,
    /// Most operations that exist at the same time: waiting, in flight, or
    /// ended and not yet taken. Default 16,384.
    pub max_ops: usize,
    /// Most bytes of values and frames that wait to be written or
    /// acknowledged. Default 64 MiB.
    pub max_pending_bytes: usize,
    /// Most bytes of results that were received and not yet taken.
    /// Default 128 MiB.
    pub max_result_bytes: usize,
}

impl Limits {
    /// What is accepted of a server before the login: it has nothing to
    /// deliver yet, so nothing large.
    pub(crate) fn before_login(&self) -> Self {
        Self {
            max_message: 0,
            max_header_bytes: 0,
            ..self.clone()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_info_line: MAX_INFO_LINE,
            max_control_line: MAX_CONTROL_LINE,
            max_header_bytes: MAX_HEADER_BYTES,
            max_header_lines: MAX_HEADER_LINES,
            max_message: MAX_MESSAGE,
            max_ops: 16 * 1024,
            max_pending_bytes: 64 * 1024 * 1024,
            max_result_bytes: 128 * 1024 * 1024,
        }
    }
}
