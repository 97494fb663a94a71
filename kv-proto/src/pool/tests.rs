use super::*;
use crate::error::{LinkError, LinkErrorKind};
use crate::rng::Seed;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

const T0: Instant = Instant::ORIGIN;
const SPREAD: Duration = Duration::from_millis(100);

/// A pool and its randomness, driven as a session does.
struct Bench {
    pool: Pool,
    rng: Rng,
    now: Instant,
}

fn config(urls: &str) -> Config {
    Config::new(urls)
        .unwrap()
        .shuffle_servers(false)
        .reconnect_within(SPREAD, Duration::from_secs(1))
}

fn unreachable() -> Disconnect {
    LinkError::new(LinkErrorKind::Dial, "").into()
}

fn refused() -> Disconnect {
    Disconnect::Authentication("Authorization Violation".into())
}

impl Bench {
    fn new(config: Config, seed: u64) -> Self {
        let mut rng = Rng::new(&Seed::from_u64(seed));
        let pool = Pool::new(&config, &mut rng);
        Self { pool, rng, now: T0 }
    }

    /// Dials the next server as soon as the pool wants it.
    fn dial(&mut self) -> Result<ServerAddr, Limit> {
        loop {
            match self.pool.choose(self.now, None) {
                Choice::Dial(addr) => return Ok(addr),
                Choice::Wait(at) => {
                    assert!(at > self.now);
                    self.now = at;
                }
                Choice::GiveUp(limit) => return Err(limit),
            }
        }
    }

    /// Dials the next server, and that fails.
    fn fail(&mut self, reason: &Disconnect) -> String {
        let addr = self.dial().unwrap();
        let (pool, rng) = (&mut self.pool, &mut self.rng);
        pool.failed(self.now, &addr, reason, true, rng);
        addr.host().into()
    }

    /// Connects, and loses the link after a time.
    fn live(&mut self, time: Duration) -> String {
        let addr = self.dial().unwrap();
        self.pool.ready(self.now, &addr);
        self.now = self.now + time;
        self.pool.lost(self.now, &addr, &mut self.rng);
        addr.host().into()
    }
}

#[test]
fn the_first_attempts_have_no_delay_and_then_it_gives_up() {
    let mut bench = Bench::new(config("a,b"), 5);
    assert_eq!(bench.fail(&unreachable()), "a");
    assert_eq!(bench.fail(&unreachable()), "b");
    assert_eq!(bench.now, T0);
    assert_eq!(bench.dial(), Err(Limit::OneRound));
    let mut nobody = Bench::new(Config::with_servers(Vec::new()), 5);
    assert_eq!(nobody.dial(), Err(Limit::OneRound));
}

#[test]
fn every_later_attempt_waits_a_random_time_in_a_doubling_window() {
    let mut bench = Bench::new(config("a").retry_first_connect(true), 5);
    let mut before = T0;
    bench.fail(&unreachable());
    for window in [100, 200, 400, 800, 1_000, 1_000] {
        bench.fail(&unreachable());
        let delay = bench.now.saturating_duration_since(before);
        assert!(delay <= Duration::from_millis(window), "{delay:?} {window}");
        before = bench.now;
    }
}

#[test]
fn a_lost_link_is_not_replaced_at_once_even_the_first_time() {
    let mut delays = Vec::new();
    for seed in 0..200 {
        let mut bench = Bench::new(config("a,b"), seed);
        bench.live(Duration::ZERO);
        bench.dial().unwrap();
        delays.push(bench.now.as_nanos());
    }
    delays.sort_unstable();
    assert!(delays[20] < 20_000_000, "some come early");
    assert!(delays[180] > 80_000_000, "some come late");
    assert!(delays[199] <= 100_000_000, "none comes after the window");
}

/// Law: whoever was tried longest ago is next, so each is tried once before any is tried again.
#[test]
fn servers_take_turns() {
    let mut bench = Bench::new(config("a,b,c"), 5);
    let hour = Duration::from_secs(3_600);
    let turns: Vec<String> = (0..6).map(|_| bench.live(hour)).collect();
    assert_eq!(turns, ["a", "b", "c", "a", "b", "c"]);
}

