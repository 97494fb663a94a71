//! Writes a [`Recording`] while something runs.
//!
//! Bytes go in as they are written and as they arrive; the recorder finds the messages in them. A wire keeps
//! the order of its bytes, so a message has arrived when so many bytes have arrived as were written up to its
//! end.

use std::collections::VecDeque;

use kv_proto::Instant;

use super::record::{
    Call, CallId, Concerns, Frame, FrameId, Lane, LaneId, Link, LinkId, Mark, MarkId, On,
    Recording, Role, Side, State, Strike, StrikeId, What, Words,
};
use super::splitter::Splitter;
use crate::fault::Way;

/// The bytes of a message that are kept.
const KEPT: usize = 1_024;
/// Marks that are kept: what comes later is counted, and only what is broken is still noted.
const MAX_MARKS: usize = 50_000;

/// Writes a [`Recording`].
///
/// ```
/// use kv_proto::Instant;
/// use kv_sim::fault::Way;
/// use kv_sim::picture::{Recorder, Role, draw};
///
/// let mut recorder = Recorder::new("two pings");
/// let (client, server) = (recorder.lane(Role::Client, "me"), recorder.lane(Role::Server, "you"));
/// let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
/// let link = recorder.dial(at(0), client, Some(server), "link 1");
/// recorder.connected(at(1), link);
/// recorder.sent(at(2), link, Way::Up, b"PING\r\nPING\r\n", b"PING\r\nPING\r\n");
/// recorder.arrived(at(3), link, Way::Up, 7);
/// let recording = recorder.finish(at(4));
/// assert_eq!((recording.frames[0].arrived, recording.frames[1].arrived), (6, 1));
/// assert!(draw(&recording).contains("two pings"));
/// ```
#[derive(Debug, Default)]
pub struct Recorder {
    recording: Recording,
    /// The two directions of every link: up, and down.
    wires: Vec<[Wire; 2]>,
    answered: Vec<bool>,
    now: Instant,
    left_out: usize,
}

/// One direction of a link.
#[derive(Debug, Default)]
struct Wire {
    splitter: Splitter,
    /// The message that is being written.
    at_hand: Option<FrameId>,
    /// Parts of messages that are on their way: how many bytes, and whether it is the end.
    under_way: VecDeque<(FrameId, usize, bool)>,
}

impl Recorder {
    /// Begins a recording.
    pub fn new(title: impl Into<String>) -> Self {
        let mut recorder = Self::default();
        recorder.recording.title = title.into();
        recorder
    }

    /// Says something about the whole.
    pub fn fact(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.recording.facts.push((name.into(), value.into()));
    }

    /// Adds somebody who takes part.
    pub fn lane(&mut self, role: Role, name: impl Into<String>) -> LaneId {
        let name = name.into();
        self.recording.lanes.push(Lane { name, role });
        LaneId(self.recording.lanes.len() - 1)
    }

    /// A client dials.
    pub fn dial(
        &mut self,
        at: Instant,
        client: LaneId,
        server: Option<LaneId>,
        name: impl Into<String>,
    ) -> LinkId {
        let name = name.into();
        self.recording.links.push(Link {
            client,
            server,
            name,
        });
        self.wires.push(Default::default());
        let link = LinkId(self.recording.links.len() - 1);
        self.mark(at, What::Dialled(link));
        link
    }

    /// The link stands.
    pub fn connected(&mut self, at: Instant, link: LinkId) {
        self.mark(at, What::Connected(link));
    }

    /// One end of a link is over.
    pub fn ended(&mut self, at: Instant, link: LinkId, end: Side, why: impl Into<String>) {
        let why = why.into();
        self.mark(at, What::Ended { link, end, why });
    }

