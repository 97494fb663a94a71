//! What answers tell about the messages of a stream.

use super::Stream;
use super::config::Storage;
use crate::server::json::Writer;

impl Stream {
    /// The `state` of an answer.
    pub(crate) fn state_json(&self, deleted: bool, subjects: Option<&str>) -> String {
        let store = &self.store;
        let mut out = Writer::object();
        out.number("messages", store.len())
            .number("bytes", store.bytes())
            .number("first_seq", store.first_seq())
            .time("first_ts", store.first_time())
            .number("last_seq", store.last_seq())
            .time("last_ts", store.last_time())
            .some_number("num_subjects", store.subject_count());
        if let Some(subjects) = subjects {
            out.raw("subjects", subjects);
        }
        if deleted && self.config.storage == Storage::File && store.last_seq() == 0 {
            // The file store of a stream that was never used says so when asked for details.
            out.raw("num_deleted", "1").raw("deleted", "[0]");
        } else {
            out.some_number("num_deleted", store.deleted_count());
        }
        if deleted && store.deleted_count() > 0 {
            let gaps: Vec<String> = store.deleted().iter().map(u64::to_string).collect();
            out.raw("deleted", &format!("[{}]", gaps.join(",")));
        }
        out.number("consumer_count", self.consumers.len());
        out.end()
    }
}
