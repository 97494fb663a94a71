//! Requests about consumers.

use kv_sim::server::Version;

use super::{Generator, Step};

impl Generator {
    pub(super) fn consumer_name(&mut self) -> String {
        format!("c{}", self.below(self.consumers.min(3) + 1))
    }

    pub(super) fn consumer(&mut self) -> Step {
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
            7 => config.push(
                "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2020-01-01T00:00:00Z\""
                    .to_owned(),
            ),
            8 => config.push("\"deliver_policy\":\"all\"".to_owned()),
            _ => config.push(
                self.pick(&[
                    "\"opt_start_seq\":5",
                    "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2099-01-01T00:00:00Z\"",
                    "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"soon\"",
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
            6 if self.chance(50) => {
                config.push(format!("\"filter_subjects\":[\"{filter}\",\"{other}\"]"))
            }
            6 => {
                let bucket = stream.trim_start_matches("KV_");
                config.push(format!("\"filter_subjects\":[\"$KV.{bucket}.a\",\"$KV.{bucket}.x.>\",\"$KV.{bucket}.d\"]"));
            }
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
            ("\"deliver_group\":\"qq\"", 3),
            ("\"max_waiting\":0", 5),
            ("\"headers_only\":false", 10),
            ("\"sample_freq\":\"10%\"", 1),
            ("\"idle_heartbeat\":-1", 1),
            ("\"inactive_threshold\":-1", 1),
            ("\"num_replicas\":-1", 1),
            ("\"max_deliver\":\"1\"", 1),
            ("\"num_replicas\":3", 2),
            ("\"bogus\":true", 2),
            ("\"durable_name\":\"c1\"", 5),
            ("\"name\":\"other\"", 3),
        ] {
            // 2.10 and 2.11 send heartbeats of a negative interval without a pause.
            let floods = self.version <= Version::V2_11 && member.contains("heartbeat\":-1");
            let lone = member.contains(":-1") || member.contains("deliver_group");
            let unfit = floods || (lone && self.replicas.is_some());
            if self.chance(percent) && !unfit {
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
            0 | 2 => format!("CONSUMER.CREATE.{stream}"),
            1 => format!("CONSUMER.DURABLE.CREATE.{stream}.{name}"),
            _ if tail.is_empty() => format!("CONSUMER.CREATE.{stream}.{name}"),
            _ => format!("CONSUMER.CREATE.{stream}.{name}.{tail}"),
        };
        self.leveled(&subject, &body)
    }

    pub(super) fn consumer_admin(&mut self) -> Step {
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
}
