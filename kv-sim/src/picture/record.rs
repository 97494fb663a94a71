//! What a picture is drawn from: what happened, to whom, and when.
//!
//! Whatever runs something in virtual time can write one, with a [`Recorder`](super::Recorder). Nothing in it
//! knows how it is drawn, and nothing in it knows which world it comes from.
//!
//! Invariants, which the recorder keeps: marks are in the order of time; an id in a mark names something that
//! is there; what has arrived was sent before, in whole; what is answered was called before, and is answered
//! once.

use kv_proto::Instant;

use crate::fault::Way;

/// Names a [`Lane`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneId(pub(super) usize);

/// Names a [`Link`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub(super) usize);

/// Names a [`Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameId(pub(super) usize);

/// Names a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub(super) usize);

/// Names a [`Mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkId(pub(super) usize);

/// Names a [`Strike`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StrikeId(pub(super) usize);

/// All that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recording {
    /// What it is of.
    pub title: String,
    /// What there is to know about it, by name.
    pub facts: Vec<(String, String)>,
    /// Who takes part, in the order in which they are drawn.
    pub lanes: Vec<Lane>,
    /// The connections, in the order in which they were dialled.
    pub links: Vec<Link>,
    /// What was sent over them, in the order in which it was begun.
    pub frames: Vec<Frame>,
    /// What clients asked for.
    pub calls: Vec<Call>,
    /// What went wrong on purpose.
    pub strikes: Vec<Strike>,
    /// What happened, in the order of time.
    pub marks: Vec<Mark>,
    /// When it was over.
    pub end: Instant,
}

/// Somebody who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lane {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub role: Role,
}

/// What somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each is drawn in its own way")]
pub enum Role {
    /// It dials, calls and is answered.
    Client,
    /// It is dialled.
    Server,
    /// What the servers keep together: a stream.
    Stream,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Who dialled.
    pub client: LaneId,
    /// Who was dialled; `None` for somebody who takes no part.
    pub server: Option<LaneId>,
    /// What the client calls it.
    pub name: String,
}

/// A message on a link, as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// Over which link it went.
    pub link: LinkId,
    /// In which direction.
    pub way: Way,
    /// How it begins: no more than is shown.
    pub head: Vec<u8>,
    /// How many bytes of it were sent.
    pub size: usize,
    /// Whether it was sent to its end.
    pub whole: bool,
    /// Whether some of it was swallowed at once.
    pub swallowed: bool,
    /// How many bytes of it have arrived.
    pub arrived: usize,
    /// In how many pieces.
    pub pieces: usize,
}

/// Something that a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever records makes them")]
pub struct Call {
    /// Who called.
    pub lane: LaneId,
    /// By what it is known from then on: very short.
    pub name: String,
    /// What was asked for: short.
    pub title: String,
    /// All about it.
    pub detail: String,
    /// When it is to be answered at the latest, if that was said.
    pub until: Option<Instant>,
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever records makes them")]
pub struct Strike {
    /// Whom it befell.
    pub on: On,
    /// What it is called: short.
    pub title: String,
    /// All about it.
    pub detail: String,
    /// When it ends; `None` if it is over at once, or nobody knows.
    pub until: Option<Instant>,
}

/// Whom a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each is drawn in its own way")]
pub enum On {
    /// Nobody in particular.
    All,
    /// One who takes part.
    One(LaneId),
    /// The links of a client.
    LinksOf(LaneId),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "when and what")]
pub struct Mark {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "a picture that leaves a kind of mark out shows half"
)]
#[allow(missing_docs, reason = "the fields are who and what")]
pub enum What {
    /// Something begins that concerns all.
    Phase(String),
    /// A client dials.
    Dialled(LinkId),
    /// The link stands.
    Connected(LinkId),
    /// One end of a link is over.
    Ended {
        link: LinkId,
        end: Side,
        why: String,
    },
    /// The first byte of a message leaves.
    Sent(FrameId),
    /// The last byte of a message arrives.
    Arrived(FrameId),
    /// A client asks for something.
    Called(CallId),
    /// A call that goes on tells something.
    Told { call: CallId, news: Words },
    /// A call ends.
    Answered { call: CallId, answer: Words },
    /// A fault strikes.
    Struck(StrikeId),
    /// Somebody does something that is worth a line.
    Noted { lane: LaneId, note: Words },
    /// Somebody is now in another state.
    Became { lane: LaneId, state: State },
    /// A promise is broken.
    Broken { text: String, concerns: Concerns },
}

/// What a broken promise is about, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "whoever records makes them")]
pub struct Concerns {
    /// The promise to a call.
    pub call: Option<CallId>,
    /// Somebody's.
    pub lane: Option<LaneId>,
    /// What was noted of somebody.
    pub note: Option<MarkId>,
}

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two")]
pub enum Side {
    /// The end of whoever dialled.
    Client,
    /// The other one.
    Server,
}

/// How a server or a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each is drawn in its own way")]
pub enum State {
    /// A server runs.
    Up,
    /// A server has said that it will go.
    Leaving,
    /// A server is down.
    Down,
    /// A stream is led by this server.
    Led(LaneId),
    /// A stream is led by nobody.
    Leaderless,
    /// There is no such stream.
    Absent,
}

/// A short text, the long one, and how good the news is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two texts and their tone")]
pub struct Words {
    /// What is drawn.
    pub brief: String,
    /// All about it; empty if there is no more to say.
    pub detail: String,
    /// How good it is.
    pub tone: Tone,
}

/// How good news is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "each has a colour")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Neither good nor bad.
    Plain,
    /// Nobody can know.
    Doubt,
    /// It failed.
    Bad,
}

impl Words {
    /// Makes words that say it all.
    pub fn new(brief: impl Into<String>, tone: Tone) -> Self {
        Self {
            brief: brief.into(),
            detail: String::new(),
            tone,
        }
    }

    /// Adds the long text.
    #[must_use]
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl Recording {
    /// The frame of that name.
    #[must_use]
    pub fn frame(&self, id: FrameId) -> Option<&Frame> {
        self.frames.get(id.0)
    }

    /// The link of that name.
    #[must_use]
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.0)
    }

    /// The call of that name.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.calls.get(id.0)
    }

    /// The fault of that name.
    #[must_use]
    pub fn strike(&self, id: StrikeId) -> Option<&Strike> {
        self.strikes.get(id.0)
    }

    /// What somebody is called.
    #[must_use]
    pub fn name(&self, id: LaneId) -> &str {
        self.lanes.get(id.0).map_or("", |lane| &lane.name)
    }

    /// Everybody in that role.
    pub fn in_role(&self, role: Role) -> impl Iterator<Item = LaneId> {
        let lanes = self.lanes.iter().enumerate();
        let those = lanes.filter(move |(_, lane)| lane.role == role);
        those.map(|(at, _)| LaneId(at))
    }

    /// Whether a promise was broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        let mut marks = self.marks.iter();
        marks.any(|mark| matches!(mark.what, What::Broken { .. }))
    }
}
