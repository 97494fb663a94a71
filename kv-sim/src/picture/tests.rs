//! Laws of recordings and drawings, held over many runs of all kinds.

mod page;

use std::collections::{BTreeMap, BTreeSet};

use kv_proto::Instant;

use super::layout::{Anchor, Column, Drawing, Part};
use super::*;
use crate::fault::Way;
use crate::history::Call as Asked;
use crate::{Mix, Scenario, run, run_recorded};

/// Runs of every mix: calm ones, hostile ones, ones with watches and with elections.
fn runs() -> impl Iterator<Item = Scenario> {
    let mixes = Mix::ALL.into_iter();
    mixes.flat_map(|(_, mix)| (1..=8).map(move |seed| Scenario::draw(seed, mix)))
}

#[test]
fn who_records_changes_nothing() {
    for scenario in runs() {
        let (outcome, recording) = run_recorded(&scenario);
        assert_eq!(outcome, run(&scenario), "{}", scenario.seed);
        assert!(recording.marks.len() > 100, "{}", recording.marks.len());
        assert_eq!(recording, run_recorded(&scenario).1, "{}", scenario.seed);
    }
}

#[test]
fn time_runs_on_and_all_names_are_known() {
    for scenario in runs() {
        let (_, recording) = run_recorded(&scenario);
        let times = recording.marks.iter().map(|mark| mark.at);
        assert!(times.is_sorted());
        assert!(recording.marks.iter().all(|mark| mark.at <= recording.end));
        for mark in &recording.marks {
            let known = match &mark.what {
                What::Phase(_) => true,
                What::Dialled(link) | What::Connected(link) | What::Ended { link, .. } => {
                    recording.link(*link).is_some()
                }
                What::Sent(frame) | What::Arrived(frame) => recording.frame(*frame).is_some(),
                What::Called(call) | What::Told { call, .. } | What::Answered { call, .. } => {
                    recording.call(*call).is_some()
                }
                What::Struck(strike) => recording.strike(*strike).is_some(),
                What::Noted { lane, .. } | What::Became { lane, .. } => {
                    !recording.name(*lane).is_empty()
                }
                What::Broken { .. } => panic!("{mark:?}"),
            };
            assert!(known, "{mark:?}");
        }
    }
}

/// What arrives was sent, whole, earlier, over a link that had been dialled, and nothing overtakes.
#[test]
fn what_arrives_was_sent_before_it_and_in_that_order() {
    let (mut arrived, mut lost, mut cut) = (0, 0, 0);
    for scenario in runs() {
        let (_, recording) = run_recorded(&scenario);
        let (mut sent, mut dialled) = (BTreeMap::new(), BTreeSet::new());
        let mut last = BTreeMap::new();
        for mark in &recording.marks {
            if let What::Dialled(link) = mark.what {
                assert!(dialled.insert(link));
            }
            if let What::Sent(id) = mark.what {
                let frame = recording.frame(id).expect("it is known");
                assert!(dialled.contains(&frame.link));
                assert_eq!(sent.insert(id, mark.at), None);
            }
            if let What::Arrived(id) = mark.what {
                let frame = recording.frame(id).expect("it is known");
                assert!(sent.remove(&id).expect("it was sent") <= mark.at);
                assert!(frame.whole && !frame.swallowed && frame.pieces > 0);
                assert_eq!(frame.arrived, frame.size);
                let before = last.insert((frame.link, frame.way == Way::Up), id);
                assert!(before.is_none_or(|before| before < id), "overtaken");
                arrived += 1;
            }
        }
        for id in sent.keys() {
            let frame = recording.frame(*id).expect("it is known");
            assert!(!frame.whole || frame.swallowed || frame.arrived < frame.size);
            lost += 1;
            cut += usize::from(frame.arrived > 0);
        }
    }
    assert!(
        arrived > 5_000 && lost > 100 && cut > 5,
        "{arrived} {lost} {cut}"
    );
}

/// Every call of the run is there, and is answered as it was; those of watches go on.
#[test]
fn calls_are_those_of_the_run() {
    for scenario in runs() {
        let (outcome, recording) = run_recorded(&scenario);
        assert_eq!(recording.calls.len(), outcome.history.calls.len());
        let (mut open, mut answers) = (BTreeSet::new(), BTreeMap::new());
        for mark in &recording.marks {
            if let What::Called(call) = mark.what {
                assert!(open.insert(call));
            }
            if let What::Told { call, .. } = mark.what {
                assert!(open.contains(&call));
            }
            if let What::Answered { call, answer } = &mark.what {
                assert!(open.remove(call));
                answers.insert(call.0, (mark.at, answer));
            }
        }
        for record in &outcome.history.calls {
            let watches = [Asked::Watch, Asked::List].contains(&record.call);
            let Some((at, answer)) = record.answer.as_ref().filter(|_| !watches) else {
                continue;
            };
            let id = usize::try_from(record.id.0).expect("few");
            let (told, words) = answers.get(&id).expect("it was answered");
            assert!(told == at && words.brief.starts_with(start_of(answer.name())));
        }
    }
}

