//! Proves the harness itself: each tool does to a real server, or to a plain socket, what it says.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Admin, Cluster, Fake, Proxy, Server, Version, binary, eventually, unique};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// Long enough that bytes which could come on loopback would have come.
const QUIET: Duration = Duration::from_millis(100);

/// The servers that the tests of real servers run against: the oldest and the newest.
const ENDS: [Version; 2] = [Version::V2_10, Version::V2_15];

fn dial(addr: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(addr).expect("connects");
    let patience = Some(Duration::from_secs(10));
    socket.set_read_timeout(patience).expect("a live socket");
    socket
}

fn read_to_end(mut socket: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
        Err(error) => panic!("no end after {bytes:?}: {error}"),
    }
}

fn read_exact(mut socket: &TcpStream, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    socket.read_exact(&mut bytes).expect("bytes in time");
    bytes
}

/// Whether nothing comes for a while and the connection stays open.
fn is_quiet(mut socket: &TcpStream) -> bool {
    let before = socket.read_timeout().expect("a live socket");
    socket.set_read_timeout(Some(QUIET)).expect("a live socket");
    let read = socket.read(&mut [0]);
    socket.set_read_timeout(before).expect("a live socket");
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// A peer that sends back what it gets, one connection after the other.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let addr = listener.local_addr().expect("has an address");
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = socket.read(&mut buffer) {
                    if socket.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

fn stream_config(name: &str) -> Value {
    json!({"name": name, "subjects": [format!("{name}.>")], "storage": "file"})
}

#[track_caller]
fn assert_version(server: &Server, version: Version) {
    let replaced = version == Version::DEFAULT && std::env::var_os("NATS_SERVER").is_some();
    assert!(
        replaced || server.version() == version,
        "{version} is {}",
        server.version()
    );
}

#[track_caller]
fn panics_with(wanted: &str, f: impl FnOnce()) {
    let cause = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("panics");
    let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
    assert!(text.contains(wanted), "{text:?} does not say {wanted:?}");
}

#[test]
fn names_are_unique() {
    assert_ne!(unique("b"), unique("b"));
    assert!(unique("b").starts_with("b-"));
}

#[test]
fn versions_parse_and_order() {
    assert_eq!(Version::parse("2.10.26"), Some(Version::V2_10));
    for bad in ["2.10", "2.10.26.1", "2.10.x", "", "2.15.1-RC.1"] {
        assert_eq!(Version::parse(bad), None, "{bad}");
    }
    assert!(Version::ALL.is_sorted());
    assert_eq!(Version::V2_12.to_string(), "2.12.8");
}

#[test]
fn every_version_can_be_had_by_many_at_once() {
    thread::scope(|scope| {
        let askers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| binary(Version::V2_10)))
            .collect();
        let paths: Vec<_> = askers.into_iter().map(|asker| asker.join().ok()).collect();
        assert!(paths.iter().all(|path| path == &paths[0] && path.is_some()));
    });
    for version in Version::ALL {
        assert!(binary(version).is_file(), "{version}");
    }
}

#[test]
fn a_server_is_what_was_asked_for() {
    for version in ENDS {
        let server = Server::builder()
            .version(version)
            .user("u", "p w\"\\")
            .max_payload(4096)
            .config_extra("max_connections: 7")
            .start();
        assert_version(&server, version);
        let info = server.info();
        assert_eq!(info["max_payload"], 4096);
        assert_eq!(info["jetstream"], true);
        assert_eq!(info["auth_required"], true);
        assert!(server.url().ends_with(&format!(":{}", server.port())));
        panics_with("Authorization Violation", || {
            Admin::with_credentials(&server, &json!({}));
        });
        let answer = Admin::connect(&server).request("$JS.API.INFO", b"");
        assert_eq!(
            answer["type"],
            "io.nats.jetstream.api.v1.account_info_response"
        );
    }
    let server = Server::builder().jetstream(false).token("t").start();
    assert_ne!(server.info()["jetstream"], true);
    panics_with("503", || {
        Admin::connect(&server).request("$JS.API.INFO", b"");
    });
}

