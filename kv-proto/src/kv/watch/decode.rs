//! From a delivered message to what the reader is told.
//!
//! Revision and time come from the reply subject, which only the server writes.
//! What its writer controls, key and headers, can spoil this message and
//! nothing else.

use alloc::boxed::Box;

use super::buffer::Item;
use super::options::{Damage, WatchOptions};
use crate::error::EntryDefect;
use crate::js::delivery::Delivery;
use crate::kv::binding::Binding;
use crate::kv::entry::{Entry, Operation, Payload, Revision};
use crate::mutant::{self, Mutant};
use crate::name::Key;
use crate::wire::{HeaderDefect, Headers, decimal};

/// A message of a bucket's stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) headers: Option<Headers<'a>>,
    pub(crate) payload: Payload<'a>,
    pub(crate) delivery: Delivery<'a>,
}

/// Reads a message; `None` if it is not to be told.
pub(crate) fn decode(
    message: &Delivered<'_>,
    binding: &Binding,
    options: &WatchOptions,
) -> Option<Item> {
    let revision = Revision::new(message.delivery.stream_seq);
    let created = message.delivery.stored;
    let damaged = |key, defect| {
        let damage = Damage {
            revision,
            key,
            created,
            defect,
        };
        Some(Item::Damaged(Box::new(damage)))
    };
    let Some(text) = binding.key_of(message.subject) else {
        return damaged(None, EntryDefect::Key);
    };
    let wanted = options.filters.is_empty()
        || options
            .filters
            .iter()
            .any(|filter| filter.matches_bytes(text));
    if !wanted {
        return None;
    }
    let key = core::str::from_utf8(text).map_err(|_| ());
    let Ok(key) = key.and_then(|text| Key::new(text).map_err(|_| ())) else {
        return damaged(None, EntryDefect::Key);
    };
    let read = message.headers.as_ref().map_or(Ok(Head::default()), read);
    let head = match read {
        Ok(head) => head,
        Err(defect) => return damaged(Some(key), defect.into()),
    };
    let tombstone = head.operation.is_tombstone();
    if tombstone && options.ignore_deletes {
        return None;
    }
    let value = if tombstone || options.meta_only {
        bytes::Bytes::new()
    } else {
        message.payload.keep()
    };
    let length = match head.length {
        _ if tombstone => 0,
        Some(length) if options.meta_only => length,
        Some(_) | None => u64::try_from(value.len()).unwrap_or(u64::MAX),
    };
    Some(Item::Entry(Entry {
        bucket: binding.name().clone(),
        key,
        value,
        length,
        revision,
        created,
        operation: head.operation,
        delta: message.delivery.pending,
    }))
}

/// What the headers say.
#[derive(Debug)]
struct Head {
    operation: Operation,
    /// The value's length, where the value itself is left out.
    length: Option<u64>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            operation: Operation::Put,
            length: None,
        }
    }
}

fn read(headers: &Headers<'_>) -> Result<Head, HeaderDefect> {
    let (mut operation, mut reason, mut length) = (None, None, None);
    let mut lines = headers.iter();
    for (name, value) in lines.by_ref() {
        match name {
            b"KV-Operation" => operation = operation.or(Some(value)),
            b"Nats-Marker-Reason" if !mutant::is(Mutant::MarkersIgnored) => {
                reason = reason.or(Some(value));
            }
            b"Nats-Msg-Size" => length = Some(value),
            _ => {}
        }
    }
    if let Some(defect) = lines.defect() {
        return Err(defect);
    }
    Ok(Head {
        operation: Operation::from_headers(operation, reason),
        length: length.and_then(decimal),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn the_length_is_what_the_server_appended() {
        let length = |lines: &str| {
            let block = alloc::format!("NATS/1.0\r\n{lines}\r\n");
            let headers = Headers::parse(block.as_bytes(), &Limits::default());
            read(&headers).unwrap().length
        };
        assert_eq!(length("Nats-Msg-Size: 0\r\n"), Some(0));
        assert_eq!(length("Nats-Msg-Size: 9\r\nNats-Msg-Size: 5\r\n"), Some(5));
        assert_eq!(length("Nats-Msg-Size: 5\r\nNats-Msg-Size: x\r\n"), None);
        assert_eq!(length("nats-msg-size: 5\r\n"), None);
    }
}
