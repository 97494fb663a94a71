//! Sessions that have given up: what servers still believe of them, and how the next ones begin.

use kv_sim::fault::{Ending::*, Fault::*, Reception::*, Way::*};
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Ask::*, Purpose::*, Reader::*, Scenario, Scope::*, Since::*};
use kv_sim::scenario::{Step, Watch};
use kv_sim::server::Version::*;

/// A server kept the consumer of a session that had given up on a connection which was half dead: it notices after
/// minutes.
#[test]
fn a_server_believes_in_the_connection_of_a_dead_session() {
    let scenario = Scenario::new(
        5016655,
        Profile {
            version: V2_15,
            servers: 1,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 1,
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
                count: 1,
                request_ms: 5000,
                ping_ms: 200,
                connect_ms: 300,
                reconnect_ms: 2000,
                reconnect_max_ms: 1000,
                lazy_us: 0,
                hints: true,
                all_urls: true,
                small_limits: false,
                shuffle: true,
                max_reconnects: 2,
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
            storm_ms: 400,
        },
        vec![
            Step {
                at_us: 8245,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(3),
                        since: Now,
                        ignore_deletes: false,
                        meta_only: false,
                        heartbeat_ms: 2000,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (0, 0),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 32714,
                act: Fault(Urls { client: 0 }),
            },
            Step {
                at_us: 162093,
                act: Fault(HalfOpen { client: 0, way: Up }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// The clock jumped before the first server could be dialled, so that the second was the first that was seen.
#[test]
fn an_attempt_is_the_first_though_nobody_came_to_dial() {
    let scenario = Scenario::new(
        5006167,
        Profile {
            version: V2_15,
            servers: 2,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 1,
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
                quantum_us: 10000,
            },
            clients: Clients {
                count: 2,
                request_ms: 300,
                ping_ms: 1000,
                connect_ms: 1000,
                reconnect_ms: 100,
                reconnect_max_ms: 10000,
                lazy_us: 0,
                hints: false,
                all_urls: true,
                small_limits: false,
                shuffle: false,
                max_reconnects: 2,
                auth_failures: 0,
                few_floors: false,
                twins: false,
            },
            consumers: Consumers {
                flow_limit: 16384,
                wide_replies: true,
            },
            keys: 20,
            hostile: false,
            storm_ms: 400,
        },
        vec![
            Step {
                at_us: 206600,
                act: Fault(Connect {
                    server: 1,
                    how: Nameless,
                    ms: 1500,
                }),
            },
            Step {
                at_us: 209261,
                act: Fault(Connect {
                    server: 0,
                    how: Refuses,
                    ms: 400,
                }),
            },
            Step {
                at_us: 223400,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Get { key: 0 },
                },
            },
            Step {
                at_us: 226161,
                act: Fault(Cut {
                    client: 1,
                    way: Up,
                    after: 150,
                    how: Reset,
                }),
            },
            Step {
                at_us: 226414,
                act: Call {
                    client: 1,
                    timeout_ms: 0,
                    ask: Delete { key: 3, base: None },
                },
            },
            Step {
                at_us: 397445,
                act: Fault(Jump {
                    client: 1,
                    ms: 3600000,
                }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
