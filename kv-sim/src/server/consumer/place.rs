//! Where a consumer is made, which servers run it, and whether it outlives them.

use std::sync::Arc;

use super::Consumer;
use crate::server::peers::Peers;
use crate::server::stream::config::StreamConfig;
use crate::server::stream::store::Store;

/// What the servers' options make of all consumers.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// The most that flow control lets be under way, in bytes.
    pub(crate) flow_limit: u64,
    /// What reply subjects have before the stream's name: the domain and the account, if they name them.
    pub(crate) wide_place: Option<Arc<str>>,
    /// Whether there is one server only.
    pub(crate) alone: bool,
}

/// Where a consumer is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) stream: &'a StreamConfig,
    /// The replica that it reads.
    pub(crate) store: &'a Store,
    pub(crate) habits: &'a Habits,
}

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
