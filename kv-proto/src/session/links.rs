//! What happens to links: dialling, handshake, input, and loss.

use alloc::vec::Vec;

use bytes::{Buf, BytesMut};

use super::{Life, LinkAction, Session};
use crate::connection::{ConnectionEvent, brief};
use crate::credentials::{Credentials, NoChallenge};
use crate::error::{ConnectError, Disconnect, LinkError, LinkErrorKind, Refused};
use crate::kv::step::Answer;
use crate::limits::{COPY_THRESHOLD, MAX_LINKS};
use crate::link::{Link, LinkId, Notice, State};
use crate::log::{debug, trace, warn};
use crate::mutant::{self, Mutant};
use crate::mux::{INBOX_SID, Mux};
use crate::op::{OpId, Phase};
use crate::out::Handover;
use crate::paths::{Path, took};
use crate::pool::{Choice, Limit};
use crate::server::ServerAddr;
use crate::tally::Tally;
use crate::time::Instant;
use crate::timer::Reason;
use crate::tls::Tls;
use crate::wire::{self, ProtocolError, ServerOp};

/// A read buffer that grew beyond this for one frame is given up after it.
const READ_BUFFER: usize = 64 * 1024;

impl Session {
    // ---- inputs -----------------------------------------------------------

    /// Reports that the transport of a link is connected.
    pub fn handle_dialed(&mut self, now: Instant, link: LinkId) {
        self.advance_to(now);
        let tls = self.config.tls;
        let known = self.link_mut(link);
        let known = known.filter(|known| known.state == State::Dialing);
        if let Some(notice) = known.map(|known| known.on_dialed(tls)) {
            self.on_notice(link, notice);
        }
    }

    /// Answers [`LinkAction::Secure`]: what is read and written from now on is
    /// encrypted, and the server has proved that it is the one that was dialled.
    pub fn handle_secured(&mut self, now: Instant, link: LinkId) {
        self.advance_to(now);
        let known = self.link_mut(link).filter(|known| known.is_securing());
        if let Some(notice) = known.map(Link::on_secured) {
            self.config.tls.raise(Tls::Required);
            self.on_notice(link, notice);
        }
    }

    /// Answers [`LinkAction::Authenticate`].
    pub fn handle_credentials(&mut self, now: Instant, link: LinkId, credentials: &Credentials) {
        self.advance_to(now);
        let known = self.links.iter_mut().find(|known| known.id == link);
        if let Some(known) = known
            && known.state == State::Authorizing
            && let Err(reason) = known.log_in(self.now, credentials, &self.config)
        {
            self.end_link(link, reason);
        }
    }

    /// Reports that a link could not be made, or that its transport ended.
    pub fn handle_closed(&mut self, now: Instant, link: LinkId, error: LinkError) {
        self.tick(now);
        self.drop_link(link, error.into());
        self.expire();
        self.finish_if_idle();
    }

    // ---- making links -----------------------------------------------------

    /// Sees to it that a connection is made if one is missing.
    pub(super) fn want_link(&mut self) {
        if matches!(self.life, Life::Closed(_)) || self.links.len() >= MAX_LINKS {
            return;
        }
        let making = self.links.iter().any(|link| !link.is_logged_in());
        let leaving = self.active_link().filter(|link| link.leaving);
        let leaving = leaving.filter(|link| self.pool.has_other_than(&link.addr));
        let avoid = leaving.map(|link| link.addr.clone());
        if making || (self.active.is_some() && avoid.is_none()) {
            return;
        }
        match self.pool.choose(self.now, avoid.as_ref()) {
            Choice::Dial(server) => {
                self.last_link.raise(1);
                let id = LinkId::from_raw(self.last_link);
                let mux = Mux::new(self.config.inbox_prefix(), &mut self.rng);
                let mut link = Link::new(id, server.clone(), mux);
                let at = self.now + self.config.connect_timeout;
                link.handshake = Some(self.timers.arm(at, Reason::Handshake(id)));
                self.links.push(link);
                debug!(link = %id, %server, "dialing");
                self.actions
                    .push_back(LinkAction::Dial { link: id, server });
            }
            Choice::Wait(at) => {
                let at = if mutant::is(Mutant::RestIsPolled) {
                    at.min(self.now + core::time::Duration::from_micros(100))
                } else {
                    at
                };
                if let Some(timer) = self.dial_timer.take() {
                    self.timers.cancel(timer);
                }
                self.dial_timer = Some(self.timers.arm(at, Reason::Dial));
            }
            Choice::GiveUp(limit) => self.give_up(limit),
        }
    }

