//! The end of a client: closed, dropped, or left without its driver.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use kv_proto::{
    BucketConfig, BucketError, Cause, ConnectError, ConnectionState, Doubt, ReadError, Refused,
    Update, WatchError, WriteError,
};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Proxy, eventually, unique};

use crate::site::{Adapter, SECOND, Site, all, at_once, begin, config, poll_once, state_of, tests};

tests! {
    on_both_ends {
        closing_finishes_what_was_asked_for
        closing_gives_up_after_its_time
        a_closed_client_refuses_everything
        dropping_every_handle_ends_the_connection
        dropping_every_handle_ends_the_dialling
        a_bucket_keeps_its_client_alive
        without_its_driver_a_client_is_closed
        a_driver_that_dies_takes_its_client_along
        a_driver_ends_when_its_client_is_closed
        clients_and_futures_may_go_to_any_thread
        time_passes_for_sleep_and_timeout
    }
}

/// Asserts that nothing more is dialled: over many times the longest back-off.
fn assert_no_more_dials(proxy: &Proxy) {
    let dialled = proxy.connections();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(proxy.connections(), dialled, "it still dials");
}

/// `close` returns when all writes that were made before it are acknowledged; then the connection is
/// gone.
async fn closing_finishes_what_was_asked_for<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    let puts: Vec<_> = (0..200)
        .map(|number| begin(bucket.put(format!("k{number}"), vec![1; 10_000])))
        .collect();
    let read = begin(bucket.get("never"));
    assert!(client.close().await.is_complete());
    assert_eq!(client.state(), ConnectionState::Closed);
    for put in all(puts).await {
        put.unwrap();
    }
    assert_eq!(read.await, Ok(None));
    assert_eq!(state_of(&mut site.admin(), &bucket, "messages"), 200);
    eventually("the connection is closed", || proxy.live() == 0);
    assert_no_more_dials(&proxy);
}

/// A close waits no longer than `close_timeout` for what cannot be finished; that ends with what is
/// known of it.
async fn closing_gives_up_after_its_time<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let limit = Duration::from_millis(100);
    let config = config(&proxy.url()).close_timeout(limit);
    let client = site.connect_with(config).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    proxy.half_open(ServerToClient);
    let sent = proxy.bytes(ClientToServer);
    let put = begin(bucket.put("a", "1"));
    let get = begin(bucket.get("a"));
    let delete = begin(client.delete_bucket("never-was"));
    eventually("the requests are out", || {
        proxy.bytes(ClientToServer) > sent + 100
    });
    let began = Instant::now();
    let closed = at_once(client.close()).await;
    assert_eq!(closed.unfinished, 3);
    assert!(began.elapsed() >= limit);
    assert_eq!(put.await, Err(WriteError::Unknown(Doubt::Closed)));
    assert_eq!(get.await, Err(ReadError::Closed));
    assert_eq!(delete.await, Err(BucketError::Unknown(Doubt::Closed)));
}

/// After a close every request is refused at once, and closing again does no harm.
async fn a_closed_client_refuses_everything<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let client = bucket.client();
    client.close().await;
    at_once(client.close()).await;
    let refused = Refused::Closed;
    let put = at_once(bucket.put("a", "1")).await;
    assert_eq!(put, Err(refused.clone().into()));
    assert_eq!(at_once(bucket.get("a")).await, Err(refused.clone().into()));
    let status = at_once(bucket.status()).await;
    assert_eq!(status, Err(BucketError::Refused(refused.clone())));
    let names = at_once(client.bucket_names().collect()).await;
    assert_eq!(names, Err(BucketError::Refused(refused)));
    assert_eq!(client.connected().await, Err(ConnectError::Closed));
    at_once(client.sleep(60 * SECOND)).await;
}

