//! Connections that break: servers that crash, restart, fall silent, change their limits or leave.

use std::time::Duration;

use kv_proto::driver::Client;
use kv_proto::{BucketConfig, Cause, ConnectionState, Disconnect, ReadError, Refused, WriteError};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Proxy, eventually, unique};

use crate::site::{Adapter, SECOND, Site, all, at_once, begin, config, tests};

tests! {
    on_both_ends {
        a_server_that_crashes_and_comes_back_is_found_again
        operations_wait_for_a_server_that_is_down
        operations_under_way_in_a_crash_all_end
        a_silent_server_is_left_and_found_again
        a_busy_connection_is_not_taken_for_a_dead_one
        a_lowered_max_payload_is_learnt
        bytes_may_come_one_by_one
        cuts_at_every_byte_of_an_answer_are_survived
        a_client_moves_from_a_server_that_leaves
        credentials_that_are_taken_away_end_the_connection
    }
}

fn await_state(client: &Client, state: ConnectionState) {
    eventually(&format!("the client is {state:?}"), || {
        client.state() == state
    });
}

/// After a crash (SIGKILL) and a restart of the server the client is connected again, its handles work,
/// and what was stored is there; time after time, and after a shutdown in good order too.
async fn a_server_that_crashes_and_comes_back_is_found_again<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    for round in 1..=3_u64 {
        bucket.put("a", round.to_string()).await.unwrap();
        match round {
            3 => server.stop(),
            _ => server.kill(),
        }
        await_state(&client, ConnectionState::Reconnecting);
        assert_eq!(client.server(), None);
        assert!(client.last_disconnect().is_some());
        server.restart();
        await_state(&client, ConnectionState::Connected);
        let value = bucket.get("a").await.unwrap().unwrap();
        assert_eq!(value, round.to_string());
        assert_eq!(client.stats().connects, round + 1);
    }
}

/// Operations that are asked for while the server is down wait for it: those whose deadline comes first
/// end as timed out and not applied; the others succeed when the server is back.
async fn operations_wait_for_a_server_that_is_down<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    bucket.put("read", "1").await.unwrap();
    server.kill();
    await_state(&client, ConnectionState::Reconnecting);

    let limit = Duration::from_millis(100);
    let long = 10 * SECOND;
    let (late_put, late_get) = (
        begin(bucket.put("late", "1").timeout(limit)),
        begin(bucket.get("a").timeout(limit)),
    );
    let put = begin(bucket.put("b", "1").timeout(long));
    let update = begin(bucket.update("a", "2", 1.into()).timeout(long));
    let get = begin(bucket.get("read").timeout(long));
    let created = begin(client.create_bucket(BucketConfig::new("c")).timeout(long));
    assert_eq!(late_put.await, Err(WriteError::NotApplied(Cause::TimedOut)));
    assert_eq!(late_get.await, Err(ReadError::TimedOut));
    server.restart();
    put.await.unwrap();
    update.await.unwrap();
    assert_eq!(get.await.unwrap().unwrap(), "1");
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
    created.await.unwrap();
    assert_eq!(bucket.get("late").await, Ok(None));
}

/// A thousand operations in flight on a server that crashes: each ends, well before its deadline, and
/// says truly what became of it; none panics and none hangs.
async fn operations_under_way_in_a_crash_all_end<A: Adapter>(site: Site<A>) {
    let server = site.own_server().start();
    let client = site.connect(&server.url()).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    let puts: Vec<_> = (0..1_000)
        .map(|number| {
            begin(
                bucket
                    .put(format!("k{number}"), vec![7; 2_000])
                    .timeout(20 * SECOND),
            )
        })
        .collect();
    let reads: Vec<_> = (0..100)
        .map(|number| begin(bucket.entry(format!("k{number}")).timeout(20 * SECOND)))
        .collect();
    server.kill();
    server.restart();
    let results = at_once_each(puts, 8 * SECOND).await;
    for read in at_once_each(reads, 8 * SECOND).await {
        read.unwrap();
    }
    let mut stored = 0;
    for (number, result) in results.iter().enumerate() {
        let entry = bucket.entry(format!("k{number}")).await.unwrap();
        stored += usize::from(entry.is_some());
        match result {
            Ok(revision) => assert_eq!(entry.map(|entry| entry.revision), Some(*revision)),
            Err(WriteError::Unknown(_)) => {}
            Err(WriteError::NotApplied(_)) => assert_eq!(entry, None),
            Err(other) => panic!("{other:?}"),
        }
    }
    let acknowledged = results.iter().filter(|result| result.is_ok()).count();
    assert!(acknowledged <= stored);
}