fn start_of(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// Later is never above earlier, and an arrow never leads up.
#[test]
fn time_runs_down() {
    for scenario in runs() {
        let (_, recording) = run_recorded(&scenario);
        let drawing = Drawing::of(&recording);
        for part in parts(&drawing) {
            if let Part::Arrow { from, to } = part {
                assert!(from.1 <= to.1, "{part:?}");
            }
        }
        let ticks = drawing.ticks.iter().map(|tick| tick.y);
        assert!(ticks.is_sorted_by(|one, other| one < other));
    }
}

/// Texts that begin or end at the same edge are a row apart, each fits into its column, and those of both edges
/// leave each other room.
#[test]
fn no_text_lies_on_another() {
    /// The width of a character, in tenths of a unit.
    const CHAR: usize = 64;
    for scenario in runs() {
        let (_, recording) = run_recorded(&scenario);
        for column in Drawing::of(&recording).columns {
            let mut rows: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
            for (x, y, anchor, text) in texts(&column) {
                let wide = u32::try_from(text.chars().count() * CHAR / 10).expect("short");
                let from = match anchor {
                    Anchor::Start => x,
                    Anchor::Middle => x - wide / 2,
                    Anchor::End => x - wide,
                };
                assert!(from + wide <= column.width, "{text}");
                rows.entry(y).or_default().push((from, from + wide));
            }
            let all: Vec<_> = rows.into_iter().collect();
            for (at, (y, spans)) in all.iter().enumerate() {
                let near = all.iter().skip(at).take_while(|(other, _)| *other < y + 12);
                let others: Vec<_> = near.flat_map(|(_, spans)| spans).collect();
                for (n, one) in spans.iter().enumerate() {
                    for other in others.iter().skip(n + 1) {
                        let apart = one.1 <= other.0 + 4 || other.1 <= one.0 + 4;
                        assert!(apart, "{:?} at {y}: {one:?} {other:?}", column.shows);
                    }
                }
            }
        }
    }
}

fn parts(drawing: &Drawing) -> impl Iterator<Item = &Part> {
    let shapes = drawing.columns.iter().flat_map(|column| &column.shapes);
    shapes.flat_map(|shape| &shape.parts)
}

fn texts(column: &Column) -> impl Iterator<Item = (u32, u32, Anchor, &str)> {
    let parts = column.shapes.iter().flat_map(|shape| &shape.parts);
    parts.filter_map(|part| {
        let Part::Text { x, y, anchor, text } = part else {
            return None;
        };
        Some((*x, *y, *anchor, text.as_str()))
    })
}

/// Bytes that a dead wire swallows are shown, and do not count; damage is what is on the wire.
#[test]
fn swallowed_and_damaged_messages_are_told_apart() {
    let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
    let mut recorder = Recorder::new("wires");
    let client = recorder.lane(Role::Client, "c");
    let link = recorder.dial(at(0), client, None, "l");
    recorder.sent(at(1), link, Way::Up, b"PING\r\n", b"PI!G\r\n");
    recorder.sent(at(2), link, Way::Up, b"PONG\r\nPI", b"PONG\r\nPI");
    recorder.sent(at(3), link, Way::Up, b"NG\r\nPING\r\n", b"");
    recorder.arrived(at(4), link, Way::Up, 13);
    recorder.arrived(at(5), link, Way::Up, 100);
    let recording = recorder.finish(at(6));
    let seen: Vec<_> = recording
        .frames
        .iter()
        .map(|frame| {
            let head = frame.head.escape_ascii().to_string();
            (head, frame.arrived, frame.swallowed, frame.pieces)
        })
        .collect();
    let expected = [
        ("PI!G\\r\\n", 6, false, 1),
        ("PONG\\r\\n", 6, false, 1),
        ("PING\\r\\n", 2, true, 2),
        ("PING\\r\\n", 0, true, 0),
    ];
    assert_eq!(
        seen,
        expected.map(|(head, n, lost, in_)| (head.to_owned(), n, lost, in_))
    );
    let arrived = recording
        .marks
        .iter()
        .filter(|mark| matches!(mark.what, What::Arrived(_)));
    assert_eq!(arrived.count(), 2);
}

/// Memory is bounded: what is too much is counted, and what is broken is noted all the same.
#[test]
fn too_many_marks_are_left_out_but_for_what_is_broken() {
    let at = Instant::from_nanos;
    let mut recorder = Recorder::new("long");
    let lane = recorder.lane(Role::Client, "c");
    let link = recorder.dial(at(0), lane, None, "l");
    for n in 0..60_000 {
        recorder.note(at(n), lane, Words::new("n", Tone::Plain));
        recorder.sent(at(n), link, Way::Up, b"PING\r\n", b"PING\r\n");
        recorder.arrived(at(n), link, Way::Up, 6);
    }
    recorder.broken(at(60_000), "late", Concerns::default());
    let recording = recorder.finish(at(60_000));
    assert!(recording.marks.len() <= 50_001 && recording.frames.len() < 50_000);
    assert!(recording.is_broken());
    assert!(recording.facts.iter().any(|(name, _)| name == "left out"));
}
