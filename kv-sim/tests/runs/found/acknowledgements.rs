//! What acknowledgements and refusals say, and of which write.

use kv_sim::fault::Reply::*;
use kv_sim::fault::{Denied::*, Fault::*};
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step};
use kv_sim::server::Version::*;

/// The permission went after a first write was applied and its acknowledgement lost; the refusal of a second one to the same key was taken for both.
#[test]
fn a_refusal_says_nothing_of_a_write_whose_acknowledgement_was_lost() {
    let scenario = Scenario::new(
        1850,
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
                markers: false,
                max_bytes: 0,
                direct: true,
                memory: true,
            },
            net: Net {
                latency_us: 300,
                max_chunk: 4096,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 2,
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
            keys: 20,
            consumers: Consumers::default(),
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 376926,
                act: Fault(Reply { how: Lost, ms: 1 }),
            },
            Step {
                at_us: 379048,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 511 },
                },
            },
            Step {
                at_us: 976248,
                act: Fault(Deny {
                    client: 1,
                    what: Keys,
                }),
            },
            Step {
                at_us: 1057292,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 700,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// The acknowledgement looked like a copy of an older one and was being waited out when another write to the key was refused.
#[test]
fn a_refusal_says_nothing_of_a_write_that_was_acknowledged() {
    let scenario = Scenario::new(
        11065,
        Profile {
            version: V2_11,
            servers: 3,
            auth: false,
            commit_us: 60000,
            lag_us: 1000,
            bucket: Bucket {
                history: 5,
                replicas: 3,
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
                count: 1,
                request_ms: 1500,
                ping_ms: 200,
                connect_ms: 5000,
                reconnect_ms: 10,
                reconnect_max_ms: 200,
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
            keys: 2,
            consumers: Consumers::default(),
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 152171,
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
            Step {
                at_us: 203572,
                act: Fault(LameDuck { server: 0, ms: 100 }),
            },
            Step {
                at_us: 448041,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 700 },
                },
            },
            Step {
                at_us: 488895,
                act: Fault(Deny {
                    client: 0,
                    what: Keys,
                }),
            },
            Step {
                at_us: 499472,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// A bucket was made anew, and the second copy of an acknowledgement from its earlier life was taken for that of a later write.
#[test]
fn a_copied_acknowledgement_of_an_earlier_bucket_is_no_acknowledgement() {
    let scenario = Scenario::new(
        3009,
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
                max_bytes: 6000,
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
                ping_ms: 5000,
                connect_ms: 1000,
                reconnect_ms: 2000,
                reconnect_max_ms: 1000,
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
            keys: 20,
            consumers: Consumers::default(),
            hostile: false,
            storm_ms: 4000,
        },
        vec![
            Step {
                at_us: 2468786,
                act: Call {
                    client: 3,
                    timeout_ms: 0,
                    ask: Put { key: 6, size: 100 },
                },
            },
            Step {
                at_us: 2470438,
                act: Fault(Reply {
                    how: Twice,
                    ms: 400,
                }),
            },
            Step {
                at_us: 2476220,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Delete {
                        key: 4,
                        base: Some(Older),
                    },
                },
            },
            Step {
                at_us: 2682564,
                act: Fault(Recreate { ms: 50 }),
            },
            Step {
                at_us: 2805134,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 9,
                        base: None,
                        ttl: 0,
                    },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
