//! The column of a client's links: its left edge is the client, its right edge the server. A message is a line
//! from the edge and the moment where it leaves to those where it arrives.

use std::collections::BTreeMap;

use kv_proto::Instant;

use super::super::gist::{Gist, Kind};
use super::super::record::{Frame, FrameId, LaneId, LinkId, Side, What};
use super::{Anchor, FOOT, Part, Plan, Shape, lasting, seconds};
use crate::fault::Way;

const WIDTH: u32 = 306;
/// Where the ends of a link are.
const CLIENT: u32 = 8;
const SERVER: u32 = WIDTH - 8;
/// What texts keep away from the edge.
const PAD: u32 = 6;
/// Half the width, in characters, and almost all of it.
const HALF: usize = 22;
const WHOLE: usize = 44;
/// How far a line goes that ends in nothing.
const STUB: u32 = 70;
const STUB_DOWN: u32 = 8;

pub(super) fn draw(plan: &Plan<'_>, client: LaneId, column: usize) -> (u32, Vec<Shape>) {
    let mut drawing = Links {
        plan,
        client,
        bands: Vec::new(),
        lines: Vec::new(),
        texts: Vec::new(),
        stands: BTreeMap::new(),
        sent: BTreeMap::new(),
        asked: BTreeMap::new(),
    };
    for (y, at, what) in plan.marks() {
        drawing.mark(y, at, what, column);
    }
    (WIDTH, drawing.finish())
}

/// A message on its way.
struct Leaving {
    y: u32,
    at: Instant,
    gist: Gist,
    group: String,
}

/// How a link stands.
#[derive(Clone, Copy)]
struct Standing {
    y: u32,
    connected: bool,
    client_left: bool,
    server_left: bool,
}

struct Links<'a> {
    plan: &'a Plan<'a>,
    client: LaneId,
    bands: Vec<Shape>,
    lines: Vec<Shape>,
    texts: Vec<Shape>,
    stands: BTreeMap<LinkId, Standing>,
    sent: BTreeMap<FrameId, Leaving>,
    /// Who wants an answer, by where to.
    asked: BTreeMap<String, String>,
}

