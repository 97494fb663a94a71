//! A client's column: a bar for each call while it is open, and words at its beginning and end.

use kv_proto::Instant;

use super::super::record::{Call, CallId, LaneId, What, Words};
use super::{Anchor, FOOT, Part, Plan, ROW, Shape, lasting, seconds, tone_class};

/// The width of a bar, with the room to the next.
const BAR: u32 = 7;
const BAR_WIDE: u32 = 5;
const LEFT: u32 = 6;
/// The room for text.
const TEXT: u32 = 200;
const CHARS: usize = 30;

/// What all that belongs to a call has in common.
pub(super) fn group(call: CallId) -> String {
    format!("c{}", call.0)
}

fn called(call: CallId) -> String {
    format!("q{}", call.0)
}

fn answered(call: CallId) -> String {
    format!("a{}", call.0)
}

struct Open {
    y: u32,
    at: Instant,
}

pub(super) fn draw(plan: &Plan<'_>, client: LaneId) -> (u32, Vec<Shape>) {
    let bars = plan.columns.bars_of(plan.recording, client);
    let text_x = LEFT + BAR * u32::try_from(bars).unwrap_or(0) + 4;
    let width = text_x + TEXT;
    let mut open: Vec<Option<Open>> = Vec::new();
    open.resize_with(plan.recording.calls.len(), || None);
    let (mut bands, mut texts) = (Vec::new(), Vec::new());
    let own = |id: CallId| plan.recording.call(id).filter(|call| call.lane == client);
    let say = |y: u32, id: CallId, call: &Call, words: &str, class: &str, detail: String| {
        let text = format!("{} {words}", call.name);
        let shape = Shape::new(format!("say {class}"), detail).grouped(Some(group(id)));
        shape.text(text_x, y, Anchor::Start, &text, CHARS)
    };
    for (y, at, what) in plan.marks() {
        match what {
            What::Called(id) => {
                let Some(call) = own(*id) else { continue };
                if let Some(slot) = open.get_mut(id.0) {
                    *slot = Some(Open { y, at });
                }
                let detail = format!("{}\ncalled at {}", about(call), seconds(at));
                let text = say(y, *id, call, &call.title, "call", detail);
                texts.push(text.named(called(*id)));
            }
            What::Told { call: id, news } => {
                let Some(call) = own(*id) else { continue };
                let detail = format!("{}\ntold at {}\n{}", about(call), seconds(at), full(news));
                let class = format!("told {}", tone_class(news.tone));
                texts.push(say(y, *id, call, &news.brief, &class, detail));
            }
            What::Answered { call: id, answer } => {
                let Some(call) = own(*id) else { continue };
                let words = format!("→ {}", answer.brief);
                let since = open.get_mut(id.0).and_then(Option::take);
                let took = since.as_ref().map(|open| lasting(open.at, at));
                let took = took.unwrap_or_default();
                let detail = format!(
                    "{}\nanswered at {}, after {took}\n{}",
                    about(call),
                    seconds(at),
                    full(answer)
                );
                let tone = tone_class(answer.tone);
                let text = say(y, *id, call, &words, &format!("answer {tone}"), detail);
                texts.push(text.named(answered(*id)));
                if let Some(open) = since {
                    let bar = bar(plan, *id, call, &open, (y, at), tone);
                    bands.push(bar.see(answered(*id)));
                }
            }
            What::Noted { lane, note } if *lane == client => {
                let class = format!("say note {}", tone_class(note.tone));
                let detail = format!("{}\n{}", seconds(at), full(note));
                texts.push(Shape::new(class, detail).text(
                    text_x,
                    y,
                    Anchor::Start,
                    &note.brief,
                    CHARS,
                ));
            }
            What::Phase(_)
            | What::Dialled(_)
            | What::Connected(_)
            | What::Ended { .. }
            | What::Sent(_)
            | What::Arrived(_)
            | What::Struck(_)
            | What::Noted { .. }
            | What::Became { .. }
            | What::Broken { .. } => {}
        }
    }
    for (at, open) in open.iter().enumerate() {
        let id = CallId(at);
        if let (Some(open), Some(call)) = (open, own(id)) {
            let end = (plan.bottom(), plan.recording.end);
            bands.push(bar(plan, id, call, open, end, "never").see(called(id)));
        }
    }
    bands.append(&mut texts);
    (width, bands)
}

fn bar(
    plan: &Plan<'_>,
    id: CallId,
    call: &Call,
    open: &Open,
    end: (u32, Instant),
    tone: &str,
) -> Shape {
    let place = u32::try_from(plan.columns.call_bar(id.0)).unwrap_or(0);
    let x = LEFT + BAR * place;
    let shape = Shape::new(format!("bar {tone}"), "").grouped(Some(group(id)));
    let (y, at) = end;
    let shape = shape.band(
        x,
        BAR_WIDE,
        open.y.saturating_sub(FOOT),
        (y + FOOT).max(open.y + ROW / 2),
    );
    match call.until.filter(|until| *until <= at) {
        Some(until) => shape.part(Part::Stroke {
            x: x.saturating_sub(1),
            width: BAR_WIDE + 2,
            y: plan.rows.y_at(until),
        }),
        None => shape,
    }
}

fn about(call: &Call) -> String {
    let until = call
        .until
        .map(|until| format!("\nuntil {}", seconds(until)));
    let until = until.unwrap_or_default();
    format!("{} {}\n{}{until}", call.name, call.title, call.detail)
}

/// All that the words say.
pub(super) fn full(words: &Words) -> &str {
    if words.detail.is_empty() {
        &words.brief
    } else {
        &words.detail
    }
}
