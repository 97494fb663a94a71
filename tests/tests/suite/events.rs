//! What a client is told of its connection, what it can ask of it, and when it ends by itself.

use std::time::Duration;

use kv_proto::driver::ConnectionEvents;
use kv_proto::{
    BucketConfig, Cause, ConnectError, ConnectionEvent, ConnectionState, Disconnect, PingError,
    Refused, WriteError,
};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Proxy, Server, eventually};

use crate::site::{Adapter, SECOND, Site, at_once, begin, config, poll_once, tests};

tests! {
    on_both_ends {
        a_crash_and_a_return_are_told
        a_server_that_leaves_says_so
        an_error_of_the_server_is_told
        every_listener_is_told_and_none_keeps_the_client
        refused_credentials_are_tried_until_they_are_known
        refused_credentials_end_a_client_that_shall_end
        a_client_gives_up_when_it_shall
        the_round_trip_time_is_measured
        servers_say_who_they_are
    }
}

/// The next event that is not like the others.
async fn skip(
    events: &mut ConnectionEvents,
    others: impl Fn(&ConnectionEvent) -> bool,
) -> ConnectionEvent {
    loop {
        let event = events.next().await.expect("there is more to tell");
        if !others(&event) {
            return event;
        }
    }
}

fn is_failed(event: &ConnectionEvent) -> bool {
    matches!(event, ConnectionEvent::Failed { .. })
}

fn users(password: &str) -> String {
    format!(r#"authorization {{ users: [{{user: "u", password: "{password}"}}] }}"#)
}

/// A server that crashes ends the connection; attempts fail, with a count that grows, until it is back.
/// Closing is told last.
async fn a_crash_and_a_return_are_told<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    let mut events = client.events();
    assert!(poll_once(&mut begin(events.next())).is_pending());
    server.kill();
    let lost = events.next().await;
    assert!(
        matches!(&lost, Some(ConnectionEvent::Disconnected { server: at, reason: Disconnect::Transport(_), .. }) if at.port() == server.port()),
        "{lost:?}"
    );
    for expected in 1..=3 {
        match events.next().await {
            Some(ConnectionEvent::Failed { attempts, .. }) => assert_eq!(attempts, expected),
            other => panic!("{other:?}"),
        }
    }
    server.restart();
    let back = skip(&mut events, is_failed).await;
    assert!(
        matches!(back, ConnectionEvent::Connected { .. }),
        "{back:?}"
    );
    assert_eq!(client.state(), ConnectionState::Connected);
    assert!(client.close().await.is_complete());
    let last = events.next().await;
    assert!(
        matches!(
            last,
            Some(ConnectionEvent::Disconnected {
                reason: Disconnect::Closed,
                ..
            })
        ),
        "{last:?}"
    );
    let closed = ConnectionEvent::Closed { reason: None };
    assert_eq!(events.next().await, Some(closed));
    assert_eq!(events.next().await, None);
    assert_eq!(events.next().await, None);
    let stats = client.stats();
    assert_eq!((stats.connects, stats.disconnects), (2, 2));
    assert!(stats.failed_attempts >= 3);
}

/// The announcement, the new connection, and the end of the old one, in this order.
async fn a_server_that_leaves_says_so<A: Adapter>(site: Site<A>) {
    let leaving = site.own_server().start();
    let staying = site.server();
    let config = config(&format!("{},{}", leaving.url(), staying.url())).shuffle_servers(false);
    let client = site.connect_with(config).await;
    let mut events = client.events();
    leaving.lame_duck();
    let told = events.next().await;
    let Some(ConnectionEvent::LameDuck { link, server }) = told else {
        panic!("{told:?}");
    };
    assert_eq!(server.port(), leaving.port());
    let told = events.next().await;
    let Some(ConnectionEvent::Connected { link: new, server }) = told else {
        panic!("{told:?}");
    };
    assert_eq!(server.port(), staying.port());
    assert_ne!(new, link);
    let told = events.next().await;
    let Some(ConnectionEvent::Disconnected { link: old, .. }) = told else {
        panic!("{told:?}");
    };
    assert_eq!(old, link);
    assert_eq!(client.stats().lame_ducks, 1);
}

/// A refusal of a permission ends no connection, and is told with its words.
async fn an_error_of_the_server_is_told<A: Adapter>(site: Site<A>) {
    let server = site
        .own_server()
        .config_extra(
            r#"authorization { users: [{user: "u", password: "p", permissions: {publish: {deny: "$KV.b.a"}}}] }"#,
        )
        .start();
    let client = config(&server.url()).user("u", "p");
    let client = site.connect_with(client).await;
    let mut events = client.events();
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    let put = at_once(bucket.put("a", "1")).await;
    assert!(matches!(
        put,
        Err(WriteError::NotApplied(Cause::Denied { .. }))
    ));
    let told = events.next().await;
    let Some(ConnectionEvent::ServerError { text, .. }) = told else {
        panic!("{told:?}");
    };
    assert!(
        text.to_lowercase().contains("permissions violation"),
        "{text}"
    );
    assert!(text.contains("$KV.b.a"), "{text}");
    assert_eq!(client.stats().server_errors, 1);
    assert_eq!(client.stats().disconnects, 0);
}

/// Listeners are independent, and end with the client, which ends when its handles are gone.
async fn every_listener_is_told_and_none_keeps_the_client<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let mut listeners = [client.events(), client.events()];
    proxy.cut_all();
    for events in &mut listeners {
        let lost = events.next().await;
        assert!(
            matches!(lost, Some(ConnectionEvent::Disconnected { .. })),
            "{lost:?}"
        );
        let back = skip(events, is_failed).await;
        assert!(
            matches!(back, ConnectionEvent::Connected { .. }),
            "{back:?}"
        );
    }
    drop(client);
    for mut events in listeners {
        let closed = skip(&mut events, |event| {
            matches!(event, ConnectionEvent::Disconnected { .. })
        });
        assert_eq!(closed.await, ConnectionEvent::Closed { reason: None });
        assert_eq!(events.next().await, None);
    }
    eventually("the connection is closed", || proxy.live() == 0);
}

