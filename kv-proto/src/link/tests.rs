use super::*;
use crate::rng::{Rng, Seed};
use bytes::Buf;

fn link() -> Link {
    let mux = Mux::new("_INBOX", &mut Rng::new(&Seed::from_u64(1)));
    let url: crate::server::ServerUrl = "localhost".parse().unwrap();
    let mut link = Link::new(LinkId::from_raw(1), url.addr().clone(), mux);
    link.state = State::Greeting;
    link
}

const T0: Instant = Instant::ORIGIN;

fn written(link: &mut Link) -> Vec<u8> {
    let mut transmit = link.outbox.transmit();
    let all = transmit.copy_to_bytes(transmit.remaining());
    all.to_vec()
}

#[test]
fn handshake_in_order() {
    let mut link = link();
    let info = br#"{"server_id":"N","version":"2.15.1","headers":true,"max_payload":9}"#;
    let limits = Limits::default();
    assert_eq!(link.on_info(info, &limits, Tls::Unknown), Notice::Authorize);
    assert_eq!(link.max_payload(), 9);
    link.log_in(T0, &Credentials::None, &Config::new("x").unwrap())
        .unwrap();
    let connect = written(&mut link);
    assert!(connect.starts_with(b"CONNECT {"), "{connect:?}");
    assert!(connect.ends_with(b"}\r\nPING\r\n"), "{connect:?}");
    assert_eq!(link.on_pong(T0), Notice::Ready);
    assert!(written(&mut link).ends_with(b".* 1\r\n"));
    assert_eq!(link.on_pong(T0), Notice::None); // nobody has asked
}

#[test]
fn a_server_that_needs_what_we_lack_is_left() {
    for (json, what) in [
        (&br#"{"headers":true,"tls_required":true}"#[..], "TLS"),
        (&br#"{"headers":false}"#[..], "a client without headers"),
    ] {
        assert_eq!(
            link().on_info(json, &Limits::default(), Tls::Unknown),
            Notice::End(Disconnect::Requires(what))
        );
    }
}

#[test]
fn errors_by_class() {
    let mut link = link();
    link.state = State::Ready;
    let denied = b"Permissions Violation for Publish to \"$KV.b.k\"";
    assert_eq!(link.on_err(denied), Notice::PublishDenied("$KV.b.k".into()));
    for quiet in [
        "",
        "Something new",
        "Invalid Subject",
        "maximum subscriptions exceeded",
    ] {
        assert_eq!(link.on_err(quiet.as_bytes()), Notice::None, "{quiet}");
    }
    for fatal in [
        "Stale Connection",
        "slow consumer",
        "Maximum Payload Violation",
    ] {
        assert_eq!(
            link.on_err(fatal.as_bytes()),
            Notice::End(Disconnect::Server(fatal.into()))
        );
    }
    assert_eq!(
        link.on_err(b"User Authentication Expired"),
        Notice::End(Disconnect::Authentication(
            "User Authentication Expired".into()
        ))
    );
    link.state = State::LoggingIn;
    assert_eq!(
        link.on_err(b"whatever"),
        Notice::End(Disconnect::Server("whatever".into()))
    );
}

#[test]
fn a_flood_of_pings_costs_one_pong() {
    let mut link = link();
    for _ in 0..1_000 {
        link.on_ping();
    }
    assert_eq!(written(&mut link), b"PONG\r\n");
    link.on_ping();
    assert_eq!(written(&mut link), b"PONG\r\n");
}

/// Law: each answer belongs to the oldest question that was really sent.
#[test]
fn a_ping_that_was_withdrawn_is_not_answered() {
    let mut link = link();
    link.state = State::Ready;
    let at = |ms| T0 + Duration::from_millis(ms);
    let sent = link.ping_for(at(1)).unwrap();
    written(&mut link);
    let withdrawn = link.ping_for(at(2)).unwrap();
    assert!(link.check_liveness(at(3)));
    assert!(!link.withdraw(sent) && link.withdraw(withdrawn));
    assert_eq!(written(&mut link), b"PING\r\n");
    let first = Duration::from_millis(9);
    assert_eq!(link.on_pong(at(10)), Notice::Pong(sent.start(), first));
    let second = Duration::from_millis(8);
    assert!(matches!(link.on_pong(at(11)), Notice::Pong(_, rtt) if rtt == second));
    assert_eq!(link.rtt(), Some(second));
    assert_eq!(link.on_pong(at(12)), Notice::None);
}

#[test]
fn pings_on_demand_are_bounded() {
    let mut link = link();
    let asked = (0..10_000).filter(|_| link.ping_for(T0).is_some());
    assert_eq!(asked.count(), MAX_PINGS);
}

#[test]
fn a_silent_server_is_dead_after_two_pings() {
    let mut link = link();
    assert!(link.check_liveness(T0));
    assert!(link.check_liveness(T0));
    assert!(!link.check_liveness(T0));
    link.answered();
    assert!(link.check_liveness(T0));
    assert!(link.check_liveness(T0));
}

#[test]
fn a_server_that_only_talks_is_dead_after_four_pings() {
    let mut link = link();
    for _ in 0..4 {
        link.heard();
        assert!(link.check_liveness(T0));
    }
    link.heard();
    assert!(!link.check_liveness(T0));
}