/// One that refuses us rests longer and longer, and keeps nobody from the others.
#[test]
fn each_server_has_a_back_off_of_its_own() {
    let mut bench = Bench::new(config("a,b").retry_first_connect(true), 5);
    let (mut refusals, mut lives) = (0, 0);
    while bench.now < T0 + Duration::from_secs(60) {
        let addr = bench.dial().unwrap();
        if addr.host() == "a" {
            refusals += 1;
            let (pool, rng) = (&mut bench.pool, &mut bench.rng);
            pool.failed(bench.now, &addr, &refused(), true, rng);
        } else {
            lives += 1;
            bench.pool.ready(bench.now, &addr);
            bench.now = bench.now + STABLE;
            bench.pool.lost(bench.now, &addr, &mut bench.rng);
        }
    }
    assert!(lives >= 5 && refusals <= lives + 1, "{refusals} {lives}");
}

/// A server that lets us in and throws us out is not hammered either.
#[test]
fn links_that_end_at_once_count_as_failures() {
    let mut bench = Bench::new(config("a"), 5);
    let mut lives = 0;
    while bench.now < T0 + Duration::from_secs(60) {
        bench.live(Duration::ZERO);
        lives += 1;
    }
    assert!((100..200).contains(&lives), "{lives}");
    bench.live(STABLE);
    let before = bench.now;
    bench.dial().unwrap();
    assert!(bench.now.saturating_duration_since(before) <= SPREAD);
}

/// What the network takes again and again is made again each time as if it were the first.
#[test]
fn links_that_the_network_takes_are_no_failures() {
    let mut bench = Bench::new(config("a"), 5);
    for _ in 0..100 {
        bench.live(SHORT);
        let before = bench.now;
        bench.dial().unwrap();
        assert!(bench.now.saturating_duration_since(before) <= SPREAD);
    }
}

/// Law: each seed draws an order, and all orders are as likely; the same seed draws the same one.
#[test]
fn the_order_of_servers_is_drawn_by_the_seed() {
    let order = |seed| {
        let mut bench = Bench::new(config("a,b,c").shuffle_servers(true), seed);
        let order: String = (0..3).map(|_| bench.fail(&unreachable())).collect();
        order
    };
    let mut orders: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..6_000 {
        *orders.entry(order(seed)).or_default() += 1;
        assert_eq!(order(seed), order(seed));
    }
    assert_eq!(orders.len(), 6);
    assert!(
        orders.values().all(|count| (880..1_120).contains(count)),
        "{orders:?}"
    );
}

/// Those that a server announces come in all orders, too.
#[test]
fn discovered_servers_are_shuffled_among_themselves() {
    let mut firsts: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..1_000 {
        let mut bench = Bench::new(config("a").shuffle_servers(true), seed);
        let addr = bench.dial().unwrap();
        bench.pool.ready(T0, &addr);
        bench
            .pool
            .discover(["b:1", "c:2"].into_iter(), &mut bench.rng);
        bench.pool.lost(T0, &addr, &mut bench.rng);
        *firsts.entry(bench.dial().unwrap().to_string()).or_default() += 1;
    }
    assert!(
        firsts.values().all(|count| (430..570).contains(count)),
        "{firsts:?}"
    );
}

#[test]
fn a_number_of_failed_attempts_in_a_row_ends_it() {
    let mut bench = Bench::new(config("a,b").max_reconnects(3), 5);
    for _ in 0..2 {
        bench.live(Duration::ZERO);
        bench.fail(&unreachable());
        bench.fail(&refused());
        assert_eq!(bench.pool.failed_attempts(), 2);
    }
    bench.live(Duration::ZERO);
    for _ in 0..3 {
        bench.fail(&unreachable());
    }
    assert_eq!(bench.dial(), Err(Limit::Attempts(3)));

    let mut none = Bench::new(config("a,b").max_reconnects(0), 5);
    none.live(Duration::ZERO);
    assert_eq!(none.dial(), Err(Limit::Attempts(0)));
}

