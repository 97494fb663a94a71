//! Requests for messages, acknowledgements of all kinds, and consumers that are made for them.

use kv_sim::server::Version;

use super::{Generator, Step};

/// An hour in nanoseconds: nothing that takes so long happens in a sequence.
const LONG: &str = "3600000000000";

impl Generator {
    /// A consumer that is pulled, or pushes and wants acknowledgements.
    pub(super) fn acked_consumer(&mut self) -> Step {
        let stream = self.stream();
        self.consumers += 1;
        let name = self.consumer_name();
        let push = self.chance(25);
        let policy = self.pick(&["explicit", "explicit", "explicit", "all", "all", "none"]);
        let mut config = vec![format!("\"ack_policy\":\"{policy}\"")];
        if push {
            let deliver = self.pick(&["dv.1", "dv.2", "dv.3"]);
            config.push(format!("\"deliver_subject\":\"{deliver}\""));
        }
        let mut tail = String::new();
        match self.below(6) {
            0 => {
                let filter = self.filter(stream);
                config.push(format!("\"filter_subject\":\"{filter}\""));
                tail = format!(".{filter}");
            }
            1 => {
                let bucket = stream.trim_start_matches("KV_");
                config.push(format!(
                    "\"deliver_policy\":\"last_per_subject\",\"filter_subject\":\"$KV.{bucket}.>\""
                ));
            }
            2 => {
                let (policy, seq) = (self.below(4), self.seq());
                config.push(match policy {
                    0 => "\"deliver_policy\":\"new\"".to_owned(),
                    1 => "\"deliver_policy\":\"last\"".to_owned(),
                    2 => format!("\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":{seq}"),
                    _ => "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2020-01-01T00:00:00Z\"".to_owned(),
                });
            }
            _ => {}
        }
        // In a cluster, one that becomes durable moves to more servers, bit by bit.
        let durable = match self.replicas {
            Some(_) => name.ends_with(['1', '3']),
            None => self.chance(50),
        };
        if durable {
            config.push(format!("\"durable_name\":\"{name}\""));
        } else if self.chance(80) {
            config.push(format!("\"inactive_threshold\":{LONG}"));
        }
        for (member, percent) in [
            ("\"max_ack_pending\":1", 10),
            ("\"max_ack_pending\":3", 20),
            ("\"max_ack_pending\":-1", 4),
            ("\"max_deliver\":2", 15),
            ("\"max_deliver\":1", 5),
            ("\"max_deliver\":-1", 5),
            ("\"ack_wait\":1800000000000", 15),
            ("\"backoff\":[1200000000000,2400000000000]", 8),
            ("\"backoff\":[-1]", 1),
            ("\"ack_wait\":-1", 1),
            ("\"max_waiting\":1", 12),
            ("\"max_waiting\":2", 12),
            ("\"max_waiting\":-1", 1),
            ("\"max_batch\":2", 8),
            ("\"max_batch\":-1", 1),
            ("\"max_expires\":100000000000", 6),
            ("\"max_expires\":1", 1),
            ("\"max_bytes\":200", 5),
            ("\"headers_only\":true", 10),
            ("\"mem_storage\":true", 30),
            ("\"num_replicas\":1", 10),
            ("\"rate_limit_bps\":1000000000", 1),
            ("\"sample_freq\":\"x\"", 1),
            ("\"sample_freq\":\"100%\"", 2),
            ("\"direct\":true", 1),
            ("\"description\":\"y\"", 5),
            ("\"idle_heartbeat\":60000000000", 3),
            ("\"flow_control\":true", 3),
        ] {
            let negative = member.contains("wait\":-1") || member.contains("[-1]");
            let floods = negative && self.version <= Version::V2_11;
            // In a cluster only a stream's leader answers these, and nobody where there is no stream.
            let unanswered = member.contains("direct") && self.replicas.is_some();
            if self.chance(percent) && !floods && !unanswered {
                config.push(member.to_owned());
            }
        }
        let action = self.pick(&[
            "",
            "",
            "",
            "",
            ",\"action\":\"create\"",
            ",\"action\":\"update\"",
        ]);
        let body = format!(
            "{{\"stream_name\":\"{stream}\",\"config\":{{{}}}{action}}}",
            config.join(",")
        );
        let subject = if durable && self.chance(30) {
            format!("CONSUMER.DURABLE.CREATE.{stream}.{name}")
        } else {
            format!("CONSUMER.CREATE.{stream}.{name}{tail}")
        };
        self.api(&subject, &body)
    }

    /// Asks a consumer for messages.
    pub(super) fn pull(&mut self) -> Step {
        let (stream, name) = (self.stream(), self.consumer_name());
        let body = self.pull_body();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
        match self.below(20) {
            0 | 1 => self.publish_to(&subject, "pl.1", &body),
            2 => self.publish_to(&subject, "nobody.there", &body),
            3 if self.chance(30) => self.message(&subject, "", &body, false),
            4 if self.replicas.is_none() => {
                let level = self.pick(&["0", "1", "99", "x"]);
                let header = format!("Nats-Required-Api-Level: {level}\r\n");
                self.message(&subject, &header, &body, true)
            }
            _ => self.request(&subject, &body),
        }
    }

    fn pull_body(&mut self) -> String {
        let batch = self.pick(&["1", "2", "3", "10", "100"]);
        match self.below(24) {
            0..4 => String::new(),
            4..7 => batch.to_owned(),
            7..11 => format!("{{\"batch\":{batch},\"no_wait\":true}}"),
            11..14 => format!("{{\"batch\":{batch},\"expires\":{LONG}}}"),
            14 | 15 => format!("{{\"batch\":{batch},\"expires\":{LONG},\"no_wait\":true}}"),
            16 | 17 => {
                let bytes = self.pick(&["100", "150", "300", "1", "100000"]);
                format!("{{\"batch\":{batch},\"expires\":{LONG},\"max_bytes\":{bytes}}}")
            }
            18 => {
                format!("{{\"batch\":{batch},\"expires\":{LONG},\"idle_heartbeat\":1200000000000}}")
            }
            _ => self
                .pick(&[
                    "{}",
                    "x",
                    "+2",
                    " 2 ",
                    "-2",
                    "0",
                    "{",
                    "{\"batch\":\"2\"}",
                    "{\"batch\":-1}",
                    "{\"batch\":1.5}",
                    "{\"expires\":1000000000,\"idle_heartbeat\":900000000}",
                    "{\"batch\":1,\"idle_heartbeat\":900000000}",
                    "{\"batch\":2,\"expires\":-1}",
                    "{\"batch\":2,\"bogus\":1}",
                    "{\"batch\":2,\"no_wait\":true,\"max_bytes\":120}",
                    "{\"min_pending\":5}",
                    "{\"id\":\"x\",\"no_wait\":true}",
                    "{\"priority\":12,\"no_wait\":true}",
                    "{\"group\":\"g\",\"no_wait\":true}",
                    "{\"batch\":1} x",
                ])
                .to_owned(),
        }
    }

    /// Says something about a delivery.
    pub(super) fn acknowledge(&mut self) -> Step {
        let (stream, consumer) = (self.stream(), self.consumer_name());
        let body = match self.below(20) {
            0..6 => String::new(),
            6..9 => "+ACK".to_owned(),
            9..13 => "-NAK".to_owned(),
            13 => "+WPI".to_owned(),
            14 => "+TERM".to_owned(),
            15 | 16 => {
                let body = self.pull_body();
                format!("+NXT {body}")
            }
            17 => self
                .pick(&[
                    "-NAK {\"delay\":3600000000000}",
                    "-NAK 1h",
                    "-NAK soon",
                    "-NAK {\"delay\":\"1h\"}",
                    "-NAK{\"delay\":3600000000000}",
                    "-NAK  ",
                ])
                .to_owned(),
            18 => "+TERM because".to_owned(),
            _ => self
                .pick(&["+OK", "x", "+WPI ", "+ACK ", "-NAKx"])
                .to_owned(),
        };
        if self.chance(12) {
            let (count, seq, own) = (1 + self.below(3), self.seq(), self.seq());
            let subject = match self.below(8) {
                0 => format!("$JS.ACK.{stream}.{consumer}.1.x.1.1.0"),
                1 => format!("$JS.ACK.{stream}.{consumer}.1.0.0.1.0"),
                2 => format!("$JS.ACK.{stream}.{consumer}.1.{seq}.1.0"),
                3 => format!("$JS.ACK._.szMpdrwD.{stream}.{consumer}.{count}.{seq}.{own}.1.0"),
                4 => format!("$JS.ACK._.szMpdrwD.{stream}.{consumer}.{count}.{seq}.{own}.1.0.xyz"),
                _ => format!("$JS.ACK.{stream}.{consumer}.{count}.{seq}.{own}.1.0"),
            };
            let answered = self.chance(80);
            return self.message(&subject, "", &body, answered);
        }
        self.requests += 1;
        let answered = self.chance(60) || body.starts_with("+NXT");
        let reply = answered.then(|| format!("_INBOX.d.{}", self.requests));
        Step::Acknowledge {
            stream,
            consumer,
            back: self.pick(&[0, 0, 0, 1, 1, 2, 3, 5]),
            body,
            reply,
        }
    }

    fn publish_to(&mut self, subject: &str, reply: &str, body: &str) -> Step {
        self.requests += 1;
        Step::say(
            format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len()),
            true,
        )
    }

    /// Somebody listens where pulls are answered, or no longer.
    pub(super) fn pull_subscription(&mut self) -> Step {
        let line = if self.chance(60) {
            "SUB pl.1 9\r\n"
        } else {
            "UNSUB 9\r\n"
        };
        Step::say(format!("{line}PING\r\n"), true)
    }

    /// Pauses a consumer, or lets it go on.
    pub(super) fn pause(&mut self) -> Step {
        let (stream, name) = (self.stream(), self.consumer_name());
        let body = self.pick(&[
            "{\"pause_until\":\"2099-01-01T00:00:00Z\"}",
            "{\"pause_until\":\"2020-01-01T00:00:00Z\"}",
            "{\"pause_until\":\"soon\"}",
            "",
            "{}",
            "{\"bogus\":1}",
        ]);
        self.api(&format!("CONSUMER.PAUSE.{stream}.{name}"), body)
    }
}
