//! When the initial data is complete.

use kv_sim::fault::Fault::*;
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
use kv_sim::server::Version::*;

/// A watch counted on a replica that was behind, and was told `Synced` before what had been acknowledged
/// before it began: `Synced` comes behind all that was there.
#[test]
fn a_replica_that_is_behind_owes_what_was_acknowledged() {
    let scenario = Scenario::new(
        173,
        Profile {
            version: V2_10,
            servers: 3,
            auth: false,
            commit_us: 60000,
            lag_us: 400000,
            bucket: Bucket {
                history: 5,
                replicas: 3,
                max_age_ms: 10000,
                markers: false,
                max_bytes: 0,
                direct: true,
                memory: true,
            },
            net: Net {
                latency_us: 50,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 3,
                request_ms: 60,
                ping_ms: 200,
                connect_ms: 300,
                reconnect_ms: 2000,
                reconnect_max_ms: 10000,
                lazy_us: 0,
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
                flow_limit: 0,
                wide_replies: false,
            },
            keys: 5,
            hostile: false,
            storm_ms: 4000,
        },
        vec![
            Step {
                at_us: 1645149,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 100,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 1686432,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 1000,
                        patience_ms: 20,
                        timeout_ms: 0,
                        buffer: (0, 0),
                        reader: Eager,
                    },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// Older revisions of a key went, the server counted too little as pending, and `Synced` was told while entries
/// were due: it comes behind all that was there.
#[test]
fn nothing_pending_is_no_proof() {
    let scenario = Scenario::new(
        2591,
        Profile {
            version: V2_12,
            servers: 2,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 2,
                replicas: 1,
                max_age_ms: 0,
                markers: false,
                max_bytes: 1500,
                direct: false,
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
                ping_ms: 1000,
                connect_ms: 300,
                reconnect_ms: 100,
                reconnect_max_ms: 10000,
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
                flow_limit: 4096,
                wide_replies: false,
            },
            keys: 20,
            hostile: false,
            storm_ms: 400,
        },
        vec![
            Step {
                at_us: 33436,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 6,
                        base: None,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 38521,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 103,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 0),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 86832,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 93442,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Update {
                        key: 2,
                        size: 20,
                        base: Older,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 129139,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 3, size: 20 },
                },
            },
            Step {
                at_us: 145907,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 5,
                        base: None,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 193755,
                act: Call {
                    client: 0,
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
                at_us: 212462,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Delete { key: 2, base: None },
                },
            },
            Step {
                at_us: 258751,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: true,
                        heartbeat_ms: 0,
                        patience_ms: 20,
                        timeout_ms: 0,
                        buffer: (3, 0),
                        reader: Pausing(0, 2000),
                    },
                },
            },
            Step {
                at_us: 329211,
                act: Call {
                    client: 1,
                    timeout_ms: 3000,
                    ask: PurgeDeletes { older_ms: 60000 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// A consumer counted on a follower that was behind, which led the stream a moment later, and its count was taken
/// for the leader's: in a replicated stream no count is believed.
#[test]
fn who_leads_now_may_have_been_behind_when_it_counted() {
    let scenario = Scenario::new(
        86532,
        Profile {
            version: V2_10,
            servers: 3,
            auth: false,
            commit_us: 60000,
            lag_us: 400000,
            bucket: Bucket {
                history: 64,
                replicas: 3,
                max_age_ms: 0,
                markers: false,
                max_bytes: 0,
                direct: true,
                memory: true,
            },
            net: Net {
                latency_us: 50,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 10000,
            },
            clients: Clients {
                count: 3,
                request_ms: 60,
                ping_ms: 200,
                connect_ms: 1000,
                reconnect_ms: 100,
                reconnect_max_ms: 200,
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
                flow_limit: 65536,
                wide_replies: false,
            },
            keys: 20,
            hostile: false,
            storm_ms: 8000,
        },
        vec![
            Step {
                at_us: 317146,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Get { key: 8 },
                },
            },
            Step {
                at_us: 317146,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 5000 },
                },
            },
            Step {
                at_us: 317146,
                act: Call {
                    client: 2,
                    timeout_ms: 200,
                    ask: Update {
                        key: 0,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 442220,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 17,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 537809,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Delete {
                        key: 2,
                        base: Some(Seen),
                    },
                },
            },
            Step {
                at_us: 537809,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Delete {
                        key: 12,
                        base: None,
                    },
                },
            },
            Step {
                at_us: 538459,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Position(0),
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 300,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 0),
                        reader: Slow(1),
                    },
                },
            },
            Step {
                at_us: 552873,
                act: Fault(Elect {
                    leaderless_ms: 0,
                    lost: true,
                    old_leader_ms: 0,
                }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
