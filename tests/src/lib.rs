//! The test harness of the workspace: real servers, a breaking network and hostile servers.
//!
//! | part | what it is | for |
//! |---|---|---|
//! | [`Server`] | a running real nats-server with its own directory, port and log | behaviour as servers really have it, restarts, crashes, lame duck |
//! | [`Cluster`] | three of them as one JetStream cluster | replication, elections |
//! | [`Domains`] | a hub and a leaf node, each with a JetStream of its own | buckets elsewhere, and the way there lost |
//! | [`Proxy`] | a proxy, by TCP or a Unix socket, with faults that strike at an exact byte | lost acknowledgements, half-open links, frames in pieces |
//! | [`Fake`] | a server that follows a script | answers no real server gives |
//! | [`Admin`] | a second, independent, naive connection | to look at a server without the code under test |
//! | [`binary`] | the nats-server of a [`Version`] | found, or installed below the target directory |
//! | [`nats_py`] | the Python client | installed below the target directory |
//!
//! Everything here blocks and uses threads, so that tests of every runtime can share it. A harness that
//! cannot do its work panics with one line that says why: nothing is ever skipped in silence. All
//! sockets are on the loopback interface; a server is ended by its own process id when its [`Server`]
//! is dropped, and also when the test process ends without dropping it (a `static`, an abort).
//!
//! ```no_run
//! use kv_tests::{Admin, Direction, Proxy, Server, Version};
//!
//! let server = Server::builder().version(Version::V2_10).user("u", "p").start();
//! let proxy = Proxy::start(server.addr());
//! proxy.drop_matching(Direction::ServerToClient, b"\"seq\":2");
//! // … a client connects to proxy.url(), puts twice, and never sees the second acknowledgement …
//! let stored = Admin::connect(&server).stream_info("KV_config")["state"]["messages"].as_u64();
//! assert_eq!(stored, Some(2));
//! ```

mod cluster;
mod domains;
mod fake;
mod guard;
mod nats_py;
mod permissions;
mod port;
mod provision;
mod proxy;
mod raw;
mod server;
mod stream;
mod witness;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use cluster::Cluster;
pub use domains::{Domains, IMPORTED_API, IMPORTED_INBOX, importing_accounts};
pub use fake::{Fake, FakeConn};
pub use nats_py::nats_py;
pub use permissions::{
    Permission, least_permissions, least_permissions_behind, permissions_config,
};
pub use port::Port;
pub use provision::{Version, binary};
pub use proxy::{Direction, Proxy};
pub use raw::Admin;
pub use server::{Server, ServerBuilder};
pub use witness::Witness;

/// How long anything on this machine may take before the harness calls it broken: far more than a
/// loaded two-core machine needs, short enough that a failing run is read today.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Returns a bucket name that no other call returned, in this process or another one that runs.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{}-{number}", std::process::id())
}

/// Waits until `holds` returns true; panics, naming `what`, when it does not within ten seconds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
