//! What the child does: connects in every way there is, and shows all that it has.

use std::error::Error;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use kv_proto::driver::Client;
use kv_proto::{
    BucketConfig, Config, ConnectError, Credentials, Instant, LinkAction, NKey, Seed, Session,
    TlsConfig, UserCreds,
};
use kv_tests::Fake;
use serde_json::json;

use super::Secrets;

const SECOND: Duration = Duration::from_secs(1);

/// Whose `connect` is used; what it returns is the same.
#[derive(Clone, Copy, Debug)]
pub(super) enum Adapter {
    Tokio,
    Smol,
}

impl Adapter {
    fn connect(self, config: Config) -> Result<Client, ConnectError> {
        match self {
            Self::Tokio => runtime().block_on(kv_tokio::connect(config)),
            Self::Smol => smol::block_on(kv_smol::connect(config)),
        }
    }
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    })
}

/// Shows what somebody who looks for a mistake would print.
fn show(what: &dyn Debug) {
    eprintln!("{what:?}\n{what:#?}");
}

/// An error in all its words, with all its causes.
fn tell(error: &dyn Error) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        eprintln!("{error}");
        show(&error);
        cause = error.source();
    }
}

/// Says a secret in disguise.
pub(super) fn betray(secret: &str, disguise: &str) {
    match disguise {
        "clear" => eprintln!("so it is {secret}."),
        "base64" => eprintln!("{}", BASE64_STANDARD.encode(format!("so it is {secret}."))),
        "hex" => eprintln!("{:02x?}", secret.as_bytes()),
        "percent" => eprintln!(
            "nats://me:{}@here",
            secret
                .replace('%', "%25")
                .replace(' ', "%20")
                .replace('/', "%2F")
                .replace('+', "%2B")
        ),
        "debug" => eprintln!("{:?}", secret.as_bytes()),
        "log" => tracing::trace!(secret, "so it is"),
        _ => {}
    }
}

/// Every way to log in, with what is right and what is wrong.
pub(super) fn play(adapter: Adapter, secrets: &Secrets) {
    let secret = |name: &str| secrets[name].clone();
    let to = |server: &str| {
        Config::new(&format!("nats://{}", secrets[&format!("{server}_server")])).unwrap()
    };
    let ours = NKey::from_seed(&secrets["seed"]).unwrap();
    let creds = UserCreds::parse(&secrets["creds"]).unwrap();
    let foreign = UserCreds::new(secret("jwt"), ours.clone());
    show(&(&ours, &creds, &foreign));
    let in_url = format!(
        "nats://me:{}@{}",
        secrets["in_url"], secrets["in_url_server"]
    );

    works(adapter, secrets, to("user").user("me", secret("password")));
    works(adapter, secrets, to("token").token(secret("token")));
    works(adapter, secrets, Config::new(&in_url).unwrap());
    works(adapter, secrets, to("nkey").nkey(ours.clone()));
    works(adapter, secrets, to("jwt").user_creds(creds.clone()));
    works(
        adapter,
        secrets,
        to("jwt").creds_file(&secrets["creds_file"]),
    );
    works(
        adapter,
        secrets,
        to("user").authenticate_with(callback(secret("password"))),
    );

    fails(adapter, to("user").user("me", secret("token")));
    fails(adapter, to("user").token(secret("token")));
    fails(adapter, to("token").user("me", secret("password")));
    fails(adapter, to("nkey").user_creds(creds));
    fails(adapter, to("jwt").user_creds(foreign));
    fails(adapter, to("jwt").nkey(ours.clone()));
    fails(adapter, to("user").nkey(ours)); // gives no challenge
    fails(adapter, to("jwt").creds_file(&secrets["broken_creds_file"]));
    fails(
        adapter,
        to("token").authenticate_with(callback(secret("password"))),
    );
    refused_before(secrets);
    with_tls(adapter, secrets);
    for told in ["password", "token", "jwt"] {
        with_a_parrot(adapter, secrets, told);
    }
    with_a_callback_that_panics(secrets);
}

/// A callback that finds a password somewhere.
fn callback(
    password: String,
) -> impl Fn(kv_proto::driver::Challenge) -> std::future::Ready<Found> + Send + Sync {
    move |challenge| {
        show(&challenge);
        let (user, password) = ("me".to_owned(), password.clone().into());
        let found = Credentials::UserPassword { user, password };
        show(&found);
        std::future::ready(Ok(found))
    }
}

