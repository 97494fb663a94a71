//! What consumers are asked for, and what they are given up for.

use kv_sim::fault::Fault::*;
use kv_sim::fault::Reply::*;
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
use kv_sim::server::ApiCall::*;
use kv_sim::server::DeliveryFault::*;
use kv_sim::server::Version::*;

/// Up to 2.14 a consumer with several filters skips what it owes of one when a key of another is purged: an
/// entry was never told.
#[test]
fn a_purge_hides_nothing_of_another_filter() {
    let scenario = Scenario::new(
        38,
        Profile {
            version: V2_11,
            servers: 3,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 64,
                replicas: 1,
                max_age_ms: 0,
                markers: false,
                max_bytes: 0,
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
                count: 4,
                request_ms: 5000,
                ping_ms: 200,
                connect_ms: 5000,
                reconnect_ms: 100,
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
            keys: 2,
            hostile: false,
            storm_ms: 8000,
        },
        vec![
            Step {
                at_us: 278749,
                act: Fault(Delivery {
                    how: Orphaned,
                    count: 1,
                }),
            },
            Step {
                at_us: 1573923,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(3),
                        since: History,
                        ignore_deletes: true,
                        meta_only: true,
                        heartbeat_ms: 300,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (20, 0),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 1741142,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Create {
                        key: 0,
                        size: 700,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 1878466,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Delete { key: 0, base: None },
                },
            },
            Step {
                at_us: 1879209,
                act: Fault(ApiReply {
                    call: StreamInfoCall,
                    how: Late,
                    ms: 1500,
                }),
            },
            Step {
                at_us: 2162131,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 1, size: 700 },
                },
            },
            Step {
                at_us: 2826173,
                act: Call {
                    client: 0,
                    timeout_ms: 200,
                    ask: Purge {
                        key: 0,
                        base: None,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 2899260,
                act: Call {
                    client: 1,
                    timeout_ms: 1,
                    ask: Put { key: 0, size: 20 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// A budget of one entry was used up by a flow-control request: each consumer was given up for want of room,
/// and another one made, without end.
#[test]
fn flow_control_is_no_entry() {
    let scenario = Scenario::new(
        19,
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
                request_ms: 300,
                ping_ms: 5000,
                connect_ms: 300,
                reconnect_ms: 2000,
                reconnect_max_ms: 1000,
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
            keys: 20,
            hostile: false,
            storm_ms: 8000,
        },
        vec![
            Step {
                at_us: 516103,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Last,
                        ignore_deletes: true,
                        meta_only: false,
                        heartbeat_ms: 0,
                        patience_ms: 20,
                        timeout_ms: 0,
                        buffer: (1, 0),
                        reader: Slow(20),
                    },
                },
            },
            Step {
                at_us: 905534,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 3,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 905534,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 6,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 905534,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 11, size: 511 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// A reader that had stopped held more than all watches may together, and another watch found no room for its
/// first entry for ever.
#[test]
fn a_reader_that_stopped_starves_nobody() {
    let scenario = Scenario::new(
        6482,
        Profile {
            version: V2_12,
            servers: 1,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 1,
                replicas: 1,
                max_age_ms: 10000,
                markers: false,
                max_bytes: 0,
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
                count: 4,
                request_ms: 300,
                ping_ms: 200,
                connect_ms: 5000,
                reconnect_ms: 100,
                reconnect_max_ms: 1000,
                lazy_us: 0,
                hints: false,
                all_urls: false,
                small_limits: true,
                shuffle: false,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 16384,
                wide_replies: false,
            },
            keys: 5,
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 34757,
                act: Call {
                    client: 3,
                    timeout_ms: 20,
                    ask: Create {
                        key: 3,
                        size: 5000,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 54322,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Revision(0),
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 0,
                        patience_ms: 20,
                        timeout_ms: 0,
                        buffer: (0, 2000),
                        reader: Asleep,
                    },
                },
            },
            Step {
                at_us: 74412,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: History,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 2000,
                        patience_ms: 0,
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

/// Three readers shared little room, and each feed took it from another: 2,046 consumers were made for nothing.
/// Whoever is fed in vain rests.
#[test]
fn who_is_fed_in_vain_rests() {
    let scenario = Scenario::new(
        58056,
        Profile {
            version: V2_10,
            servers: 2,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 1,
                replicas: 1,
                max_age_ms: 2000,
                markers: false,
                max_bytes: 0,
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
                ping_ms: 5000,
                connect_ms: 300,
                reconnect_ms: 10,
                reconnect_max_ms: 10000,
                lazy_us: 0,
                hints: true,
                all_urls: true,
                small_limits: true,
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
            storm_ms: 8000,
        },
        vec![
            Step {
                at_us: 24637,
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
                at_us: 24637,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 24637,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Create {
                        key: 2,
                        size: 0,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 215150,
                act: Call {
                    client: 1,
                    timeout_ms: 20,
                    ask: Put { key: 1, size: 20 },
                },
            },
            Step {
                at_us: 254186,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 3, size: 0 },
                },
            },
            Step {
                at_us: 508742,
                act: Call {
                    client: 0,
                    timeout_ms: 3000,
                    ask: Update {
                        key: 7,
                        size: 511,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 508742,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 11, size: 20 },
                },
            },
            Step {
                at_us: 508742,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 5, size: 700 },
                },
            },
            Step {
                at_us: 685633,
                act: Call {
                    client: 0,
                    timeout_ms: 20,
                    ask: Update {
                        key: 8,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 808838,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: KeysOnly,
                        scope: Every,
                        since: Last,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 2000,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 2000),
                        reader: Pausing(5, 35000),
                    },
                },
            },
            Step {
                at_us: 1344344,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(262144),
                        since: Position(2),
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 2000,
                        patience_ms: 3000,
                        timeout_ms: 0,
                        buffer: (1, 0),
                        reader: Pausing(0, 35000),
                    },
                },
            },
            Step {
                at_us: 1621288,
                act: Follow {
                    client: 1,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Revision(1),
                        ignore_deletes: true,
                        meta_only: false,
                        heartbeat_ms: 300,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 200),
                        reader: Slow(200),
                    },
                },
            },
            Step {
                at_us: 2728560,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