    fn give_up(&mut self, limit: Limit) {
        let reason = match (self.last_disconnect.clone(), limit) {
            (Some(last), Limit::Attempts(attempts)) => ConnectError::GaveUp { attempts, last },
            (Some(last), Limit::OneRound | Limit::Refusals) => ConnectError::Failed(last),
            (None, Limit::OneRound | Limit::Attempts(_) | Limit::Refusals) => ConnectError::Closed,
        };
        self.finish(Some(reason));
    }

    // ---- reading ----------------------------------------------------------

    pub(super) fn read(&mut self, id: LinkId, input: &mut BytesMut) {
        if let Some(link) = self.link_mut(id) {
            link.heard();
        }
        loop {
            let Some(link) = self.links.iter_mut().find(|link| link.id == id) else {
                input.clear();
                return;
            };
            let limits = if link.is_logged_in() {
                &self.config.limits
            } else {
                &self.limits_before_login
            };
            let securing = link.is_securing();
            if securing && input.is_empty() {
                return;
            }
            let frame = match link.decoder.next(input, limits) {
                // Why the server hangs up is worth knowing, and ends the link as well.
                Ok(Some(frame)) if !securing || matches!(frame.op, ServerOp::Err(_)) => frame,
                Ok(None) if !securing => return,
                Err(error) if !securing => {
                    let breach = link.discreet(error);
                    self.stats.protocol_errors.raise(1);
                    self.end_link(id, breach.into());
                    continue;
                }
                Ok(_) | Err(_) => {
                    self.stats.protocol_errors.raise(1);
                    self.end_link(id, ProtocolError::BytesBeforeTls.into());
                    continue;
                }
            };
            let len = frame.len;
            trace!(link = %id, len, "frame received");
            self.stats.frames_in.raise(1);
            self.stats
                .bytes_in
                .raise(u64::try_from(len).unwrap_or(u64::MAX));
            if len < COPY_THRESHOLD {
                self.on_frame(id, frame.op, None);
                input.advance(len);
            } else {
                link.longest = link.longest.max(len);
                let owner = input.split_to(len).freeze();
                if len > READ_BUFFER {
                    // Or else the next value would keep alive what this one took.
                    *input = BytesMut::from(&input[..]);
                }
                if let Ok(op) = wire::decode_frame(&owner, &self.config.limits) {
                    self.on_frame(id, op, Some(&owner));
                }
            }
        }
    }

