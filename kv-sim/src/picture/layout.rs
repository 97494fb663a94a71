//! From a recording to shapes with places: what a picture shows and where, without a word about how it is
//! written down.
//!
//! Time runs down. Every client has a column for its calls and one for its links; the stream and the servers
//! have theirs on the right, the faults on the left. What belongs to a message stays within the column of its
//! link, so that any column can be left out without moving anything in the others.

mod calls;
mod columns;
mod links;
mod rows;
mod servers;
mod strikes;

use kv_proto::Instant;

use self::columns::Columns;
use self::rows::Rows;
use super::record::{LaneId, MarkId, Recording, Role, Tone, What};

pub(super) use self::columns::Shows;
pub(super) use self::links::kinds;
use self::rows::ROW;

/// All that is drawn.
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) columns: Vec<Column>,
    pub(super) height: u32,
    pub(super) ticks: Vec<Tick>,
    pub(super) banners: Vec<Banner>,
}

/// One column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) shows: Shows,
    pub(super) width: u32,
    pub(super) shapes: Vec<Shape>,
}

/// A moment that is named at the side.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) y: u32,
    pub(super) text: String,
    /// Whether it is a pause rather than a moment.
    pub(super) pause: bool,
}

/// A text across the whole picture.
#[derive(Debug)]
pub(super) struct Banner {
    pub(super) y: u32,
    pub(super) height: u32,
    pub(super) text: String,
    pub(super) at: Instant,
    pub(super) broken: Option<Broken>,
}

/// Where to look for what a broken promise concerns.
#[derive(Debug)]
pub(super) struct Broken {
    /// What the shapes of the call have in common.
    pub(super) call: Option<String>,
    /// The same of what was noted.
    pub(super) note: Option<String>,
    pub(super) lane: Option<LaneId>,
}

/// Something that is pointed at as one.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Its classes of style.
    pub(super) class: String,
    /// What it shares with those that belong to it.
    pub(super) group: Option<String>,
    /// Its own name.
    pub(super) name: Option<String>,
    /// The name of the shape that says all about it, if it does not do so itself.
    pub(super) see: Option<String>,
    /// All about it; empty if there is no more to say.
    pub(super) detail: String,
    pub(super) parts: Vec<Part>,
}

/// Where a text begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug)]
pub(super) enum Part {
    Band {
        x: u32,
        width: u32,
        from: u32,
        to: u32,
    },
    /// A line that ends in an arrow.
    Arrow { from: (u32, u32), to: (u32, u32) },
    /// A line that ends in nothing.
    Lost { from: (u32, u32), to: (u32, u32) },
    /// A line that nobody saw end.
    Open { from: (u32, u32), to: (u32, u32) },
    /// A short line across.
    Stroke { x: u32, width: u32, y: u32 },
    Text {
        x: u32,
        y: u32,
        anchor: Anchor,
        text: String,
    },
}

/// Ticks are not closer than this.
const TICK: u32 = 13;
/// The lowest part of a row, where lines leave it.
const FOOT: u32 = 6;

impl Drawing {
    pub(super) fn of(recording: &Recording) -> Self {
        let columns = Columns::of(recording);
        let rows = Rows::of(recording, &columns);
        let plan = Plan {
            recording,
            columns: &columns,
            rows: &rows,
        };
        let drawn = columns.all.iter().enumerate().map(|(at, shows)| {
            let (width, mut shapes) = match *shows {
                Shows::Faults => strikes::draw(&plan),
                Shows::Calls(client) => calls::draw(&plan, client),
                Shows::Links(client, _) => links::draw(&plan, client, at),
                Shows::Stream(lane) | Shows::Server(lane) => servers::draw(&plan, lane),
            };
            let mut behind = strikes::shadows(&plan, at, width);
            behind.append(&mut shapes);
            Column {
                shows: *shows,
                width,
                shapes: behind,
            }
        });
        Self {
            columns: drawn.collect(),
            height: rows.height,
            ticks: ticks(&rows),
            banners: banners(&plan),
        }
    }
}

