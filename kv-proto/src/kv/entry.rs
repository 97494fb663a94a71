//! An entry: one revision of one key, and how it is read from a stored message.
//!
//! Whoever writes to a bucket controls the stored headers, and the server
//! appends its own without removing any: so fields that the server adds are
//! taken from their *last* occurrence, and the subject is compared with what
//! was asked for.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::error::EntryDefect;
use crate::js::message::StoredMessage;
use crate::limits::{COPY_THRESHOLD, Limits};
use crate::name::{BucketName, Key};
use crate::time::Timestamp;
use crate::wire::{HeaderDefect, Headers, Status, decimal};

/// The position of a write in its bucket: the sequence of the message in the
/// bucket's stream. Revisions of one bucket grow with every write to any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(u64);

impl Revision {
    /// Makes a revision from a number that was stored elsewhere.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number, to store it elsewhere.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Revision {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<Revision> for u64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a revision did to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// It stored a value.
    Put,
    /// A client deleted the key; older revisions are kept as history.
    Delete,
    /// A client purged the key: it and all its history are gone.
    Purge,
    /// The server removed the key, for the reason given (ADR-43, nats-server
    /// 2.11 and newer).
    Marker(MarkerReason),
}

/// Why a server left a delete marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MarkerReason {
    /// The last value of the key outlived its time.
    MaxAge,
    /// The key was purged through the stream.
    Purge,
    /// The key was removed through the stream.
    Remove,
}

impl Operation {
    /// Returns whether the key has no value after this operation.
    #[must_use]
    pub const fn is_tombstone(self) -> bool {
        match self {
            Self::Put => false,
            Self::Delete | Self::Purge | Self::Marker(_) => true,
        }
    }

    pub(crate) fn from_headers(kv_operation: Option<&[u8]>, marker_reason: Option<&[u8]>) -> Self {
        match (kv_operation, marker_reason) {
            (Some(b"DEL"), _) => Self::Delete,
            (Some(b"PURGE"), _) => Self::Purge,
            (_, Some(b"MaxAge")) => Self::Marker(MarkerReason::MaxAge),
            (_, Some(b"Purge")) => Self::Marker(MarkerReason::Purge),
            (_, Some(b"Remove")) => Self::Marker(MarkerReason::Remove),
            _ => Self::Put,
        }
    }
}

/// One revision of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The bucket it was read from.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// Its value; empty for a tombstone, and where only meta-data was asked for.
    pub value: Bytes,
    /// The length of its value in bytes, known also where only meta-data was
    /// asked for.
    pub length: u64,
    /// Its position in the bucket.
    pub revision: Revision,
    /// When the server stored it, by the server's clock.
    pub created: Timestamp,
    /// Whether it stored a value, or what removed the key.
    pub operation: Operation,
    /// How many further revisions of the watched keys the server knew of when
    /// it delivered this one; 0 for what was read by itself. A hint: some may
    /// vanish, and with several filters, before nats-server 2.15, keys count
    /// that are not watched. [`Update::Synced`](crate::Update::Synced) is the
    /// sign that the initial data is complete.
    pub delta: u64,
}

/// A payload in the read buffer, and the means to keep it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) bytes: &'a [u8],
    /// The buffer that `bytes` lies in, when the frame is large enough to be
    /// shared instead of copied.
    pub(crate) owner: Option<&'a Bytes>,
}

impl Payload<'_> {
    pub(crate) fn keep(&self) -> Bytes {
        match self.owner {
            Some(owner) if self.bytes.len() >= COPY_THRESHOLD => owner.slice_ref(self.bytes),
            _ => Bytes::copy_from_slice(self.bytes),
        }
    }
}

/// A stored message as the server returns it, before anybody compared it with
/// what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored<'a> {
    pub(crate) subject: Cow<'a, [u8]>,
    pub(crate) revision: Revision,
    pub(crate) created: Timestamp,
    pub(crate) operation: Operation,
    pub(crate) value: Bytes,
}

/// Why a direct get's reply is not a [`Stored`] message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) revision: Option<Revision>,
    /// Its subject, where the server still told it.
    pub(crate) subject: Option<Vec<u8>>,
    pub(crate) defect: EntryDefect,
}

/// The reply of a direct get.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Direct<'a> {
    /// The stream that it comes from; `None` where that cannot be read.
    pub(crate) stream: Option<&'a [u8]>,
    pub(crate) stored: Result<Stored<'a>, Damaged>,
}

/// The header fields that the server appends to a direct get's reply.
#[derive(Default)]
struct Appended<'a> {
    stream: Option<&'a [u8]>,
    subject: Option<&'a [u8]>,
    sequence: Option<&'a [u8]>,
    time: Option<&'a [u8]>,
    operation: Option<&'a [u8]>,
    reason: Option<&'a [u8]>,
}