#[test]
fn a_configuration_no_server_takes_fails_with_its_log() {
    panics_with("no_such_option", || {
        Server::builder().config_extra("no_such_option: 1").start();
    });
}

#[test]
fn messages_survive_restarts_and_crashes() {
    for version in ENDS {
        let server = Server::builder().version(version).start();
        let mut admin = Admin::connect(&server);
        admin.create_stream(&stream_config("s"));
        let ack = admin.publish("s.a", Some("NATS/1.0\r\nX: y\r\n\r\n"), b"one");
        assert_eq!((&ack["stream"], &ack["seq"]), (&json!("s"), &json!(1)));
        let (port, pid) = (server.port(), server.pid());

        server.stop();
        assert!(TcpStream::connect(server.addr()).is_err());
        panics_with("is down", || server.pause());
        server.restart();
        assert_eq!(server.port(), port);
        assert_ne!(server.pid(), pid);
        let mut admin = Admin::connect(&server);
        assert_eq!(admin.publish("s.b", None, b"two")["seq"], 2);

        server.kill();
        server.restart();
        let mut admin = Admin::connect(&server);
        let info = admin.stream_info("s");
        assert_eq!(info["state"]["subjects"], json!({"s.a": 1, "s.b": 1}));
        assert_eq!(admin.purge("s", Some("s.a")), 1);
        assert_eq!(admin.purge("s", Some("s.a")), 0);
        assert_eq!(admin.consumers("s"), 0);
        admin.request(
            "$JS.API.CONSUMER.CREATE.s.c",
            br#"{"stream_name":"s","config":{"name":"c","ack_policy":"none"}}"#,
        );
        assert_eq!(admin.consumer_names("s"), ["c"]);
        admin.delete_consumer("s", "c");
        assert_eq!(admin.consumers("s"), 0);
        admin.delete_stream("s");
        panics_with("stream not found", || {
            admin.stream_info("s");
        });
    }
}

#[test]
fn a_paused_server_answers_nothing_until_it_resumes() {
    for version in ENDS {
        let server = Server::builder().version(version).start();
        let mut client = dial(server.addr());
        client
            .write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
            .expect("writes");
        eventually_reads(&client, b"PONG\r\n");
        server.pause();
        client.write_all(b"PING\r\n").expect("the socket is open");
        assert!(is_quiet(&client));
        server.resume();
        eventually_reads(&client, b"PONG\r\n");
        server.pause();
        server.pause();
        server.kill();
        assert_eq!(read_to_end(&client), b"");
    }
}

fn eventually_reads(socket: &TcpStream, end: &[u8]) {
    let mut seen = Vec::new();
    while !seen.ends_with(end) {
        seen.extend(read_exact(socket, 1));
    }
}

#[test]
fn a_lame_duck_says_so_and_ends() {
    for version in ENDS {
        let server = Server::builder().version(version).start();
        let mut client = dial(server.addr());
        client
            .write_all(b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n")
            .expect("writes");
        eventually_reads(&client, b"PONG\r\n");
        server.lame_duck();
        let said = String::from_utf8(read_to_end(&client)).expect("text");
        assert!(said.contains("\"ldm\":true"), "{said}");
        server.await_end();
        server.restart();
        assert_version(&server, version);
    }
}

#[test]
fn a_reload_takes_effect_or_fails() {
    let server = Server::start();
    server.reload("max_payload: 2048");
    let mut greeting = String::new();
    let client = dial(server.addr());
    BufReader::new(&client)
        .read_line(&mut greeting)
        .expect("greets");
    assert!(greeting.contains("\"max_payload\":2048"), "{greeting}");
    panics_with("Reloaded", || server.reload("no_such_option: 1"));
}

#[test]
fn a_dropped_server_leaves_nothing_behind() {
    let server = Server::start();
    let (addr, pid) = (server.addr(), server.pid());
    let process = format!("/proc/{pid}");
    assert!(Path::new(&process).exists());
    server.pause();
    drop(server);
    assert!(!Path::new(&process).exists());
    assert!(TcpStream::connect(addr).is_err());
}

/// Runs this test alone in a process that starts a server and is killed with it alive.
#[test]
fn a_server_ends_with_its_process_however_that_ends() {
    const CHILD: &str = "KV_TESTS_LEAVE_A_SERVER";
    if std::env::var_os(CHILD).is_some() {
        static SERVER: OnceLock<Server> = OnceLock::new();
        let server = SERVER.get_or_init(Server::start);
        let line = format!("\nserver {}\n", server.pid());
        std::io::stdout()
            .write_all(line.as_bytes())
            .expect("writes");
        loop {
            thread::park();
        }
    }
    let name = "a_server_ends_with_its_process_however_that_ends";
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("runs again");
    let output = BufReader::new(child.stdout.take().expect("is piped"));
    let pid = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("server ")?.to_owned()))
        .expect("names its server");
    let process = format!("/proc/{pid}/exe");
    assert!(Path::new(&process).exists());
    child.kill().expect("kills");
    child.wait().expect("waits");
    eventually("the server is gone", || {
        !std::fs::exists(&process).unwrap_or(false)
    });
}

