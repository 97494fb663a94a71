//! Server URLs, which may hold secrets.

use kv_proto::{Config, ServerUrl};

/// The whole input is a list of URLs.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match ServerUrl::parse_list(text) {
        Ok(urls) => {
            for url in &urls {
                let shown = url.addr().to_string();
                let again: ServerUrl = shown.parse().expect("what is shown parses");
                assert_eq!(again.addr(), url.addr(), "{shown:?}");
                assert!(url.addr().path().is_none() || url.addr().host().is_empty());
            }
            let config = Config::with_servers(urls.clone());
            hides(text, &format!("{urls:?} {config:?}"));
        }
        Err(error) => hides(text, &format!("{error} {error:?}")),
    }
}

/// What stands for a secret in the seeds of the corpus never shows.
fn hides(text: &str, shown: &str) {
    const CANARY: &str = "c4n4ry";
    let secret = text
        .split('@')
        .rev()
        .skip(1)
        .any(|part| part.contains(CANARY));
    let open = text
        .rsplit('@')
        .next()
        .is_some_and(|part| part.contains(CANARY));
    // A host or scheme may well have that name.
    if secret && !open && !text.contains(',') && !text.starts_with(CANARY) {
        assert!(!shown.contains(CANARY), "{shown}");
    }
}
