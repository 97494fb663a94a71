//! Every way to reach a server: Unix sockets, several addresses of a name, and connectors of users.

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kv_proto::driver::{Client, Connector, KEEP_ALIVE};
use kv_proto::{
    BucketConfig, Config, ConnectError, Disconnect, LinkErrorKind, ServerAddr, TlsConfig, Update,
};
use kv_tests::Direction::ClientToServer;
use kv_tests::{Fake, Port, Proxy, eventually, unique};
use rustix::net::sockopt;
use serde_json::json;

use crate::site::{Adapter, Duplex, SECOND, Site, config, tests};
use crate::tls::authority::Authority;

tests! {
    on_both_ends {
        a_unix_socket_is_a_way_like_any_other
        a_unix_socket_can_ask_for_a_password
        a_connector_makes_every_connection
    }
    on_the_newest {
        a_path_where_nobody_listens_says_so
        a_unix_socket_is_one_of_several_servers
        no_certificate_is_for_a_unix_socket
        no_server_makes_a_client_open_a_path
        what_a_connector_cannot_do_is_told_and_tried_again
        a_connector_has_as_long_as_a_connection_may_take
        no_password_goes_in_clear_to_another_machine
        tls_comes_above_a_connector
        an_address_that_does_not_answer_holds_up_no_other
        where_no_address_answers_each_is_told
        tcp_is_asked_for_what_it_shall_do
        a_connector_can_begin_with_tcp
    }
}

/// A put, a read and a watch.
async fn assert_works(client: &Client) {
    let bucket = client.create_bucket(BucketConfig::new(unique("b"))).await;
    let bucket = bucket.unwrap();
    let mut watch = bucket.watch("a").await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap(), Update::Synced);
    let value = vec![7; 100_000];
    bucket.put("a", &value).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), value);
    let told = watch.next().await.unwrap().unwrap();
    assert!(matches!(told, Update::Entry(entry) if entry.value == value));
}

/// Why a connection could not be made, or secured.
#[track_caller]
fn transport(result: Result<Client, ConnectError>) -> (LinkErrorKind, String) {
    let error = result.expect_err("it cannot be reached");
    let ConnectError::Failed(Disconnect::Transport(link)) = &error else {
        panic!("{error:?}");
    };
    (link.kind(), link.to_string())
}

/// With a life like TCP's: it is written to and read from, lost, and made again.
async fn a_unix_socket_is_a_way_like_any_other<A: Adapter>(site: Site<A>) {
    let relay = Proxy::start_unix(site.server().addr());
    let client = site.connect(&relay.url()).await;
    let server = client.server().unwrap();
    assert_eq!(server.to_string(), relay.url());
    assert!(
        server
            .path()
            .is_some_and(|path| path.ends_with("/nats.sock"))
    );
    assert_works(&client).await;
    relay.cut_all();
    eventually("it is back", || client.stats().connects == 2);
    assert_works(&client).await;
    assert_eq!(relay.connections(), 2);
    client.close().await;
    eventually("it is closed", || relay.live() == 0);
}

/// In the URL as well, where it is never shown.
async fn a_unix_socket_can_ask_for_a_password<A: Adapter>(site: Site<A>) {
    let server = site.own_server().user("m/e", "can/ary").start();
    let relay = Proxy::start_unix(server.addr());
    let with = |user_info: &str| relay.url().replace("://", &format!("://{user_info}@"));
    let config = config(&with("m%2Fe:can%2Fary"));
    let shown = format!("{config:?}");
    let client = site.connect_with(config).await;
    assert_works(&client).await;
    let shown = format!("{shown} {client:?} {:?}", client.servers());
    assert!(!shown.contains("can/ary") && !shown.contains("can%2Fary"));
    for wrong in [with("m%2Fe:canary"), relay.url()] {
        let error = A::connect_to(&wrong).await.unwrap_err();
        let refused = matches!(error, ConnectError::Failed(Disconnect::Authentication(_)));
        assert!(refused && !format!("{error} {error:?}").contains("canary"));
    }
}

