//! A raw connection to a simulated server.

use std::time::Duration;

use kv_proto::{Instant, Timestamp};
use kv_sim::server::{Cluster, Config, ConnId, ServerId, Version};

use crate::frames::Frames;

#[derive(Debug)]
pub(crate) struct Sim {
    cluster: Cluster,
    epoch: Timestamp,
    conn: ConnId,
    now: Instant,
    pub(crate) frames: Frames,
    pub(crate) closed: bool,
}

impl Sim {
    pub(crate) fn new(version: Version, seed: u64) -> Self {
        let mut config = Config::new(version);
        // As long, printed, as the times of a real server nearly always are: they count in stored bytes.
        config.epoch = Timestamp::from_unix_nanos(config.epoch.as_unix_nanos() + 123_456_789);
        Self::with(config, seed)
    }

    pub(crate) fn with(config: Config, seed: u64) -> Self {
        let epoch = config.epoch;
        let mut cluster = Cluster::new(config, seed);
        let now = Instant::ORIGIN;
        let conn = cluster.accept(now, ServerId(0)).expect("it is up");
        let mut out = Self {
            cluster,
            epoch,
            conn,
            now,
            frames: Frames::default(),
            closed: false,
        };
        out.collect();
        out
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.frames.note_sent(bytes);
        self.now = self.now + Duration::from_millis(1);
        self.cluster.handle_timeout(self.now);
        self.cluster.handle_input(self.now, self.conn, bytes);
        self.collect();
    }

    /// What the server's clock will say in so many milliseconds, as a client writes it.
    pub(crate) fn clock(&self, ahead: u64) -> String {
        let nanos = i64::try_from((self.now + Duration::from_millis(ahead)).as_nanos())
            .expect("before 2262");
        Timestamp::from_unix_nanos(self.epoch.as_unix_nanos() + nanos).to_string()
    }

    /// Restarts the server and connects again.
    pub(crate) fn restart(&mut self, kill: bool) {
        self.wait(Duration::from_millis(300));
        if !kill {
            self.cluster.shut_down(self.now, ServerId(0));
            self.collect();
            self.closed = false;
        }
        self.cluster.restart(self.now, ServerId(0), false);
        while self.cluster.poll_closed().is_some() {}
        let conn = self.cluster.accept(self.now, ServerId(0));
        self.conn = conn.expect("it is up again");
        self.collect();
    }

    /// What another client is told that connects now.
    pub(crate) fn another(&mut self) -> Frames {
        let mut frames = Frames::default();
        if let Some(conn) = self.cluster.accept(self.now, ServerId(0)) {
            frames.push(&self.cluster.take_output(conn));
        }
        while self
            .cluster
            .poll_closed()
            .is_some_and(|closed| closed == self.conn)
        {
            self.closed = true;
        }
        frames
    }

    pub(crate) fn lame_duck(&mut self) {
        self.cluster.lame_duck(self.now, ServerId(0));
        self.collect();
    }

    pub(crate) fn stop(&mut self) {
        self.cluster.stop(self.now, ServerId(0));
        self.collect();
    }

    /// Lets virtual time pass, stopping wherever something is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.cluster.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.cluster.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    fn collect(&mut self) {
        let output = self.cluster.take_output(self.conn);
        self.frames.push(&output);
        self.closed |= self.cluster.poll_closed().is_some();
    }
}

pub(crate) fn real_version(version: Version) -> kv_tests::Version {
    kv_tests::Version::parse(version.number()).expect("a number")
}
