//! Where the judge was wrong, not the client.

use kv_sim::fault::Fault::*;
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step};
use kv_sim::server::Version::*;

/// Here the judge was wrong: two purges had the same revision, before and after a crash.
#[test]
fn two_purges_of_one_revision_are_told_apart() {
    let scenario = Scenario::new(
        2749,
        Profile {
            version: V2_12,
            servers: 1,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 1,
                replicas: 1,
                max_age_ms: 1000,
                markers: true,
                max_bytes: 0,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 50,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 2,
                request_ms: 5000,
                ping_ms: 5000,
                connect_ms: 1000,
                reconnect_ms: 2000,
                reconnect_max_ms: 10000,
                lazy_us: 0,
                hints: true,
                all_urls: true,
                small_limits: false,
                shuffle: false,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            keys: 20,
            consumers: Consumers::default(),
            hostile: false,
            storm_ms: 4000,
        },
        vec![
            Step {
                at_us: 79906,
                act: Fault(Rewind { count: 1 }),
            },
            Step {
                at_us: 185403,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 2,
                        base: Some(Seen),
                        ttl: 1,
                    },
                },
            },
            Step {
                at_us: 961312,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 2,
                        base: None,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 1048479,
                act: Fault(Rewind { count: 1 }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
