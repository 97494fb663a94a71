//! The servers a session knows, and the decision when to dial which.
//!
//! Servers come from the configuration, in its order, and from the
//! `connect_urls` that servers announce. Each *round* tries every server once.
//! The very first round of a client goes without delay; after that every
//! attempt waits a random time within a window that doubles with each failed
//! round (full jitter), so that clients which lost a server together do not
//! come back together.

use alloc::vec::Vec;
use core::time::Duration;

use crate::config::Config;
use crate::credentials::Credentials;
use crate::limits::MAX_DISCOVERED_SERVERS;
use crate::mutant::{self, Mutant};
use crate::rng::Rng;
use crate::server::ServerAddr;
use crate::time::Instant;

#[derive(Debug)]
struct Server {
    addr: ServerAddr,
    /// From the URL that named the server.
    credentials: Option<Credentials>,
    discovered: bool,
    /// The round in which it was last tried.
    tried: u64,
}

/// What the pool wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Dial this server at once.
    Dial(ServerAddr),
    /// Ask again at this time.
    Wait(Instant),
    /// Every server was tried once and the client shall not retry.
    GiveUp,
}

#[derive(Debug)]
pub(crate) struct Pool {
    servers: Vec<Server>,
    /// Counts rounds; servers with a smaller number are still to be tried.
    round: u64,
    /// Rounds that failed since a link was last stable.
    failed_rounds: u32,
    /// The next attempt may not come earlier.
    not_before: Option<Instant>,
    /// Some link was ready once.
    connected_before: bool,
    ready_since: Option<Instant>,
    retry_first_connect: bool,
    spread: Duration,
    max: Duration,
}

/// A link that lived this long resets the back-off.
const STABLE: Duration = Duration::from_secs(10);

impl Pool {
    pub(crate) fn new(config: &Config) -> Self {
        let servers = config.servers.iter().map(|url| Server {
            addr: url.addr().clone(),
            credentials: url.credentials().cloned(),
            discovered: false,
            tried: 0,
        });
        Self {
            servers: servers.collect(),
            round: 1,
            failed_rounds: 0,
            not_before: None,
            connected_before: false,
            ready_since: None,
            retry_first_connect: config.retry_first_connect,
            spread: config.reconnect_spread,
            max: config.reconnect_max,
        }
    }

    /// Decides, while a link is wanted and none is being made, what to do.
    /// `avoid` is a server that is going away.
    pub(crate) fn choose(&mut self, now: Instant, avoid: Option<&ServerAddr>) -> Choice {
        let untried = |server: &Server, round| server.tried < round;
        if !self.servers.iter().any(|s| untried(s, self.round)) {
            if !self.connected_before && !self.retry_first_connect {
                return Choice::GiveUp;
            }
            self.round += 1;
            self.failed_rounds = self.failed_rounds.saturating_add(1);
        }
        if let Some(at) = self.not_before
            && at > now
        {
            return Choice::Wait(at);
        }
        let round = self.round;
        let next = match self
            .servers
            .iter()
            .position(|s| untried(s, round) && avoid != Some(&s.addr))
        {
            Some(next) => next,
            None => match self.servers.iter().position(|s| untried(s, round)) {
                Some(next) => next,
                None => return Choice::GiveUp,
            },
        };
        let Some(server) = self.servers.get_mut(next) else {
            return Choice::GiveUp;
        };
        server.tried = round;
        Choice::Dial(server.addr.clone())
    }

    /// Returns whether there is another server than this one to move to.
    pub(crate) fn has_other_than(&self, addr: &ServerAddr) -> bool {
        self.servers.iter().any(|server| server.addr != *addr)
    }

    /// A link became ready: the next round starts with the other servers.
    pub(crate) fn ready(&mut self, now: Instant) {
        self.connected_before = true;
        self.ready_since = Some(now);
    }

    /// A link was lost or could not be made; the next attempt waits.
    pub(crate) fn lost(&mut self, now: Instant, rng: &mut Rng) {
        if let Some(since) = self.ready_since.take() {
            self.round += 1;
            if now.saturating_duration_since(since) >= STABLE {
                self.failed_rounds = 0;
            }
        }
        let first_round = !self.connected_before && self.failed_rounds == 0;
        let untried_left = self.servers.iter().any(|s| s.tried < self.round);
        let delay = if first_round && untried_left {
            Duration::ZERO
        } else {
            rng.jitter(self.window())
        };
        self.not_before = Some(now + delay);
    }

    fn window(&self) -> Duration {
        let doublings = self.failed_rounds.min(16);
        self.spread
            .saturating_mul(1 << doublings)
            .min(self.max.max(self.spread))
    }

    /// The credentials of the URL that named a server.
    pub(crate) fn credentials(&self, addr: &ServerAddr) -> Option<&Credentials> {
        let server = self.servers.iter().find(|server| server.addr == *addr)?;
        server.credentials.as_ref()
    }

