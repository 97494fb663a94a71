//! The world of a run: servers, clients, the connections between them, and the one queue of what happens
//! next.
//!
//! ```text
//!   steps ─┐                       ┌─► cluster ─┐
//!   undo  ─┤                       │            │ bytes
//!   wires ─┼─► the earliest ─► world            ▼
//!   timers ┤                       │          wires
//!   rounds ┘                       └─► session ─┘
//! ```
//!
//! Nothing here knows the client protocol or judges an answer: the world moves bytes and time, keeps the
//! records, and notes what can be seen on the way (a timer that does not move, a frame begun too late, bytes
//! that a server cannot read).

mod agenda;
mod calm;
mod consumers;
mod events;
mod faults;
mod leave;
mod links;
mod scribe;
mod set_up;
mod watches;

use std::collections::BTreeMap;
use std::time::Duration;

use kv_proto::Instant;
use kv_proto::limits::MAX_LINKS;

use self::agenda::{Source, Touched};
use self::consumers::Makers;
use self::faults::Undo;
use self::scribe::Scribe;
use crate::client::Client;
use crate::coverage::{Coverage, Struck};
use crate::fault::{Reception, Way};
use crate::history::{Answer, CallId, History, Sent, View};
use crate::mutant::{self, Mutant};
use crate::net::Weather;
use crate::oracle::STREAM;
use crate::outcome::{Outcome, Work};
use crate::picture::{Recorder, Side};
use crate::scenario::{Act, Scenario};
use crate::server::rng::Rng;
use crate::server::{Breach, Change, Cluster, Event};
use crate::trace::Trace;
use crate::violation::Violation;
use crate::wire::Wire;

#[derive(Debug)]
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    now: Instant,
    /// When the storm began: the steps' times count from here.
    storm_at: Instant,
    next_step: usize,
    undo: BTreeMap<(Instant, usize), Undo>,
    undos: usize,
    /// What the servers take at most.
    max_payload: usize,
    /// The largest message that anybody stores.
    largest_message: usize,
    cluster: Cluster,
    /// When the servers do something by themselves; `None` if that is to be asked.
    server_due: Option<Option<Instant>>,
    clients: Vec<Client>,
    wires: Vec<Wire>,
    weather: Weather,
    /// What each server does with those who dial it.
    receptions: Vec<Option<Reception>>,
    /// At equal instants timers come before bytes.
    timers_first: bool,
    rng: Rng,
    history: History,
    /// How far the journal was read.
    journal_read: usize,
    /// Who made which consumer.
    makers: Makers,
    /// Since when nothing goes wrong any more.
    calm_since: Option<Instant>,
    /// Until when an old leader answers, and since when it is one.
    old_leader: Option<(Instant, Instant)>,
    coverage: Coverage,
    /// Which faults have struck, and when.
    struck: Struck,
    trace: Trace,
    scribe: Scribe<'a>,
    violations: Vec<Violation>,
    work: Work,
    /// Whose timers may have changed since they were last looked at.
    touched: Touched,
}

/// What is pending of a removal of tombstones when there is room for nothing.
const ONE_REMOVAL: usize = 300;

/// Runs longer than any scenario does are endless loops.
const MAX_EVENTS: u64 = 2_000_000;

impl<'a> World<'a> {
    pub(crate) fn run(
        scenario: &'a Scenario,
        text: bool,
        recorder: Option<&'a mut Recorder>,
    ) -> Outcome {
        if let Some(place) = scenario.misplaced() {
            panic!("{place}");
        }
        let mut world = Self::new(scenario, text, recorder);
        world.set_up();
        let storm = Duration::from_millis(u64::from(scenario.profile.storm_ms));
        world.storm_at = world.now;
        if world.violations.is_empty() {
            world.scribe.phase(world.now, "the storm begins");
            world.run_until(world.storm_at + storm);
            world.calm_down();
        }
        world.finish()
    }

