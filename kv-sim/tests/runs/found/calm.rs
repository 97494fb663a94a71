//! Where the simulated world kept a run from coming to rest, not the client.

use kv_sim::fault::{Ending::*, Fault::*, Way::*};
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
use kv_sim::server::Version::*;

/// Here the judge did not wait for a server that believed in a connection long after its client had given it up, and
/// had forgotten what it listened to there, as its clock had jumped.
#[test]
fn what_a_server_believes_in_is_not_left_behind() {
    let scenario = Scenario::new(
        543173,
        Profile {
            version: V2_15,
            servers: 1,
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
                latency_us: 30000,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 1,
                request_ms: 300,
                ping_ms: 1000,
                connect_ms: 5000,
                reconnect_ms: 10,
                reconnect_max_ms: 200,
                lazy_us: 0,
                hints: false,
                all_urls: false,
                small_limits: false,
                shuffle: true,
                max_reconnects: 3,
                auth_failures: 0,
                few_floors: true,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 4096,
                wide_replies: false,
            },
            keys: 2,
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 452117,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Get { key: 1 },
                },
            },
            Step {
                at_us: 471587,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 0,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 0),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 486425,
                act: Fault(Cut {
                    client: 0,
                    way: Up,
                    after: 60,
                    how: Finished,
                }),
            },
            Step {
                at_us: 720048,
                act: Fault(HalfOpen { client: 0, way: Up }),
            },
            Step {
                at_us: 1024632,
                act: Fault(Jump {
                    client: 0,
                    ms: 60000,
                }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// Here the judge took nobody to read what a watch had brought before its end, which left no room for another watch.
#[test]
fn what_has_ended_is_not_in_the_way() {
    let scenario = Scenario::new(
        566103,
        Profile {
            version: V2_14,
            servers: 1,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 5,
                replicas: 1,
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
                count: 4,
                request_ms: 5000,
                ping_ms: 1000,
                connect_ms: 5000,
                reconnect_ms: 10,
                reconnect_max_ms: 200,
                lazy_us: 0,
                hints: false,
                all_urls: true,
                small_limits: true,
                shuffle: true,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 4096,
                wide_replies: false,
            },
            keys: 20,
            hostile: false,
            storm_ms: 4000,
        },
        vec![
            Step {
                at_us: 291059,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 14, size: 511 },
                },
            },
            Step {
                at_us: 291059,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 6, size: 700 },
                },
            },
            Step {
                at_us: 299000,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 3, size: 20 },
                },
            },
            Step {
                at_us: 312574,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 1,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 312574,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 12,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 351031,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 366173,
                act: Follow {
                    client: 3,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(4480),
                        since: Last,
                        ignore_deletes: true,
                        meta_only: false,
                        heartbeat_ms: 300,
                        patience_ms: 3000,
                        timeout_ms: 0,
                        buffer: (0, 0),
                        reader: Asleep,
                    },
                },
            },
            Step {
                at_us: 808472,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Update {
                        key: 9,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 808710,
                act: Fault(Cut {
                    client: 3,
                    way: Up,
                    after: 1,
                    how: Reset,
                }),
            },
            Step {
                at_us: 817980,
                act: Call {
                    client: 3,
                    timeout_ms: 0,
                    ask: Put { key: 5, size: 0 },
                },
            },
            Step {
                at_us: 917890,
                act: Fault(Recreate { ms: 1000 }),
            },
            Step {
                at_us: 1632807,
                act: Fault(Recreate { ms: 0 }),
            },
            Step {
                at_us: 1634308,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Create {
                        key: 4,
                        size: 20,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 1692870,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Create {
                        key: 5,
                        size: 20,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 1793639,
                act: Follow {
                    client: 3,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 1000,
                        patience_ms: 3000,
                        timeout_ms: 0,
                        buffer: (20, 0),
                        reader: Eager,
                    },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// Here an embedder took a breath after it had begun a session, and its first attempts never had the time that they
/// needed.
#[test]
fn a_session_begins_when_somebody_serves_it() {
    let scenario = Scenario::new(
        96286,
        Profile {
            version: V2_11,
            servers: 1,
            auth: true,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 5,
                replicas: 1,
                max_age_ms: 1000,
                markers: false,
                max_bytes: 0,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 30000,
                max_chunk: 1,
                window: 65536,
                quantum_us: 10000,
            },
            clients: Clients {
                count: 3,
                request_ms: 300,
                ping_ms: 200,
                connect_ms: 300,
                reconnect_ms: 2000,
                reconnect_max_ms: 200,
                lazy_us: 0,
                hints: true,
                all_urls: false,
                small_limits: false,
                shuffle: false,
                max_reconnects: 1,
                auth_failures: 0,
                few_floors: true,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 65536,
                wide_replies: false,
            },
            keys: 20,
            hostile: false,
            storm_ms: 4000,
        },
        vec![
            Step {
                at_us: 960563,
                act: Fault(Restart {
                    server: 0,
                    ms: 1,
                    keep_memory: true,
                }),
            },
            Step {
                at_us: 996591,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 2,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