/// It is missing, or no socket, or nobody listens any more.
async fn a_path_where_nobody_listens_says_so<A: Adapter>(_: Site<A>) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("file"), "").unwrap();
    drop(std::os::unix::net::UnixListener::bind(path("left")).unwrap());
    for name in ["missing", "file", "left", "no/folder", &"long".repeat(100)] {
        let url = format!("unix://me:canary@{}", path(name));
        let (kind, text) = transport(A::connect_to(&url).await);
        assert_eq!(kind, LinkErrorKind::Dial);
        assert!(text.contains(&path(name)), "{text} does not name it");
        assert!(!text.contains("canary"), "{text}");
    }
}

/// What is not there is passed over, in both directions.
async fn a_unix_socket_is_one_of_several_servers<A: Adapter>(site: Site<A>) {
    let relay = Proxy::start_unix(site.server().addr());
    let nobody = Port::reserve();
    let urls = format!(
        "nats://127.0.0.1:{},unix:///no/such.sock,{}",
        nobody.number(),
        relay.url()
    );
    let client = site.connect(&urls).await;
    assert_eq!(client.server().unwrap().to_string(), relay.url());
    let urls = format!("unix:///no/such.sock,{}", site.server().url());
    let client = site.connect(&urls).await;
    assert_eq!(client.server().unwrap().port(), site.server().port());
}

/// There is no host that it could be for: nothing is sent, not even where any certificate would do.
async fn no_certificate_is_for_a_unix_socket<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost", "127.0.0.1"]);
    let server = authority.start(site.own_server(), &identity, "");
    let relay = Proxy::start_unix(server.addr());
    let any = TlsConfig::builder().dangerous_accept_any_certificate();
    for config in [
        config(&relay.url()),
        config(&relay.url()).tls(authority.trust()),
        config(&relay.url()).tls(any.build().unwrap()).tls_first(),
    ] {
        let config = config.user("me", "canary");
        let (kind, text) = transport(A::connect(config).await);
        assert_eq!(kind, LinkErrorKind::Secure);
        let why = format!("no certificate can be for {:?}", relay.url());
        assert!(text.contains(&why), "{text}");
    }
    assert_eq!(relay.transcript(ClientToServer), b"");
}

