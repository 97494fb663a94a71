//! What cannot be done is said at once, not after a deadline.

use kv_proto::{BucketConfig, BucketError, Cause, Outcome, ReadError, Refused, WriteError};
use kv_proto::{Limits, Revision};
use kv_tests::{Direction, Proxy};
use serde_json::{Value, json};

use crate::site::{Adapter, Site, all, at_once, begin, config, state_of, stream, tests};

tests! {
    on_both_ends {
        a_server_without_jetstream_says_so
        an_account_without_jetstream_says_so
        jetstream_may_be_gone_after_a_restart
        a_bucket_deleted_under_its_handle_is_not_found
        a_full_bucket_refuses_writes
        a_limit_lowered_behind_our_back_is_the_servers_to_tell
        what_is_pending_is_bounded
    }
}

#[track_caller]
fn assert_no_jetstream<T: std::fmt::Debug>(result: Result<T, BucketError>) {
    let error = result.unwrap_err();
    assert_eq!(error, BucketError::NoJetStream);
    assert_eq!(error.outcome(), Outcome::NotApplied);
}

/// Every request for buckets ends with `NoJetStream` on a server without JetStream.
async fn a_server_without_jetstream_says_so<A: Adapter>(site: Site<A>) {
    let server = site.own_server().jetstream(false).start();
    let client = site.connect(&server.url()).await;
    let config = BucketConfig::new("b");
    assert_no_jetstream(at_once(client.bucket("b")).await);
    assert_no_jetstream(at_once(client.create_bucket(config.clone())).await);
    assert_no_jetstream(at_once(client.update_bucket(config.clone())).await);
    assert_no_jetstream(at_once(client.create_or_update_bucket(config.clone())).await);
    assert_no_jetstream(at_once(client.delete_bucket("b")).await);
    assert_no_jetstream(at_once(client.bucket_names().collect()).await);
    assert_no_jetstream(at_once(client.bucket_statuses().collect()).await);
    let markers = config.limit_markers(crate::site::SECOND);
    assert_no_jetstream(at_once(client.create_bucket(markers)).await);
    assert_eq!(client.stats().connects, 1);
}

/// On a server with JetStream that this account may not use, the server's 10039 is the same error.
async fn an_account_without_jetstream_says_so<A: Adapter>(site: Site<A>) {
    let accounts = r#"accounts {
        WITH { jetstream: enabled, users: [{user: "with", password: "p"}] }
        WITHOUT { users: [{user: "without", password: "p"}] }
    }"#;
    let server = site.own_server().config_extra(accounts).start();
    let with = config(&server.url()).user("with", "p");
    let with = site.connect_with(with).await;
    with.create_bucket(BucketConfig::new("b")).await.unwrap();
    let without = config(&server.url()).user("without", "p");
    let without = site.connect_with(without).await;
    assert_no_jetstream(at_once(without.bucket("b")).await);
    assert_no_jetstream(at_once(without.create_bucket(BucketConfig::new("b"))).await);
    assert_no_jetstream(at_once(without.bucket_names().collect()).await);
}

/// The accounts of a server, one of which may use JetStream.
fn accounts(jetstream: &str) -> String {
    format!(
        r#"accounts {{
            APP {{ jetstream: {jetstream}, users: [{{user: "app", password: "p"}}] }}
            OTHER {{ jetstream: enabled, users: [{{user: "other", password: "p"}}] }}
        }}"#
    )
}

/// An open handle whose account loses JetStream tells it of reads and writes.
async fn jetstream_may_be_gone_after_a_restart<A: Adapter>(site: Site<A>) {
    let server = site.own_server().config_extra(&accounts("enabled")).start();
    let client = config(&server.url()).user("app", "p");
    let client = site.connect_with(client).await;
    let bucket = client.create_bucket(BucketConfig::new("b")).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    server.reload(&accounts("disabled"));
    let put = at_once(bucket.put("a", "2")).await;
    assert_eq!(put, Err(WriteError::NotApplied(Cause::NoJetStream)));
    assert_eq!(at_once(bucket.get("a")).await, Err(ReadError::NoJetStream));
    let leader = at_once(bucket.get("a").leader()).await;
    assert_eq!(leader, Err(ReadError::NoJetStream));
    assert_no_jetstream(at_once(bucket.status()).await);
}

