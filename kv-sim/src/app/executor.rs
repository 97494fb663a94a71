//! Who runs when: one thread, tasks in an order that the seed draws, and time that moves when nobody can run.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use kv_proto::Instant;

use super::failure::Reason;
use super::shared::{Order, Shared, take_orders};
use crate::runner::message_of;
use crate::server::rng::Rng;

/// More polls than any application makes at one moment: some task wakes itself for ever.
const MAX_POLLS: u64 = 100_000;

/// Tasks that were woken.
#[derive(Debug, Default)]
struct Ready(Mutex<Vec<u64>>);

impl Ready {
    fn push(&self, task: u64) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push(task);
    }

    /// Takes any of them.
    fn pop(&self, rng: &mut Rng) -> Option<u64> {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let at = usize::try_from(rng.below(ready.len() as u64)).unwrap_or(0);
        Some(ready.swap_remove(at))
    }
}

/// Wakes a task, once until it is polled.
#[derive(Debug)]
struct TaskWaker {
    task: u64,
    woken: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Relaxed) {
            self.ready.push(self.task);
        }
    }
}

struct Task {
    process: usize,
    life: u32,
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Arc<TaskWaker>,
}

struct Invariant {
    what: String,
    holds: Box<dyn FnMut() -> bool>,
}

pub(super) struct Executor {
    shared: Arc<Shared>,
    rng: Rng,
    tasks: BTreeMap<u64, Task>,
    next_task: u64,
    ready: Arc<Ready>,
    /// Tasks of stalled processes that were woken.
    parked: Vec<u64>,
    invariants: Vec<Invariant>,
    /// Polls since time moved.
    polls: u64,
    /// Polls of the whole run.
    pub(super) all_polls: u64,
}

impl Executor {
    pub(super) fn new(shared: Arc<Shared>, rng: Rng) -> Self {
        Self {
            shared,
            rng,
            tasks: BTreeMap::new(),
            next_task: 0,
            ready: Arc::default(),
            parked: Vec::new(),
            invariants: Vec::new(),
            polls: 0,
            all_polls: 0,
        }
    }

    /// Runs until a future is ready, at most until `end`.
    pub(super) fn run<T>(
        &mut self,
        main: impl Future<Output = T>,
        end: Instant,
    ) -> Result<T, Reason> {
        let mut main = std::pin::pin!(main);
        let main_waker = self.waker(0);
        main_waker.wake_by_ref();
        loop {
            self.follow_orders();
            if let Some(task) = self.ready.pop(&mut self.rng) {
                self.polls += 1;
                self.all_polls += 1;
                if self.polls > MAX_POLLS {
                    return Err(Reason::Spins);
                }
                if task == 0 {
                    main_waker.woken.store(false, Ordering::Relaxed);
                    let waker = Waker::from(main_waker.clone());
                    let polled = caught(|| main.as_mut().poll(&mut Context::from_waker(&waker)))?;
                    if let Poll::Ready(output) = polled {
                        self.follow_orders();
                        self.check()?;
                        return Ok(output);
                    }
                } else {
                    self.poll(task)?;
                }
                self.bury();
            } else if !self.unpark() {
                self.polls = 0;
                let (moved, now) = self.shared.with(|world| (world.step(end), world.now));
                if !moved {
                    return Err(if self.is_idle() {
                        Reason::Stuck
                    } else {
                        Reason::TooLong
                    });
                }
                debug_assert!(now <= end, "nothing happens after the end");
            }
            self.check()?;
        }
    }

    /// Whether nothing will ever happen, rather than too late.
    fn is_idle(&self) -> bool {
        self.shared.with(|world| !world.has_next())
    }

    fn waker(&self, task: u64) -> Arc<TaskWaker> {
        Arc::new(TaskWaker {
            task,
            woken: AtomicBool::new(false),
            ready: self.ready.clone(),
        })
    }

    fn follow_orders(&mut self) {
        for order in take_orders() {
            match order {
                Order::Spawn {
                    process,
                    life,
                    future,
                } => {
                    self.next_task += 1;
                    let waker = self.waker(self.next_task);
                    waker.wake_by_ref();
                    let task = Task {
                        process,
                        life,
                        future,
                        waker,
                    };
                    self.tasks.insert(self.next_task, task);
                }
                Order::Always { what, holds } => self.invariants.push(Invariant { what, holds }),
            }
        }
    }

    fn poll(&mut self, id: u64) -> Result<(), Reason> {
        let Some(task) = self.tasks.get_mut(&id) else {
            return Ok(());
        };
        let (process, life) = (task.process, task.life);
        let (lives, stalled) = self
            .shared
            .with(|world| (world.life(process) == life, world.is_stalled(process)));
        if !lives {
            self.tasks.remove(&id);
            return Ok(());
        }
        if stalled {
            self.parked.push(id);
            return Ok(());
        }
        task.waker.woken.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.waker.clone());
        let future = task.future.as_mut();
        if caught(|| future.poll(&mut Context::from_waker(&waker)))?.is_ready() {
            self.tasks.remove(&id);
        }
        Ok(())
    }

    /// Drops what killed processes left.
    fn bury(&mut self) {
        let killed = self.shared.with(|world| std::mem::take(&mut world.killed));
        if !killed {
            return;
        }
        let dead: Vec<u64> = self
            .tasks
            .iter()
            .filter(|(_, task)| {
                let (process, life) = (task.process, task.life);
                self.shared.with(|world| world.life(process) != life)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in dead {
            self.tasks.remove(&id);
        }
    }

    /// Gives those their turn whose process goes on; false if there are none.
    fn unpark(&mut self) -> bool {
        let before = self.parked.len();
        let (shared, ready, tasks) = (&self.shared, &self.ready, &self.tasks);
        self.parked.retain(|id| {
            let process = tasks.get(id).map(|task| task.process);
            let stalled =
                process.is_some_and(|process| shared.with(|world| world.is_stalled(process)));
            if !stalled {
                ready.push(*id);
            }
            stalled
        });
        self.parked.len() < before
    }

    fn check(&mut self) -> Result<(), Reason> {
        for invariant in &mut self.invariants {
            if !caught(&mut invariant.holds)? {
                return Err(Reason::Broken(invariant.what.clone()));
            }
        }
        Ok(())
    }
}

/// A panic of the application ends the run, not the search.
fn caught<T>(step: impl FnOnce() -> T) -> Result<T, Reason> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| Reason::Panicked(message_of(&*panic)))
}
