//! Addresses that connect, fail or say nothing, in a time that only the test moves.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;

use proptest::prelude::*;

use super::{MAX_ADDRESSES, STAGGER, first_to_connect};

/// What an address does, and how many milliseconds after it was begun.
#[derive(Clone, Copy, Debug)]
enum Address {
    Connects(u64),
    Fails(u64),
    BlackHole,
}

use Address::{BlackHole, Connects, Fails};

/// What happened: when each was begun, and how and when it ended.
#[derive(Debug)]
struct Told {
    begun: Vec<(u64, usize)>,
    result: Option<(u64, io::Result<usize>)>,
}

impl Told {
    fn connected(&self) -> Option<(u64, usize)> {
        let (at, result) = self.result.as_ref()?;
        Some((*at, *result.as_ref().ok()?))
    }

    fn error(&self) -> &io::Error {
        let (_, result) = self.result.as_ref().expect("it ended");
        result.as_ref().expect_err("it failed")
    }
}

/// Lets a minute pass.
fn connect(addresses: &[Address]) -> Told {
    let now = Cell::new(0);
    let begun = RefCell::new(Vec::new());
    let at = |time: u64| {
        let now = &now;
        poll_fn(move |_| match now.get() >= time {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
    };
    let attempt = |number: usize| {
        begun.borrow_mut().push((now.get(), number));
        let (address, began) = (addresses[number], now.get());
        async move {
            match address {
                Connects(after) => at(began + after).await,
                Fails(after) => {
                    at(began + after).await;
                    return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "refused"));
                }
                BlackHole => at(u64::MAX).await,
            }
            Ok(number)
        }
    };
    let sleep = |time: Duration| at(now.get() + u64::try_from(time.as_millis()).expect("short"));
    let mut racing = pin!(first_to_connect(0..addresses.len(), attempt, sleep));
    let mut result = None;
    while now.get() < 60_000 {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(ended) = racing.as_mut().poll(&mut cx) {
            result = Some((now.get(), ended));
            break;
        }
        now.set(now.get() + 1);
    }
    Told {
        begun: begun.take(),
        result,
    }
}

#[test]
fn a_refusal_goes_on_to_the_next_at_once() {
    let told = connect(&[Fails(3), Fails(0), Connects(2)]);
    assert_eq!(told.begun, [(0, 0), (3, 1), (3, 2)]);
    assert_eq!(told.connected(), Some((5, 2)));
}

#[test]
fn a_black_hole_costs_a_quarter_of_a_second() {
    let told = connect(&[BlackHole, BlackHole, Connects(1), Connects(1)]);
    assert_eq!(told.begun, [(0, 0), (250, 1), (500, 2)]);
    assert_eq!(told.connected(), Some((501, 2)));
}

#[test]
fn a_slow_one_is_not_given_up() {
    let told = connect(&[Connects(1_000), BlackHole, Fails(10)]);
    assert_eq!(told.begun, [(0, 0), (250, 1), (500, 2)]);
    assert_eq!(told.connected(), Some((1_000, 0)));
}

#[test]
fn every_failure_is_told() {
    let told = connect(&[Fails(400), Fails(1)]);
    let error = told.error();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), "1: refused; 0: refused");
    let nowhere = connect(&[]);
    assert_eq!(nowhere.error().kind(), io::ErrorKind::NotFound);
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        (0..600u64).prop_map(Connects),
        (0..600u64).prop_map(Fails),
        (0..600u64).prop_map(Fails),
        Just(BlackHole),
    ]
}

proptest! {
    /// Addresses are begun in order, a stagger apart or when one failed. The first to connect is the result, and
    /// none has to wait for more than a stagger for each one before it.
    #[test]
    fn who_connects_first_wins(addresses in prop::collection::vec(address(), 0..20)) {
        let stagger = u64::try_from(STAGGER.as_millis()).unwrap();
        let tried = &addresses[..addresses.len().min(MAX_ADDRESSES)];
        let told = connect(&addresses);
        let numbers: Vec<usize> = told.begun.iter().map(|(_, number)| *number).collect();
        prop_assert!(numbers.iter().copied().eq(0..numbers.len()));
        let ends = |number: usize| told.begun.get(number).and_then(|(at, _)| match addresses[number] {
            Connects(after) | Fails(after) => Some(at + after),
            BlackHole => None,
        });
        for pair in told.begun.windows(2) {
            let (before, next) = (pair[0], pair[1]);
            let one_failed = (0..next.1).any(|number| {
                matches!(addresses[number], Fails(_)) && ends(number) == Some(next.0)
            });
            prop_assert!(next.0 == before.0 + stagger || (next.0 < before.0 + stagger && one_failed));
        }
        let connects = |number: &usize| matches!(tried[*number], Connects(_));
        match told.connected() {
            Some((at, winner)) => {
                prop_assert_eq!(ends(winner), Some(at));
                let first = (0..numbers.len()).filter(connects).filter_map(ends).min();
                prop_assert_eq!(first, Some(at));
                for (number, address) in tried.iter().enumerate() {
                    if let Connects(after) = address {
                        prop_assert!(at <= u64::try_from(number).unwrap() * stagger + after);
                    }
                }
            }
            None => {
                prop_assert_eq!((0..tried.len()).filter(connects).count(), 0);
                prop_assert_eq!(numbers.len(), tried.len());
                let silent = tried.iter().any(|address| matches!(address, BlackHole));
                prop_assert_eq!(told.result.is_none(), silent);
                if !silent {
                    let named = told.error().to_string().split("; ").count();
                    prop_assert_eq!(named, tried.len().max(1));
                }
            }
        }
    }
}
