//! What a server said, cut into frames and with everything masked that two servers cannot share.

use std::collections::{BTreeMap, BTreeSet};

/// How many letters the names have that servers make up.
const MADE_UP: usize = 8;

/// The bytes of one server, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    unread: Vec<u8>,
    /// Frames in order, each with the group it is compared in.
    pub(crate) all: Vec<(String, String)>,
    /// The newest flow-control request.
    pub(crate) flow_request: Option<String>,
    /// The reply subjects of all deliveries, in order.
    deliveries: Vec<String>,
    known: Known,
}

/// What must be known to compare what two servers chose by themselves.
#[derive(Debug, Default)]
struct Known {
    /// Subscriptions that are members of a queue group: each server picks the member by itself.
    members: BTreeSet<String>,
    /// Names of consumers that the server made up, in the order of their creation. A consumer may deliver
    /// before it is known.
    made_up: Vec<String>,
}

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let named = self.known.made_up.len();
        while let Some((frame, used)) = frame(&self.unread, &mut self.known) {
            if let Some(subject) = word(&self.unread[..used], "$JS.FC.") {
                self.flow_request = Some(subject);
            }
            self.deliveries
                .extend(word(&self.unread[..used], "$JS.ACK."));
            self.unread.drain(..used);
            if let Some(frame) = frame {
                self.all.push(frame);
            }
        }
        for name in self.known.made_up.iter().skip(named) {
            self.all
                .iter_mut()
                .filter(|(group, _)| is_on(group, name))
                .for_each(|(group, _)| *group = group.replace(name, &self.known.alias(name)));
        }
    }

    /// Looks at what is sent, for subscriptions of queue groups.
    pub(crate) fn note_sent(&mut self, bytes: &[u8]) {
        for line in String::from_utf8_lossy(bytes).lines() {
            if let ["SUB", _, _queue, sid] = line.split_whitespace().collect::<Vec<_>>()[..] {
                self.known.members.insert(sid.to_owned());
            }
        }
    }

    /// Everything said, group by group: a subscription's messages, one request's answers, the rest.
    pub(crate) fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut out: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (group, frame) in &self.all {
            out.entry(group).or_default().push(frame);
        }
        out
    }

    /// The reply subject of a consumer's delivery, counted back from its last.
    pub(crate) fn delivery(&self, stream: &str, consumer: &str, back: usize) -> Option<String> {
        let start = format!("$JS.ACK.{stream}.{consumer}.");
        let own = self.deliveries.iter().rev();
        own.filter(|reply| reply.starts_with(&start))
            .nth(back)
            .cloned()
    }

    /// Whether a message on that subject holds a text.
    pub(crate) fn has(&self, subject: &str, text: &str) -> bool {
        let mut own = self.all.iter().filter(|(group, _)| is_on(group, subject));
        own.any(|(_, frame)| frame.contains(text))
    }

    /// Forgets what came on a subject, as it will come again.
    pub(crate) fn forget(&mut self, subject: &str) {
        self.all.retain(|(group, _)| !is_on(group, subject));
    }

    pub(crate) fn unread(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }
}

/// The word of a frame's first line that begins so.
fn word(frame: &[u8], start: &str) -> Option<String> {
    let end = frame.windows(2).position(|two| two == b"\r\n")?;
    let text = String::from_utf8_lossy(&frame[..end]);
    let found = text.split(' ').find(|word| word.starts_with(start));
    found.map(str::to_owned)
}

impl Known {
    fn note_created(&mut self, payload: &str) {
        let created = payload
            .split_once("consumer_create_response\",\"stream_name\":\"")
            .and_then(|(_, rest)| rest.split("\"name\":\"").nth(1)?.split('"').next());
        if let Some(name) = created.filter(|name| name.len() == MADE_UP) {
            self.made_up.push(name.to_owned());
        }
    }

    fn alias(&self, name: &str) -> String {
        match self.made_up.iter().position(|one| one == name) {
            Some(at) => format!("made-up-{at}"),
            None => name.to_owned(),
        }
    }
}

fn is_on(group: &str, subject: &str) -> bool {
    group.split_once(' ').is_some_and(|(_, own)| own == subject)
}

type Frame = Option<(String, String)>;

