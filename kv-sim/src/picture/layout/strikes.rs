//! The column of faults: words where one strikes, a bar while it lasts, and a shadow on whom it befalls.

use kv_proto::Instant;

use super::super::record::{On, Strike, StrikeId, What};
use super::{Anchor, FOOT, Plan, ROW, Shape, lasting, seconds};

const BAR: u32 = 7;
const BAR_WIDE: u32 = 5;
const LEFT: u32 = 6;
const TEXT: u32 = 236;
const CHARS: usize = 36;

pub(super) fn draw(plan: &Plan<'_>) -> (u32, Vec<Shape>) {
    let bars = u32::try_from(plan.columns.strike_bars()).unwrap_or(0);
    let text_x = LEFT + BAR * bars + 4;
    let (mut bands, mut texts) = (Vec::new(), Vec::new());
    for (y, at, id, strike) in strikes(plan) {
        let group = Some(group(id));
        let detail = detail(plan, strike, at);
        let place = u32::try_from(plan.columns.strike_bar(id)).unwrap_or(0);
        let to = strike.until.map_or(y + FOOT, |until| plan.rows.y_at(until));
        let bar = Shape::new("fault bar", detail.clone()).grouped(group.clone());
        let from = y.saturating_sub(FOOT);
        bands.push(bar.band(LEFT + BAR * place, BAR_WIDE, from, to.max(from + ROW - 2)));
        let text = Shape::new("fault say", detail).grouped(group);
        texts.push(text.text(text_x, y, Anchor::Start, &strike.title, CHARS));
    }
    bands.append(&mut texts);
    (text_x + TEXT, bands)
}

/// What lies on a column while a fault lasts that befalls it.
pub(super) fn shadows(plan: &Plan<'_>, column: usize, width: u32) -> Vec<Shape> {
    let befalling = strikes(plan).filter_map(|(y, at, id, strike)| {
        if !plan.columns.befallen(strike.on).contains(&column) {
            return None;
        }
        let to = strike.until.map_or(y, |until| plan.rows.y_at(until));
        let shape = Shape::new("shadow", detail(plan, strike, at)).grouped(Some(group(id)));
        Some(shape.band(0, width, y, to))
    });
    befalling.collect()
}

fn strikes<'a>(plan: &'a Plan<'_>) -> impl Iterator<Item = (u32, Instant, StrikeId, &'a Strike)> {
    plan.marks().filter_map(|(y, at, what)| {
        let What::Struck(id) = what else {
            return None;
        };
        Some((y, at, *id, plan.recording.strike(*id)?))
    })
}

fn group(id: StrikeId) -> String {
    format!("s{}", id.0)
}

fn detail(plan: &Plan<'_>, strike: &Strike, at: Instant) -> String {
    let whom = match strike.on {
        On::All => String::new(),
        On::One(lane) => format!(" on {}", plan.recording.name(lane)),
        On::LinksOf(lane) => format!(" on the link of {}", plan.recording.name(lane)),
    };
    let until = strike.until.map(|until| {
        let time = lasting(at, until);
        format!("\nuntil {}, for {time}", seconds(until))
    });
    let until = until.unwrap_or_default();
    format!(
        "{}{whom}\nat {}{until}\n{}",
        strike.title,
        seconds(at),
        strike.detail
    )
}
