//! Counters.

/// What a session did since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were ready; the first one is no reconnection.
    pub connects: u64,
    /// Connections of those that have ended, in whatever way: by moves to other
    /// servers and by the end of the session too.
    pub disconnects: u64,
    /// Attempts to connect that have failed.
    pub failed_attempts: u64,
    /// Times that a server refused the credentials, or no longer accepted them.
    pub authentication_failures: u64,
    /// Errors that servers reported (`-ERR`), whether or not they ended a
    /// connection.
    pub server_errors: u64,
    /// Servers that announced their shutdown.
    pub lame_ducks: u64,
    /// Protocol frames received.
    pub frames_in: u64,
    /// Bytes of those frames.
    pub bytes_in: u64,
    /// Requests encoded.
    pub frames_out: u64,
    /// Bytes of those requests.
    pub bytes_out: u64,
    /// Messages that nobody waited for: late or doubled replies.
    pub stray_messages: u64,
    /// Replies to reads that were older than what this client knew, and were asked for again.
    pub stale_replies: u64,
    /// Replies to reads that a leader was asked about, because it was forgotten how much this client knew.
    pub vague_replies: u64,
    /// Replies to reads that came from another stream than the bucket's, and were not known to be as good.
    pub foreign_replies: u64,
    /// Times that what was known of a bucket's keys no longer held: it had begun anew, or lost its end.
    pub floors_dropped: u64,
    /// Times a server broke the protocol.
    pub protocol_errors: u64,
}
