//! A program that follows its settings, while two others change them.
//!
//! Connects to `NATS_URL`, or else to a simulated server in this process. All of it runs on one thread, the
//! client's driver too.

#![allow(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeMap;
use std::error::Error;

use kv_sim::{ServeConfig, server::Version};
use kv_smol::{Bucket, BucketConfig, Operation, Update, Watch, WriteError};
use smol::future::{try_zip, zip};

fn main() -> Result<(), Box<dyn Error>> {
    let server = kv_sim::serve(ServeConfig::new(Version::V2_15))?;
    let url = std::env::var("NATS_URL").unwrap_or_else(|_| server.url());
    let (client, driver) = kv_smol::connect_with_driver(url)?;
    let program = async move {
        client.connected().await?;
        println!("connected to {}", client.server().ok_or("no server")?);
        // Whoever follows is told of what was overwritten in the meantime, too.
        let config = BucketConfig::new("settings").history(5);
        let bucket = client.create_bucket(config).await?;
        bucket.put("log.level", "info").await?;
        bucket.put("pool.size", "8").await?;

        let mut settings = Settings::load(&bucket).await?;
        println!("loaded   {:?}", settings.values);
        try_zip(settings.follow(), change(&bucket)).await?;
        println!("in force {:?}", settings.values);

        client.delete_bucket("settings").await?;
        client.close().await;
        Ok(())
    };
    // The driver ends when the program has closed the client, or has dropped it.
    let (outcome, ()) = smol::block_on(zip(program, driver));
    outcome
}

/// The settings that are in force.
struct Settings {
    values: BTreeMap<String, String>,
    watch: Watch,
}

impl Settings {
    async fn load(bucket: &Bucket) -> Result<Self, Box<dyn Error>> {
        let mut settings = Self {
            values: BTreeMap::new(),
            watch: bucket.watch(">").await?,
        };
        while settings.hear().await? != Update::Synced {}
        Ok(settings)
    }

    /// Tells what changes, until there is no pool any more.
    async fn follow(&mut self) -> Result<(), Box<dyn Error>> {
        while self.values.contains_key("pool.size") {
            if let Update::Entry(entry) = self.hear().await? {
                println!("{:?} {} {:?}", entry.operation, entry.key, entry.value);
            }
        }
        Ok(())
    }

    /// Waits for what is new.
    async fn hear(&mut self) -> Result<Update, Box<dyn Error>> {
        let update = self.watch.next().await.ok_or("no end yet")??;
        match &update {
            Update::Entry(entry) if entry.operation == Operation::Put => {
                let value = String::from_utf8_lossy(&entry.value).into_owned();
                self.values.insert(entry.key.to_string(), value);
            }
            Update::Entry(entry) => {
                self.values.remove(entry.key.as_str());
            }
            // All that there is will be told again: the bucket was made anew, say.
            Update::Reset(_) => self.values.clear(),
            // A value that cannot be read leaves the one before in force.
            Update::Damaged(_) | Update::Synced | _ => {}
        }
        Ok(update)
    }
}

/// Two at once double the size of the pool, and neither is lost; then settings are removed.
async fn change(bucket: &Bucket) -> Result<(), Box<dyn Error>> {
    try_zip(double(bucket), double(bucket)).await?;
    bucket.delete("log.level").await?;
    bucket.put("log.target", "stderr").await?;
    bucket.delete("pool.size").await?;
    Ok(())
}

async fn double(bucket: &Bucket) -> Result<(), Box<dyn Error>> {
    loop {
        let read = bucket.entry("pool.size").await?.ok_or("no size")?;
        let size: u32 = std::str::from_utf8(&read.value)?.parse()?;
        let doubled = (size * 2).to_string();
        match bucket.update("pool.size", doubled, read.revision).await {
            Err(WriteError::Conflict { .. }) => println!("somebody was faster than at {size}"),
            result => return Ok(result.map(drop)?),
        }
    }
}
