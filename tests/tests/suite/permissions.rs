//! The least permissions that the manual names: they are enough, none is too many, and each that is missing is
//! told at once. That they are enough for everything else is shown by the whole suite, whose shared servers allow no
//! more.

use std::time::Duration;

use kv_proto::driver::{Bucket, Client};
use kv_proto::{
    BucketConfig, BucketError, Cause, Config, Doubt, ReadError, Update, WatchError, WriteError,
};
use kv_tests::{
    Domains, Permission, Server, ServerBuilder, least_permissions, least_permissions_behind,
};

use crate::site::{Adapter, SECOND, Site, at_once, config, tests};

tests! {
    on_both_ends {
        the_least_is_enough_and_not_too_much
        a_domain_elsewhere_needs_the_same_behind_it
        a_servers_own_domain_needs_no_more
    }
}

/// The subject that was denied, if one was.
type Outcome = (&'static str, Option<String>);

trait Denial: std::fmt::Debug {
    fn subject(&self) -> Option<&str>;
}

impl Denial for WriteError {
    fn subject(&self) -> Option<&str> {
        match self {
            Self::NotApplied(Cause::Denied { subject }) => Some(subject),
            _ => None,
        }
    }
}

macro_rules! denials {
    ($($error:ident)*) => {$(
        impl Denial for $error {
            fn subject(&self) -> Option<&str> {
                match self {
                    Self::Denied { subject } => Some(subject),
                    _ => None,
                }
            }
        }
    )*};
}
denials!(ReadError BucketError WatchError);

/// What came of an operation, which must have come at once: success, or a permission that is missing.
#[track_caller]
fn note<T, E: Denial>(outcomes: &mut Vec<Outcome>, what: &'static str, result: Result<T, E>) {
    let denied = result.err().map(|error| match error.subject() {
        Some(subject) => subject.to_owned(),
        None => panic!("{what}: {error:?}"),
    });
    outcomes.push((what, denied));
}

/// Repeats what a server cannot do while it still removes the files of a bucket of that name (10049).
async fn when_the_last_is_gone(
    mut create: impl AsyncFnMut() -> Result<Bucket, BucketError>,
) -> Result<Bucket, BucketError> {
    for _ in 0..20 {
        match create().await {
            Err(BucketError::Unknown(Doubt::Server(error))) if error.err_code() == Some(10_049) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
    create().await
}

/// Everything that can be done with a bucket.
async fn everything(user: &Client, owner: &Client, name: &str) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let all = &mut outcomes;
    let new = BucketConfig::new(name).history(3);
    note(all, "names", at_once(user.bucket_names().collect()).await);
    note(
        all,
        "statuses",
        at_once(user.bucket_statuses().collect()).await,
    );
    let markers = name.starts_with('m');
    let new = if markers {
        new.limit_markers(SECOND)
    } else {
        new
    };
    let created = when_the_last_is_gone(async || at_once(user.create_bucket(new.clone())).await);
    note(all, "create bucket", created.await);
    let owned = when_the_last_is_gone(async || owner.create_or_update_bucket(new.clone()).await);
    owned.await.unwrap();
    note(all, "update bucket", at_once(user.update_bucket(new)).await);
    let opened = at_once(user.bucket(name)).await;
    match opened {
        Ok(bucket) => {
            all.push(("open", None));
            with_keys(all, &bucket).await;
        }
        Err(error) => note(all, "open", Err::<(), _>(error)),
    }
    note(
        all,
        "delete bucket",
        at_once(user.delete_bucket(name)).await,
    );
    outcomes
}

async fn with_keys(all: &mut Vec<Outcome>, bucket: &Bucket) {
    let put = at_once(bucket.put("a", "1")).await;
    let first = put.clone().unwrap_or(kv_proto::Revision::new(1));
    note(all, "put", put);
    note(all, "update", at_once(bucket.update("a", "2", first)).await);
    note(all, "create", at_once(bucket.create("b", "1")).await);
    note(all, "delete", at_once(bucket.delete("b")).await);
    note(all, "create again", at_once(bucket.create("b", "2")).await);
    note(all, "get", at_once(bucket.get("a")).await);
    note(
        all,
        "entry",
        at_once(bucket.entry("a").revision(first)).await,
    );
    note(all, "leader", at_once(bucket.entry("a").leader()).await);
    note(all, "status", at_once(bucket.status()).await);
    note(all, "keys", at_once(bucket.keys().collect()).await);
    note(all, "history", at_once(bucket.history("a").collect()).await);
    note(all, "watch", at_once(until_synced(bucket)).await);
    note(all, "delete", at_once(bucket.delete("b")).await);
    let older = bucket.purge_deletes().older_than(std::time::Duration::ZERO);
    note(all, "purge deletes", at_once(older).await);
    note(all, "erase", at_once(bucket.erase("a")).await);
    note(all, "purge", at_once(bucket.purge("a")).await);
}

async fn until_synced(bucket: &Bucket) -> Result<(), WatchError> {
    let mut watch = bucket.watch(">").await?;
    while let Some(update) = watch.next().await {
        if update? == Update::Synced {
            break;
        }
    }
    Ok(())
}

fn covers(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some(token), Some(other)) if token == "*" || token == other => {}
            _ => return false,
        }
    }
}

