//! Writes a drawing as one page that needs nothing else: its style and its script are in it.
//!
//! The page is well-formed XML but for its first line. Everything that comes from the recording goes through
//! [`Escaped`]; numbers and the names of classes are the layout's own.

use std::fmt::{self, Write};

use super::escape::Escaped;
use super::layout::{Banner, Drawing, Shows, kinds, lasting, seconds};
use super::record::{LaneId, Recording, Role};
use super::svg::{self, AXIS};
use kv_proto::Instant;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The height of the overview, in its own units.
const OVERVIEW: u64 = 1_000;

/// The whole page.
pub(super) fn write_page(
    out: &mut String,
    recording: &Recording,
    drawing: &Drawing,
) -> fmt::Result {
    let title = Escaped(&recording.title);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
        <meta name=\"viewport\" content=\"width=device-width\"/>\n<title>{title}</title>\n<style>\n{STYLE}"
    )?;
    for (class, _) in kinds() {
        writeln!(out, ".no-{class} .m.{class}{{display:none}}")?;
    }
    out.push_str("</style></head>\n<body>\n");
    write_header(out, recording, drawing)?;
    write_overview(out, drawing)?;
    out.push_str("<main id=\"view\" tabindex=\"0\"><div id=\"sheet\">\n");
    write_heads(out, recording, drawing)?;
    let height = drawing.height;
    writeln!(out, "<div id=\"body\" style=\"height:{height}px\">")?;
    writeln!(
        out,
        "<svg class=\"axis\" width=\"{AXIS}\" height=\"{height}\">"
    )?;
    svg::axis(out, &drawing.ticks)?;
    out.push_str("</svg>\n");
    for column in &drawing.columns {
        let (class, key) = (class_of(column.shows), key_of(column.shows));
        writeln!(
            out,
            "<svg class=\"col {class}\" data-lane=\"{key}\" width=\"{}\" height=\"{height}\">",
            column.width
        )?;
        svg::column(out, column)?;
        out.push_str("</svg>\n");
    }
    write_banners(out, recording, &drawing.banners)?;
    out.push_str("</div></div></main>\n<div id=\"detail\" hidden=\"\"></div>\n");
    write!(out, "<script>\n{SCRIPT}</script>\n</body></html>\n")
}

fn write_header(out: &mut String, recording: &Recording, drawing: &Drawing) -> fmt::Result {
    write!(out, "<header><h1>{}</h1>", Escaped(&recording.title))?;
    let broken = drawing.banners.iter().filter(|one| one.broken.is_some());
    let verdict = match broken.count() {
        0 => "<span class=\"verdict kept\">nothing is broken</span>".to_owned(),
        1 => "<button class=\"verdict broken\" id=\"jump\">1 broken promise ↓</button>".to_owned(),
        many => format!(
            "<button class=\"verdict broken\" id=\"jump\">{many} broken promises ↓</button>"
        ),
    };
    write!(out, "{verdict}<dl>")?;
    let counts = [
        ("time", lasting(Instant::ORIGIN, recording.end)),
        ("messages", recording.frames.len().to_string()),
        ("calls", recording.calls.len().to_string()),
        ("faults", recording.strikes.len().to_string()),
    ];
    let counts = counts.iter().map(|(name, value)| (*name, value.as_str()));
    let facts = recording.facts.iter();
    let facts = facts.map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in facts.chain(counts) {
        let (name, value) = (Escaped(name), Escaped(value));
        write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    out.push_str("</dl>\n<nav><fieldset class=\"lanes\"><legend>show</legend>");
    write!(out, "{}", Chip("lane", "faults", "faults", ""))?;
    for (at, lane) in recording.lanes.iter().enumerate() {
        let key = lane_key(LaneId(at));
        let hue = hue_of(recording, LaneId(at));
        write!(out, "{}", Chip("lane", &key, &lane.name, &hue))?;
    }
    out.push_str("</fieldset>\n<fieldset class=\"kinds\"><legend>messages</legend>");
    for (class, name) in kinds() {
        write!(out, "{}", Chip("kind", class, name, class))?;
    }
    out.push_str("</fieldset>\n");
    out.push_str(TOOLS);
    out.push_str("</nav></header>\n");
    Ok(())
}

/// Search, size and light.
const TOOLS: &str = "<fieldset class=\"tools\"><legend>find</legend>\
<input id=\"find\" type=\"search\" placeholder=\"in details  /\" aria-label=\"find\"/><output id=\"found\"></output>\
<button id=\"smaller\" title=\"smaller\">−</button><button id=\"larger\" title=\"larger\">+</button>\
<button id=\"light\" title=\"light or dark\">◐</button></fieldset>";

/// A box to tick: what it is about, its value, what it says, and its colour's class.
struct Chip<'a>(&'static str, &'a str, &'a str, &'a str);

impl fmt::Display for Chip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(about, value, text, class) = self;
        let (value, text, class) = (Escaped(value), Escaped(text), Escaped(class));
        write!(
            f,
            "<label class=\"chip {class}\"><input type=\"checkbox\" checked=\"\" data-{about}=\"{value}\"/><i></i>{text}</label>"
        )
    }
}

