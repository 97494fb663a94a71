//! What happens to connections: dialling, bytes in both directions, and ends.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use kv_proto::{LinkAction, LinkError, LinkErrorKind, LinkId, ServerAddr};

use super::World;
use crate::fault::{Ending, Reception, Way};
use crate::frames::{Frames, Seen};
use crate::history::Sent;
use crate::net::{Pipe, round_up};
use crate::picture::Side;
use crate::server::{FIRST_PORT, ServerId};
use crate::trace::Printable;
use crate::violation::Violation;
use crate::wire::{Dial, Wire};

/// A client makes room for so many bytes at least, rather than for each piece.
const ROOM: usize = 1024;

impl World<'_> {
    /// Does with links what the session asks for.
    pub(super) fn follow_links(&mut self, client: usize) {
        while let Some(asked) = self.clients.get_mut(client)
            && let Some(action) = asked.session.poll_link()
        {
            self.trace
                .line(self.now, || format!("client {client} wants {action:?}"));
            match action {
                LinkAction::Dial { link, server } => self.dial(client, link, &server),
                LinkAction::Close { link } => self.hang_up(client, link),
                // Credentials are configured, and TLS is not.
                LinkAction::Authenticate { .. } | LinkAction::Secure { .. } | _ => {}
            }
        }
    }

    fn dial(&mut self, client: usize, link: LinkId, addr: &ServerAddr) {
        self.check_dial(client, link, addr);
        let Some(dialler) = self.clients.get_mut(client) else {
            return;
        };
        dialler.last_dial = self.now;
        let life = dialler.life;
        let text = addr.to_string();
        let port = text
            .strip_prefix("127.0.0.1:")
            .and_then(|port| port.parse::<usize>().ok());
        let server = port
            .and_then(|port| port.checked_sub(usize::from(FIRST_PORT)))
            .unwrap_or(usize::MAX);
        let how = match self.receptions.get(server) {
            Some(how) => *how,
            None => Some(self.rng.pick(&[
                Reception::Refuses,
                Reception::BlackHole,
                Reception::Nameless,
            ])),
        };
        let latency = self.weather.latency;
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(0);
        let at = self.now + latency + Duration::from_nanos(self.rng.below(nanos + 1));
        let at = match how {
            Some(Reception::BlackHole) => kv_proto::Instant::END,
            _ => round_up(at, self.weather.quantum),
        };
        let (up, down) = (self.rng.child(), self.rng.child());
        let drawn = self.scribe.dials(self.now, client, server, link);
        self.wires.push(Wire {
            client,
            life,
            link,
            dial: Some(Dial {
                server: ServerId(server),
                at,
                how,
            }),
            conn: None,
            client_open: true,
            since: kv_proto::Instant::END,
            up: Pipe::new(self.weather, up),
            down: Pipe::new(self.weather, down),
            input: BytesMut::new(),
            frames: Frames::default(),
            ending: Ending::Reset,
            write_fails: false,
            known_limit: usize::MAX,
            limits: std::collections::VecDeque::new(),
            leave_at: None,
            told_to_leave: None,
            written: 0,
            arrived: 0,
            drawn,
        });
    }

    /// Decides what becomes of a dial.
    pub(super) fn dialled(&mut self, at: usize) {
        let Some(wire) = self.wires.get_mut(at) else {
            return;
        };
        let Some(dial) = wire.dial.take() else {
            return;
        };
        let (client, link) = (wire.client, wire.link);
        self.trace.event(self.now, 5, client as u64);
        match dial.how {
            None => match self.cluster.accept(self.now, dial.server) {
                Some(conn) => {
                    (wire.conn, wire.since) = (Some(conn), self.now);
                    if let Some(dialler) = self.clients.get_mut(client) {
                        let last = dialler.last_server.replace(dial.server.0);
                        if last.is_some_and(|last| last != dial.server.0) {
                            self.coverage.hit("F-N7 another server");
                        }
                    }
                    wire.announce_limit(self.max_payload);
                }
                None => return self.lose_client_end(at, LinkErrorKind::Dial, "connection refused"),
            },
            Some(Reception::Refuses) => {
                return self.lose_client_end(at, LinkErrorKind::Dial, "connection refused");
            }
            Some(Reception::Nameless) => {
                return self.lose_client_end(at, LinkErrorKind::Dial, "no such host");
            }
            Some(Reception::Hangs) => wire.down.end(self.now),
            Some(Reception::Silent | Reception::BlackHole) => {}
        }
        self.scribe.connected(self.now, wire.drawn);
        if let Some(dialler) = self.clients.get_mut(client) {
            let local = dialler.local(self.now);
            dialler.session.handle_dialed(local, link);
        }
        self.trace.line(self.now, || {
            format!("client {client} is connected: {link}, {dial:?}")
        });
        self.collect();
        self.touch(client);
    }

    /// The client closes its end.
    fn hang_up(&mut self, client: usize, link: LinkId) {
        let Some(at) = self.wire_of(client, link) else {
            return;
        };
        if let Some(wire) = self.wires.get_mut(at) {
            wire.client_open = false;
            wire.dial = None;
            wire.down.kill();
            wire.up.end(self.now);
            self.scribe
                .ended(self.now, wire.drawn, Side::Client, "closes");
            let torn = wire.frames.is_anonymous();
            if let Some(closer) = self.clients.get_mut(client) {
                closer.torn |= torn;
                if let Some(reason) = closer.session.last_disconnect() {
                    self.coverage.hit_disconnect(reason);
                }
            }
        }
        self.sweep();
    }

    /// The client's session is dropped with all its sockets.
    pub(super) fn abandon(&mut self, client: usize) {
        for wire in self
            .wires
            .iter_mut()
            .filter(|wire| wire.client == client && wire.client_open)
        {
            wire.client_open = false;
            wire.dial = None;
            wire.down.kill();
            wire.up.end(self.now);
            self.scribe
                .ended(self.now, wire.drawn, Side::Client, "is dropped");
        }
        self.sweep();
    }

    pub(super) fn wire_of(&self, client: usize, link: LinkId) -> Option<usize> {
        let life = self.clients.get(client)?.life;
        self.wires.iter().position(|wire| {
            wire.client == client && wire.life == life && wire.link == link && wire.client_open
        })
    }

    /// The client's end is over, and it is told.
    pub(super) fn lose_client_end(&mut self, at: usize, kind: LinkErrorKind, detail: &str) {
        let Some(wire) = self.wires.get_mut(at).filter(|wire| wire.client_open) else {
            return;
        };
        wire.client_open = false;
        wire.dial = None;
        wire.down.kill();
        wire.up.end(self.now);
        let (client, link) = (wire.client, wire.link);
        self.scribe
            .ended(self.now, wire.drawn, Side::Client, detail);
        self.trace.event(self.now, 6, client as u64);
        self.trace.line(self.now, || {
            format!("client {client} loses {link}: {detail}")
        });
        let torn = wire.frames.is_anonymous();
        if let Some(loser) = self.clients.get_mut(client) {
            loser.torn |= torn;
            let local = loser.local(self.now);
            loser
                .session
                .handle_closed(local, link, LinkError::new(kind, detail));
            if let Some(reason) = loser.session.last_disconnect() {
                self.coverage.hit_disconnect(reason);
            }
        }
        self.sweep();
        self.touch(client);
    }

    /// Ends a connection.
    pub(super) fn cut(&mut self, at: usize) {
        let Some(wire) = self.wires.get_mut(at) else {
            return;
        };
        match wire.ending {
            Ending::Reset => {
                wire.up.break_off(self.now);
                self.lose_client_end(at, LinkErrorKind::Read, "connection reset");
            }
            Ending::Finished => {
                let conn = wire.conn.take();
                wire.up.kill();
                wire.down.end(self.now);
                self.scribe
                    .ended(self.now, wire.drawn, Side::Server, "cut off");
                if let Some(conn) = conn {
                    self.cluster.handle_closed(self.now, conn);
                    self.collect();
                }
            }
            Ending::WriteFails => {
                wire.write_fails = true;
                let client = wire.client;
                self.touch(client);
            }
        }
    }

    pub(super) fn arrives_up(&mut self, at: usize) {
        let Some(wire) = self.wires.get_mut(at) else {
            return;
        };
        let (client, conn) = (wire.client, wire.conn);
        let was_full = wire.up.room(self.now) == 0;
        let Some((bytes, breaks)) = wire.up.pop(self.now) else {
            return;
        };
        self.scribe
            .arrived(self.now, wire.drawn, Way::Up, bytes.len());
        self.trace.event(self.now, 7, client as u64);
        self.trace.bytes(bytes);
        self.trace.line(self.now, || {
            format!("client {client} ──► {}", Printable(bytes))
        });
        if let Some(conn) = conn {
            if bytes.is_empty() {
                self.cluster.handle_closed(self.now, conn);
                wire.conn = None;
                self.scribe
                    .ended(self.now, wire.drawn, Side::Server, "end of stream");
            } else {
                self.cluster.handle_input(self.now, conn, bytes);
            }
        }
        self.collect();
        if breaks {
            self.cut(at);
        } else if was_full {
            self.touch(client);
        }
        self.sweep();
    }

    pub(super) fn arrives_down(&mut self, at: usize) {
        let Some(wire) = self.wires.get_mut(at) else {
            return;
        };
        let (client, link) = (wire.client, wire.link);
        let Some((bytes, breaks)) = wire.down.pop(self.now) else {
            return;
        };
        self.scribe
            .arrived(self.now, wire.drawn, Way::Down, bytes.len());
        self.trace.event(self.now, 8, client as u64);
        self.trace.bytes(bytes);
        self.trace.line(self.now, || {
            format!("client {client} ◄── {}", Printable(bytes))
        });
        if bytes.is_empty() && !breaks {
            return self.lose_client_end(at, LinkErrorKind::Read, "end of stream");
        }
        if wire.input.capacity() - wire.input.len() < bytes.len() {
            wire.input.reserve(bytes.len().max(ROOM));
        }
        wire.input.extend_from_slice(bytes);
        let arrived = bytes.len();
        wire.arrive(self.now, arrived);
        let mut due = None;
        if let Some(reader) = self.clients.get_mut(client) {
            let local = reader.local(self.now);
            due = reader.due_at(local);
            reader.session.handle_input(local, link, &mut wire.input);
        }
        if breaks {
            self.cut(at);
        }
        self.touch(client);
        // The timer was not served yet, so it was the answer that ended it.
        let due = due.zip(self.clients.get(client));
        if due.is_some_and(|(call, reader)| !reader.waits_for(call)) {
            self.coverage.hit_how("F-C4 equal instants", "answer first");
        }
    }

    /// Hands over what a client's links have to write, as far as there is room; true if a write failed.
    pub(super) fn flush(&mut self, client: usize) -> bool {
        let Some(writer) = self.clients.get_mut(client) else {
            return false;
        };
        let when = writer.session.now().as_nanos();
        let mut failed = None;
        let (mut oversize, mut late) = (None, None);
        for (at, wire) in self.wires.iter_mut().enumerate() {
            if wire.client != client || wire.life != writer.life || !wire.is_open() {
                continue;
            }
            let mut transmit = writer.session.transmit(wire.link);
            if wire.write_fails && transmit.has_remaining() {
                let all = transmit.remaining();
                let part = wire.up.part_of(all);
                let offered = transmit.chunk().to_vec();
                let left = offered.get(..part.min(offered.len())).unwrap_or_default();
                let before = wire.up.in_flight();
                wire.up.push(self.now, left);
                let entered = wire.up.behind(before);
                self.scribe
                    .sent(self.now, wire.drawn, Way::Up, left, entered);
                failed = Some(at);
                continue;
            }
            loop {
                let chunk = transmit.chunk();
                let size = chunk.len().min(wire.up.room(self.now));
                let Some(taken) = chunk.get(..size).filter(|taken| !taken.is_empty()) else {
                    break;
                };
                let before = wire.up.in_flight();
                wire.up.push(self.now, taken);
                let entered = wire.up.behind(before);
                self.scribe
                    .sent(self.now, wire.drawn, Way::Up, taken, entered);
                let history = &mut self.history;
                wire.frames
                    .push(taken, when, wire.known_limit, |seen| match seen {
                        Seen::Begun { call, when } => {
                            let begun = kv_proto::Instant::from_nanos(when);
                            let pending = writer.pending.iter().find(|one| one.call == Some(call));
                            if pending.is_some_and(|one| one.deadline < begun) {
                                late = Some(call);
                            }
                            if let Some(record) = history.record(call) {
                                record.sent_before = record.sent_before.max(record.sent);
                                record.sent = Sent::Part;
                                record.attempts += 1;
                            }
                        }
                        Seen::Whole { call } => {
                            if let Some(record) = history.record(call) {
                                record.sent = Sent::Whole;
                            }
                        }
                        Seen::Size { size, limit } if size > limit => {
                            oversize = Some((size, limit))
                        }
                        Seen::Size { .. } => {}
                    });
                transmit.advance(size);
            }
        }
        if let Some((size, limit)) = oversize
            && !self.scenario.profile.hostile
        {
            self.broken(Violation::Oversize {
                client,
                size,
                limit,
            });
        }
        if let Some(call) = late {
            self.broken(Violation::BegunTooLate { call });
        }
        if let Some(at) = failed {
            self.offered_counts_as_sent(client);
            self.lose_client_end(at, LinkErrorKind::Write, "broken pipe");
        }
        failed.is_some()
    }

    /// After a failed write everything offered may have left: what a client says then is judged leniently.
    fn offered_counts_as_sent(&mut self, client: usize) {
        let Some(writer) = self.clients.get(client) else {
            return;
        };
        for pending in &writer.pending {
            if let Some(record) = pending.call.and_then(|call| self.history.record(call)) {
                record.sent = record.sent.max(Sent::Perhaps);
            }
        }
    }

    /// Forgets connections that neither end needs.
    pub(super) fn sweep(&mut self) {
        self.wires.retain(|wire| !wire.is_gone());
    }
}
