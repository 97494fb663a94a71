//! Acknowledgements that are lost on their way: what becomes of writes that have a condition. A proxy cuts the
//! connection right before the acknowledgement passes, so that the write is certainly stored.
//!
//! Servers differ in whether they look at the id of a message or at its condition first, by version and by the
//! number of replicas; both kinds are here.

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Doubt, Revision, WriteError};
use kv_tests::Direction::ServerToClient;
use kv_tests::{Admin, Cluster, Proxy, Server, Version, eventually, unique};

use crate::site::{Adapter, SECOND, Site, begin, config, poll_once, state_of, tests, tests_of};

tests! {
    on_both_ends {
        one_server_is_asked_again
        what_others_wrote_meanwhile_does_not_hide_a_write_from_its_writer
    }
}

// One adapter is enough for what costs a cluster each time.
tests_of! {
    clustered Tokio
    on_both_ends {
        three_replicas_are_asked_again
    }
}

/// Every write on a condition is told its revision, never that it conflicts with itself, and is stored once.
async fn one_server_is_asked_again<A: Adapter>(site: Site<A>) {
    lose_all_acknowledgements(&site, site.server(), 1).await;
}

/// So it is in a cluster, by way of each server: that which leads the stream, and those that do not.
async fn three_replicas_are_asked_again<A: Adapter>(site: Site<A>) {
    let cluster = Cluster::start(site.version());
    for server in cluster.servers() {
        lose_all_acknowledgements(&site, server, 3).await;
    }
}

async fn lose_all_acknowledgements<A: Adapter>(site: &Site<A>, server: &Server, replicas: u8) {
    let new = BucketConfig::new(unique("b")).history(5).replicas(replicas);
    let direct = site.connect(&server.url()).await;
    let direct = direct
        .create_bucket(new)
        .timeout(20 * SECOND)
        .await
        .unwrap();
    let mut base = direct.put("base", "0").timeout(20 * SECOND).await.unwrap();
    direct.put("grave", "0").await.unwrap();
    let mut last = direct.delete("grave").await.unwrap();
    for kind in ["create", "over", "update", "delete", "purge"] {
        last = Revision::new(last.get() + 1);
        let proxy = Proxy::start(server.addr());
        // It learns of the servers behind the proxy, and goes on there.
        let client = A::connect(config(&proxy.url())).await.unwrap();
        let bucket = client.bucket(direct.name().as_str()).await.unwrap();
        // Not a refusal, which a create over a tombstone meets first and which names no sequence.
        proxy.drop_matching(ServerToClient, format!("\"seq\":{last}}}").as_bytes());
        let result = write(kind, &bucket, base).await;
        assert_eq!(result, Ok(last), "{kind}");
        assert_eq!(
            client.stats().connects,
            2,
            "{kind}: the acknowledgement was lost"
        );
        if matches!(kind, "update" | "delete") {
            base = last;
        }
        let stored = state_of(&mut Admin::connect(server), &direct, "last_seq");
        assert_eq!(stored, last.get(), "{kind} is stored once");
    }
}

async fn write(kind: &str, bucket: &Bucket, base: Revision) -> Result<Revision, WriteError> {
    let patient = 20 * SECOND;
    match kind {
        "create" => bucket.create("create", "1").timeout(patient).await,
        "over" => bucket.create("grave", "1").timeout(patient).await,
        "update" => bucket.update("base", "1", base).timeout(patient).await,
        "delete" => bucket.delete("base").expect(base).timeout(patient).await,
        _ => bucket.purge("base").expect(base).timeout(patient).await,
    }
}

/// While the connection is lost, others write over what was stored. With history the write is found all the
/// same; without, the client says that it cannot know, and at which revision the key is now.
async fn what_others_wrote_meanwhile_does_not_hide_a_write_from_its_writer<A: Adapter>(
    site: Site<A>,
) {
    for history in [1, 5] {
        let proxy = Proxy::start(site.server().addr());
        let client = site.connect(&proxy.url()).await;
        let config = BucketConfig::new(unique("b")).history(history);
        let bucket = client.create_bucket(config).await.unwrap();
        let other = site
            .client()
            .await
            .bucket(bucket.name().as_str())
            .await
            .unwrap();
        let base = bucket.put("k", "0").await.unwrap();

        proxy.stall(ServerToClient);
        let mut update = begin(bucket.update("k", "ours", base).timeout(20 * SECOND));
        assert!(poll_once(&mut update).is_pending());
        let mut admin = site.admin();
        eventually("it is stored", || {
            state_of(&mut admin, &bucket, "last_seq") == 2
        });
        let rival = other.put("k", "theirs").await.unwrap();
        proxy.cut_all();
        proxy.resume(ServerToClient);

        match (history, update.await) {
            (1, Err(WriteError::Unknown(Doubt::Superseded { current }))) => {
                assert_eq!(current, rival);
            }
            (1, Ok(revision)) if !looks_at_the_condition_first(&site) => {
                assert_eq!(revision.get(), 2);
            }
            (5, Ok(revision)) => assert_eq!(revision.get(), 2),
            (_, result) => panic!("history {history}: {result:?}"),
        }
        assert_eq!(state_of(&mut admin, &bucket, "last_seq"), 3);
    }
}

/// Servers from 2.12 on do; older ones know a message again by its id (one replica, as measured).
fn looks_at_the_condition_first<A: Adapter>(site: &Site<A>) -> bool {
    site.server().version() >= Version::V2_12
}