    /// Bytes are written to a link; `entered` is what of them, or in their place, is on its way then: nothing
    /// if they are swallowed.
    pub fn sent(&mut self, at: Instant, link: LinkId, way: Way, offered: &[u8], entered: &[u8]) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        let lost = entered.is_empty();
        let bytes = if lost { offered } else { entered };
        let Some(wire) = wire_of(&mut self.wires, link, way) else {
            return;
        };
        let (frames, mut begun) = (&mut self.recording.frames, Vec::new());
        let Wire {
            splitter,
            at_hand,
            under_way,
        } = wire;
        splitter.push(bytes, |part| {
            if part.begins {
                let id = FrameId(frames.len());
                frames.push(Frame {
                    link,
                    way,
                    head: Vec::new(),
                    size: 0,
                    whole: false,
                    swallowed: false,
                    arrived: 0,
                    pieces: 0,
                });
                begun.push(id);
                *at_hand = Some(id);
            }
            let Some(id) = *at_hand else {
                return;
            };
            let Some(frame) = frames.get_mut(id.0) else {
                return;
            };
            let room = KEPT.saturating_sub(frame.head.len()).min(part.bytes.len());
            frame
                .head
                .extend_from_slice(part.bytes.get(..room).unwrap_or_default());
            frame.size += part.bytes.len();
            frame.whole = part.ends;
            frame.swallowed |= lost;
            if !lost {
                let ends = part.ends && !frame.swallowed;
                under_way.push_back((id, part.bytes.len(), ends));
            }
        });
        for id in begun {
            self.mark(at, What::Sent(id));
        }
    }

    /// So many bytes arrive at the other end of a link.
    pub fn arrived(&mut self, at: Instant, link: LinkId, way: Way, size: usize) {
        let Some(wire) = wire_of(&mut self.wires, link, way) else {
            return;
        };
        let (mut left, mut whole) = (size, Vec::new());
        let mut before = None;
        while left > 0
            && let Some((id, size, ends)) = wire.under_way.front_mut()
        {
            let taken = left.min(*size);
            left -= taken;
            *size -= taken;
            if let Some(frame) = self.recording.frames.get_mut(id.0) {
                frame.arrived += taken;
                frame.pieces += usize::from(before != Some(*id));
                before = Some(*id);
            }
            if *size == 0 {
                whole.extend(ends.then_some(*id));
                wire.under_way.pop_front();
            }
        }
        for id in whole {
            self.mark(at, What::Arrived(id));
        }
    }

    /// A client asks for something.
    pub fn call(&mut self, at: Instant, call: Call) -> CallId {
        self.recording.calls.push(call);
        self.answered.push(false);
        let call = CallId(self.recording.calls.len() - 1);
        self.mark(at, What::Called(call));
        call
    }

    /// A call that goes on tells something; one that was answered tells nothing more.
    pub fn told(&mut self, at: Instant, call: CallId, news: Words) {
        if self.answered.get(call.0) == Some(&false) {
            self.mark(at, What::Told { call, news });
        }
    }

    /// A call ends. The first answer counts.
    pub fn answered(&mut self, at: Instant, call: CallId, answer: Words) {
        if self
            .answered
            .get_mut(call.0)
            .is_some_and(|before| !std::mem::replace(before, true))
        {
            self.mark(at, What::Answered { call, answer });
        }
    }

    /// A fault strikes.
    pub fn strike(&mut self, at: Instant, strike: Strike) -> StrikeId {
        self.recording.strikes.push(strike);
        let strike = StrikeId(self.recording.strikes.len() - 1);
        self.mark(at, What::Struck(strike));
        strike
    }

    /// A fault had no effect.
    pub fn missed(&mut self, strike: StrikeId) {
        if let Some(strike) = self.recording.strikes.get_mut(strike.0) {
            strike.title.push_str(": no effect");
            (strike.on, strike.until) = (On::All, None);
        }
    }

    /// Every fault that lasts ends now.
    pub fn heal(&mut self, at: Instant) {
        for strike in &mut self.recording.strikes {
            strike.until = strike.until.map(|until| until.min(at));
        }
    }

    /// Somebody does something that is worth a line. Returns a name for it, for those it may concern.
    pub fn note(&mut self, at: Instant, lane: LaneId, note: Words) -> MarkId {
        let mark = MarkId(self.recording.marks.len());
        self.mark(at, What::Noted { lane, note });
        mark
    }

    /// Somebody is now in another state.
    pub fn became(&mut self, at: Instant, lane: LaneId, state: State) {
        self.mark(at, What::Became { lane, state });
    }

    /// Something begins that concerns all.
    pub fn phase(&mut self, at: Instant, text: impl Into<String>) {
        self.mark(at, What::Phase(text.into()));
    }

    /// A promise is broken.
    pub fn broken(&mut self, at: Instant, text: impl Into<String>, concerns: Concerns) {
        let text = text.into();
        self.mark(at, What::Broken { text, concerns });
    }

    /// Ends the recording.
    #[must_use]
    pub fn finish(mut self, at: Instant) -> Recording {
        self.recording.end = at.max(self.now);
        if self.left_out > 0 {
            let text = format!("{} marks, as there were too many", self.left_out);
            self.fact("left out", text);
        }
        self.recording
    }

    /// The latest moment that was recorded.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    fn is_full(&self) -> bool {
        self.recording.marks.len() >= MAX_MARKS
    }

    fn mark(&mut self, at: Instant, what: What) {
        self.now = self.now.max(at);
        let matters = matches!(what, What::Broken { .. });
        if self.is_full() && !matters {
            self.left_out += 1;
            return;
        }
        self.recording.marks.push(Mark { at: self.now, what });
    }
}

fn wire_of(wires: &mut [[Wire; 2]], link: LinkId, way: Way) -> Option<&mut Wire> {
    let [up, down] = wires.get_mut(link.0)?;
    Some(match way {
        Way::Up => up,
        Way::Down => down,
    })
}
