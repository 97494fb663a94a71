//! Server URLs, which may hold secrets: with other ones, all that is shown is the same.

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
            let shown = |urls: &[ServerUrl]| {
                let config = Config::with_servers(urls.to_vec());
                format!("{urls:?} {config:?}")
            };
            let others: Vec<String> = text
                .split(',')
                .map(|url| other_secret(url.trim()))
                .collect();
            let others = ServerUrl::parse_list(&others.join(",")).expect("only the secrets differ");
            assert_eq!(shown(&urls), shown(&others), "secrets never show");
        }
        Err(error) => hides(text, &format!("{error} {error:?}")),
    }
}

/// The same URL with another password or token, if it has any.
fn other_secret(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + 3));
    let unix = scheme.eq_ignore_ascii_case("unix://");
    let authority = if unix { rest.find('/') } else { None }.unwrap_or(rest.len());
    let Some(at) = rest[..authority].rfind('@') else {
        return url.to_owned();
    };
    let (user_info, behind) = rest.split_at(at);
    let user = user_info.find(':').map_or(0, |colon| colon + 1);
    format!("{scheme}{}other{behind}", &user_info[..user])
}

/// What stands for a secret in the seeds of the corpus does not show in an error.
fn hides(text: &str, shown: &str) {
    const CANARY: &str = "c4n4ry";
    let before = text.rsplit_once('@').map_or("", |(before, _)| before);
    let before = before.split_once("://").map_or(before, |(_, rest)| rest);
    // A host may well have that name.
    let open = text.rsplit('@').next();
    let open = open.is_some_and(|part| part.contains(CANARY));
    if before.contains(CANARY) && !open && !text.contains(',') && !text.starts_with(CANARY) {
        assert!(!shown.contains(CANARY), "{shown}");
    }
}