/// Awaits all, which may take `limit` together.
async fn at_once_each<F: Future>(futures: Vec<F>, limit: Duration) -> Vec<F::Output> {
    let began = std::time::Instant::now();
    let outputs = all(futures).await;
    assert!(began.elapsed() < limit, "took {:?}", began.elapsed());
    outputs
}

/// A server that answers nothing any more, on an open connection, is noticed by unanswered pings and
/// left; when it can be reached again the client is connected again, and a read that waited succeeds.
async fn a_silent_server_is_left_and_found_again<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let config = config(&proxy.url()).ping_interval(Duration::from_millis(50));
    let client = site.connect_with(config).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    proxy.stall(ClientToServer);
    proxy.stall(ServerToClient);
    let read = begin(bucket.get("a"));
    await_state(&client, ConnectionState::Reconnecting);
    assert_eq!(client.last_disconnect(), Some(Disconnect::Stale));
    proxy.resume(ClientToServer);
    proxy.resume(ServerToClient);
    assert_eq!(read.await.unwrap().unwrap(), "1");
    assert_eq!(client.state(), ConnectionState::Connected);
    assert_eq!(client.stats().connects, 2);
}

/// A connection on which bytes arrive lives, however short the ping interval is; and so does an idle one
/// whose pings are answered.
async fn a_busy_connection_is_not_taken_for_a_dead_one<A: Adapter>(site: Site<A>) {
    let config = config(&site.server().url()).ping_interval(Duration::from_millis(20));
    let client = site.connect_with(config).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    let frames = client.stats().frames_in;
    for _ in 0..50 {
        bucket.put("a", "1").await.unwrap();
    }
    eventually("idle pings are answered", || {
        client.stats().frames_in > frames + 60
    });
    assert_eq!(client.stats().connects, 1);
}

/// A server whose `max_payload` is lowered by a reload: what is asked for before the client knows ends
/// with an error and is not stored; afterwards what is too large is refused here with the new limit,
/// also when it was asked for while there was no connection; what fits goes on.
async fn a_lowered_max_payload_is_learnt<A: Adapter>(site: Site<A>) {
    let server = site
        .own_server()
        .config_extra("max_payload: 100000")
        .start();
    let proxy = Proxy::start(server.addr());
    let client = site.connect(&proxy.url()).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    let large = vec![0; 50_000];
    bucket.put("before", &large).await.unwrap();
    server.reload("max_payload: 10000");

    let put = at_once(bucket.put("a", &large)).await;
    assert!(put.is_err(), "{put:?}");
    proxy.refuse(true);
    proxy.cut_all();
    await_state(&client, ConnectionState::Reconnecting);
    let too_large = |size| {
        let limit = 10_000;
        Err(Refused::TooLarge { size, limit }.into())
    };
    let waiting = begin(bucket.put("a", &large));
    proxy.refuse(false);
    assert_eq!(at_once(waiting).await, too_large(50_000));
    assert_eq!(at_once(bucket.put("a", &large)).await, too_large(50_000));
    assert_eq!(
        at_once(bucket.put("a", &large[..10_001])).await,
        too_large(10_001)
    );
    bucket.put("a", &large[..10_000]).await.unwrap();
    assert_eq!(bucket.status().await.unwrap().last_revision(), 2);
    assert_eq!(bucket.get("before").await.unwrap().unwrap(), large);
}

