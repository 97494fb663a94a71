//! Where the judge was wrong, not the client.

use kv_sim::fault::{Fault::*, Reception::*};
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
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

/// Servers restarted without their newest messages nine times: each time every watch asked for a consumer at once,
/// and again after rests, and hardly any could be made. That was taken for asking without end.
#[test]
fn each_connection_is_a_reason_to_ask_for_consumers() {
    let scenario = Scenario::new(
        8203,
        Profile {
            version: V2_12,
            servers: 3,
            auth: false,
            commit_us: 300,
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
                max_chunk: 4096,
                window: 65536,
                quantum_us: 1000,
            },
            clients: Clients {
                count: 3,
                request_ms: 1500,
                ping_ms: 200,
                connect_ms: 300,
                reconnect_ms: 10,
                reconnect_max_ms: 200,
                lazy_us: 20000,
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
                flow_limit: 0,
                wide_replies: false,
            },
            keys: 1,
            hostile: false,
            storm_ms: 8000,
        },
        vec![
            Step {
                at_us: 41604,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: GetLeader { key: 0 },
                },
            },
            Step {
                at_us: 41604,
                act: Call {
                    client: 1,
                    timeout_ms: 200,
                    ask: Put { key: 0, size: 100 },
                },
            },
            Step {
                at_us: 41604,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 87209,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Position(1),
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 1000,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (1, 0),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 99137,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 100,
                        base: Zero,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 99137,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Get { key: 0 },
                },
            },
            Step {
                at_us: 99137,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 20,
                        base: Older,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 99137,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Create {
                        key: 0,
                        size: 20,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 99516,
                act: Fault(Connect {
                    server: 2,
                    how: Hangs,
                    ms: 400,
                }),
            },
            Step {
                at_us: 106847,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: GetRevision { key: 0, back: 0 },
                },
            },
            Step {
                at_us: 192018,
                act: Fault(Connect {
                    server: 0,
                    how: Hangs,
                    ms: 1500,
                }),
            },
            Step {
                at_us: 194771,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 210999,
                act: Call {
                    client: 2,
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
                at_us: 225226,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Sleep { ms: 100 },
                },
            },
            Step {
                at_us: 229684,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(1),
                        since: Last,
                        ignore_deletes: true,
                        meta_only: false,
                        heartbeat_ms: 1000,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (20, 0),
                        reader: Asleep,
                    },
                },
            },
            Step {
                at_us: 252151,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 0 },
                },
            },
            Step {
                at_us: 256792,
                act: Fault(Rewind { count: 1 }),
            },
            Step {
                at_us: 281133,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 511,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 281133,
                act: Call {
                    client: 1,
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
                at_us: 281133,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Get { key: 0 },
                },
            },
            Step {
                at_us: 281133,
                act: Call {
                    client: 1,
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
                at_us: 281133,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Get { key: 0 },
                },
            },
            Step {
                at_us: 281133,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 511,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 345917,
                act: Call {
                    client: 2,
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
                at_us: 380532,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: GetRevision { key: 0, back: 1 },
                },
            },
            Step {
                at_us: 383145,
                act: Fault(Connect {
                    server: 0,
                    how: Hangs,
                    ms: 20,
                }),
            },
            Step {
                at_us: 404425,
                act: Call {
                    client: 2,
                    timeout_ms: 3000,
                    ask: GetLeader { key: 0 },
                },
            },
            Step {
                at_us: 455050,
                act: Call {
                    client: 2,
                    timeout_ms: 20,
                    ask: Create {
                        key: 0,
                        size: 20,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 455909,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Now,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 125,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (1, 0),
                        reader: Asleep,
                    },
                },
            },
            Step {
                at_us: 460773,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 700 },
                },
            },
            Step {
                at_us: 460773,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 0,
                        base: None,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 612646,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 612646,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 621151,
                act: Fault(Rewind { count: 1 }),
            },
            Step {
                at_us: 639455,
                act: Fault(Rewind { count: 1 }),
            },
            Step {
                at_us: 817193,
                act: Fault(Rewind { count: 2 }),
            },
            Step {
                at_us: 818138,
                act: Fault(Rewind { count: 2 }),
            },
            Step {
                at_us: 825971,
                act: Fault(Logins { ms: 400 }),
            },
            Step {
                at_us: 929391,
                act: Call {
                    client: 1,
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
                at_us: 956291,
                act: Call {
                    client: 0,
                    timeout_ms: 3000,
                    ask: Delete {
                        key: 0,
                        base: Some(Zero),
                    },
                },
            },
            Step {
                at_us: 1986625,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Get { key: 0 },
                },
            },
            Step {
                at_us: 2165910,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 1000,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 2000),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 2167913,
                act: Call {
                    client: 0,
                    timeout_ms: 1,
                    ask: GetLeader { key: 0 },
                },
            },
            Step {
                at_us: 2176613,
                act: Fault(Rewind { count: 7 }),
            },
            Step {
                at_us: 2331011,
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
                at_us: 3964357,
                act: Fault(Rewind { count: 7 }),
            },
            Step {
                at_us: 4321865,
                act: Fault(Rewind { count: 2 }),
            },
            Step {
                at_us: 6574922,
                act: Fault(Rewind { count: 7 }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
