//! What a session still does when it is closed.

use kv_sim::fault::Fault::*;
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step};
use kv_sim::server::Version::*;

/// A late embedder closed the session, and a write ran on after its deadline.
#[test]
fn closing_ends_first_what_is_overdue() {
    let scenario = Scenario::new(
        2941,
        Profile {
            version: V2_10,
            servers: 3,
            auth: false,
            commit_us: 5000,
            lag_us: 0,
            bucket: Bucket {
                history: 2,
                replicas: 3,
                max_age_ms: 0,
                markers: false,
                max_bytes: 0,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 30000,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 2,
                request_ms: 60,
                ping_ms: 200,
                connect_ms: 5000,
                reconnect_ms: 2000,
                reconnect_max_ms: 1000,
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
            keys: 5,
            consumers: Consumers::default(),
            hostile: false,
            storm_ms: 8000,
        },
        vec![
            Step {
                at_us: 2075939,
                act: Fault(PolledLate {
                    client: 1,
                    ms: 5000,
                }),
            },
            Step {
                at_us: 2095418,
                act: Call {
                    client: 1,
                    timeout_ms: 1,
                    ask: Put { key: 4, size: 20 },
                },
            },
            Step {
                at_us: 2097611,
                act: Fault(Close { client: 1 }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// The same, with a frame that was begun after its deadline.
#[test]
fn closing_begins_nothing_that_is_overdue() {
    let scenario = Scenario::new(
        3078,
        Profile {
            version: V2_11,
            servers: 1,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 1,
                replicas: 1,
                max_age_ms: 0,
                markers: false,
                max_bytes: 0,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 30000,
                max_chunk: 1024,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 1,
                request_ms: 5000,
                ping_ms: 5000,
                connect_ms: 300,
                reconnect_ms: 2000,
                reconnect_max_ms: 1000,
                lazy_us: 20000,
                hints: true,
                all_urls: true,
                small_limits: true,
                shuffle: false,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            keys: 1,
            consumers: Consumers::default(),
            hostile: false,
            storm_ms: 400,
        },
        vec![
            Step {
                at_us: 30687,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 67365,
                act: Fault(PolledLate {
                    client: 0,
                    ms: 5000,
                }),
            },
            Step {
                at_us: 83628,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Create {
                        key: 0,
                        size: 5000,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 146761,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Get { key: 0 },
                },
            },
            Step {
                at_us: 149382,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Create {
                        key: 0,
                        size: 700,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 161542,
                act: Call {
                    client: 0,
                    timeout_ms: 1,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 167122,
                act: Fault(Close { client: 0 }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
