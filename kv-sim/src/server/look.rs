//! What a run looks at from outside.

use super::{Cluster, ConnId, ServerId};

/// A consumer that a client has just made; a request that finds it already there makes none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MadeConsumer {
    /// The connection that asked for it.
    pub by: ConnId,
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// Where it delivers.
    pub deliver: String,
}

/// A consumer that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenConsumer {
    /// Its stream.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// Where it delivers.
    pub deliver: String,
    /// The server that has it in memory.
    pub host: ServerId,
    /// A connection that subscribes to exactly that subject; nobody's is one that will expire.
    pub owner: Option<ConnId>,
    /// How many messages it has delivered.
    pub delivered: u64,
}

impl Cluster {
    /// Returns whether a server runs and takes clients.
    #[must_use]
    pub fn is_up(&self, server: ServerId) -> bool {
        self.servers
            .get(server.0)
            .is_some_and(|server| server.up && !server.lame_duck)
    }

    /// Returns whether a server runs and has announced that it will go.
    #[must_use]
    pub fn is_leaving(&self, server: ServerId) -> bool {
        let server = self.servers.get(server.0);
        server.is_some_and(|server| server.up && server.lame_duck)
    }

    /// Returns whether a client has logged in and was told so.
    #[must_use]
    pub fn is_logged_in(&self, conn: ConnId) -> bool {
        let connection = self.connections.get(&conn);
        connection.is_some_and(|conn| conn.connected && conn.ponged && !conn.closed)
    }

    /// Returns whether a client's server has told it to leave.
    #[must_use]
    pub fn is_told_to_leave(&self, conn: ConnId) -> bool {
        let server = self.connections.get(&conn).map(|conn| conn.server);
        let goes = server.and_then(|server| self.servers.get(server));
        goes.is_some_and(|server| server.lame_duck) && self.is_logged_in(conn)
    }

    /// Returns how many servers there are, running or not.
    #[must_use]
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// Returns the names of all streams.
    #[must_use]
    pub fn stream_names(&self) -> Vec<String> {
        let names = self.jetstream.streams.keys();
        names.map(ToString::to_string).collect()
    }

    /// Returns whether there is a stream of that name.
    #[must_use]
    pub fn has_stream(&self, name: &str) -> bool {
        self.jetstream.streams.contains_key(name)
    }

    /// Returns all clients that are connected, in the order in which they came.
    #[must_use]
    pub fn connection_ids(&self) -> Vec<ConnId> {
        let all = self.connections.iter().filter(|(_, conn)| !conn.closed);
        all.map(|(conn, _)| *conn).collect()
    }

    /// Forgets all that was noted for whoever polls for it: consumers that were made, asked for and expired,
    /// breaches of the protocol, and faults that have met something.
    pub(crate) fn forget_notes(&mut self) {
        self.jetstream.made.clear();
        self.jetstream.asking.clear();
        self.jetstream.expired.clear();
        self.disturbances.forget_notes();
    }

    /// Returns how many consumers there are.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.jetstream
            .streams
            .values()
            .map(|stream| stream.consumers.len())
            .sum()
    }

    /// Returns how many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
            .values()
            .filter(|conn| !conn.closed)
            .count()
    }

    /// Returns all consumers, by stream and name.
    #[must_use]
    pub fn consumer_list(&self) -> Vec<SeenConsumer> {
        let streams = self.jetstream.streams.values();
        let all =
            streams.flat_map(|stream| stream.consumers.values().map(move |one| (stream, one)));
        let seen = all.map(|(stream, consumer)| {
            let (deliver, group) = consumer.listeners();
            SeenConsumer {
                stream: stream.name.to_string(),
                name: consumer.name.clone(),
                deliver: consumer.config.deliver_subject.clone(),
                host: ServerId(consumer.home),
                owner: self.router.literal(deliver, group),
                delivered: consumer.delivered(),
            }
        });
        seen.collect()
    }

    /// Returns a consumer that was made since this was last asked.
    pub fn poll_made(&mut self) -> Option<MadeConsumer> {
        self.jetstream.made.pop_front()
    }

    /// Returns who has asked for a consumer since this was last asked, whatever became of it.
    pub fn poll_asking(&mut self) -> Option<ConnId> {
        self.jetstream.asking.pop_front()
    }

    /// Returns the name of a consumer that has ended since this was last asked, as nobody listened to it for
    /// so long.
    pub fn poll_expired(&mut self) -> Option<String> {
        self.jetstream.expired.pop_front()
    }

    /// Returns how many subscriptions a client has.
    #[must_use]
    pub fn subscriptions(&self, conn: ConnId) -> usize {
        self.router.count(conn)
    }
}
