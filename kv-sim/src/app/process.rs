//! A process of the application: tasks, clients and a clock that live and die together.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kv_proto::driver::{Client, Timer};
use kv_proto::{Config, ConnectError, Instant, Seed};

use super::io::{SimRuntime, SimTimer};
use super::shared::{Order, Shared, order};

/// A process of the application. Cheap to clone; every clone is the same process.
///
/// Its tasks run only while it runs: not while it is [stalled](Self::stall), and never again once it was
/// [killed](Self::kill), after which new ones are those of its next life.
///
/// ```
/// use kv_sim::app::Simulation;
/// use kv_proto::BucketConfig;
///
/// let value = Simulation::new().run(1, |sim| async move {
///     let writer = sim.process("writer").connect(sim.url()).await.unwrap();
///     let bucket = writer.create_bucket(BucketConfig::new("config")).await.unwrap();
///     bucket.put("setting", "on").await.unwrap();
///     let reader = sim.process("reader").connect(sim.url()).await.unwrap();
///     let bucket = reader.bucket("config").await.unwrap();
///     bucket.get("setting").await.unwrap().unwrap()
/// });
/// assert_eq!(value, "on");
/// ```
#[derive(Clone, Debug)]
pub struct Process {
    pub(super) shared: Arc<Shared>,
    pub(super) id: usize,
}

impl Process {
    /// Connects to NATS and returns once the connection is ready, as `kv_tokio::connect` does. The client
    /// lives as long as the process.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], as with the adapters.
    pub async fn connect<C>(&self, config: C) -> Result<Client, ConnectError>
    where
        C: TryInto<Config>,
        ConnectError: From<C::Error>,
    {
        let client = self.client(config.try_into()?);
        client.connected().await?;
        Ok(client)
    }

    /// Makes a client that is connecting. Its driver is a task of this process.
    #[must_use]
    pub fn client(&self, config: Config) -> Client {
        let seed = self.shared.with(|world| world.rng.next());
        let runtime = SimRuntime {
            shared: self.shared.clone(),
            process: self.id,
        };
        let (client, driver) = kv_proto::driver::new(runtime, config, Seed::from_u64(seed));
        self.spawn(driver);
        client
    }

    /// Runs a task of this process beside the others. Dropping the handle does not end it.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let slot = Arc::new(Slot(Mutex::new(State::Running(None))));
        let end = End(slot.clone());
        let life = self.shared.with(|world| world.life(self.id));
        let task = async move {
            let output = future.await;
            end.0.set(State::Done(output));
        };
        order(Order::Spawn {
            process: self.id,
            life,
            future: Box::pin(task),
        });
        Task(slot)
    }

    /// What its clock shows: what its clients take for the time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.shared.with(|world| world.clock(self.id))
    }

    /// Waits on its clock.
    pub async fn sleep(&self, time: Duration) {
        let until = self.now() + time;
        let mut timer = SimTimer::new(self.shared.clone(), self.id);
        std::future::poll_fn(|cx| timer.poll_until(cx, until)).await;
    }

    /// Writes a line of its own to the timeline and the picture of the run.
    pub fn note(&self, text: &str) {
        self.shared.with(|world| {
            let now = world.now;
            world.chronicle.process_notes(now, self.id, text);
        });
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.with(|world| world.name(self.id).to_owned())
    }
}

/// A spawned task, as a future of what it returns.
#[derive(Debug)]
pub struct Task<T>(Arc<Slot<T>>);

/// The process of a task was killed before the task had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

impl std::fmt::Display for Killed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the process was killed")
    }
}

impl std::error::Error for Killed {}

impl<T> Future for Task<T> {
    type Output = Result<T, Killed>;

    /// # Panics
    ///
    /// When polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Taken) {
            State::Running(_) => {
                *state = State::Running(Some(cx.waker().clone()));
                Poll::Pending
            }
            State::Done(output) => Poll::Ready(Ok(output)),
            State::Gone => Poll::Ready(Err(Killed)),
            State::Taken => panic!("a task was polled after it was ready"),
        }
    }
}

/// What came of a task.
#[derive(Debug)]
struct Slot<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    /// Somebody may wait for it.
    Running(Option<Waker>),
    Done(T),
    Gone,
    Taken,
}

impl<T> Slot<T> {
    /// Ends a task that runs.
    fn set(&self, end: State<T>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(waiting) = &mut *state {
            let waiting = waiting.take();
            *state = end;
            drop(state);
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }
}

/// The task's end of the slot: dropped before it is done, the task is gone.
struct End<T>(Arc<Slot<T>>);

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.0.set(State::Gone);
    }
}