/// When the last handle is dropped, clones and buckets included, the connection ends and no other is
/// made.
async fn dropping_every_handle_ends_the_connection<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let config = BucketConfig::new(unique("b"));
    let bucket = client.create_bucket(config).await.unwrap();
    let clone = client.clone();
    drop(client);
    drop(clone);
    bucket.put("a", "1").await.unwrap();
    assert_eq!(proxy.live(), 1);
    drop(bucket);
    eventually("the connection is closed", || proxy.live() == 0);
    assert_no_more_dials(&proxy);
}

/// A client that is dropped while no server can be reached stops to dial, even one that never was
/// connected and waits for its first connection for ever.
async fn dropping_every_handle_ends_the_dialling<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    proxy.refuse(true);
    proxy.cut_all();
    eventually("it dials again", || proxy.connections() > 3);
    drop(client);
    eventually("it stops", || {
        let dialled = proxy.connections();
        std::thread::sleep(Duration::from_millis(100));
        proxy.connections() == dialled
    });
    assert_no_more_dials(&proxy);

    let config = config(&proxy.url()).retry_first_connect(true);
    let (client, driver) = A::connect_with_driver(config).unwrap();
    let driver = A::spawn(driver);
    let before = proxy.connections();
    eventually("it dials", || proxy.connections() > before + 3);
    drop(client);
    at_once(driver).await;
    assert_no_more_dials(&proxy);
}

/// A request that was made and whose client and bucket are dropped still ends: its future is a handle of
/// its own only for the answer.
async fn a_bucket_keeps_its_client_alive<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let put = begin(bucket.put("a", "1"));
    let name = bucket.name().clone();
    drop(bucket);
    at_once(put).await.unwrap();
    let again = site.client().await.bucket(name).await.unwrap();
    assert_eq!(again.get("a").await.unwrap().unwrap(), "1");
}

/// A client whose driver is dropped is closed and says so; whatever is pending ends at once with what is
/// known of it: sent, or never sent.
async fn without_its_driver_a_client_is_closed<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    let (client, driver) = A::connect_with_driver(config(&proxy.url())).unwrap();
    let mut driver = Box::pin(driver);
    let mut setup = Box::pin(async {
        client.connected().await.unwrap();
        let config = BucketConfig::new(unique("b"));
        client.create_bucket(config).await.unwrap()
    });
    // The driver runs here as long as it is polled, and no longer.
    let bucket = poll_fn(|cx| {
        assert!(driver.as_mut().poll(cx).is_pending(), "the driver ended");
        setup.as_mut().poll(cx)
    })
    .await;
    proxy.half_open(ServerToClient);

    let sent = proxy.bytes(ClientToServer);
    let put = begin(bucket.put("a", "1"));
    let read = begin(bucket.get("a"));
    eventually("the requests are out", || {
        let _ = poll_once(&mut driver);
        proxy.bytes(ClientToServer) > sent + 60
    });
    let unsent = begin(bucket.put("b", "1"));
    let sleep = client.sleep(60 * SECOND);
    assert_eq!(client.state(), ConnectionState::Connected);
    drop(driver);
    assert_eq!(client.state(), ConnectionState::Closed);
    assert_eq!(at_once(put).await, Err(WriteError::Unknown(Doubt::Closed)));
    assert_eq!(at_once(read).await, Err(ReadError::Closed));
    let refused = WriteError::NotApplied(Cause::Refused(Refused::Closed));
    assert_eq!(at_once(unsent).await, Err(refused));
    at_once(sleep).await;
    assert_eq!(at_once(bucket.get("a")).await, Err(Refused::Closed.into()));
    proxy.heal();
    eventually("the connection is closed", || proxy.live() == 0);
}

