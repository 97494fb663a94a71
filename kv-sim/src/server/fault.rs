//! What befalls the servers: stops, starts, elections, lag, lost tails. Every method is total: what
//! makes no sense changes nothing.

use std::time::Duration;

use kv_proto::Instant;

use super::api::JetStream;
use super::journal::{Change, Event};
use super::replication::{Election, InFlight};
use super::stream::Stream;
use super::stream::group::Standing;
use super::{Cluster, ConnId, ServerId};

impl Cluster {
    /// Stops a server. Its clients are gone, its replicas answer nothing, the streams it led elect
    /// another leader if they have a majority; consumers in its memory vanish without a word.
    pub fn stop(&mut self, now: Instant, server: ServerId) {
        self.advance(now);
        if let Some(at) = self.servers.get_mut(server.0) {
            at.up = false;
        }
        self.jetstream.peers.set_up(server.0, false, self.now);
        let theirs = self
            .connections
            .iter()
            .filter(|(_, conn)| conn.server == server.0);
        let theirs: Vec<ConnId> = theirs.map(|(conn, _)| *conn).collect();
        for conn in theirs {
            self.fail(conn, None);
        }
        let peers = &mut self.jetstream.peers;
        for stream in self.jetstream.streams.values_mut() {
            stream.server_stopped(server.0, self.now, peers, &mut self.outbox);
        }
        self.settle();
    }

    /// Ends a server in good order: it tells those who wait for a pull consumer of its own that it goes, and
    /// stops.
    pub fn shut_down(&mut self, now: Instant, server: ServerId) {
        self.advance(now);
        self.jetstream.warn_of_shutdown(server.0, &mut self.outbox);
        self.settle();
        self.stop(now, server);
    }

    /// Starts a server, after stopping it if it runs. What it stored in files is there; what it had in
    /// memory is gone unless `keep_memory`. Its replicas catch up with their leaders before they answer.
    pub fn restart(&mut self, now: Instant, server: ServerId, keep_memory: bool) {
        self.stop(now, server);
        self.start(server, keep_memory);
    }

    fn start(&mut self, server: ServerId, keep_memory: bool) {
        let id = format!("N{}", self.rng.name(55).to_ascii_uppercase());
        if let Some(at) = self.servers.get_mut(server.0) {
            (at.up, at.lame_duck, at.id) = (true, false, id);
        }
        let moment = self.moment();
        let jetstream = &mut self.jetstream;
        jetstream.peers.set_up(server.0, true, moment.instant);
        if !jetstream.peers.is_cluster() && !keep_memory {
            // A lone server keeps no record of streams in memory; a cluster does.
            let JetStream {
                streams, journal, ..
            } = jetstream;
            streams.retain(|_, stream| {
                let gone = stream.is_in_memory();
                if gone {
                    journal.note(moment.instant, &stream.name, Change::Deleted);
                }
                !gone
            });
        }
        for stream in jetstream.streams.values_mut() {
            stream.server_started(server.0, keep_memory, moment, &mut jetstream.peers);
        }
        self.settle();
    }

    /// Restarts all servers after a crash that lost the newest `count` messages of a stream on all of its
    /// replicas. The stream keeps its identity, and their sequences will be used again.
    pub fn rewind(&mut self, now: Instant, stream: &str, count: u64) {
        self.advance(now);
        if let Some(stream) = self.jetstream.streams.get_mut(stream) {
            stream.abandon_proposals(InFlight::Lost);
        }
        for server in 0..self.servers.len() {
            self.stop(now, ServerId(server));
        }
        let (at, jetstream) = (self.now, &mut self.jetstream);
        if let Some(stream) = jetstream.streams.get_mut(stream) {
            stream.rewind(count, at, &mut jetstream.journal);
        }
        for server in 0..self.servers.len() {
            self.start(ServerId(server), true);
        }
    }