/// Every frame in pieces of one byte, both ways: all operations work, large values too.
async fn bytes_may_come_one_by_one<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    for direction in [ClientToServer, ServerToClient] {
        proxy.chunk(direction, 1);
    }
    let client = site.connect(&proxy.url()).await;
    let config = BucketConfig::new(unique("b")).history(3);
    let bucket = client.create_bucket(config.clone()).await.unwrap();
    let value: Vec<u8> = (0..20_000_u32).map(|at| (at % 253) as u8).collect();
    let first = bucket.put("a", &value).await.unwrap();
    bucket.update("a", "2", first).await.unwrap();
    assert!(bucket.create("a", "3").await.is_err());
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
    let entry = bucket.entry("a").revision(first).await.unwrap().unwrap();
    assert!(entry.value == value);
    bucket.delete("a").await.unwrap();
    bucket.create("a", "4").await.unwrap();
    assert_eq!(bucket.status().await.unwrap().config(), &config);
    assert_eq!(client.stats().connects, 1);
}

/// The connection breaks after the first byte of an answer, after the second, and so on through its last
/// one: each time the read succeeds on the next connection.
async fn cuts_at_every_byte_of_an_answer_are_survived<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let instant = Duration::from_millis(1);
    let config = config(&proxy.url()).reconnect_within(instant, instant);
    let client = site.connect_with(config).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    bucket.put("a", "the value").await.unwrap();
    let mut cut = 0;
    loop {
        let connects = client.stats().connects;
        proxy.cut_after(ServerToClient, cut);
        let value = at_once(bucket.get("a")).await.unwrap().unwrap();
        assert_eq!(value, "the value", "cut after {cut}");
        if client.stats().connects == connects {
            break; // The whole answer has passed.
        }
        assert_eq!(client.stats().connects, connects + 1, "cut after {cut}");
        cut += 1;
    }
    assert!((100..400).contains(&cut), "an answer of {cut} bytes");
    assert_eq!(client.stats().protocol_errors, 0);
}

/// A server in lame-duck mode is left for another one before it hangs up: the client is connected all
/// the time.
async fn a_client_moves_from_a_server_that_leaves<A: Adapter>(site: Site<A>) {
    let leaving = site.own_server().start();
    let staying = site.server();
    let config = config(&format!("{},{}", leaving.url(), staying.url())).shuffle_servers(false);
    let client = site.connect_with(config).await;
    assert_eq!(client.server().unwrap().port(), leaving.port());
    leaving.lame_duck();
    eventually("the client has moved", || {
        assert_eq!(client.state(), ConnectionState::Connected);
        client
            .server()
            .is_some_and(|server| server.port() == staying.port())
    });
    assert_eq!(client.stats().connects, 2);
    let left = client.last_disconnect();
    assert!(
        left.is_none() || left == Some(Disconnect::LameDuck),
        "{left:?}"
    );
    client.bucket_names().collect().await.unwrap();
}

/// When the server changes the password, it hangs up. The client tries again at its pace, and is in
/// again when its credentials are.
async fn credentials_that_are_taken_away_end_the_connection<A: Adapter>(site: Site<A>) {
    let users = |password: &str| {
        format!(r#"authorization {{ users: [{{user: "u", password: "{password}"}}] }}"#)
    };
    let server = site.own_server().config_extra(&users("old")).start();
    let client = config(&server.url()).user("u", "old");
    let client = site.connect_with(client).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    server.reload(&users("new"));
    eventually("the credentials are refused", || {
        matches!(
            client.last_disconnect(),
            Some(Disconnect::Authentication(_))
        )
    });
    let put = bucket
        .put("a", "1")
        .timeout(Duration::from_millis(100))
        .await;
    assert_eq!(put, Err(WriteError::NotApplied(Cause::TimedOut)));
    server.reload(&users("old"));
    bucket.put("a", "1").await.unwrap();
    assert_eq!(client.state(), ConnectionState::Connected);
}
