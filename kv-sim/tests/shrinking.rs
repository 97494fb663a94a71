//! Failing scenarios become small, and what is printed of them is Rust that means the same.

mod scenes;

use kv_sim::Mix;
use kv_sim::fault::{Ending, Fault, Way};
use kv_sim::scenario::{Act, Ask, Base, Scenario, Step};
use kv_sim::shrink::{shrink, shrink_while};

use self::scenes::call;

/// Of two hundred steps those two are left without which it does not fail.
#[test]
fn what_does_not_matter_is_left_out() {
    let mut scenario = Scenario::draw(12, Mix::Swarm);
    let ask = Ask::Update {
        key: 77,
        size: 1,
        base: Base::Older,
        ttl: 0,
    };
    let needed = [call(40_000, 1, ask), {
        let how = Ending::Finished;
        let (client, way, after) = (1, Way::Down, 12_345);
        let cut = Fault::Cut {
            client,
            way,
            after,
            how,
        };
        let (at_us, act) = (90_000, Act::Fault(cut));
        Step { at_us, act }
    }];
    scenario.steps.extend(needed);
    scenario.steps.sort_by_key(|step| step.at_us);
    scenario.profile.auth = true;
    let mut runs = 0;
    let small = shrink_while(&scenario, |smaller| {
        runs += 1;
        let has = |step| smaller.steps.contains(step);
        needed.iter().all(has) && smaller.profile.clients.count > 1
    });
    assert!(scenario.steps.len() > 100);
    assert_eq!(small.steps, needed);
    assert!(runs < 200, "{runs} runs");
    let profile = small.profile;
    assert_eq!((profile.clients.count, profile.auth), (2, false));
    assert_eq!((profile.net.max_chunk, profile.clients.lazy_us), (4_096, 0));
}

#[test]
fn what_does_not_fail_stays_as_it_is() {
    let scenario = Scenario::draw(3, Mix::Quiet);
    assert_eq!(shrink(&scenario), scenario);
}

