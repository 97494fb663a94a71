//! The way to the first connection: addresses, credentials, several servers, and what CONNECT says.

use std::sync::mpsc;

use kv_proto::{
    BucketConfig, BucketError, Config, ConnectError, ConnectionState, Disconnect, InvalidUrl,
};
use kv_tests::{Fake, Port, Proxy, eventually};
use serde_json::Value;

use crate::site::{Adapter, SECOND, Site, at_once, config, poll_once, tests};

tests! {
    on_both_ends {
        a_user_logs_in_with_the_right_password_only
        a_token_logs_in_and_another_one_does_not
        a_url_can_hold_the_credentials
        a_server_that_is_down_is_passed_over
        where_nobody_listens_connecting_fails_at_once
        the_first_connection_can_be_waited_for
        a_server_full_of_clients_says_why
    }
    on_the_newest {
        connect_says_what_it_must_and_nothing_else
        secrets_do_not_show
        a_server_that_never_greets_is_left
        an_invalid_url_is_refused
    }
}

/// Asserts that a server refused the credentials.
#[track_caller]
fn assert_refused(error: &ConnectError) {
    let refused = matches!(
        error,
        ConnectError::Failed(Disconnect::Authentication(text)) if text == "Authorization Violation"
    );
    assert!(refused, "{error:?}");
}

/// The right name and password let in, whatever characters they hold; a wrong or missing one is an
/// authentication error at once.
async fn a_user_logs_in_with_the_right_password_only<A: Adapter>(site: Site<A>) {
    let server = site.own_server().user("m e", "p@ss:w/rd%\"\\").start();
    let open = |config: Config| A::connect(config);
    let url = server.url();
    let client = open(config(&url).user("m e", "p@ss:w/rd%\"\\"))
        .await
        .unwrap();
    client.create_bucket(BucketConfig::new("b")).await.unwrap();
    for wrong in [
        config(&url),
        config(&url).user("m e", "p@ss"),
        config(&url).user("you", "p@ss:w/rd%\"\\"),
        config(&url).token("p@ss:w/rd%\"\\"),
    ] {
        assert_refused(&at_once(open(wrong)).await.unwrap_err());
    }
}

/// The same with a token.
async fn a_token_logs_in_and_another_one_does_not<A: Adapter>(site: Site<A>) {
    let server = site.own_server().token("s3cr3t").start();
    let url = server.url();
    let client = site.connect_with(config(&url).token("s3cr3t")).await;
    assert_eq!(client.bucket("b").await.unwrap_err(), BucketError::NotFound);
    for wrong in [
        config(&url),
        config(&url).token("s3cr3t2"),
        config(&url).user("s3cr3t", ""),
    ] {
        assert_refused(&at_once(A::connect(wrong)).await.unwrap_err());
    }
}

/// Credentials in the URL, percent-encoded, are used for that server, before those of the configuration.
async fn a_url_can_hold_the_credentials<A: Adapter>(site: Site<A>) {
    let user = site.own_server().user("a@b", "p:w/x").start();
    let token = site.own_server().token("tok").start();
    let with = |server: &kv_tests::Server, info: &str| format!("nats://{info}@{}", server.addr());
    let user_url = with(&user, "a%40b:p%3Aw%2Fx");
    site.connect(&user_url)
        .await
        .bucket_names()
        .collect()
        .await
        .unwrap();
    site.connect(&with(&token, "tok")).await;
    site.connect_with(config(&with(&token, "tok")).user("x", "y"))
        .await;
    assert_refused(
        &at_once(A::connect(config(&with(&user, "a%40b:no"))))
            .await
            .unwrap_err(),
    );
}

/// Of several servers the first one that can be reached is used, without a pause for those before it:
/// one where nobody listens, one that refuses the credentials, and one that hangs up.
async fn a_server_that_is_down_is_passed_over<A: Adapter>(site: Site<A>) {
    let (nobody, locked) = (Port::reserve(), site.own_server().token("t").start());
    let refusing = Proxy::start(site.server().addr());
    refusing.refuse(true);
    let up = site.server();
    let urls = format!(
        "nats://127.0.0.1:{}, {}, {}, {}",
        nobody.number(),
        locked.url(),
        refusing.url(),
        up.url()
    );
    let client = at_once(site.connect(&urls)).await;
    assert_eq!(client.server().unwrap().port(), up.port());
    assert_eq!(client.servers().len(), 4);
    assert_eq!(client.stats().connects, 1);
}

/// Where nobody listens, or no host is named so, connecting fails at once and tells how.
async fn where_nobody_listens_connecting_fails_at_once<A: Adapter>(_: Site<A>) {
    let (one, two) = (Port::reserve(), Port::reserve());
    let urls = format!("127.0.0.1:{},127.0.0.1:{}", one.number(), two.number());
    let error = at_once(A::connect(config(&urls))).await.unwrap_err();
    let transport = matches!(&error, ConnectError::Failed(Disconnect::Transport(_)));
    assert!(transport, "{error:?}");
    assert!(
        error.to_string().starts_with("cannot reach any server"),
        "{error}"
    );
}