/// When another client deletes the bucket, every operation on the open handle says so, though the server
/// itself answers only that nobody is there; the connection stays.
async fn a_bucket_deleted_under_its_handle_is_not_found<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.put("a", "1").await.unwrap();
    site.admin().delete_stream(&stream(&bucket));

    let gone = Err(WriteError::NotApplied(Cause::BucketNotFound));
    assert_eq!(at_once(bucket.put("a", "2")).await, gone);
    assert_eq!(at_once(bucket.create("b", "2")).await, gone);
    assert_eq!(
        at_once(bucket.update("a", "2", Revision::new(1))).await,
        gone
    );
    assert_eq!(at_once(bucket.delete("a")).await, gone);
    assert_eq!(
        at_once(bucket.purge("a").expect(Revision::new(1))).await,
        gone
    );
    let gone = Err(ReadError::BucketNotFound);
    assert_eq!(at_once(bucket.get("a")).await, gone);
    assert_eq!(at_once(bucket.get("a").leader()).await, gone);
    let by_revision = bucket.entry("a").revision(Revision::new(1));
    assert_eq!(at_once(by_revision).await, Err(ReadError::BucketNotFound));
    let status = at_once(bucket.status()).await;
    assert_eq!(status, Err(BucketError::NotFound));
    assert_eq!(bucket.client().stats().connects, 1);
}

/// A bucket at its `max_bytes` refuses puts, creates and deletes in the server's words, which
/// `is_bucket_full` reads; reads go on, and what was refused was not stored.
async fn a_full_bucket_refuses_writes<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.max_bytes(2_000)).await;
    bucket.put("a", [1; 1_900]).await.unwrap();
    let writes = [
        at_once(bucket.put("b", [2; 500])).await,
        at_once(bucket.create("c", [2; 500])).await,
        at_once(bucket.delete("some.rather.long.key.to.delete")).await,
    ];
    for write in writes {
        let error = write.unwrap_err();
        assert_eq!(
            (error.outcome(), error.is_retryable()),
            (Outcome::NotApplied, false)
        );
        let WriteError::NotApplied(Cause::Server(server)) = error else {
            panic!("{error:?}");
        };
        assert!(server.is_bucket_full(), "{server}");
    }
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), [1; 1_900][..]);
    assert_eq!(state_of(&mut site.admin(), &bucket, "last_seq"), 1);
}

/// When the largest value is lowered after the handle was opened, the server refuses, and the error says
/// what it means.
async fn a_limit_lowered_behind_our_back_is_the_servers_to_tell<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut admin = site.admin();
    let mut changed: Value = admin.stream_info(&stream(&bucket))["config"].clone();
    changed["max_msg_size"] = json!(10);
    let update = format!("$JS.API.STREAM.UPDATE.{}", stream(&bucket));
    let answer = admin.request(&update, changed.to_string().as_bytes());
    assert!(answer["error"].is_null(), "{answer}");
    bucket.put("a", "0123456789").await.unwrap();
    let error = at_once(bucket.put("a", "0123456789a")).await.unwrap_err();
    let WriteError::NotApplied(Cause::Server(server)) = &error else {
        panic!("{error:?}");
    };
    assert!(server.is_message_too_large(), "{server}");
}

/// Of requests beyond the client's own limits each is refused as `Full`, and the others are served: by
/// number, and by bytes.
async fn what_is_pending_is_bounded<A: Adapter>(site: Site<A>) {
    let name = site.bucket().await.name().clone();
    let limits = Limits {
        max_ops: 10,
        max_pending_bytes: 1_000,
        ..Limits::default()
    };
    let proxy = Proxy::start(site.server().addr());
    let limited = config(&proxy.url()).limits(limits);
    let bucket = site.connect_with(limited).await.bucket(name).await.unwrap();
    let full = Err(WriteError::NotApplied(Cause::Refused(Refused::Full)));
    assert!(full.as_ref().unwrap_err().is_retryable());

    // No answer comes between the first request and the last: all of them are pending at once.
    proxy.stall(Direction::ServerToClient);
    let puts: Vec<_> = (0..25).map(|_| begin(bucket.put("a", "1"))).collect();
    proxy.resume(Direction::ServerToClient);
    let results = all(puts).await;
    assert!(results[..10].iter().all(Result::is_ok), "{results:?}");
    assert!(
        results[10..].iter().all(|result| *result == full),
        "{results:?}"
    );

    assert_eq!(bucket.put("a", [0; 2_000]).await, full);
    proxy.stall(Direction::ServerToClient);
    let puts: Vec<_> = (0..3).map(|_| begin(bucket.put("a", [0; 450]))).collect();
    proxy.resume(Direction::ServerToClient);
    let results = all(puts).await;
    assert!(results[..2].iter().all(Result::is_ok), "{results:?}");
    assert_eq!(results[2], full);
    bucket.put("a", "2").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "2");
}
