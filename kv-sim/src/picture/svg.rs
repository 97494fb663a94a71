//! Writes shapes as SVG.

use std::fmt::{self, Write};

use super::escape::Escaped;
use super::layout::{Anchor, Column, Part, Shape, Tick};

/// The size of an arrow's head.
const HEAD: u32 = 5;
/// Half the height of small letters: how far under its row's middle a text stands.
const BASE: u32 = 4;
/// The width of the column of times.
pub(super) const AXIS: u32 = 92;

/// A column's shapes.
pub(super) fn column(out: &mut String, column: &Column) -> fmt::Result {
    for shape in &column.shapes {
        write_shape(out, shape)?;
    }
    Ok(())
}

/// The moments at the side.
pub(super) fn axis(out: &mut String, ticks: &[Tick]) -> fmt::Result {
    for Tick { y, text, pause } in ticks {
        let class = if *pause { " class=\"pause\"" } else { "" };
        let (x, y) = (AXIS - 10, y + BASE);
        write!(
            out,
            "<text{class} x=\"{x}\" y=\"{y}\">{}</text>",
            Escaped(text)
        )?;
        if !pause {
            let (from, y) = (AXIS - 6, y - BASE);
            write!(out, "<path d=\"M{from} {y}H{AXIS}\"/>")?;
        }
        out.push('\n');
    }
    Ok(())
}

fn write_shape(out: &mut String, shape: &Shape) -> fmt::Result {
    write!(out, "<g class=\"{}\"", Escaped(&shape.class))?;
    let names = [
        ("id", &shape.name),
        ("data-g", &shape.group),
        ("data-see", &shape.see),
    ];
    for (name, value) in names {
        if let Some(value) = value {
            write!(out, " {name}=\"{}\"", Escaped(value))?;
        }
    }
    out.push('>');
    if !shape.detail.is_empty() {
        write!(out, "<title>{}</title>", Escaped(&shape.detail))?;
    }
    for part in &shape.parts {
        write_part(out, part)?;
    }
    out.push_str("</g>\n");
    Ok(())
}

fn write_part(out: &mut String, part: &Part) -> fmt::Result {
    match part {
        Part::Band { x, width, from, to } => {
            let height = to.saturating_sub(*from);
            write!(
                out,
                "<rect x=\"{x}\" y=\"{from}\" width=\"{width}\" height=\"{height}\"/>"
            )
        }
        Part::Arrow {
            from: (x0, y0),
            to: (x1, y1),
        } => {
            let back = if x1 > x0 {
                x1.saturating_sub(HEAD)
            } else {
                x1 + HEAD
            };
            let (above, below) = (y1.saturating_sub(3), y1 + 3);
            write!(
                out,
                "<path d=\"M{x0} {y0}L{x1} {y1}M{back} {above}L{x1} {y1}L{back} {below}\"/>"
            )
        }
        Part::Lost {
            from: (x0, y0),
            to: (x1, y1),
        } => {
            let (left, right) = (x1.saturating_sub(4), x1 + 4);
            let (above, below) = (y1.saturating_sub(4), y1 + 4);
            write!(
                out,
                "<path d=\"M{x0} {y0}L{x1} {y1}M{left} {above}L{right} {below}M{right} {above}L{left} {below}\"/>"
            )
        }
        Part::Open {
            from: (x0, y0),
            to: (x1, y1),
        } => write!(out, "<path class=\"open\" d=\"M{x0} {y0}L{x1} {y1}\"/>"),
        Part::Stroke { x, width, y } => {
            write!(out, "<path class=\"due\" d=\"M{x} {y}h{width}\"/>")
        }
        Part::Text { x, y, anchor, text } => {
            let y = y + BASE;
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            write!(
                out,
                "<text x=\"{x}\" y=\"{y}\"{anchor}>{}</text>",
                Escaped(text)
            )
        }
    }
}