#[test]
fn a_proxy_is_transparent_and_keeps_a_transcript() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let mut client = dial(proxy.addr());
    client.write_all(b"CONNECT {}\r\nPING\r\n").expect("writes");
    eventually_reads(&client, b"PONG\r\n");
    assert_eq!(proxy.transcript(ClientToServer), b"CONNECT {}\r\nPING\r\n");
    assert_eq!(proxy.bytes(ClientToServer), 18);
    let answers = proxy.transcript(ServerToClient);
    assert!(answers.starts_with(b"INFO {") && answers.ends_with(b"PONG\r\n"));
    assert_eq!((proxy.connections(), proxy.live()), (1, 1));
    drop(client);
    eventually("the connection is over", || proxy.live() == 0);
}

/// Whatever `n` is, exactly `n` bytes pass, both sides end, and the next connection is whole.
#[test]
fn a_cut_falls_after_exactly_n_bytes() {
    let sent: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for direction in [ClientToServer, ServerToClient] {
        for n in [0, 1, 4095, 65_536, 99_999] {
            let proxy = Proxy::start(echo());
            proxy.cut_after(direction, n as u64);
            let mut client = dial(proxy.addr());
            thread::scope(|scope| {
                scope.spawn(|| (&client).write_all(&sent)); // fails when the cut comes first
                let got = read_to_end(&client);
                assert!(sent.starts_with(&got));
                if direction == ServerToClient {
                    assert_eq!(got.len(), n);
                }
            });
            assert_eq!(proxy.transcript(direction), sent[..n], "{direction:?}");
            assert_eq!(proxy.live(), 0);

            client = dial(proxy.addr());
            client.write_all(b"whole").expect("writes");
            assert_eq!(read_exact(&client, 5), b"whole");
        }
    }
}

#[test]
fn the_acknowledgement_is_lost_and_the_message_is_stored() {
    for version in ENDS {
        let server = Server::builder().version(version).start();
        let mut admin = Admin::connect(&server);
        admin.create_stream(&stream_config("s"));
        let proxy = Proxy::start(server.addr());
        proxy.drop_matching(ServerToClient, b"\"seq\":2");
        let mut client = dial(proxy.addr());
        client
            .write_all(b"CONNECT {}\r\nSUB r 1\r\nPUB s.a r 3\r\none\r\nPUB s.a r 3\r\ntwo\r\n")
            .expect("writes");
        let got = String::from_utf8(read_to_end(&client)).expect("text");
        assert!(got.contains("\"seq\":1"), "{got}");
        assert!(got.trim_end().ends_with("{\"stream\":\"s\","), "{got}"); // 2.10 has a blank here
        assert_eq!(admin.stream_info("s")["state"]["last_seq"], 2);
        assert_eq!(proxy.transcript(ServerToClient), got.as_bytes());
    }
}

