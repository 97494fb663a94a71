//! The servers as JetStream sees them: who is up, who leads the cluster, who gets a new stream.

use std::time::Duration;

use kv_proto::Instant;

use super::error::ApiError;
use super::replication::Replication;
use super::rng::Rng;

/// One server.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) up: bool,
    /// Its replicas apply nothing before.
    pub(crate) held_until: Instant,
}

/// All servers of the cluster.
#[derive(Debug)]
pub(crate) struct Peers {
    all: Vec<Peer>,
    /// Who leads the cluster itself, which creates and deletes streams.
    meta_leader: Option<usize>,
    pub(crate) replication: Replication,
    /// Of its own, so that replication can draw without changing what else is drawn.
    rng: Rng,
}

impl Peers {
    pub(crate) fn new(names: Vec<String>, replication: Replication, rng: Rng) -> Self {
        let peer = |name| Peer {
            name,
            up: true,
            held_until: Instant::ORIGIN,
        };
        Self {
            all: names.into_iter().map(peer).collect(),
            meta_leader: Some(0),
            replication,
            rng,
        }
    }

    /// Whether there is more than one server.
    pub(crate) fn is_cluster(&self) -> bool {
        self.all.len() > 1
    }

    pub(crate) fn name(&self, server: usize) -> &str {
        self.all.get(server).map_or("", |peer| peer.name.as_str())
    }

    pub(crate) fn is_up(&self, server: usize) -> bool {
        self.all.get(server).is_some_and(|peer| peer.up)
    }

    pub(crate) fn set_up(&mut self, server: usize, up: bool) {
        if let Some(peer) = self.all.get_mut(server) {
            peer.up = up;
        }
        let live: Vec<usize> = (0..self.all.len()).filter(|at| self.is_up(*at)).collect();
        let majority = live.len() > self.all.len() / 2;
        let stays = self
            .meta_leader
            .is_some_and(|leader| live.contains(&leader));
        if !majority {
            self.meta_leader = None;
        } else if !stays {
            self.meta_leader = self.pick(&live);
        }
    }

    pub(crate) fn hold(&mut self, server: usize, until: Instant) {
        if let Some(peer) = self.all.get_mut(server) {
            peer.held_until = peer.held_until.max(until);
        }
    }

    pub(crate) fn held_until(&self, server: usize) -> Instant {
        let peer = self.all.get(server);
        peer.map_or(Instant::ORIGIN, |peer| peer.held_until)
    }

    /// Whether somebody can create and delete streams.
    pub(crate) fn has_meta_leader(&self) -> bool {
        self.meta_leader.is_some()
    }

    /// Chooses the servers of a new stream, its first leader first.
    pub(crate) fn place(&mut self, replicas: i64) -> Result<Vec<usize>, ApiError> {
        let wanted = usize::try_from(replicas).unwrap_or(1).max(1);
        let mut free: Vec<usize> = (0..self.all.len()).filter(|at| self.is_up(*at)).collect();
        if free.len() < wanted {
            return Err(ApiError::NO_SUITABLE_PEERS);
        }
        let mut out = Vec::new();
        while out.len() < wanted {
            let at = self.below(free.len());
            out.push(free.remove(at));
        }
        Ok(out)
    }

    /// Chooses the servers of a stream that changes how many it has.
    pub(crate) fn place_again(
        &mut self,
        old: &[usize],
        leader: Option<usize>,
        replicas: i64,
    ) -> Result<Vec<usize>, ApiError> {
        let wanted = usize::try_from(replicas).unwrap_or(1).max(1);
        let first = leader.into_iter();
        let others = old.iter().copied().filter(|one| Some(*one) != leader);
        let mut out: Vec<usize> = first.chain(others).take(wanted).collect();
        let mut free: Vec<usize> = (0..self.all.len())
            .filter(|at| self.is_up(*at) && !out.contains(at))
            .collect();
        if out.len() + free.len() < wanted {
            return Err(ApiError::NO_SUITABLE_PEERS);
        }
        while out.len() < wanted {
            let at = self.below(free.len());
            out.push(free.remove(at));
        }
        Ok(out)
    }

    /// A delay of at most `max`.
    pub(crate) fn delay(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX - 1);
        if nanos == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.rng.below(nanos + 1))
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.rng.below(2) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len());
        from.get(at).copied()
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound < 2 {
            return 0;
        }
        usize::try_from(self.rng.below(bound as u64)).unwrap_or(0)
    }
}