    fn finish(mut self) -> Outcome {
        if self.violations.is_empty() && !self.scenario.profile.hostile {
            self.violations = crate::check::check(&self.history, self.cluster.journal());
            for violation in &self.violations {
                self.scribe.broken(self.now, violation);
            }
        }
        if mutant::is(Mutant::Canary) {
            self.scribe.broken(self.now, &Violation::Canary);
            self.violations.push(Violation::Canary);
        }
        self.coverage.hit_answers(&self.history);
        self.coverage.hit_paths();
        for client in &self.clients {
            self.coverage.hit_recoveries(client.session.stats());
        }
        self.work.virtual_time = self.now.saturating_duration_since(Instant::ORIGIN);
        let (hash, mut trace) = self.trace.finish();
        if !trace.is_empty() {
            trace.extend(
                self.violations
                    .iter()
                    .map(|violation| format!("broken: {violation}")),
            );
        }
        Outcome {
            violations: self.violations,
            hash,
            coverage: self.coverage,
            work: self.work,
            history: self.history,
            trace,
        }
    }

    /// Lets everything happen up to a moment.
    fn run_until(&mut self, end: Instant) {
        self.touched = Touched::All;
        while self.violations.is_empty() {
            let Some((at, source)) = self.next().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.work.events += 1;
            if self.work.events > MAX_EVENTS {
                self.broken(Violation::Unsettled {
                    client: 0,
                    what: "endless".into(),
                });
            }
            self.touched = self.touched_by(source);
            self.happen(source);
        }
        self.now = self.now.max(end);
    }

    fn happen(&mut self, source: Source) {
        match source {
            Source::Step => self.step(),
            Source::Undo => {
                if let Some((_, undo)) = self.undo.pop_first() {
                    self.undo(undo);
                }
            }
            Source::Server => {
                self.trace.event(self.now, 1, 0);
                self.cluster.handle_timeout(self.now);
                self.collect();
            }
            Source::Dial(at) => self.dialled(at),
            Source::Up(at) => self.arrives_up(at),
            Source::Down(at) => self.arrives_down(at),
            Source::Unstalled(at) => {
                if let Some(wire) = self.wires.get(at) {
                    self.touch(wire.client);
                }
            }
            Source::Timer(client) => self.serve_timer(client),
            Source::Round(client) => self.round(client),
            Source::Read(client) => self.round(client),
            Source::Open(client) => self.open_bucket(client),
        }
    }

    fn step(&mut self) {
        let Some(step) = self.scenario.steps.get(self.next_step).copied() else {
            return;
        };
        self.next_step += 1;
        self.trace.event(self.now, 2, self.next_step as u64);
        match step.act {
            Act::Fault(fault) => self.strike(fault),
            Act::Follow { client, watch } => self.follow(usize::from(client), watch),
            Act::Unfollow { client, nth } => self.unfollow(usize::from(client), usize::from(nth)),
            Act::Call {
                client,
                timeout_ms,
                ask,
            } => {
                self.call(usize::from(client), timeout_ms, ask);
            }
        }
    }

    fn call(&mut self, client: usize, timeout_ms: u16, ask: crate::scenario::Ask) {
        let default = Duration::from_millis(u64::from(self.scenario.profile.clients.request_ms));
        let Some(asking) = self.clients.get_mut(client) else {
            return;
        };
        let asked = asking.ask(self.now, ask, timeout_ms, default, &mut self.history);
        let Some((id, call)) = asked else {
            return;
        };
        self.work.calls += 1;
        self.coverage.hit(call.name());
        self.trace.line(self.now, || {
            format!("client {client} calls #{} {call:?} ({ask:?})", id.0)
        });
        self.note_asked(client, id, call, ask);
        let at_once = self
            .history
            .record(id)
            .and_then(|record| record.answer.clone());
        if let Some((_, answer)) = at_once {
            self.told(id, &answer);
        }
        self.check_limits(client);
        self.touch(client);
    }

