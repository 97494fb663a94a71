//! The world behind its lock, and what is on its way to the executor.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use super::world::World;

/// The world behind its lock. Wakers are called when the lock is free.
#[derive(Debug)]
pub(super) struct Shared(Mutex<World>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Mutex::new(world))
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        // A panic of the application is what a run is to find; the world is a plain value.
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut world);
        if world.wakers.is_empty() {
            return result;
        }
        let wakers = std::mem::take(&mut world.wakers);
        drop(world);
        for waker in wakers {
            waker.wake();
        }
        result
    }
}

/// What is given to the executor that runs on this thread. It need not be `Send`, unlike all handles.
pub(super) enum Order {
    /// A task of a process in some life of it.
    Spawn {
        process: usize,
        life: u32,
        future: Pin<Box<dyn Future<Output = ()>>>,
    },
    /// Something that must hold always.
    Always {
        what: String,
        holds: Box<dyn FnMut() -> bool>,
    },
}

thread_local! {
    static ORDERS: RefCell<Vec<Order>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn order(order: Order) {
    ORDERS.with_borrow_mut(|orders| orders.push(order));
}

/// Takes all orders.
pub(super) fn take_orders() -> Vec<Order> {
    ORDERS.take()
}

/// Leaves orders to an executor around this one.
pub(super) fn put_back(orders: Vec<Order>) {
    ORDERS.replace(orders);
}