    /// Deletes a stream with all that is in it, and creates it again with the same configuration. Its
    /// consumers are gone without a word.
    pub fn recreate(&mut self, now: Instant, stream: &str) {
        self.advance(now);
        let (moment, jetstream) = (self.moment(), &mut self.jetstream);
        let Some(old) = jetstream.streams.get(stream) else {
            return;
        };
        let config = old.config.clone();
        let Ok(servers) = jetstream.peers.place(config.replicas) else {
            return;
        };
        let journal = &mut jetstream.journal;
        let new = Stream::new(config, &servers, journal.is_wanted(), moment);
        journal.note(moment.instant, &new.name, Change::Deleted);
        journal.note(moment.instant, &new.name, Change::Created);
        jetstream.streams.insert(stream.to_owned(), new);
        self.settle();
    }

    /// Makes the leader of a replicated stream step down under load.
    pub fn elect(&mut self, now: Instant, stream: &str, election: Election) {
        self.advance(now);
        let now = self.now;
        if let Some(stream) = self.jetstream.streams.get_mut(stream) {
            stream.step_down(election, now);
        }
        self.settle();
    }

    /// Makes a server's replicas apply nothing for so long; they still answer direct gets.
    pub fn lag(&mut self, now: Instant, server: ServerId, time: Duration) {
        let until = self.advance(now) + time;
        self.jetstream.peers.hold(server.0, until);
    }

    /// Makes a mirror, or a stream with sources, take nothing from its origins for so long; it answers with what
    /// it has, a mirror for its origin too.
    pub fn hold(&mut self, now: Instant, stream: &str, time: Duration) {
        let until = self.advance(now) + time;
        let upstreams = self.jetstream.streams.get_mut(stream);
        for upstream in upstreams.into_iter().flat_map(|one| &mut one.upstreams) {
            upstream.held_until = upstream.held_until.max(until);
        }
    }

    /// Announces that a server will go: it takes no more clients, and tells those it has.
    pub fn lame_duck(&mut self, now: Instant, server: ServerId) {
        self.advance(now);
        if let Some(at) = self.servers.get_mut(server.0) {
            at.lame_duck = true;
        }
        self.send_info_to_all();
    }

    /// Removes the newest message of a subject without a trace, as STREAM.MSG.DELETE does where a stream allows
    /// it, which buckets mostly do not; false if there is none, or nobody to do it.
    pub fn erase(&mut self, now: Instant, stream: &str, subject: &str) -> bool {
        self.advance(now);
        let moment = self.moment();
        let Some(stream) = self.jetstream.streams.get_mut(stream) else {
            return false;
        };
        if stream.group.standing() != Standing::Led {
            return false;
        }
        stream.flush(moment, &mut self.outbox);
        let last = stream.store.last_for(subject.as_bytes());
        let seq = last.map(|message| message.seq);
        let erased = seq.and_then(|seq| stream.erase(seq, true, moment.version));
        self.settle();
        erased.is_some()
    }

    /// Deletes a consumer behind the clients' back, as its server's death does; false if there is none.
    pub fn drop_consumer(&mut self, now: Instant, stream: &str, consumer: &str) -> bool {
        self.advance(now);
        let stream = self.jetstream.streams.get_mut(stream);
        stream.is_some_and(|stream| stream.consumers.remove(consumer).is_some())
    }

    /// What really happened to the streams so far; empty unless
    /// [`Config::journal`](super::Config::journal) asks for it.
    #[must_use]
    pub fn journal(&self) -> &[Event] {
        self.jetstream.journal.events()
    }

    /// The server that leads a stream; `None` when nobody does, or there is no such stream.
    #[must_use]
    pub fn leader(&self, stream: &str) -> Option<ServerId> {
        let stream = self.jetstream.streams.get(stream)?;
        stream.group.leader().map(ServerId)
    }

    /// The lowest last sequence that a live replica of a stream has applied, and the last committed one,
    /// which is the leader's. `None` when no replica lives.
    #[must_use]
    pub fn applied(&self, stream: &str) -> Option<(u64, u64)> {
        let stream = self.jetstream.streams.get(stream)?;
        let lowest = stream.group.lowest_applied(&stream.store)?;
        Some((lowest, stream.store.last_seq()))
    }

    /// The moment whose state of a stream some replica still shows to readers; `None` when all of them show
    /// the present one.
    #[must_use]
    pub fn shows(&self, stream: &str) -> Option<Instant> {
        self.jetstream.streams.get(stream)?.group.shows()
    }
}
