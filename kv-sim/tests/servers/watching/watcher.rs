//! A cluster with one raw client, which watches.

use std::time::Duration;

use kv_proto::Instant;
use kv_sim::server::{Cluster, Config, ConnId, SeenConsumer, ServerId, Version};

/// Where consumers deliver.
pub(crate) const INBOX: &str = "_INBOX.watch";
const LOGIN: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\nSUB _INBOX.r.* 1\r\nSUB _INBOX.watch 7\r\n";
const STREAM: &str = r#"{"name":"KV_b","subjects":["$KV.b.>"],"max_msgs_per_subject":1,"allow_rollup_hdrs":true,"num_replicas":REPLICAS}"#;

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) sid: String,
    pub(crate) subject: String,
    pub(crate) reply: String,
    pub(crate) text: String,
}

impl Frame {
    pub(crate) fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// A token of the reply subject, counted from its end: 0 is what is pending, 2 the consumer sequence.
    pub(crate) fn token(&self, from_end: usize) -> &str {
        self.reply.rsplit('.').nth(from_end).unwrap_or_default()
    }
}

pub(crate) struct Watcher {
    pub(crate) cluster: Cluster,
    pub(crate) now: Instant,
    pub(crate) conn: ConnId,
    requests: usize,
    frames: Vec<Frame>,
}

impl Watcher {
    /// With a bucket of so many replicas, on as many servers; nobody watches yet.
    pub(crate) fn new(replicas: usize, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(Version::V2_15);
        config.servers = replicas;
        change(&mut config);
        let mut cluster = Cluster::new(config, 1);
        let now = Instant::ORIGIN;
        let conn = cluster.accept(now, ServerId(0)).expect("it is up");
        cluster.handle_input(now, conn, LOGIN.as_bytes());
        let mut it = Self {
            cluster,
            now,
            conn,
            requests: 0,
            frames: Vec::new(),
        };
        let config = STREAM.replace("REPLICAS", &replicas.to_string());
        let answer = it.ask("STREAM.CREATE.KV_b", &config);
        assert!(answer.contains("did_create"), "{answer}");
        it
    }

    /// Makes a consumer as a watch does.
    pub(crate) fn watch(&mut self, name: &str) -> String {
        let body = format!(
            r#"{{"stream_name":"KV_b","config":{{"name":"{name}","deliver_subject":"{INBOX}","deliver_policy":"last_per_subject","ack_policy":"none","max_deliver":1,"filter_subject":"$KV.b.>","flow_control":true,"idle_heartbeat":1000000000,"mem_storage":true,"num_replicas":1}}}}"#
        );
        self.ask(&format!("CONSUMER.CREATE.KV_b.{name}.$KV.b.>"), &body)
    }

    /// Asks the API; the answer, or nothing.
    pub(crate) fn ask(&mut self, subject: &str, body: &str) -> String {
        self.requests += 1;
        let reply = format!("_INBOX.r.{}", self.requests);
        self.say(&format!(
            "PUB $JS.API.{subject} {reply} {}\r\n{body}\r\n",
            body.len()
        ));
        self.advance(Duration::from_millis(1));
        let at = self.frames.iter().position(|frame| frame.subject == reply);
        at.map(|at| self.frames.remove(at).text).unwrap_or_default()
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) {
        self.say(&format!("PUB $KV.b.{key} {}\r\n{value}\r\n", value.len()));
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.cluster
            .handle_input(self.now, self.conn, text.as_bytes());
        self.collect();
    }

    /// Lets time pass, stopping wherever something is due.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.cluster.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.cluster.handle_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    /// What has come since this was last asked, answers excepted.
    pub(crate) fn come(&mut self) -> Vec<Frame> {
        self.collect();
        std::mem::take(&mut self.frames)
    }

    /// The consumer sequences of what has come.
    pub(crate) fn sequences(&mut self) -> Vec<String> {
        let come = self.come();
        let data = come
            .iter()
            .filter(|frame| frame.reply.starts_with("$JS.ACK."));
        data.map(|frame| frame.token(2).to_owned()).collect()
    }

    pub(crate) fn only_consumer(&self) -> SeenConsumer {
        let mut all = self.cluster.consumer_list();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    pub(crate) fn met(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.cluster.poll_met()).collect()
    }

    pub(crate) fn collect(&mut self) {
        let output = self.cluster.take_output(self.conn);
        let mut rest = output.as_slice();
        while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 2..];
            let words: Vec<&str> = line.split(' ').collect();
            let (sizes, reply_at) = match words[0] {
                "MSG" => (1, 4),
                "HMSG" => (2, 5),
                "-ERR" => {
                    let (text, none) = (line.clone(), String::new());
                    let (sid, subject, reply) = (none.clone(), none.clone(), none);
                    self.frames.push(Frame {
                        sid,
                        subject,
                        reply,
                        text,
                    });
                    continue;
                }
                _ => continue,
            };
            let total: usize = words[words.len() - 1].parse().expect("a size");
            let reply = if words.len() > reply_at { words[3] } else { "" };
            assert!(words.len() - sizes >= 3);
            self.frames.push(Frame {
                sid: words[2].into(),
                subject: words[1].into(),
                reply: reply.into(),
                text: String::from_utf8_lossy(&rest[..total]).into_owned(),
            });
            rest = &rest[total + 2..];
        }
    }
}
