//! Three simulated servers and a raw client on each.

use std::collections::BTreeMap;
use std::time::Duration;

use kv_proto::Instant;
use kv_sim::server::{Cluster, Config, ConnId, ServerId, Version};

const LOGIN: &str = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB _INBOX.SERVER.* 1\r\n";

pub(crate) struct Cluster3 {
    pub(crate) cluster: Cluster,
    pub(crate) now: Instant,
    conns: [Option<ConnId>; 3],
    requests: usize,
    unread: [Vec<u8>; 3],
    /// Reply subject to what came on it: header block and payload as text.
    replies: BTreeMap<String, Vec<String>>,
    /// Everything that came on other subjects.
    pub(crate) delivered: Vec<(String, String)>,
}

pub(crate) fn create_json(name: &str, more: &str) -> String {
    let bucket = name.trim_start_matches("KV_");
    let replicas = if more.contains("num_replicas") {
        ""
    } else {
        r#","num_replicas":3"#
    };
    format!(
        r#"{{"name":"{name}","subjects":["$KV.{bucket}.>"],"allow_direct":true,"max_msgs_per_subject":64{replicas}{more}}}"#
    )
}

impl Cluster3 {
    pub(crate) fn new(version: Version, seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(version);
        (config.servers, config.journal) = (3, true);
        change(&mut config);
        let mut it = Self {
            cluster: Cluster::new(config, seed),
            now: Instant::ORIGIN,
            conns: [None; 3],
            requests: 0,
            unread: Default::default(),
            replies: BTreeMap::new(),
            delivered: Vec::new(),
        };
        for server in 0..3 {
            it.connect(server);
        }
        it
    }

    pub(crate) fn connect(&mut self, server: usize) {
        let conn = self.cluster.accept(self.now, ServerId(server));
        let conn = conn.expect("the server is up");
        let login = LOGIN.replace("SERVER", &server.to_string());
        self.cluster.handle_input(self.now, conn, login.as_bytes());
        self.conns[server] = Some(conn);
        self.unread[server].clear();
        self.collect();
    }

    /// Makes sure that there is a connection to a server; `None` when it is down.
    pub(crate) fn reconnect(&mut self, server: usize) -> Option<()> {
        self.collect();
        if self.conns[server].is_none() {
            let conn = self.cluster.accept(self.now, ServerId(server))?;
            self.cluster.handle_closed(self.now, conn);
            self.connect(server);
        }
        Some(())
    }

    pub(crate) fn create(&mut self, name: &str, more: &str) {
        let reply = self.ask(
            0,
            &format!("$JS.API.STREAM.CREATE.{name}"),
            &create_json(name, more),
        );
        self.settle();
        let answer = self.answer(&reply).expect("an answer");
        assert!(answer.contains("did_create"), "{answer}");
    }

    /// Asks through a server; returns the reply subject.
    pub(crate) fn ask(&mut self, server: usize, subject: &str, body: &str) -> String {
        self.put(server, subject, "", body)
    }

    pub(crate) fn put(
        &mut self,
        server: usize,
        subject: &str,
        headers: &str,
        body: &str,
    ) -> String {
        self.requests += 1;
        let reply = format!("_INBOX.{server}.{}", self.requests);
        let block = if headers.is_empty() {
            String::new()
        } else {
            format!("NATS/1.0\r\n{headers}\r\n")
        };
        let total = block.len() + body.len();
        let line = format!(
            "HPUB {subject} {reply} {} {total}\r\n{block}{body}\r\n",
            block.len()
        );
        self.say(server, line.as_bytes());
        reply
    }

    pub(crate) fn say(&mut self, server: usize, bytes: &[u8]) {
        let conn = self.conns[server].expect("connected");
        self.cluster.handle_input(self.now, conn, bytes);
        self.collect();
    }

    /// What came on a reply subject, if exactly one answer did.
    pub(crate) fn answer(&self, reply: &str) -> Option<String> {
        let all = self.replies.get(reply)?;
        assert_eq!(all.len(), 1, "one answer: {all:?}");
        all.first().cloned()
    }

    pub(crate) fn answers(&self, reply: &str) -> Vec<String> {
        self.replies.get(reply).cloned().unwrap_or_default()
    }

    /// Lets time pass, stopping wherever something is due.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.cluster.poll_timeout().filter(|due| *due <= end) {
            let before = self.now;
            self.now = self.now.max(due);
            self.cluster.handle_timeout(self.now);
            self.collect();
            let next = self.cluster.poll_timeout();
            assert!(next.is_none_or(|next| next > before), "time moves on");
        }
        self.now = end;
        self.cluster.handle_timeout(self.now);
        self.collect();
    }

    /// Lets all delays of a test pass.
    pub(crate) fn settle(&mut self) {
        self.advance(Duration::from_millis(500));
    }

    pub(crate) fn journal_len(&self) -> usize {
        self.cluster.journal().len()
    }

    /// The payloads that were stored, as the journal has it.
    pub(crate) fn journal_payloads(&self) -> Vec<String> {
        let stored = self.cluster.journal().iter();
        let payloads = stored.filter_map(|event| match &event.change {
            kv_sim::server::Change::Stored { payload, .. } => {
                Some(String::from_utf8_lossy(payload).into_owned())
            }
            kv_sim::server::Change::Created
            | kv_sim::server::Change::Deleted
            | kv_sim::server::Change::Removed { .. }
            | kv_sim::server::Change::Rewound { .. } => None,
        });
        payloads.collect()
    }

    fn collect(&mut self) {
        while let Some(closed) = self.cluster.poll_closed() {
            for conn in &mut self.conns {
                if *conn == Some(closed) {
                    *conn = None;
                }
            }
        }
        for server in 0..3 {
            let Some(conn) = self.conns[server] else {
                continue;
            };
            let output = self.cluster.take_output(conn);
            self.unread[server].extend_from_slice(&output);
            while let Some(message) = take_message(&mut self.unread[server]) {
                let Some((subject, text)) = message else {
                    continue;
                };
                if subject.starts_with("_INBOX.") {
                    self.replies.entry(subject).or_default().push(text);
                } else {
                    self.delivered.push((subject, text));
                }
            }
        }
    }
}

/// Cuts off one frame; `Some(None)` is a frame that is no message.
fn take_message(unread: &mut Vec<u8>) -> Option<Option<(String, String)>> {
    let end = unread.windows(2).position(|two| two == b"\r\n")?;
    let line = String::from_utf8_lossy(&unread[..end]).into_owned();
    let words: Vec<&str> = line.split(' ').collect();
    if !matches!(words[0], "MSG" | "HMSG") {
        unread.drain(..end + 2);
        return Some(None);
    }
    let total: usize = words.last()?.parse().ok()?;
    let text = String::from_utf8_lossy(&unread[end + 2..end + 2 + total]).into_owned();
    let subject = words[1].to_owned();
    unread.drain(..end + 2 + total + 2);
    Some(Some((subject, text)))
}
