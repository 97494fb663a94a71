//! Which links become TLS, when, and that nothing is said before: whatever a server says, and in whatever
//! order the embedder calls.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::embedder::{config, law_holds, laws, link_error, seconds};
use bytes::{Buf, BytesMut};
use kv_proto::{
    Config, ConnectError, Credentials, Disconnect, Instant, LinkAction, LinkErrorKind, LinkId,
    ProtocolError, Seed, Session,
};
use proptest::prelude::*;

const REQUIRED: &str = r#"INFO {"headers":true,"tls_required":true,"connect_urls":["evil:1"]}"#;
const AVAILABLE: &str = r#"INFO {"headers":true,"tls_available":true}"#;
const PLAIN: &str = r#"INFO {"headers":true,"tls_required":false}"#;

const NOW: Instant = Instant::ORIGIN;

/// A session and its first link.
struct Dialled {
    session: Session,
    link: LinkId,
    input: BytesMut,
}

fn dialled(config: Config) -> Dialled {
    let mut session = Session::new(NOW, config, Seed::from_u64(1));
    let Some(LinkAction::Dial { link, .. }) = session.poll_link() else {
        panic!("no dial");
    };
    session.handle_dialed(NOW, link);
    Dialled {
        session,
        link,
        input: BytesMut::new(),
    }
}

impl Dialled {
    fn hear(&mut self, text: &str) {
        self.input.extend_from_slice(text.as_bytes());
        self.session.handle_input(NOW, self.link, &mut self.input);
    }

    fn greet(&mut self, info: &str) {
        self.hear(&format!("{info}\r\n"));
    }

    fn said(&mut self) -> String {
        String::from_utf8(take(&mut self.session, self.link, usize::MAX)).unwrap()
    }

    /// Whether it is asked to be TLS, for the server that was dialled.
    fn is_asked(&mut self) -> bool {
        match self.session.poll_link() {
            Some(LinkAction::Secure { link, server }) => {
                assert_eq!((link, server.host()), (self.link, "one"));
                assert_eq!(self.said(), "", "it spoke before");
                true
            }
            _ => false,
        }
    }

    #[track_caller]
    fn assert_left(&mut self, why: Disconnect) {
        assert_eq!(self.said(), "");
        let left = LinkAction::Close { link: self.link };
        assert_eq!(self.session.poll_link(), Some(left));
        assert_eq!(self.session.failure(), Some(&ConnectError::Failed(why)));
    }

    fn logs_in_inside(&mut self) {
        self.session.handle_secured(NOW, self.link);
        assert!(self.said().contains("\"tls_required\":true"));
        self.hear("PONG\r\n");
        assert_eq!(self.session.stats().connects, 1);
    }
}

fn take(session: &mut Session, link: LinkId, most: usize) -> Vec<u8> {
    let mut output = session.transmit(link);
    let len = output.remaining().min(most);
    output.copy_to_bytes(len).to_vec()
}

/// What a session wants of TLS, against what a server offers.
#[test]
fn what_is_wanted_meets_what_is_offered() {
    #[derive(Debug, PartialEq)]
    enum Then {
        Clear,
        Secured,
        Left(Disconnect),
    }
    let requires = || Then::Left(Disconnect::Requires("TLS"));
    let none = || Then::Left(Disconnect::NoTls);
    let url = |url| Config::new(url).unwrap();
    for (config, required, available, plain) in [
        (config(), requires(), Then::Clear, Then::Clear),
        (
            config().tls_when_asked(),
            Then::Secured,
            Then::Clear,
            Then::Clear,
        ),
        (config().require_tls(), Then::Secured, Then::Secured, none()),
        (url("tls://one"), Then::Secured, Then::Secured, none()),
        (url("one,tls://two"), Then::Secured, Then::Secured, none()),
    ] {
        for (info, then) in [(REQUIRED, required), (AVAILABLE, available), (PLAIN, plain)] {
            let mut world = dialled(config.clone());
            world.greet(info);
            match then {
                Then::Clear => assert!(world.said().contains("\"tls_required\":false")),
                Then::Secured => {
                    assert!(world.is_asked(), "{config:?} {info}");
                    world.logs_in_inside();
                }
                Then::Left(why) => {
                    assert_eq!(world.said(), "");
                    assert_eq!(world.session.last_disconnect(), Some(&why));
                    let left = LinkAction::Close { link: world.link };
                    assert_eq!(world.session.poll_link(), Some(left));
                }
            }
        }
    }
}

