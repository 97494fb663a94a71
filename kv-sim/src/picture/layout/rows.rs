//! How far down each mark stands.
//!
//! Time runs down, but not evenly: a moment takes the room of what is written at it, and a pause only what its
//! logarithm is worth. Later moments are never above earlier ones, so that a line that goes down is a message
//! that takes time; and two texts in the same track are never closer than a row.

use kv_proto::Instant;

use super::super::record::{Mark, Recording, What};
use super::columns::Columns;
use crate::fault::Way;

/// The height of a line of text.
pub(in crate::picture) const ROW: u32 = 14;
/// What several arrivals at once are apart.
const FAN: u32 = 5;
/// Above the first row.
const TOP: u32 = 10;
/// A pause that is worth a word.
const PAUSE_NANOS: u64 = 500_000_000;
const PAUSE: u32 = 30;
/// A banner's line, its margins, and the characters that fit in one.
const BANNER_LINE: u32 = 19;
const BANNER_MARGIN: u32 = 22;
const BANNER_CHARS: usize = 110;
const PHASE: u32 = 26;

/// In each column, texts on the left, texts on the right, arrivals on the right, and on the left.
const TRACKS: usize = 4;
const LEFT: usize = 0;
const RIGHT: usize = 1;
const UP_ENDS: usize = 2;
const DOWN_ENDS: usize = 3;

/// A moment at which something is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: Instant,
    /// From where to where its marks stand.
    pub(super) top: u32,
    pub(super) bottom: u32,
}

#[derive(Debug)]
pub(super) struct Rows {
    /// For each mark, where it stands.
    pub(super) marks: Vec<u32>,
    pub(super) moments: Vec<Moment>,
    pub(super) height: u32,
}

/// What room a mark needs.
enum Need {
    Tracks {
        column: usize,
        tracks: &'static [usize],
        height: u32,
    },
    /// From one side to the other.
    All(u32),
    Nothing,
}

impl Rows {
    pub(super) fn of(recording: &Recording, columns: &Columns) -> Self {
        let mut bottoms = vec![[TOP; TRACKS]; columns.all.len()];
        let mut rows = Self {
            marks: Vec::with_capacity(recording.marks.len()),
            moments: Vec::new(),
            height: 0,
        };
        let same = |one: &Mark, other: &Mark| one.at == other.at;
        for marks in recording.marks.chunk_by(same) {
            let Some(at) = marks.first().map(|mark| mark.at) else {
                continue;
            };
            let mut top = rows
                .moments
                .last()
                .map_or(TOP, |last| last.bottom + gap(last.at, at));
            for mark in marks {
                top = top.max(first_free(&bottoms, &need(recording, columns, mark)));
            }
            let mut bottom = top;
            for mark in marks {
                let need = need(recording, columns, mark);
                let y = first_free(&bottoms, &need).max(top);
                take(&mut bottoms, &need, y);
                rows.marks.push(y);
                bottom = bottom.max(y);
            }
            rows.moments.push(Moment { at, top, bottom });
        }
        let lowest = bottoms.iter().flatten().max();
        rows.height = lowest.copied().unwrap_or(TOP) + 3 * ROW;
        rows
    }

    /// Where a moment stands at which nothing may be marked.
    pub(super) fn y_at(&self, at: Instant) -> u32 {
        let next = self.moments.partition_point(|moment| moment.at < at);
        let before = next
            .checked_sub(1)
            .and_then(|before| self.moments.get(before));
        match (before, self.moments.get(next)) {
            (_, Some(next)) if next.at == at => next.top,
            (Some(before), Some(next)) => {
                let whole = next.at.as_nanos() - before.at.as_nanos();
                let part = at.as_nanos() - before.at.as_nanos();
                let room = next.top.saturating_sub(before.bottom);
                let share = u128::from(room) * u128::from(part) / u128::from(whole.max(1));
                before.bottom + u32::try_from(share).unwrap_or(room)
            }
            (None, Some(next)) => next.top,
            (Some(before), None) => before.bottom + ROW,
            (None, None) => TOP,
        }
    }
}

/// The room that a pause is given.
fn gap(from: Instant, to: Instant) -> u32 {
    let nanos = to.as_nanos().saturating_sub(from.as_nanos());
    if nanos >= PAUSE_NANOS {
        return PAUSE;
    }
    2 + (1 + nanos / 1_000).ilog2()
}

/// Whether a pause gets a word.
pub(super) fn is_long(from: Instant, to: Instant) -> bool {
    to.as_nanos().saturating_sub(from.as_nanos()) >= PAUSE_NANOS
}

fn need(recording: &Recording, columns: &Columns, mark: &Mark) -> Need {
    let text = |column| Need::Tracks {
        column,
        tracks: &[LEFT],
        height: ROW,
    };
    match &mark.what {
        What::Phase(_) => Need::All(PHASE),
        What::Broken { text, .. } => Need::All(banner_height(text)),
        What::Connected(_) => Need::Nothing,
        What::Dialled(link) | What::Ended { link, .. } => Need::Tracks {
            column: columns.of_link(*link),
            tracks: &[LEFT, RIGHT],
            height: ROW,
        },
        What::Sent(id) => recording
            .frame(*id)
            .map_or(Need::Nothing, |frame| Need::Tracks {
                column: columns.of_link(frame.link),
                tracks: match frame.way {
                    Way::Up => &[LEFT],
                    Way::Down => &[RIGHT],
                },
                height: ROW,
            }),
        What::Arrived(id) => recording
            .frame(*id)
            .map_or(Need::Nothing, |frame| Need::Tracks {
                column: columns.of_link(frame.link),
                tracks: match frame.way {
                    Way::Up => &[UP_ENDS],
                    Way::Down => &[DOWN_ENDS],
                },
                height: FAN,
            }),
        What::Called(call) | What::Told { call, .. } | What::Answered { call, .. } => {
            let lane = recording.call(*call).map(|call| call.lane);
            lane.map_or(Need::Nothing, |lane| text(columns.of_lane(lane)))
        }
        What::Struck(_) => text(0),
        What::Noted { lane, .. } | What::Became { lane, .. } => text(columns.of_lane(*lane)),
    }
}

/// The height of a banner with that text.
pub(super) fn banner_height(text: &str) -> u32 {
    let lines = text.chars().count().div_ceil(BANNER_CHARS).max(1);
    BANNER_MARGIN + BANNER_LINE * u32::try_from(lines).unwrap_or(1)
}

fn first_free(bottoms: &[[u32; TRACKS]], need: &Need) -> u32 {
    match need {
        Need::Nothing => 0,
        Need::All(_) => bottoms.iter().flatten().max().copied().unwrap_or(0),
        Need::Tracks { column, tracks, .. } => {
            let Some(own) = bottoms.get(*column) else {
                return 0;
            };
            let bottoms = tracks.iter().filter_map(|track| own.get(*track));
            bottoms.max().copied().unwrap_or(0)
        }
    }
}

fn take(bottoms: &mut [[u32; TRACKS]], need: &Need, y: u32) {
    match need {
        Need::Nothing => {}
        Need::All(height) => bottoms
            .iter_mut()
            .flatten()
            .for_each(|bottom| *bottom = y + height),
        Need::Tracks {
            column,
            tracks,
            height,
        } => {
            let Some(own) = bottoms.get_mut(*column) else {
                return;
            };
            for track in *tracks {
                if let Some(bottom) = own.get_mut(*track) {
                    *bottom = y + height;
                }
            }
        }
    }
}
