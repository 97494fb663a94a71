//! Buckets elsewhere: in another JetStream domain, and in an account that is imported. Two servers, hub and leaf,
//! or two accounts have a bucket of the same name wherever that could be mistaken for the one that is meant.

mod mirrors;
mod ways;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kv_proto::driver::{Bucket, Client};
use kv_proto::{BucketConfig, BucketError, Config, MarkerReason, Operation, Update, WriteError};
use kv_tests::{
    Admin, Domains, IMPORTED_API, IMPORTED_INBOX, Permission, Server, Version, importing_accounts,
    least_permissions, least_permissions_behind, unique,
};

use crate::site::{Adapter, SECOND, Site, config, tests};
use crate::watch::{fill, read};

tests! {
    on_both_ends {
        all_is_done_in_the_domain_that_is_named
        all_is_done_in_the_account_that_is_imported
        a_server_answers_to_its_own_domain
        much_data_comes_from_elsewhere
        what_lists_buckets_lists_those_of_the_domain
        a_configuration_is_updated_in_the_domain
    }
    on_the_newest {
        values_expire_in_another_domain
    }
}

/// What a user of the leaf needs for its own buckets and those of the hub.
fn permissions() -> Vec<Permission> {
    let mut all = least_permissions("*");
    all.extend(least_permissions_behind("$JS.hub.API", "*"));
    all
}

impl<A: Adapter> Site<A> {
    /// A hub and a leaf that all tests of a version share. Clients of the leaf may do no more than the
    /// manual says that they must be allowed.
    fn domains(&self) -> &'static Domains {
        static SHARED: Mutex<BTreeMap<Version, &'static Domains>> = Mutex::new(BTreeMap::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.version();
        let start = || -> &'static Domains { Box::leak(Box::new(self.own_domains())) };
        shared.entry(version).or_insert_with(start)
    }

    /// A hub and a leaf of the test's own.
    fn own_domains(&self) -> Domains {
        Domains::start(self.own_server().guarded(&permissions()))
    }

    /// A client of a server that works in a domain.
    async fn in_domain(&self, server: &Server, domain: &str) -> Client {
        let config = config(&server.url()).jetstream_domain(domain);
        self.connect_with(config.expect("a domain")).await
    }

    /// A server whose account APP imports the API of account ACME.
    fn accounts(&self, app_has_its_own: bool) -> Server {
        let accounts = importing_accounts(app_has_its_own);
        self.own_server().config_extra(&accounts).start()
    }
}

fn as_user(server: &Server, user: &str) -> Config {
    config(&server.url()).user(user, "p")
}

/// How user `app` reaches the buckets of account ACME.
fn imported(server: &Server) -> Config {
    let config = as_user(server, "app").api_prefix(IMPORTED_API);
    let config = config
        .expect("a prefix")
        .custom_inbox_prefix(IMPORTED_INBOX);
    config.expect("an inbox")
}

fn admin_of(server: &Server, user: &str) -> Admin {
    let credentials = serde_json::json!({"user": user, "pass": "p"});
    Admin::with_credentials(server, &credentials)
}

/// A bucket that stays as it is, whatever is done to another one of the same name.
async fn decoy(client: &Client, name: &str) -> Bucket {
    let config = BucketConfig::new(name).description("decoy").history(3);
    let bucket = client.create_bucket(config).await.unwrap();
    for key in ["a", "b", "c"] {
        bucket.put(key, "decoy").await.unwrap();
    }
    bucket
}

async fn is_untouched(decoy: &Bucket) {
    let status = decoy.status().await.unwrap();
    assert_eq!((status.values(), status.last_revision()), (3, 3));
    assert_eq!(status.config().description.as_deref(), Some("decoy"));
    for key in ["a", "b", "c"] {
        assert_eq!(decoy.get(key).await.unwrap().unwrap(), "decoy");
    }
}

