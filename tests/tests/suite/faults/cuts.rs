//! Connections that are cut after every byte of what a write sends, and of what comes back. Whatever is said of the
//! write is then held against what the stream stores.

use std::collections::BTreeMap;

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, Doubt, Outcome, Revision, WriteError};
use kv_tests::Direction::{self, ClientToServer, ServerToClient};
use kv_tests::{Admin, Proxy, Server, unique};

use crate::site::{Adapter, SECOND, Site, config};

const PATIENT: std::time::Duration = SECOND.saturating_mul(20);

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Put,
    Delete,
    Create,
    /// A create over a tombstone, which is refused first.
    CreateOver,
    Update,
    DeleteAt,
    PurgeAt,
}

const VERBS: [Verb; 7] = [
    Verb::Put,
    Verb::Delete,
    Verb::Create,
    Verb::CreateOver,
    Verb::Update,
    Verb::DeleteAt,
    Verb::PurgeAt,
];

impl Verb {
    const fn is_blind(self) -> bool {
        matches!(self, Self::Put | Self::Delete)
    }

    /// Writes what the verb finds; returns its revision.
    async fn prepare(self, bucket: &Bucket, key: &str) -> Revision {
        match self {
            Self::Put | Self::Create => Revision::new(0),
            Self::CreateOver => {
                bucket.put(key, "").timeout(PATIENT).await.unwrap();
                bucket.delete(key).timeout(PATIENT).await.unwrap()
            }
            Self::Delete | Self::Update | Self::DeleteAt | Self::PurgeAt => {
                bucket.put(key, "").timeout(PATIENT).await.unwrap()
            }
        }
    }

    async fn write(
        self,
        bucket: &Bucket,
        key: &str,
        base: Revision,
    ) -> Result<Revision, WriteError> {
        match self {
            Self::Put => bucket.put(key, "v").timeout(PATIENT).await,
            Self::Delete => bucket.delete(key).timeout(PATIENT).await,
            Self::Create | Self::CreateOver => bucket.create(key, "v").timeout(PATIENT).await,
            Self::Update => bucket.update(key, "v", base).timeout(PATIENT).await,
            Self::DeleteAt => bucket.delete(key).expect(base).timeout(PATIENT).await,
            Self::PurgeAt => bucket.purge(key).expect(base).timeout(PATIENT).await,
        }
    }
}

/// One write whose connection was cut.
#[derive(Debug)]
struct Cut {
    verb: Verb,
    direction: Direction,
    after: u64,
    base: Revision,
    result: Result<Revision, WriteError>,
    broken: bool,
}

/// Cuts after every `step`th byte of every verb, in both directions, and judges.
pub(super) async fn cut_everywhere<A: Adapter>(
    site: &Site<A>,
    server: &Server,
    replicas: u8,
    step: usize,
) {
    let direct = site.connect(&server.url()).await;
    let new = BucketConfig::new(unique("cut"))
        .history(5)
        .replicas(replicas);
    let direct = direct.create_bucket(new).timeout(PATIENT).await.unwrap();
    let mut cuts = BTreeMap::new();
    for verb in VERBS {
        for direction in [ClientToServer, ServerToClient] {
            let whole = length::<A>(verb, direction, server, &direct).await;
            // A little longer than the write was, as revisions get longer.
            for after in (0..whole + 10).step_by(step) {
                let key = format!("{verb:?}.{direction:?}.{after}");
                let cut = cut::<A>(verb, direction, after, server, &direct, &key).await;
                assert!(cuts.insert(key, cut).is_none());
            }
        }
    }
    judge(&cuts, &mut Admin::connect(server), &direct);
    report(&cuts, server, replicas);
}

/// A client of a server, behind a proxy of its own; it may learn of other servers, and go on there.
async fn behind<A: Adapter>(server: &Server, bucket: &Bucket) -> (Proxy, Bucket) {
    let proxy = Proxy::start(server.addr());
    let client = A::connect(config(&proxy.url())).await.unwrap();
    let bucket = client.bucket(bucket.name()).timeout(PATIENT).await.unwrap();
    (proxy, bucket)
}

