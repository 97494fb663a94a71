//! Requests about streams.

use kv_sim::server::Version;

use super::{Generator, STREAMS, Step};

impl Generator {
    fn config(&mut self, name: &str) -> String {
        if self.replicas.is_none() && self.chance(40) {
            return self.bucket(name);
        }
        let bucket = name.trim_start_matches("KV_");
        let mut members = vec![format!("\"name\":\"{name}\"")];
        match self.below(40) {
            0 => {}
            1 => members.push(format!(
                "\"subjects\":[\"$KV.{bucket}.a\",\"$KV.{bucket}.x.*\"]"
            )),
            2 => members.push(format!(
                "\"subjects\":[\"$KV.{bucket}.a\",\"$KV.{bucket}.*\"]"
            )),
            3 => members.push(format!(
                "\"subjects\":[\"$KV.{bucket}.>\",\"other.{bucket}\"]"
            )),
            _ => members.push(format!("\"subjects\":[\"$KV.{bucket}.>\"]")),
        }
        if self.chance(90) {
            let history = self.pick(&[1, 1, 2, 3, 5, 0, -1]);
            members.push(format!("\"max_msgs_per_subject\":{history}"));
        }
        let storage = self.pick(&["memory", "memory", "file"]);
        members.push(format!("\"storage\":\"{storage}\""));
        if self.pulls && self.chance(25) && self.replicas.is_none() {
            let retention = self.pick(&["interest", "workqueue"]);
            members.push(format!("\"retention\":\"{retention}\""));
        }
        for (member, percent) in [
            ("\"discard\":\"new\"", 60),
            ("\"allow_direct\":true", 85),
            ("\"allow_rollup_hdrs\":true", 80),
            ("\"deny_delete\":true", 40),
            ("\"deny_purge\":true", 4),
            ("\"retention\":\"limits\"", 15),
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
            (
                "\"consumer_limits\":{\"inactive_threshold\":300000000000}",
                3,
            ),
            ("\"consumer_limits\":{\"max_ack_pending\":5}", 1),
            ("\"consumer_limits\":{\"bogus\":5}", 1),
            ("\"placement\":{}", 1),
            ("\"placement\":{\"tags\":[\"x\",\"y\"]}", 2),
            ("\"placement\":{\"bogus\":1}", 1),
            ("\"max_msgs\":-5", 1),
            ("\"max_consumers\":-2", 1),
            ("\"discard\":\"newer\"", 1),
            ("\"storage\":7", 1),
            ("\"pedantic\":false", 2),
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
            ("\"allow_atomic\":true", 40),
            ("\"persist_mode\":\"async\"", 1),
            ("\"persist_mode\":\"default\"", 1),
            (
                "\"subject_transform\":{\"src\":\"$KV.*.x.>\",\"dest\":\"$KV.$1.y.>\"}",
                3,
            ),
            (
                "\"subject_transform\":{\"src\":\"$KV.*.*\",\"dest\":\"$KV.$1.{{partition(3,2)}}.$2\"}",
                2,
            ),
            (
                "\"subject_transform\":{\"src\":\"$KV.*\",\"dest\":\"$KV.$2\"}",
                1,
            ),
            ("\"subject_transform\":{\"src\":\"a..b\",\"dest\":\"c\"}", 1),
            ("\"subject_transform\":{\"src\":\"$KV.>\",\"dest\":\"\"}", 1),
            ("\"subject_delete_marker_ttl\":5000000000", 10),
            ("\"subject_delete_marker_ttl\":5", 1),
        ] {
            let chosen = self.chance(percent);
            if chosen && (self.replicas.is_none() || is_for_clusters(member)) {
                members.push(member.to_owned());
            }
        }
        if let Some(replicas) = self.replicas {
            members.push(format!("\"num_replicas\":{replicas}"));
        }
        format!("{{{}}}", members.join(","))
    }

    pub(super) fn create_stream(&mut self) -> Step {
        let name = self.stream();
        let config = self.config(name);
        let at = if self.chance(97) { name } else { "OTHER" };
        self.leveled(&format!("STREAM.CREATE.{at}"), &config)
    }

    pub(super) fn update_stream(&mut self) -> Step {
        let name = self.stream();
        let config = self.config(name);
        self.api(&format!("STREAM.UPDATE.{name}"), &config)
    }

    pub(super) fn stream_info(&mut self) -> Step {
        let stream = self.stream();
        let filter = self.filter(stream);
        let offset = self.below(4);
        let body = match self.below(9) {
            0..3 => String::new(),
            3 => format!("{{\"subjects_filter\":\"{filter}\"}}"),
            4 => "{\"subjects_filter\":\">\"}".to_owned(),
            5 => format!("{{\"subjects_filter\":\">\",\"offset\":{offset}}}"),
            6 => "{\"deleted_details\":true}".to_owned(),
            7 => format!(
                "{{\"deleted_details\": false, \"subjects_filter\": \"{filter}\", \"offset\": null}}"
            ),
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
        self.leveled(&format!("STREAM.INFO.{stream}"), &body)
    }

    pub(super) fn purge(&mut self) -> Step {
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

    pub(super) fn delete_message(&mut self) -> Step {
        let stream = self.stream();
        let seq = self.seq();
        // 2.10 loses track of a subject whose newest message was deleted; KV streams deny it anyway.
        let seq = if self.version == Version::V2_10 {
            900
        } else {
            seq
        };
        // 2.10 gives up a replicated stream of which a sequence beyond its end is to be deleted.
        let fatal = self.version == Version::V2_10 && self.replicas.is_some();
        let body = match self.below(8) {
            0 => self.pick(&["", "{}", "x", "{\"nope\":1}"]).to_owned(),
            _ if fatal => "x".to_owned(),
            1 => format!("{{\"seq\":{seq},\"no_erase\":true}}"),
            _ => format!("{{\"seq\":{seq}}}"),
        };
        self.api(&format!("STREAM.MSG.DELETE.{stream}"), &body)
    }

    pub(super) fn lists(&mut self) -> Step {
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
            "{\"subject\":\"$KV.*.\\u003e\"}",
            "{\"subject\":\"*.A.>\"}",
            "{\"subject\":\">\",\"offset\":1}",
            "{\"offset\":-1}",
            "{\"offset\":null,\"subject\":null}",
            "{\"subject\":\"..\"}",
        ]);
        // A negative offset ends a server of 2.10 or 2.11.
        let old = self.version <= Version::V2_11 || self.replicas.is_some();
        let ends = old && body.contains("-1");
        self.api(verb, if ends { "{}" } else { body })
    }

    pub(super) fn delete_stream(&mut self) -> Step {
        let stream = self.pick(&STREAMS);
        let body = self.pick(&["", "", "{}", " {} ", "x", "{\"a\":1}", "null"]);
        let step = self.api(&format!("STREAM.DELETE.{stream}"), body);
        Step::say(step.text(), true)
    }
}

/// Whether a member of a configuration means the same for a replicated stream, whose number of replicas
/// is given.
fn is_for_clusters(member: &str) -> bool {
    let others = [
        "num_replicas",
        "placement",
        ":-",
        "newer",
        ":7",
        "consumer_limits\":{\"",
        "pedantic",
        "persist_mode",
        "subject_transform",
    ];
    !others.iter().any(|other| member.contains(other))
}
