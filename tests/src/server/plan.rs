//! What a server is to be like, and the configuration file that says so.

use super::Server;
use crate::Version;
use crate::permissions::{Permission, permissions_config};

/// How often [`ServerBuilder::start`] tries another port after a stranger took the one it found free.
const PORTS_TO_TRY: usize = 5;

/// The server's own defaults (10 s of grace) would make a lame-duck test slow; 30 s is its minimum.
const LAME_DUCK: &str = "lame_duck_grace_period: 1s\nlame_duck_duration: 30s\n";

/// What a [`Server`] is to be like.
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing before `start`"]
pub struct ServerBuilder {
    pub(crate) version: Version,
    jetstream: bool,
    pub(super) login: Login,
    max_payload: Option<usize>,
    jetstream_extra: String,
    /// It greets in clear, at least those who say nothing for a while.
    pub(super) greets: bool,
    pub(crate) extra: String,
}

/// How clients prove who they are.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    Open,
    User {
        name: String,
        password: String,
    },
    Token(String),
    /// The owner may do everything, everybody else what is allowed.
    Guarded {
        allowed: String,
        /// Further users, as the configuration has them.
        users: String,
    },
}

/// Who may do everything on a server that is [guarded](ServerBuilder::guarded), and the password.
pub(crate) const OWNER: &str = "owner";

impl ServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            version: Version::DEFAULT,
            jetstream: true,
            login: Login::Open,
            max_payload: None,
            jetstream_extra: String::new(),
            greets: true,
            extra: String::new(),
        }
    }

    /// Which version runs; [`Version::DEFAULT`] unless told.
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Whether JetStream is on; it is unless told.
    pub fn jetstream(mut self, on: bool) -> Self {
        self.jetstream = on;
        self
    }

    /// Lets in only this user.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.login = Login::User {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        self
    }

    /// Lets in only clients with this token.
    pub fn token(mut self, token: &str) -> Self {
        self.login = Login::Token(token.to_owned());
        self
    }

    /// Lets in everybody who says no name, with these permissions, and an owner who may do everything: who
    /// administers it.
    pub fn guarded(mut self, permissions: &[Permission]) -> Self {
        let allowed = permissions_config(permissions);
        let users = String::new();
        self.login = Login::Guarded { allowed, users };
        self
    }

    /// Lets in one more user of a server that is [guarded](Self::guarded), with these permissions. Name
    /// and password are the same.
    ///
    /// # Panics
    ///
    /// When the server is not guarded.
    #[track_caller]
    pub fn guarded_user(mut self, name: &str, permissions: &[Permission]) -> Self {
        let Login::Guarded { users, .. } = &mut self.login else {
            panic!("a server without a guard has no such users");
        };
        let allowed = permissions_config(permissions);
        *users +=
            &format!(", {{user: {name:?}, password: {name:?}, permissions: {{ {allowed} }}}}");
        self
    }

    /// The largest message the server takes, in bytes.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// Lines for the end of JetStream's part of the configuration file, as they are.
    pub fn jetstream_extra(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.jetstream_extra);
        self
    }

    /// Says that it greets nobody before a TLS handshake: it is up when its log says so, and its INFO
    /// stays unknown.
    pub fn greets_after_tls(mut self) -> Self {
        self.greets = false;
        self
    }

    /// Lines for the end of the configuration file, as they are.
    pub fn config_extra(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.extra);
        self
    }

    /// Starts the server and waits until it accepts.
    ///
    /// # Panics
    ///
    /// When it does not come up; the message ends with its log.
    #[track_caller]
    pub fn start(self) -> Server {
        for _ in 0..PORTS_TO_TRY {
            let server = Server::down(self.clone());
            if server.launch() {
                return server;
            }
        }
        panic!("nats-server: {PORTS_TO_TRY} ports in a row were taken before it could listen");
    }

    /// The configuration file of a server so named, with `extra` in place of the builder's own lines.
    pub(super) fn config(&self, name: &str, port: u16, store: &str, extra: &str) -> String {
        let mut text = format!("server_name: {name}\nlisten: \"127.0.0.1:{port}\"\n{LAME_DUCK}");
        if self.jetstream {
            let extra = &self.jetstream_extra;
            text += &format!(
                "jetstream {{ store_dir: {store:?}, max_mem: 256MB, max_file: 4GB\n{extra} }}\n"
            );
        }
        match &self.login {
            Login::Open => {}
            Login::User { name, password } => {
                text += &format!("authorization {{ user: {name:?}, password: {password:?} }}\n");
            }
            Login::Token(token) => text += &format!("authorization {{ token: {token:?} }}\n"),
            Login::Guarded { allowed, users } => {
                text += &format!(
                    "authorization {{ users: [\
                     {{user: {OWNER:?}, password: {OWNER:?}}}, \
                     {{user: anybody, password: anybody, permissions: {{ {allowed} }}}}{users}\
                     ] }}\nno_auth_user: anybody\n"
                );
            }
        }
        if let Some(bytes) = self.max_payload {
            text += &format!("max_payload: {bytes}\n");
        }
        text + extra + "\n"
    }
}
