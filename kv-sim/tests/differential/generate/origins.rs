//! Mirrors and streams with sources, and what happens to their origins.
//!
//! Origins are made first and stay: a real server looks for one that is not there only every dozen seconds. Two
//! sources are given to a stream only while both are empty, as their messages come in no order.

use kv_sim::server::Version;

use super::{Generator, LOGIN, Step};

/// How long a real server may take to connect to an origin, and messages to arrive, in milliseconds.
const CONNECTING: u64 = 450;
const ARRIVING: u64 = 12;

const MIRROR: &str = "KV_M";
const SINK: &str = "KV_S";

impl Generator {
    /// A sequence with mirrors and sources.
    pub(crate) fn following_sequence(&mut self, length: usize) -> Vec<Step> {
        let direct = self.chance(30);
        // A mirror of 2.10 checks conditions again, and gets out of step with its origin when one fails here.
        self.unconditional = self.version == Version::V2_10;
        let mut steps = vec![Step::say(LOGIN, false)];
        steps.push(self.origin("KV_A", direct));
        steps.push(self.origin("KV_B", direct));
        if self.chance(30) {
            let sink = self.sink(2);
            self.make(&mut steps, SINK, &sink);
        }
        while steps.len() < length {
            self.follow_step(&mut steps, direct);
        }
        steps
    }

    fn follow_step(&mut self, steps: &mut Vec<Step>, direct: bool) {
        let origin = self.pick(&["KV_A", "KV_A", "KV_A", "KV_B"]);
        let follower = self.pick(&[MIRROR, SINK]);
        let step = match self.below(100) {
            0..40 => self.put_to(origin),
            40..43 => self.put_to(SINK),
            43..47 => self.purge_of(origin),
            47..50 => self.purge_of(follower),
            50..58 => {
                let mirror = self.mirror();
                return self.make(steps, MIRROR, &mirror);
            }
            58..64 => {
                let sink = self.sink(1);
                return self.make(steps, SINK, &sink);
            }
            64..68 => {
                let step = self.api(&format!("STREAM.DELETE.{follower}"), "");
                Step::say(step.text(), true)
            }
            68..82 => self.info_of(follower),
            82..90 => {
                let body = self.get_body(origin);
                self.api(&format!("STREAM.MSG.GET.{follower}"), &body)
            }
            90..95 => {
                let body = self.get_body(origin);
                self.api(&format!("DIRECT.GET.{follower}"), &body)
            }
            // Whether an origin or its mirror answers is chance.
            95..97 if direct => self.info_of(origin),
            95..97 => {
                let subject = self.subject(origin);
                self.api(&format!("DIRECT.GET.{origin}.{subject}"), "")
            }
            97 if is_settled(steps) => self.api("INFO", ""),
            _ => self.api("STREAM.LIST", ""),
        };
        steps.push(step);
        steps.push(Step::Settle(ARRIVING));
    }

    fn make(&mut self, steps: &mut Vec<Step>, name: &str, config: &str) {
        let verb = if self.chance(75) { "CREATE" } else { "UPDATE" };
        steps.push(self.api(&format!("STREAM.{verb}.{name}"), config));
        steps.push(Step::Settle(CONNECTING));
        steps.push(self.info_of(name));
    }

    fn info_of(&mut self, name: &str) -> Step {
        let body = self.pick(&["", "", "{\"subjects_filter\":\">\"}"]);
        self.api(&format!("STREAM.INFO.{name}"), body)
    }

    fn purge_of(&mut self, name: &str) -> Step {
        let seq = self.seq();
        let bodies = [
            String::new(),
            format!("{{\"seq\":{seq}}}"),
            "{\"filter\":\"$KV.*.a\"}".to_owned(),
            "{\"filter\":\"$KV.*.x.>\",\"keep\":1}".to_owned(),
        ];
        let at = self.below(bodies.len());
        self.api(&format!("STREAM.PURGE.{name}"), &bodies[at])
    }

    fn origin(&mut self, name: &str, direct: bool) -> Step {
        let bucket = name.trim_start_matches("KV_");
        let history = self.pick(&[1, 2, 5, -1]);
        let storage = self.pick(&["file", "memory"]);
        let mut more = self.extras(&[
            (",\"max_msgs\":5", 10),
            (",\"allow_msg_ttl\":true", 50),
            (",\"max_msg_size\":200", 10),
            (",\"allow_atomic\":true", 30),
        ]);
        if direct {
            more += ",\"allow_direct\":true";
        }
        let config = format!(
            "{{\"name\":\"{name}\",\"subjects\":[\"$KV.{bucket}.>\"],\"storage\":\"{storage}\",\"max_msgs_per_subject\":{history},\"allow_rollup_hdrs\":true{more}}}"
        );
        self.api(&format!("STREAM.CREATE.{name}"), &config)
    }

    fn mirror(&mut self) -> String {
        let source = self.source("KV_A", true);
        let more = self.follower();
        format!("{{\"name\":\"{MIRROR}\",\"mirror\":{source}{more}}}")
    }

    fn sink(&mut self, origins: usize) -> String {
        let names = ["KV_A", "KV_B"];
        let sources: Vec<String> = names[..origins]
            .iter()
            .map(|name| self.source(name, false))
            .collect();
        let mut more = self.follower();
        // Of a mirror that cannot store some message, a real server sometimes passes over the first such.
        more += &self.extras(&[(",\"max_msg_size\":100", 4)]);
        if self.chance(85) {
            more += ",\"subjects\":[\"$KV.S.>\"]";
        }
        let sources = sources.join(",");
        format!("{{\"name\":\"{SINK}\",\"sources\":[{sources}]{more}}}")
    }