/// It begins with the handshake, and what the server says of TLS inside is no reason for a second one.
#[test]
fn tls_first_is_not_followed_by_another() {
    for info in [REQUIRED, AVAILABLE, PLAIN] {
        let mut world = dialled(config().tls_first());
        assert!(world.is_asked());
        world.session.handle_secured(NOW, world.link);
        assert_eq!(world.said(), "");
        world.greet(info);
        assert_eq!(world.session.poll_link(), None);
        assert!(world.said().contains("\"tls_required\":true"));
    }
    let mut clear = dialled(config().tls_first());
    clear.greet(PLAIN);
    assert_eq!(clear.session.stats().protocol_errors, 1);
    let breach = Disconnect::Protocol(ProtocolError::BytesBeforeTls);
    assert_eq!(clear.session.last_disconnect(), Some(&breach));
}

/// Bytes behind the greeting, together with it or later, whole frames or not.
#[test]
fn bytes_behind_the_greeting_end_the_link() {
    let breach = || Disconnect::Protocol(ProtocolError::BytesBeforeTls);
    for behind in [
        "MSG a 1 1\r\nx\r\n",
        "PING\r\n",
        "P",
        "+OK\r\n",
        "\0",
        "-ERR",
        REQUIRED,
    ] {
        for together in [true, false] {
            let mut world = dialled(config().require_tls());
            if together {
                world.hear(&format!("{REQUIRED}\r\n{behind}"));
            } else {
                world.greet(REQUIRED);
                assert!(world.is_asked());
                world.hear(behind);
            }
            world.assert_left(breach());
            assert!(world.input.is_empty());
            world.session.handle_secured(NOW, world.link);
            assert_eq!(world.said(), "");
        }
    }
    let mut world = dialled(config().require_tls());
    world.hear("PING\r\n");
    world.greet(REQUIRED);
    assert_eq!(world.session.last_disconnect(), Some(&breach()));
    let mut world = dialled(config().require_tls());
    world.hear(&format!("{REQUIRED}\r\n-ERR 'full'\r\n"));
    world.assert_left(Disconnect::Server("full".into()));
}

