//! What the application does, whoever simulates its world.

use std::time::Duration;

use kv_proto::BucketConfig;
use kv_proto::driver::Client;

pub(crate) const CLIENTS: [&str; 3] = ["ann", "bob", "cid"];
pub(crate) const OPERATIONS: usize = 50;
/// What one way takes, on average.
pub(crate) const LATENCY: Duration = Duration::from_millis(1);

/// Puts and gets in turn, and looks at what comes back.
pub(crate) async fn application(client: Client, name: &str) {
    let bucket = client.create_or_update_bucket(BucketConfig::new("b"));
    let bucket = bucket.await.expect("a bucket");
    for count in 0..OPERATIONS / 2 {
        let value = format!("{name} {count}");
        bucket.put(name, value.as_str()).await.expect("a revision");
        let read = bucket.get(name).await.expect("an answer");
        assert_eq!(read.expect("a value"), value.as_str());
    }
}