    /// Nothing grows past the limits that the client was given.
    fn check_limits(&mut self, client: usize) {
        let limits = crate::client::limits(&self.scenario.profile.clients);
        let Some(usage) = self.clients.get(client).map(|one| one.session.usage()) else {
            return;
        };
        // Watches and consumers that are deleted have requests of their own.
        let own = 2 * usage.watches + usage.deletions;
        let held = usage.operations <= limits.max_ops + own
            && usage.pending_bytes <= limits.max_pending_bytes + usage.watches * ONE_REMOVAL
            && usage.result_bytes <= limits.max_result_bytes
            && usage.watches <= limits.max_watches
            && usage.watch_bytes <= limits.max_watch_bytes + self.largest_message
            && usage.links <= MAX_LINKS;
        if !held {
            let what = format!("{usage:?}");
            self.broken(Violation::TooMuchHeld { client, what });
        }
    }

    /// Notes what a client was told.
    fn told(&mut self, id: CallId, answer: &Answer) {
        self.work.ended += 1;
        self.trace.event(self.now, 3, u64::from(id.0));
        self.trace
            .line(self.now, || format!("    #{} is told: {answer:?}", id.0));
        self.scribe.told(self.now, id, answer);
    }

    fn open_bucket(&mut self, client: usize) {
        let create = self.creates(client);
        if let Some(opening) = self.clients.get_mut(client) {
            opening.open_bucket(self.now, create);
            self.touch(client);
        }
    }

    fn serve_timer(&mut self, client: usize) {
        let Some(served) = self.clients.get_mut(client) else {
            return;
        };
        let local = served.local(self.now);
        if served.due_at(local).is_some() {
            let mut wires = self.wires.iter().filter(|wire| wire.client == client);
            if wires.any(|wire| wire.client_open && wire.down.due() == self.now) {
                self.coverage
                    .hit_how("F-C4 equal instants", "deadline first");
            }
        }
        self.trace.event(local, 4, client as u64);
        served.timer_calls += 1;
        served.session.handle_timeout(local);
        let stuck = served
            .session
            .poll_timeout()
            .is_some_and(|next| next <= served.session.now());
        self.trace
            .line(self.now, || format!("client {client} timer, at {local:?}"));
        if stuck {
            self.broken(Violation::TimerStuck { client });
        }
        self.touch(client);
        self.take_results(client, true);
    }

    /// Gives a client's embedder something to look after, now or when it gets to it.
    fn touch(&mut self, client: usize) {
        let lazy = u64::from(self.scenario.profile.clients.lazy_us);
        if lazy == 0 {
            return self.round(client);
        }
        if let Some(touched) = self.clients.get_mut(client) {
            let at = self.now + Duration::from_micros(touched.rng.below(lazy + 1));
            touched.round_at = Some(touched.round_at.map_or(at, |known| known.min(at)));
        }
    }

    /// The embedder's round: links, bytes, results.
    fn round(&mut self, client: usize) {
        if let Some(looked_after) = self.clients.get_mut(client) {
            looked_after.round_at = None;
        }
        loop {
            self.follow_links(client);
            if !self.flush(client) {
                break;
            }
        }
        self.take_results(client, false);
        self.follow_events(client);
        // What was read makes room, which the servers are told.
        if self.read_watches(client) {
            self.follow_links(client);
            self.flush(client);
        }
    }

    fn take_results(&mut self, client: usize, timers_served: bool) {
        let Some(asked) = self.clients.get_mut(client) else {
            return;
        };
        let mut told = Vec::new();
        let now = asked.session.now();
        asked.collect(self.now, |id, answer| told.push((id, answer)));
        let overdue = asked
            .pending
            .iter()
            .find(|pending| pending.deadline < now || (timers_served && pending.deadline == now));
        let overdue = overdue.map(|pending| pending.call.unwrap_or(CallId(u32::MAX)));
        let torn = std::mem::take(&mut asked.torn);
        let mut wires = self.wires.iter().filter(|wire| wire.client == client);
        let anonymous = !told.is_empty() && (torn || wires.any(|wire| wire.frames.is_anonymous()));
        for (id, answer) in told {
            self.told(id, &answer);
            if let Some(record) = self.history.record(id) {
                if anonymous {
                    record.sent = match record.sent {
                        Sent::Nothing | Sent::Part => Sent::Part,
                        Sent::Perhaps | Sent::Whole => Sent::Perhaps,
                    };
                }
                record.answer = Some((self.now, answer));
            }
        }
        if let Some(call) = overdue {
            self.broken(Violation::Overdue { call });
        }
    }

