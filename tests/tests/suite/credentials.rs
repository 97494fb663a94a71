//! Keys, JWTs, files and callbacks: who logs in, and who does not.

mod operator;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kv_proto::driver::Challenge;
use kv_proto::{
    BucketConfig, Config, ConnectError, ConnectionEvent, Credentials, Disconnect, LinkErrorKind,
    NKey, Signature, UserCreds,
};
use kv_tests::{Server, eventually};
use nkeys::KeyPair;

use self::operator::Operator;
use crate::site::{Adapter, SECOND, Site, at_once, config, tests};

tests! {
    on_both_ends {
        a_key_logs_in_and_another_one_does_not
        a_jwt_logs_in_with_its_key_only
        a_creds_file_is_read_on_each_connection
        a_callback_is_asked_on_each_connection
        what_fails_to_be_found_says_why
        a_server_without_a_challenge_is_named
        an_expired_jwt_is_an_authentication_error
    }
}

fn ours(key: &KeyPair) -> NKey {
    NKey::from_seed(&key.seed().unwrap()).unwrap()
}

/// A server that lets in the users of these keys.
fn server_for<A: Adapter>(site: &Site<A>, keys: &[&KeyPair]) -> Server {
    let users: String = keys
        .iter()
        .map(|key| format!("{{nkey: {}}},", key.public_key()))
        .collect();
    let extra = format!("authorization {{ users: [{users}] }}");
    site.own_server().config_extra(&extra).start()
}

#[track_caller]
fn assert_refused(result: Result<impl Sized, ConnectError>) {
    let error = result.err().expect("it is refused");
    let refused = matches!(&error, ConnectError::Failed(Disconnect::Authentication(_)));
    assert!(refused, "{error:?}");
}

async fn assert_works<A: Adapter>(config: Config) {
    let client = A::connect(config).await.unwrap();
    let bucket = client.create_or_update_bucket(BucketConfig::new("b")).await;
    bucket.unwrap().put("a", "1").await.unwrap();
}

async fn a_key_logs_in_and_another_one_does_not<A: Adapter>(site: Site<A>) {
    let (known, unknown) = (KeyPair::new_user(), KeyPair::new_user());
    let server = server_for(&site, &[&known]);
    let url = server.url();
    assert_eq!(ours(&known).public_key(), known.public_key());
    assert_works::<A>(config(&url).nkey(ours(&known))).await;
    assert_refused(at_once(A::connect(config(&url).nkey(ours(&unknown)))).await);
    assert_refused(at_once(A::connect(config(&url))).await);
    // The right name, signed by somebody else.
    let (name, forger) = (known.public_key(), ours(&unknown));
    let forged = config(&url).authenticate_with(move |challenge| {
        let forged = forged(&challenge, &name, &forger);
        async move { Ok(forged) }
    });
    assert_refused(at_once(A::connect(forged)).await);
}

fn forged(challenge: &Challenge, name: &str, forger: &NKey) -> Credentials {
    let nonce = challenge.nonce.clone().unwrap();
    Credentials::NKey {
        public_key: name.to_owned(),
        signature: forger.sign(nonce.as_bytes()),
    }
}

async fn a_jwt_logs_in_with_its_key_only<A: Adapter>(site: Site<A>) {
    let operator = Operator::new();
    let server = operator.start(site.own_server());
    let url = server.url();
    let (user, other) = (operator.user(None), operator.user(None));
    let creds = UserCreds::parse(&user.creds()).unwrap();
    assert_eq!(creds, UserCreds::new(user.jwt.as_str(), ours(&user.key)));
    assert_works::<A>(config(&url).user_creds(creds)).await;

    let foreign_key = UserCreds::new(user.jwt.as_str(), ours(&other.key));
    let foreign_account = Operator::new().user(None);
    let foreign = UserCreds::parse(&foreign_account.creds()).unwrap();
    for wrong in [
        config(&url).user_creds(foreign_key),
        config(&url).user_creds(foreign),
        config(&url).nkey(ours(&user.key)),
        config(&url),
    ] {
        assert_refused(at_once(A::connect(wrong)).await);
    }
}

