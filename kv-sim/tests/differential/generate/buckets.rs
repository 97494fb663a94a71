//! The configurations of buckets as the clients of the field, and ours, write them.

use super::Generator;

impl Generator {
    /// A bucket's configuration in the words of one of the clients.
    pub(super) fn bucket(&mut self, name: &str) -> String {
        let bucket = name.trim_start_matches("KV_");
        let history = self.pick(&[1, 1, 1, 2, 5, 10, 64]);
        let max_bytes = self.pick(&[-1_i64, -1, -1, 0, 1_048_576, 500]);
        let max_size = self.pick(&[-1, -1, -1, 0, 1024, 120]);
        let max_age = self.pick(&[0_i64, 0, 0, 3_600_000_000_000, 7_200_000_000_000]);
        let storage = self.pick(&["file", "memory"]);
        let window = self.pick(&[120_000_000_000_i64, 60_000_000_000]);
        let mut extra = String::new();
        for (member, percent) in [
            (",\"description\":\"a bucket\"", 20),
            (",\"metadata\":{\"team\":\"a\"}", 15),
            (",\"compression\":\"s2\"", 15),
            (",\"compression\":\"none\"", 20),
            (
                ",\"republish\":{\"src\":\"\\u003e\",\"dest\":\"R.\\u003e\"}",
                10,
            ),
            (
                ",\"republish\":{\"src\":\">\",\"dest\":\"R.>\",\"headers_only\":true}",
                5,
            ),
            (",\"placement\":{\"cluster\":\"c1\",\"tags\":[\"a\"]}", 4),
            (",\"placement\":{\"cluster\":\"\"}", 3),
            (",\"placement\":{\"preferred\":\"x\"}", 1),
            (",\"allow_msg_ttl\":true", 15),
            (
                ",\"allow_msg_ttl\":true,\"subject_delete_marker_ttl\":60000000000",
                15,
            ),
            (",\"mirror\":null,\"sources\":null", 3),
        ] {
            if self.chance(percent) {
                extra += member;
            }
        }
        match self.below(6) {
            0 => format!(
                "{{\"name\":\"{name}\",\"subjects\":[\"$KV.{bucket}.\\u003e\"],\"retention\":\"limits\",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":{max_bytes},\"discard\":\"new\",\"max_age\":{max_age},\"max_msgs_per_subject\":{history},\"max_msg_size\":{max_size},\"storage\":\"{storage}\",\"num_replicas\":1,\"duplicate_window\":{window},\"deny_delete\":true,\"allow_rollup_hdrs\":true,\"allow_direct\":true,\"mirror_direct\":false,\"consumer_limits\":{{}}{extra}}}"
            ),
            1 => format!(
                "{{\"name\":\"{name}\",\"max_bytes\":0,\"max_msgs\":0,\"max_msgs_per_subject\":{history},\"discard\":\"new\",\"subjects\":[\"$KV.{bucket}.>\"],\"retention\":\"limits\",\"max_consumers\":0,\"max_age\":{max_age},\"storage\":\"{storage}\",\"num_replicas\":1,\"description\":\"\",\"allow_rollup_hdrs\":true,\"deny_delete\":true,\"allow_direct\":true,\"consumer_limits\":null{extra}}}"
            ),
            2 => format!(
                "{{\"name\":\"{name}\",\"retention\":\"limits\",\"max_msgs_per_subject\":{history},\"max_bytes\":{max_bytes},\"max_msg_size\":{max_size},\"storage\":\"{storage}\",\"subjects\":[\"$KV.{bucket}.>\"],\"discard\":\"new\",\"allow_direct\":true,\"num_replicas\":1,\"allow_rollup_hdrs\":true{extra}}}"
            ),
            3 => format!(
                "{{\"max_age\": {max_age}, \"max_bytes\": {max_bytes}, \"max_consumers\": -1, \"max_msgs\": -1, \"max_msg_size\": {max_size}, \"num_replicas\": 1, \"retention\": \"limits\", \"storage\": \"{storage}\", \"allow_direct\": true, \"allow_rollup_hdrs\": true, \"deny_delete\": true, \"discard\": \"new\", \"duplicate_window\": {window}, \"max_msgs_per_subject\": {history}, \"name\": \"{name}\", \"subjects\": [\"$KV.{bucket}.>\"]{extra}}}"
            ),
            4 => format!(
                "{{\"name\":\"{name}\",\"deny_purge\":false,\"subjects\":[\"$KV.{bucket}.>\"],\"allow_rollup_hdrs\":true,\"deny_delete\":true,\"max_msgs_per_subject\":{history},\"discard\":\"new\",\"retention\":\"limits\"{extra}}}"
            ),
            _ => format!(
                "{{\"name\":\"{name}\",\"subjects\":[\"$KV.{bucket}.>\"],\"retention\":\"limits\",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":{max_bytes},\"max_age\":{max_age},\"max_msg_size\":{max_size},\"max_msgs_per_subject\":{history},\"discard\":\"new\",\"storage\":\"{storage}\",\"num_replicas\":1,\"deny_delete\":true,\"allow_rollup_hdrs\":true,\"allow_direct\":true,\"first_seq\":0{extra}}}"
            ),
        }
    }
}
