//! A bucket from its creation to its end, told step by step.
//!
//! Connects to `NATS_URL`, or else to a simulated server in this process.

#![allow(clippy::print_stdout, reason = "an example")]

use std::error::Error;
use std::time::Duration;

use kv_sim::{ServeConfig, server::Version};
use kv_tokio::{BucketConfig, Outcome, Update, WriteError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = kv_sim::serve(ServeConfig::new(Version::V2_15))?;
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| server.url());
    let client = kv_tokio::connect(url).await?;
    println!("connected to {}", client.server().ok_or("no server")?);

    let config = BucketConfig::new("quickstart").history(5);
    let bucket = client.create_or_update_bucket(config).await?;
    println!("bucket {:?} keeps 5 revisions of each key", bucket.name());

    let first = bucket.put("app.setting", "on").await?;
    println!("put          app.setting = on           -> revision {first}");
    let value = bucket.get("app.setting").await?.ok_or("just written")?;
    println!("get          app.setting                -> {value:?}");

    let second = bucket.update("app.setting", "off", first).await?;
    println!("update       app.setting = off, if at {first} -> revision {second}");
    match bucket.update("app.setting", "maybe", first).await {
        Err(WriteError::Conflict { expected, current }) => {
            let current = current.map_or("?".into(), |revision| revision.to_string());
            println!(
                "update       app.setting, if at {expected}       -> lost: it is at {current}"
            );
        }
        other => return Err(format!("expected a conflict, got {other:?}").into()),
    }

    bucket.create("app.lock", "me").await?;
    match bucket.create("app.lock", "you").await {
        Err(error @ WriteError::Exists { .. }) => {
            assert_eq!(error.outcome(), Outcome::NotApplied);
            println!("create       app.lock, twice            -> lost: {error}");
        }
        other => return Err(format!("expected a lost race, got {other:?}").into()),
    }

    let old = bucket.entry("app.setting").revision(first).await?;
    let old = old.ok_or("history of 5")?;
    println!(
        "entry        app.setting at {first}           -> {:?}, {}",
        old.value, old.created
    );

    for entry in bucket.history("app.setting").collect().await? {
        println!(
            "history      app.setting at {}           -> {:?}",
            entry.revision, entry.value
        );
    }
    let keys = bucket.keys().filter("app.>").collect().await?;
    println!("keys         app.>                      -> {keys:?}");

    // First what is there, up to `Update::Synced`; then what happens.
    let mut watch = bucket.watch("app.>").await?;
    while let Update::Entry(entry) = watch.next().await.ok_or("no end yet")?? {
        println!(
            "watch        app.>                      -> {} = {:?}",
            entry.key, entry.value
        );
    }
    println!("watch        app.>                      -> that was all there is");

    bucket.delete("app.setting").expect(second).await?;
    let gone = bucket.get("app.setting").await?;
    println!("delete, get  app.setting                -> {gone:?}");
    if let Some(Update::Entry(entry)) = watch.next().await.transpose()? {
        println!(
            "watch        app.>                      -> {} {:?} at {}",
            entry.key, entry.operation, entry.revision
        );
    }
    bucket
        .purge("app.lock")
        .timeout(Duration::from_secs(1))
        .await?;

    let status = bucket.status().await?;
    println!(
        "status       {} keys, {} messages, {} bytes, last revision {}",
        status.keys(),
        status.values(),
        status.bytes(),
        status.last_revision()
    );

    client.delete_bucket("quickstart").await?;
    client.close().await;
    println!("bucket deleted, connection closed: {:?}", client.state());
    Ok(())
}
