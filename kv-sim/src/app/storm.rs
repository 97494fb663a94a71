//! A storm: faults drawn from the seed of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Sim;
use super::process::Process;
use crate::server::{Election, InFlight, ReplyFault};

/// Which faults a storm has, how many, and how long they last.
///
/// Without any kind of fault it is only a pause; [`Storm::all`] has all of them.
///
/// ```
/// use std::time::Duration;
/// use kv_sim::app::{Simulation, Storm};
///
/// Simulation::new().run(1, |sim| async move {
///     let a = sim.process("a");
///     let storm = Storm::new().partitions().stalls().longest(Duration::from_secs(5));
///     sim.storm(&[a], &storm, Duration::from_secs(60)).await;
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Storm {
    kinds: Vec<Kind>,
    pause: Duration,
    longest: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Partition,
    Reset,
    Stall,
    Suspend,
    Jump,
    Restart,
    Election,
    LostReply,
}

impl Default for Storm {
    fn default() -> Self {
        Self::new()
    }
}

impl Storm {
    /// A storm of nothing, with two seconds between faults on average that last five seconds at most.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            kinds: Vec::new(),
            pause: Duration::from_secs(2),
            longest: Duration::from_secs(5),
        }
    }

    /// A storm of everything but [suspensions](Self::suspensions).
    #[must_use]
    pub fn all() -> Self {
        Self::new()
            .partitions()
            .resets()
            .stalls()
            .clock_jumps()
            .restarts()
            .elections()
            .lost_replies()
    }

    /// Processes are cut off from all servers or from one.
    #[must_use]
    pub fn partitions(self) -> Self {
        self.with(Kind::Partition)
    }

    /// Connections break.
    #[must_use]
    pub fn resets(self) -> Self {
        self.with(Kind::Reset)
    }

    /// Processes stand still while their clocks go on.
    #[must_use]
    pub fn stalls(self) -> Self {
        self.with(Kind::Stall)
    }

    /// Processes and their clocks stand still: not among [all](Self::all), as no lease survives it.
    #[must_use]
    pub fn suspensions(self) -> Self {
        self.with(Kind::Suspend)
    }

    /// Clocks of processes jump ahead.
    #[must_use]
    pub fn clock_jumps(self) -> Self {
        self.with(Kind::Jump)
    }

    /// Servers stop, and start again.
    #[must_use]
    pub fn restarts(self) -> Self {
        self.with(Kind::Restart)
    }

    /// Streams that have several replicas elect another leader.
    #[must_use]
    pub fn elections(self) -> Self {
        self.with(Kind::Election)
    }

    /// Replies of the servers are lost.
    #[must_use]
    pub fn lost_replies(self) -> Self {
        self.with(Kind::LostReply)
    }

    /// The time between one fault and the next, on average.
    #[must_use]
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How long a fault lasts at most, and by how much a clock jumps.
    #[must_use]
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    fn with(mut self, kind: Kind) -> Self {
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
        self
    }
}

/// What ends a fault.
enum End {
    Rejoin(Process),
    Start(usize),
}

impl Sim {
    /// Lets faults befall these processes and the servers for a while, then [heals](Self::heal) everything.
    pub async fn storm(&self, processes: &[Process], storm: &Storm, time: Duration) {
        let end = self.elapsed() + time;
        let mut ends: BTreeMap<(Duration, u64), End> = BTreeMap::new();
        let mut count = 0;
        let mut next_fault = self.elapsed() + self.draw_time(storm.pause * 2);
        loop {
            let next_end = ends.keys().next().map(|(at, _)| *at);
            let next = next_end.into_iter().chain([next_fault, end]).min();
            let next = next.unwrap_or(end);
            self.sleep(next.saturating_sub(self.elapsed())).await;
            if next == end {
                return self.heal();
            }
            if Some(next) == next_end {
                match ends.pop_first().map(|(_, what)| what) {
                    Some(End::Rejoin(process)) => process.rejoin(),
                    Some(End::Start(server)) => self.start_server(server),
                    None => {}
                }
                continue;
            }
            next_fault = self.elapsed() + self.draw_time(storm.pause * 2);
            let lasts = self.draw_time(storm.longest);
            if let Some(what) = self.strike(processes, storm, lasts) {
                count += 1;
                ends.insert((self.elapsed() + lasts, count), what);
            }
        }
    }

    /// One fault; what has to be done when it ends.
    fn strike(&self, processes: &[Process], storm: &Storm, lasts: Duration) -> Option<End> {
        let kind = *storm.kinds.get(self.draw_index(storm.kinds.len()))?;
        let process = processes.get(self.draw_index(processes.len()));
        let server = self.draw_index(self.server_count());
        match kind {
            Kind::Partition => {
                let process = process?;
                if self.draw(2) == 0 {
                    process.partition();
                } else {
                    process.partition_from(server);
                }
                return Some(End::Rejoin(process.clone()));
            }
            Kind::Reset => process?.reset_connections(),
            Kind::Stall => process?.stall(lasts),
            Kind::Suspend => process?.suspend(lasts),
            Kind::Jump => process?.jump_clock(lasts),
            Kind::Restart => {
                self.stop_server(server);
                return Some(End::Start(server));
            }
            Kind::Election => {
                let election = Election {
                    leaderless: lasts / 4,
                    in_flight: match self.draw(2) {
                        0 => InFlight::Lost,
                        _ => InFlight::CommittedUnacknowledged,
                    },
                    old_leader_answers: lasts / 8,
                };
                let streams = self.servers(|cluster, _| cluster.stream_names());
                let stream = streams.get(self.draw_index(streams.len()))?;
                self.note(format!("{stream} elects another leader"));
                self.servers(|cluster, now| cluster.elect(now, stream, election));
            }
            Kind::LostReply => {
                self.note("the next reply is lost");
                self.servers(|cluster, _| cluster.disturb_reply(ReplyFault::Lost));
            }
        }
        None
    }

    fn draw_time(&self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.draw(micros.max(1)))
    }

    fn draw_index(&self, len: usize) -> usize {
        usize::try_from(self.draw(len as u64)).unwrap_or(0)
    }
}
