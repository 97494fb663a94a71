//! Subscriptions, plain messages, and requests that make no sense.

use super::{Generator, Step};

impl Generator {
    pub(super) fn subscription(&mut self) -> Step {
        let line = match self.below(10) {
            0..6 => {
                self.sids += 1;
                let subject = self.pick(&[
                    "dv.1",
                    "dv.2",
                    "dv.3",
                    "dv.1",
                    "dv.*",
                    "$KV.A.>",
                    "R.>",
                    "dv.2",
                    "core.*",
                    "core.a",
                    "$JS.API.STREAM.INFO.*",
                    "$KV.*.a",
                    "core.>",
                ]);
                format!("SUB {subject} {}\r\n", self.sids)
            }
            6 => {
                self.sids += 1;
                let subject = self.pick(&["core.q", "core.q", "dv.1"]);
                format!("SUB {subject} qq {}\r\n", self.sids)
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

    pub(super) fn core(&mut self) -> Step {
        match self.below(4) {
            0 => self.request("core.nobody", "x"),
            1 => self.message("core.a", "", "hello", true),
            2 => self.message("core.q", "A: b\r\n", "hello", true),
            _ => self.message("core.a", "", "hello", false),
        }
    }

    pub(super) fn oddity(&mut self) -> Step {
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
            "$JS.API.STREAM.PURGE.KV_A",
            "$JS.API.CONSUMER.NAMES.KV_A",
            "$JS.API.CONSUMER.LIST.KV_A",
            "$JS.API.STREAM.MSG.GET",
            "$JS.API.STREAM.MSG.GET.KV_A",
            "$JS.API.CONSUMER.DELETE.KV_A.c1",
            "$JS.API.INFO",
            "$JS.API.INFO.x",
            "$SYS.REQ.USER.INFO",
            "$SYS.REQ.USER.INFO",
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