/// A driver's task is aborted, or panics: nothing waits for ever, and nothing says that there is a connection.
async fn a_driver_that_dies_takes_its_client_along<A: Adapter>(site: Site<A>) {
    for panics in [false, true] {
        let proxy = Proxy::start(site.server().addr());
        let (client, driver) = A::connect_with_driver(config(&proxy.url())).unwrap();
        let (kill, killed) = async_channel();
        let task = A::spawn(async move {
            let mut driver = Box::pin(driver);
            let mut killed = Box::pin(killed);
            // What a runtime does that aborts a task: it drops it where it waits.
            let aborted = poll_fn(|cx| match killed.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => driver.as_mut().poll(cx).map(|()| false),
            });
            assert!(aborted.await, "the driver ended by itself");
            let _unwinds = driver;
            if panics {
                std::panic::resume_unwind(Box::new("killed"));
            }
        });
        client.connected().await.unwrap();
        let config = BucketConfig::new(unique("b"));
        let bucket = client.create_bucket(config).await.unwrap();
        let mut watch = bucket.watch_all().await.unwrap();
        assert_eq!(watch.next().await.unwrap().unwrap(), Update::Synced);
        let mut events = client.events();
        proxy.half_open(ServerToClient);
        let put = begin(bucket.put("a", "1"));
        let get = begin(bucket.get("a"));
        let next = begin(watch.next());
        kill();
        eventually("it is closed", || client.state() == ConnectionState::Closed);
        assert!(at_once(put).await.is_err() && at_once(get).await.is_err());
        assert_eq!(at_once(next).await, Some(Err(WatchError::Closed)));
        assert!(at_once(client.bucket("b")).await.is_err());
        assert!(at_once(client.rtt()).await.is_err());
        while at_once(events.next()).await.is_some() {}
        drop(task);
        proxy.heal();
        eventually("the connection is closed", || proxy.live() == 0);
    }
}

/// One word, from a thread to a task.
fn async_channel() -> (impl FnOnce(), impl Future<Output = ()> + Send) {
    let (sender, receiver) = ::tokio::sync::oneshot::channel();
    let said = async {
        let _ = receiver.await;
    };
    let say = move || sender.send(()).expect("it listens");
    (say, said)
}

/// A runtime that is shut down drops the tasks that it runs, the one of `connect` too.
#[test]
fn a_client_without_its_runtime_is_closed() {
    let server = kv_tests::Server::builder().jetstream(false).start();
    let runtime = ::tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
    let client = runtime.block_on(kv_tokio::connect(server.url())).unwrap();
    assert_eq!(client.state(), ConnectionState::Connected);
    let waits = begin(client.bucket("b"));
    runtime.shutdown_background();
    eventually("it is closed", || client.state() == ConnectionState::Closed);
    assert!(::smol::block_on(waits).is_err());
    assert!(::smol::block_on(begin(client.bucket("b"))).is_err());
}

/// The driver that `connect_with_driver` hands out ends when the client is closed.
async fn a_driver_ends_when_its_client_is_closed<A: Adapter>(site: Site<A>) {
    let url = site.server().url();
    let (client, driver) = A::connect_with_driver(config(&url)).unwrap();
    let driver = A::spawn(driver);
    client.connected().await.unwrap();
    client.close().await;
    at_once(driver).await;
}

/// Handles are shared between tasks, and a request is awaited in another task than it was made in.
async fn clients_and_futures_may_go_to_any_thread<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let made_here = begin(bucket.put("a", "1"));
    let revision = A::spawn(made_here).await.unwrap();
    let elsewhere = bucket.clone();
    let task = A::spawn(async move { elsewhere.update("a", "2", revision).await });
    task.await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
}

/// `sleep` waits as long as told, `timeout` ends what takes longer and leaves alone what does not.
async fn time_passes_for_sleep_and_timeout<A: Adapter>(site: Site<A>) {
    let client = site.client().await;
    let pause = Duration::from_millis(50);
    let (began, clock) = (Instant::now(), client.now());
    client.sleep(pause).await;
    assert!(began.elapsed() >= pause);
    assert!(client.now().saturating_duration_since(clock) >= pause);
    let began = Instant::now();
    let late = client.timeout(pause, client.sleep(60 * SECOND)).await;
    assert!(late.is_err());
    assert!(began.elapsed() >= pause && began.elapsed() < SECOND);
    let missing = client.timeout(5 * SECOND, client.bucket("never-was")).await;
    assert_eq!(missing.unwrap().unwrap_err(), BucketError::NotFound);
}
