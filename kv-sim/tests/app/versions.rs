//! The same application on servers of every version, alone and in a cluster.

use kv_proto::{BucketConfig, Update};
use kv_sim::app::{Sim, Simulation};
use kv_sim::server::Version;

use super::bucket;

/// Everything that a bucket can do, once.
async fn session(sim: Sim) {
    let a = sim.process("a");
    let bucket = bucket(&sim, &a).await;
    let first = bucket.create("k", "1").await.unwrap();
    let second = bucket.update("k", "2", first).await.unwrap();
    assert!(bucket.update("k", "3", first).await.is_err());
    assert_eq!(bucket.get("k").await.unwrap().unwrap(), "2");
    bucket.put("l", "1").await.unwrap();
    bucket.delete("l").await.unwrap();
    assert_eq!(bucket.keys().collect().await.unwrap(), ["k"]);
    let history = bucket.history("k").collect().await.unwrap();
    assert_eq!(history.last().unwrap().revision, second);
    let mut watch = bucket.watch(">").await.unwrap();
    loop {
        if watch.next().await.unwrap().unwrap() == Update::Synced {
            break;
        }
    }
    bucket.purge("k").await.unwrap();
    assert!(matches!(watch.next().await, Some(Ok(Update::Entry(_)))));
    assert_eq!(bucket.status().await.unwrap().history(), 1);
    let names = a.connect(sim.url()).await.unwrap().bucket_names();
    assert_eq!(names.collect().await.unwrap().len(), 1);
    bucket.client().delete_bucket("b").await.unwrap();
    let again = bucket.client().create_bucket(BucketConfig::new("b"));
    again.await.unwrap();
    bucket.client().close().await;
}

#[test]
fn all_versions_serve_it() {
    for version in Version::ALL {
        for servers in [1, 3] {
            let simulation = Simulation::new().version(version).servers(servers);
            simulation.search(0..10, session).unwrap();
        }
    }
}