/// With `retry_first_connect`, connecting goes on until a server is there.
async fn the_first_connection_can_be_waited_for<A: Adapter>(site: Site<A>) {
    let proxy = Proxy::start(site.server().addr());
    proxy.refuse(true);
    let config = config(&proxy.url()).retry_first_connect(true);
    let mut connecting = A::spawn(A::connect(config));
    eventually("it tries again and again", || proxy.connections() > 5);
    assert!(poll_once(&mut connecting).is_pending());
    proxy.refuse(false);
    let client = at_once(connecting).await.unwrap();
    assert_eq!(client.state(), ConnectionState::Connected);
    assert_eq!(client.stats().connects, 1);
}

/// A server with as many clients as it takes says so, and the error repeats it.
async fn a_server_full_of_clients_says_why<A: Adapter>(site: Site<A>) {
    let server = site.own_server().config_extra("max_connections: 1").start();
    // The harness's greeting may still be closing.
    let mut first = None;
    eventually("there is room for one", || {
        first = poll_to_end::<A>(config(&server.url())).ok();
        first.is_some()
    });
    let error = at_once(A::connect(config(&server.url())))
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            ConnectError::Failed(Disconnect::Server(text)) if text.contains("maximum connections")
        ),
        "{error:?}"
    );
}

/// Connects while the test blocks.
fn poll_to_end<A: Adapter>(config: Config) -> Result<kv_proto::driver::Client, ConnectError> {
    let (sender, receiver) = mpsc::channel();
    let connecting = A::spawn(async move {
        let _ = sender.send(A::connect(config).await);
    });
    let result = receiver.recv().expect("an answer");
    drop(connecting);
    result
}

/// Returns what CONNECT says for a configuration, as JSON.
async fn connect_json<A: Adapter>(change: impl FnOnce(Config) -> Config) -> Value {
    let (sender, receiver) = mpsc::channel();
    let fake = Fake::start(move |conn| {
        conn.handshake();
        let _ = sender.send(conn.connect_json().clone());
        conn.read_to_end(10 * SECOND);
    });
    let client = A::connect(change(config(&fake.url()))).await.unwrap();
    let json = receiver.recv().expect("a handshake");
    drop(client);
    json
}

/// CONNECT has exactly the members that it needs, for each way to log in: nothing else of a
/// configuration can leak into it (CVE-2020-26149).
async fn connect_says_what_it_must_and_nothing_else<A: Adapter>(_: Site<A>) {
    let always = serde_json::json!({
        "verbose": false, "pedantic": false, "tls_required": false, "lang": "rust",
        "version": env!("CARGO_PKG_VERSION"), "protocol": 1, "echo": true, "headers": true,
        "no_responders": true,
    });
    let plus = |more: Value| {
        let mut all = always.clone();
        all.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        all
    };
    assert_eq!(connect_json::<A>(|config| config).await, always);
    let named = connect_json::<A>(|config| config.name("in\"ventory\r\n")).await;
    assert_eq!(named, plus(serde_json::json!({"name": "in\"ventory\r\n"})));
    let user = connect_json::<A>(|config| config.user("u", "p\"")).await;
    assert_eq!(user, plus(serde_json::json!({"user": "u", "pass": "p\""})));
    let token = connect_json::<A>(|config| config.token("t")).await;
    assert_eq!(token, plus(serde_json::json!({"auth_token": "t"})));
    let quiet = connect_json::<A>(Config::no_echo).await;
    assert_eq!(quiet, plus(serde_json::json!({"echo": false})));
    let all = connect_json::<A>(|config| {
        config
            .custom_inbox_prefix("_INBOX_x")
            .unwrap()
            .ping_interval(SECOND)
    });
    assert_eq!(all.await, always);
}

/// Neither the configuration, nor the client, nor an error that the login caused shows a secret.
async fn secrets_do_not_show<A: Adapter>(site: Site<A>) {
    let server = site.own_server().token("other").start();
    let in_url = format!("nats://me:canary-one@{}", server.addr());
    let config = config(&in_url).user("me", "canary-two");
    let shown = format!("{config:?}");
    let error = A::connect(config).await.unwrap_err();
    let shown = shown + &format!("{error} {error:?}");
    let (client, driver) = A::connect_with_driver(crate::site::config(&in_url)).unwrap();
    let shown = shown + &format!("{client:?} {:?} {:?}", client.server(), client.servers());
    drop(driver);
    assert!(!shown.contains("canary"), "{shown}");
    let error = Config::new("nats://me:canary@host:port").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}

/// A server that accepts and then says nothing, or stops in the middle of the handshake, is given up
/// after the connect time-out.
async fn a_server_that_never_greets_is_left<A: Adapter>(_: Site<A>) {
    for greets in [false, true] {
        let fake = Fake::start(move |conn| {
            if greets {
                conn.info_default();
            }
            conn.read_to_end(5 * SECOND);
        });
        let config = config(&fake.url()).connect_timeout(SECOND / 10);
        let error = at_once(A::connect(config)).await.unwrap_err();
        assert_eq!(error, ConnectError::Failed(Disconnect::HandshakeTimedOut));
    }
}

/// What is no URL is refused before anything is dialled, and the error is that of the URL.
async fn an_invalid_url_is_refused<A: Adapter>(_: Site<A>) {
    for (url, why) in [
        ("", InvalidUrl::Empty),
        ("http://h", InvalidUrl::Scheme("http".into())),
        ("nats://h:0", InvalidUrl::Port),
        ("nats://h/x", InvalidUrl::Trailing),
    ] {
        assert_eq!(Config::new(url).unwrap_err(), why);
        assert_eq!(A::connect_to(url).await.unwrap_err(), why.into());
    }
}
