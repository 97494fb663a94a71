//! A server that trusts an operator, whose account's users log in with JWTs: made with the `nkeys` crate, so
//! that both forms of keys are held against code that is not ours.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kv_tests::{Server, ServerBuilder};
use nkeys::KeyPair;
use serde_json::{Value, json};

/// An operator with one account that may use JetStream.
pub(super) struct Operator {
    key: KeyPair,
    account: KeyPair,
}

/// A user of that account.
pub(super) struct User {
    pub(super) jwt: String,
    pub(super) key: KeyPair,
}

impl Operator {
    pub(super) fn new() -> Self {
        Self {
            key: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    /// A server that trusts it.
    pub(super) fn start(&self, server: ServerBuilder) -> Server {
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        });
        let operator = claims(&self.key, &self.key, "operator", json!({}), None);
        let system = KeyPair::new_account();
        let preloaded = [
            (&self.account, json!({ "limits": limits })),
            (&system, json!({})),
        ];
        let preloaded = preloaded.map(|(account, body)| {
            let jwt = claims(&self.key, account, "account", body, None);
            format!("{}: {jwt}", account.public_key())
        });
        let extra = format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {} }}",
            system.public_key(),
            preloaded.join(", "),
        );
        server.config_extra(&extra).start()
    }

    /// A new user, who may log in for so long.
    pub(super) fn user(&self, lives: Option<Duration>) -> User {
        let key = KeyPair::new_user();
        let body = json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1 });
        let jwt = claims(&self.account, &key, "user", body, lives);
        User { jwt, key }
    }
}

impl User {
    pub(super) fn seed(&self) -> String {
        self.key.seed().expect("a seed")
    }

    /// What `nsc` writes into a file.
    pub(super) fn creds(&self) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            self.jwt,
            self.seed(),
        )
    }
}

/// A JWT by which `issuer` says something of `subject`.
fn claims(
    issuer: &KeyPair,
    subject: &KeyPair,
    kind: &str,
    mut nats: Value,
    lives: Option<Duration>,
) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970");
    nats["type"] = kind.into();
    nats["version"] = 2.into();
    let mut body = json!({
        "jti": "1", "iat": now.as_secs(), "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": kind, "nats": nats,
    });
    if let Some(lives) = lives {
        body["exp"] = (now + lives).as_secs().into();
    }
    let encoded = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = format!("{}.{}", encoded(&header), encoded(&body));
    let signature = issuer.sign(text.as_bytes()).expect("a private key");
    format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