/// A receiver that looks after each write sees the pieces one by one.
#[test]
fn chunks_are_writes_of_their_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = Proxy::start(listener.local_addr().expect("has an address"));
    proxy.chunk(ClientToServer, 3);
    let mut client = dial(proxy.addr());
    let (mut server, _) = listener.accept().expect("accepts");
    client.write_all(b"abcdefgh").expect("writes");
    let mut sizes = Vec::new();
    let mut got = Vec::new();
    while got.len() < 8 {
        let mut buffer = [0; 64];
        let n = server.read(&mut buffer).expect("reads");
        sizes.push(n);
        got.extend_from_slice(&buffer[..n]);
    }
    assert_eq!(got, b"abcdefgh");
    // Pieces may meet in the receiver's buffer, but only whole ones.
    assert!(sizes.iter().rev().skip(1).all(|n| n % 3 == 0), "{sizes:?}");
}

#[test]
fn a_stall_holds_bytes_and_loses_none() {
    for direction in [ClientToServer, ServerToClient] {
        let proxy = Proxy::start(echo());
        let mut client = dial(proxy.addr());
        client.write_all(b"a").expect("writes");
        assert_eq!(read_exact(&client, 1), b"a");
        proxy.stall(direction);
        client.write_all(b"b").expect("writes");
        assert!(is_quiet(&client));
        assert_eq!(proxy.bytes(direction), 1);
        proxy.resume(direction);
        assert_eq!(read_exact(&client, 1), b"b");
    }
}

/// A stalled reader fills the sender's buffers: back-pressure, not memory.
#[test]
fn a_stall_pushes_back() {
    let proxy = Proxy::start(echo());
    proxy.stall(ClientToServer);
    let mut client = dial(proxy.addr());
    client.set_nonblocking(true).expect("a live socket");
    let mut sent = 0;
    let deadline = Instant::now() + 10 * SECOND;
    let blocked = loop {
        match client.write(&[0; 65536]) {
            Ok(n) => sent += n,
            Err(error) => break error.kind(),
        }
        assert!(
            Instant::now() < deadline && sent < 64 << 20,
            "{sent} bytes went in"
        );
    };
    assert_eq!(blocked, ErrorKind::WouldBlock);
}

#[test]
fn a_half_open_link_hides_the_death_of_the_server() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let mut client = dial(proxy.addr());
    client
        .write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n")
        .expect("writes");
    eventually_reads(&client, b"PONG\r\n");
    let before = proxy.bytes(ServerToClient);
    proxy.half_open(ServerToClient);
    proxy.half_open(ClientToServer);
    client.write_all(b"PING\r\n").expect("writes");
    server.kill();
    assert!(is_quiet(&client));
    client.write_all(b"PING\r\n").expect("writes");
    assert!(is_quiet(&client));
    assert_eq!(proxy.bytes(ServerToClient), before);
    proxy.resume(ServerToClient);
    assert_eq!(read_to_end(&client), b"");
}

#[test]
fn cuts_refusals_and_dead_servers_end_connections() {
    let proxy = Proxy::start(echo());
    let client = dial(proxy.addr());
    eventually("the connection is up", || proxy.live() == 1);
    proxy.stall(ServerToClient);
    proxy.cut_all();
    assert_eq!(read_to_end(&client), b"");
    proxy.refuse(true);
    assert_eq!(read_to_end(&dial(proxy.addr())), b"");
    proxy.heal();
    let mut client = dial(proxy.addr());
    client.write_all(b"again").expect("writes");
    assert_eq!(read_exact(&client, 5), b"again");
    assert_eq!(proxy.connections(), 3);
    let addr = proxy.addr();
    drop(proxy);
    assert_eq!(read_to_end(&client), b"");
    // A process that another test is just starting may hold a copy of the listener until its exec.
    eventually("nobody listens", || TcpStream::connect(addr).is_err());

    let server = Server::builder().jetstream(false).start();
    let proxy = Proxy::start(server.addr());
    server.kill();
    assert_eq!(read_to_end(&dial(proxy.addr())), b"");
}