    /// Members that any follower may have, and those that none can.
    fn follower(&mut self) -> String {
        let storage = self.pick(&["file", "memory"]);
        let more = self.extras(&[
            (",\"max_msgs_per_subject\":1", 30),
            (",\"max_msgs_per_subject\":3", 20),
            (",\"allow_rollup_hdrs\":true", 90),
            (",\"allow_msg_ttl\":true", 40),
            (",\"allow_direct\":true", 70),
            (",\"mirror_direct\":true", 15),
            (",\"max_msgs\":4", 10),
            (",\"max_age\":3600000000000", 5),
            (",\"first_seq\":7", 5),
            (",\"allow_atomic\":true", 5),
            (",\"subject_delete_marker_ttl\":5000000000", 3),
            (",\"duplicate_window\":60000000000", 5),
            (",\"republish\":{\"src\":\">\",\"dest\":\"R.>\"}", 5),
            (
                ",\"subject_transform\":{\"src\":\"$KV.*.a\",\"dest\":\"$KV.$1.a2\"}",
                8,
            ),
        ]);
        format!(",\"storage\":\"{storage}\"{more}")
    }

    fn source(&mut self, name: &str, mirror: bool) -> String {
        let bucket = name.trim_start_matches("KV_");
        let seq = self.seq();
        let mut out = match self.below(40) {
            0 => "{\"name\":\"\"".to_owned(),
            1 => "{\"name\":\"a.b\"".to_owned(),
            2 if mirror => format!("{{\"name\":\"{MIRROR}\""),
            _ => format!("{{\"name\":\"{name}\""),
        };
        if self.chance(12) {
            out += &format!(",\"opt_start_seq\":{seq}");
        }
        if self.chance(6) {
            out += ",\"opt_start_time\":\"2020-01-01T00:00:00Z\"";
        }
        let target = if mirror { "A2" } else { "S" };
        match self.below(24) {
            0..6 => {}
            6..9 => out += &format!(",\"filter_subject\":\"$KV.{bucket}.x.>\""),
            9 => out += ",\"filter_subject\":\"a..b\"",
            10..16 => {
                out += &format!(
                    ",\"subject_transforms\":[{{\"src\":\"$KV.{bucket}.>\",\"dest\":\"$KV.{target}.>\"}}]"
                );
            }
            16..18 => {
                out += &format!(
                    ",\"subject_transforms\":[{{\"src\":\"$KV.{bucket}.*\",\"dest\":\"$KV.{target}.one.$1\"}},{{\"src\":\"$KV.{bucket}.x.*\",\"dest\":\"$KV.{target}.{{{{wildcard(1)}}}}.x\"}}]"
                );
            }
            18 => {
                out += &format!(
                    ",\"subject_transforms\":[{{\"src\":\"$KV.{bucket}.x.>\",\"dest\":\"\"}}]"
                );
            }
            // 2.10 keeps a source that it refuses in an update.
            19 if self.version > Version::V2_10 => {
                let dest = self.pick(&[
                    "{{partition(3,1)}}.$1",
                    "{{split(1,x)}}",
                    "{{left(1,2)}}",
                    "{{nonsense(1)}}",
                    "{{wildcard(9)}}",
                    "{{wildcard()}}",
                    "$1.$2",
                    "b.*",
                    "a..b",
                    "x y",
                    "{{slicefromleft(1,2)}}",
                    "{{splitFromRight(1,2)}}",
                    "{{partition(3)}}",
                    "{{wildcard(1,2)}}",
                ]);
                out += &format!(
                    ",\"subject_transforms\":[{{\"src\":\"$KV.{bucket}.*\",\"dest\":\"{dest}\"}}]"
                );
            }
            20 => {
                out += &format!(
                    ",\"filter_subject\":\"a\",\"subject_transforms\":[{{\"src\":\"$KV.{bucket}.>\",\"dest\":\"x.>\"}}]"
                );
            }
            21 => {
                out += &format!(
                    ",\"subject_transforms\":[{{\"src\":\"$KV.{bucket}.>\",\"dest\":\"x.>\"}},{{\"src\":\"$KV.{bucket}.a\",\"dest\":\"y\"}}]"
                );
            }
            19 => {}
            22 => out += ",\"subject_transforms\":[{\"src\":\"a..b\",\"dest\":\"c\"}]",
            _ => {
                let api = self.pick(&["$JS.hub.API", "$JS.API", "a.*", ""]);
                out += &format!(",\"external\":{{\"api\":\"{api}\",\"deliver\":\"\"}}");
            }
        }
        out + "}"
    }

    fn extras(&mut self, members: &[(&str, usize)]) -> String {
        let mut out = String::new();
        for (member, percent) in members {
            if self.chance(*percent) {
                out += member;
            }
        }
        out
    }
}

/// Whether no follower was made twice, or deleted: then a real server counts its consumer for a while.
fn is_settled(steps: &[Step]) -> bool {
    let about = |step: &Step, verb: &str, name: &str| {
        step.text().contains(&format!(".STREAM.{verb}.{name} "))
    };
    [MIRROR, SINK].iter().all(|name| {
        let made = |step: &&Step| about(step, "CREATE", name) || about(step, "UPDATE", name);
        let deleted = |step: &Step| about(step, "DELETE", name);
        steps.iter().filter(made).count() < 2 && !steps.iter().any(deleted)
    })
}
