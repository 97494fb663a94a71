//! Small worlds as literals, for tests that look at one thing.

use kv_sim::profile::{Bucket, Clients, Consumers, Net, Profile};
use kv_sim::scenario::{Act, Ask, Step};
use kv_sim::server::Version;

/// One server, fair weather, embedders on time.
pub(crate) fn fair(clients: u8) -> Profile {
    Profile {
        version: Version::V2_14,
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
            latency_us: 300,
            max_chunk: 4_096,
            window: 65_536,
            quantum_us: 0,
        },
        clients: Clients {
            count: clients,
            request_ms: 500,
            ping_ms: 1_000,
            connect_ms: 300,
            reconnect_ms: 10,
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
        keys: 2,
        consumers: Consumers::default(),
        hostile: false,
        storm_ms: 400,
    }
}

/// A call with the usual deadline.
pub(crate) fn call(at_us: u64, client: u8, ask: Ask) -> Step {
    let timeout_ms = 0;
    let act = Act::Call {
        client,
        timeout_ms,
        ask,
    };
    Step { at_us, act }
}