fn write_heads(out: &mut String, recording: &Recording, drawing: &Drawing) -> fmt::Result {
    write!(
        out,
        "<div id=\"heads\"><div class=\"head axis\" style=\"width:{AXIS}px\"><b>time</b><small>s</small></div>"
    )?;
    for column in &drawing.columns {
        let (class, key) = (class_of(column.shows), key_of(column.shows));
        let (name, about, hue) = match column.shows {
            Shows::Faults => ("faults", "what goes wrong", String::new()),
            Shows::Calls(lane) => (recording.name(lane), "calls and answers", String::new()),
            Shows::Links(lane, 0) => (recording.name(lane), "link", String::new()),
            Shows::Links(lane, _) => (recording.name(lane), "another link", String::new()),
            Shows::Stream(lane) => (recording.name(lane), "leader and commits", String::new()),
            Shows::Server(lane) => (recording.name(lane), "", hue_of(recording, lane)),
        };
        let width = column.width;
        let name = Escaped(name);
        write!(
            out,
            "<div class=\"head {class} {hue}\" data-lane=\"{key}\" style=\"width:{width}px\">"
        )?;
        let far = match column.shows {
            Shows::Links(..) => "<b>servers</b>",
            Shows::Faults | Shows::Calls(_) | Shows::Stream(_) | Shows::Server(_) => "",
        };
        write!(out, "<b>{name}</b><small>{about}</small>{far}</div>")?;
    }
    out.push_str("</div>\n");
    Ok(())
}

fn write_banners(out: &mut String, recording: &Recording, banners: &[Banner]) -> fmt::Result {
    for banner in banners {
        let Banner {
            y,
            height,
            text,
            at,
            broken,
        } = banner;
        let (text, at) = (Escaped(text), seconds(*at));
        let Some(broken) = broken else {
            writeln!(
                out,
                "<div class=\"banner phase\" style=\"top:{y}px;height:{height}px\"><p>{text}</p></div>"
            )?;
            continue;
        };
        write!(
            out,
            "<div class=\"banner broken\" style=\"top:{y}px;height:{height}px\"><p><b>broken</b> at {at}: {text}"
        )?;
        let groups = [(&broken.call, "the call"), (&broken.note, "the commit")];
        for (group, name) in groups {
            if let Some(group) = group {
                let group = Escaped(group);
                write!(out, " <button data-to=\"{group}\">{name}</button>")?;
            }
        }
        if let Some(lane) = broken.lane {
            let (name, lane) = (Escaped(recording.name(lane)), lane_key(lane));
            write!(out, " <button data-only=\"{lane}\">only {name}</button>")?;
        }
        out.push_str("</p></div>\n");
    }
    Ok(())
}

/// The whole run at one glance, in proportion to the drawing.
fn write_overview(out: &mut String, drawing: &Drawing) -> fmt::Result {
    let scaled = |y: u32| u64::from(y) * OVERVIEW / u64::from(drawing.height.max(1));
    write!(
        out,
        "<aside id=\"overview\"><svg viewBox=\"0 0 30 {OVERVIEW}\" preserveAspectRatio=\"none\">"
    )?;
    let mut last = None;
    for column in &drawing.columns {
        for shape in &column.shapes {
            let x = match (column.shows, shape.class.as_str()) {
                (Shows::Faults, class) if class.ends_with("say") => 1,
                (_, class) if class.contains("say") && class.contains("bad") => 11,
                (_, class) if class.contains("say") && class.contains("doubt") => 11,
                (_, "say state") => 21,
                _ => continue,
            };
            let y = shape.parts.iter().find_map(|part| match part {
                super::layout::Part::Text { y, .. } => Some(scaled(*y)),
                super::layout::Part::Band { .. }
                | super::layout::Part::Arrow { .. }
                | super::layout::Part::Lost { .. }
                | super::layout::Part::Open { .. }
                | super::layout::Part::Stroke { .. } => None,
            });
            if y.is_some() && y != last {
                last = y;
                let (class, y) = (Escaped(&shape.class), y.unwrap_or(0));
                write!(out, "<path class=\"{class}\" d=\"M{x} {y}h8\"/>")?;
            }
        }
    }
    for banner in &drawing.banners {
        let class = if banner.broken.is_some() {
            "broken"
        } else {
            "phase"
        };
        let y = scaled(banner.y);
        write!(out, "<path class=\"{class}\" d=\"M0 {y}h30\"/>")?;
    }
    out.push_str("</svg><div id=\"window\"></div></aside>\n");
    Ok(())
}

fn class_of(shows: Shows) -> &'static str {
    match shows {
        Shows::Faults => "faults",
        Shows::Calls(_) => "calls",
        Shows::Links(..) => "links",
        Shows::Stream(_) => "stream",
        Shows::Server(_) => "server",
    }
}

fn key_of(shows: Shows) -> String {
    match shows {
        Shows::Faults => "faults".into(),
        Shows::Calls(lane) | Shows::Links(lane, _) | Shows::Stream(lane) | Shows::Server(lane) => {
            lane_key(lane)
        }
    }
}

fn lane_key(lane: LaneId) -> String {
    format!("l{}", lane.0)
}

fn hue_of(recording: &Recording, lane: LaneId) -> String {
    let mut servers = recording.in_role(Role::Server);
    let at = servers.position(|one| one == lane);
    at.map_or(String::new(), |at| format!("hue{}", at % 6))
}