/// Does with a new bucket all that can be done with one; each answer must be this bucket's. Leaves keys `a`
/// (values 1 and 2) and `b` (a value, 3), at revision 9.
async fn all_verbs(client: &Client, name: &str) -> Bucket {
    let opened = client.bucket(name).await;
    assert_eq!(opened.unwrap_err(), BucketError::NotFound, "{name}");
    let config = BucketConfig::new(name).history(5);
    let bucket = client.create_bucket(config.clone()).await.unwrap();
    let again = client.create_bucket(config).await.unwrap();
    assert_eq!(again.created(), bucket.created());
    assert_eq!(bucket.get("a").await, Ok(None));

    let first = bucket.put("a", "1").await.unwrap();
    let second = bucket.update("a", "2", first).await.unwrap();
    assert_eq!((first.get(), second.get()), (1, 2));
    let lost = WriteError::Conflict {
        expected: first,
        current: Some(second),
    };
    assert_eq!(bucket.update("a", "x", first).await, Err(lost));
    let exists = WriteError::Exists { revision: second };
    assert_eq!(bucket.create("a", "x").await, Err(exists));
    bucket.create("b", "1").await.unwrap();
    let tombstone = bucket.delete("b").await.unwrap();
    assert_eq!(bucket.get("b").await, Ok(None));
    bucket.create("b", "2").await.unwrap();

    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
    let old = bucket.entry("a").revision(first).await.unwrap().unwrap();
    assert_eq!((&*old.value, old.revision), (&b"1"[..], first));
    let entry = bucket.entry("b").leader().await.unwrap().unwrap();
    assert_eq!((&*entry.value, entry.revision.get()), (&b"2"[..], 5));
    let entry = bucket.entry("b").revision(tombstone).await.unwrap();
    assert_eq!(entry.unwrap().operation, Operation::Delete);

    let keys = bucket.keys().collect().await.unwrap();
    assert_eq!(
        keys.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        ["a", "b"]
    );
    assert_eq!(bucket.history("b").collect().await.unwrap().len(), 3);
    let mut watch = read(bucket.watch(">"), &bucket).await;
    assert_eq!(
        crate::watch::told(&watch.initial().await),
        ["2 a=2", "5 b=2"]
    );
    bucket.put("c", "1").await.unwrap();
    assert_eq!(watch.entry().await.revision.get(), 6);

    bucket.purge("c").await.unwrap();
    let older = bucket.purge_deletes().older_than(std::time::Duration::ZERO);
    let removed = older.await.unwrap();
    assert_eq!((removed.tombstones, removed.revisions), (1, 1));
    bucket.put("d.x", "1").await.unwrap();
    assert_eq!(bucket.erase("d.*").await, Ok(1));
    assert_eq!(bucket.put("b", "3").await.unwrap().get(), 9);
    let status = bucket.status().await.unwrap();
    assert_eq!((status.keys(), status.last_revision()), (2, 9));
    bucket
}

/// The client is on the leaf and names the hub: all is done in the hub, and nothing to the bucket of that name on
/// the leaf.
async fn all_is_done_in_the_domain_that_is_named<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let name = unique("same");
    let here = site.connect(&domains.leaf().url()).await;
    let there = site.in_domain(domains.leaf(), "hub").await;
    let decoy = decoy(&here, &name).await;
    let bucket = all_verbs(&there, &name).await;
    assert_eq!(bucket.status().await.unwrap().domain(), Some("hub"));
    assert_eq!(decoy.status().await.unwrap().domain(), Some("leaf"));
    is_untouched(&decoy).await;

    let direct = site.connect(&domains.hub().url()).await;
    let direct = direct.bucket(&*name).await.unwrap();
    assert_eq!(direct.get("b").await.unwrap().unwrap(), "3");
    there.delete_bucket(&*name).await.unwrap();
    let status = direct.status().await.unwrap_err();
    assert_eq!(status, BucketError::NotFound);
    is_untouched(&decoy).await;
}

/// The bucket is another account's, and the own account has one of the same name, or no JetStream at all.
async fn all_is_done_in_the_account_that_is_imported<A: Adapter>(site: Site<A>) {
    for app_has_its_own in [true, false] {
        let server = site.accounts(app_has_its_own);
        let own = site.connect_with(as_user(&server, "app")).await;
        let there = site.connect_with(imported(&server)).await;
        let name = "same";
        let decoy = if app_has_its_own {
            Some(decoy(&own, name).await)
        } else {
            let none = own.bucket(name).await.unwrap_err();
            assert_eq!(none, BucketError::NoJetStream);
            None
        };
        let bucket = all_verbs(&there, name).await;
        assert_eq!(bucket.status().await.unwrap().domain(), None);
        let info = admin_of(&server, "acme").stream_info("KV_same");
        assert_eq!(info["state"]["last_seq"], 9);
        there.delete_bucket(name).await.unwrap();
        if let Some(decoy) = decoy {
            is_untouched(&decoy).await;
        }
    }
}