/// A server with an owner, and a user for each bucket, who lacks one permission of it.
fn server_of<A: Adapter>(site: &Site<A>, lacking: &[(String, Vec<Permission>)]) -> ServerBuilder {
    let guarded = site.own_server().guarded(&[]);
    lacking.iter().fold(guarded, |server, (name, permissions)| {
        server.guarded_user(name, permissions)
    })
}

async fn the_least_is_enough_and_not_too_much<A: Adapter>(site: Site<A>) {
    let (start, here) = (ServerBuilder::start, |config| config);
    each_is_needed(site, least_permissions, start, |server| server, here).await;
}

/// The client is on a leaf, and works in the hub.
async fn a_domain_elsewhere_needs_the_same_behind_it<A: Adapter>(site: Site<A>) {
    let least = |bucket: &str| least_permissions_behind("$JS.hub.API", bucket);
    each_is_needed(site, least, Domains::start, Domains::leaf, in_hub).await;
}

/// The server that has the domain goes by its own subjects, and denies in their terms.
async fn a_servers_own_domain_needs_no_more<A: Adapter>(site: Site<A>) {
    let start = |server: ServerBuilder| server.jetstream_extra("domain: hub").start();
    each_is_needed(site, least_permissions, start, |server| server, in_hub).await;
}

fn in_hub(config: Config) -> Config {
    config.jetstream_domain("hub").unwrap()
}

/// Tries what can be done with all permissions that are said to be needed, and with all but one.
async fn each_is_needed<A: Adapter, S>(
    site: Site<A>,
    least: impl Fn(&str) -> Vec<Permission>,
    start: impl Fn(ServerBuilder) -> S,
    server: impl Fn(&S) -> &Server,
    there: impl Fn(Config) -> Config,
) {
    // Bucket m0 lacks nothing, bucket m1 the first permission, and so on; with limit markers where there are any.
    let prefix = if site.expires_values() { "m" } else { "n" };
    let count = least("x").len();
    let lacking = (0..=count).map(|at| {
        let name = format!("{prefix}{at}");
        let mut permissions = least(&name);
        if at > 0 && !permissions[at - 1].subscribe {
            permissions.remove(at - 1);
        }
        (name, permissions)
    });
    let lacking: Vec<_> = lacking.collect();
    let started = start(server_of(&site, &lacking));
    let server = server(&started);
    let owner = there(config(&server.url()).user("owner", "owner"));
    let owner = site.connect_with(owner).await;
    for (at, (name, _)) in lacking.iter().enumerate() {
        let user = config(&server.url()).user(name.as_str(), name.as_str());
        let user = site.connect_with(there(user)).await;
        let outcomes = everything(&user, &owner, name).await;
        let denied: Vec<_> = outcomes
            .iter()
            .filter_map(|(_, denied)| denied.as_deref())
            .collect();
        let missing = at.checked_sub(1).map(|at| least(name)[at].clone());
        let Some(missing) = missing.filter(|one| !one.subscribe && !one.optional) else {
            assert_eq!(
                denied, [""; 0],
                "{name} lacks nothing that matters: {outcomes:?}"
            );
            continue;
        };
        if missing.subject.ends_with(".API.INFO") && !site.expires_values() {
            continue; // there is nothing to ask for on such a server
        }
        assert!(
            !denied.is_empty(),
            "{} is not needed: {outcomes:?}",
            missing.subject
        );
        for subject in denied {
            assert!(
                covers(&missing.subject, subject),
                "{subject} without {}",
                missing.subject
            );
        }
    }
}
