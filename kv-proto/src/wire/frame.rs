//! What a server says, borrowed from the bytes it came in.

/// One operation of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the protocol's verbs are fixed, and whoever reads them must handle each"
)]
pub enum ServerOp<'a> {
    /// `INFO`: the JSON text, surrounding blanks dropped. Read it with
    /// [`ServerInfo::parse`](super::ServerInfo::parse).
    Info(&'a [u8]),
    /// `MSG` or `HMSG`: a delivery.
    Message(Message<'a>),
    /// `PING`: to be answered with `PONG`.
    Ping,
    /// `PONG`: the answer to our `PING`.
    Pong,
    /// `+OK`: only a server in verbose mode says it.
    Ok,
    /// `-ERR`: the text without its single quotes; empty if there is none.
    Err(&'a [u8]),
}

/// A message delivered to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The subject it was published to; any bytes but blank, TAB, CR and LF.
    pub subject: &'a [u8],
    /// The subscription it is for.
    pub sid: u64,
    /// Where a reply is expected.
    pub reply: Option<&'a [u8]>,
    /// The header block as its publisher wrote it, never empty. Read it with
    /// [`Headers::parse`](super::Headers::parse).
    pub headers: Option<&'a [u8]>,
    /// The payload.
    pub payload: &'a [u8],
}
