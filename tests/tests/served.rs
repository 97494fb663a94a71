//! kv-tokio on sockets against simulated servers that are bad again and again: whatever goes wrong, a watch ends
//! up with what the bucket has, and no write that was confirmed is missing without a word.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use kv_sim::ServeConfig;
use kv_sim::serve::{Calamity, Fault, Server};
use kv_sim::server::{Recurring, Version};
use kv_tokio::{Bucket, BucketConfig, Revision, Update, Watch};

/// Far longer than a test takes.
const HANGS: Duration = Duration::from_secs(60);
/// How long each write may take.
const PATIENCE: Duration = Duration::from_millis(300);
/// How often what befalls servers comes: several times in a test.
const OFTEN: Duration = Duration::from_millis(400);
const WRITES: u32 = 60;
const KEYS: u32 = 7;

/// The last revision of each key.
type State = BTreeMap<String, Revision>;

macro_rules! faults {
    ($($name:ident: $servers:literal, $text:literal;)*) => {
        $(
            #[test]
            fn $name() {
                survives($servers, $text);
            }
        )*

        /// What can be set is tried.
        #[test]
        fn all_faults_are_tried() {
            let tried = [$($text),*].map(|text| text.parse::<Fault>().unwrap());
            let of_messages = |fault: &Fault| match fault {
                Fault::Message(fault, _) => Some(*fault),
                Fault::Servers(..) => None,
            };
            let of_servers = |fault: &Fault| match fault {
                Fault::Message(..) => None,
                Fault::Servers(fault, _) => Some(*fault),
            };
            let messages: Vec<_> = tried.iter().filter_map(of_messages).collect();
            let servers: Vec<_> = tried.iter().filter_map(of_servers).collect();
            assert_eq!(messages, Recurring::ALL);
            assert_eq!(servers, Calamity::ALL);
        }
    };
}

faults! {
    lost_acks: 1, "lost-ack=5";
    severed_acks: 1, "severed-ack=5";
    refused_publishes: 1, "refused-publish=3";
    misreported_publishes: 1, "misreported-publish=3";
    refused_calls: 1, "refused-call=2";
    dropped_deliveries: 1, "dropped-delivery=4";
    doubled_deliveries: 1, "doubled-delivery=2";
    overtaken_deliveries: 1, "overtaken-delivery=4";
    orphaned_deliveries: 1, "orphaned-delivery=20";
    lost_heartbeats: 1, "lost-heartbeat=2";
    disconnections: 1, "disconnect";
    restarts: 1, "restart";
    rewinds: 1, "rewind";
    recreations: 1, "recreate";
    elections: 3, "elect";
    lags: 3, "lag";
}

fn survives(servers: u8, fault: &str) {
    let config = ServeConfig::new(Version::V2_15).servers(usize::from(servers));
    let server = kv_sim::serve(config).unwrap();
    let fault = match fault.parse().unwrap() {
        Fault::Servers(calamity, _) => Fault::Servers(calamity, OFTEN),
        fault @ Fault::Message(..) => fault,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let story = storm(&server, servers, fault);
    let ended = runtime.block_on(async { tokio::time::timeout(HANGS, story).await });
    ended.unwrap_or_else(|_| panic!("{fault} hangs"));
}

async fn storm(server: &Server, replicas: u8, fault: Fault) {
    let client = kv_tokio::connect(server.url()).await.unwrap();
    let config = BucketConfig::new("b").replicas(replicas);
    let bucket = client.create_bucket(config).await.unwrap();
    let mut watch = bucket
        .watch_all()
        .heartbeat(Duration::from_millis(500))
        .await
        .unwrap();

    server.set_faults(&[fault]);
    let mut confirmed = State::new();
    for number in 0..WRITES {
        let key = format!("k{}", number % KEYS);
        let put = bucket
            .put(&*key, number.to_string())
            .timeout(PATIENCE)
            .await;
        if let Ok(revision) = put {
            confirmed.insert(key, revision);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.set_faults(&[]);

    let told = watch_until_end(&bucket, &mut watch).await;
    let stored = read_all(&bucket).await;
    assert_eq!(told.state, stored, "{fault}");
    // Only a bucket that began anew or lost its end may have less than was confirmed.
    if !told.was_reset {
        for (key, revision) in &confirmed {
            assert!(stored.get(key) >= Some(revision), "{fault}: {key}");
        }
    }
    let forgets = matches!(
        fault,
        Fault::Servers(Calamity::Recreate | Calamity::Rewind, _)
    );
    assert!(forgets || !told.was_reset, "{fault} resets a watch");
}

#[derive(Default)]
struct Told {
    state: State,
    was_reset: bool,
}

/// Reads a watch until it tells of a last entry that is written now.
async fn watch_until_end(bucket: &Bucket, watch: &mut Watch) -> Told {
    let last = loop {
        if let Ok(revision) = bucket.put("end", "").timeout(PATIENCE).await {
            break revision;
        }
    };
    let mut told = Told::default();
    loop {
        let update = watch.next().await.unwrap().unwrap();
        if let Update::Entry(entry) = &update {
            let key = entry.key.as_str().to_owned();
            told.state.insert(key, entry.revision);
            if entry.key.as_str() == "end" && entry.revision == last {
                return told;
            }
        } else if let Update::Reset(_) = update {
            told.state.clear();
            told.was_reset = true;
        }
    }
}

async fn read_all(bucket: &Bucket) -> State {
    let mut state = State::new();
    for key in bucket.keys().collect().await.unwrap() {
        let entry = bucket.entry(&key).leader().await.unwrap().unwrap();
        state.insert(key.as_str().to_owned(), entry.revision);
    }
    state
}