/// Once secured, a session that nobody told to insist leaves servers without TLS, on the same address and
/// on an announced one; and announced in clear is not announced.
#[test]
fn once_secured_always_secured() {
    let config = config().tls_when_asked();
    let mut world = dialled(config.reconnect_within(Duration::ZERO, Duration::ZERO));
    world.greet(REQUIRED);
    assert!(world.is_asked());
    world.logs_in_inside();
    assert_eq!(world.session.servers().count(), 1, "announced in clear");
    world.greet(r#"INFO {"headers":true,"connect_info":true,"connect_urls":["two:2"]}"#);
    assert_eq!(world.session.servers().count(), 2);
    for server in ["two:2", "one:1", "two:2"] {
        let lost = link_error(LinkErrorKind::Read);
        world.session.handle_closed(NOW, world.link, lost);
        let Some(LinkAction::Dial {
            link,
            server: dialled,
        }) = world.session.poll_link()
        else {
            panic!("no dial");
        };
        assert_eq!(dialled.to_string(), server);
        (world.link, world.input) = (link, BytesMut::new());
        world.session.handle_dialed(NOW, link);
        world.greet(PLAIN);
        assert_eq!(world.said(), "");
        assert_eq!(world.session.last_disconnect(), Some(&Disconnect::NoTls));
        assert_eq!(world.session.poll_link(), Some(LinkAction::Close { link }));
    }
}

/// The handshake takes part in the time to connect; what comes of it later is ignored.
#[test]
fn a_handshake_without_end_times_out() {
    for first in [true, false] {
        let config = config().require_tls().connect_timeout(seconds(3));
        let mut world = dialled(if first { config.tls_first() } else { config });
        if !first {
            world.greet(REQUIRED);
        }
        assert!(world.is_asked());
        let due = NOW + seconds(3);
        assert_eq!(world.session.poll_timeout(), Some(due));
        world.session.handle_timeout(due);
        world.assert_left(Disconnect::HandshakeTimedOut);
        world.session.handle_secured(due, world.link);
        assert_eq!(world.said(), "");
    }
}

/// Nor is there more time for a server that sends its greeting byte by byte, or anything else again and again.
#[test]
fn a_greeting_that_trickles_is_left() {
    for (opening, filling, config) in [
        ("INFO {\"headers\":true,\"x\":\"", "a", config()),
        ("", "INFO {\"headers\":true}\r\n", config()),
        ("", "PING\r\n", config()),
        ("", "+OK\r\n", config().require_tls()),
    ] {
        let mut world = dialled(config.connect_timeout(seconds(3)));
        let bytes = opening.bytes().chain(filling.bytes().cycle());
        let mut now = NOW;
        for byte in bytes.take(300) {
            assert_eq!(world.session.last_disconnect(), None, "{filling:?}");
            world.input.extend_from_slice(&[byte]);
            world
                .session
                .handle_input(now, world.link, &mut world.input);
            now = now + Duration::from_millis(10);
            world.session.handle_timeout(now);
        }
        world.assert_left(Disconnect::HandshakeTimedOut);
    }
}

/// The reason of a failed handshake is kept, and a link that ends is not to be secured any more.
#[test]
fn a_handshake_that_fails_says_why() {
    let mut world = dialled(config().require_tls());
    world.greet(REQUIRED);
    assert!(world.is_asked());
    let error = link_error(LinkErrorKind::Secure);
    world.session.handle_closed(NOW, world.link, error.clone());
    let failed = ConnectError::Failed(Disconnect::Transport(error));
    assert_eq!(world.session.failure(), Some(&failed));

    let mut world = dialled(config().require_tls());
    world.greet(REQUIRED);
    let error = link_error(LinkErrorKind::Read);
    world.session.handle_closed(NOW, world.link, error);
    assert_eq!(world.session.poll_link(), None);
}

/// 4,000 sequences of calls in any order: a link that shall be TLS says nothing but `PONG` before it is.
#[test]
fn nothing_is_said_before_tls() {
    let lines = [
        REQUIRED,
        AVAILABLE,
        PLAIN,
        "PING",
        "PONG",
        "MSG a 1 0\r\n",
        "-ERR 'x'",
        "+OK",
        "what",
    ];
    let law = (
        0_u8..4,
        prop::collection::vec((0_u8..12, any::<u16>()), 1..60),
    );
    let logins = Cell::new(0);
    proptest!(laws(4_000), |((mode, calls) in law)| {
        let config = Config::new("one,two").unwrap().retry_first_connect(true).user("me", "canary");
        let config = config.reconnect_within(Duration::ZERO, Duration::ZERO).allow_passwords_in_clear();
        let config = match mode {
            0 => config,
            1 => config.tls_when_asked(),
            2 => config.require_tls(),
            _ => config.tls_first(),
        };
        let mut session = Session::new(NOW, config, Seed::from_u64(7));
        let (mut now, mut links, mut input) = (NOW, Vec::new(), BytesMut::new());
        let mut asked = Vec::new();
        // What each link said before it was secured; those that are insist from then on.
        let (mut clear, mut insists) = (BTreeMap::<LinkId, Vec<u8>>::new(), mode >= 2);
        let mut secured = Vec::new();
        for (call, number) in calls {
            let number = usize::from(number);
            while let Some(action) = session.poll_link() {
                match action {
                    LinkAction::Dial { link, .. } => {
                        links.push(link);
                        input = BytesMut::new();
                        if insists {
                            clear.insert(link, Vec::new());
                        }
                    }
                    LinkAction::Secure { link, .. } => asked.push(link),
                    LinkAction::Close { link } => asked.retain(|open| *open != link),
                    _ => {}
                }
            }
            prop_assert!(mode > 0 || asked.is_empty());
            let Some(link) = links.get(links.len().saturating_sub(1 + number % 16 / 14)) else {
                continue;
            };
            let link = *link;
            match call {
                0 | 1 => session.handle_dialed(now, link),
                2 | 3 => {
                    session.handle_secured(now, link);
                    if asked.contains(&link) && !secured.contains(&link) {
                        secured.push(link);
                        insists = true;
                    }
                }
                4..=6 => {
                    let line = lines[number % lines.len()];
                    input.extend_from_slice(format!("{line}\r\n").as_bytes());
                    if number % 7 == 0 {
                        input.extend_from_slice(lines[number % 5].as_bytes());
                    }
                    session.handle_input(now, link, &mut input);
                }
                7 | 8 => {
                    let said = take(&mut session, link, number);
                    if secured.contains(&link) {
                        logins.set(logins.get() + usize::from(said.starts_with(b"CONNECT")));
                    } else if let Some(clear) = clear.get_mut(&link) {
                        clear.extend_from_slice(&said);
                    }
                }
                9 => session.handle_credentials(now, link, &Credentials::None),
                10 => {
                    session.handle_closed(now, link, link_error(LinkErrorKind::Secure));
                    asked.retain(|open| *open != link);
                }
                _ => {
                    now = now + Duration::from_millis(number as u64 / 16);
                    session.handle_timeout(now);
                    law_holds(&session, now);
                }
            }
        }
        for said in clear.values() {
            let pongs = "PONG\r\n".repeat(said.len() / 6 + 1);
            let said = String::from_utf8_lossy(said);
            prop_assert!(pongs.starts_with(&*said), "{}", said);
        }
    });
    assert!(logins.get() > 100, "{}", logins.get());
}