/// The domain of the server itself can be named, too: it makes no difference.
async fn a_server_answers_to_its_own_domain<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    for (server, domain) in [(domains.hub(), "hub"), (domains.leaf(), "leaf")] {
        let named = site.in_domain(server, domain).await;
        let bucket = all_verbs(&named, &unique("own")).await;
        let plain = site.connect(&server.url()).await;
        let plain = plain.bucket(bucket.name()).await.unwrap();
        assert_eq!(plain.put("b", "4").await.unwrap().get(), 10);
        assert_eq!(bucket.get("b").await.unwrap().unwrap(), "4");
        assert_eq!(plain.status().await.unwrap().domain(), Some(domain));
    }
}

/// More than a flow-control window is delivered through the domain, and through the import.
async fn much_data_comes_from_elsewhere<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let server = site.accounts(false);
    let clients = [
        site.in_domain(domains.leaf(), "hub").await,
        site.connect_with(imported(&server)).await,
    ];
    for client in clients {
        let new = BucketConfig::new(unique("much"));
        let bucket = client.create_bucket(new).await.unwrap();
        fill(&bucket, 100, 100_000).await;
        let mut watch = read(bucket.watch(">"), &bucket).await;
        assert_eq!(watch.initial().await.len(), 100);
    }
}

/// Names and statuses are those of the domain.
async fn what_lists_buckets_lists_those_of_the_domain<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let here = site.connect(&domains.leaf().url()).await;
    let there = site.in_domain(domains.leaf(), "hub").await;
    let (ours, theirs) = (unique("ours"), unique("theirs"));
    here.create_bucket(BucketConfig::new(&*ours)).await.unwrap();
    there
        .create_bucket(BucketConfig::new(&*theirs))
        .await
        .unwrap();
    for (client, has, has_not) in [(&here, &ours, &theirs), (&there, &theirs, &ours)] {
        let names = client.bucket_names().collect().await.unwrap();
        let named = |name: &String| names.iter().any(|one| one.as_str() == name);
        assert!(named(has) && !named(has_not), "{names:?}");
        let statuses = client.bucket_statuses().collect().await.unwrap();
        let shown = |name: &String| statuses.iter().any(|one| one.bucket().as_str() == name);
        assert!(shown(has) && !shown(has_not), "{statuses:?}");
    }
}

/// A configuration is changed where the bucket is.
async fn a_configuration_is_updated_in_the_domain<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let name = unique("same");
    let here = site.connect(&domains.leaf().url()).await;
    let there = site.in_domain(domains.leaf(), "hub").await;
    let decoy = decoy(&here, &name).await;
    let new = BucketConfig::new(&*name);
    there.create_or_update_bucket(new.clone()).await.unwrap();
    let changed = new.description("changed");
    there.update_bucket(changed.clone()).await.unwrap();
    let bucket = there
        .create_or_update_bucket(changed.clone())
        .await
        .unwrap();
    assert_eq!(bucket.status().await.unwrap().config(), &changed);
    is_untouched(&decoy).await;
}

/// A value with a time to live, and its marker.
async fn values_expire_in_another_domain<A: Adapter>(site: Site<A>) {
    let domains = site.domains();
    let there = site.in_domain(domains.leaf(), "hub").await;
    let new = BucketConfig::new(unique("ttl")).limit_markers(60 * SECOND);
    let bucket = there.create_bucket(new).await.unwrap();
    let mut watch = read(bucket.watch(">"), &bucket).await;
    assert_eq!(watch.update().await, Update::Synced);
    bucket.create("lock", "mine").ttl(SECOND).await.unwrap();
    assert_eq!(watch.entry().await.operation, Operation::Put);
    let marker = watch.entry().await;
    assert_eq!(marker.operation, Operation::Marker(MarkerReason::MaxAge));
    assert_eq!(bucket.get("lock").await, Ok(None));
}