/// Before the first link every server is tried once, however few attempts there shall be; or so many are
/// made in all, if the first connection is retried.
#[test]
fn the_first_connection_has_its_own_rule() {
    let mut once = Bench::new(config("a,b").max_reconnects(1).max_auth_failures(1), 5);
    once.fail(&refused());
    once.fail(&refused());
    assert_eq!(once.dial(), Err(Limit::OneRound));
    let retried = config("a,b").max_reconnects(3).retry_first_connect(true);
    let mut retried = Bench::new(retried, 5);
    for _ in 0..3 {
        retried.fail(&unreachable());
    }
    assert_eq!(retried.dial(), Err(Limit::Attempts(3)));
}

/// One server has to refuse so often; being unreachable says nothing of credentials, and nor does a
/// time-out; being let in does.
#[test]
fn refusals_of_one_server_end_it() {
    let config = config("a,b").max_auth_failures(2).retry_first_connect(true);
    let timeout = Disconnect::Authentication("Authentication Timeout".into());
    let mut bench = Bench::new(config, 5);
    assert_eq!(bench.fail(&refused()), "a");
    assert_eq!(bench.fail(&refused()), "b");
    while bench.fail(&timeout) != "a" {}
    while bench.live(Duration::ZERO) != "a" {}
    while bench.live(Duration::ZERO) != "b" {}
    while bench.fail(&refused()) != "b" {}
    let last = loop {
        let addr = bench.dial();
        let Ok(addr) = addr else {
            break addr;
        };
        let (pool, rng) = (&mut bench.pool, &mut bench.rng);
        match addr.host() {
            "b" => pool.failed(bench.now, &addr, &refused(), true, rng),
            _ => pool.failed(bench.now, &addr, &unreachable(), true, rng),
        }
    };
    assert_eq!(last, Err(Limit::Refusals));
}

/// While there is a link to move away from, nothing that fails counts.
#[test]
fn attempts_to_move_do_not_count() {
    let mut bench = Bench::new(config("a,b").max_reconnects(0).max_auth_failures(1), 5);
    let a = bench.dial().unwrap();
    bench.pool.ready(T0, &a);
    let Choice::Dial(b) = bench.pool.choose(T0, Some(&a)) else {
        panic!("b is there");
    };
    bench.pool.failed(T0, &b, &refused(), false, &mut bench.rng);
    assert!(matches!(bench.pool.choose(T0, Some(&a)), Choice::Wait(_)));
    bench.pool.lost(T0, &a, &mut bench.rng);
    assert_eq!(bench.dial(), Err(Limit::Attempts(0)));
}

#[test]
fn discovered_servers_are_merged_and_bounded() {
    let mut bench = Bench::new(config("a,a"), 5);
    let (pool, rng) = (&mut bench.pool, &mut bench.rng);
    let announced = ["a:4222", "b:1", "b:1", "", "u:p@c:2"];
    assert_eq!(pool.discover(announced.into_iter(), rng), (2, 0));
    let names = |pool: &Pool| -> Vec<_> { pool.servers().map(ToString::to_string).collect() };
    assert_eq!(names(pool), ["a:4222", "b:1", "c:2"]);
    assert_eq!(pool.discover(core::iter::empty(), rng), (0, 0));
    assert_eq!(names(pool).len(), 3);
    assert_eq!(pool.discover(["c:2", "d:3"].into_iter(), rng), (1, 1));
    assert_eq!(names(pool), ["a:4222", "c:2", "d:3"]);
    let many: Vec<_> = (0..100_000).map(|n| format!("h{n}:4222")).collect();
    pool.discover(many.iter().map(|s| &**s), rng);
    assert_eq!(names(pool).len(), 1 + MAX_DISCOVERED_SERVERS);
}