    fn on_frame(&mut self, id: LinkId, op: ServerOp<'_>, owner: Option<&bytes::Bytes>) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else {
            return;
        };
        let notice = match op {
            ServerOp::Message(message) if link.is_logged_in() => {
                if message.sid == INBOX_SID {
                    self.on_reply(id, &message, owner);
                } else {
                    self.on_feed(id, &message, owner);
                }
                Notice::None
            }
            ServerOp::Message(_) => Notice::End(Link::unexpected()),
            ServerOp::Info(json) => link.on_info(json, &self.config.limits, self.config.tls),
            ServerOp::Pong => link.on_pong(self.now),
            ServerOp::Err(text) => {
                let notice = link.on_err(text);
                self.note_error(id, text, &notice);
                notice
            }
            ServerOp::Ping => {
                link.on_ping();
                Notice::None
            }
            ServerOp::Ok => Notice::None,
        };
        self.on_notice(id, notice);
    }

    fn on_notice(&mut self, id: LinkId, notice: Notice) {
        match notice {
            Notice::None => {}
            Notice::Info => self.learn(id),
            Notice::Secure => self.secure(id),
            Notice::Authorize => {
                self.learn(id);
                self.authorize(id);
            }
            Notice::Ready => self.on_ready(id),
            Notice::Pong(start, rtt) => {
                self.settle_denials(id, start);
                self.end_ping(id, start, rtt);
            }
            Notice::PublishDenied(subject) => self.on_denied(id, &subject),
            Notice::InboxDenied => self.on_deaf(id),
            Notice::FeedDenied(sid, subject) => self.on_feed_denied(sid, subject),
            Notice::End(reason) => {
                if matches!(reason, Disconnect::Protocol(_)) {
                    self.stats.protocol_errors.raise(1);
                }
                self.end_link(id, reason);
            }
        }
    }

    /// Takes note of an `-ERR`, and tells of one that the link survives.
    fn note_error(&mut self, id: LinkId, text: &[u8], notice: &Notice) {
        self.stats.server_errors.raise(1);
        if matches!(notice, Notice::End(_)) {
            return;
        }
        if let Some(link) = self.links.iter().find(|link| link.id == id) {
            self.tell(ConnectionEvent::ServerError {
                link: id,
                server: link.addr.clone(),
                text: brief(&link.discreet_text(text)),
            });
        }
    }

    /// Asks the embedder for TLS.
    fn secure(&mut self, id: LinkId) {
        let server = self.links.iter().find(|link| link.id == id);
        if let Some(server) = server.map(|link| link.addr.clone()) {
            debug!(link = %id, %server, "asking for TLS");
            self.actions
                .push_back(LinkAction::Secure { link: id, server });
        }
    }

    /// Takes over what an `INFO` says.
    fn learn(&mut self, id: LinkId) {
        let Some(link) = self.links.iter().find(|link| link.id == id) else {
            return;
        };
        let urls = link.info().connect_urls.iter().map(|url| &**url);
        let (added, removed) = self.pool.discover(urls, &mut self.rng);
        let leaves = link.info().ldm && link.is_logged_in();
        let server = link.addr.clone();
        let max_payload = link.max_payload();
        if added > 0 {
            took(Path::NewServers);
        }
        if removed > 0 {
            took(Path::GoneServers);
        }
        if added > 0 || removed > 0 {
            self.tell(ConnectionEvent::ServersChanged { added, removed });
        }
        self.refuse_larger(id, max_payload);
        if leaves {
            self.on_lame_duck(id, server);
        }
    }

    /// A server has announced that it goes: the client moves, if it knows where to.
    fn on_lame_duck(&mut self, id: LinkId, server: ServerAddr) {
        // Being told again must not put the move off.
        let moves = self.pool.has_other_than(&server);
        let Some(link) = self.link_mut(id) else {
            return;
        };
        took(if moves {
            Path::MovedAway
        } else {
            Path::StaysOnDuck
        });
        let news = !core::mem::replace(&mut link.warned, true);
        let begins = moves && !core::mem::replace(&mut link.leaving, moves);
        if news {
            debug!(link = %id, "the server is going to leave");
            self.stats.lame_ducks.raise(1);
            self.tell(ConnectionEvent::LameDuck { link: id, server });
        }
        if begins && self.active == Some(id) {
            self.pool.wait(self.now, &mut self.rng);
            self.want_link();
        }
    }

    /// Withdraws frames that are larger than the server takes now: they would
    /// cost the whole connection.
    fn refuse_larger(&mut self, id: LinkId, limit: usize) {
        for op in self.ops.ids() {
            let unbegun = self.handed_over_on(op, id) == Some(Handover::None);
            let size = self.ops.get(op).and_then(|running| {
                let request = running.machine.as_ref()?.request()?;
                (request.size() > limit).then(|| request.size())
            });
            if let Some(size) = size
                && unbegun
            {
                took(Path::Shrunk);
                self.refuse(op, Refused::TooLarge { size, limit });
            }
        }
    }

    fn authorize(&mut self, id: LinkId) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else {
            return;
        };
        let nonce = link.info().nonce.as_deref();
        let credentials = match self.pool.credentials(&link.addr) {
            Some(of_url) => Ok(Some(of_url.clone())),
            None => self.config.authentication.credentials(nonce),
        };
        match credentials {
            Ok(Some(credentials)) => {
                if let Err(reason) = link.log_in(self.now, &credentials, &self.config) {
                    self.end_link(id, reason);
                }
            }
            Ok(None) => self.actions.push_back(LinkAction::Authenticate {
                link: id,
                server: link.addr.clone(),
                nonce: link.info().nonce.clone(),
            }),
            Err(NoChallenge) => self.end_link(id, Disconnect::NoChallenge),
        }
    }

    fn on_ready(&mut self, id: LinkId) {
        let at = self.now + self.config.ping_interval;
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else {
            return;
        };
        if let Some(timer) = link.handshake.take() {
            self.timers.cancel(timer);
        }
        link.liveness = Some(self.timers.arm(at, Reason::Liveness(id)));
        debug!(link = %id, server = %link.addr, "connected");
        self.torn.resume_in(&mut link.outbox);
        let server = link.addr.clone();
        self.stats.connects.raise(1);
        self.pool.ready(self.now, &server);
        if matches!(self.life, Life::Starting) {
            self.life = Life::Running;
        }
        self.tell(ConnectionEvent::Connected { link: id, server });
        if let Some(former) = self.active.replace(id) {
            self.leave_link(former);
            self.drain(former);
        }
        self.clean_up();
    }

    /// Lets a link that was replaced finish what is in flight on it.
    fn drain(&mut self, id: LinkId) {
        let at = self.now + self.config.request_timeout;
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else {
            return;
        };
        link.state = State::Draining;
        link.drained = Some(self.timers.arm(at, Reason::Drained(id)));
        self.end_drained(id);
    }

    /// Ends a draining link on which nothing is in flight any more.
    pub(super) fn end_drained(&mut self, id: LinkId) {
        let drained = self.links.iter().any(|link| {
            link.id == id
                && link.state == State::Draining
                && link.mux.busy() == 0
                && link.outbox.is_empty()
        });
        if drained {
            took(Path::Drained);
            self.end_link(id, Disconnect::LameDuck);
        }
    }

    pub(super) fn on_liveness(&mut self, id: LinkId) {
        let at = self.now + self.config.ping_interval;
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else {
            return;
        };
        if link.check_liveness(self.now) {
            link.liveness = Some(self.timers.arm(at, Reason::Liveness(id)));
        } else {
            self.end_link(id, Disconnect::Stale);
        }
    }

    // ---- losing links -----------------------------------------------------

    /// Ends a link whose transport the embedder still has to close.
    pub(super) fn end_link(&mut self, id: LinkId, reason: Disconnect) {
        let never_dialled =
            |action: &LinkAction| matches!(action, LinkAction::Dial { link, .. } if *link == id);
        if !self.links.iter().any(|link| link.id == id) {
            return;
        }
        match self.actions.iter().position(never_dialled) {
            Some(position) => {
                self.actions.remove(position);
            }
            None => self.actions.push_back(LinkAction::Close { link: id }),
        }
        self.drop_link(id, reason);
    }

    /// Forgets a link and tells every operation on it what became of its frame.
    fn drop_link(&mut self, id: LinkId, reason: Disconnect) {
        let Some(position) = self.links.iter().position(|link| link.id == id) else {
            return;
        };
        let mut link = self.links.swap_remove(position);
        if matches!(reason, Disconnect::Protocol(_)) {
            warn!(link = %id, server = %link.addr, %reason, "the server broke the protocol");
        }
        debug!(link = %id, server = %link.addr, %reason, "disconnected");
        let timers = [link.handshake, link.liveness, link.drained];
        for timer in timers.into_iter().flatten() {
            self.timers.cancel(timer);
        }
        self.actions.retain(|action| match action {
            LinkAction::Secure { link, .. } | LinkAction::Authenticate { link, .. } => *link != id,
            LinkAction::Dial { .. } | LinkAction::Close { .. } => true,
        });
        let write_failed = matches!(
            &reason,
            Disconnect::Transport(error) if error.kind() == LinkErrorKind::Write
        );
        let was_active = self.active == Some(id);
        if was_active {
            self.active = None;
            self.hint_connection();
        }
        self.note_end(&link, was_active, &reason);
        let gives_up = mutant::is(Mutant::SecondAuthErrorIsFinal) && self.is_refused_again(&reason);
        self.last_disconnect = Some(reason);
        self.leave_link(id);
        let orphans = self.in_flight_on(id, |span| link.outbox.handover(span, write_failed));
        if mutant::is(Mutant::FrameContinuedOnNextLink) {
            self.keep_torn_frame(&mut link);
        }
        for (op, handover) in orphans.into_iter().rev() {
            self.answer(op, Answer::LinkLost(handover));
        }
        if gives_up {
            self.finish(self.last_disconnect.clone().map(ConnectError::Failed));
        }
        self.want_link();
    }

    /// Takes note of the end of a link. One that was replaced, or closed on purpose, is no failure.
    fn note_end(&mut self, link: &Link, was_active: bool, reason: &Disconnect) {
        let (id, server) = (link.id, link.addr.clone());
        let expired = mutant::is(Mutant::ExpiryIsRefusal) && reason.is_refusal() && was_active;
        if !link.is_logged_in() || expired {
            let (now, alone) = (self.now, self.active.is_none());
            self.pool.failed(now, &server, reason, alone, &mut self.rng);
        } else if was_active {
            self.pool.lost(self.now, &server, &mut self.rng);
        }
        let refused = matches!(reason, Disconnect::Authentication(_));
        self.stats.authentication_failures.raise(u64::from(refused));
        let reason = reason.brief();
        if link.is_logged_in() {
            self.stats.disconnects.raise(1);
            self.tell(ConnectionEvent::Disconnected {
                link: id,
                server,
                reason,
            });
        } else if reason != Disconnect::Closed {
            self.stats.failed_attempts.raise(1);
            let attempts = self.pool.failed_attempts();
            self.tell(ConnectionEvent::Failed {
                link: id,
                server,
                reason,
                attempts,
            });
        }
    }

    /// The credentials were refused, and so they were the last time.
    fn is_refused_again(&self, reason: &Disconnect) -> bool {
        let refused = |reason: &Disconnect| matches!(reason, Disconnect::Authentication(_));
        refused(reason) && self.last_disconnect.as_ref().is_some_and(refused)
    }

    /// What [`Mutant::FrameContinuedOnNextLink`] does.
    fn keep_torn_frame(&mut self, link: &mut Link) {
        for op in self.ops.ids() {
            if let Some(span) = self.sent_on(op, link.id) {
                self.torn.keep(&mut link.outbox, span);
            }
        }
    }

    /// The operations in flight on a link in the order of their frames, and
    /// how much of each frame was handed over.
    pub(super) fn in_flight_on(
        &self,
        id: LinkId,
        handover: impl Fn(crate::out::Span) -> Handover,
    ) -> Vec<(OpId, Handover)> {
        let mut found: Vec<_> = self.ops.ids().into_iter().collect();
        found.retain(|op| self.sent_on(*op, id).is_some());
        found.sort_by_key(|op| self.sent_on(*op, id).map(crate::out::Span::start));
        found
            .into_iter()
            .filter_map(|op| Some((op, handover(self.sent_on(op, id)?))))
            .collect()
    }

    pub(super) fn handed_over_on(&self, op: OpId, id: LinkId) -> Option<Handover> {
        let link = self.links.iter().find(|link| link.id == id)?;
        let span = self.sent_on(op, id)?;
        Some(link.outbox.handover(span, false))
    }

    pub(super) fn sent_on(&self, op: OpId, id: LinkId) -> Option<crate::out::Span> {
        match self.ops.get(op)?.phase {
            Phase::Sent { link, span, .. } if link == id => Some(span),
            Phase::Sent { .. } | Phase::Waiting | Phase::Paused | Phase::Ended(_) => None,
        }
    }
}
