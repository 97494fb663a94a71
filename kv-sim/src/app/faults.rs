//! What can befall an application: its processes, its network, its servers. Every fault is total: where it
//! makes no sense, it does nothing.

use std::time::Duration;

use super::process::Process;
use super::{Sim, world::World};
use crate::picture::State;
use crate::server::{Cluster, ServerId};
use kv_proto::Instant;

/// What befalls a process.
impl Process {
    /// Stops it for a while, as a long pause of a collector or a busy machine does: its clock goes on, its
    /// tasks do not.
    pub fn stall(&self, time: Duration) {
        let text = format!("stalls for {time:?}");
        self.befall(&text, Some(time), |world, id| world.stall(id, time, false));
    }

    /// Stops it for a while and its clock with it, as the suspension of a virtual machine does: it goes on
    /// as if no time had passed. No lease that is measured by a clock survives that.
    pub fn suspend(&self, time: Duration) {
        let text = format!("is suspended for {time:?}");
        self.befall(&text, Some(time), |world, id| world.stall(id, time, true));
    }

    /// Lets its clock jump ahead, as after the sleep of a laptop whose clock counts it.
    pub fn jump_clock(&self, time: Duration) {
        let jump = |world: &mut World, id: usize| {
            if let Some(state) = world.processes.get_mut(id) {
                let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
                state.clock.jump(millis);
            }
            world.clock_changed(id);
        };
        self.befall(&format!("has a clock that jumps by {time:?}"), None, jump);
    }

    /// Ends it at once: its tasks are dropped, its connections closed. What is spawned later belongs to its
    /// next life.
    pub fn kill(&self) {
        let kill = |world: &mut World, id: usize| {
            if let Some(state) = world.processes.get_mut(id) {
                state.life += 1;
            }
            world.killed = true;
            world.end_stall(id);
        };
        self.befall("is killed", None, kill);
    }

    /// Breaks its connections: both ends see it, and some of what was on its way arrives.
    pub fn reset_connections(&self) {
        let reset = |world: &mut World, id: usize| {
            let theirs = world.wires.iter().filter(|(_, wire)| wire.process == id);
            let theirs: Vec<u64> = theirs.map(|(wire, _)| *wire).collect();
            for wire in theirs {
                world.reset(wire);
            }
        };
        self.befall("loses its connections", None, reset);
    }

    /// Cuts it off from all servers. Nothing breaks: what is sent waits, until the network
    /// [heals](Self::rejoin) or somebody gives up.
    pub fn partition(&self) {
        let part = |world: &mut World, id: usize| {
            for server in 0..world.cluster.servers() {
                world.part(id, server, true);
            }
        };
        self.befall("is cut off", None, part);
    }

    /// Cuts it off from one server; see [`partition`](Self::partition).
    pub fn partition_from(&self, server: usize) {
        let text = format!("is cut off from server {server}");
        self.befall(&text, None, |world, id| world.part(id, server, true));
    }

    /// Ends its partitions.
    pub fn rejoin(&self) {
        let rejoin = |world: &mut World, id: usize| {
            for server in 0..world.cluster.servers() {
                world.part(id, server, false);
            }
        };
        self.befall("is no longer cut off", None, rejoin);
    }

    fn befall(&self, text: &str, time: Option<Duration>, change: impl FnOnce(&mut World, usize)) {
        self.shared.with(|world| {
            let until = time.map(|time| world.now + time);
            world.chronicle.befalls(world.now, self.id, text, until);
            change(world, self.id);
        });
    }
}

/// What befalls servers.
impl Sim {
    /// Stops a server: its connections end, its leaderships go to others, consumers in its memory are gone.
    pub fn stop_server(&self, server: usize) {
        self.servers(|cluster, now| cluster.stop(now, ServerId(server)));
        self.server_became(server, State::Down, "stops");
    }

    /// Starts a server again, with what it stored.
    pub fn start_server(&self, server: usize) {
        self.servers(|cluster, now| cluster.restart(now, ServerId(server), false));
        self.server_became(server, State::Up, "starts");
    }

    /// Lets a server announce its end, so that clients move to others.
    pub fn lame_duck(&self, server: usize) {
        self.servers(|cluster, now| cluster.lame_duck(now, ServerId(server)));
        self.server_became(server, State::Leaving, "announces its end");
    }

    /// Does anything to the servers at the present moment: whatever [`Cluster`] offers, such as
    /// elections, lag, replies that are lost.
    ///
    /// ```
    /// use kv_sim::app::Simulation;
    /// use kv_sim::server::ReplyFault;
    ///
    /// Simulation::new().run(1, |sim| async move {
    ///     sim.servers(|cluster, _| cluster.disturb_reply(ReplyFault::Lost));
    /// });
    /// ```
    pub fn servers<T>(&self, change: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        self.shared.with(|world| {
            let result = change(&mut world.cluster, world.now);
            world.collect();
            result
        })
    }

    /// Ends everything that lasts: partitions, stalls, servers that are down or about to go, and what was still
    /// to befall replies.
    pub fn heal(&self) {
        self.shared.with(|world| {
            world.note("everything heals");
            for process in 0..world.processes.len() {
                world.end_stall(process);
                for server in 0..world.cluster.servers() {
                    world.part(process, server, false);
                }
            }
        });
        self.servers(|cluster, now| cluster.calm(now));
        for server in 0..self.server_count() {
            let up = self.servers(|cluster, _| cluster.is_up(ServerId(server)));
            if !up {
                self.start_server(server);
            }
        }
    }

    fn server_became(&self, server: usize, state: State, text: &str) {
        self.shared.with(|world| {
            let now = world.now;
            world.chronicle.server_became(now, server, state, text);
        });
    }
}
