//! How far the streams of buckets have come, as far as this client was told, and when they lost their ends.
//!
//! A stream that shows less than its clients were told of has lost its end: what it had accepted is gone, and its
//! revisions are given to others. Whatever is concluded from what such a stream holds is then no proof of what it
//! did not hold before. Once it has grown beyond what a client knows, that client cannot tell.

use alloc::collections::VecDeque;

use crate::kv::binding::Binding;
use crate::time::Instant;

/// More buckets than anybody writes to at a time; what is forgotten proves nothing.
const MAX_KNOWN: usize = 32;

/// What is known of one life of a bucket.
#[derive(Debug)]
struct End {
    bucket: Binding,
    /// The highest revision that was acknowledged or told.
    reached: u64,
    /// When the loss of its end was last noticed.
    lost: Option<Instant>,
}

/// What is known of all buckets.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// The oldest first.
    known: VecDeque<End>,
}

impl Ends {
    /// Notes that a revision was acknowledged or told.
    pub(crate) fn note(&mut self, bucket: &Binding, revision: u64) {
        self.change(bucket, |end| end.reached = end.reached.max(revision));
    }

    /// How far the stream of a bucket is known to have come.
    pub(crate) fn reached(&self, bucket: &Binding) -> u64 {
        let mut known = self.known.iter();
        let end = known.find(|end| end.bucket == *bucket);
        end.map_or(bucket.last_seq(), |end| end.reached)
    }

    /// Notes where the stream of a bucket ends.
    pub(crate) fn see(&mut self, bucket: &Binding, last: u64, now: Instant) {
        self.change(bucket, |end| {
            if last < end.reached {
                end.reached = last;
                end.lost = Some(now);
            }
        });
    }

    /// Whether a stream is known to have lost its end at some moment or later.
    pub(crate) fn lost_since(&self, bucket: &Binding, moment: Instant) -> bool {
        let mut known = self.known.iter();
        known.any(|end| end.bucket == *bucket && end.lost.is_some_and(|lost| lost >= moment))
    }

    /// Changes what is known of a bucket.
    fn change(&mut self, bucket: &Binding, change: impl FnOnce(&mut End)) {
        if let Some(end) = self.known.iter_mut().find(|end| end.bucket == *bucket) {
            return change(end);
        }
        let mut end = End {
            bucket: bucket.clone(),
            reached: bucket.last_seq(),
            lost: None,
        };
        change(&mut end);
        if self.known.len() >= MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(end);
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use core::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::js::subject::ApiPrefix;

    /// A bucket whose stream had come to 2 when it was opened.
    fn bucket(name: &str, second: u32) -> Binding {
        let info = json!({
            "config": {"name": format!("KV_{name}"), "max_msgs_per_subject": 1},
            "created": format!("2026-11-23T19:10:{second:02}Z"), "state": {"last_seq": 2},
        });
        let info = serde_json::from_value(info).expect("a stream");
        Binding::from_info(&ApiPrefix::default(), info).expect("a bucket")
    }

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(seconds)
    }

    #[test]
    fn an_end_below_what_was_told_is_a_loss_until_then() {
        let (mut ends, bucket, other) = (Ends::default(), bucket("b", 1), bucket("b", 2));
        assert_eq!(ends.reached(&bucket), 2);
        ends.see(&bucket, 3, at(1));
        assert_eq!(ends.reached(&bucket), 2, "what is seen was not told");
        ends.note(&bucket, 5);
        ends.note(&bucket, 4);
        assert_eq!(ends.reached(&bucket), 5);
        ends.see(&bucket, 5, at(2));
        ends.see(&other, 2, at(2));
        assert!(!ends.lost_since(&bucket, at(0)));
        ends.see(&bucket, 4, at(3));
        ends.see(&bucket, 4, at(4));
        assert_eq!(ends.reached(&bucket), 4);
        let lost = [2, 3, 4].map(|moment| ends.lost_since(&bucket, at(moment)));
        assert_eq!(lost, [true, true, false]);
        assert!(!ends.lost_since(&other, at(0)), "another life");
        ends.note(&bucket, 6);
        ends.see(&bucket, 5, at(5));
        assert!(ends.lost_since(&bucket, at(5)));
        ends.see(&other, 1, at(6));
        assert!(ends.lost_since(&other, at(6)), "it had come to 2");
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut ends = Ends::default();
        let first = bucket("first", 1);
        ends.note(&first, 5);
        for number in 1..=MAX_KNOWN {
            ends.note(&bucket(&format!("b{number}"), 1), 5);
        }
        assert_eq!(ends.known.len(), MAX_KNOWN);
        assert_eq!(ends.reached(&first), 2);
    }
}
