//! Times of servers as text, and the arithmetic of deadlines.

use std::time::Duration;

use kv_proto::{Instant, Timestamp};

use crate::input::Input;

/// The whole input is a time as text, and numbers.
pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(time) = Timestamp::parse_rfc3339(text)
    {
        let shown = time.to_string();
        assert_eq!(Timestamp::parse_rfc3339(&shown), Some(time), "{shown}");
    }
    let mut input = Input::new(data);
    let (at, length) = (input.number(), input.number());
    let (now, span) = (Instant::from_nanos(at), Duration::from_nanos(length));
    let later = now + span;
    assert!(later >= now);
    assert!(later.saturating_duration_since(now) <= span);
    assert_eq!(now.saturating_duration_since(later), Duration::ZERO);
    assert_eq!(now + Duration::MAX, Instant::END);
}