/// Every step that there is, as it was printed. The text of this function is the text that the scenario
/// prints.
#[test]
#[rustfmt::skip]
#[allow(unused_imports, reason = "what is printed needs some of them")]
fn what_is_printed_can_be_pasted() {
use kv_sim::fault::{Damage::*, Denied::*, Ending::*, Fault::*, Reception::*, Way::*};
use kv_sim::fault::Reply::*;
use kv_sim::profile::{Bucket, Clients, Net, Profile};
use kv_sim::profile::Consumers;
use kv_sim::scenario::{Act::*, Ask::*, Base::*, Scenario, Step, Watch};
use kv_sim::scenario::{Purpose::*, Reader::*, Scope::*, Since::*};
use kv_sim::server::{Refusal::*, Version::*};
use kv_sim::server::{ApiCall::*, ApiRefusal::*, CountFault::*, DeliveryFault::*};
use kv_sim::server::{Answerer::*, FlowFault::*, HeartbeatFault::*};

let scenario = Scenario::new(1, Profile { version: V2_11, servers: 2, auth: false, commit_us: 0, lag_us: 0, bucket: Bucket { history: 5, replicas: 1, max_age_ms: 0, markers: true, max_bytes: 0, direct: true, memory: true }, net: Net { latency_us: 50, max_chunk: 256, window: 65536, quantum_us: 0 }, clients: Clients { count: 3, request_ms: 300, ping_ms: 1000, connect_ms: 1000, reconnect_ms: 2000, reconnect_max_ms: 200, lazy_us: 0, hints: false, all_urls: true, small_limits: false, shuffle: false, max_reconnects: 0, auth_failures: 0, few_floors: false }, consumers: Consumers { flow_limit: 4096, wide_replies: false }, keys: 20, hostile: true, storm_ms: 8000 }, vec![
    Step { at_us: 4232, act: Fault(Logins { ms: 20 }) },
    Step { at_us: 16464, act: Fault(Drop { client: 1 }) },
    Step { at_us: 18035, act: Follow { client: 1, watch: Watch { purpose: Watching, scope: These(5), since: Last, ignore_deletes: true, meta_only: false, heartbeat_ms: 100, patience_ms: 0, timeout_ms: 0, buffer: (3, 0), reader: Pausing(1, 200) } } },
    Step { at_us: 18035, act: Follow { client: 0, watch: Watch { purpose: HistoryOf(1), scope: Every, since: Position(1), ignore_deletes: false, meta_only: true, heartbeat_ms: 0, patience_ms: 20, timeout_ms: 50, buffer: (0, 0), reader: Asleep } } },
    Step { at_us: 18035, act: Unfollow { client: 1, nth: 0 } },
    Step { at_us: 18035, act: Call { client: 1, timeout_ms: 0, ask: Get { key: 0 } } },
    Step { at_us: 18035, act: Call { client: 1, timeout_ms: 0, ask: GetLeader { key: 0 } } },
    Step { at_us: 18035, act: Call { client: 1, timeout_ms: 0, ask: Purge { key: 0, base: None, ttl: 0 } } },
    Step { at_us: 18035, act: Call { client: 1, timeout_ms: 200, ask: Put { key: 0, size: 0 } } },
    Step { at_us: 31868, act: Call { client: 0, timeout_ms: 20, ask: Names } },
    Step { at_us: 55400, act: Fault(Freeze { client: 0, ms: 1500 }) },
    Step { at_us: 63265, act: Fault(LameDuck { server: 0, ms: 400 }) },
    Step { at_us: 65215, act: Fault(Connect { server: 0, how: Hangs, ms: 1 }) },
    Step { at_us: 68545, act: Fault(NoJetStream { ms: 20 }) },
    Step { at_us: 71462, act: Fault(Refuse { error: Novel, stored: true }) },
    Step { at_us: 75850, act: Fault(HalfOpen { client: 2, way: Up }) },
    Step { at_us: 76333, act: Fault(PurgeKey { key: 1 }) },
    Step { at_us: 94157, act: Fault(Close { client: 2 }) },
    Step { at_us: 109908, act: Fault(Infos { client: 0, count: 50 }) },
    Step { at_us: 109908, act: Fault(Urls { client: 0 }) },
    Step { at_us: 127778, act: Fault(Stall { client: 0, ms: 20 }) },
    Step { at_us: 136995, act: Call { client: 0, timeout_ms: 0, ask: Update { key: 0, size: 511, base: Seen, ttl: 0 } } },
    Step { at_us: 138587, act: Call { client: 2, timeout_ms: 0, ask: Create { key: 0, size: 100, ttl: 0 } } },
    Step { at_us: 183738, act: Fault(Connect { server: 0, how: Nameless, ms: 400 }) },
    Step { at_us: 197134, act: Fault(Err { client: 1, text: 10 }) },
    Step { at_us: 212157, act: Fault(Wake { client: 1, count: 20 }) },
    Step { at_us: 247947, act: Fault(Foreign { key: 16, tombstone: false }) },
    Step { at_us: 248087, act: Fault(Garble { client: 1, way: Down, how: Flip }) },
    Step { at_us: 263037, act: Fault(Restart { server: 1, ms: 5000, keep_memory: false }) },
    Step { at_us: 291853, act: Fault(Restart { server: 1, ms: 1500, keep_memory: true }) },
    Step { at_us: 296795, act: Fault(MaxPayload { bytes: 600, ms: 5000 }) },
    Step { at_us: 306825, act: Fault(Recreate { ms: 0 }) },
    Step { at_us: 327778, act: Fault(Poison { key: 1 }) },
    Step { at_us: 342966, act: Call { client: 1, timeout_ms: 0, ask: Status } },
    Step { at_us: 349754, act: Fault(Deny { client: 0, what: DirectGet }) },
    Step { at_us: 385362, act: Fault(Elect { leaderless_ms: 50, lost: false, old_leader_ms: 0 }) },
    Step { at_us: 474251, act: Call { client: 0, timeout_ms: 0, ask: Delete { key: 0, base: Some(Seen) } } },
    Step { at_us: 526341, act: Call { client: 0, timeout_ms: 0, ask: Statuses } },
    Step { at_us: 697065, act: Fault(Lag { server: 2, ms: 20 }) },
    Step { at_us: 904502, act: Fault(Reply { how: Lost, ms: 1500 }) },
    Step { at_us: 904579, act: Fault(Jump { client: 2, ms: -500 }) },
    Step { at_us: 926780, act: Call { client: 2, timeout_ms: 0, ask: GetRevision { key: 0, back: 1 } } },
    Step { at_us: 932725, act: Call { client: 1, timeout_ms: 0, ask: Sleep { ms: 100 } } },
    Step { at_us: 940453, act: Fault(Jump { client: 0, ms: 300 }) },
    Step { at_us: 958230, act: Fault(Reply { how: Twice, ms: 1 }) },
    Step { at_us: 1048827, act: Fault(Reply { how: Late, ms: 1500 }) },
    Step { at_us: 1373983, act: Fault(Stray { client: 2 }) },
    Step { at_us: 1622326, act: Fault(Cut { client: 1, way: Down, after: 63, how: Reset }) },
    Step { at_us: 1763840, act: Fault(Reply { how: Garbage, ms: 20 }) },
    Step { at_us: 1764246, act: Fault(Cut { client: 1, way: Down, after: 63, how: WriteFails }) },
    Step { at_us: 2012119, act: Fault(Connect { server: 0, how: BlackHole, ms: 20 }) },
    Step { at_us: 2026910, act: Call { client: 0, timeout_ms: 0, ask: Open } },
    Step { at_us: 2123395, act: Fault(Connect { server: 0, how: Silent, ms: 1500 }) },
    Step { at_us: 2748929, act: Fault(Clog { client: 1, way: Up, ms: 5000 }) },
    Step { at_us: 2771696, act: Fault(Rewind { count: 2 }) },
    Step { at_us: 2942180, act: Fault(Cancel { client: 1, nth: 5 }) },
    Step { at_us: 3253399, act: Fault(Cut { client: 2, way: Up, after: 100, how: Finished }) },
    Step { at_us: 3455806, act: Fault(Pings { client: 1, count: 100 }) },
    Step { at_us: 3852306, act: Fault(PolledLate { client: 1, ms: 100 }) },
    Step { at_us: 3925902, act: Fault(Refuse { error: StoreFailed, stored: false }) },
    Step { at_us: 4793095, act: Fault(Connect { server: 0, how: Refuses, ms: 20 }) },
    Step { at_us: 4800001, act: Fault(DropConsumers { nth: None }) },
    Step { at_us: 4800002, act: Fault(DropConsumers { nth: Some(2) }) },
    Step { at_us: 4800003, act: Fault(KillHost { nth: 1, ms: 20 }) },
    Step { at_us: 4800004, act: Fault(ApiReply { call: CreateCall, how: Lost, ms: 20 }) },
    Step { at_us: 4800005, act: Fault(ApiReply { call: StreamInfoCall, how: Late, ms: 20 }) },
    Step { at_us: 4800006, act: Fault(ApiRefuse { call: InfoCall, error: Offline, done: false }) },
    Step { at_us: 4800007, act: Fault(ApiRefuse { call: DeleteCall, error: NobodyThere, done: true }) },
    Step { at_us: 4800008, act: Fault(Heartbeat { how: Missing { ms: 400 } }) },
    Step { at_us: 4800009, act: Fault(Heartbeat { how: Early }) },
    Step { at_us: 4800010, act: Fault(Beat) },
    Step { at_us: 4800011, act: Fault(Flow { how: AnswerLost }) },
    Step { at_us: 4800012, act: Fault(Delivery { how: Overtaken, count: 2 }) },
    Step { at_us: 4800013, act: Fault(Delivery { how: Unreadable { form: 3 }, count: 1 }) },
    Step { at_us: 4800014, act: Fault(Count { how: AtFirst { by: 7 }, count: 1 }) },
    Step { at_us: 4800015, act: Fault(Count { how: Nothing, count: 5 }) },
    Step { at_us: 4800016, act: Fault(PurgeAll) },
    Step { at_us: 4800017, act: Fault(Erase { key: 3 }) },
    Step { at_us: 4800018, act: Fault(Deny { client: 1, what: Inbox }) },
]);
assert_eq!(kv_sim::run(&scenario).violations, []);
let pasted = include_str!("shrinking.rs");
let printed = scenario.to_rust();
for line in printed.lines() {
    assert!(pasted.contains(line), "{line}");
}
}
