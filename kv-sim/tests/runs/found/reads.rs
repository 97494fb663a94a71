//! Which replica and which revision a read is about.

use kv_sim::fault::{Fault::*, Reply::*};
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step};
use kv_sim::server::{ApiCall::*, Refusal::*, Version::*};

/// A revision that belongs to another key was reported as damaged instead of absent.
#[test]
fn a_damaged_entry_harms_no_reader_of_another_key() {
    let scenario = Scenario::new(
        1194,
        Profile {
            version: V2_15,
            servers: 2,
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
                window: 80,
                quantum_us: 0,
            },
            clients: Clients {
                count: 1,
                request_ms: 300,
                ping_ms: 1000,
                connect_ms: 1000,
                reconnect_ms: 10,
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
                at_us: 374160,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Delete { key: 0, base: None },
                },
            },
            Step {
                at_us: 374659,
                act: Fault(Poison { key: 3 }),
            },
            Step {
                at_us: 782063,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: GetRevision { key: 0, back: 1 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// After nobody had answered for a moment, a leader read was repeated as a read of any replica.
#[test]
fn a_leader_read_stays_one() {
    let scenario = Scenario::new(
        11823,
        Profile {
            version: V2_11,
            servers: 3,
            auth: false,
            commit_us: 300,
            lag_us: 400000,
            bucket: Bucket {
                history: 1,
                replicas: 3,
                max_age_ms: 0,
                markers: true,
                max_bytes: 0,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 50,
                max_chunk: 512,
                window: 80,
                quantum_us: 0,
            },
            clients: Clients {
                count: 4,
                request_ms: 300,
                ping_ms: 5000,
                connect_ms: 5000,
                reconnect_ms: 10,
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
            keys: 5,
            consumers: Consumers::default(),
            hostile: false,
            storm_ms: 4000,
        },
        vec![
            Step {
                at_us: 94545,
                act: Call {
                    client: 3,
                    timeout_ms: 0,
                    ask: Delete { key: 1, base: None },
                },
            },
            Step {
                at_us: 150562,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 20,
                        base: Zero,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 253712,
                act: Call {
                    client: 3,
                    timeout_ms: 0,
                    ask: GetLeader { key: 0 },
                },
            },
            Step {
                at_us: 253712,
                act: Call {
                    client: 3,
                    timeout_ms: 200,
                    ask: Update {
                        key: 0,
                        size: 5000,
                        base: Older,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 253833,
                act: Fault(NoJetStream { ms: 1 }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// An acknowledgement from the bucket before, which came late, was taken for a floor of the one that its writer knew by
/// then: reads were stale for half a minute.
#[test]
fn a_late_acknowledgement_is_no_floor_of_the_next_bucket() {
    let scenario = Scenario::new(
        5023954,
        Profile {
            version: V2_11,
            servers: 3,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 2,
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
                quantum_us: 0,
            },
            clients: Clients {
                count: 2,
                request_ms: 1500,
                ping_ms: 5000,
                connect_ms: 1000,
                reconnect_ms: 100,
                reconnect_max_ms: 1000,
                lazy_us: 0,
                hints: true,
                all_urls: true,
                small_limits: false,
                shuffle: true,
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
                at_us: 238056,
                act: Fault(RecreateBehind {
                    call: StreamInfoCall,
                }),
            },
            Step {
                at_us: 610888,
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
            Step {
                at_us: 636709,
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
            Step {
                at_us: 669328,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Put { key: 0, size: 20 },
                },
            },
            Step {
                at_us: 839591,
                act: Fault(Reply { how: Late, ms: 400 }),
            },
            Step {
                at_us: 845255,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: Purge {
                        key: 0,
                        base: Some(Seen),
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 906313,
                act: Fault(Refuse {
                    error: Nobody,
                    stored: false,
                }),
            },
            Step {
                at_us: 968646,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Put { key: 1, size: 511 },
                },
            },
            Step {
                at_us: 970839,
                act: Call {
                    client: 0,
                    timeout_ms: 0,
                    ask: GetLeader { key: 0 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
