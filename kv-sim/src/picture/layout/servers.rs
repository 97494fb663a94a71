//! The columns of servers and of the stream: a band for how they are, and words where that changes.

use kv_proto::Instant;

use super::super::record::{LaneId, MarkId, Role, State, What};
use super::calls::full;
use super::{Anchor, Plan, Shape, note_group, seconds, tone_class};

const BAND: u32 = 8;
const BAND_X: u32 = 5;
const TEXT_X: u32 = BAND_X + BAND + 6;

pub(super) fn draw(plan: &Plan<'_>, lane: LaneId) -> (u32, Vec<Shape>) {
    let is_stream = plan.recording.in_role(Role::Stream).any(|one| one == lane);
    let (width, room) = if is_stream { (230, 31) } else { (118, 14) };
    let (mut bands, mut texts) = (Vec::new(), Vec::new());
    let mut since: Option<(u32, State)> = None;
    for (mark, (y, at, what)) in plan.marks().enumerate() {
        match what {
            What::Became { lane: one, state } if *one == lane => {
                if let Some((from, before)) = since {
                    bands.push(band(plan, lane, before, from, y));
                }
                since = Some((y, *state));
                let words = words(plan, *state);
                let quiet = *state == State::Up && at == Instant::ORIGIN;
                if !quiet {
                    let shape = Shape::new("say state", format!("{}\n{words}", seconds(at)));
                    texts.push(shape.text(TEXT_X, y, Anchor::Start, &words, room));
                }
            }
            What::Noted { lane: one, note } if *one == lane => {
                let class = format!("say note {}", tone_class(note.tone));
                let shape = Shape::new(class, format!("{}\n{}", seconds(at), full(note)));
                let shape = shape.grouped(Some(note_group(MarkId(mark))));
                texts.push(shape.text(TEXT_X, y, Anchor::Start, &note.brief, room));
            }
            What::Phase(_)
            | What::Dialled(_)
            | What::Connected(_)
            | What::Ended { .. }
            | What::Sent(_)
            | What::Arrived(_)
            | What::Called(_)
            | What::Told { .. }
            | What::Answered { .. }
            | What::Struck(_)
            | What::Noted { .. }
            | What::Became { .. }
            | What::Broken { .. } => {}
        }
    }
    if let Some((from, state)) = since {
        bands.push(band(plan, lane, state, from, plan.bottom()));
    }
    bands.append(&mut texts);
    (width, bands)
}

fn band(plan: &Plan<'_>, lane: LaneId, state: State, from: u32, to: u32) -> Shape {
    let class = match state {
        State::Up => format!("up {}", plan.hue(lane)),
        State::Leaving => format!("leaving {}", plan.hue(lane)),
        State::Led(server) => format!("led {}", plan.hue(server)),
        State::Down | State::Leaderless => "down".into(),
        State::Absent => "absent".into(),
    };
    let detail = format!("{}: {}", plan.recording.name(lane), words(plan, state));
    Shape::new(format!("life {class}"), detail).band(BAND_X, BAND, from, to)
}

fn words(plan: &Plan<'_>, state: State) -> String {
    match state {
        State::Up => "runs".into(),
        State::Leaving => "says it goes".into(),
        State::Down => "is down".into(),
        State::Led(server) => format!("led by {}", plan.recording.name(server)),
        State::Leaderless => "without a leader".into(),
        State::Absent => "is not there".into(),
    }
}