/// A wrong password, and a client that keeps trying: it is in when the server has learned the password.
async fn refused_credentials_are_tried_until_they_are_known<A: Adapter>(site: Site<A>) {
    let server = site.own_server().config_extra(&users("new")).start();
    let config = config(&server.url()).user("u", "old");
    let (client, driver) = A::connect_with_driver(config.retry_first_connect(true)).unwrap();
    let mut events = client.events();
    let driver = A::spawn(driver);
    for _ in 0..4 {
        let told = events.next().await;
        assert!(
            matches!(
                told,
                Some(ConnectionEvent::Failed {
                    reason: Disconnect::Authentication(_),
                    ..
                })
            ),
            "{told:?}"
        );
    }
    server.reload(&users("old"));
    client.connected().await.unwrap();
    assert!(client.stats().authentication_failures >= 4);
    client.close().await;
    driver.await;
}

/// The same, and a client that shall end after a second refusal: before it ever was connected, and after.
async fn refused_credentials_end_a_client_that_shall_end<A: Adapter>(site: Site<A>) {
    let server = site.own_server().config_extra(&users("right")).start();
    let wrong = config(&server.url()).user("u", "wrong");
    let wrong = wrong.retry_first_connect(true).max_auth_failures(2);
    let error = A::connect(wrong).await.expect_err("it is refused");
    let refused =
        |error: &ConnectError| matches!(error, ConnectError::Failed(Disconnect::Authentication(_)));
    assert!(refused(&error), "{error:?}");

    let right = config(&server.url())
        .user("u", "right")
        .max_auth_failures(2);
    let client = site.connect_with(right).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    let mut events = client.events();
    server.reload(&users("changed"));
    let closed = skip(&mut events, |event| {
        !matches!(event, ConnectionEvent::Closed { .. })
    });
    let ConnectionEvent::Closed { reason } = closed.await else {
        unreachable!("all others were skipped");
    };
    assert!(reason.as_ref().is_some_and(refused), "{reason:?}");
    assert!(client.failure().as_ref().is_some_and(refused));
    // The server hangs up with the same words when it forgets a user: two logins were refused after that.
    assert_eq!(client.stats().failed_attempts, 2);
    let put = at_once(bucket.put("a", "1")).await;
    assert_eq!(put, Err(Refused::Closed.into()));
}

/// A client that shall make three attempts makes three; then whatever waits ends at once, and truly.
async fn a_client_gives_up_when_it_shall<A: Adapter>(site: Site<A>) {
    let server: Server = site.own_server().start();
    let proxy = Proxy::start(server.addr());
    let client = site
        .connect_with(config(&proxy.url()).max_reconnects(3))
        .await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    let before = proxy.connections();
    proxy.refuse(true);
    proxy.cut_all();
    eventually("the connection is lost", || {
        client.state() != ConnectionState::Connected
    });
    let put = bucket.put("a", "1").timeout(30 * SECOND).await;
    assert_eq!(put, Err(Refused::Closed.into()));
    eventually("the client has ended", || {
        client.state() == ConnectionState::Closed
    });
    let failure = client.failure();
    assert!(
        matches!(failure, Some(ConnectError::GaveUp { attempts: 3, .. })),
        "{failure:?}"
    );
    assert_eq!(client.stats().failed_attempts, 3);
    assert_eq!(proxy.connections() - before, 3);
}

/// A time is measured; with a server that does not answer, the deadline ends it, and the next one is right
/// again; without a connection it waits for one.
async fn the_round_trip_time_is_measured<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let rtt = client.rtt().await.unwrap();
    assert!(rtt > Duration::ZERO && rtt < 5 * SECOND, "{rtt:?}");
    proxy.stall(ServerToClient);
    let limit = Duration::from_millis(200);
    let late = client.rtt().timeout(limit).await;
    assert_eq!(late, Err(PingError::TimedOut));
    let pause = Duration::from_millis(300);
    let sent = proxy.bytes(ClientToServer);
    let slow = begin(client.rtt());
    eventually("it is asked", || proxy.bytes(ClientToServer) > sent);
    client.sleep(pause).await;
    proxy.resume(ServerToClient);
    let rtt = slow.await.unwrap();
    assert!(rtt >= pause, "{rtt:?}");
    assert_eq!(client.stats().connects, 1);
    proxy.refuse(true);
    proxy.cut_all();
    eventually("the connection is lost", || {
        client.state() == ConnectionState::Reconnecting
    });
    let waits = begin(client.rtt().timeout(20 * SECOND));
    proxy.refuse(false);
    assert!(waits.await.is_ok());
    client.close().await;
    let refused = PingError::Refused(Refused::Closed);
    assert_eq!(at_once(client.rtt()).await, Err(refused));
}

/// Name, version, our number and address, as the server tells them to anybody.
async fn servers_say_who_they_are<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let info = client.server_info().unwrap();
    let expected = site.server().info();
    assert_eq!(info.server_name, expected["server_name"].as_str().unwrap());
    assert_eq!(info.version, expected["version"].as_str().unwrap());
    assert_eq!(info.max_payload, expected["max_payload"].as_u64().unwrap());
    assert_eq!(info.client_ip, "127.0.0.1");
    assert!(info.client_id > 0 && info.jetstream);
    client.close().await;
    assert_eq!(client.server_info(), None);
}