impl<'a> Appended<'a> {
    /// Reads the fields, and whether the block is to be believed.
    fn read(headers: &Headers<'a>) -> (Self, Option<HeaderDefect>) {
        let mut fields = Self::default();
        let mut lines = headers.iter();
        for (name, value) in lines.by_ref() {
            match name {
                b"Nats-Stream" => fields.stream = Some(value),
                b"Nats-Subject" => fields.subject = Some(value),
                b"Nats-Sequence" => fields.sequence = Some(value),
                b"Nats-Time-Stamp" => fields.time = Some(value),
                b"KV-Operation" => fields.operation = fields.operation.or(Some(value)),
                b"Nats-Marker-Reason" => fields.reason = fields.reason.or(Some(value)),
                _ => {}
            }
        }
        (fields, lines.defect())
    }
}

/// The status that the server answers with. One of a stored message is its publisher's, and means nothing: where the
/// message is stored is appended to it.
pub(crate) fn server_status<'a>(headers: &Headers<'a>) -> Option<Status<'a>> {
    let status = headers.status()?;
    let (appended, _) = Appended::read(headers);
    appended.sequence.is_none().then_some(status)
}

impl<'a> Direct<'a> {
    /// Reads it.
    pub(crate) fn read(headers: &Headers<'a>, payload: Payload<'_>) -> Self {
        let (fields, defect) = Appended::read(headers);
        Self {
            // A block that is broken may hide what the server appended behind what a writer forged.
            stream: fields.stream.filter(|_| defect.is_none()),
            stored: Stored::from_appended(&fields, defect, payload),
        }
    }
}

impl<'a> Stored<'a> {
    fn from_appended(
        fields: &Appended<'a>,
        defect: Option<HeaderDefect>,
        payload: Payload<'_>,
    ) -> Result<Self, Damaged> {
        let revision = fields.sequence.and_then(decimal).map(Revision);
        let damaged = |defect| Damaged {
            revision,
            subject: fields.subject.map(Vec::from),
            defect,
        };
        if let Some(defect) = defect {
            return Err(damaged(defect.into()));
        }
        let missing = |name| move || damaged(EntryDefect::Field(name));
        fields.stream.ok_or_else(missing("Nats-Stream"))?;
        let operation = Operation::from_headers(fields.operation, fields.reason);
        Ok(Self {
            subject: Cow::Borrowed(fields.subject.ok_or_else(missing("Nats-Subject"))?),
            revision: revision.ok_or_else(missing("Nats-Sequence"))?,
            created: fields
                .time
                .and_then(Timestamp::parse_rfc3339_bytes)
                .ok_or_else(missing("Nats-Time-Stamp"))?,
            operation,
            value: value_of(operation, || payload.keep()),
        })
    }

    /// Reads the answer of the stream's leader (STREAM.MSG.GET).
    pub(crate) fn from_leader(message: StoredMessage, limits: &Limits) -> Result<Self, Damaged> {
        let revision = Revision(message.seq);
        let mut operation = Operation::Put;
        if !message.hdrs.is_empty() {
            let headers = Headers::parse(&message.hdrs, limits);
            if let Some(defect) = headers.defect() {
                return Err(Damaged {
                    revision: Some(revision),
                    subject: Some(message.subject.into_bytes()),
                    defect: defect.into(),
                });
            }
            operation = operation_of(&headers);
        }
        Ok(Self {
            subject: Cow::Owned(message.subject.into_bytes()),
            revision,
            created: message.time,
            operation,
            value: value_of(operation, || message.data),
        })
    }
}

/// Reads what a stored message did to its key. The fields belong to whoever
/// wrote the message, so the first occurrences count, as for the server.
pub(crate) fn operation_of(headers: &Headers<'_>) -> Operation {
    let (mut operation, mut reason) = (None, None);
    for (name, value) in headers.iter() {
        match name {
            b"KV-Operation" => operation = operation.or(Some(value)),
            b"Nats-Marker-Reason" => reason = reason.or(Some(value)),
            _ => {}
        }
    }
    Operation::from_headers(operation, reason)
}

