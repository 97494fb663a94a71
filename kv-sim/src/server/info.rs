//! INFO lines.

use std::net::{Ipv4Addr, SocketAddr};

use super::Cluster;
use super::api::CLUSTER;
use super::connection::ConnId;
use super::json::{Writer, texts};

/// Where servers say that they listen if nobody tells them.
pub(crate) const FIRST_PORT: u16 = 4222;

impl Cluster {
    /// The INFO for one client; `connected` is the second one, after the login.
    pub(super) fn info_line(&self, server: usize, client_id: u64, connected: bool) -> Vec<u8> {
        self.info_naming(server, client_id, connected, &self.connect_urls())
    }

    /// The same, with these servers as those that clients can connect to.
    pub(super) fn info_naming(
        &self,
        server: usize,
        client_id: u64,
        connected: bool,
        connect_urls: &[String],
    ) -> Vec<u8> {
        let Some(at) = self.servers.get(server) else {
            return Vec::new();
        };
        let version = self.config.version;
        let address = self.address(server);
        let mut out = Writer::object();
        out.text("server_id", &at.id)
            .text("server_name", &at.name)
            .text("version", version.number())
            .number("proto", 1)
            .text("go", "go1.26")
            .text("host", &address.ip().to_string())
            .number("port", address.port())
            .bool("headers", true)
            .some_bool("auth_required", !self.config.auth.is_open())
            .number("max_payload", self.config.max_payload)
            .some_bool("jetstream", self.config.jetstream)
            .number("client_id", client_id)
            .text("client_ip", "127.0.0.1");
        if self.servers.len() > 1 {
            out.text("cluster", CLUSTER);
        }
        out.some_text("domain", self.config.domain.as_deref().unwrap_or_default());
        if self.servers.len() > 1 || !connect_urls.is_empty() {
            out.raw("connect_urls", &texts(connect_urls));
        }
        out.some_bool("ldm", at.lame_duck);
        if connected {
            out.bool("connect_info", true).text("remote_account", "$G");
        }
        if version.has_connect_info() {
            out.some_number("api_lvl", version.api_level().unwrap_or(0));
        }
        format!("INFO {} \r\n", out.end()).into_bytes()
    }

    /// Sends INFO to all clients that understand it.
    pub(super) fn send_info_to_all(&mut self) {
        let ready = self
            .connections
            .iter()
            .filter(|(_, conn)| conn.connected && conn.options.protocol >= 1);
        let conns: Vec<ConnId> = ready.map(|(conn, _)| *conn).collect();
        for conn in conns {
            self.send_info(conn, false);
        }
    }

    pub(super) fn send_info(&mut self, conn: ConnId, connected: bool) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let line = self.info_line(connection.server, connection.client_id, connected);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.send(&line);
        }
    }

    fn connect_urls(&self) -> Vec<String> {
        if self.servers.len() < 2 {
            return Vec::new();
        }
        let servers = self.servers.iter().enumerate();
        let takers = servers.filter(|(_, server)| server.up && !server.lame_duck);
        takers.map(|(at, _)| self.address(at).to_string()).collect()
    }

    fn address(&self, server: usize) -> SocketAddr {
        let given = self.config.addresses.get(server);
        let offset = u16::try_from(server).unwrap_or(u16::MAX);
        let port = FIRST_PORT.saturating_add(offset);
        given.map_or((Ipv4Addr::LOCALHOST, port).into(), |given| *given)
    }
}