#[test]
fn a_fake_speaks_as_scripted() {
    let fake = Fake::start(|conn| {
        if conn.number() == 0 {
            conn.handshake();
            assert_eq!(conn.connect_json()["name"], "me");
            conn.send(b"-ERR 'first'\r\n");
            return;
        }
        conn.handshake_with(&json!({"max_payload": 7, "xkey": null}));
        let more = conn.read_until(b"\r\n", SECOND);
        conn.send(&more);
        assert_eq!(conn.read_exact(3, SECOND), b"abc");
        assert_eq!(conn.read_to_end(10 * SECOND), b"rest");
    });
    let mut first = dial(fake.addr());
    first
        .write_all(b"CONNECT {\"name\":\"me\"}\r\nPING\r\n")
        .expect("writes");
    let said = String::from_utf8(read_to_end(&first)).expect("text");
    assert!(said.starts_with("INFO {") && said.ends_with("}\r\nPONG\r\n-ERR 'first'\r\n"));

    let mut second = dial(fake.addr());
    second
        .write_all(b"CONNECT {}\r\nPING\r\nSUB x 1\r\nabc")
        .expect("writes");
    let mut line = Vec::new();
    while !line.ends_with(b"SUB x 1\r\n") {
        line.extend(read_exact(&second, 1));
    }
    let info = line.strip_prefix(b"INFO ").expect("greets");
    let info = info.split(|byte| *byte == b'\r').next().expect("a line");
    let info: Value = serde_json::from_slice(info).expect("JSON");
    assert_eq!(
        (&info["max_payload"], &info["xkey"]),
        (&json!(7), &Value::Null)
    );
    assert_eq!(info["port"], fake.addr().port());
    second.write_all(b"rest").expect("writes");
    drop(second);
    assert_eq!(fake.accepted(), 2);
}

#[test]
fn a_script_that_fails_fails_the_test_and_a_hang_up_does_not() {
    let fails = |script: fn(&mut kv_tests::FakeConn), hello: &[u8]| {
        let fake = Fake::start(script);
        let mut client = dial(fake.addr());
        client.write_all(hello).expect("writes");
        read_to_end(&client);
        drop(fake);
    };
    panics_with("waited in vain for \"PING\"", || {
        fails(|conn| drop(conn.read_until(b"PING", QUIET)), b"PONG");
    });
    panics_with("a client began with", || {
        fails(|conn| drop(conn.handshake()), b"SUB x 1\r\nPING\r\n");
    });
    let fake = Fake::start(|conn| drop(conn.read_until(b"never", 10 * SECOND)));
    let client = dial(fake.addr());
    drop(client);
    drop(dial(fake.addr()));
}

/// Everything can be shared between the threads of a runtime.
#[test]
fn the_tools_are_send_and_sync() {
    fn shared<T: Send + Sync + Debug>() {}
    shared::<Server>();
    shared::<Proxy>();
    shared::<Fake>();
    shared::<Admin>();
}

/// A stream of a cluster has a replica on each server, and another leader after a step-down.
#[test]
fn a_cluster_replicates() {
    let cluster = Cluster::start(Version::DEFAULT);
    let mut admin = Admin::connect(cluster.server(0));
    admin.create_stream(&json!({"name": "C", "subjects": ["c.*"], "num_replicas": 3}));
    let stored = admin.publish("c.1", None, b"v");
    assert_eq!(stored["seq"], 1);
    let info = admin.stream_info("C");
    let replicas = info["cluster"]["replicas"].as_array().map(Vec::len);
    assert_eq!(replicas, Some(2));
    let elections = || {
        let logs = cluster.servers().iter().map(Server::log);
        let counts = logs.map(|log| log.matches("new stream leader for '$G > C'").count());
        counts.sum::<usize>()
    };
    let before = elections();
    assert!(cluster.step_down("C"));
    eventually("another leader", || elections() > before);
    assert_eq!(admin.stream_info("C")["state"]["messages"], 1);
}