/// A tombstone has no value, whatever its writer put there.
fn value_of(operation: Operation, value: impl FnOnce() -> Bytes) -> Bytes {
    if operation.is_tombstone() {
        Bytes::new()
    } else {
        value()
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn direct<'a>(block: &'a [u8], value: &[u8]) -> Result<Stored<'a>, Damaged> {
        let headers = Headers::parse(block, &Limits::default());
        let payload = Payload {
            bytes: value,
            owner: None,
        };
        Direct::read(&headers, payload).stored
    }

    const TAIL: &str = "Nats-Stream: KV_S\r\nNats-Subject: $KV.S.a\r\nNats-Sequence: 8\r\n\
                        Nats-Time-Stamp: 2026-11-23T18:48:30.59781313Z\r\n\r\n";

    #[test]
    fn what_the_server_appends_wins_over_what_a_writer_forged() {
        let block =
            alloc::format!("NATS/1.0\r\nNats-Sequence: 999\r\nNats-Subject: $KV.S.evil\r\n{TAIL}");
        let stored = direct(block.as_bytes(), b"v").unwrap();
        assert_eq!(*stored.subject, *b"$KV.S.a");
        assert_eq!(stored.revision, Revision(8));
        assert_eq!(stored.value, "v");
    }

    #[test]
    fn the_stream_is_what_the_server_says_or_nothing() {
        let stream = |lines: &str| {
            let block = alloc::format!("NATS/1.0\r\nNats-Stream: FORGED\r\n{lines}{TAIL}");
            let headers = Headers::parse(block.as_bytes(), &Limits::default());
            let payload = Payload {
                bytes: b"",
                owner: None,
            };
            let stream = Direct::read(&headers, payload).stream;
            stream.map(|stream| stream.escape_ascii().to_string())
        };
        assert_eq!(stream(""), Some("KV_S".into()));
        assert_eq!(stream("X: a\rb\r\n"), None);
    }

    #[test]
    fn operations_by_their_headers() {
        for (line, operation) in [
            ("", Operation::Put),
            ("KV-Operation: PUT\r\n", Operation::Put),
            ("KV-Operation: DEL\r\n", Operation::Delete),
            (
                "KV-Operation: PURGE\r\nNats-Rollup: sub\r\n",
                Operation::Purge,
            ),
            (
                "Nats-Marker-Reason: MaxAge\r\n",
                Operation::Marker(MarkerReason::MaxAge),
            ),
            (
                "Nats-Marker-Reason: Purge\r\n",
                Operation::Marker(MarkerReason::Purge),
            ),
            (
                "Nats-Marker-Reason: Remove\r\n",
                Operation::Marker(MarkerReason::Remove),
            ),
            ("kv-operation: DEL\r\n", Operation::Put),
        ] {
            let block = alloc::format!("NATS/1.0\r\n{line}{TAIL}");
            let stored = direct(block.as_bytes(), b"forged").unwrap();
            assert_eq!(stored.operation, operation, "{line}");
            let headers = Headers::parse(block.as_bytes(), &Limits::default());
            assert_eq!(operation_of(&headers), operation, "{line}");
            assert_eq!(stored.value.is_empty(), operation.is_tombstone(), "{line}");
        }
    }

    #[test]
    fn the_first_operation_counts() {
        let read = |lines: &str| {
            let block = alloc::format!("NATS/1.0\r\n{lines}\r\n");
            let headers = Headers::parse(block.as_bytes(), &Limits::default());
            operation_of(&headers)
        };
        let purge = "KV-Operation: PURGE\r\n";
        let delete = "KV-Operation: DEL\r\n";
        let marker = "Nats-Marker-Reason: MaxAge\r\n";
        let expired = Operation::Marker(MarkerReason::MaxAge);
        for (lines, operation) in [
            ([purge, delete], Operation::Purge),
            ([delete, purge], Operation::Delete),
            (["KV-Operation: PUT\r\n", delete], Operation::Put),
            ([marker, delete], Operation::Delete),
            (["KV-Operation: PUT\r\n", marker], expired),
            ([marker, "Nats-Marker-Reason: Purge\r\n"], expired),
        ] {
            assert_eq!(read(&lines.concat()), operation, "{lines:?}");
        }
    }

    #[test]
    fn a_damaged_block_is_an_error_with_its_revision() {
        let block = alloc::format!("NATS/1.0\r\nX: a\rb\r\n{TAIL}");
        let damaged = direct(block.as_bytes(), b"v").unwrap_err();
        assert_eq!(damaged.revision, Some(Revision(8)));
        for (block, field) in [
            (&b"NATS/1.0\r\nNats-Sequence: 8\r\n\r\n"[..], "Nats-Stream"),
            (
                b"NATS/1.0\r\nNats-Stream: S\r\nNats-Sequence: 8\r\n\r\n",
                "Nats-Subject",
            ),
        ] {
            assert_eq!(
                direct(block, b""),
                Err(Damaged {
                    revision: Some(Revision(8)),
                    subject: None,
                    defect: EntryDefect::Field(field),
                })
            );
        }
        let block = b"NATS/1.0\r\nNats-Sequence: 18446744073709551616\r\n\r\n";
        assert_eq!(direct(block, b"").unwrap_err().revision, None);
    }

    /// Whatever status a publisher has forged, the message is read; and the server's own is one.
    #[test]
    fn a_status_of_a_stored_message_is_its_publisher_s() {
        for forged in ["404 Message Not Found", "503", "408 x", "100"] {
            let block = alloc::format!("NATS/1.0 {forged}\r\nX: y\r\n{TAIL}");
            let headers = Headers::parse(block.as_bytes(), &Limits::default());
            assert!(headers.status().is_some());
            assert_eq!(server_status(&headers), None, "{forged}");
        }
        let headers = Headers::parse(
            b"NATS/1.0 404 Message Not Found\r\n\r\n",
            &Limits::default(),
        );
        assert_eq!(server_status(&headers).map(|status| status.code), Some(404));
    }

    #[test]
    fn small_values_do_not_pin_the_buffer() {
        let buffer = Bytes::from(alloc::vec![1; 2 * COPY_THRESHOLD]);
        let small = Payload {
            bytes: &buffer[..5],
            owner: Some(&buffer),
        };
        assert_ne!(small.keep().as_ptr(), buffer.as_ptr());
        let large = Payload {
            bytes: &buffer[..COPY_THRESHOLD],
            owner: Some(&buffer),
        };
        assert_eq!(large.keep().as_ptr(), buffer.as_ptr());
    }
}