    /// Replaces the discovered servers by those now announced; an empty list
    /// says nothing (a server without a cluster announces none).
    pub(crate) fn discover<'a>(&mut self, announced: impl Iterator<Item = &'a str>) {
        let mut announced: Vec<ServerAddr> = announced
            .take(MAX_DISCOVERED_SERVERS)
            .filter_map(ServerAddr::discovered)
            .collect();
        if announced.is_empty() {
            return;
        }
        announced.sort();
        announced.dedup();
        let stays = |server: &Server| {
            !server.discovered && !mutant::is(Mutant::DiscoveredReplaceConfigured)
        };
        self.servers
            .retain(|server| stays(server) || announced.binary_search(&server.addr).is_ok());
        let mut known: Vec<ServerAddr> = self.servers.iter().map(|s| s.addr.clone()).collect();
        known.sort();
        announced.retain(|addr| known.binary_search(addr).is_err());
        self.servers
            .extend(announced.into_iter().map(|addr| Server {
                addr,
                credentials: None,
                discovered: true,
                tried: 0,
            }));
    }

    /// The servers known now, configured ones first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &ServerAddr> {
        self.servers.iter().map(|server| &server.addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use alloc::format;
    use alloc::string::ToString;

    const T0: Instant = Instant::ORIGIN;

    fn pool(urls: &str, retry: bool) -> (Pool, Rng) {
        let config = Config::new(urls)
            .unwrap()
            .retry_first_connect(retry)
            .reconnect_within(Duration::from_millis(100), Duration::from_secs(1));
        (Pool::new(&config), Rng::new(&Seed::from_u64(5)))
    }

    fn dialled(choice: Choice) -> ServerAddr {
        match choice {
            Choice::Dial(addr) => addr,
            Choice::Wait(_) | Choice::GiveUp => panic!("{choice:?}"),
        }
    }

    #[test]
    fn the_first_round_has_no_delay_and_then_gives_up() {
        let (mut pool, mut rng) = pool("a,b", false);
        assert_eq!(dialled(pool.choose(T0, None)).host(), "a");
        pool.lost(T0, &mut rng);
        assert_eq!(dialled(pool.choose(T0, None)).host(), "b");
        pool.lost(T0, &mut rng);
        assert_eq!(pool.choose(T0, None), Choice::GiveUp);
    }

    #[test]
    fn every_later_attempt_waits_a_random_time_in_a_doubling_window() {
        let (mut pool, mut rng) = pool("a", true);
        let mut now = T0;
        dialled(pool.choose(now, None));
        for window in [100, 200, 400, 800, 1_000, 1_000] {
            pool.lost(now, &mut rng);
            if let Choice::Wait(at) = pool.choose(now, None) {
                let delay = at.saturating_duration_since(now);
                assert!(delay <= Duration::from_millis(window), "{delay:?} {window}");
                now = at;
            }
            dialled(pool.choose(now, None));
        }
    }

    #[test]
    fn a_lost_link_is_not_replaced_at_once_even_the_first_time() {
        let mut delays = Vec::new();
        for seed in 0..200 {
            let (mut pool, _) = pool("a", false);
            let mut rng = Rng::new(&Seed::from_u64(seed));
            dialled(pool.choose(T0, None));
            pool.ready(T0);
            pool.lost(T0, &mut rng);
            match pool.choose(T0, None) {
                Choice::Wait(at) => delays.push(at.as_nanos()),
                Choice::Dial(_) | Choice::GiveUp => delays.push(0),
            }
        }
        delays.sort_unstable();
        assert!(delays[20] < 20_000_000, "some come early");
        assert!(delays[180] > 80_000_000, "some come late");
        assert!(delays[199] <= 100_000_000, "none comes after the window");
    }

    #[test]
    fn after_a_loss_the_other_servers_come_first() {
        let (mut pool, mut rng) = pool("a,b", false);
        dialled(pool.choose(T0, None));
        pool.ready(T0);
        pool.lost(T0, &mut rng);
        let later = T0 + Duration::from_secs(2);
        let a: ServerAddr = pool.servers().next().unwrap().clone();
        assert_eq!(dialled(pool.choose(later, Some(&a))).host(), "b");
        pool.lost(later, &mut rng);
        let later = later + Duration::from_secs(2);
        assert_eq!(dialled(pool.choose(later, Some(&a))).host(), "a");
    }

    #[test]
    fn discovered_servers_are_merged_and_bounded() {
        let (mut pool, _) = pool("a", false);
        pool.discover(["a:4222", "b:1", "b:1", "", "u:p@c:2"].into_iter());
        let names = |pool: &Pool| -> Vec<_> { pool.servers().map(ToString::to_string).collect() };
        assert_eq!(names(&pool), ["a:4222", "b:1", "c:2"]);
        pool.discover(core::iter::empty());
        assert_eq!(names(&pool).len(), 3);
        pool.discover(["c:2", "d:3"].into_iter());
        assert_eq!(names(&pool), ["a:4222", "c:2", "d:3"]);
        let many: Vec<_> = (0..100_000).map(|n| format!("h{n}:4222")).collect();
        pool.discover(many.iter().map(|s| &**s));
        assert_eq!(names(&pool).len(), 1 + MAX_DISCOVERED_SERVERS);
    }
}