/// What there is to draw, and where.
struct Plan<'a> {
    recording: &'a Recording,
    columns: &'a Columns,
    rows: &'a Rows,
}

impl Plan<'_> {
    /// All marks, with where they stand.
    fn marks(&self) -> impl Iterator<Item = (u32, Instant, &What)> {
        let marks = self.recording.marks.iter().zip(&self.rows.marks);
        marks.map(|(mark, y)| (*y, mark.at, &mark.what))
    }

    /// Where the last moment ends.
    fn bottom(&self) -> u32 {
        self.rows.height.saturating_sub(ROW)
    }

    /// The colour of a server, as a class of style.
    fn hue(&self, server: LaneId) -> String {
        let mut servers = self.recording.in_role(Role::Server);
        let at = servers.position(|one| one == server).unwrap_or(0);
        format!("hue{}", at % 6)
    }
}

impl Shape {
    fn new(class: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            detail: detail.into(),
            ..Self::default()
        }
    }

    fn grouped(mut self, group: Option<String>) -> Self {
        self.group = group;
        self
    }

    fn named(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    fn see(mut self, name: String) -> Self {
        self.see = Some(name);
        self
    }

    fn band(mut self, x: u32, width: u32, from: u32, to: u32) -> Self {
        let to = to.max(from + 2);
        self.parts.push(Part::Band { x, width, from, to });
        self
    }

    fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// A text of so many characters at most.
    fn text(mut self, x: u32, y: u32, anchor: Anchor, text: &str, room: usize) -> Self {
        let text = cut(text, room);
        self.parts.push(Part::Text { x, y, anchor, text });
        self
    }
}

/// A text with no more than so many characters.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.push('…');
    short
}

const fn tone_class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Plain => "plain",
        Tone::Doubt => "doubt",
        Tone::Bad => "bad",
    }
}

/// What all that belongs to a note has in common.
fn note_group(note: MarkId) -> String {
    format!("n{}", note.0)
}

/// A moment as traces write it.
pub(super) fn seconds(at: Instant) -> String {
    let micros = at.as_nanos() / 1_000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// How long something took.
pub(super) fn lasting(from: Instant, to: Instant) -> String {
    let micros = to.as_nanos().saturating_sub(from.as_nanos()) / 1_000;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{:03} ms", micros / 1_000, micros % 1_000),
        1_000_000.. => format!("{}.{:03} s", micros / 1_000_000, micros / 1_000 % 1_000),
    }
}

fn ticks(rows: &Rows) -> Vec<Tick> {
    let mut ticks: Vec<Tick> = Vec::new();
    let mut before = None;
    for moment in &rows.moments {
        if let Some((at, bottom)) = before
            && rows::is_long(at, moment.at)
        {
            let y = u32::midpoint(bottom, moment.top);
            let text = format!("+ {}", lasting(at, moment.at));
            ticks.push(Tick {
                y,
                text,
                pause: true,
            });
        }
        before = Some((moment.at, moment.bottom));
        if ticks.last().is_none_or(|last| last.y + TICK <= moment.top) {
            ticks.push(Tick {
                y: moment.top,
                text: seconds(moment.at),
                pause: false,
            });
        }
    }
    ticks
}

fn banners(plan: &Plan<'_>) -> Vec<Banner> {
    let banners = plan.marks().filter_map(|(y, at, what)| match what {
        What::Phase(text) => Some(Banner {
            y,
            height: ROW,
            text: text.clone(),
            at,
            broken: None,
        }),
        What::Broken { text, concerns } => Some(Banner {
            y,
            height: rows::banner_height(text),
            text: text.clone(),
            at,
            broken: Some(Broken {
                call: concerns.call.map(calls::group),
                note: concerns.note.map(note_group),
                lane: concerns.lane,
            }),
        }),
        What::Dialled(_)
        | What::Connected(_)
        | What::Ended { .. }
        | What::Sent(_)
        | What::Arrived(_)
        | What::Called(_)
        | What::Told { .. }
        | What::Answered { .. }
        | What::Struck(_)
        | What::Noted { .. }
        | What::Became { .. } => None,
    });
    banners.collect()
}
