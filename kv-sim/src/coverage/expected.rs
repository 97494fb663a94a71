//! What a long run of a swarm comes across, but for the faults themselves, which have
//! [names](crate::fault::Fault::NAMES) of their own.

use super::Point;
use crate::fault::Fault;

/// Every write can end like this.
const WRITES: [&str; 7] = [
    "put",
    "create",
    "update",
    "delete",
    "delete at",
    "purge",
    "purge at",
];
const WRITTEN: [&str; 10] = [
    "applied",
    "not applied: full",
    "not applied: timed out",
    "not applied: unavailable",
    "not applied: no bucket",
    "not applied: no JetStream",
    "not applied: server",
    "unknown: timed out",
    "unknown: link lost",
    "unknown: server",
];

/// Every read can end like this.
const READS: [&str; 3] = ["get", "leader get", "get revision"];
const READ: [&str; 8] = [
    "absent",
    "found",
    "found tombstone",
    "failed: full",
    "failed: timed out",
    "failed: unavailable",
    "failed: no bucket",
    "failed: no JetStream",
];

/// The table of evidence, row by row, and what shows that clients recover.
const ROWS: [Point; 58] = [
    // Never sent.
    Point("nothing left", "not applied: full"),
    Point("nothing left", "not applied: too large"),
    Point("nothing left", "not applied: timed out"),
    Point("nothing left", "abandoned"),
    // Cancelled in the middle of a frame, and behind it.
    Point("a part left", "abandoned"),
    Point("all left", "abandoned"),
    // A truncated frame is executed by nobody.
    Point("a part left", "not applied: link lost"),
    Point("a part left", "unknown: timed out"),
    // What was offered to a write that failed may have left.
    Point("a write failed", "unknown: link lost"),
    Point("a write failed", "unknown: timed out"),
    Point("a write failed", "applied"),
    // Acknowledged, or not.
    Point("all left", "applied"),
    Point("all left", "unknown: timed out"),
    Point("all left", "unknown: link lost"),
    Point("all left", "unknown: malformed"),
    Point("all left", "unknown: server"),
    // A condition that does not hold at the first attempt.
    Point("create", "exists"),
    Point("update", "conflict"),
    Point("delete at", "conflict"),
    Point("purge at", "conflict"),
    // After a doubtful attempt the outcome is found out.
    Point("condition sent again", "applied"),
    Point("condition sent again", "conflict"),
    Point("condition sent again", "exists"),
    Point("condition sent again", "unknown: timed out"),
    Point("condition sent again", "unknown: link lost"),
    // A put that surely had no effect is sent again.
    Point("put sent again", "applied"),
    // Refused for good.
    Point("server said no", "10023 resources"),
    Point("server said no", "10077 limits"),
    Point("all left", "not applied: unavailable"),
    Point("all left", "not applied: no JetStream"),
    Point("all left", "not applied: no bucket"),
    Point("put", "not applied: denied"),
    Point("create", "not applied: denied"),
    Point("update", "not applied: denied"),
    // Reads.
    Point("get", "failed: denied"),
    Point("leader get", "failed: denied"),
    Point("get", "malformed entry"),
    Point("leader get", "malformed entry"),
    // Why connections end, and that they are made again.
    Point("disconnected", "transport"),
    Point("disconnected", "server said why"),
    Point("disconnected", "authentication"),
    Point("disconnected", "handshake timed out"),
    Point("disconnected", "stale"),
    Point("disconnected", "lame duck"),
    Point("disconnected", "closed"),
    Point("connected again", ""),
    Point("ended by itself", "attempts"),
    Point("ended by itself", "credentials"),
    Point("ping", ""),
    Point("reply that nobody waits for", ""),
    // What clients know of keys, and what they are shown.
    Point("reply below the floor", ""),
    Point("reply below what was forgotten", ""),
    Point("floors dropped", ""),
    Point("reply of another stream", ""),
    Point("F-S10 answered by a mirror", "met"),
    Point("F-S10 answered by a stranger", "met"),
    Point("F-S10 answered by a stream that is gone", "met"),
    Point("get", "failed: stale"),
];

/// Faults that wait for something to meet: they are counted when they are set, and again when they do.
const MEET: [&str; 27] = [
    "F-S3 re-created behind a call",
    "F-S5 API reply lost",
    "F-S5 API reply late",
    "F-S5 API reply twice",
    "F-S5 API reply garbage",
    "F-S5 API error",
    "F-S5 API error, done",
    "F-S5 consumer deleted in delivery",
    "F-S6 heartbeats missing",
    "F-S6 heartbeat late",
    "F-S6 heartbeat early",
    "F-S6 heartbeat: last consumer sequence too large",
    "F-S6 heartbeat: last stream sequence too large",
    "F-S6 flow-control request lost",
    "F-S6 flow-control answer lost",
    "F-S7 delivery: lost",
    "F-S7 delivery: twice",
    "F-S7 delivery: overtaken",
    "F-S7 delivery: late, to an old id",
    "F-S7 delivery: again, to an old id",
    "F-S7 delivery: longer reply subject",
    "F-S7 delivery: unreadable reply subject",
    "F-S8 pending: too large",
    "F-S8 pending: too small",
    "F-S8 pending: zero early",
    "F-S8 pending: too large at creation",
    "F-S8 pending: too large in CONSUMER.INFO",
];

/// What a watch or a listing can be asked for.
const OPTIONS: [&str; 24] = [
    "watching",
    "listing",
    "keys",
    "history of a key",
    "no filter",
    "wildcard",
    "one filter",
    "several filters",
    "filter without a match",
    "last",
    "history",
    "updates only",
    "from revision",
    "from position",
    "eager",
    "slow",
    "pausing",
    "asleep",
    "ignore deletes",
    "meta only",
    "small buffer",
    "short heartbeat",
    "patience",
    "deadline",
];

/// What watches tell, and what befalls them.
const UPDATES: [Point; 20] = [
    Point("told", "entry"),
    Point("told", "tombstone"),
    Point("told", "damaged"),
    Point("told", "synced"),
    Point("told", "reset: re-created"),
    Point("told", "reset: rewound"),
    Point("told", "ended"),
    Point("watch", "done"),
    Point("watch", "failed: full"),
    Point("watch", "resumed"),
    Point("watch", "paused by its reader"),
    Point("watch", "unpolled, recovered"),
    Point("list", "done"),
    Point("list", "failed: timed out"),
    Point("list", "failed: interrupted, re-created"),
    Point("list", "failed: interrupted, rewound"),
    Point("F-C6 watch dropped", "opening"),
    Point("F-C6 watch dropped", "live"),
    Point("F-C6 watch dropped", "recovering"),
    Point("F-C6 watch dropped", "ended"),
];

/// What a run comes across in which any watch was confirmed.
#[must_use]
pub fn expected_of_watches() -> Vec<Point> {
    let strike = Fault::OF_WATCHES.into_iter().map(Point::from);
    let meet = MEET.into_iter().map(|name| Point(name, "met"));
    UPDATES.into_iter().chain(strike).chain(meet).collect()
}

/// All of it but for what watches tell.
#[must_use]
pub fn expected() -> Vec<Point> {
    let pairs = |whats: &'static [&'static str], hows: &'static [&'static str]| {
        let pairs = whats
            .iter()
            .flat_map(move |what| hows.iter().map(move |how| Point(what, how)));
        pairs.collect::<Vec<Point>>()
    };
    let mut points = ROWS.to_vec();
    points.extend(pairs(&WRITES, &WRITTEN));
    points.extend(pairs(&READS, &READ));
    points.extend(pairs(&["watched"], &OPTIONS));
    points
}
