//! A bucket is deleted and created again behind the back of a watch, and the numbers begin anew.

use futures_util::StreamExt;
use futures_util::future::join;
use kv_sim::serve::Server;
use kv_tokio::Update;

use super::{Conduct, our_bucket, our_keys, outage, their_bucket, until_silent};

const OLD: [&str; 3] = ["old.1", "old.2", "old.3"];
const NEW: [&str; 5] = ["new.1", "new.2", "new.3", "new.4", "new.5"];

pub(super) async fn async_nats(server: &Server) -> Conduct {
    let bucket = their_bucket(server).await;
    let mut watch = bucket.watch_all().await.unwrap();
    for key in OLD {
        bucket.put(key, "1".into()).await.unwrap();
        watch.next().await.unwrap().unwrap();
    }
    server.with_cluster(|cluster, now| cluster.recreate(now, "KV_b"));
    for key in NEW {
        bucket.put(key, "2".into()).await.unwrap();
    }
    let (told, ()) = join(until_silent(&mut watch), outage(server)).await;
    let entries = told.iter().flatten();
    let keys: Vec<&str> = entries.map(|entry| entry.key.as_str()).collect();
    Conduct {
        is_right: keys == NEW,
        told: vec![format!("the watch tells: {keys:?}")],
    }
}

pub(super) async fn kv_tokio(server: &Server) -> Conduct {
    let bucket = our_bucket(server).await;
    let mut watch = bucket.watch_all().updates_only().await.unwrap();
    for key in OLD {
        bucket.put(key, "1").await.unwrap();
    }
    let mut seen = 0;
    while seen < OLD.len() {
        let update = watch.next().await.unwrap().unwrap();
        seen += usize::from(matches!(update, Update::Entry(_)));
    }
    server.with_cluster(|cluster, now| cluster.recreate(now, "KV_b"));
    for key in NEW {
        bucket.put(key, "2").await.unwrap();
    }
    let (told, ()) = join(until_silent(&mut watch), outage(server)).await;
    let keys = our_keys(&told);
    let is_reset = told
        .iter()
        .any(|update| matches!(update, Ok(Update::Reset(_))));
    Conduct {
        is_right: keys == NEW && is_reset,
        told: vec![
            format!("the watch says that it starts over: {is_reset}"),
            format!("the watch tells: {keys:?}"),
        ],
    }
}
