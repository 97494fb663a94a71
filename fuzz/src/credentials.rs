//! Files and texts of credentials.

use kv_proto::{NKey, UserCreds};

/// The whole input is a `.creds` file, and a seed.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let shown = match UserCreds::parse(text) {
        Ok(creds) => format!("{creds:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    hides(text, &shown);
    match NKey::from_seed(text.trim()) {
        Ok(key) => {
            hides(text, &format!("{key:?}"));
            assert!(key.public_key().starts_with('U'));
            let _ = key.sign(data);
        }
        Err(error) => hides(text, &format!("{error} {error:?}")),
    }
}

/// No piece of the text that is long enough to be a secret shows.
fn hides(text: &str, shown: &str) {
    for piece in text.split_whitespace().filter(|piece| piece.len() >= 24) {
        assert!(!shown.contains(piece), "{shown}");
    }
}
