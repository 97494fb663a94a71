//! Scenes that show the planted bugs of connections.

use super::*;

/// The bug, the scene, what it shows in correct code, and what with the bug.
pub(crate) const SCENES: [(Mutant, Scene, &str, &str); 8] = [
    (
        Mutant::SecondAuthErrorIsFinal,
        the_credentials_are_refused_until_they_are_known,
        "Connected",
        "Closed",
    ),
    (
        Mutant::OrderNotKept,
        servers_are_tried_in_order,
        "one:1 two:2 three:3 four:4",
        "three:3 one:1 four:4 two:2",
    ),
    (
        Mutant::AttemptsNeverForgotten,
        attempts_fail_between_connections,
        "Connected",
        "Closed",
    ),
    (
        Mutant::ExpiryIsRefusal,
        credentials_expire_again_and_again,
        "Connected",
        "Closed",
    ),
    (
        Mutant::LameDuckIgnored,
        a_server_announces_its_end,
        "moved to two:2",
        "stayed on one:1",
    ),
    (
        Mutant::DiscoveredReplaceConfigured,
        a_server_announces_another,
        "one:1 two:2",
        "two:2",
    ),
    (
        Mutant::MaxPayloadNeverChanges,
        a_server_lowers_its_limit,
        "not applied, link kept",
        "unknown, link lost",
    ),
    (
        Mutant::SilenceIsLife,
        a_server_falls_silent,
        "server does not answer pings",
        "connected",
    ),
];

fn the_credentials_are_refused_until_they_are_known() -> String {
    let mut world = World::new(config().retry_first_connect(true), 1);
    for attempt in 1..=3 {
        while world.dialed.len() < attempt && world.session.failure().is_none() {
            world.dial();
            if let Some(next) = world.session.poll_timeout() {
                world.at(next.max(world.now));
            }
            world.dial();
        }
        let link = world.link();
        world.inject(link, b"-ERR 'Authorization Violation'\r\n");
        world.dial();
    }
    pass(&mut world, 60);
    format!("{:?}", world.session.state())
}

fn servers_are_tried_in_order() -> String {
    let config = Config::new("one:1,two:2,three:3,four:4").unwrap();
    let mut world = World::new(config.shuffle_servers(false), 1);
    world.down = true;
    let mut cursor = EventCursor::default();
    world.settle();
    let next = || world.session.next_connection_event(&mut cursor);
    let tried = std::iter::from_fn(next).filter_map(|event| match event {
        ConnectionEvent::Failed { server, .. } => Some(server.to_string()),
        _ => None,
    });
    tried.collect::<Vec<_>>().join(" ")
}

fn attempts_fail_between_connections() -> String {
    let mut world = World::with_bucket(config().max_reconnects(3)).0;
    for _ in 0..4 {
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        world.down = true;
        while let Some(next) = world.session.poll_timeout()
            && world.session.state() == ConnectionState::Reconnecting
            && world.down
        {
            world.at(next.max(world.now));
            world.down = !world.dial();
        }
        world.down = false;
        pass(&mut world, 60);
    }
    format!("{:?}", world.session.state())
}

fn credentials_expire_again_and_again() -> String {
    let mut world = World::with_bucket(config().max_auth_failures(1)).0;
    for _ in 0..4 {
        let link = world.link();
        world.inject(link, b"-ERR 'User Authentication Expired'\r\n");
        pass(&mut world, 60);
    }
    format!("{:?}", world.session.state())
}

fn a_server_announces_its_end() -> String {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    let mut info = world.peer.info.clone();
    info["ldm"] = true.into();
    info["connect_urls"] = serde_json::json!(["two:2"]);
    world.inject(link, format!("INFO {info}\r\n").as_bytes());
    pass(&mut world, 30);
    let server = world.session.server().expect("a connection");
    let verb = if world.link() == link {
        "stayed on"
    } else {
        "moved to"
    };
    format!("{verb} {server}")
}

fn a_server_announces_another() -> String {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    let mut info = world.peer.info.clone();
    info["connect_urls"] = serde_json::json!(["two:2"]);
    world.inject(link, format!("INFO {info}\r\n").as_bytes());
    let servers = world.session.servers().map(ToString::to_string);
    servers.collect::<Vec<_>>().join(" ")
}

fn a_server_lowers_its_limit() -> String {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.peer.info["max_payload"] = 100.into();
    let info = format!("INFO {}\r\n", world.peer.info);
    world.inject(link, info.as_bytes());
    let value = Bytes::from(vec![b'v'; 1_000]);
    let put = world
        .session
        .put(world.now, &bucket, key("k"), value, PUT());
    let result = put.and_then(|put| world.wait(put));
    world.reconnect();
    format!("{}, {}", told(result), link_kept(&world))
}

fn a_server_falls_silent() -> String {
    let (mut world, _) = World::with_bucket(config());
    // Nothing moves any more, but the clock.
    let end = world.now + seconds(300);
    while world.now < end && world.session.last_disconnect().is_none() {
        let next = world.session.poll_timeout().expect("a check is due");
        world.at(next);
    }
    let reason = world.session.last_disconnect();
    reason.map_or("connected".to_owned(), ToString::to_string)
}
