//! A hub and a leaf node, each with a JetStream domain of its own, and accounts that import each other's.
//!
//! ```text
//!   clients ──► leaf (domain leaf) ──► proxy ──► hub (domain hub) ◄── clients
//! ```
//!
//! The way from the leaf to the hub can be cut; it is there when the hub's API answers on the leaf.

use std::thread;
use std::time::{Duration, Instant};

use crate::{Admin, Port, Proxy, Server, ServerBuilder};

const MANUAL: &str = include_str!("../../kv-proto/src/manual/domains.md");

/// Leaf nodes come back after a second, and servers wait a while before they tell of what they know.
const PATIENCE: Duration = Duration::from_secs(30);

/// The prefix under which an account imports another one's API, in the manual.
pub const IMPORTED_API: &str = "JS.acme.API";

/// The inbox that it imports.
pub const IMPORTED_INBOX: &str = "deliver.acme";

/// A real hub and a real leaf node; they end when it is dropped.
#[derive(Debug)]
pub struct Domains {
    leaf: Server,
    hub: Server,
    way: Proxy,
    _leafnodes: Port,
}

impl Domains {
    /// Starts both, of one version, and waits until they know each other. The leaf is built upon what is
    /// given.
    ///
    /// # Panics
    ///
    /// When they do not find together.
    #[track_caller]
    pub fn start(leaf: ServerBuilder) -> Self {
        let leafnodes = Port::reserve();
        let listen = format!("127.0.0.1:{}", leafnodes.number());
        let Ok(upstream) = listen.parse() else {
            panic!("{listen} is no address");
        };
        let way = Proxy::start(upstream);
        // A leaf goes to whatever address it was told of, too.
        let advertised = way.addr().to_string();
        let hub = Server::builder()
            .version(leaf.version)
            .jetstream_extra("domain: hub")
            .config_extra(&format!(
                "leafnodes {{ listen: {listen:?}, advertise: {advertised:?} }}\n"
            ))
            .start();
        let url = format!("nats-leaf://{}", way.addr());
        let remotes = format!(
            "leafnodes {{ reconnect: 1, remotes: [ {{ url: {url:?} }} ] }}\n{}",
            leaf.extra
        );
        let leaf = leaf.jetstream_extra("domain: leaf").config_extra(&remotes);
        let domains = Self {
            leaf: leaf.start(),
            hub,
            way,
            _leafnodes: leafnodes,
        };
        domains.await_way(true);
        domains
    }

    /// The server of domain `hub`.
    pub fn hub(&self) -> &Server {
        &self.hub
    }

    /// The server of domain `leaf`.
    pub fn leaf(&self) -> &Server {
        &self.leaf
    }

    /// Cuts the way from the leaf to the hub and keeps it shut. Returns when the leaf has noticed.
    #[track_caller]
    pub fn part(&self) {
        self.way.refuse(true);
        self.way.cut_all();
        self.await_way(false);
    }

    /// Opens the way again. Returns when both know each other.
    #[track_caller]
    pub fn join(&self) {
        self.way.refuse(false);
        self.await_way(true);
    }

    /// Kills the leaf and starts it again. Returns when both know each other.
    #[track_caller]
    pub fn restart_leaf(&self) {
        self.leaf.kill();
        self.leaf.restart();
        self.await_way(true);
    }

    #[track_caller]
    fn await_way(&self, open: bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut admin = Admin::connect(&self.leaf);
        while admin.is_served("$JS.hub.API.INFO") != open {
            let late = Instant::now() >= deadline;
            assert!(!late, "the way is not {open}:\n{}", self.leaf.log());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The accounts of the manual, as lines of a server's configuration: user `acme` owns the buckets, user
/// `app` imports them. Both have `p` for a password, and APP a JetStream of its own if it is told to.
#[must_use]
pub fn importing_accounts(app_has_its_own: bool) -> String {
    let text = MANUAL.split("```text\n").nth(1);
    let accounts = text.and_then(|text| text.split("```").next());
    let Some(accounts) = accounts else {
        panic!("the manual shows no accounts");
    };
    let own = if app_has_its_own {
        "jetstream: enabled"
    } else {
        ""
    };
    let user = |name: &str| format!("users: [ {{ user: {name}, password: p }} ]");
    let acme = format!("ACME {{\n    {}", user("acme"));
    let app = format!("APP {{\n    {}\n    {own}", user("app"));
    accounts.replace("ACME {", &acme).replace("APP {", &app)
}
