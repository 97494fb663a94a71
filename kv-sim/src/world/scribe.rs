//! Writes down what happens in a run, for its picture, if anybody wants one.
//!
//! It only looks: a run that is recorded is the run that it would have been. Without a recorder every method
//! returns at once.

mod faults;
mod words;

use std::collections::BTreeMap;

use kv_proto::{Instant, LinkId};

use super::World;
use crate::fault::{Fault, Way};
use crate::history::{Answer, Call, CallId, News};
use crate::oracle::STREAM;
use crate::picture::{
    self, Concerns, LaneId, MarkId, Recorder, Role, Side, State, StrikeId, Tone, Words,
};
use crate::scenario::{Ask, Scenario, Watch};
use crate::server::{Change, Cluster, ServerId};
use crate::violation::Violation;

#[derive(Debug, Default)]
pub(crate) struct Scribe<'a> {
    recorder: Option<&'a mut Recorder>,
    clients: Vec<LaneId>,
    servers: Vec<LaneId>,
    stream: Option<LaneId>,
    /// What was last written of servers and stream.
    states: BTreeMap<LaneId, State>,
    calls: BTreeMap<CallId, Open>,
    /// Where the last commit of each revision is noted.
    commits: BTreeMap<u64, MarkId>,
}

/// A call as the picture knows it.
#[derive(Clone, Copy, Debug)]
struct Open {
    client: usize,
    call: picture::CallId,
    /// It goes on when it is answered.
    watches: bool,
}

impl Open {
    fn is_opened(self, answer: &Answer) -> bool {
        self.watches && *answer == Answer::Done
    }
}

impl<'a> Scribe<'a> {
    /// Introduces everybody.
    pub(crate) fn new(scenario: &Scenario, recorder: Option<&'a mut Recorder>) -> Self {
        let mut scribe = Self::default();
        let Some(recorder) = recorder else {
            return scribe;
        };
        let profile = &scenario.profile;
        let clients = 0..profile.clients.count;
        let clients = clients.map(|at| recorder.lane(Role::Client, format!("client {at}")));
        scribe.clients = clients.collect();
        scribe.stream = Some(recorder.lane(Role::Stream, format!("stream {STREAM}")));
        let servers = 0..profile.servers;
        let servers = servers.map(|at| recorder.lane(Role::Server, format!("sim-{at}")));
        scribe.servers = servers.collect();
        recorder.fact("seed", scenario.seed.to_string());
        recorder.fact("servers", format!("{:?}", profile.version));
        recorder.fact("replicas", profile.bucket.replicas.to_string());
        recorder.fact("steps", scenario.steps.len().to_string());
        scribe.recorder = Some(recorder);
        scribe
    }

    pub(super) fn phase(&mut self, now: Instant, text: &str) {
        if let Some(recorder) = &mut self.recorder {
            recorder.phase(now, text);
        }
    }

    pub(super) fn dials(
        &mut self,
        now: Instant,
        client: usize,
        server: usize,
        link: LinkId,
    ) -> Option<picture::LinkId> {
        let recorder = self.recorder.as_mut()?;
        let client = *self.clients.get(client)?;
        let server = self.servers.get(server).copied();
        Some(recorder.dial(now, client, server, link.to_string()))
    }

    pub(super) fn connected(&mut self, now: Instant, link: Option<picture::LinkId>) {
        if let (Some(recorder), Some(link)) = (&mut self.recorder, link) {
            recorder.connected(now, link);
        }
    }