/// The first whole frame and its length; PING is no frame to compare.
fn frame(bytes: &[u8], known: &mut Known) -> Option<(Frame, usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let words: Vec<&str> = line.split_whitespace().collect();
    let (headers, total) = match words.first().copied() {
        Some("MSG") => (0, words.last()?.parse::<usize>().ok()?),
        Some("HMSG") => (
            words[words.len() - 2].parse().ok()?,
            words.last()?.parse().ok()?,
        ),
        Some("PING") => return Some((None, end + 2)),
        Some("INFO") => return Some((Some(("info".to_owned(), info(&line))), end + 2)),
        _ => return Some((Some(("control".to_owned(), line)), end + 2)),
    };
    let body = bytes.get(end + 2..end + 2 + total)?;
    bytes.get(end + 2 + total + 1)?;
    let headers = String::from_utf8_lossy(&body[..headers]).into_owned();
    let payload = String::from_utf8_lossy(&body[headers.len().min(total)..]).into_owned();
    let payload = if payload.len() > 10_000 && !payload.starts_with('{') {
        format!("{} bytes", payload.len())
    } else {
        payload
    };
    let (subject, sid) = (words[1], words[2]);
    let reply_words = if words[0] == "MSG" { 5 } else { 6 };
    let reply = if words.len() == reply_words {
        words[3]
    } else {
        ""
    };
    known.note_created(&payload);
    // Several consumers may share a deliver subject; only each one's order is promised.
    let consumer = reply
        .split('.')
        .nth(3)
        .filter(|_| reply.starts_with("$JS."));
    let consumer = consumer.map(|name| known.alias(name)).unwrap_or_default();
    if known.members.contains(sid) {
        let text = format!("{} {subject} {:?}", words[0], mask(&payload));
        let group = format!("queue {consumer}");
        return Some((Some((group, text)), end + 2 + total + 2));
    }
    let group = if subject.starts_with("_INBOX.") {
        format!("{sid} {subject}")
    } else {
        format!("{sid} {consumer}")
    };
    let text = format!(
        "{} {subject} {sid} [{}] {:?} {}",
        words[0],
        mask_reply(reply),
        mask(&headers),
        mask(&payload)
    );
    Some((Some((group, text)), end + 2 + total + 2))
}

/// The members of an INFO that a client acts upon.
fn info(line: &str) -> String {
    let kept = [
        "proto",
        "headers",
        "max_payload",
        "jetstream",
        "connect_info",
        "domain",
        "remote_account",
        "auth_required",
        "api_lvl",
        "ldm",
        "version",
    ];
    let members = line.split(['{', ',', '}']).filter(|member| {
        let name = member
            .split(':')
            .next()
            .unwrap_or_default()
            .trim_matches('"');
        kept.contains(&name)
    });
    let mut found: Vec<&str> = members.collect();
    found.sort_unstable();
    found.join(",")
}

/// Takes the time out of an acknowledgement subject, and what is random out of a flow-control subject.
fn mask_reply(reply: &str) -> String {
    let mut tokens: Vec<&str> = reply.split('.').collect();
    if reply.starts_with("$JS.ACK.") && [9, 11].contains(&tokens.len()) {
        let wide = tokens.len() - 9; // the domain and the account
        tokens[wide + 7] = "<time>";
        if tokens[wide + 3].len() == 8 {
            tokens[wide + 3] = "<name>";
        }
    }
    if reply.starts_with("$JS.FC.") && tokens.len() == 5 {
        tokens[4] = "<token>";
    }
    tokens.join(".")
}