/// How many bytes pass while nothing is cut.
async fn length<A: Adapter>(
    verb: Verb,
    direction: Direction,
    server: &Server,
    direct: &Bucket,
) -> u64 {
    let key = format!("whole.{verb:?}.{direction:?}");
    let base = verb.prepare(direct, &key).await;
    let (proxy, bucket) = behind::<A>(server, direct).await;
    let before = proxy.bytes(direction);
    verb.write(&bucket, &key, base).await.unwrap();
    proxy.bytes(direction) - before
}

async fn cut<A: Adapter>(
    verb: Verb,
    direction: Direction,
    after: u64,
    server: &Server,
    direct: &Bucket,
    key: &str,
) -> Cut {
    let base = verb.prepare(direct, key).await;
    let (proxy, bucket) = behind::<A>(server, direct).await;
    proxy.cut_after(direction, after);
    let result = verb.write(&bucket, key, base).await;
    let broken = bucket.client().stats().disconnects > 0;
    Cut {
        verb,
        direction,
        after,
        base,
        result,
        broken,
    }
}

/// What was said to be applied is stored, at that revision and once; what was said not to be is not stored. Only a
/// write without a condition may be left unknown, and only if its connection broke. So may a create over a tombstone
/// whose first attempt was lost: for all that its client knows, that was applied, and deleted since.
fn judge(cuts: &BTreeMap<String, Cut>, admin: &mut Admin, bucket: &Bucket) {
    let stream = format!("KV_{}", bucket.name());
    let mut stored: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in admin.messages(&stream) {
        let subject = message["subject"].as_str().unwrap_or_default();
        let key = subject.rsplit_once("$KV.").map_or("", |(_, rest)| rest);
        let key = key.split_once('.').map_or("", |(_, key)| key).to_owned();
        stored
            .entry(key)
            .or_default()
            .push(message["seq"].as_u64().unwrap());
    }
    for (key, cut) in cuts {
        let revisions = stored.get(key).map_or(&[][..], Vec::as_slice);
        let new: Vec<u64> = revisions
            .iter()
            .copied()
            .filter(|one| *one > cut.base.get())
            .collect();
        let right = match &cut.result {
            Ok(revision) => new == [revision.get()],
            Err(error) if error.outcome() == Outcome::NotApplied => new.is_empty() && cut.broken,
            Err(WriteError::Unknown(Doubt::Superseded { current })) => {
                let over = cut.verb == Verb::CreateOver && *current == cut.base;
                over && new.is_empty() && cut.broken
            }
            Err(_) => new.len() <= 1 && cut.broken && cut.verb.is_blind(),
        };
        assert!(right, "{cut:?}; stored: {new:?}");
    }
}

fn report(cuts: &BTreeMap<String, Cut>, server: &Server, replicas: u8) {
    let mut table: BTreeMap<(Verb, &str), [usize; 4]> = BTreeMap::new();
    for cut in cuts.values() {
        let direction = match cut.direction {
            ClientToServer => "request",
            ServerToClient => "answer",
        };
        let row = table.entry((cut.verb, direction)).or_default();
        row[match &cut.result {
            Ok(_) if cut.broken => 0,
            Ok(_) => 1,
            Err(error) if error.outcome() == Outcome::NotApplied => 2,
            Err(_) => 3,
        }] += 1;
    }
    let longest = cuts.values().map(|cut| cut.after).max().unwrap_or(0);
    eprintln!(
        "nats-server {}, {replicas} replicas, {} cuts, up to byte {longest}",
        server.version(),
        cuts.len()
    );
    eprintln!(
        "| write | cut in the | applied | uncut | not applied | unknown |\n|---|---|---|---|---|---|"
    );
    for ((verb, direction), [applied, uncut, not, unknown]) in table {
        eprintln!("| {verb:?} | {direction} | {applied} | {uncut} | {not} | {unknown} |");
    }
}
