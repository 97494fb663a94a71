//! The same clients and the same server, in turmoil's world.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use kv_proto::driver::{Connecting, Io, Runtime, Timer};
use kv_proto::{Clock, Config, Instant, Seed, ServerAddr};
use kv_sim::server::{self, Cluster, ConnId, ServerId, Version};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use turmoil::net::{TcpListener, TcpStream};

use crate::load::{CLIENTS, LATENCY, application};

/// One run.
pub(crate) fn run(seed: u64) {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(600))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(LATENCY / 2)
        .max_message_latency(LATENCY * 3 / 2)
        .build();
    sim.host("server", move || serve(seed));
    for (at, name) in CLIENTS.into_iter().enumerate() {
        sim.client(name, async move {
            let config = Config::new("server:4222")?;
            let seed = Seed::from_u64(seed * CLIENTS.len() as u64 + at as u64);
            let (client, driver) = kv_proto::driver::new(Turmoil::new(), config, seed);
            let driver = tokio::spawn(driver);
            client.connected().await?;
            application(client, name).await;
            driver.abort();
            Ok(())
        });
    }
    sim.run().expect("the run ends well");
}

/// The simulated server and who is to be told that it has something to say.
struct Host {
    cluster: Cluster,
    began: tokio::time::Instant,
    writers: BTreeMap<ConnId, Rc<Notify>>,
}

impl Host {
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.began.elapsed()
    }

    fn wake_writers(&self) {
        for writer in self.writers.values() {
            writer.notify_one();
        }
    }
}

/// Serves whoever connects, for ever. Nothing in this load waits for a timer of the server.
async fn serve(seed: u64) -> turmoil::Result {
    let host = Rc::new(RefCell::new(Host {
        cluster: Cluster::new(server::Config::new(Version::V2_15), seed),
        began: tokio::time::Instant::now(),
        writers: BTreeMap::new(),
    }));
    let listener = TcpListener::bind(("0.0.0.0", 4222)).await?;
    let tasks = tokio::task::LocalSet::new();
    tasks
        .run_until(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                tokio::task::spawn_local(converse(stream, host.clone()));
            }
        })
        .await
}

/// One connection: bytes in, bytes out.
async fn converse(stream: TcpStream, host: Rc<RefCell<Host>>) -> io::Result<()> {
    let wake = Rc::new(Notify::new());
    let accepted = {
        let mut host = host.borrow_mut();
        let now = host.now();
        host.cluster.accept(now, ServerId(0))
    };
    let conn = accepted.ok_or(io::ErrorKind::ConnectionRefused)?;
    host.borrow_mut().writers.insert(conn, wake.clone());
    let (mut reader, mut writer) = stream.into_split();
    let writing = {
        let host = host.clone();
        tokio::task::spawn_local(async move {
            loop {
                let output = host.borrow_mut().cluster.take_output(conn);
                if output.is_empty() {
                    wake.notified().await;
                } else {
                    writer.write_all(&output).await?;
                }
            }
            #[expect(unreachable_code, reason = "tells the type of the error")]
            Ok::<(), io::Error>(())
        })
    };
    let mut input = BytesMut::new();
    while reader.read_buf(&mut input).await? > 0 {
        let mut host = host.borrow_mut();
        let now = host.now();
        host.cluster.handle_input(now, conn, &input);
        host.wake_writers();
        input.clear();
    }
    writing.abort();
    let mut host = host.borrow_mut();
    let now = host.now();
    host.writers.remove(&conn);
    host.cluster.handle_closed(now, conn);
    Ok(())
}

/// What the driver asks of its runtime, as `kv-tokio` answers it.
struct Turmoil(TokioClock);

#[derive(Clone, Copy)]
struct TokioClock(tokio::time::Instant);

impl Turmoil {
    fn new() -> Self {
        Self(TokioClock(tokio::time::Instant::now()))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.0.elapsed()
    }
}

impl Runtime for Turmoil {
    type Io = Socket;
    type Timer = TurmoilTimer;

    fn dial(&self, server: &ServerAddr) -> Connecting<Socket> {
        let server = (server.host().to_owned(), server.port());
        Box::pin(async move { Ok(Socket(TcpStream::connect(server).await?)) })
    }

    fn timer(&self) -> TurmoilTimer {
        TurmoilTimer {
            origin: self.0.0,
            sleep: None,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.0)
    }
}

struct TurmoilTimer {
    origin: tokio::time::Instant,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Timer for TurmoilTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = self.origin + Duration::from_nanos(at.as_nanos());
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

struct Socket(TcpStream);

impl Io for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        pin!(self.0.read_buf(input)).poll(cx)
    }

    fn poll_write<B: Buf>(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut B,
    ) -> Poll<io::Result<usize>> {
        pin!(self.0.write_buf(output)).poll(cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}