/// A file may be replaced while the client runs: the next connection takes what is there then.
async fn a_creds_file_is_read_on_each_connection<A: Adapter>(site: Site<A>) {
    let operator = Operator::new();
    let server = operator.start(site.own_server());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user.creds");
    std::fs::write(&path, operator.user(None).creds()).unwrap();
    let client = A::connect(config(&server.url()).creds_file(&path))
        .await
        .unwrap();

    std::fs::write(&path, "nothing of use").unwrap();
    server.restart();
    let missing = || match client.last_disconnect() {
        Some(Disconnect::Transport(error)) => error.kind() == LinkErrorKind::Credentials,
        _ => false,
    };
    eventually("the file is read again", missing);
    let text = client.last_disconnect().unwrap().to_string();
    assert!(text.contains("no block with a user JWT"), "{text}");

    std::fs::write(&path, operator.user(None).creds()).unwrap();
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    assert_eq!(client.stats().connects, 2);
}

async fn a_callback_is_asked_on_each_connection<A: Adapter>(site: Site<A>) {
    let server = site.own_server().token("s3cret").start();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let with_callback = config(&server.url()).authenticate_with(move |challenge| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(challenge.nonce, None);
            Ok(Credentials::Token("s3cret".into()))
        }
    });
    let client = A::connect(with_callback).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    server.restart();
    client.create_bucket(BucketConfig::new("b")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// A callback that fails is a server that cannot be reached, and its words are the reason; one that never
/// answers costs the time to connect.
async fn what_fails_to_be_found_says_why<A: Adapter>(site: Site<A>) {
    let server = site.own_server().token("s3cret").start();
    let url = server.url();
    let fails = config(&url).authenticate_with(|_| async { Err("the vault is shut".into()) });
    let error = at_once(A::connect(fails)).await.unwrap_err();
    assert!(error.to_string().contains("the vault is shut"), "{error}");

    let hangs = config(&url)
        .connect_timeout(SECOND / 2)
        .authenticate_with(|_| std::future::pending());
    let error = at_once(A::connect(hangs)).await.unwrap_err();
    let timed_out = ConnectError::Failed(Disconnect::HandshakeTimedOut);
    assert_eq!(error, timed_out);
}

async fn a_server_without_a_challenge_is_named<A: Adapter>(site: Site<A>) {
    let url = site.server().url();
    let key = ours(&KeyPair::new_user());
    let none = ConnectError::Failed(Disconnect::NoChallenge);
    let error = at_once(A::connect(config(&url).nkey(key.clone()))).await;
    assert_eq!(error.unwrap_err(), none);
    let creds = UserCreds::new("a.b.c", key);
    let error = at_once(A::connect(config(&url).user_creds(creds))).await;
    assert_eq!(error.unwrap_err(), none);
}

/// A JWT that is over ends the connection, on a live one too, and a client that is given a new one goes on.
async fn an_expired_jwt_is_an_authentication_error<A: Adapter>(site: Site<A>) {
    let operator = Operator::new();
    let server = operator.start(site.own_server());
    let over = UserCreds::parse(&operator.user(Some(SECOND / 2)).creds()).unwrap();
    let short = operator.user(Some(3 * SECOND));
    let users = [short, operator.user(None)];
    let users = users.map(|user| UserCreds::parse(&user.creds()).unwrap());
    let asked = AtomicUsize::new(0);
    let renewed = config(&server.url()).authenticate_with(move |challenge| {
        let which = asked.fetch_add(1, Ordering::SeqCst).min(1);
        let answer = challenge.sign_with(&users[which]);
        async move { Ok(answer?) }
    });
    // What expires on a connection is not refused: the next login shows what it is worth.
    let client = A::connect(renewed.max_auth_failures(1)).await.unwrap();
    let mut events = client.events();
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    eventually("the JWT is over", || client.stats().connects == 2);
    let told = [events.next().await, events.next().await];
    let [
        Some(ConnectionEvent::Disconnected { .. }),
        Some(ConnectionEvent::Connected { .. }),
    ] = told
    else {
        panic!("{told:?}");
    };
    let reason = client.last_disconnect().unwrap();
    assert!(
        matches!(reason, Disconnect::Authentication(_)),
        "{reason:?}"
    );
    bucket.put("a", "1").await.unwrap();

    let expired = A::connect(config(&server.url()).user_creds(over)).await;
    if let Ok(client) = expired {
        // The server answers the handshake before it looks at the clock.
        let refused = || {
            matches!(
                client.last_disconnect(),
                Some(Disconnect::Authentication(_))
            )
        };
        eventually("it is refused all the same", refused);
    }
}

#[test]
fn a_signature_shows_nothing() {
    let signature = Signature::from_bytes([7; 64]);
    assert_eq!(format!("{signature:?}"), "Signature(..)");
}
