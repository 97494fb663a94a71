//! F-S11 to F-S16: what a server says to one client that it would better not.

use super::World;
use crate::fault::{Denied, ERRORS};
use crate::server::ConnId;

/// Where nobody listens.
pub(in crate::world) const UNREACHABLE: [&str; 2] = ["127.0.0.1:9", "10.9.9.9:4222"];

/// Messages that nobody asked for: one to an inbox, one to a subscription that there is not.
const STRAY: &[u8] = b"MSG _INBOX.nobody.7 1 5\r\nstray\r\nMSG elsewhere 99 0\r\n\r\n";

impl World<'_> {
    /// A client's connection, once it is logged in.
    fn logged_in(&self, client: u8) -> Option<ConnId> {
        let conn = self.wires.get(self.wire_in_use(client)?)?.conn?;
        self.cluster.is_logged_in(conn).then_some(conn)
    }

    pub(super) fn send_stray(&mut self, client: u8) -> Option<()> {
        let conn = self.logged_in(client)?;
        self.cluster.inject(self.now, conn, STRAY);
        self.collected()
    }

    pub(super) fn send_infos(&mut self, client: u8, count: u8) -> Option<()> {
        let conn = self.logged_in(client)?;
        for _ in 0..count {
            self.cluster.inform(self.now, conn);
        }
        self.collected()
    }

    /// Announces servers that cannot be reached, and no others.
    pub(super) fn send_urls(&mut self, client: u8) -> Option<()> {
        let conn = self.logged_in(client)?;
        self.cluster.inform_of(self.now, conn, &UNREACHABLE);
        self.collected()
    }

    pub(super) fn send_pings(&mut self, client: u8, count: u8) -> Option<()> {
        let conn = self.logged_in(client)?;
        for _ in 0..count {
            self.cluster.inject(self.now, conn, b"PING\r\n");
        }
        self.collected()
    }

    pub(super) fn send_error(&mut self, client: u8, text: u8) -> Option<()> {
        let conn = self.logged_in(client)?;
        let (line, closes) = ERRORS.get(usize::from(text))?;
        self.cluster.inject(self.now, conn, line.as_bytes());
        if *closes {
            self.cluster.disconnect(self.now, conn, None);
        }
        self.collected()
    }

    pub(super) fn deny(&mut self, client: u8, what: Denied) -> Option<()> {
        let conn = self.logged_in(client)?;
        self.history.denied = true;
        self.history.leader_denied |= what == Denied::MessageGet;
        let pattern = match what {
            Denied::Keys => "$KV.b.>",
            Denied::DirectGet => "$JS.API.DIRECT.GET.>",
            Denied::MessageGet => "$JS.API.STREAM.MSG.GET.*",
            Denied::StreamInfo => "$JS.API.STREAM.INFO.*",
            Denied::CreateConsumer => "$JS.API.CONSUMER.CREATE.>",
            Denied::DeleteConsumer => "$JS.API.CONSUMER.DELETE.>",
            Denied::FlowControl => "$JS.FC.>",
            Denied::Inbox => "_INBOX.>",
        };
        if what == Denied::Inbox {
            self.cluster.deny_subscribing(self.now, conn, pattern);
        } else {
            self.cluster.deny(self.now, conn, pattern);
        }
        self.collected()
    }
}
