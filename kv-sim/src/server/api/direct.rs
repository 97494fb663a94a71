//! DIRECT.GET: reads that any replica answers, without the API's JSON around them.

use bytes::Bytes;

use super::messages::GetRequest;
use super::{JetStream, Request, required_level};
use crate::server::decode::lenient;
use crate::server::json::go_time;
use crate::server::stream::config::Storage;
use crate::server::stream::group::Standing;
use crate::server::stream::store::{Message, Store};
use crate::server::stream::{Outbox, Outgoing, Stream, extended};
use crate::server::version::Version;

/// More subjects than this are not answered at once.
const MAX_RESULTS: usize = 1024;
/// What one answer may weigh when the request does not say: the server's own limit of pending bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

impl JetStream {
    /// Answers a direct get; false when no stream serves it.
    pub(super) fn direct_get(
        &mut self,
        tail: &str,
        request: &Request<'_>,
        reply: &Bytes,
        out: &mut Outbox,
    ) -> bool {
        let (name, key) = match tail.split_once('.') {
            Some((name, key)) => (name, Some(key)),
            None => (tail, None),
        };
        let Some(name) = self.answerer(name) else {
            return false;
        };
        let Some(stream) = self.streams.get(&name) else {
            return false;
        };
        let (group, peers) = (&stream.group, &mut self.peers);
        let Some(store) = group.reader(&stream.store, request.server, peers) else {
            return false;
        };
        if reply.is_empty() {
            return true;
        }
        let mut answers = Answers {
            stream,
            store,
            reply,
            out,
        };
        let version = request.now.version;
        if required_level(request).is_err() {
            answers.status("412 Required Api Level");
            return true;
        }
        match key {
            None => answers.by_body(request.body, version),
            Some(key) => answers.by_subject(key, request.body, version),
        }
        true
    }
}

impl JetStream {
    /// Who answers direct gets for a stream: itself, or a mirror that does so too.
    fn answerer(&mut self, name: &str) -> Option<String> {
        let own = self.streams.get(name);
        let own = own.filter(|stream| stream.config.allow_direct);
        if !self.has_followers() {
            return own.map(|_| name.to_owned());
        }
        let mirrors = self.followers.iter().filter(|follower| {
            let stream = self.streams.get(*follower);
            stream.is_some_and(|stream| stream.answers_for(name))
        });
        let own = own.map(|stream| stream.config.name.as_str());
        let all: Vec<&str> = own.into_iter().chain(mirrors.map(String::as_str)).collect();
        let up = |one: &&&str| {
            let stream = self.streams.get(**one);
            stream.is_some_and(|stream| stream.group.standing() != Standing::Offline)
        };
        let up: Vec<&str> = all.iter().filter(up).copied().collect();
        self.peers.pick(&up).map(str::to_owned)
    }
}

struct Answers<'a> {
    stream: &'a Stream,
    /// The messages of the replica that answers.
    store: &'a Store,
    reply: &'a Bytes,
    out: &'a mut Outbox,
}

/// What the messages of one answer tell about each other.
#[derive(Clone, Copy, Debug)]
struct Place {
    pending: u64,
    last: u64,
}

