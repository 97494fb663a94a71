//! Who is told a password: nobody who could be overheard, unless that is allowed.

use bytes::{Buf, BytesMut};
use kv_proto::{
    Authentication, Config, ConnectError, Credentials, Disconnect, Instant, LinkAction, LinkId,
    Seed, Session, Signature,
};

const NOW: Instant = Instant::ORIGIN;

const GREETING: &str = "INFO {\"headers\":true,\"auth_required\":true,\"nonce\":\"sign-this\"}\r\n";

/// What is said to a server, by whom it is asked to say it, and how the last connection ended.
fn said(config: Config, asked: &Credentials, greeting: &str) -> (Vec<u8>, Session) {
    let mut session = Session::new(NOW, config, Seed::from_u64(1));
    let mut said = Vec::new();
    while let Some(action) = session.poll_link() {
        match action {
            LinkAction::Dial { link, .. } => {
                session.handle_dialed(NOW, link);
                let mut input = BytesMut::from(greeting);
                session.handle_input(NOW, link, &mut input);
                said.extend(take(&mut session, link));
            }
            LinkAction::Secure { link, .. } => {
                session.handle_secured(NOW, link);
                said.extend(take(&mut session, link));
            }
            LinkAction::Authenticate { link, .. } => {
                session.handle_credentials(NOW, link, asked);
                said.extend(take(&mut session, link));
            }
            _ => {}
        }
    }
    (said, session)
}

fn take(session: &mut Session, link: LinkId) -> Vec<u8> {
    let mut output = session.transmit(link);
    let len = output.remaining();
    output.copy_to_bytes(len).to_vec()
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    let mut windows = bytes.windows(needle.len());
    windows.any(|window| window == needle.as_bytes())
}

/// What can be used again by whoever overhears it, and what cannot.
fn ways_to_log_in() -> [(bool, Credentials); 6] {
    let signature = Signature::from_bytes([7; 64]);
    let user = "me".to_owned();
    let password = "canary".into();
    let public_key = "U-canary".to_owned();
    let jwt = |signature| Credentials::Jwt {
        jwt: "canary".into(),
        signature,
    };
    [
        (true, Credentials::UserPassword { user, password }),
        (true, Credentials::Token("canary".into())),
        (true, jwt(None)),
        (false, jwt(Some(signature))),
        (
            false,
            Credentials::NKey {
                public_key,
                signature,
            },
        ),
        (false, Credentials::None),
    ]
}

/// Every way to log in, configured or asked for, at hosts that are here and at others, which may look like it:
/// a password goes to another machine inside of TLS, or where that was allowed; and not a byte goes there before.
#[test]
fn a_password_is_overheard_by_nobody() {
    let here = [
        "localhost",
        "LOCALHOST.",
        "127.0.0.1",
        "127.8.9.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "unix:///run/nats.sock",
    ];
    let elsewhere = [
        "nats.example.org",
        "localhost.example.org",
        "db.localhost",
        "notlocalhost",
        "127.0.0.1.example.org",
        "128.0.0.1",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[fe80::1%lo]",
    ];
    let places = here.map(|host| (true, host)).into_iter();
    for (local, host) in places.chain(elsewhere.map(|host| (false, host))) {
        for (reusable, credentials) in ways_to_log_in() {
            for fixed in [true, false] {
                let config = || {
                    Config::new(host).unwrap().authentication(match fixed {
                        true => Authentication::Fixed(credentials.clone()),
                        false => Authentication::Asked,
                    })
                };
                let (told, session) = said(config(), &credentials, GREETING);
                if reusable && !local {
                    assert_eq!(told, b"", "{host} {credentials:?}");
                    let why = ConnectError::Failed(Disconnect::InClear);
                    assert_eq!(session.failure(), Some(&why), "{host}");
                } else {
                    assert!(contains(&told, "CONNECT"), "{host} {credentials:?}");
                }
                let (told, _) = said(config().allow_passwords_in_clear(), &credentials, GREETING);
                assert!(contains(&told, "CONNECT"), "{host} {credentials:?}");
                let secured = GREETING.replace('{', "{\"tls_required\":true,");
                let (told, _) = said(config().require_tls(), &credentials, &secured);
                assert!(contains(&told, "CONNECT"), "{host} {credentials:?}");
            }
        }
    }
}

/// Nor a password of a URL, and nobody is told that of another server.
#[test]
fn a_password_of_a_url_is_for_that_server_alone() {
    for (urls, words) in [
        ("me:canary@one", ""),
        ("canary@one", ""),
        ("tls://me:canary@one", ""),
        ("me:canary@localhost", "canary"),
    ] {
        let (told, _) = said(Config::new(urls).unwrap(), &Credentials::None, GREETING);
        assert_eq!(contains(&told, "CONNECT"), !words.is_empty(), "{urls}");
        assert_eq!(contains(&told, "canary"), !words.is_empty(), "{urls}");
    }
    // The second server is announced by the first one, and asks for a password as well.
    let config = Config::new("me:canary@localhost").unwrap();
    let greeting = GREETING.replace('{', "{\"connect_urls\":[\"me:pw@127.0.0.2:1\"],");
    let mut session = Session::new(NOW, config.retry_first_connect(true), Seed::from_u64(1));
    let mut told = Vec::new();
    for _ in 0..2 {
        let dial = std::iter::from_fn(|| session.poll_link()).find_map(|action| match action {
            LinkAction::Dial { link, server } => Some((link, server.to_string())),
            _ => None,
        });
        let (link, server) = dial.unwrap();
        session.handle_dialed(NOW, link);
        session.handle_input(NOW, link, &mut BytesMut::from(&*greeting));
        told.push((server, take(&mut session, link)));
        session.handle_input(NOW, link, &mut BytesMut::from("-ERR 'x'\r\n"));
    }
    assert_eq!(told[0].0, "localhost:4222");
    assert!(contains(&told[0].1, "canary"));
    assert_eq!(told[1].0, "127.0.0.2:1");
    let second = String::from_utf8_lossy(&told[1].1).into_owned();
    assert!(second.starts_with("CONNECT"), "{second}");
    assert!(
        !second.contains("canary") && !second.contains("pw"),
        "{second}"
    );
}