impl Links<'_> {
    fn mark(&mut self, y: u32, at: Instant, what: &What, column: usize) {
        let here = |link: LinkId| self.plan.columns.of_link(link) == column;
        match what {
            What::Dialled(link) if here(*link) => {
                let text = format!(
                    "{} dials {}",
                    self.link_name(*link),
                    self.server_name(*link)
                );
                self.note(y, at, "dial", text);
                let standing = Standing {
                    y,
                    connected: false,
                    client_left: false,
                    server_left: false,
                };
                self.stands.insert(*link, standing);
            }
            What::Connected(link) if here(*link) => {
                self.band(*link, y);
                if let Some(standing) = self.stands.get_mut(link) {
                    (standing.y, standing.connected) = (y, true);
                }
            }
            What::Ended { link, end, why } if here(*link) => {
                let who = match end {
                    Side::Client => "client",
                    Side::Server => "server",
                };
                let name = self.link_name(*link).to_owned();
                self.note(y, at, "end", format!("✕ {name}, {who}: {why}"));
                self.band(*link, y);
                if let Some(standing) = self.stands.get_mut(link) {
                    standing.y = y;
                    standing.client_left |= *end == Side::Client;
                    standing.server_left |= *end == Side::Server;
                }
            }
            What::Sent(id) => {
                let Some(frame) = self.frame_here(*id, column) else {
                    return;
                };
                self.send(*id, frame.way, Gist::of(frame), y, at);
            }
            What::Arrived(id) => {
                if self.frame_here(*id, column).is_some()
                    && let Some(leaving) = self.sent.remove(id)
                {
                    self.message(*id, leaving, Some((y, at)));
                }
            }
            What::Phase(_)
            | What::Dialled(_)
            | What::Connected(_)
            | What::Ended { .. }
            | What::Called(_)
            | What::Told { .. }
            | What::Answered { .. }
            | What::Struck(_)
            | What::Noted { .. }
            | What::Became { .. }
            | What::Broken { .. } => {}
        }
    }

    fn frame_here(&self, id: FrameId, column: usize) -> Option<&'_ Frame> {
        let frame = self.plan.recording.frame(id)?;
        (self.plan.columns.of_link(frame.link) == column).then_some(frame)
    }

    fn send(&mut self, id: FrameId, way: Way, gist: Gist, y: u32, at: Instant) {
        let own = format!("f{}", id.0);
        let group = match way {
            Way::Up if !gist.reply.is_empty() => {
                self.asked.insert(gist.reply.clone(), own.clone());
                own
            }
            Way::Up => own,
            Way::Down => self.asked.get(&gist.subject).cloned().unwrap_or(own),
        };
        let leaving = Leaving { y, at, gist, group };
        self.sent.insert(id, leaving);
    }

    /// Draws a message, now that it is known what became of it.
    fn message(&mut self, id: FrameId, leaving: Leaving, arrival: Option<(u32, Instant)>) {
        let Some(frame) = self.plan.recording.frame(id) else {
            return;
        };
        let Leaving { y, at, gist, group } = leaving;
        let (near, far, text_x, anchor) = match frame.way {
            Way::Up => (CLIENT, SERVER, CLIENT + PAD, Anchor::Start),
            Way::Down => (SERVER, CLIENT, SERVER - PAD, Anchor::End),
        };
        let from = (near, y + FOOT);
        let stub = match frame.way {
            Way::Up => (near + STUB, y + FOOT + STUB_DOWN),
            Way::Down => (near.saturating_sub(STUB), y + FOOT + STUB_DOWN),
        };
        let (part, fate) = match arrival {
            Some((y, _)) => (
                Part::Arrow {
                    from,
                    to: (far, y + FOOT),
                },
                "",
            ),
            None if frame.swallowed || self.is_deaf(frame) => {
                (Part::Lost { from, to: stub }, " lost")
            }
            None => (Part::Open { from, to: stub }, " open"),
        };
        let detail = self.detail(frame, &gist, at, arrival.map(|(_, at)| at));
        let class = gist.kind.class();
        let name = format!("f{}", id.0);
        let line = Shape::new(format!("m {class}{fate}"), "").see(name.clone());
        self.lines
            .push(line.grouped(Some(group.clone())).part(part));
        let text = Shape::new(format!("m say {class}{fate}"), detail).named(name);
        let text = text.grouped(Some(group));
        self.texts
            .push(text.text(text_x, y, anchor, &gist.brief, HALF));
    }

    fn detail(&self, frame: &Frame, gist: &Gist, at: Instant, arrival: Option<Instant>) -> String {
        let (link, server) = (self.link_name(frame.link), self.server_name(frame.link));
        let client = self.plan.recording.name(self.client);
        let (from, to) = match frame.way {
            Way::Up => (client, server),
            Way::Down => (server, client),
        };
        let fate = match arrival {
            Some(arrival) => format!(
                "arrived {}, after {}",
                seconds(arrival),
                lasting(at, arrival)
            ),
            None if frame.swallowed => "was swallowed".into(),
            None if !frame.whole => {
                format!("was not sent to its end; {} bytes arrived", frame.arrived)
            }
            None => format!("never arrived; {} bytes did", frame.arrived),
        };
        let pieces = match frame.pieces {
            0 | 1 => String::new(),
            pieces => format!(" in {pieces} pieces"),
        };
        let lines = gist.lines.join("\n");
        format!(
            "{from} → {to}, {link}: {} bytes\nleft {}, {fate}{pieces}\n\n{lines}",
            frame.size,
            seconds(at)
        )
    }

    /// A band for how the link stood up to here.
    fn band(&mut self, link: LinkId, to: u32) {
        let Some(standing) = self.stands.get(&link).copied() else {
            return;
        };
        let how = match (
            standing.connected,
            standing.client_left,
            standing.server_left,
        ) {
            (_, true, true) => return,
            (false, true, _) => return,
            (false, ..) => "dialling",
            (true, true, false) => "server-only",
            (true, false, true) => "client-only",
            (true, false, false) => "standing",
        };
        let server = self.plan.recording.link(link).and_then(|link| link.server);
        let hue = server
            .map(|server| self.plan.hue(server))
            .unwrap_or_default();
        let detail = format!("{} to {}", self.link_name(link), self.server_name(link));
        let shape = Shape::new(format!("link {how} {hue}"), detail);
        let (from, to) = (standing.y + FOOT, to + FOOT);
        let width = SERVER - CLIENT;
        self.bands.push(shape.band(CLIENT, width, from, to));
        let edge = Shape::new(format!("edge {how} {hue}"), String::new());
        self.bands.push(edge.band(SERVER - 3, 3, from, to));
    }

    fn note(&mut self, y: u32, at: Instant, class: &str, text: String) {
        let shape = Shape::new(
            format!("say note {class}"),
            format!("{}\n{text}", seconds(at)),
        );
        let shape = shape.text(WIDTH / 2, y, Anchor::Middle, &text, WHOLE);
        self.texts.push(shape);
    }

    /// Whether nobody is there for whom a message was meant.
    fn is_deaf(&self, frame: &Frame) -> bool {
        let standing = self.stands.get(&frame.link);
        standing.is_some_and(|link| match frame.way {
            Way::Up => link.server_left,
            Way::Down => link.client_left,
        })
    }

    fn link_name(&self, link: LinkId) -> &str {
        let link = self.plan.recording.link(link);
        link.map_or("", |link| &link.name)
    }

    fn server_name(&self, link: LinkId) -> &str {
        let link = self.plan.recording.link(link);
        let server = link.and_then(|link| link.server);
        server.map_or("nobody", |server| self.plan.recording.name(server))
    }

    fn finish(mut self) -> Vec<Shape> {
        for (id, leaving) in std::mem::take(&mut self.sent) {
            self.message(id, leaving, None);
        }
        let links: Vec<LinkId> = self.stands.keys().copied().collect();
        for link in links {
            // An end that nobody learns of is not drawn to the end.
            let alive = self.stands.get(&link).is_some_and(|link| !link.client_left);
            if alive {
                self.band(link, self.plan.bottom());
            }
        }
        let mut shapes = self.bands;
        shapes.append(&mut self.lines);
        shapes.append(&mut self.texts);
        shapes
    }
}

/// Every kind of message, for the legend.
pub(in crate::picture) fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    Kind::ALL.iter().map(|kind| (kind.class(), kind.name()))
}
