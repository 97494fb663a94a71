//! What happens next: the earliest of everything that can.
//!
//! This is asked for once for each event. So pipes keep the time of their next arrival, and a client's timer
//! is looked at only after something was done to that client.

use kv_proto::Instant;

use super::World;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Step,
    Undo,
    Server,
    Dial(usize),
    Up(usize),
    Down(usize),
    Unstalled(usize),
    Timer(usize),
    Round(usize),
    Read(usize),
    Open(usize),
}

/// Clients that something was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    All,
    One(usize),
}

impl World<'_> {
    /// The earliest of everything that can happen.
    pub(super) fn next(&mut self) -> Option<(Instant, Source)> {
        let mut first = (Instant::END, Source::Step);
        let mut consider = |at: Instant, source: Source| {
            if at < first.0 {
                first = (at, source);
            }
        };
        if let Some(step) = self.scenario.steps.get(self.next_step) {
            let nanos = step.at_us.saturating_mul(1_000);
            let at = self.storm_at.as_nanos().saturating_add(nanos);
            consider(Instant::from_nanos(at), Source::Step);
        }
        if let Some(((at, _), _)) = self.undo.first_key_value() {
            consider(*at, Source::Undo);
        }
        let now = self.now;
        for client in &mut self.clients {
            if [Touched::All, Touched::One(client.id)].contains(&self.touched) {
                client.timer_at = or_never(client.next_timer(now));
            }
            if self.timers_first {
                consider(client.timer_at, Source::Timer(client.id));
            }
        }
        let cluster = &self.cluster;
        let due = self
            .server_due
            .get_or_insert_with(|| cluster.poll_timeout());
        consider(or_never(*due), Source::Server);
        for (at, wire) in self.wires.iter().enumerate() {
            if let Some(dial) = &wire.dial {
                consider(dial.at, Source::Dial(at));
            }
            if wire.conn.is_some() {
                consider(wire.up.due(), Source::Up(at));
            }
            if wire.client_open {
                consider(wire.down.due(), Source::Down(at));
            }
            let stalled = wire.up.stalled_until();
            if stalled > now {
                consider(stalled, Source::Unstalled(at));
            }
        }
        for client in &self.clients {
            if !self.timers_first {
                consider(client.timer_at, Source::Timer(client.id));
            }
            consider(or_never(client.round_at), Source::Round(client.id));
            consider(client.read_at, Source::Read(client.id));
            consider(or_never(client.open_at), Source::Open(client.id));
        }
        (first.0 < Instant::END).then_some(first)
    }

    /// Whose sessions and clocks an event can change.
    pub(super) fn touched_by(&self, source: Source) -> Touched {
        match source {
            Source::Step | Source::Undo | Source::Server => Touched::All,
            Source::Dial(at) | Source::Up(at) | Source::Down(at) | Source::Unstalled(at) => {
                let wire = self.wires.get(at);
                wire.map_or(Touched::All, |wire| Touched::One(wire.client))
            }
            Source::Timer(client)
            | Source::Round(client)
            | Source::Read(client)
            | Source::Open(client) => Touched::One(client),
        }
    }
}

/// The end of time is never.
fn or_never(at: Option<Instant>) -> Instant {
    at.unwrap_or(Instant::END)
}
