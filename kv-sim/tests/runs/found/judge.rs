//! Where the judge was wrong, not the client.

use kv_sim::fault::{Ending::*, Fault::*, Reception::*, Way::*};
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
