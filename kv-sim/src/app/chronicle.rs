//! What is written down of a run: its hash always; its timeline and its picture if somebody will look at them.

use std::collections::BTreeMap;

use kv_proto::Instant;

use super::failure::Reason;
use crate::fault::Way;
use crate::picture::{
    Concerns, LaneId, LinkId, On, Recorder, Recording, Role, Side, State, Strike, Tone, Words,
};
use crate::trace::Trace;

/// Something that goes into the hash.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Server = 1,
    Decided,
    ArrivedUp,
    ArrivedDown,
    Timer,
}

#[derive(Debug)]
pub(super) struct Chronicle {
    trace: Trace,
    names: Vec<String>,
    picture: Option<Picture>,
}

#[derive(Debug)]
struct Picture {
    recorder: Recorder,
    servers: Vec<LaneId>,
    /// The test itself has none.
    processes: Vec<Option<LaneId>>,
    links: BTreeMap<u64, LinkId>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) hash: u64,
    pub(super) timeline: Vec<String>,
    pub(super) recording: Option<Recording>,
}

impl Chronicle {
    pub(super) fn new(seed: u64, servers: usize, written: bool) -> Self {
        let picture = written.then(|| {
            let mut recorder = Recorder::new(format!("seed {seed}"));
            let servers =
                (0..servers).map(|at| recorder.lane(Role::Server, format!("server {at}")));
            let servers: Vec<LaneId> = servers.collect();
            for server in &servers {
                recorder.became(Instant::ORIGIN, *server, State::Up);
            }
            Picture {
                recorder,
                servers,
                processes: Vec::new(),
                links: BTreeMap::new(),
            }
        });
        Self {
            trace: Trace::new(written),
            names: Vec::new(),
            picture,
        }
    }

    /// Somebody takes part from now on.
    pub(super) fn process(&mut self, name: &str) {
        if let Some(picture) = &mut self.picture {
            let is_test = picture.processes.is_empty();
            let lane = (!is_test).then(|| picture.recorder.lane(Role::Client, name));
            picture.processes.push(lane);
        }
        self.names.push(name.to_owned());
    }

    pub(super) fn name(&self, process: usize) -> &str {
        self.names.get(process).map_or("", String::as_str)
    }

    /// Something happens that is only counted.
    pub(super) fn event(&mut self, now: Instant, kind: Kind, who: u64) {
        self.trace.event(now, kind as u64, who);
    }

    pub(super) fn dials(&mut self, now: Instant, process: usize, server: Option<usize>, wire: u64) {
        if let Some(picture) = &mut self.picture
            && let Some(Some(lane)) = picture.processes.get(process)
        {
            let server = server.and_then(|server| picture.servers.get(server));
            let name = format!("connection {}", picture.links.len() + 1);
            let link = picture.recorder.dial(now, *lane, server.copied(), name);
            picture.links.insert(wire, link);
        }
    }

    pub(super) fn connects(&mut self, now: Instant, process: usize, server: usize, wire: u64) {
        self.line(now, |names| {
            format!("{} connects to server {server}", names(process))
        });
        if let Some((recorder, link)) = self.link(wire) {
            recorder.connected(now, link);
        }
    }

    pub(super) fn is_refused(&mut self, now: Instant, process: usize, why: &str, wire: u64) {
        self.line(now, |names| {
            format!("{} cannot connect: {why}", names(process))
        });
        self.ends(now, wire, Side::Client, why);
    }

    pub(super) fn ends(&mut self, now: Instant, wire: u64, side: Side, why: &str) {
        if let Some((recorder, link)) = self.link(wire) {
            recorder.ended(now, link, side, why);
        }
    }

    pub(super) fn sent(&mut self, now: Instant, process: usize, wire: u64, way: Way, bytes: &[u8]) {
        self.line(now, |names| {
            let verb = match way {
                Way::Up => "sends",
                Way::Down => "is sent",
            };
            format!("    {} {verb} {}", names(process), brief(bytes))
        });
        if let Some((recorder, link)) = self.link(wire) {
            recorder.sent(now, link, way, bytes, bytes);
        }
    }

    pub(super) fn arrived(&mut self, now: Instant, wire: u64, way: Way, bytes: &[u8]) {
        let kind = match way {
            Way::Up => Kind::ArrivedUp,
            Way::Down => Kind::ArrivedDown,
        };
        self.event(now, kind, wire);
        self.trace.bytes(bytes);
        if let Some((recorder, link)) = self.link(wire) {
            recorder.arrived(now, link, way, bytes.len());
        }
    }

    /// A fault befalls a process, perhaps until a moment that is known.
    pub(super) fn befalls(
        &mut self,
        now: Instant,
        process: usize,
        text: &str,
        until: Option<Instant>,
    ) {
        self.line(now, |names| format!("{} {text}", names(process)));
        if let Some(picture) = &mut self.picture {
            let lane = picture.processes.get(process).copied().flatten();
            let title = format!("{} {text}", self.names.get(process).map_or("", |name| name));
            picture.recorder.strike(
                now,
                Strike {
                    on: lane.map_or(On::All, On::One),
                    detail: title.clone(),
                    title,
                    until,
                },
            );
        }
    }

    pub(super) fn process_notes(&mut self, now: Instant, process: usize, text: &str) {
        self.line(now, |names| format!("{} {text}", names(process)));
        if let Some(picture) = &mut self.picture
            && let Some(Some(lane)) = picture.processes.get(process)
        {
            let words = Words::new(text, Tone::Plain);
            picture.recorder.note(now, *lane, words);
        }
    }

    /// A server is in another state.
    pub(super) fn server_became(&mut self, now: Instant, server: usize, state: State, text: &str) {
        self.line(now, |_| format!("server {server} {text}"));
        if let Some(picture) = &mut self.picture
            && let Some(lane) = picture.servers.get(server)
        {
            picture.recorder.became(now, *lane, state);
        }
    }

    pub(super) fn note(&mut self, now: Instant, text: &str) {
        self.line(now, |_| text.to_owned());
        if let Some(picture) = &mut self.picture {
            picture.recorder.phase(now, text);
        }
    }

    pub(super) fn finish(&mut self, now: Instant, broken: Option<&Reason>) -> Written {
        let (hash, timeline) = std::mem::replace(&mut self.trace, Trace::new(false)).finish();
        let recording = self.picture.take().map(|mut picture| {
            if let Some(reason) = broken {
                let text = reason.to_string();
                picture.recorder.broken(now, text, Concerns::default());
            }
            picture.recorder.fact("hash", format!("{hash:016x}"));
            picture.recorder.finish(now)
        });
        Written {
            hash,
            timeline,
            recording,
        }
    }

    /// Writes a line, if anybody will read it; it is given who is called what.
    fn line<'a>(
        &'a mut self,
        now: Instant,
        text: impl FnOnce(&dyn Fn(usize) -> &'a str) -> String,
    ) {
        let names = &self.names;
        let name = |process: usize| names.get(process).map_or("", String::as_str);
        self.trace.line(now, || text(&name));
    }

    fn link(&mut self, wire: u64) -> Option<(&mut Recorder, LinkId)> {
        let picture = self.picture.as_mut()?;
        let link = *picture.links.get(&wire)?;
        Some((&mut picture.recorder, link))
    }
}

/// So many bytes are shown of what is sent.
const SHOWN: usize = 90;

/// The beginning of what is sent.
fn brief(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(head) => format!("{} … {} bytes", head.escape_ascii(), bytes.len()),
        None => bytes.escape_ascii().to_string(),
    }
}