    /// An end of a link is over.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        link: Option<picture::LinkId>,
        end: Side,
        why: &str,
    ) {
        if let (Some(recorder), Some(link)) = (&mut self.recorder, link) {
            recorder.ended(now, link, end, why);
        }
    }

    /// Bytes were written; `entered` is what is on its way of them.
    pub(super) fn sent(
        &mut self,
        now: Instant,
        link: Option<picture::LinkId>,
        way: Way,
        offered: &[u8],
        entered: &[u8],
    ) {
        if let (Some(recorder), Some(link)) = (&mut self.recorder, link) {
            recorder.sent(now, link, way, offered, entered);
        }
    }

    pub(super) fn arrived(
        &mut self,
        now: Instant,
        link: Option<picture::LinkId>,
        way: Way,
        size: usize,
    ) {
        if let (Some(recorder), Some(link)) = (&mut self.recorder, link) {
            recorder.arrived(now, link, way, size);
        }
    }

    pub(super) fn asks(
        &mut self,
        now: Instant,
        client: usize,
        id: CallId,
        (call, key, ask): (Call, u8, Ask),
        until: Option<Instant>,
    ) {
        self.begins(now, client, id, false, until, || {
            (words::title(call, key, ask), format!("{ask:?}"))
        });
    }

    pub(super) fn follows(&mut self, now: Instant, client: usize, id: CallId, watch: Watch) {
        let watches = watch.purpose == crate::scenario::Purpose::Watching;
        self.begins(now, client, id, watches, None, || {
            (words::purpose(watch.purpose), format!("{watch:?}"))
        });
    }

    fn begins(
        &mut self,
        now: Instant,
        client: usize,
        id: CallId,
        watches: bool,
        until: Option<Instant>,
        say: impl FnOnce() -> (String, String),
    ) {
        let (Some(recorder), Some(lane)) = (&mut self.recorder, self.clients.get(client)) else {
            return;
        };
        let (title, detail) = say();
        let call = picture::Call {
            lane: *lane,
            name: format!("#{}", id.0),
            title,
            detail,
            until,
        };
        let call = recorder.call(now, call);
        let open = Open {
            client,
            call,
            watches,
        };
        self.calls.insert(id, open);
    }

    /// A watch is confirmed, and goes on.
    pub(super) fn opens(&mut self, now: Instant, id: CallId, answer: &Answer) {
        if let (Some(recorder), Some(open)) = (&mut self.recorder, self.calls.get(&id))
            && open.is_opened(answer)
        {
            recorder.told(now, open.call, Words::new("opened", Tone::Good));
        }
    }

    /// A call is answered, and over.
    pub(super) fn told(&mut self, now: Instant, id: CallId, answer: &Answer) {
        if let (Some(recorder), Some(open)) = (&mut self.recorder, self.calls.get(&id))
            && !open.is_opened(answer)
        {
            recorder.answered(now, open.call, words::answer(answer));
        }
    }

    /// A watch or a listing tells something.
    pub(super) fn tells(&mut self, now: Instant, id: CallId, news: &News) {
        let (Some(recorder), Some(open)) = (&mut self.recorder, self.calls.get(&id)) else {
            return;
        };
        match news {
            News::Ended(_) => recorder.answered(now, open.call, words::news(news)),
            News::Entry { .. } | News::Damaged { .. } | News::Synced | News::Reset(_) => {
                recorder.told(now, open.call, words::news(news));
            }
        }
    }

    /// Nobody waits for a call any more.
    pub(super) fn gives_up(&mut self, now: Instant, id: CallId, why: &str) {
        if let (Some(recorder), Some(open)) = (&mut self.recorder, self.calls.get(&id)) {
            recorder.answered(now, open.call, Words::new(why, Tone::Plain));
        }
    }

    /// A client's session is over, and another one begins.
    pub(super) fn begins_again(&mut self, now: Instant, client: usize) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        for open in self.calls.values().filter(|open| open.client == client) {
            recorder.answered(now, open.call, Words::new("nobody waits", Tone::Plain));
        }
        if let Some(lane) = self.clients.get(client) {
            recorder.note(now, *lane, Words::new("a new session", Tone::Plain));
        }
    }

    pub(super) fn strikes(&mut self, now: Instant, fault: Fault) -> Option<StrikeId> {
        let recorder = self.recorder.as_mut()?;
        let strike = faults::strike(now, fault, &self.clients, &self.servers);
        Some(recorder.strike(now, strike))
    }

    /// A fault made no sense.
    pub(super) fn misses(&mut self, strike: Option<StrikeId>) {
        if let (Some(recorder), Some(strike)) = (&mut self.recorder, strike) {
            recorder.missed(strike);
        }
    }

    /// Whatever lasts is over.
    pub(super) fn heals(&mut self, now: Instant) {
        if let Some(recorder) = &mut self.recorder {
            recorder.heal(now);
        }
    }

    /// Something was committed.
    pub(super) fn committed(&mut self, now: Instant, change: &Change) {
        if let (Some(recorder), Some(stream)) = (&mut self.recorder, self.stream) {
            let note = recorder.note(now, stream, words::change(change));
            if let Change::Stored { seq, .. } = change {
                self.commits.insert(*seq, note);
            }
        }
    }

    /// Something happens to the stream that is no commit.
    pub(super) fn notes(&mut self, now: Instant, text: impl FnOnce() -> String) {
        if let (Some(recorder), Some(stream)) = (&mut self.recorder, self.stream) {
            recorder.note(now, stream, Words::new(text(), Tone::Plain));
        }
    }

    /// Looks how servers and stream are, and writes down what has changed.
    pub(super) fn look(&mut self, now: Instant, cluster: &Cluster) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let servers = self.servers.iter().enumerate();
        let servers = servers.map(|(at, lane)| (*lane, state_of(cluster, ServerId(at))));
        let leader = match cluster.leader(STREAM) {
            Some(leader) => self.servers.get(leader.0).copied().map(State::Led),
            None if cluster.has_stream(STREAM) => Some(State::Leaderless),
            None => Some(State::Absent),
        };
        let stream = self.stream.zip(leader);
        for (lane, state) in servers.chain(stream) {
            if self.states.insert(lane, state) != Some(state) {
                recorder.became(now, lane, state);
            }
        }
    }

    pub(super) fn broken(&mut self, now: Instant, violation: &Violation) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        let call = violation.call().and_then(|call| self.calls.get(&call));
        let client = call.map(|open| open.client).or(violation.client());
        let lane = client.and_then(|client| self.clients.get(client));
        let revision = violation.revision();
        let note = revision.and_then(|revision| self.commits.get(&revision));
        let concerns = Concerns {
            call: call.map(|open| open.call),
            lane: lane.copied(),
            note: note.copied(),
        };
        recorder.broken(now, violation.to_string(), concerns);
    }
}

impl World<'_> {
    /// Writes down a call and its deadline, by the world's clock.
    pub(super) fn note_asked(&mut self, client: usize, id: CallId, call: Call, ask: Ask) {
        let key = self.history.record(id).map_or(0, |record| record.key);
        let asked = self.clients.get(client);
        let until = asked.and_then(|asked| {
            let pending = asked.pending.iter().find(|one| one.call == Some(id))?;
            let time = pending
                .deadline
                .saturating_duration_since(asked.session.now());
            Some(self.now + time)
        });
        self.scribe
            .asks(self.now, client, id, (call, key, ask), until);
    }
}

fn state_of(cluster: &Cluster, server: ServerId) -> State {
    if cluster.is_up(server) {
        State::Up
    } else if cluster.is_leaving(server) {
        State::Leaving
    } else {
        State::Down
    }
}