/// Whatever it announces, over connections that end again and again.
async fn no_server_makes_a_client_open_a_path<A: Adapter>(site: Site<A>) {
    let canary = Proxy::start_unix(site.server().addr());
    let url = canary.url();
    let path = url.trim_start_matches("unix://").to_owned();
    let fake = Fake::start(move |conn| {
        let urls = [&url, &path, &format!("me@{url}"), &format!("{url}:4222")];
        let encoded = path.replace('/', "%2F");
        let hosts = [format!("unix:{encoded}"), encoded];
        let urls: Vec<_> = urls.into_iter().chain(&hosts).collect();
        conn.handshake_with(&json!({"connect_urls": urls}));
    });
    let client = site.connect(&fake.url()).await;
    eventually("it comes back", || fake.accepted() > 5);
    let paths = client
        .servers()
        .into_iter()
        .filter_map(|server| server.path().map(str::to_owned));
    assert_eq!(paths.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(canary.connections(), 0);
}

/// The first one and each that replaces it, to the server that the client wants; over no socket here.
async fn a_connector_makes_every_connection<A: Adapter>(site: Site<A>) {
    let relay = Proxy::start(site.server().addr());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let connector = Connector::<A::Runtime>::new({
        let (asked, to) = (asked.clone(), relay.addr());
        move |server: ServerAddr| {
            asked.lock().unwrap().push(server.to_string());
            async move { Duplex::to(to) }
        }
    });
    let client = connector.connect(config("nats://in.memory")).await.unwrap();
    assert_works(&client).await;
    for cut in 1..=3 {
        relay.cut_all();
        eventually("it is back", || client.stats().connects == 1 + cut);
        assert_works(&client).await;
    }
    assert_eq!(relay.connections(), 4);
    assert_eq!(*asked.lock().unwrap(), ["in.memory:4222"; 4]);
    client.close().await;
    eventually("it is closed", || relay.live() == 0);

    // The same connector serves several clients, and drivers in the caller's hands.
    let (client, driver) = connector.connect_with_driver("nats://other:1").unwrap();
    let driver = A::spawn(driver);
    client.connected().await.unwrap();
    client.close().await;
    driver.await;
    assert_eq!(asked.lock().unwrap().last().unwrap(), "other:1");
}

/// Nothing at all goes there, unless that was allowed: a machine of another name is reached by a connector.
async fn no_password_goes_in_clear_to_another_machine<A: Adapter>(_: Site<A>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let fake = Fake::start({
        let heard = heard.clone();
        move |conn| {
            conn.info_with(&json!({ "auth_required": true }));
            let said = conn.read_to_end(10 * SECOND);
            heard.lock().unwrap().extend(said);
        }
    });
    let to = fake.addr();
    let connector = Connector::<A::Runtime>::new(move |_| async move { Duplex::to(to) });
    for config in [
        config("nats://me:canary@nats.example.org"),
        config("nats://nats.example.org").token("canary"),
    ] {
        let config = config.connect_timeout(SECOND / 4);
        let error = connector.connect(config.clone()).await.unwrap_err();
        assert_eq!(error, ConnectError::Failed(Disconnect::InClear));
        assert_eq!(*heard.lock().unwrap(), b"");
        let allowed = config.allow_passwords_in_clear();
        connector.connect(allowed).await.unwrap_err(); // no answer to it comes
        eventually("it is heard", || {
            let heard = std::mem::take(&mut *heard.lock().unwrap());
            String::from_utf8_lossy(&heard).contains("canary")
        });
    }
}

/// An error is one of dialling; where the client retries, it does after a pause.
async fn what_a_connector_cannot_do_is_told_and_tried_again<A: Adapter>(site: Site<A>) {
    let (asked, server) = (Arc::new(AtomicUsize::new(0)), site.server().addr());
    let connector = |fails: usize| {
        let asked = asked.clone();
        asked.store(0, Ordering::Relaxed);
        Connector::<A::Runtime>::new(move |_| {
            let fails = asked.fetch_add(1, Ordering::Relaxed) < fails;
            async move {
                match fails {
                    true => Err(io::Error::other("the proxy is on strike")),
                    false => Duplex::to(server),
                }
            }
        })
    };
    let (kind, text) = transport(connector(1).connect("nats://h").await);
    assert_eq!(kind, LinkErrorKind::Dial);
    assert!(text.contains("the proxy is on strike"), "{text}");
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    let began = Instant::now();
    let (first, most) = (Duration::from_millis(40), Duration::from_millis(40));
    let config = Config::new("nats://h")
        .unwrap()
        .reconnect_within(first, most);
    let config = config.retry_first_connect(true);
    let client = connector(20).connect(config).await.unwrap();
    // Twenty random times within 40 ms are shorter than that together once in 10^18 runs.
    assert!(began.elapsed() > Duration::from_millis(40));
    assert_eq!(asked.load(Ordering::Relaxed), 21);
    assert_works(&client).await;
}

/// Its future is dropped then.
async fn a_connector_has_as_long_as_a_connection_may_take<A: Adapter>(_: Site<A>) {
    let alive = Arc::new(());
    let held = alive.clone();
    let connector = Connector::<A::Runtime>::new(move |_| {
        let held = held.clone();
        async move {
            let _held = held;
            pending::<()>().await;
            Err::<Duplex, _>(io::Error::other("it never comes so far"))
        }
    });
    let config = config("nats://h").connect_timeout(Duration::from_millis(100));
    let error = connector.connect(config).await.unwrap_err();
    let late = matches!(error, ConnectError::Failed(Disconnect::HandshakeTimedOut));
    assert!(late, "{error:?}");
    drop(connector);
    eventually("nothing is left of it", || Arc::strong_count(&alive) == 1);
}

/// And the certificate has to be that of the host in the URL, wherever the stream leads.
async fn tls_comes_above_a_connector<A: Adapter>(site: Site<A>) {
    let authority = Authority::new();
    let identity = authority.issue(&["nats.example.org"]);
    let server = authority.start(site.own_server(), &identity, "");
    let to = server.addr();
    let connector = Connector::<A::Runtime>::new(move |_| async move { Duplex::to(to) });
    let with = |host: &str| config(&format!("tls://{host}")).tls(authority.trust());
    let client = connector.connect(with("nats.example.org")).await.unwrap();
    assert_works(&client).await;
    let (kind, text) = transport(connector.connect(with("localhost")).await);
    assert_eq!(kind, LinkErrorKind::Secure);
    assert!(text.contains("not valid for name \"localhost\""), "{text}");
}

/// Connections to it are neither taken nor refused, as its queue is full.
struct BlackHole {
    addr: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let addr = listener.local_addr().unwrap();
        let knock = |_| TcpStream::connect_timeout(&addr, Duration::from_millis(300)).ok();
        let queued: Vec<_> = (0..50).map_while(knock).collect();
        assert!(queued.len() < 50, "its queue has no end");
        Self {
            addr,
            _listener: listener,
            _queued: queued,
        }
    }
}

