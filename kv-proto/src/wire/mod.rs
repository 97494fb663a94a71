//! The wire: bytes to frames and frames to bytes, without any state of a
//! connection.
//!
//! ```text
//!   server's bytes --Decoder--> Frame { ServerOp, len } --Headers, ServerInfo--> typed values
//!   client's ops   --publish_head, subscribe, connect ..--> BytesMut
//! ```
//!
//! Two kinds of damage are kept apart. What breaks the *framing* (an unknown
//! verb, a size beyond the limits, a payload without its end) is a
//! [`ProtocolError`]: nobody can tell where the next frame starts, so the link
//! is over. What breaks the *content* of one message (a header block is
//! relayed verbatim from its publisher, so it may hold anything) is a
//! [`HeaderDefect`] of that message, and the link goes on.
//!
//! Nothing here panics on remote bytes, allocates by announced sizes, or reads
//! a byte more than a fixed number of times.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod connect;
mod decode;
mod encode;
mod error;
mod frame;
mod headers;
mod info;
pub(crate) mod json;
mod line;

pub use connect::{ConnectOptions, connect};
pub use decode::{Decoder, Frame, decode_frame};
pub use encode::{
    CRLF, Header, HeaderValue, header_block_len, ping, pong, publish_head, subscribe, unsubscribe,
};
pub use error::ProtocolError;
pub use frame::{Message, ServerOp};
pub use headers::{Fields, HeaderDefect, Headers, Status};
pub use info::{ServerInfo, ServerVersion};
pub use json::{JsonError, JsonErrorKind};
pub(crate) use line::decimal;