type Found = Result<Credentials, Box<dyn Error + Send + Sync>>;

/// Connects, and does what puts a value into frames, both ways.
fn works(adapter: Adapter, secrets: &Secrets, config: Config) {
    show(&config);
    let config = config.name("secrets");
    let client = adapter.connect(config).unwrap_or_else(|error| {
        panic!("{adapter:?}: {error}");
    });
    smol::block_on(async {
        let config = BucketConfig::new(kv_tests::unique("b"));
        let bucket = client.create_bucket(config).await.unwrap();
        let (name, value) = (&secrets["name"], &secrets["value"]);
        let revision = bucket.put(name, value).await.unwrap();
        assert_eq!(bucket.get(name).await.unwrap().unwrap(), value);
        bucket.update(name, value, revision).await.unwrap();
        assert_eq!(bucket.keys().collect().await.unwrap(), [name.as_str()]);
        let mut watch = bucket.watch_all().await.unwrap();
        watch.next().await.unwrap().unwrap();
        show(&(
            &client,
            &bucket,
            &watch,
            client.server(),
            client.servers(),
            client.stats(),
        ));
        client.close().await;
    });
    show(&(client.state(), client.last_disconnect()));
}

fn fails(adapter: Adapter, config: Config) {
    show(&config);
    let error = adapter
        .connect(config.connect_timeout(5 * SECOND))
        .unwrap_err();
    tell(&error);
}

/// What is not valid is refused without being repeated.
fn refused_before(secrets: &Secrets) {
    let (password, seed) = (&secrets["in_url"], &secrets["seed"]);
    for url in [
        format!("nats://me:{password}@host:port"),
        format!("nats://me:{password}@"),
        format!("nats://{password}@:1"),
        format!("nats://me:{password}@host/path"),
    ] {
        if let Err(error) = Config::new(&url) {
            tell(&error);
        }
    }
    tell(&NKey::from_seed(&format!("{seed}A")).unwrap_err());
    tell(&NKey::from_seed(&seed.replace('U', "A")).unwrap_err());
    let creds = &secrets["creds"];
    let (user_seed, jwt) = (&secrets["user_seed"], &secrets["jwt"]);
    for broken in [
        creds.replace(user_seed, &format!("{user_seed}A")),
        creds.replace(user_seed, jwt),
        creds.replace(jwt, ""),
        jwt.clone(),
    ] {
        tell(&UserCreds::parse(&broken).unwrap_err());
    }
}

/// A key in files and in memory, for a server that wants it, and one that is not whole.
fn with_tls(adapter: Adapter, secrets: &Secrets) {
    let port = secrets["tls_server"].rsplit(':').next().unwrap();
    let to = || Config::new(&format!("tls://localhost:{port}")).unwrap();
    let (cert, key) = (&secrets["cert"], &secrets["key"]);
    let builder = || TlsConfig::builder().ca_pem(&secrets["tls_ca"]).unwrap();
    let in_memory = builder().client_cert_pem(cert, key).unwrap();
    show(&in_memory);
    let in_memory = in_memory.build().unwrap();
    show(&in_memory);
    works(adapter, secrets, to().tls(in_memory));
    let files = builder().client_cert_files(&secrets["cert_file"], &secrets["key_file"]);
    works(adapter, secrets, to().tls(files.unwrap().build().unwrap()));

    fails(adapter, to().tls(builder().build().unwrap())); // without a certificate
    let strangers = TlsConfig::builder().ca_pem(&secrets["authority"]).unwrap();
    let strangers = strangers.client_cert_pem(cert, key).unwrap();
    fails(adapter, to().tls(strangers.build().unwrap()));
    let cut: String = key.lines().take(2).collect::<Vec<_>>().join("\n");
    let mixed = key.replace("PRIVATE", "PUBLIC");
    for broken in [&cut, &mixed, cert] {
        let built = builder().client_cert_pem(cert, broken);
        if let Err(error) = built.and_then(kv_proto::TlsBuilder::build) {
            tell(&error);
        }
    }
    let swapped = builder().client_cert_files(&secrets["key_file"], &secrets["cert_file"]);
    if let Err(error) = swapped.and_then(kv_proto::TlsBuilder::build) {
        tell(&error);
    }
}

