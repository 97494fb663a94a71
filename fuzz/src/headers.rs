//! Header blocks of messages, which are written by whoever writes to a bucket.

use kv_proto::Limits;
use kv_proto::wire::Headers;

/// The whole input is the block.
pub fn check(data: &[u8]) {
    for most in [Limits::default().max_header_lines, 3] {
        let limits = Limits {
            max_header_lines: most,
            ..Limits::default()
        };
        let headers = Headers::parse(data, &limits);
        let mut fields = headers.iter();
        let mut count = 0;
        for (name, value) in fields.by_ref() {
            count += 1;
            for part in [name, value] {
                assert!(lies_in(part, data), "copied from elsewhere");
                assert!(!part.contains(&b'\r') && !part.contains(&b'\n'));
            }
            assert!(!name.is_empty());
            let name = std::str::from_utf8(name);
            if let Ok(name) = name {
                assert!(headers.first(name).is_some() && headers.last(name).is_some());
            }
        }
        assert!(
            count <= most || headers.defect().is_some(),
            "too many lines are a defect"
        );
        assert_eq!(
            headers.defect(),
            fields.defect(),
            "a defect is told wherever one looks"
        );
        if let Some(status) = headers.status() {
            assert!(status.code <= 999 && lies_in(status.description, data));
        }
    }
}

fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.as_ptr_range().contains(&part.as_ptr())
}
