//! Connecting to a server that has several addresses.
//!
//! An address can be a black hole: nothing answers, not even with a refusal. It must not take the time that
//! the others need, so the next one is begun soon, as RFC 8305 ("Happy Eyeballs") has it, and the first to
//! connect wins. Nothing is given up before: how long all may take is the session's affair.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

use crate::server::ServerAddr;

/// How long an address has before the next one is begun beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// How long a TCP connection of an adapter is silent before the operating system
/// asks whether its other end is there; it asks three times as often then.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How many addresses of a server are tried at most.
const MAX_ADDRESSES: usize = 16;

/// Returns the host and the port to connect to, for adapters on systems without
/// Unix sockets.
///
/// # Errors
///
/// [`Unsupported`](io::ErrorKind::Unsupported) for a Unix socket.
pub fn host_and_port(server: &ServerAddr) -> io::Result<(&str, u16)> {
    if server.path().is_some() {
        let text = alloc::format!("{server}: there are no Unix sockets here");
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    Ok((server.host(), server.port()))
}

/// Connects to the first of several addresses that answers, for adapters. They are begun in their order, the
/// next one when the one before failed, or 250 ms after it was begun; the first 16 count.
///
/// # Errors
///
/// What every attempt says, with the kind of the last one.
pub async fn first_to_connect<A, C, S, P>(
    addresses: impl IntoIterator<Item = A>,
    connect: impl Fn(A) -> C,
    sleep: impl Fn(Duration) -> P,
) -> io::Result<S>
where
    A: fmt::Display + Clone,
    C: Future<Output = io::Result<S>>,
    P: Future,
{
    let mut untried = addresses.into_iter().take(MAX_ADDRESSES).fuse();
    let mut attempts: Vec<(A, Pin<Box<C>>)> = Vec::new();
    let mut pause: Option<Pin<Box<P>>> = None;
    let mut failures = Failures::default();
    poll_fn(|cx| {
        loop {
            let mut connected = None;
            attempts.retain_mut(|(address, attempt)| {
                if connected.is_some() {
                    return true;
                }
                match attempt.as_mut().poll(cx) {
                    Poll::Pending => return true,
                    Poll::Ready(Ok(stream)) => connected = Some(stream),
                    Poll::Ready(Err(error)) => {
                        failures.add(address, &error);
                        pause = None;
                    }
                }
                false
            });
            if let Some(stream) = connected {
                return Poll::Ready(Ok(stream));
            }
            if let Some(pause) = &mut pause
                && pause.as_mut().poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            match untried.next() {
                Some(address) => {
                    attempts.push((address.clone(), Box::pin(connect(address))));
                    pause = Some(Box::pin(sleep(STAGGER)));
                }
                None if attempts.is_empty() => {
                    return Poll::Ready(Err(core::mem::take(&mut failures).into_error()));
                }
                None => {
                    pause = None;
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}

/// Why attempts failed.
#[derive(Default)]
struct Failures {
    kind: Option<io::ErrorKind>,
    texts: Vec<String>,
}

impl Failures {
    fn add(&mut self, address: &impl fmt::Display, error: &io::Error) {
        self.kind = Some(error.kind());
        self.texts.push(alloc::format!("{address}: {error}"));
    }

    fn into_error(self) -> io::Error {
        let Some(kind) = self.kind else {
            return io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        };
        io::Error::new(kind, self.texts.join("; "))
    }
}

#[cfg(test)]
mod tests;
