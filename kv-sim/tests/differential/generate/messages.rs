//! Publishing and reading.

use super::{Generator, Step};

impl Generator {
    pub(super) fn put(&mut self) -> Step {
        let stream = self.stream();
        self.put_to(stream)
    }

    pub(super) fn put_to(&mut self, stream: &str) -> Step {
        let subject = self.subject(stream);
        let headers = self.conditions(stream);
        self.put_with(&subject, headers)
    }

    /// Headers that make a publish depend on what is stored.
    fn conditions(&mut self, stream: &str) -> String {
        let mut headers = String::new();
        if self.unconditional {
            return headers;
        }
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
        // 2.15.1 never stores again in a replicated stream where this failed ("critical write error").
        if self.chance(4) && self.replicas.is_none() {
            headers += &format!("Nats-Expected-Last-Msg-Id: id{}\r\n", self.ids);
        }
        if self.chance(4) {
            let name = self.pick(&[stream, "OTHER"]);
            headers += &format!("Nats-Expected-Stream: {name}\r\n");
        }
        headers
    }

    fn put_with(&mut self, subject: &str, mut headers: String) -> Step {
        if self.chance(20) {
            if self.chance(70) {
                self.ids += 1;
            }
            headers += &format!("Nats-Msg-Id: id{}\r\n", self.ids);
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
        let long = "l".repeat(1 + self.below(300));
        let payload = self.pick(&[
            "",
            "v",
            "value",
            "a longer value, of more bytes than fit",
            &long,
        ]);
        self.last_seq += 1;
        if self.replicas.is_none() && !self.unconditional && self.chance(2) {
            return self.strange_put(subject, payload);
        }
        if self.chance(2) {
            return self.message("$KV.A.a..b", &headers, payload, true);
        }
        let answered = self.chance(97);
        self.message(subject, &headers, payload, answered)
    }

    /// A publish whose header block is not as it should be; none of that is refused.
    fn strange_put(&mut self, subject: &str, payload: &str) -> Step {
        let block = self.pick(&[
            "NATS/1.0\r\n\r\n",
            "NATS/1.0 404 mine\r\n\r\n",
            "NATS/1.0 503\r\nA: b\r\n\r\n",
            "NATS/1.0\r\nNats-Msg-Id:id1\r\n\r\n",
            "NATS/1.0\r\nNats-Msg-Id:   id1  \r\n\r\n",
            "NATS/1.0\r\nNats-Msg-Id: id1\r\nNats-Msg-Id: id9\r\n\r\n",
            "NATS/1.0\r\nX-Nats-Msg-Id: id1\r\n\r\n",
            "NATS/1.0\r\nKV-Operation: DEL\r\nKV-Operation: PURGE\r\nEmpty:\r\n\r\n",
            "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 1\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n",
            "NATS/1.0\r\nname: \u{fc}ber\r\n\r\n",
        ]);
        self.block(subject, block, payload, true)
    }

    pub(super) fn expectation(&mut self) -> String {
        match self.below(12) {
            0..3 => "0".to_owned(),
            3 => self
                .pick(&["x", "", "-1", "1 ", " 1", "99999999999999999999999"])
                .to_owned(),
            _ => self.seq().to_string(),
        }
    }

    pub(super) fn direct_get(&mut self) -> Step {
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
            return self.leveled(&format!("DIRECT.GET.{stream}.{key}"), body);
        }
        let body = self.get_body(stream);
        self.leveled(&format!("DIRECT.GET.{stream}"), &body)
    }

    pub(super) fn get_body(&mut self, stream: &str) -> String {
        let subject = self.subject(stream);
        let filter = self.filter(stream);
        let seq = self.seq();
        let batch = self.pick(&[1, 2, 3, 10, 1000]);
        match self.below(24) {
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
            14 => {
                format!("{{\"start_time\":\"2020-01-01T00:00:00Z\",\"batch\":{batch}}}")
            }
            15 => format!("{{\"multi_last\":[\"{filter}\"],\"up_to_time\":\"2020-01-01T00:00:00Z\"}}"),
            16 => format!("{{\"multi_last\":[\"{filter}\"],\"up_to_time\":\"2099-01-01T00:00:00Z\"}}"),
            17 => format!("{{\"multi_last\":[\"{subject}\",\"{filter}\"],\"max_bytes\":{seq}0}}"),
            18 => format!("{{\"next_by_subj\":\"{filter}\",\"seq\":{seq},\"batch\":{batch},\"max_bytes\":70}}"),
            19 => format!("{{\"multi_last\":[\"{filter}\"],\"batch\":{batch},\"seq\":{seq},\"up_to_seq\":{seq}}}"),
            20 => format!("{{\"seq\":{seq},\"last_by_subj\":\"\",\"next_by_subj\":null}}"),
            21 => format!("{{\"next_by_subj\":\"{filter}\",\"batch\":{batch},\"no_hdr\":true}}"),
            22 => self
                .pick(&[
                    "{\"start_time\":\"2099-01-01T00:00:00Z\",\"batch\":2}",
                    "{\"multi_last\":[\"$KV.A.a\"],\"up_to_seq\":1,\"up_to_time\":\"2099-01-01T00:00:00Z\"}",
                    "{\"multi_last\":[\"$KV.A.a\"],\"last_by_subj\":\"$KV.A.a\"}",
                    "{\"multi_last\":[\"$KV.A.a\"],\"next_by_subj\":\"$KV.A.a\"}",
                    "{\"multi_last\":\"$KV.A.a\"}",
                    "{\"seq\":1,\"batch\":-1}",
                    "{\"seq\":1,\"start_time\":\"2020-01-01T00:00:00Z\"}",
                    "{\"up_to_seq\":3}",
                    "{\"start_time\":\"soon\",\"batch\":2}",
                ])
                .to_owned(),
            23 => self
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

    pub(super) fn message_get(&mut self) -> Step {
        let stream = self.stream();
        let body = self.get_body(stream);
        self.api(&format!("STREAM.MSG.GET.{stream}"), &body)
    }
}
