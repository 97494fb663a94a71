//! Streams that lose their ends, and writes that were in doubt then.

use kv_sim::fault::{Fault::*, Reply::*, Way::*};
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Purpose::*, Reader::*, Scenario, Scope::*};
use kv_sim::scenario::{Since::*, Step, Watch};
use kv_sim::server::Version::*;

/// An update was applied, lost with the end of the stream, and overtaken, and nothing showed that.
#[test]
fn nobody_can_know_of_a_loss_that_does_not_show() {
    let scenario = Scenario::new(
        5016755,
        Profile {
            version: V2_15,
            servers: 1,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 5,
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
                count: 3,
                request_ms: 5000,
                ping_ms: 200,
                connect_ms: 5000,
                reconnect_ms: 2000,
                reconnect_max_ms: 200,
                lazy_us: 0,
                hints: true,
                all_urls: true,
                small_limits: false,
                shuffle: true,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: true,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 0,
                wide_replies: false,
            },
            keys: 2,
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 654935,
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
                at_us: 814934,
                act: Fault(HalfOpen {
                    client: 2,
                    way: Down,
                }),
            },
            Step {
                at_us: 845277,
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
                at_us: 992357,
                act: Fault(Rewind { count: 1 }),
            },
            Step {
                at_us: 1455911,
                act: Call {
                    client: 0,
                    timeout_ms: 3000,
                    ask: Put { key: 0, size: 0 },
                },
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// A tombstone had the number of one that was lost, and a create was taken for one that could not have been applied.
#[test]
fn a_tombstone_whose_number_was_used_before_proves_nothing() {
    let scenario = Scenario::new(
        5011100,
        Profile {
            version: V2_14,
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
                count: 3,
                request_ms: 300,
                ping_ms: 1000,
                connect_ms: 1000,
                reconnect_ms: 2000,
                reconnect_max_ms: 10000,
                lazy_us: 0,
                hints: true,
                all_urls: true,
                small_limits: false,
                shuffle: true,
                max_reconnects: 0,
                auth_failures: 0,
                few_floors: true,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 0,
                wide_replies: true,
            },
            keys: 5,
            hostile: false,
            storm_ms: 1500,
        },
        vec![
            Step {
                at_us: 92365,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Revision(1),
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 300,
                        patience_ms: 20,
                        timeout_ms: 0,
                        buffer: (0, 0),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 134879,
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
                at_us: 144597,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Update {
                        key: 0,
                        size: 100,
                        base: Seen,
                        ttl: 2,
                    },
                },
            },
            Step {
                at_us: 148917,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Delete {
                        key: 3,
                        base: Some(Seen),
                    },
                },
            },
            Step {
                at_us: 299764,
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
                at_us: 346494,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: KeysOnly,
                        scope: These(2),
                        since: Now,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 1000,
                        patience_ms: 0,
                        timeout_ms: 5000,
                        buffer: (0, 200),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 366512,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Update {
                        key: 1,
                        size: 100,
                        base: Zero,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 389209,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Update {
                        key: 2,
                        size: 0,
                        base: Older,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 427924,
                act: Call {
                    client: 2,
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
                at_us: 427924,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Update {
                        key: 1,
                        size: 100,
                        base: Older,
                        ttl: 30,
                    },
                },
            },
            Step {
                at_us: 456357,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Update {
                        key: 4,
                        size: 20,
                        base: Seen,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 528667,
                act: Fault(Rewind { count: 7 }),
            },
            Step {
                at_us: 589877,
                act: Call {
                    client: 2,
                    timeout_ms: 3000,
                    ask: Create {
                        key: 1,
                        size: 511,
                        ttl: 0,
                    },
                },
            },
            Step {
                at_us: 757011,
                act: Call {
                    client: 2,
                    timeout_ms: 0,
                    ask: Delete { key: 1, base: None },
                },
            },
            Step {
                at_us: 759171,
                act: Fault(Reply {
                    how: Lost,
                    ms: 5000,
                }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
