//! For authors of applications: their own async code, unchanged, in virtual time and under faults.
//!
//! A [`Simulation`] says what the world is like; it [runs](Simulation::run) an async closure for a seed, or
//! [searches](Simulation::search) many seeds for one that fails. The closure is given a [`Sim`], makes
//! [`Process`]es that [connect](Process::connect) and [spawn](Process::spawn), and lets faults befall them and
//! the servers: one by one, or as a [`Storm`] that the seed draws. What must hold always is said by
//! [`Sim::always`].
//!
//! The clients are those of the adapters: [`kv_proto::driver`] drives the same session, with sockets, timers
//! and clocks of the simulation. So whatever is written against [`Client`](kv_proto::driver::Client) and
//! [`Bucket`](kv_proto::driver::Bucket), and waits by `Client::sleep`, `timeout` and `now` alone, runs here.
//!
//! ```
//! use std::time::Duration;
//! use kv_proto::BucketConfig;
//! use kv_sim::app::{Simulation, Storm};
//!
//! // A counter that many increment, as an application may have it.
//! async fn increment(bucket: kv_proto::driver::Bucket) {
//!     loop {
//!         let Ok(Some(entry)) = bucket.entry("count").await else { continue };
//!         let count: u64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
//!         if bucket.update("count", (count + 1).to_string(), entry.revision).await.is_ok() {
//!             return;
//!         }
//!     }
//! }
//!
//! let explored = Simulation::new().search(0..20, |sim| async move {
//!     let a = sim.process("a");
//!     let bucket = a.connect(sim.url()).await.unwrap()
//!         .create_bucket(BucketConfig::new("b")).await.unwrap();
//!     bucket.put("count", "0").await.unwrap();
//!     let tasks: Vec<_> = (0..3).map(|_| a.spawn(increment(bucket.clone()))).collect();
//!     sim.storm(&[a], &Storm::new().resets(), Duration::from_secs(10)).await;
//!     for task in tasks {
//!         task.await.unwrap();
//!     }
//!     let count = bucket.get("count").await.unwrap().unwrap();
//!     assert!(count.as_ref() >= b"3".as_ref(), "an increment is lost");
//! });
//! explored.unwrap();
//! ```
//!
//! ```text
//!  your code ── Client, Bucket ── Driver ── io (sockets, timers, clocks of a process)
//!      ▲                            ▲        │
//!      └───────── executor ─────────┘      world: agenda, wires, Cluster
//! ```
//!
//! Nothing here is random but the seed and nothing reads a clock: the same seed is the same run.

mod agenda;
mod chronicle;
mod executor;
mod failure;
mod faults;
mod io;
mod process;
mod search;
mod shared;
mod storm;
mod wire;
mod world;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kv_proto::Instant;

use self::chronicle::Chronicle;
use self::executor::Executor;
use self::shared::{Order, Shared, order, put_back, take_orders};
use self::world::World;
use crate::net::Weather;
use crate::picture::Recording;
use crate::server::rng::Rng;
use crate::server::{Config, FIRST_PORT, Version};

pub use self::failure::{Failure, Reason};
pub use self::process::{Killed, Process, Task};
pub use self::search::Explored;
pub use self::storm::Storm;

/// What a simulated world is like.
#[derive(Clone, Debug)]
#[must_use = "a simulation does nothing unless it is run"]
pub struct Simulation {
    config: Config,
    latency: Option<Duration>,
    pieces: bool,
    limit: Duration,
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets apart what draws the order of tasks.
const ORDER: u64 = 0x6f72_6465_7200_0001;
/// Bytes that can be on their way in one direction of a connection.
const WINDOW: u32 = 64 * 1024;
/// A run that takes longer than that hangs.
const LIMIT: Duration = Duration::from_secs(3_600);

impl Simulation {
    /// One server of the newest version, and a network that every seed draws.
    pub fn new() -> Self {
        Self {
            config: Config::new(Version::V2_15),
            latency: None,
            pieces: true,
            limit: LIMIT,
        }
    }

    /// So many servers, which form a cluster. Buckets are replicated as their configuration says.
    pub fn servers(mut self, servers: usize) -> Self {
        self.config.servers = servers;
        self
    }

    /// The servers behave like this release of nats-server.
    pub fn version(mut self, version: Version) -> Self {
        self.config.version = version;
        self
    }

    /// The servers are like this in everything.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// How long a message takes, on average. Otherwise every seed draws it, between 50 µs and 20 ms.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = Some(latency);
        self
    }

    /// What is written at once arrives at once, as far as it fits into a socket. Otherwise every seed draws how
    /// small the pieces are in which bytes arrive.
    pub fn whole_writes(mut self) -> Self {
        self.pieces = false;
        self
    }