    /// Takes what the servers have to say after anything was done to them.
    fn collect(&mut self) {
        if self.cluster.take_changed() {
            self.collect_changes();
        }
        self.watch_replicas();
        self.scribe.look(self.now, &self.cluster);
    }

    fn collect_changes(&mut self) {
        self.server_due = None;
        for wire in &mut self.wires {
            let Some(conn) = wire.conn else {
                continue;
            };
            if let Some(output) = self
                .cluster
                .output(conn)
                .filter(|output| !output.is_empty())
            {
                wire.written += output.len() as u64;
                let before = wire.down.in_flight();
                wire.down.push(self.now, output);
                let entered = wire.down.behind(before);
                self.scribe
                    .sent(self.now, wire.drawn, Way::Down, output, entered);
                output.clear();
            }
        }
        if self.cluster.take_sprung() {
            self.recreate_now();
        }
        self.note_consumers();
        // Before the connection that the server closes for it is forgotten.
        while let Some((conn, breach)) = self.cluster.poll_breach() {
            let wire = self.wires.iter().find(|wire| wire.conn == Some(conn));
            if let Some(client) = wire.map(|wire| wire.client)
                && breach == Breach::Malformed
                && !self.scenario.profile.hostile
            {
                self.broken(Violation::Malformed { client });
            }
        }
        while let Some(conn) = self.cluster.poll_closed() {
            self.cluster.handle_closed(self.now, conn);
            if let Some(wire) = self.wires.iter_mut().find(|wire| wire.conn == Some(conn)) {
                wire.conn = None;
                wire.down.end(self.now);
                let client = wire.client;
                self.scribe
                    .ended(self.now, wire.drawn, Side::Server, "closes");
                self.trace.line(self.now, || {
                    format!("server closes a connection of client {client}")
                });
            }
        }
        self.watch_journal();
    }

    /// Tells what was committed.
    fn watch_journal(&mut self) {
        let journal = self.cluster.journal();
        let new = journal.get(self.journal_read..).unwrap_or_default();
        for Event { at, stream, change } in new {
            if &**stream != STREAM {
                continue;
            }
            let now = *at;
            self.trace
                .line(now, || format!("    committed: {}", brief(change)));
            self.scribe.committed(now, change);
        }
        self.journal_read = journal.len();
    }

    /// Learns how old answers can be.
    fn watch_replicas(&mut self) {
        if self.scenario.profile.bucket.replicas < 2 {
            return;
        }
        let replicas = self.cluster.shows(STREAM).unwrap_or(Instant::END);
        let leader = match self.old_leader {
            Some((until, since)) if self.now <= until => since,
            Some(_) | None => Instant::END,
        };
        self.history.see(View {
            from: self.now,
            replicas,
            leader,
        });
    }

    fn broken(&mut self, violation: Violation) {
        self.trace.line(self.now, || format!("broken: {violation}"));
        self.scribe.broken(self.now, &violation);
        self.violations.push(violation);
    }
}

fn brief(change: &Change) -> String {
    match change {
        Change::Stored {
            seq,
            subject,
            headers,
            payload,
            ..
        } => format!(
            "{seq} on {} {} {}",
            subject.escape_ascii(),
            crate::trace::Printable(headers),
            crate::trace::Printable(payload)
        ),
        Change::Created | Change::Deleted | Change::Removed { .. } | Change::Rewound { .. } => {
            format!("{change:?}")
        }
    }
}