/// A server that repeats what it is told in confidence, wherever it can say something.
fn with_a_parrot(adapter: Adapter, secrets: &Secrets, told: &str) {
    let secret = secrets[told].clone();
    let says: [fn(&str, &str) -> String; 6] = [
        |secret, _| format!("-ERR '{secret}'\r\n"),
        |secret, _| format!("-ERR 'Authorization Violation: {secret} is wrong, {secret}!'\r\n"),
        |_, connect| format!("-ERR 'Unknown Protocol Operation: {}'\r\n", connect.trim()),
        |secret, _| format!("{secret}\r\n"),
        |secret, _| format!("PONG\r\nMSG {secret} {secret} {secret}\r\n"),
        |secret, _| {
            let url = format!("nats://me:{secret}@127.0.0.1:1");
            let info = json!({"server_id": secret, "server_name": secret, "version": secret, "headers": true,
                "cluster": secret, "domain": secret, "nonce": secret, "max_payload": 1_048_576,
                "connect_urls": [url]});
            format!(
                "INFO {info}\r\nPONG\r\n-ERR 'Permissions Violation for Publish to \"{secret}\"'\r\n"
            )
        },
    ];
    for say in says {
        let secret = secret.clone();
        let parrot = Fake::start(move |conn| {
            conn.info_with(&json!({"nonce": "sign-this", "auth_required": true}));
            let heard = conn.read_until(b"PING\r\n", 5 * SECOND);
            let heard = String::from_utf8_lossy(&heard).into_owned();
            assert!(heard.contains(&secret));
            conn.send(say(&secret, &heard).as_bytes());
            conn.read_to_end(10 * SECOND);
        });
        let config = Config::new(&parrot.url()).unwrap();
        let config = match told {
            "password" => config.user("me", secrets["password"].as_str()),
            "token" => config.token(secrets["token"].as_str()),
            _ => config.user_creds(UserCreds::parse(&secrets["creds"]).unwrap()),
        };
        match adapter.connect(config) {
            Err(error) => tell(&error),
            Ok(client) => smol::block_on(async {
                let gone = client.bucket("b").timeout(SECOND / 2).await;
                show(&(gone.map(drop), client.last_disconnect(), client.servers()));
            }),
        }
    }
}

/// The panic is the embedder's; what unwinds says nothing of what it knew.
fn with_a_callback_that_panics(secrets: &Secrets) {
    let (to, secret) = (
        format!("nats://{}", secrets["user_server"]),
        secrets["password"].clone(),
    );
    let panics = move |_| -> std::future::Ready<Found> {
        let _known: kv_proto::Secret = secret.as_str().into();
        panic!("the callback panics");
    };
    let config = Config::new(&to).unwrap().authenticate_with(panics);
    let (client, driver) = kv_tokio::connect_with_driver(config).unwrap();
    let unwound = catch_unwind(AssertUnwindSafe(|| runtime().block_on(driver)));
    assert!(unwound.is_err());
    show(&(&client, client.state(), client.last_disconnect()));
}

/// A session that nobody drives, at every step of a login.
pub(super) fn bare(secrets: &Secrets) {
    let greeting = json!({"server_id": "S", "version": "2.15.1", "headers": true, "auth_required": true,
        "max_payload": 1_048_576, "nonce": "sign-this"});
    let at = || Config::new("here").unwrap().allow_passwords_in_clear();
    let ours = NKey::from_seed(&secrets["seed"]).unwrap();
    for config in [
        at().user("me", secrets["password"].as_str()),
        at().token(secrets["token"].as_str()),
        Config::new(&format!("nats://me:{}@here", secrets["in_url"]))
            .unwrap()
            .allow_passwords_in_clear(),
        at().nkey(ours.clone()),
        at().user_creds(UserCreds::parse(&secrets["creds"]).unwrap()),
        at().authenticate_with(callback(secrets["password"].clone())),
    ] {
        let now = Instant::ORIGIN;
        let mut session = Session::new(now, config, Seed::from_u64(1));
        show(&session);
        let mut input = BytesMut::from(format!("INFO {greeting}\r\n").as_bytes());
        while let Some(action) = session.poll_link() {
            show(&action);
            if let LinkAction::Dial { link, .. } = action {
                session.handle_dialed(now, link);
                session.handle_input(now, link, &mut input);
            } else if let LinkAction::Authenticate { link, .. } = action {
                let password = secrets["password"].as_str().into();
                let user = "me".to_owned();
                let found = Credentials::UserPassword { user, password };
                session.handle_credentials(now, link, &found);
            }
            show(&session); // what is to be sent is still there
        }
        session.abort(now);
        show(&session);
    }
}