    /// How long a run may take in virtual time before it [has failed](Reason::TooLong); an hour unless said
    /// otherwise.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the closure's future in a world of that seed, and returns its result.
    ///
    /// # Panics
    ///
    /// When the application does, and when the run fails for another [`Reason`].
    pub fn run<F: Future>(&self, seed: u64, main: impl Fn(Sim) -> F) -> F::Output {
        match self.attempt(seed, &main, false).result {
            Ok(output) => output,
            Err(_) => panic!("{}", self.explain(seed, &main)),
        }
    }

    /// Runs the closure's future in a world of that seed, and writes down what happens: what is sent, and every
    /// fault.
    pub fn replay<F: Future>(&self, seed: u64, main: impl Fn(Sim) -> F) -> Run<F::Output> {
        self.attempt(seed, &main, true)
    }

    fn attempt<F: Future>(
        &self,
        seed: u64,
        main: &impl Fn(Sim) -> F,
        written: bool,
    ) -> Run<F::Output> {
        let mut rng = Rng::new(seed);
        let weather = self.weather(&mut rng);
        let chronicle = Chronicle::new(seed, self.config.servers, written);
        let world = World::new(self.config.clone(), weather, rng, chronicle);
        let shared = Arc::new(Shared::new(world));
        let sim = Sim {
            shared: shared.clone(),
            tester: Process {
                shared: shared.clone(),
                id: 0,
            },
        };
        shared.with(|world| world.add_process("the test"));
        let outer = take_orders();
        let mut executor = Executor::new(shared.clone(), Rng::new(seed ^ ORDER));
        let end = Instant::ORIGIN + self.limit;
        let result = executor.run(main(sim), end);
        let polls = executor.all_polls;
        drop(executor);
        take_orders();
        put_back(outer);
        let broken = result.as_ref().err();
        let (now, events, written) = shared.with(|world| {
            let written = world.chronicle.finish(world.now, broken);
            (world.now, world.events, written)
        });
        Run {
            result,
            time: now.saturating_duration_since(Instant::ORIGIN),
            events,
            polls,
            hash: written.hash,
            timeline: written.timeline,
            recording: written.recording,
        }
    }

    fn weather(&self, rng: &mut Rng) -> Weather {
        let drawn = rng.pick(&[50_u64, 500, 2_000, 20_000]);
        let pieces = rng.pick(&[1, 16, 300, 4_096, WINDOW]);
        Weather {
            latency: self.latency.unwrap_or(Duration::from_micros(drawn)),
            max_chunk: if self.pieces { pieces } else { u32::MAX },
            window: WINDOW,
            quantum: Duration::from_nanos(1),
        }
    }
}

/// What came of one run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run<T> {
    /// What the closure's future returned, or why it could not.
    pub result: Result<T, Reason>,
    /// The virtual time that it took.
    pub time: Duration,
    /// Everything that happened.
    pub events: u64,
    /// How often tasks were polled.
    pub polls: u64,
    /// The hash over everything that happened. The same seed gives the same one.
    pub hash: u64,
    /// What happened, a line each; empty unless it was [written down](Simulation::replay).
    pub timeline: Vec<String>,
    /// The same to be [drawn](crate::picture::draw): a page that a browser shows.
    pub recording: Option<Recording>,
}

/// A run, as the test sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    /// The test itself: nothing befalls it.
    tester: Process,
}

impl Sim {
    /// Makes a process; the name is for the timeline.
    #[must_use]
    pub fn process(&self, name: &str) -> Process {
        Process {
            shared: self.shared.clone(),
            id: self.shared.with(|world| world.add_process(name)),
        }
    }

    /// The URLs of all servers, separated by commas, for [`Process::connect`].
    #[must_use]
    pub fn url(&self) -> String {
        let ports = (FIRST_PORT..).take(self.server_count());
        let urls: Vec<String> = ports
            .map(|port| format!("nats://127.0.0.1:{port}"))
            .collect();
        urls.join(",")
    }

    /// How many servers there are.
    #[must_use]
    pub fn server_count(&self) -> usize {
        self.shared.with(|world| world.cluster.servers())
    }

    /// Waits in true time.
    pub async fn sleep(&self, time: Duration) {
        self.tester.sleep(time).await;
    }

    /// The true time since the beginning of the run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared
            .with(|world| world.now.saturating_duration_since(Instant::ORIGIN))
    }

    /// Runs a task of the test beside it; nothing befalls it.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.tester.spawn(future)
    }

    /// A number below `bound` that the seed draws; 0 if there is none.
    #[must_use]
    pub fn draw(&self, bound: u64) -> u64 {
        self.shared.with(|world| world.rng.below(bound))
    }

    /// Writes a line to the timeline of the run.
    pub fn note(&self, text: impl Into<String>) {
        self.shared.with(|world| world.note(&text.into()));
    }

    /// From now on the run fails as soon as this does not hold, after any step of anybody. `what` completes
    /// "it does not hold that".
    pub fn always(&self, what: &str, holds: impl FnMut() -> bool + 'static) {
        order(Order::Always {
            what: what.to_owned(),
            holds: Box::new(holds),
        });
    }
}