impl Answers<'_> {
    fn status(&mut self, line: &str) {
        let headers = format!("NATS/1.0 {line}\r\n\r\n");
        self.out.push_back(Outgoing::status(self.reply, headers));
    }

    fn by_subject(&mut self, key: &str, body: &[u8], version: Version) {
        if !version.has_level_2() && !body.is_empty() {
            return self.status("408 Bad Request");
        }
        let mut asked = GetRequest::default();
        if !body.is_empty() {
            let read = lenient(body, |out: &mut GetRequest, name, json, read| {
                out.member(name, json, read, version)
            });
            let Some(read) = read else {
                return self.status("408 Malformed Request");
            };
            asked = read;
        }
        let says_more = !asked.last_for.is_empty()
            || !asked.next_for.is_empty()
            || !asked.multi_last.is_empty()
            || asked.seq != 0
            || asked.batch != 0
            || asked.start_time.is_some()
            || asked.up_to_seq != 0
            || asked.up_to_time.is_some();
        if key.is_empty() || says_more {
            return self.status("408 Bad Request");
        }
        key.clone_into(&mut asked.last_for);
        self.get(&asked, version);
    }

    fn by_body(&mut self, body: &[u8], version: Version) {
        if body.is_empty() {
            return self.status("408 Empty Request");
        }
        let read = lenient(body, |out: &mut GetRequest, name, json, read| {
            out.member(name, json, read, version)
        });
        let Some(asked) = read else {
            return self.status("408 Malformed Request");
        };
        let nothing = asked.seq == 0
            && asked.last_for.is_empty()
            && asked.next_for.is_empty()
            && asked.multi_last.is_empty()
            && asked.start_time.is_none();
        if nothing {
            return self.status("408 Empty Request");
        }
        let many = !asked.multi_last.is_empty();
        let contradictory = asked.is_contradictory()
            || (!asked.last_for.is_empty() && (asked.batch > 0 || many))
            || (!asked.next_for.is_empty() && many)
            || (asked.up_to_seq > 0 && asked.up_to_time.is_some());
        if contradictory {
            return self.status("408 Bad Request");
        }
        if many {
            self.get_last_of_many(&asked, version);
        } else {
            self.get(&asked, version);
        }
    }

    fn get(&mut self, asked: &GetRequest, version: Version) {
        if asked.batch != 0 {
            return self.get_batch(asked, version);
        }
        match asked.find(self.store, version).cloned() {
            None => self.status("404 Message Not Found"),
            Some(message) => self.send(&message, None, asked.no_headers),
        }
    }

    fn get_batch(&mut self, asked: &GetRequest, version: Version) {
        let store = self.store;
        let start = asked
            .start_time
            .map_or(asked.seq, |time| store.seq_from_time(time, version));
        if asked.misses_time(start) {
            return self.status("404 Message Not Found");
        }
        let filter = if asked.next_for.is_empty() {
            ">"
        } else {
            &asked.next_for
        };
        let patterns = [filter.as_bytes()];
        let mut pending = store.count(&patterns, start, false);
        let most = usize::try_from(asked.batch).unwrap_or(0);
        let budget = usize::try_from(asked.max_bytes).ok().filter(|max| *max > 0);
        let (mut from, mut last, mut sent, mut bytes) = (start, 0, 0, 0);
        while sent < most {
            let Some(message) = self.store.next_for(&patterns, from).cloned() else {
                if sent == 0 || most == 1 {
                    return self.status("404 Message Not Found");
                }
                break;
            };
            // 2.11 counts the message itself among those that follow.
            let shown = if version == Version::V2_11 {
                pending
            } else {
                pending.saturating_sub(1)
            };
            if !asked.no_headers {
                pending = pending.saturating_sub(1);
            }
            let place = Place {
                pending: shown,
                last,
            };
            self.send(&message, Some(place), asked.no_headers);
            (from, last, sent) = (message.seq + 1, message.seq, sent + 1);
            bytes += weight(&message);
            if bytes >= budget.unwrap_or(MAX_BYTES) {
                break;
            }
        }
        self.end_of_batch(Place { pending, last }, None);
    }

    fn get_last_of_many(&mut self, asked: &GetRequest, version: Version) {
        let store = self.store;
        let mut up_to = asked.up_to_seq;
        if let Some(time) = asked.up_to_time {
            up_to = store.seq_from_time(time, version);
            if up_to <= store.first_seq() {
                return self.status("404 No Results");
            }
            up_to -= 1;
        }
        let beyond = up_to > store.last_seq() && self.stream.config.storage == Storage::File;
        if beyond || store.len() == 0 {
            return self.status("404 No Results"); // the file store looks for a block that is not there
        }
        if up_to == 0 {
            up_to = store.last_seq();
        }
        let patterns: Vec<&[u8]> = asked.multi_last.iter().map(String::as_bytes).collect();
        let seqs = store.last_seqs(&patterns, up_to);
        if seqs.len() > MAX_RESULTS {
            return self.status("413 Too Many Results");
        }
        if seqs.is_empty() {
            return self.status("404 No Results");
        }
        let most = usize::try_from(asked.batch).ok().filter(|most| *most > 0);
        let budget = usize::try_from(asked.max_bytes).ok().filter(|max| *max > 0);
        let total = seqs.len() as u64;
        let mut place = Place {
            pending: total,
            last: 0,
        };
        let (mut sent, mut bytes, mut ahead) = (0, 0, false);
        for seq in seqs {
            place.pending = place.pending.saturating_sub(1);
            let Some(message) = store.get(seq).filter(|_| seq >= asked.seq).cloned() else {
                continue;
            };
            self.send(&message, Some(place), false);
            place.last = seq;
            bytes += weight(&message);
            sent += 1;
            ahead |= version == Version::V2_11;
            if bytes >= budget.unwrap_or(MAX_BYTES) || most.is_some_and(|most| sent >= most) {
                break;
            }
        }
        if ahead {
            place.pending = place.pending.saturating_sub(1); // 2.11 is one ahead at the end
        }
        self.end_of_batch(place, Some(up_to));
    }

    fn send(&mut self, message: &Message, place: Option<Place>, bare: bool) {
        let mut lines = format!(
            "Nats-Stream: {}\r\nNats-Subject: {}\r\nNats-Sequence: {}\r\nNats-Time-Stamp: {}\r\n",
            self.stream.config.name,
            String::from_utf8_lossy(&message.subject),
            message.seq,
            go_time(message.time),
        );
        if let Some(Place { pending, last }) = place {
            lines += &format!("Nats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last}\r\n");
        }
        let headers = if bare {
            Bytes::new()
        } else {
            extended(&message.headers, &lines)
        };
        let mut answer = Outgoing::status(self.reply, headers);
        answer.payload = message.payload.clone();
        self.out.push_back(answer);
    }

    fn end_of_batch(&mut self, place: Place, up_to: Option<u64>) {
        let Place { pending, last } = place;
        let mut headers = format!(
            "NATS/1.0 204 EOB\r\nNats-Num-Pending: {pending}\r\nNats-Last-Sequence: {last}\r\n"
        );
        if let Some(up_to) = up_to {
            headers += &format!("Nats-UpTo-Sequence: {up_to}\r\n");
        }
        headers += "\r\n";
        self.out.push_back(Outgoing::status(self.reply, headers));
    }
}

fn weight(message: &Message) -> usize {
    message.subject.len() + message.headers.len() + message.payload.len()
}
