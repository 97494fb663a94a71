//! The servers a session knows, and the decision when to dial which.
//!
//! Servers come from the configuration and from the `connect_urls` that servers
//! announce. The next one is always that which was tried longest ago; those that
//! were never tried come first, in an order that is drawn for each client, or in
//! the order given.
//!
//! Each server has a back-off of its own: after each failed attempt it rests for
//! a random time within a window that doubles (full jitter), so one that refuses
//! us is left alone while others serve. And when a link is lost, the first attempt
//! at any server waits a random time, so that clients which lost a server together
//! do not come back together. Only the very first attempts of a client go without
//! delay.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Disconnect;
use crate::limits::MAX_DISCOVERED_SERVERS;
use crate::mutant::{self, Mutant};
use crate::paths::{Path, took};
use crate::rng::Rng;
use crate::server::ServerAddr;
use crate::tally::Tally;
use crate::time::Instant;

#[derive(Debug)]
struct Server {
    addr: ServerAddr,
    /// From the URL that named the server.
    credentials: Option<Credentials>,
    discovered: bool,
    /// The number of the last attempt at it; 0 before the first.
    tried: u64,
    /// The order of those that were never tried.
    rank: u64,
    /// Attempts that failed, and links that it ended at once, since one lasted.
    failures: u32,
    /// How often it refused our credentials since it last took them.
    refusals: u32,
    rests_until: Instant,
}

/// What the pool wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Dial this server at once.
    Dial(ServerAddr),
    /// Ask again at this time.
    Wait(Instant),
    /// Make no more attempts.
    GiveUp(Limit),
}

/// What makes a client give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Every server was tried once, and the first connection is not retried.
    OneRound,
    /// So many attempts in a row have failed.
    Attempts(u32),
    /// A server has refused the credentials too often.
    Refusals,
}

#[derive(Debug)]
pub(crate) struct Pool {
    /// Those configured, then those discovered.
    servers: Vec<Server>,
    /// Counts attempts.
    attempts: u64,
    /// Attempts that failed since there last was a link.
    failed: u32,
    /// What was reached that ends the client, unless a link comes first.
    reached: Option<Limit>,
    not_before: Instant,
    /// Some link was ready once.
    connected_before: bool,
    ready_since: Option<Instant>,
    shuffle: bool,
    retry_first_connect: bool,
    max_failed: Option<u32>,
    max_refusals: Option<u32>,
    spread: Duration,
    max: Duration,
}

/// A link that lived this long resets its server's back-off.
const STABLE: Duration = Duration::from_secs(10);

/// One that did not even live this long was thrown out by its server, which counts as a failed attempt. What
/// lived longer was taken by the network, which may be back at once.
const SHORT: Duration = Duration::from_millis(100);

impl Pool {
    pub(crate) fn new(config: &Config, rng: &mut Rng) -> Self {
        let mut pool = Self {
            servers: Vec::new(),
            attempts: 0,
            failed: 0,
            reached: None,
            not_before: Instant::ORIGIN,
            connected_before: false,
            ready_since: None,
            shuffle: config.shuffle_servers || mutant::is(Mutant::OrderNotKept),
            retry_first_connect: config.retry_first_connect,
            max_failed: config.max_reconnects,
            max_refusals: config.max_auth_failures,
            spread: config.reconnect_spread,
            max: config.reconnect_max,
        };
        for url in &config.servers {
            if pool.server_mut(url.addr()).is_none() {
                pool.add(url.addr().clone(), url.credentials().cloned(), rng);
            }
        }
        pool
    }

    fn add(&mut self, addr: ServerAddr, credentials: Option<Credentials>, rng: &mut Rng) {
        let rank = if self.shuffle { rng.next_u64() } else { 0 };
        self.servers.push(Server {
            addr,
            credentials,
            discovered: false,
            tried: 0,
            rank,
            failures: 0,
            refusals: 0,
            rests_until: Instant::ORIGIN,
        });
    }

    /// Decides, while a link is wanted and none is being made, what to do.
    /// `avoid` is a server that is going away; there must be another one.
    pub(crate) fn choose(&mut self, now: Instant, avoid: Option<&ServerAddr>) -> Choice {
        if let Some(limit) = self.reached {
            return Choice::GiveUp(limit);
        }
        let in_first_round = !self.connected_before && !self.retry_first_connect;
        if in_first_round && self.servers.iter().all(|server| server.tried > 0) {
            return Choice::GiveUp(Limit::OneRound);
        }
        let willing = |server: &&mut Server| avoid != Some(&server.addr);
        let next = self
            .servers
            .iter_mut()
            .filter(willing)
            .min_by_key(|server| {
                let rests_until = server.rests_until.max(now);
                (rests_until, server.tried, server.rank)
            });
        let Some(server) = next else {
            return Choice::GiveUp(Limit::OneRound);
        };
        let due = server.rests_until.max(self.not_before);
        if due > now {
            return Choice::Wait(due);
        }
        self.attempts.raise(1);
        server.tried = self.attempts;
        Choice::Dial(server.addr.clone())
    }

    /// Returns whether there is another server than this one to move to.
    pub(crate) fn has_other_than(&self, addr: &ServerAddr) -> bool {
        self.servers.iter().any(|server| server.addr != *addr)
    }