fn closed_port() -> (Port, SocketAddr) {
    let port = Port::reserve();
    let addr = SocketAddr::from(([127, 0, 0, 1], port.number()));
    (port, addr)
}

/// A black hole, twice, and a port where nobody listens: each costs far less than the time to connect.
async fn an_address_that_does_not_answer_holds_up_no_other<A: Adapter>(site: Site<A>) {
    let hole = BlackHole::open();
    let (_port, closed) = closed_port();
    let open = site.server().addr();
    let began = Instant::now();
    let stream = A::dial_tcp(vec![hole.addr, closed, hole.addr, open]).await;
    let peer = TcpStream::from(stream.unwrap().as_fd().try_clone_to_owned().unwrap()).peer_addr();
    assert_eq!(peer.unwrap(), open);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(450),
        "{took:?}: nobody was waited for"
    );
    assert!(took < 4 * SECOND, "{took:?}");
}

/// With the kind of the last failure.
async fn where_no_address_answers_each_is_told<A: Adapter>(_: Site<A>) {
    let ((_one, first), (_two, second)) = (closed_port(), closed_port());
    let error = A::dial_tcp(vec![first, second])
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let text = error.to_string();
    assert!(text.starts_with(&format!("{first}: ")), "{text}");
    assert!(text.contains(&format!("; {second}: ")), "{text}");
    let nowhere = A::dial_tcp(Vec::new()).await.map(drop).unwrap_err();
    assert_eq!(nowhere.to_string(), "the name has no address");
}

/// To send at once, and to notice a silent end.
async fn tcp_is_asked_for_what_it_shall_do<A: Adapter>(site: Site<A>) {
    let stream = A::dial_tcp(vec![site.server().addr()]).await.unwrap();
    assert!(sockopt::tcp_nodelay(&stream).unwrap());
    assert!(sockopt::socket_keepalive(&stream).unwrap());
    assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEP_ALIVE);
    assert_eq!(sockopt::tcp_keepintvl(&stream).unwrap(), KEEP_ALIVE / 3);
}

/// As the one of a proxy does.
async fn a_connector_can_begin_with_tcp<A: Adapter>(site: Site<A>) {
    let to = site.server().addr();
    let connector = Connector::<A::Runtime>::new(move |_| A::dial_tcp(vec![to]));
    assert_works(&connector.connect("nats://elsewhere").await.unwrap()).await;
}
