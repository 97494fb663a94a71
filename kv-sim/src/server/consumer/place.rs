//! Which servers run a consumer, and whether it outlives them.

use super::Consumer;
use crate::server::peers::Peers;

impl Consumer {
    /// Whether it is there after its only server started anew: an ephemeral one on disk is, too.
    pub(crate) fn survives_restart(&self) -> bool {
        !self.config.memory
    }

    /// Whether it has as many replicas as its stream.
    pub(crate) fn is_replicated(&self) -> bool {
        match self.config.replicas {
            0 => self.config.is_durable(),
            replicas => replicas > 1,
        }
    }

    /// Whether some server runs it now.
    pub(crate) fn runs(&self, peers: &Peers) -> bool {
        self.is_replicated() || peers.is_up(self.home)
    }

    /// Whether it lives on, or will, when its server stops.
    pub(crate) fn survives_stop(&self, replicated: bool) -> bool {
        (replicated && self.is_replicated()) || self.survives_restart()
    }
}
