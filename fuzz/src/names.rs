//! Keys, filters, bucket names and subjects: what is accepted can stand in a subject as it is.

use kv_proto::{BucketName, Key, KeyFilter, Subject};

/// The whole input is the name.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(key) = Key::new(text) {
        assert_eq!(key.as_ref(), text);
        is_safe(text, false);
        assert!(KeyFilter::new(text).is_ok(), "a key filters itself");
    }
    if let Ok(bucket) = BucketName::new(text) {
        assert_eq!(bucket.as_ref(), text);
        is_safe(text, false);
        assert!(!text.contains('.'), "a bucket is one token");
    }
    if let Ok(subject) = Subject::new(text) {
        assert_eq!(&*subject, text);
        is_safe(text, subject.is_wild());
    }
    if let Ok(filter) = KeyFilter::new(text) {
        let shown = filter.to_string();
        is_safe(&shown, true);
        assert_eq!(KeyFilter::new(&shown).as_ref(), Ok(&filter));
    }
}

fn is_safe(text: &str, wild: bool) {
    let foreign = |c: char| c.is_ascii_whitespace() || c.is_ascii_control();
    assert!(!text.is_empty() && !text.contains(foreign), "{text:?}");
    assert!(text.split('.').all(|token| !token.is_empty()), "{text:?}");
    assert!(wild || !text.contains(['*', '>']), "{text:?}");
}
