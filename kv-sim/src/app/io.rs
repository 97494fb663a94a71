//! What [`kv_proto::driver`] asks of a runtime: connections, timers and the clock of one process.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use kv_proto::driver::{Connecting, Io, Runtime, Timer};
use kv_proto::{Clock, Instant, ServerAddr};

use super::shared::Shared;
use super::wire::Stage;
use crate::fault::Way;

/// The runtime of one process.
#[derive(Debug)]
pub(super) struct SimRuntime {
    pub(super) shared: Arc<Shared>,
    pub(super) process: usize,
}

impl Runtime for SimRuntime {
    type Io = SimIo;
    type Timer = SimTimer;

    fn dial(&self, server: &ServerAddr) -> Connecting<SimIo> {
        let wire = self.shared.with(|world| world.dial(self.process, server));
        Box::pin(Dial(Some(SimIo {
            shared: self.shared.clone(),
            wire,
        })))
    }

    fn timer(&self) -> SimTimer {
        SimTimer::new(self.shared.clone(), self.process)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(ProcessClock {
            shared: self.shared.clone(),
            process: self.process,
        })
    }
}

/// The clock of a process.
#[derive(Debug)]
pub(super) struct ProcessClock {
    shared: Arc<Shared>,
    process: usize,
}

impl Clock for ProcessClock {
    fn now(&self) -> Instant {
        self.shared.with(|world| world.clock(self.process))
    }
}

/// A timer on the clock of a process.
#[derive(Debug)]
pub(super) struct SimTimer {
    shared: Arc<Shared>,
    process: usize,
    id: u64,
}

impl SimTimer {
    pub(super) fn new(shared: Arc<Shared>, process: usize) -> Self {
        let id = shared.with(|world| world.new_timer());
        Self {
            shared,
            process,
            id,
        }
    }
}

impl Timer for SimTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let (id, process) = (self.id, self.process);
        let fired = self
            .shared
            .with(|world| world.set_timer(id, process, at, cx.waker()));
        if fired {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.shared.with(|world| world.drop_timer(self.id));
    }
}

/// A connection that is being made.
#[derive(Debug)]
struct Dial(Option<SimIo>);

impl Future for Dial {
    type Output = io::Result<SimIo>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(io) = &self.0 else {
            return Poll::Pending;
        };
        let decided = io.shared.with(|world| {
            let wire = world.wires.get_mut(&io.wire)?;
            match wire.stage {
                Stage::Dialing => {
                    wire.reader = Some(cx.waker().clone());
                    None
                }
                Stage::Refused(kind) => Some(Err(kind.into())),
                Stage::Open | Stage::Broken | Stage::Closed => Some(Ok(())),
            }
        });
        match decided {
            None => Poll::Pending,
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(())) => self
                .0
                .take()
                .map_or(Poll::Pending, |io| Poll::Ready(Ok(io))),
        }
    }
}

/// A process's end of a connection; closed when dropped.
#[derive(Debug)]
pub(super) struct SimIo {
    shared: Arc<Shared>,
    wire: u64,
}

impl Io for SimIo {
    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.shared.with(|world| {
            let Some(wire) = world.wires.get_mut(&self.wire) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            if matches!(wire.stage, Stage::Broken) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if wire.arrived.is_empty() {
                if wire.ended {
                    return Poll::Ready(Ok(0));
                }
                wire.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let read = wire.arrived.len();
            input.extend_from_slice(&wire.arrived);
            wire.arrived.clear();
            world.say_down(self.wire);
            Poll::Ready(Ok(read))
        })
    }

    fn poll_write<B: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut B,
    ) -> Poll<io::Result<usize>> {
        self.shared.with(|world| {
            let now = world.now;
            let Some(wire) = world.wires.get_mut(&self.wire) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            if matches!(wire.stage, Stage::Broken) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = wire.up.room(now);
            if room == 0 {
                wire.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let chunk = output.chunk();
            let chunk = chunk.get(..room).unwrap_or(chunk);
            world
                .chronicle
                .sent(now, wire.process, self.wire, Way::Up, chunk);
            wire.up.push(now, chunk);
            let written = chunk.len();
            output.advance(written);
            world.say_up(self.wire);
            Poll::Ready(Ok(written))
        })
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|world| world.close(self.wire));
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimIo {
    fn drop(&mut self) {
        self.shared.with(|world| world.close(self.wire));
    }
}
