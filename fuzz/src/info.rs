//! The JSON with which a server introduces itself, before anybody has proved anything.

use kv_proto::{Limits, ServerInfo, ServerVersion};

/// The whole input is the JSON.
pub fn check(data: &[u8]) {
    let limits = Limits::default();
    if let Ok(info) = ServerInfo::parse(data, &limits) {
        assert!(format!("{info:?}").len() <= 64 * (data.len() + 1_024));
        let _ = info.version();
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = ServerVersion::parse(text);
    }
}
