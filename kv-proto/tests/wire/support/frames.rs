//! Frames that own their bytes, how a stream of them is decoded, and how a
//! server writes them. The fuzz targets use the same.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

use kv_proto::wire::{CRLF, Decoder, Message, ServerOp};
use kv_proto::{Limits, ProtocolError};

/// A [`ServerOp`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Info(Vec<u8>),
    Message {
        subject: Vec<u8>,
        sid: u64,
        reply: Option<Vec<u8>>,
        headers: Option<Vec<u8>>,
        payload: Vec<u8>,
    },
    Ping,
    Pong,
    Ok,
    Err(Vec<u8>),
}

impl From<ServerOp<'_>> for Op {
    fn from(op: ServerOp<'_>) -> Self {
        match op {
            ServerOp::Info(json) => Self::Info(json.to_vec()),
            ServerOp::Message(Message {
                subject,
                sid,
                reply,
                headers,
                payload,
            }) => Self::Message {
                subject: subject.to_vec(),
                sid,
                reply: reply.map(<[u8]>::to_vec),
                headers: headers.map(<[u8]>::to_vec),
                payload: payload.to_vec(),
            },
            ServerOp::Ping => Self::Ping,
            ServerOp::Pong => Self::Pong,
            ServerOp::Ok => Self::Ok,
            ServerOp::Err(text) => Self::Err(text.to_vec()),
        }
    }
}

/// All that a decoder finds in a stream: the frames with the offset behind
/// each, and the error that ended it. What follows the last offset is either
/// incomplete or wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome<E> {
    pub frames: Vec<(Op, usize)>,
    pub error: Option<E>,
}

impl<E> Outcome<E> {
    pub fn consumed(&self) -> usize {
        self.frames.last().map_or(0, |(_, end)| *end)
    }
}

/// Decodes a stream that arrives in chunks which end at the given offsets,
/// and at its own end.
pub fn decode_cut(
    stream: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> Outcome<ProtocolError> {
    let mut outcome = Outcome {
        frames: Vec::new(),
        error: None,
    };
    let mut decoder = Decoder::new();
    let mut start = 0;
    for end in cuts.into_iter().chain([stream.len()]) {
        loop {
            match decoder.next(&stream[start..end], limits) {
                Ok(Some(frame)) => {
                    assert!((1..=end - start).contains(&frame.len));
                    start += frame.len;
                    outcome.frames.push((frame.op.into(), start));
                }
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error);
                    return outcome;
                }
            }
        }
    }
    outcome
}

pub fn decode_whole(stream: &[u8], limits: &Limits) -> Outcome<ProtocolError> {
    decode_cut(stream, [], limits)
}

/// What a server writes for an operation.
pub fn server_bytes(op: &Op) -> Vec<u8> {
    match op {
        Op::Ping => b"PING\r\n".to_vec(),
        Op::Pong => b"PONG\r\n".to_vec(),
        Op::Ok => b"+OK\r\n".to_vec(),
        Op::Info(json) => [b"INFO ", &json[..], b" \r\n"].concat(),
        Op::Err(text) => [b"-ERR '", &text[..], b"'\r\n"].concat(),
        Op::Message {
            subject,
            sid,
            reply,
            headers,
            payload,
        } => {
            let sid = sid.to_string();
            let verb = if headers.is_some() { "HMSG" } else { "MSG" };
            let mut line = vec![verb.as_bytes(), subject, sid.as_bytes()];
            line.extend(reply.as_deref());
            let block = headers.clone().unwrap_or_default();
            let sizes = match headers {
                Some(_) => format!("{} {}", block.len(), block.len() + payload.len()),
                None => payload.len().to_string(),
            };
            line.push(sizes.as_bytes());
            let line = line.join(&b' ');
            [&line[..], CRLF, &block, payload, CRLF].concat()
        }
    }
}
