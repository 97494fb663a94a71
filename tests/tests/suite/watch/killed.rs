//! Clients that are killed, and cannot tidy up behind themselves: the server does, in time.
//!
//! `KV_KILLS=1000 cargo test -p kv-tests --test suite -- killed` kills so many, and waits until nothing is left.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kv_proto::driver::Bucket;
use kv_proto::{BucketName, Update};
use kv_tests::{Admin, eventually};
use serde_json::json;

use super::fill;
use crate::site::{Adapter, SECOND, Site, config, stream, tests};

tests! {
    on_the_newest {
        killed_clients_leave_what_the_server_tidies_up
    }
}

/// Watches of a client that is killed.
const WATCHES: usize = 4;

/// How long the server may keep what nobody listens to.
const KEPT: Duration = Duration::from_secs(300);

/// Clients in processes of their own, which open watches, read some of them and are killed (SIGKILL): what they leave
/// is bounded, has no copies and no place on the disk, and the server ends it by itself. With `KV_KILLS` it is waited
/// for, after as many clients have also lost their connections, and have dropped their watches in between.
async fn killed_clients_leave_what_the_server_tidies_up<A: Adapter>(site: Site<A>) {
    let kills = std::env::var("KV_KILLS").map_or(2, |kills| kills.parse().unwrap());
    let bucket = site.bucket().await;
    fill(&bucket, 10, 10).await;
    let (url, mut admin) = (site.server().url(), site.admin());
    for _ in 0..kills {
        let mut child = exposed(&url, &bucket);
        let mut ready = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        while !ready.contains("ready") {
            ready.clear();
            assert_ne!(output.read_line(&mut ready).unwrap(), 0, "it ended");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let left = admin.consumers(&stream(&bucket));
        assert!(left >= WATCHES as u64, "{left}");
        assert_bounded(&mut admin, &bucket);
    }
    // Who lives is not harmed.
    let mut watch = bucket.watch_all().await.unwrap();
    while watch.next().await.unwrap().unwrap() != Update::Synced {}
    drop(watch);
    if std::env::var("KV_KILLS").is_ok() {
        bucket.client().sleep(30 * SECOND).await;
        eventually("the server has tidied up", || {
            admin.consumers(&stream(&bucket)) == 0
        });
    }
}

/// What is there is ended by the server without anybody asking.
fn assert_bounded(admin: &mut Admin, bucket: &Bucket) {
    let stream = stream(bucket);
    for name in admin.consumer_names(&stream) {
        let info = admin.request(&format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), b"");
        let config = &info["config"];
        let threshold = config["inactive_threshold"].as_u64().unwrap_or(u64::MAX);
        assert!(Duration::from_nanos(threshold) <= KEPT, "{config}");
        assert_eq!(
            (&config["mem_storage"], &config["num_replicas"]),
            (&json!(true), &json!(1))
        );
    }
}

fn exposed(url: &str, bucket: &Bucket) -> Child {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([
        "--exact",
        "--ignored",
        "--nocapture",
        "watch::killed::child_of_the_test_above",
    ]);
    process.env("KV_KILLED", format!("{url} {}", bucket.name()));
    process.stdout(Stdio::piped()).stderr(Stdio::null());
    process.spawn().unwrap()
}

#[test]
#[ignore = "the test above runs it"]
#[allow(clippy::print_stdout, reason = "it says when it is to be killed")]
fn child_of_the_test_above() {
    let Ok(given) = std::env::var("KV_KILLED") else {
        return; // not run by the test above, but with all that are ignored
    };
    let (url, bucket) = given.split_once(' ').unwrap();
    let bucket: BucketName = bucket.parse().unwrap();
    ::smol::block_on(async {
        let client = kv_smol::connect(config(url)).await.unwrap();
        let bucket = client.bucket(bucket).await.unwrap();
        let mut watches = Vec::new();
        for read in 0..WATCHES {
            let mut watch = bucket.watch_all().await.unwrap();
            for _ in 0..read * 3 {
                watch.next().await;
            }
            watches.push(watch);
            drop(bucket.watch_all().await.unwrap());
        }
        println!("ready");
        client.sleep(3_600 * SECOND).await;
    });
}
