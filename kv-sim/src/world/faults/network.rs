//! F-N: what befalls connections on their way.

use std::time::Duration;

use super::{Undo, World};
use crate::fault::{Ending, Reception, Way};
use crate::net::Pipe;

impl World<'_> {
    /// The connection that a client uses or makes, the newest first.
    pub(super) fn wire_in_use(&self, client: u8) -> Option<usize> {
        let client = usize::from(client);
        let mut wires = self.wires.iter();
        wires.rposition(|wire| wire.client == client && wire.is_open())
    }

    /// Does something to one direction of a client's connection, unless it is dead.
    pub(super) fn at_pipe(
        &mut self,
        client: u8,
        way: Way,
        disturb: impl FnOnce(&mut Pipe),
    ) -> Option<()> {
        let at = self.wire_in_use(client)?;
        let pipe = self.wires.get_mut(at)?.pipe(way);
        (!pipe.is_dead()).then(|| disturb(pipe))
    }

    pub(super) fn cut_after(
        &mut self,
        client: u8,
        way: Way,
        bytes: usize,
        how: Ending,
    ) -> Option<()> {
        let at = self.wire_in_use(client)?;
        let wire = self.wires.get_mut(at)?;
        wire.ending = how;
        if bytes == 0 {
            self.cut(at);
        } else {
            wire.pipe(way).cut_after(bytes);
        }
        Some(())
    }

    pub(super) fn receive(&mut self, server: u8, how: Reception, time: Duration) -> Option<()> {
        let server = usize::from(server);
        *self.receptions.get_mut(server)? = Some(how);
        self.later(time, Undo::Reception(server));
        Some(())
    }
}
