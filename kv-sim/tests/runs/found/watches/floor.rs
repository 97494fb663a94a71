//! Up to where the initial data reaches.

use kv_sim::fault::Fault::*;
use kv_sim::fault::Way::*;
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
use kv_sim::server::Version::*;

/// The last revision of a key expired and let an older one come back, which the consumer never delivers; the
/// watch was never told `Synced`.
#[test]
fn an_older_revision_that_comes_back_is_not_waited_for() {
    let scenario = Scenario::new(
        19549,
        Profile {
            version: V2_11,
            servers: 2,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 5,
                replicas: 1,
                max_age_ms: 0,
                markers: true,
                max_bytes: 0,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 2000,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 4,
                request_ms: 1500,
                ping_ms: 5000,
                connect_ms: 5000,
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
            consumers: Consumers {
                flow_limit: 4096,
                wide_replies: false,
            },
            keys: 5,
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 205688,
                act: Fault(Clog {
                    client: 0,
                    way: Up,
                    ms: 5000,
                }),
            },
            Step {
                at_us: 208561,
                act: Fault(Clog {
                    client: 1,
                    way: Up,
                    ms: 100,
                }),
            },
            Step {
                at_us: 214458,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Delete { key: 1, base: None },
                },
            },
            Step {
                at_us: 214458,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 700 },
                },
            },
            Step {
                at_us: 215943,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 2, size: 511 },
                },
            },
            Step {
                at_us: 221812,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 0,
                        patience_ms: 3000,
                        timeout_ms: 0,
                        buffer: (20, 0),
                        reader: Pausing(1, 35000),
                    },
                },
            },
            Step {
                at_us: 253361,
                act: Call {
                    client: 0,
                    timeout_ms: 3000,
                    ask: Create {
                        key: 0,
                        size: 100,
                        ttl: 30,
                    },
                },
            },
            Step {
                at_us: 256425,
                act: Fault(Restart {
                    server: 1,
                    ms: 1500,
                    keep_memory: false,
                }),
            },
            Step {
                at_us: 1300603,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 0,
                        base: None,
                        ttl: 0,
                    },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// The last revision that matches lies before the one to start with: it was waited for for ever, and the
/// watch never told `Synced`. Since two heartbeats behind it are believed this shows only without that.
#[test]
fn a_start_behind_the_floor_owes_nothing() {
    let scenario = Scenario::new(
        1345,
        Profile {
            version: V2_11,
            servers: 3,
            auth: false,
            commit_us: 300,
            lag_us: 50000,
            bucket: Bucket {
                history: 64,
                replicas: 3,
                max_age_ms: 0,
                markers: false,
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
                count: 3,
                request_ms: 5000,
                ping_ms: 5000,
                connect_ms: 1000,
                reconnect_ms: 10,
                reconnect_max_ms: 10000,
                lazy_us: 0,
                hints: false,
                all_urls: false,
                small_limits: false,
                shuffle: false,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 0,
                wide_replies: false,
            },
            keys: 5,
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 477455,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 4, size: 511 },
                },
            },
            Step {
                at_us: 479183,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 533480,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 100 },
                },
            },
            Step {
                at_us: 724172,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 0,
                        base: Some(Zero),
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 735170,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(16),
                        since: Revision(1),
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 100,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 200),
                        reader: Eager,
                    },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