/// Masks times, ids of servers, names that servers made up, and counters of the API.
pub(crate) fn mask(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = time_length(rest) {
            out.push_str("<time>");
            rest = &rest[length..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    for (open, close) in [
        ("\"leader\":\"", "\""),
        ("\"api\":{", "}"),
        ("Nats-Consumer-Stalled: ", "\r"),
        ("Nats-Subject: $JS.ACK.", "\r"),
        ("\"pause_remaining\":", ","),
        ("json: cannot unmarshal ", "\""),
        ("invalid JSON: can not unmarshal", "\","),
        ("parsing time ", "\"}"),
        ("stream_batch_abandoned\",\"id\":\"", "\""),
        ("{\"server\":{\"name\":", ",\"ver\""),
        ("\"flags\":7,\"seq\":", ","),
        ("\"flags\":3,\"seq\":", ","),
        ("violates consumers: ", "\""), // in no order
    ] {
        out = blank(&out, open, close, |_| true);
    }
    out = blank_before(&out, "\"active\":", |c| c == ',' || c == '}');
    out = sorted_sources(&masked_identities(&readable_headers(&out)));
    out = blank(&out, "\"name\":\"", "\"", |name| name.len() == 8);
    blank(&out, "\"consumers\":[", "]", |names| {
        !names.contains('{') && names.split('"').any(|name| name.len() == 8)
    })
}

/// Which stream of its name an origin is.
fn masked_identities(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("Nats-Stream-Source: ") {
        let (before, value) = rest.split_at(at);
        let end = value.find('\r').unwrap_or(value.len());
        let (value, after) = value.split_at(end);
        let mut fields: Vec<&str> = value.split(' ').collect();
        if let Some(identity) = fields.get_mut(6).filter(|field| field.len() == 8) {
            *identity = "<identity>";
        }
        out += before;
        out += &fields.join(" ");
        rest = after;
    }
    out + rest
}

/// What is told about several sources is in no order.
fn sorted_sources(text: &str) -> String {
    const OPEN: &str = "\"sources\":[{";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        let (before, list) = rest.split_at(at + OPEN.len() - 1);
        let (mut depth, mut start, mut end) = (0, 0, list.len());
        let mut sources = Vec::new();
        for (at, c) in list.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if c == '}' && depth == 0 {
                sources.push(&list[start..=at]);
                start = at + 2;
            } else if c == ']' && depth == 0 {
                end = at;
                break;
            }
        }
        sources.sort_unstable();
        out += before;
        out += &sources.join(",");
        rest = &list[end..];
    }
    out + rest
}

/// Stored headers as text, as they may hold a time.
fn readable_headers(text: &str) -> String {
    let Some((before, rest)) = text.split_once("\"hdrs\":\"") else {
        return text.to_owned();
    };
    let (encoded, after) = rest.split_once('"').unwrap_or((rest, ""));
    let decoded = String::from_utf8_lossy(&unbase64(encoded)).into_owned();
    format!("{before}\"hdrs\":{:?}{after}", mask(&decoded))
}

fn unbase64(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for value in text.chars().filter_map(|c| ALPHABET.find(c)) {
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Masks who the servers of a cluster are, but not how many replicas there are.
pub(crate) fn mask_cluster(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\"cluster\":{") {
        let (before, after) = rest.split_at(at);
        let mut depth = 0;
        let end = after.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == '}' && depth == 0
        });
        let end = end.map_or(after.len(), |end| end + 1);
        let replicas = after[..end].matches("\"current\":").count();
        out += &format!("{before}\"cluster\":<{replicas} followers>");
        rest = &after[end..];
    }
    out + rest
}

/// Masks when the first message was stored.
pub(crate) fn mask_first_time(text: &str) -> String {
    blank(text, "\"first_ts\":\"", "\"", |_| true)
}

/// Masks how many messages a consumer says are pending, or one that feeds a mirror or source.
pub(crate) fn mask_pending(text: &str) -> String {
    let text = blank(text, "\"num_pending\":", ",", |_| true);
    let text = blank(&text, "\"lag\":", ",", |_| true);
    blank(&text, ".<time>.", "]", |_| true)
}

/// Masks the numbers of these members.
pub(crate) fn mask_numbers(frames: &[&str], members: &[&str]) -> Vec<String> {
    let masked = frames.iter().map(|frame| {
        let mut out = (*frame).to_owned();
        for member in members {
            out = blank(&out, &format!("\"{member}\":"), ",", |_| true);
        }
        out.replace("<masked>}", "<masked>,") // it may be the last member
    });
    masked.collect()
}

/// Masks what comes after `open`, up to such a letter.
fn blank_before(text: &str, open: &str, ends: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(open);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.find(&ends).map_or("", |at| &part[at..]);
        out += &format!("{open}<masked>{rest}");
    }
    out
}

fn blank(text: &str, open: &str, close: &str, chosen: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(open) {
        let (before, after) = rest.split_at(at + open.len());
        out.push_str(before);
        let end = after.find(close).unwrap_or(after.len());
        let inner = &after[..end];
        out.push_str(if chosen(inner) { "<masked>" } else { inner });
        rest = &after[end..];
    }
    out + rest
}

/// The length of an RFC 3339 time of this century at the start of a text.
fn time_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if !text.starts_with("20") || bytes.get(10) != Some(&b'T') || bytes.get(4) != Some(&b'-') {
        return None;
    }
    let end = text.find('Z').filter(|end| (19..31).contains(end))?;
    Some(end + 1)
}
