//! A watch for what is new loses the first message, and has to begin anew without having heard anything.

use kv_sim::serve::Server;
use kv_sim::server::DeliveryFault;

use super::{Conduct, our_bucket, our_keys, their_bucket, until_silent};

const NEW: [&str; 2] = ["new.1", "new.2"];

/// Lets the next message to a watch be lost.
fn lose_one(server: &Server) {
    server.with_cluster(|cluster, _now| cluster.disturb_delivery(DeliveryFault::Dropped));
}

pub(super) async fn async_nats(server: &Server) -> Conduct {
    let bucket = their_bucket(server).await;
    for value in ["1", "2", "3"] {
        bucket.put("old", value.into()).await.unwrap();
    }
    let mut watch = bucket.watch_all().await.unwrap();
    lose_one(server);
    for key in NEW {
        bucket.put(key, "4".into()).await.unwrap();
    }
    let told = until_silent(&mut watch).await;
    let entries = told.iter().flatten();
    let keys: Vec<&str> = entries.map(|entry| entry.key.as_str()).collect();
    Conduct {
        is_right: keys == NEW,
        told: vec![format!("the watch tells: {keys:?}")],
    }
}

pub(super) async fn kv_tokio(server: &Server) -> Conduct {
    let bucket = our_bucket(server).await;
    for value in ["1", "2", "3"] {
        bucket.put("old", value).await.unwrap();
    }
    let mut watch = bucket.watch_all().updates_only().await.unwrap();
    lose_one(server);
    for key in NEW {
        bucket.put(key, "4").await.unwrap();
    }
    let told = until_silent(&mut watch).await;
    let keys = our_keys(&told);
    Conduct {
        is_right: keys == NEW,
        told: vec![format!("the watch tells: {keys:?}")],
    }
}
