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

/// Most events about the connection that are kept for whoever reads them late.
pub const MAX_CONNECTION_EVENTS: usize = 128;

/// Longest text of a server or transport in such an event, in bytes.
pub const MAX_EVENT_TEXT: usize = 512;

/// Frames up to this size are copied out of the read buffer, so that a value
/// which is kept pins at most [`PINNED`] times its own size.
pub const COPY_THRESHOLD: usize = 16 * 1024;

/// How much more than itself a value can keep alive that was not copied: a
/// read buffer has at most 64 KiB or twice the frame.
pub const PINNED: usize = 4;

/// Largest answer of the JetStream API that is looked into, in bytes. A page
/// of 256 streams has 400 KiB without metadata.
pub const MAX_API_REPLY: usize = 4 * 1024 * 1024;

/// Most sources of a bucket that are looked at.
pub const MAX_SOURCES: usize = 1_024;

/// How much larger than its text an answer can be while it is looked into: a
/// list of small objects, `{"":0},{"":0},…`, each of which is a map.
pub(crate) const JSON_GROWTH: usize = 160;

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
///     max_watches: 16,
///     max_watch_bytes: 256 * 1024,
///     max_floor_bytes: 256 * 1024,
///     ..Limits::default()
/// };
/// assert!(small.worst_case_bytes() < 24 * 1024 * 1024);
/// ```
///
/// New fields can come in any version: end a literal with `..Limits::default()`.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// acknowledged, and of the filters of watches. Default 64 MiB.
    pub max_pending_bytes: usize,
    /// Most bytes of results that were received and not yet taken.
    /// Default 64 MiB.
    pub max_result_bytes: usize,
    /// Most watches and listings that exist at the same time; more are
    /// [`Refused::Full`](crate::Refused::Full). Default 1,024.
    pub max_watches: usize,
    /// Most bytes of entries that wait for the readers of all watches, what
    /// holds an entry included; one message may go beyond it. When it is
    /// reached, the watch that holds most gives back the newest half of it,
    /// pauses, and asks for it again later: nothing is lost. Default 64 MiB.
    pub max_watch_bytes: usize,
    /// Most bytes of what is known of keys, so that reads never go back: enough for some 100,000 keys of
    /// 30 bytes. Of what does not fit, the keys that were read and written longest ago are forgotten; a read
    /// of a key that may be one of them asks the leader more often. Default 16 MiB.
    pub max_floor_bytes: usize,
}

/// What one operation takes beside its key, value and result: its place in
/// the table, a reply slot on each link, two timers, its places in two queues
/// (each in a vector that doubles), and the text of an error.
const PER_OP: usize = 8 * 1024;

/// What one watch takes beside what waits for its reader: its place in the
/// tables, its options, timers, the requests that keep it alive, and the one
/// request that a removal of tombstones always has room for.
const PER_WATCH: usize = 32 * 1024;

/// What a session takes beside all that grows: itself, 256 discovered servers
/// while they are merged, the events about its connection, each with a text and
/// the address of a server, and the smallest capacities of its queues.
const FIXED: usize = 1024 * 1024 + MAX_CONNECTION_EVENTS * 2 * (MAX_EVENT_TEXT + MAX_SERVER_URL);

impl Limits {
    /// Returns a bound in bytes on everything that a session holds at any
    /// time, together with the read buffers that its embedder keeps for it.
    ///
    /// Each link counts a read buffer that grew to twice its largest frame, an
    /// outbox of [`COPY_THRESHOLD`]-sized chunks and one message beyond it, and
    /// two `INFO` lines. Kept results can pin [`PINNED`] times their size.
    #[must_use]
    pub fn worst_case_bytes(&self) -> usize {
        let times = usize::saturating_mul;
        let sum = |parts: &[usize]| {
            let parts = parts.iter().copied();
            parts.fold(0, usize::saturating_add)
        };
        let frame = sum(&[
            self.max_message.max(self.max_info_line),
            self.max_control_line,
            crate::session::READ_AHEAD,
        ]);
        let link = sum(&[
            times(2, frame),
            times(4, crate::out::HIGH_WATER),
            self.max_message,
            times(4, self.max_info_line),
        ]);
        let answer = self
            .max_message
            .max(times(JSON_GROWTH, self.max_message.min(MAX_API_REPLY)));
        sum(&[
            times(MAX_LINKS, link),
            answer,
            times(2, self.max_pending_bytes),
            times(PINNED, self.max_result_bytes),
            times(PINNED, sum(&[self.max_watch_bytes, self.max_message])),
            times(self.max_watches, PER_WATCH),
            times(self.max_ops, PER_OP),
            self.max_floor_bytes,
            FIXED,
        ])
    }

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
            max_result_bytes: 64 * 1024 * 1024,
            max_watches: 1_024,
            max_watch_bytes: 64 * 1024 * 1024,
            max_floor_bytes: 16 * 1024 * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_allows_everything_is_told_so() {
        let limits = Limits {
            max_info_line: usize::MAX,
            max_control_line: usize::MAX,
            max_message: usize::MAX,
            max_ops: usize::MAX,
            max_pending_bytes: usize::MAX,
            max_result_bytes: usize::MAX,
            max_watches: usize::MAX,
            max_watch_bytes: usize::MAX,
            max_floor_bytes: usize::MAX,
            ..Limits::default()
        };
        assert_eq!(limits.worst_case_bytes(), usize::MAX);
    }
}
