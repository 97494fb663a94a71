//! Calls, answers, news and commits in a few words.

use crate::history::{Answer, Call, Cause, News};
use crate::picture::{Tone, Words};
use crate::scenario::{Ask, Purpose};
use crate::server::Change;
use crate::trace::Printable;

/// What a call asks for.
pub(super) fn title(call: Call, key: u8, ask: Ask) -> String {
    let name = call.name();
    match call {
        Call::Put
        | Call::Create { .. }
        | Call::Update { .. }
        | Call::Delete { .. }
        | Call::Purge { .. }
        | Call::Get
        | Call::GetLeader
        | Call::Erase { all: false } => {
            let name = name.trim_end_matches(" at");
            let expected = call.expected();
            let expected = expected.map_or(String::new(), |at| format!(" @{at}"));
            format!("{name} k{key}{expected}")
        }
        Call::GetRevision { revision } => format!("get k{key} at revision {revision}"),
        Call::Manage => format!("{ask:?}").to_lowercase(),
        Call::PurgeDeletes { older_ms } => format!("{name} older than {older_ms} ms"),
        Call::Erase { all: true } | Call::Watch | Call::List | Call::Ping | Call::Sleep => {
            name.into()
        }
    }
}

/// What a watch or a listing is for.
pub(super) fn purpose(purpose: Purpose) -> String {
    match purpose {
        Purpose::Watching => "watch".into(),
        Purpose::Listing => "list".into(),
        Purpose::KeysOnly => "list keys".into(),
        Purpose::HistoryOf(key) => format!("history of k{key}"),
    }
}

pub(super) fn answer(answer: &Answer) -> Words {
    let name = answer.name();
    let at = |revision: u64| format!("{name} @{revision}");
    let (brief, tone) = match answer {
        Answer::Applied(revision) => (at(*revision), Tone::Good),
        Answer::Found { revision, .. } => (at(*revision), Tone::Good),
        Answer::Exists(revision) | Answer::Conflict(Some(revision)) => (at(*revision), Tone::Plain),
        Answer::Absent | Answer::Conflict(None) => (name.into(), Tone::Plain),
        Answer::Unknown(_) => (name.into(), Tone::Doubt),
        Answer::Malformed(revision) => {
            let at = revision.map_or(String::new(), |revision| format!(" @{revision}"));
            (format!("{name}{at}"), Tone::Doubt)
        }
        Answer::NotApplied(_) | Answer::Failed(_) | Answer::Stale { .. } => {
            (name.into(), Tone::Bad)
        }
        Answer::Removed { revisions, .. } => (format!("removed {revisions}"), Tone::Good),
        Answer::Done => (name.into(), Tone::Good),
    };
    let detail = match answer {
        Answer::Found {
            revision,
            value,
            tombstone,
        } => format!(
            "Found {{ revision: {revision}, value: {}, tombstone: {tombstone} }}",
            Printable(value)
        ),
        Answer::Applied(_)
        | Answer::NotApplied(_)
        | Answer::Exists(_)
        | Answer::Conflict(_)
        | Answer::Unknown(_)
        | Answer::Absent
        | Answer::Malformed(_)
        | Answer::Stale { .. }
        | Answer::Failed(_)
        | Answer::Removed { .. }
        | Answer::Done => format!("{answer:?}"),
    };
    Words::new(brief, tone).with(detail)
}

pub(super) fn news(news: &News) -> Words {
    let name = news.name();
    match news {
        News::Entry {
            key,
            revision,
            operation,
            value,
            length,
            ..
        } => Words::new(format!("{name} k{key} @{revision}"), Tone::Good).with(format!(
            "{operation:?} of k{key} at revision {revision}, {length} bytes\n{}",
            Printable(value)
        )),
        News::Damaged { revision, .. } => {
            Words::new(format!("{name} @{revision}"), Tone::Doubt).with(format!("{news:?}"))
        }
        News::Synced => Words::new(name, Tone::Good),
        News::Reset(_) => Words::new(name, Tone::Doubt),
        News::Ended(cause) => {
            let closed = *cause == Cause::Closed;
            let tone = if closed { Tone::Plain } else { Tone::Bad };
            Words::new(format!("ended: {cause:?}").to_lowercase(), tone)
        }
    }
}

pub(super) fn change(change: &Change) -> Words {
    match change {
        Change::Stored {
            seq,
            subject,
            headers,
            payload,
            ..
        } => {
            let start = payload.get(..20).unwrap_or(payload);
            let subject = subject.escape_ascii().to_string();
            let key = subject.strip_prefix("$KV.b.").unwrap_or(&subject);
            let brief = format!("{seq} {key} {}", start.escape_ascii());
            let detail = format!(
                "stored {seq} on {subject}\n{}\n{}",
                Printable(headers),
                Printable(payload)
            );
            Words::new(brief, Tone::Good).with(detail)
        }
        Change::Removed { seq, why } => {
            let why = format!("{why:?}").to_lowercase();
            Words::new(format!("{seq} removed: {why}"), Tone::Plain)
        }
        Change::Created => Words::new("created", Tone::Good),
        Change::Deleted => Words::new("deleted", Tone::Bad),
        Change::Rewound { last } => Words::new(format!("lost all above {last}"), Tone::Bad),
    }
}