    /// A link became ready.
    pub(crate) fn ready(&mut self, now: Instant, addr: &ServerAddr) {
        self.connected_before = true;
        self.ready_since = Some(now);
        self.reached = None;
        if !mutant::is(Mutant::AttemptsNeverForgotten) {
            self.failed = 0;
        }
        if let Some(server) = self.server_mut(addr) {
            server.refusals = 0;
        }
    }

    /// A link could not be made, while there is another one or not: `alone`.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        addr: &ServerAddr,
        reason: &Disconnect,
        alone: bool,
        rng: &mut Rng,
    ) {
        let (spread, max) = (self.spread, self.max);
        let mut refusals = 0;
        if let Some(server) = self.server_mut(addr) {
            server.failures = server.failures.saturating_add(1);
            server.rests_until = now + rng.jitter(window(spread, max, server.failures));
            if server.failures > 1 {
                took(Path::BackOff);
            }
            if alone && reason.is_refusal() {
                took(Path::RefusedLogin);
                server.refusals = server.refusals.saturating_add(1);
            }
            refusals = server.refusals;
        }
        if !alone {
            return;
        }
        self.failed = self.failed.saturating_add(1);
        if self.max_refusals.is_some_and(|most| refusals >= most) && reason.is_refusal() {
            self.reach(Limit::Refusals);
        }
        self.give_up_if_enough();
    }

    /// The link in use was lost; the next attempt waits.
    pub(crate) fn lost(&mut self, now: Instant, addr: &ServerAddr, rng: &mut Rng) {
        let since = self.ready_since.take();
        let lived = since.map(|since| now.saturating_duration_since(since));
        self.wait(now, rng);
        let (spread, max) = (self.spread, self.max);
        if let Some(server) = self.server_mut(addr) {
            took(match lived {
                Some(lived) if lived >= STABLE => Path::LongLife,
                Some(lived) if lived >= SHORT => Path::TakenLink,
                Some(_) | None => Path::ShortLife,
            });
            server.failures = match lived {
                Some(lived) if lived >= STABLE => 0,
                Some(lived) if lived >= SHORT => server.failures,
                Some(_) | None => server.failures.saturating_add(1),
            };
            // The wait is all that one short life costs.
            if server.failures > 1 {
                server.rests_until = now + rng.jitter(window(spread, max, server.failures));
            }
        }
        self.give_up_if_enough();
    }

    /// The next attempt waits a random time.
    pub(crate) fn wait(&mut self, now: Instant, rng: &mut Rng) {
        self.not_before = now + rng.jitter(self.spread);
    }

    fn give_up_if_enough(&mut self) {
        if self.max_failed.is_some_and(|most| self.failed >= most) {
            self.reach(Limit::Attempts(self.failed));
        }
    }

    /// Before the first link, limits count only for a client that retries that.
    fn reach(&mut self, limit: Limit) {
        if self.connected_before || self.retry_first_connect {
            self.reached.get_or_insert(limit);
        }
    }

    /// Attempts that failed since there last was a link.
    pub(crate) fn failed_attempts(&self) -> u32 {
        self.failed
    }

    fn server_mut(&mut self, addr: &ServerAddr) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.addr == *addr)
    }

    /// The credentials of the URL that named a server.
    pub(crate) fn credentials(&self, addr: &ServerAddr) -> Option<&Credentials> {
        let server = self.servers.iter().find(|server| server.addr == *addr)?;
        server.credentials.as_ref()
    }

    /// Replaces the discovered servers by those now announced; an empty list
    /// says nothing (a server without a cluster announces none). Returns how many
    /// came and how many went.
    pub(crate) fn discover<'a>(
        &mut self,
        announced: impl Iterator<Item = &'a str>,
        rng: &mut Rng,
    ) -> (usize, usize) {
        let mut announced: Vec<ServerAddr> = announced
            .take(MAX_DISCOVERED_SERVERS)
            .filter_map(ServerAddr::discovered)
            .collect();
        if announced.is_empty() {
            return (0, 0);
        }
        announced.sort();
        announced.dedup();
        let stays = |server: &Server| {
            !server.discovered && !mutant::is(Mutant::DiscoveredReplaceConfigured)
        };
        let before = self.servers.len();
        self.servers
            .retain(|server| stays(server) || announced.binary_search(&server.addr).is_ok());
        let kept = self.servers.len();
        let mut known: Vec<ServerAddr> = self.servers.iter().map(|s| s.addr.clone()).collect();
        known.sort();
        announced.retain(|addr| known.binary_search(addr).is_err());
        for addr in announced {
            self.add(addr, None, rng);
        }
        for server in self.servers.iter_mut().skip(kept) {
            server.discovered = true;
        }
        (
            self.servers.len().saturating_sub(kept),
            before.saturating_sub(kept),
        )
    }

    /// The servers known now, configured ones first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &ServerAddr> {
        self.servers.iter().map(|server| &server.addr)
    }
}

/// The window in which the attempt after so many failures falls.
fn window(spread: Duration, max: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    spread.saturating_mul(1 << doublings).min(max.max(spread))
}

#[cfg(test)]
mod tests;
