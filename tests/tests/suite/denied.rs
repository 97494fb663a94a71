//! Permissions: what a user may not do is told at once, names the subject, and harms nothing else.

use kv_proto::driver::Client;
use kv_proto::{BucketConfig, BucketError, Cause, Outcome, ReadError, Revision, WriteError};
use kv_tests::Server;

use crate::site::{Adapter, SECOND, Site, all, at_once, begin, config, tests};

tests! {
    on_both_ends {
        denied_writes_say_so
        denied_reads_say_so
        denied_management_says_so
        a_denied_request_harms_no_other
        a_create_does_without_leader_reads
        an_inbox_of_ones_own_is_enough
        a_denied_inbox_is_told
    }
}

/// A server with an owner who may do everything and a guest who may not do what `permissions` deny.
pub(crate) fn guarded<A: Adapter>(site: &Site<A>, permissions: &str) -> Server {
    let users = format!(
        r#"authorization {{ users: [
            {{user: "owner", password: "p"}}
            {{user: "guest", password: "p", permissions: {{ {permissions} }} }}
        ] }}"#
    );
    site.own_server().config_extra(&users).start()
}

pub(crate) async fn as_user<A: Adapter>(site: &Site<A>, server: &Server, user: &str) -> Client {
    site.connect_with(config(&server.url()).user(user, "p"))
        .await
}

fn denied(subject: &str) -> Result<Revision, WriteError> {
    let subject = subject.into();
    Err(WriteError::NotApplied(Cause::Denied { subject }))
}

/// Each kind of write to a denied key ends as not applied and names the subject; nothing is stored.
async fn denied_writes_say_so<A: Adapter>(site: Site<A>) {
    let server = guarded(&site, r#"publish: {deny: "$KV.b.no.>"}"#);
    let owner = as_user(&site, &server, "owner").await;
    let config = BucketConfig::new("b");
    let owned = owner.create_bucket(config).await.unwrap();
    let first = owned.put("no.a", "1").await.unwrap();
    let bucket = as_user(&site, &server, "guest")
        .await
        .bucket("b")
        .await
        .unwrap();

    let refused = denied("$KV.b.no.a");
    assert_eq!(at_once(bucket.put("no.a", "2")).await, refused);
    assert_eq!(at_once(bucket.create("no.a", "2")).await, refused);
    assert_eq!(at_once(bucket.update("no.a", "2", first)).await, refused);
    assert_eq!(at_once(bucket.delete("no.a")).await, refused);
    assert_eq!(at_once(bucket.purge("no.a").expect(first)).await, refused);
    let error = refused.unwrap_err();
    assert_eq!(
        (error.outcome(), error.is_retryable()),
        (Outcome::NotApplied, false)
    );
    assert_eq!(owned.status().await.unwrap().last_revision(), 1);
    bucket.put("yes", "1").await.unwrap();
    assert_eq!(bucket.client().stats().connects, 1);
}

/// A denied direct get and a denied leader read name what was asked for; the other kind goes on.
async fn denied_reads_say_so<A: Adapter>(site: Site<A>) {
    let publish = r#"publish: {deny: ["$JS.API.DIRECT.GET.KV_b.$KV.b.no", "$JS.API.DIRECT.GET.KV_b",
        "$JS.API.STREAM.MSG.GET.KV_b"]}"#;
    let server = guarded(&site, publish);
    let owner = as_user(&site, &server, "owner").await;
    let config = BucketConfig::new("b");
    let owned = owner.create_bucket(config).await.unwrap();
    let revision = owned.put("no", "1").await.unwrap();
    owned.put("yes", "1").await.unwrap();
    let bucket = as_user(&site, &server, "guest")
        .await
        .bucket("b")
        .await
        .unwrap();

    let refused = |subject: &str| ReadError::Denied {
        subject: subject.into(),
    };
    let direct = refused("$JS.API.DIRECT.GET.KV_b.$KV.b.no");
    assert_eq!(at_once(bucket.get("no")).await.unwrap_err(), direct);
    assert!(!direct.is_retryable());
    let by_revision = at_once(bucket.entry("no").revision(revision)).await;
    assert_eq!(by_revision.unwrap_err(), refused("$JS.API.DIRECT.GET.KV_b"));
    let leader = at_once(bucket.get("yes").leader()).await;
    assert_eq!(leader.unwrap_err(), refused("$JS.API.STREAM.MSG.GET.KV_b"));
    assert_eq!(bucket.get("yes").await.unwrap().unwrap(), "1");
}

