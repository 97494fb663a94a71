//! What a watch makes of links that are slow or dead.

use kv_sim::fault::Fault::*;
use kv_sim::fault::Way::*;
use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
use kv_sim::server::Version::*;

/// Nothing came through to the server any more, but the heartbeats of a watch kept the connection alive for
/// ever: it never recovered.
#[test]
fn heartbeats_do_not_show_that_the_server_hears_us() {
    let scenario = Scenario::new(
        80,
        Profile {
            version: V2_11,
            servers: 3,
            auth: false,
            commit_us: 0,
            lag_us: 0,
            bucket: Bucket {
                history: 2,
                replicas: 1,
                max_age_ms: 0,
                markers: true,
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
                request_ms: 300,
                ping_ms: 200,
                connect_ms: 5000,
                reconnect_ms: 100,
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
            consumers: Consumers {
                flow_limit: 65536,
                wide_replies: false,
            },
            keys: 5,
            hostile: false,
            storm_ms: 4000,
        },
        vec![
            Step {
                at_us: 601609,
                act: Follow {
                    client: 2,
                    watch: Watch {
                        purpose: Watching,
                        scope: Every,
                        since: Position(1),
                        ignore_deletes: true,
                        meta_only: false,
                        heartbeat_ms: 150,
                        patience_ms: 0,
                        timeout_ms: 0,
                        buffer: (20, 0),
                        reader: Eager,
                    },
                },
            },
            Step {
                at_us: 2826939,
                act: Fault(HalfOpen { client: 2, way: Up }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}

/// Requests were given up before an answer could have come, and so were the questions of a watch: it never
/// opened again.
#[test]
fn the_deadline_of_requests_is_none_of_watches() {
    let scenario = Scenario::new(
        6165,
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
                max_bytes: 0,
                direct: true,
                memory: false,
            },
            net: Net {
                latency_us: 30000,
                max_chunk: 16,
                window: 65536,
                quantum_us: 0,
            },
            clients: Clients {
                count: 1,
                request_ms: 60,
                ping_ms: 1000,
                connect_ms: 1000,
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
                flow_limit: 4096,
                wide_replies: false,
            },
            keys: 1,
            hostile: false,
            storm_ms: 8000,
        },
        vec![
            Step {
                at_us: 94624,
                act: Fault(Freeze {
                    client: 0,
                    ms: 1500,
                }),
            },
            Step {
                at_us: 141250,
                act: Follow {
                    client: 0,
                    watch: Watch {
                        purpose: Watching,
                        scope: These(1),
                        since: Last,
                        ignore_deletes: true,
                        meta_only: false,
                        heartbeat_ms: 2000,
                        patience_ms: 20,
                        timeout_ms: 0,
                        buffer: (1, 0),
                        reader: Slow(200),
                    },
                },
            },
            Step {
                at_us: 554344,
                act: Fault(Recreate { ms: 0 }),
            },
        ],
    );
    assert_eq!(kv_sim::run(&scenario).violations, []);
}
