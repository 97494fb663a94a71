//! A key with a time to live is created over a tombstone.

use std::time::Duration;

use kv_sim::serve::Server;

use super::{Conduct, our_bucket, said, their_bucket};

const SECOND: Duration = Duration::from_secs(1);
/// Twice as long as the lock may live.
const LATER: Duration = Duration::from_secs(2);

pub(super) async fn async_nats(server: &Server) -> Conduct {
    let bucket = their_bucket(server).await;
    bucket.create("lock", "me".into()).await.unwrap();
    bucket.delete("lock").await.unwrap();
    let created = bucket.create_with_ttl("lock", "you".into(), SECOND).await;
    tokio::time::sleep(LATER).await;
    let holder = bucket.get("lock").await;
    Conduct {
        is_right: matches!(holder, Ok(None)),
        told: vec![
            said("create for a second", &created),
            said("get two seconds later", &holder),
        ],
    }
}

pub(super) async fn kv_tokio(server: &Server) -> Conduct {
    let bucket = our_bucket(server).await;
    bucket.create("lock", "me").await.unwrap();
    bucket.delete("lock").await.unwrap();
    let created = bucket.create("lock", "you").ttl(SECOND).await;
    tokio::time::sleep(LATER).await;
    let holder = bucket.get("lock").await;
    Conduct {
        is_right: created.is_ok() && matches!(holder, Ok(None)),
        told: vec![
            said("create for a second", &created),
            said("get two seconds later", &holder),
        ],
    }
}