/// A guest who may not manage is told of each request for buckets which subject was denied.
async fn denied_management_says_so<A: Adapter>(site: Site<A>) {
    let publish = r#"publish: {deny: ["$JS.API.STREAM.>", "$JS.API.INFO"]}"#;
    let server = guarded(&site, publish);
    let client = as_user(&site, &server, "guest").await;
    let config = BucketConfig::new("b");
    let refused = |verb: &str| BucketError::Denied {
        subject: format!("$JS.API.{verb}"),
    };
    let error = at_once(client.create_bucket(config.clone()))
        .await
        .unwrap_err();
    assert_eq!(error, refused("STREAM.CREATE.KV_b"));
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let error = at_once(client.bucket("b")).await.unwrap_err();
    assert_eq!(error, refused("STREAM.INFO.KV_b"));
    let error = at_once(client.update_bucket(config.clone()))
        .await
        .unwrap_err();
    assert_eq!(error, refused("STREAM.INFO.KV_b"));
    let error = at_once(client.delete_bucket("b")).await.unwrap_err();
    assert_eq!(error, refused("STREAM.DELETE.KV_b"));
    let error = at_once(client.bucket_names().collect()).await.unwrap_err();
    assert_eq!(error, refused("STREAM.NAMES"));
    let error = at_once(client.bucket_statuses().collect())
        .await
        .unwrap_err();
    assert_eq!(error, refused("STREAM.LIST"));
    let markers = at_once(client.create_bucket(config.limit_markers(SECOND))).await;
    assert_eq!(markers.unwrap_err(), refused("INFO"));
    assert_eq!(client.stats().connects, 1);
}

/// Denied and allowed requests side by side on one connection: each ends as it should, as the server
/// reports a denial by subject and not by request.
async fn a_denied_request_harms_no_other<A: Adapter>(site: Site<A>) {
    let server = guarded(&site, r#"publish: {deny: "$KV.b.no.>"}"#);
    let owner = as_user(&site, &server, "owner").await;
    owner.create_bucket(BucketConfig::new("b")).await.unwrap();
    let bucket = as_user(&site, &server, "guest")
        .await
        .bucket("b")
        .await
        .unwrap();
    let keys = |number: usize| (format!("no.{}", number % 7), format!("yes.{number}"));
    let puts: Vec<_> = (0..200)
        .map(keys)
        .flat_map(|(no, yes)| [begin(bucket.put(no, "1")), begin(bucket.put(yes, "1"))])
        .collect();
    let results = at_once(async { all(puts).await }).await;
    for (number, pair) in results.chunks(2).enumerate() {
        let (no, _) = keys(number);
        assert_eq!(pair[0], denied(&format!("$KV.b.{no}")));
        assert!(pair[1].is_ok(), "{pair:?}");
    }
    assert_eq!(bucket.status().await.unwrap().keys(), 200);
    assert_eq!(bucket.client().stats().connects, 1);
}

/// A create that conflicts looks at the key by a direct get when the leader may not be asked: it tells a
/// live value from a tombstone all the same.
async fn a_create_does_without_leader_reads<A: Adapter>(site: Site<A>) {
    let server = guarded(&site, r#"publish: {deny: "$JS.API.STREAM.MSG.GET.>"}"#);
    let owner = as_user(&site, &server, "owner").await;
    owner.create_bucket(BucketConfig::new("b")).await.unwrap();
    let bucket = as_user(&site, &server, "guest")
        .await
        .bucket("b")
        .await
        .unwrap();
    let revision = bucket.put("a", "1").await.unwrap();
    let exists = Err(WriteError::Exists { revision });
    assert_eq!(at_once(bucket.create("a", "2")).await, exists);
    bucket.delete("a").await.unwrap();
    at_once(bucket.create("a", "3")).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "3");
}

/// A user who may subscribe to one prefix only works with that as the prefix of its inbox.
async fn an_inbox_of_ones_own_is_enough<A: Adapter>(site: Site<A>) {
    let server = guarded(&site, r#"subscribe: {allow: "_INBOX_guest.>"}"#);
    let guest = config(&server.url()).user("guest", "p");
    let guest = guest.custom_inbox_prefix("_INBOX_guest").unwrap();
    let client = site.connect_with(guest).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
}

/// A user who may not subscribe to the client's inbox can get no answer at all. That is told, by whatever
/// error, before any deadline: a denied operation must not look like one that timed out.
async fn a_denied_inbox_is_told<A: Adapter>(site: Site<A>) {
    let server = guarded(&site, r#"subscribe: {allow: "_INBOX_guest.>"}"#);
    let guest = config(&server.url()).user("guest", "p");
    let Ok(client) = at_once(A::connect(guest)).await else {
        return;
    };
    let error = at_once(client.bucket("b")).await.unwrap_err();
    assert!(matches!(error, BucketError::Denied { .. }), "{error:?}");
}
