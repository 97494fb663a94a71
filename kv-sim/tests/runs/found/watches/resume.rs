//! Where a watch goes on.

use kv_sim::fault::Ending::*;
use kv_sim::fault::Fault::*;
use kv_sim::fault::Way::*;
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
use kv_sim::server::Version::*;

/// A flow-control request came before the new consumer was verified, and wiped the place from which the watch
/// goes on: its position was not that of the entry it had just told.
#[test]
fn flow_control_that_is_held_keeps_the_place() {
    let scenario = Scenario::new(
        145,
        Profile {
            version: V2_10,
            servers: 1,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 1,
                replicas: 1,
                max_age_ms: 0,
                markers: false,
                max_bytes: 6000,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 300,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 3,
                request_ms: 300,
                ping_ms: 200,
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
                flow_limit: 4096,
                wide_replies: false,
            },
            keys: 5,
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 181,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Create {
                        key: 1,
                        size: 20,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 8919,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(2),
                        since: Position(0),
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 1000,
                        patience_ms: 3000,
                        timeout_ms: 0,
                        buffer: (0, 2000),
                        reader: Pausing(5, 35000),
                    },
                },
            },
            Step {
                at_us: 157979,
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
                at_us: 437709,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 1, size: 20 },
                },
            },
            Step {
                at_us: 486816,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 1, size: 20 },
                },
            },
            Step {
                at_us: 534064,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 1, size: 20 },
                },
            },
            Step {
                at_us: 554781,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 1, size: 700 },
                },
            },
            Step {
                at_us: 1101414,
                act: Fault(Cut {
                    client: 0,
                    way: Up,
                    after: 62,
                    how: Reset,
                }),
            },
            Step {
                at_us: 1132783,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Get { key: 1 },
                },
            },
            Step {
                at_us: 1132806,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 1, size: 100 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// nats-server 2.10 begins a consumer at the end of a replica that is behind, and sends again what the watch
/// knew: it was taken for a bucket that had lost its end, and reset.
#[test]
fn what_a_lagging_replica_sends_again_is_no_rewind() {
    let scenario = Scenario::new(
        379,
        Profile {
            version: V2_10,
            servers: 3,
            auth: false,
            commit_us: 5000,
            lag_us: 400000,
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
                latency_us: 2000,
                max_chunk: 256,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 3,
                request_ms: 60,
                ping_ms: 1000,
                connect_ms: 1000,
                reconnect_ms: 10,
                reconnect_max_ms: 1000,
                lazy_us: 20000,
                hints: true,
                all_urls: false,
                small_limits: false,
                shuffle: false,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 65536,
                wide_replies: false,
            },
            keys: 5,
            hostile: false,
            storm_ms: 400,
        },
        vec![
            Step {
                at_us: 470,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 3342,
                act: Call {
                    client: 1,
                    timeout_ms: 200,
                    ask: Update {
                        key: 1,
                        size: 100,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 4937,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 5000 },
                },
            },
            Step {
                at_us: 9940,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 154401,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 2, size: 0 },
                },
            },
            Step {
                at_us: 155383,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: true,
                        heartbeat_ms: 0,
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
