//! Generated sequences of requests: mostly sensible, often wrong, the same for the same seed.

use std::fmt;

use kv_sim::server::Version;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A client sends something in one go.
    Say {
        bytes: Vec<u8>,
        /// The server works on it behind the client's back; give it a moment.
        unacknowledged: bool,
    },
    /// The server ends, in good order or killed, and starts again with its store.
    Restart { kill: bool },
}

impl Step {
    fn say(bytes: impl Into<Vec<u8>>, unacknowledged: bool) -> Self {
        Self::Say {
            bytes: bytes.into(),
            unacknowledged,
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// What is sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Say { bytes, .. } => bytes,
            Self::Restart { .. } => b"",
        }
    }

    pub(crate) fn is_unseen(&self) -> bool {
        match self {
            Self::Say { unacknowledged, .. } => *unacknowledged,
            Self::Restart { .. } => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say { .. } => write!(f, "{:?}", self.text()),
            Self::Restart { kill } => write!(f, "restart, killed: {kill}"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Generator {
    state: u64,
    version: Version,
    requests: usize,
    sids: usize,
    consumers: usize,
    ids: usize,
    last_seq: u64,
}

const LOGIN: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1,\"headers\":true,\"no_responders\":true}\r\nPING\r\nSUB _INBOX.d.* 1\r\n";
const KEYS: [&str; 7] = ["a", "b", "c", "x.a", "x.b", "x.y.z", "d"];
const FILTERS: [&str; 8] = [">", "a", "x.>", "x.*", "*", "nope", "x.*.z", "b"];

pub(crate) const STREAMS: [&str; 4] = ["KV_A", "KV_B", "KV_C", "D"];

impl Generator {
    pub(crate) fn new(seed: u64, version: Version) -> Self {
        let state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF0;
        Self {
            state,
            version,
            requests: 0,
            sids: 10,
            consumers: 0,
            ids: 0,
            last_seq: 3,
        }
    }

    /// A whole sequence, beginning with the login.
    pub(crate) fn sequence(&mut self, length: usize) -> Vec<Step> {
        let mut steps = vec![Step::say(LOGIN, false)];
        for _ in 0..1 + self.below(2) {
            steps.push(self.create_stream());
        }
        while steps.len() < length {
            let step = self.step();
            steps.push(step);
        }
        steps
    }

    /// A sequence in which the server is restarted, once or twice.
    pub(crate) fn sequence_with_restarts(&mut self, length: usize) -> Vec<Step> {
        let mut steps = self.sequence(length);
        for _ in 0..1 + self.below(2) {
            let at = length / 4 + self.below(length / 2);
            let kill = self.chance(50);
            steps.insert(at, Step::Restart { kill });
            steps.insert(at + 1, Step::say(LOGIN, false));
        }
        steps
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn stream(&mut self) -> &'static str {
        if self.chance(75) {
            "KV_A"
        } else {
            self.pick(&STREAMS)
        }
    }

    fn subject(&mut self, stream: &str) -> String {
        let bucket = stream.trim_start_matches("KV_");
        let key = self.pick(&KEYS);
        format!("$KV.{bucket}.{key}")
    }

    fn filter(&mut self, stream: &str) -> String {
        let bucket = stream.trim_start_matches("KV_");
        let filter = self.pick(&FILTERS);
        format!("$KV.{bucket}.{filter}")
    }

    fn seq(&mut self) -> u64 {
        let around = self.last_seq + 3;
        if self.chance(10) {
            0
        } else {
            self.next() % around + 1
        }
    }

    fn request(&mut self, subject: &str, body: &str) -> Step {
        self.message(subject, "", body, true)
    }

    fn api(&mut self, verb: &str, body: &str) -> Step {
        self.request(&format!("$JS.API.{verb}"), body)
    }

    fn message(&mut self, subject: &str, headers: &str, payload: &str, answered: bool) -> Step {
        self.requests += 1;
        let reply = if answered {
            format!("_INBOX.d.{} ", self.requests)
        } else {
            String::new()
        };
        let bytes = if headers.is_empty() {
            format!("PUB {subject} {reply}{}\r\n{payload}\r\n", payload.len())
        } else {
            let block = format!("NATS/1.0\r\n{headers}\r\n");
            let total = block.len() + payload.len();
            format!(
                "HPUB {subject} {reply}{} {total}\r\n{block}{payload}\r\n",
                block.len()
            )
        };
        Step::say(bytes, !answered)
    }

    fn step(&mut self) -> Step {
        match self.below(100) {
            0..36 => self.put(),
            36..48 => self.direct_get(),
            48..54 => self.message_get(),
            54..59 => self.stream_info(),
            59..62 => self.purge(),
            62..64 => self.delete_message(),
            64..67 => self.create_stream(),
            67..70 => self.update_stream(),
            70..72 => self.lists(),
            72..74 => self.delete_stream(),
            74..83 => self.consumer(),
            83..88 => self.consumer_admin(),
            88..94 => self.subscription(),
            94..97 => self.oddity(),
            _ => self.core(),
        }
    }

    fn config(&mut self, name: &str) -> String {
        let bucket = name.trim_start_matches("KV_");
        let mut members = vec![format!("\"name\":\"{name}\"")];
        if self.chance(95) {
            members.push(format!("\"subjects\":[\"$KV.{bucket}.>\"]"));
        }
        if self.chance(90) {
            let history = self.pick(&[1, 1, 2, 3, 5, 0, -1]);
            members.push(format!("\"max_msgs_per_subject\":{history}"));
        }
        let storage = self.pick(&["memory", "memory", "file"]);
        members.push(format!("\"storage\":\"{storage}\""));
        for (member, percent) in [
            ("\"discard\":\"new\"", 60),
            ("\"allow_direct\":true", 85),
            ("\"allow_rollup_hdrs\":true", 80),
            ("\"deny_delete\":true", 40),
            ("\"deny_purge\":true", 4),
            ("\"retention\":\"limits\"", 30),
            ("\"num_replicas\":1", 50),
            ("\"num_replicas\":3", 2),
            ("\"compression\":\"s2\"", 10),
            ("\"description\":\"d <&>\"", 10),
            ("\"metadata\":{\"a\":\"b\"}", 10),
            (
                "\"metadata\":{\"_nats.ver\":\"1\",\"_nats.level\":\"9\",\"z\":\"\"}",
                3,
            ),
            ("\"max_msg_size\":60", 8),
            ("\"max_bytes\":400", 10),
            ("\"max_msgs\":4", 10),
            ("\"max_age\":3600000000000", 8),
            ("\"max_age\":1000", 1),
            ("\"duplicate_window\":60000000000", 5),
            ("\"max_consumers\":2", 4),
            ("\"first_seq\":10", 5),
            ("\"discard_new_per_subject\":true", 4),
            ("\"sealed\":true", 1),
            ("\"mirror_direct\":true", 1),
            ("\"consumer_limits\":{}", 5),
            ("\"no_ack\":true", 1),
            ("\"republish\":{\"src\":\">\",\"dest\":\"R.>\"}", 8),
            ("\"republish\":{\"dest\":\"$KV.A.a\"}", 1),
            (
                "\"republish\":{\"src\":\"$KV.A.x.*\",\"dest\":\"R.*\",\"headers_only\":true}",
                3,
            ),
            ("\"max_age\":\"x\"", 1),
            ("\"bogus_field\":1", 2),
            ("\"allow_msg_ttl\":true", 25),
            ("\"subject_delete_marker_ttl\":5000000000", 10),
            ("\"subject_delete_marker_ttl\":5", 1),
        ] {
            if self.chance(percent) {
                members.push(member.to_owned());
            }
        }
        format!("{{{}}}", members.join(","))
    }

    fn create_stream(&mut self) -> Step {
        let name = self.stream();
        let config = self.config(name);
        let at = if self.chance(97) { name } else { "OTHER" };
        self.api(&format!("STREAM.CREATE.{at}"), &config)
    }

    fn update_stream(&mut self) -> Step {
        let name = self.stream();
        let config = self.config(name);
        self.api(&format!("STREAM.UPDATE.{name}"), &config)
    }

    fn put(&mut self) -> Step {
        let stream = self.stream();
        let subject = self.subject(stream);
        let mut headers = String::new();
        if self.chance(25) {
            let value = self.expectation();
            headers += &format!("Nats-Expected-Last-Subject-Sequence: {value}\r\n");
        }
        if self.chance(4) {
            let other = self.filter(stream);
            headers += &format!("Nats-Expected-Last-Subject-Sequence-Subject: {other}\r\n");
        }
        if self.chance(8) {
            let value = self.expectation();
            headers += &format!("Nats-Expected-Last-Sequence: {value}\r\n");
        }
        if self.chance(20) {
            if self.chance(70) {
                self.ids += 1;
            }
            headers += &format!("Nats-Msg-Id: id{}\r\n", self.ids);
        }
        if self.chance(4) {
            headers += &format!("Nats-Expected-Last-Msg-Id: id{}\r\n", self.ids);
        }
        if self.chance(4) {
            let name = self.pick(&[stream, "OTHER"]);
            headers += &format!("Nats-Expected-Stream: {name}\r\n");
        }
        if self.chance(8) {
            let value = self.pick(&["sub", "sub", "sub", "all", "foo", ""]);
            headers += &format!("Nats-Rollup: {value}\r\n");
        }
        if self.chance(12) {
            let value = self.pick(&[
                "100", "1h", "3600s", "never", "NEVER", "0", "500ms", "-1", "abc", "1d", "", "200",
                "1h30m", "00", "+1h", "1.5h",
            ]);
            headers += &format!("Nats-TTL: {value}\r\n");
        }
        if self.chance(8) {
            headers += self.pick(&[
                "KV-Operation: DEL\r\n",
                "KV-Operation: PURGE\r\n",
                "X: y\r\nX: z\r\n",
            ]);
        }
        if self.chance(2) {
            headers += self.pick(&[
                "nats-msg-id: id1\r\n",
                "Nats-Sequence: 999\r\nNats-Subject: evil\r\n",
                "Nats-Stream-Source: a b c\r\n",
                "Nats-Batch-Id: u1\r\nNats-Batch-Sequence: 1\r\n",
                "Nats-Incr: 1\r\n",
                "Nats-Required-Api-Level: 99\r\n",
                "Nats-Marker-Reason: MaxAge\r\n",
            ]);
        }
        let payload = self.pick(&["", "v", "value", "a longer value, of more bytes than fit"]);
        self.last_seq += 1;
        if self.chance(2) {
            return self.message("$KV.A.a..b", &headers, payload, true);
        }
        let answered = self.chance(97);
        self.message(&subject, &headers, payload, answered)
    }

    fn expectation(&mut self) -> String {
        match self.below(12) {
            0..3 => "0".to_owned(),
            3 => self
                .pick(&["x", "", "-1", "1 ", " 1", "99999999999999999999999"])
                .to_owned(),
            _ => self.seq().to_string(),
        }
    }

    fn direct_get(&mut self) -> Step {
        let stream = self.stream();
        if self.chance(45) {
            let key = if self.chance(85) {
                self.subject(stream)
            } else {
                self.filter(stream)
            };
            let body = if self.chance(93) {
                ""
            } else {
                self.pick(&["{}", "x", "{\"seq\":1}", "null"])
            };
            return self.api(&format!("DIRECT.GET.{stream}.{key}"), body);
        }
        let body = self.get_body(stream);
        self.api(&format!("DIRECT.GET.{stream}"), &body)
    }

    fn get_body(&mut self, stream: &str) -> String {
        let subject = self.subject(stream);
        let filter = self.filter(stream);
        let seq = self.seq();
        let batch = self.pick(&[1, 2, 3, 10, 1000]);
        match self.below(17) {
            0 | 1 => format!("{{\"seq\":{seq}}}"),
            2 | 3 => format!("{{\"last_by_subj\":\"{subject}\"}}"),
            4 => format!("{{\"next_by_subj\":\"{filter}\",\"seq\":{seq}}}"),
            5 => format!("{{\"next_by_subj\":\"{filter}\"}}"),
            6 | 7 => format!("{{\"next_by_subj\":\"{filter}\",\"seq\":{seq},\"batch\":{batch}}}"),
            8 => format!("{{\"seq\":{seq},\"batch\":{batch}}}"),
            9 => format!("{{\"multi_last\":[\"{filter}\",\"{subject}\"]}}"),
            10 => format!("{{\"multi_last\":[\"{filter}\"],\"batch\":{batch}}}"),
            11 => format!("{{\"multi_last\":[\"{filter}\"],\"up_to_seq\":{seq}}}"),
            12 => format!("{{\"multi_last\":[\"{filter}\"],\"seq\":{seq},\"batch\":{batch}}}"),
            13 => format!("{{\"seq\":{seq},\"batch\":{batch},\"max_bytes\":40}}"),
            // 2.11 begins behind the first message, by the gaps before it; KV does not use this.
            14 if self.version != Version::V2_11 => {
                format!("{{\"start_time\":\"2020-01-01T00:00:00Z\",\"batch\":{batch}}}")
            }
            15 => self
                .pick(&[
                    "",
                    "{}",
                    "x",
                    "[]",
                    "{\"seq\":\"x\"}",
                    "{\"seq\":1,\"last_by_subj\":\"a\"}",
                    "{\"bogus\":1}",
                    "{\"last_by_subj\":\"a\",\"next_by_subj\":\"b\"}",
                    "{\"last_by_subj\":\"a\",\"batch\":1}",
                    "{\"SEQ\":1}",
                    "{\"seq\":-1}",
                    "{\"seq\":1.5}",
                    "{\"seq\":1,\"no_hdr\":true}",
                    "{\"multi_last\":[]}",
                    "{\"batch\":5}",
                ])
                .to_owned(),
            _ => format!("{{\"last_by_subj\":\"{filter}\"}}"),
        }
    }

    fn message_get(&mut self) -> Step {
        let stream = self.stream();
        let body = self.get_body(stream);
        self.api(&format!("STREAM.MSG.GET.{stream}"), &body)
    }

    fn stream_info(&mut self) -> Step {
        let stream = self.stream();
        let filter = self.filter(stream);
        let offset = self.below(4);
        let body = match self.below(8) {
            0..3 => String::new(),
            3 => format!("{{\"subjects_filter\":\"{filter}\"}}"),
            4 => "{\"subjects_filter\":\">\"}".to_owned(),
            5 => format!("{{\"subjects_filter\":\">\",\"offset\":{offset}}}"),
            6 => "{\"deleted_details\":true}".to_owned(),
            _ => self
                .pick(&[
                    "{}",
                    "x",
                    "[]",
                    "{\"offset\":-1}",
                    "null",
                    "{\"subjects_filter\":null}",
                    "{\"nope\":1}",
                    "  {",
                    "{\"offset\":\"1\"}",
                ])
                .to_owned(),
        };
        self.api(&format!("STREAM.INFO.{stream}"), &body)
    }

    fn purge(&mut self) -> Step {
        let stream = self.stream();
        let filter = self.filter(stream);
        let (seq, keep) = (self.seq(), self.below(3));
        let body = match self.below(9) {
            0 => String::new(),
            1 | 2 => format!("{{\"filter\":\"{filter}\"}}"),
            3 | 4 => format!("{{\"filter\":\"{filter}\",\"seq\":{seq}}}"),
            5 => format!("{{\"filter\":\"{filter}\",\"keep\":{keep}}}"),
            6 => format!("{{\"seq\":{seq}}}"),
            7 => format!("{{\"keep\":{keep}}}"),
            _ => self
                .pick(&["{\"seq\":1,\"keep\":1}", "{}", "x", "{\"bogus\":1}"])
                .to_owned(),
        };
        self.api(&format!("STREAM.PURGE.{stream}"), &body)
    }

    fn delete_message(&mut self) -> Step {
        let stream = self.stream();
        let seq = self.seq();
        // 2.10 loses track of a subject whose newest message was deleted; KV streams deny it anyway.
        let seq = if self.version == Version::V2_10 {
            900
        } else {
            seq
        };
        let body = match self.below(8) {
            0 => self.pick(&["", "{}", "x", "{\"nope\":1}"]).to_owned(),
            1 => format!("{{\"seq\":{seq},\"no_erase\":true}}"),
            _ => format!("{{\"seq\":{seq}}}"),
        };
        self.api(&format!("STREAM.MSG.DELETE.{stream}"), &body)
    }

    fn lists(&mut self) -> Step {
        let verb = self.pick(&["STREAM.NAMES", "STREAM.LIST", "INFO"]);
        let body = self.pick(&[
            "",
            "{}",
            "{\"offset\":1}",
            "{\"offset\":9}",
            "{\"subject\":\"$KV.*.>\"}",
            "{\"subject\":\"nope\"}",
            "[]",
            "x",
            "null",
            "{\"subject\":\"$KV.A.a\",\"offset\":0}",
        ]);
        self.api(verb, body)
    }

    fn delete_stream(&mut self) -> Step {
        let stream = self.pick(&STREAMS);
        let body = self.pick(&["", "", "{}", " {} ", "x", "{\"a\":1}", "null"]);
        let step = self.api(&format!("STREAM.DELETE.{stream}"), body);
        Step::say(step.bytes(), true)
    }

    fn consumer_name(&mut self) -> String {
        format!("c{}", self.below(self.consumers.min(3) + 1))
    }

    fn consumer(&mut self) -> Step {
        let stream = self.stream();
        self.consumers += 1;
        let name = self.consumer_name();
        let filter = self.filter(stream);
        let other = self.filter(stream);
        let deliver = self.pick(&["dv.1", "dv.2", "dv.3"]);
        let seq = self.seq();
        let mut config = vec![format!("\"deliver_subject\":\"{deliver}\"")];
        if self.chance(5) {
            config[0] = self
                .pick(&[
                    "\"deliver_subject\":\"dv.*\"",
                    "\"deliver_subject\":\"$KV.A.x\"",
                    "\"deliver_subject\":\"d..v\"",
                    "\"deliver_subject\":\"dv.1\",\"max_waiting\":5",
                ])
                .to_owned();
        }
        match self.below(10) {
            0..3 => config.push("\"deliver_policy\":\"last_per_subject\"".to_owned()),
            3 => config.push("\"deliver_policy\":\"new\"".to_owned()),
            4 => config.push("\"deliver_policy\":\"last\"".to_owned()),
            5 | 6 => config.push(format!(
                "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":{seq}"
            )),
            7 if self.version != Version::V2_11 => config.push(
                "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2020-01-01T00:00:00Z\""
                    .to_owned(),
            ),
            8 => config.push("\"deliver_policy\":\"all\"".to_owned()),
            _ => config.push(
                self.pick(&[
                    "\"opt_start_seq\":5",
                    "\"deliver_policy\":\"by_start_sequence\"",
                    "\"deliver_policy\":\"bad\"",
                    "\"deliver_policy\":\"new\",\"opt_start_time\":\"2020-01-01T00:00:00Z\"",
                ])
                .to_owned(),
            ),
        }
        config.push(
            self.pick(&[
                "\"ack_policy\":\"none\"",
                "\"ack_policy\":\"none\"",
                "\"replay_policy\":\"instant\"",
            ])
            .to_owned(),
        );
        let mut tail = "";
        match self.below(10) {
            0..6 => {
                config.push(format!("\"filter_subject\":\"{filter}\""));
                if self.chance(75) {
                    tail = &filter;
                } else if self.chance(10) {
                    tail = &other;
                }
            }
            6 => config.push(format!("\"filter_subjects\":[\"{filter}\",\"{other}\"]")),
            7 => config.push(format!("\"filter_subjects\":[\"{filter}\"]")),
            8 => config.push(format!(
                "\"filter_subject\":\"{filter}\",\"filter_subjects\":[\"{other}\"]"
            )),
            _ => {}
        }
        for (member, percent) in [
            ("\"headers_only\":true", 20),
            ("\"mem_storage\":true", 60),
            ("\"num_replicas\":1", 50),
            ("\"max_deliver\":1", 40),
            ("\"idle_heartbeat\":60000000000", 50),
            ("\"flow_control\":true", 30),
            ("\"inactive_threshold\":300000000000", 70),
            ("\"idle_heartbeat\":5", 2),
            ("\"description\":\"x\"", 5),
            ("\"metadata\":{\"k\":\"v\"}", 5),
            ("\"ack_wait\":79200000000000", 20),
            ("\"max_ack_pending\":5", 3),
            ("\"num_replicas\":3", 2),
            ("\"bogus\":true", 2),
            ("\"durable_name\":\"c1\"", 5),
            ("\"name\":\"other\"", 3),
        ] {
            if self.chance(percent) {
                config.push(member.to_owned());
            }
        }
        let action = match self.below(12) {
            0 => ",\"action\":\"create\"",
            1 => ",\"action\":\"update\"",
            2 => ",\"action\":\"\"",
            _ => "",
        };
        let stated = if self.chance(97) { stream } else { "OTHER" };
        let body = format!(
            "{{\"stream_name\":\"{stated}\",\"config\":{{{}}}{action}}}",
            config.join(",")
        );
        let subject = match self.below(20) {
            0 => format!("CONSUMER.CREATE.{stream}"),
            1 => format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"),
            _ if tail.is_empty() => format!("CONSUMER.CREATE.{stream}.{name}"),
            _ => format!("CONSUMER.CREATE.{stream}.{name}.{tail}"),
        };
        self.api(&subject, &body)
    }

    fn consumer_admin(&mut self) -> Step {
        let stream = self.stream();
        let name = self.consumer_name();
        match self.below(8) {
            0 | 1 => self.api(&format!("CONSUMER.DELETE.{stream}.{name}"), ""),
            2 => {
                let body = self.pick(&["", "{\"offset\":1}", "{}", "{\"bogus\":1}"]);
                self.api(&format!("CONSUMER.NAMES.{stream}"), body)
            }
            3 => self.api(&format!("CONSUMER.LIST.{stream}"), ""),
            4 => {
                let body = self.pick(&["x", "{}", "{\"a\":1}"]);
                self.api(&format!("CONSUMER.INFO.{stream}.{name}"), body)
            }
            _ => self.api(&format!("CONSUMER.INFO.{stream}.{name}"), ""),
        }
    }

    fn subscription(&mut self) -> Step {
        let line = match self.below(10) {
            0..6 => {
                self.sids += 1;
                let subject = self.pick(&[
                    "dv.1", "dv.2", "dv.3", "dv.1", "dv.*", "$KV.A.>", "R.>", "dv.2", "core.*",
                    "core.a",
                ]);
                format!("SUB {subject} {}\r\n", self.sids)
            }
            6 => {
                self.sids += 1;
                format!("SUB core.q qq {}\r\n", self.sids)
            }
            7 => "SUB bad..subject 99\r\n".to_owned(),
            8 => {
                let sid = 11 + self.below(6);
                format!("UNSUB {sid}\r\n")
            }
            _ => {
                let (sid, max) = (11 + self.below(6), self.below(4));
                format!("UNSUB {sid} {max}\r\n")
            }
        };
        Step::say(format!("{line}PING\r\n"), true)
    }

    fn core(&mut self) -> Step {
        match self.below(4) {
            0 => self.request("core.nobody", "x"),
            1 => self.message("core.a", "", "hello", true),
            2 => self.message("core.q", "A: b\r\n", "hello", true),
            _ => self.message("core.a", "", "hello", false),
        }
    }

    fn oddity(&mut self) -> Step {
        let subject = self.pick(&[
            "$JS.API.NOPE",
            "$JS.API.STREAM.NOPE.KV_A",
            "$JS.API.STREAM.CREATE",
            "$JS.API.STREAM.INFO.a.b",
            "$JS.API.CONSUMER.MSG.NEXT.KV_A.c1",
            "$JS.API.STREAM.CREATE.KV_A",
            "$JS.API.CONSUMER.CREATE.KV_A.pull",
            "$JS.API.DIRECT.GET",
            "$JS.API.DIRECT.GET.KV_A.",
            "$JS.FC.KV_A.c1.abcd",
            "$JS.API.CONSUMER.INFO.KV_A",
            "$JS.ACK.x",
            "$JS.API.STREAM.UPDATE.KV_A",
            "$JS.API.CONSUMER.CREATE",
        ]);
        let body = self.pick(&[
            "",
            "{}",
            "x",
            "{\"name\":\"KV_A\",}",
            "[1]",
            "{\"name\":1}",
            "{\"stream_name\":\"KV_A\"}",
            "{\"config\":",
        ]);
        self.request(subject, body)
    }
}
