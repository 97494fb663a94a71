//! What is said of a write whose connection broke is what happened: a proxy breaks it at a known byte.

use std::time::{Duration, Instant};

use kv_proto::driver::{Bucket, Client};
use kv_proto::{BucketConfig, Cause, ConnectionState, Doubt, Outcome, Revision, WriteError};
use kv_tests::Direction::{ClientToServer, ServerToClient};
use kv_tests::{Admin, Proxy, Server, eventually};

use crate::site::{Adapter, SECOND, Site, all, at_once, begin, poll_once, state_of, stored, tests};

tests! {
    on_both_ends {
        a_lost_acknowledgement_of_a_blind_write_leaves_it_unknown
        a_silent_server_leaves_the_write_unknown_at_its_deadline
        a_late_acknowledgement_answers_nobody_else
        what_was_never_handed_over_was_not_applied
        a_frame_cut_before_its_last_byte_was_not_applied
        what_waits_behind_a_cut_frame_is_sent_again
        reads_in_flight_are_repeated
        management_in_flight_is_repeated_but_for_a_delete
    }
}

/// A client behind a proxy, with a bucket; and a handle of the same bucket that goes round the proxy.
struct Behind {
    proxy: Proxy,
    bucket: Bucket,
    admin: Admin,
}

impl Behind {
    async fn proxy<A: Adapter>(site: &Site<A>, server: &Server) -> Self {
        let proxy = Proxy::start(server.addr());
        let client = site.connect(&proxy.url()).await;
        let config = BucketConfig::new(kv_tests::unique("b")).history(5);
        Self {
            proxy,
            bucket: client.create_bucket(config).await.unwrap(),
            admin: Admin::connect(server),
        }
    }

    fn client(&self) -> &Client {
        self.bucket.client()
    }

    /// Waits until the client has noticed that its connection broke and has another one.
    fn reconnected(&self, connects: u64) {
        eventually("the client is connected again", || {
            let client = self.client();
            client.state() == ConnectionState::Connected && client.stats().connects >= connects
        });
    }
}

/// The connection is cut right before the acknowledgement of the first write passes: a write without a
/// condition ends at once, as unknown; it was stored exactly once, since it is not sent again by itself; and
/// the client goes on.
async fn a_lost_acknowledgement_of_a_blind_write_leaves_it_unknown<A: Adapter>(site: Site<A>) {
    let mut behind = Behind::proxy(&site, site.server()).await;
    let bucket = behind.bucket.clone();
    let base = bucket.put("base", "0").await.unwrap();
    for (number, kind) in (1..).zip(["put", "delete", "purge"]) {
        behind.proxy.drop_matching(ServerToClient, b"\"seq\":");
        let began = Instant::now();
        let result = match kind {
            "put" => bucket.put("put", "1").await,
            "delete" => bucket.delete("put").await,
            _ => bucket.purge("put").await,
        };
        let took = began.elapsed();
        assert!(took < SECOND, "{kind} took {took:?}");
        let unknown = WriteError::Unknown(Doubt::LinkLost);
        assert_eq!(result, Err(unknown.clone()), "{kind}");
        assert_eq!(
            (unknown.outcome(), unknown.is_retryable()),
            (Outcome::Unknown, false)
        );
        behind.reconnected(1 + number);
        let last = state_of(&mut behind.admin, &bucket, "last_seq");
        assert_eq!(last, 1 + number, "{kind} is stored once");
    }
    assert_eq!(bucket.entry("base").await.unwrap().unwrap().revision, base);
    assert_eq!(bucket.get("put").await, Ok(None));
    assert_eq!(bucket.put("put", "2").await, Ok(Revision::new(5)));
}

/// When no byte comes back any more and the connection stays open, a write ends at its deadline, not
/// before and not much later, as unknown; it was stored.
async fn a_silent_server_leaves_the_write_unknown_at_its_deadline<A: Adapter>(site: Site<A>) {
    let mut behind = Behind::proxy(&site, site.server()).await;
    let bucket = behind.bucket.clone();
    behind.proxy.half_open(ServerToClient);
    let limit = Duration::from_millis(200);
    let began = Instant::now();
    let puts = [
        begin(bucket.put("a", "1").timeout(limit)),
        begin(bucket.put("b", "1").timeout(limit)),
    ];
    let create = begin(bucket.create("c", "1").timeout(limit));
    let unknown = Err(WriteError::Unknown(Doubt::TimedOut));
    assert_eq!(all(puts).await, [unknown.clone(), unknown.clone()]);
    assert_eq!(create.await, unknown);
    let took = began.elapsed();
    assert!(took >= limit && took < limit + SECOND, "{took:?}");
    assert_eq!(state_of(&mut behind.admin, &bucket, "messages"), 3);

    behind.proxy.resume(ServerToClient);
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(behind.client().stats().connects, 1);
}

/// Acknowledgements that arrive after their writes have timed out are counted as strays, and no later
/// operation takes one for its own.
async fn a_late_acknowledgement_answers_nobody_else<A: Adapter>(site: Site<A>) {
    let behind = Behind::proxy(&site, site.server()).await;
    let bucket = behind.bucket.clone();
    behind.proxy.stall(ServerToClient);
    let limit = Duration::from_millis(100);
    let late: Vec<_> = (0..50)
        .map(|_| begin(bucket.put("late", "1").timeout(limit)))
        .collect();
    let unknown = Err(WriteError::Unknown(Doubt::TimedOut));
    assert!(all(late).await.iter().all(|result| *result == unknown));

    let puts: Vec<_> = (0..50)
        .map(|number| begin(bucket.put(format!("k{number}"), number.to_string())))
        .collect();
    let read = begin(bucket.get("never"));
    behind.proxy.resume(ServerToClient);
    let revisions = all(puts).await;
    for (number, revision) in revisions.into_iter().enumerate() {
        let entry = bucket.entry(format!("k{number}")).await.unwrap().unwrap();
        assert_eq!(Ok(entry.revision), revision);
        assert_eq!(entry.value, number.to_string());
    }
    assert_eq!(read.await, Ok(None));
    assert_eq!(behind.client().stats().stray_messages, 50);
    assert_eq!(behind.client().stats().connects, 1);
}

/// While no server can be reached, writes end at their deadline as not applied, and nothing of them is
/// sent later.
async fn what_was_never_handed_over_was_not_applied<A: Adapter>(site: Site<A>) {
    let mut behind = Behind::proxy(&site, site.server()).await;
    let bucket = behind.bucket.clone();
    behind.proxy.refuse(true);
    behind.proxy.cut_all();
    eventually("the link is lost", || {
        behind.client().state() == ConnectionState::Reconnecting
    });
    let limit = Duration::from_millis(150);
    let began = Instant::now();
    let revision = Revision::new(1);
    let writes = [
        begin(bucket.put("a", "1").timeout(limit)),
        begin(bucket.create("b", "1").timeout(limit)),
        begin(bucket.update("c", "1", revision).timeout(limit)),
        begin(bucket.delete("d").timeout(limit)),
        begin(bucket.purge("e").timeout(limit)),
    ];
    for result in all(writes).await {
        let error = result.unwrap_err();
        assert_eq!(error, WriteError::NotApplied(Cause::TimedOut));
        assert_eq!(
            (error.outcome(), error.is_retryable()),
            (Outcome::NotApplied, true)
        );
    }
    let took = began.elapsed();
    assert!(took >= limit && took < limit + SECOND, "{took:?}");
    behind.proxy.refuse(false);
    behind.reconnected(2);
    assert_eq!(bucket.get("a").await, Ok(None));
    assert_eq!(state_of(&mut behind.admin, &bucket, "last_seq"), 0);
}

/// A large value that is on its way, and cannot be whole: more than any socket buffer holds is behind a
/// proxy that passes little and then nothing.
fn half_sent<F: Future + Unpin>(behind: &Behind, mut writing: F) -> F {
    behind.proxy.chunk(ClientToServer, 64);
    let passed = behind.proxy.bytes(ClientToServer);
    eventually("a part of the frame has passed", || {
        assert!(poll_once(&mut writing).is_pending());
        behind.proxy.bytes(ClientToServer) > passed + 10_000
    });
    behind.proxy.stall(ClientToServer);
    writing
}

const LARGE: usize = 8 * 1024 * 1024;

fn large_server<A: Adapter>(site: &Site<A>) -> Server {
    site.own_server().max_payload(2 * LARGE).start()
}

/// A write of 8 MiB whose connection breaks before its last byte was handed over cannot have been
/// applied: each kind of write says so at once, and nothing is stored.
async fn a_frame_cut_before_its_last_byte_was_not_applied<A: Adapter>(site: Site<A>) {
    let server = large_server(&site);
    let mut behind = Behind::proxy(&site, &server).await;
    let bucket = behind.bucket.clone();
    let base = bucket.put("base", "0").await.unwrap();
    let value = vec![b'x'; LARGE];
    for (number, kind) in (1..).zip(["put", "create", "update"]) {
        let writing = match kind {
            "put" => begin(bucket.put("put", &value)),
            "create" => begin(bucket.create("create", &value)),
            _ => begin(bucket.update("base", &value, base)),
        };
        let writing = half_sent(&behind, writing);
        behind.proxy.cut_all();
        let result = at_once(writing).await;
        behind.proxy.heal();
        assert_eq!(
            result,
            Err(WriteError::NotApplied(Cause::LinkLost)),
            "{kind}"
        );
        behind.reconnected(1 + number);
        assert_eq!(
            state_of(&mut behind.admin, &bucket, "last_seq"),
            1,
            "{kind}"
        );
    }
    assert_eq!(bucket.get("base").await.unwrap().unwrap(), "0");
    bucket.put("put", &value).await.unwrap();
    assert!(bucket.get("put").await.unwrap().unwrap() == value);
}

/// Small writes and reads queued behind such a frame were not begun: they wait for the next connection
/// and succeed, each stored once, in the order they were made.
async fn what_waits_behind_a_cut_frame_is_sent_again<A: Adapter>(site: Site<A>) {
    let server = large_server(&site);
    let mut behind = Behind::proxy(&site, &server).await;
    let bucket = behind.bucket.clone();
    bucket.put("base", "0").await.unwrap();
    let large = half_sent(&behind, begin(bucket.put("large", vec![b'x'; LARGE])));
    let puts: Vec<_> = (0..20)
        .map(|number| begin(bucket.put("small", number.to_string())))
        .collect();
    let read = begin(bucket.get("base"));
    behind.proxy.cut_all();
    behind.proxy.heal();
    assert_eq!(large.await, Err(WriteError::NotApplied(Cause::LinkLost)));
    let revisions = all(puts).await.into_iter().map(Result::unwrap);
    assert!(revisions.eq((2..22).map(Revision::new)));
    assert_eq!(read.await.unwrap().unwrap(), "0");
    assert_eq!(
        stored(&mut behind.admin, &bucket, "small").unwrap().value,
        b"19"
    );
    assert_eq!(state_of(&mut behind.admin, &bucket, "last_seq"), 21);
}

/// Reads whose answers are lost with the connection are asked again on the next one, of every kind.
async fn reads_in_flight_are_repeated<A: Adapter>(site: Site<A>) {
    let behind = Behind::proxy(&site, site.server()).await;
    let bucket = behind.bucket.clone();
    let revision = bucket.put("a", "1").await.unwrap();
    behind.proxy.half_open(ServerToClient);
    let sent = behind.proxy.bytes(ClientToServer);
    let reads = [
        begin(bucket.entry("a")),
        begin(bucket.entry("a").leader()),
        begin(bucket.entry("a").revision(revision)),
    ];
    let status = begin(bucket.status());
    eventually("the requests are out", || {
        behind.proxy.bytes(ClientToServer) > sent + 200
    });
    behind.proxy.cut_all();
    behind.proxy.heal();
    for entry in at_once(async { all(reads).await }).await {
        assert_eq!(entry.unwrap().unwrap().revision, revision);
    }
    assert_eq!(at_once(status).await.unwrap().values(), 1);
    assert_eq!(behind.client().stats().connects, 2);
}

/// A create or update of a bucket whose answer is lost is asked again, and opens what it made itself. A
/// delete is not, as it could hit a bucket that somebody created since: its outcome is unknown.
async fn management_in_flight_is_repeated_but_for_a_delete<A: Adapter>(site: Site<A>) {
    let mut behind = Behind::proxy(&site, site.server()).await;
    let client = behind.client().clone();
    let name = kv_tests::unique("b");
    for (number, history) in [(1, 1), (2, 2)] {
        let config = BucketConfig::new(&name).history(history);
        behind.proxy.drop_matching(ServerToClient, b"\"config\":");
        let request = match number {
            1 => client.create_bucket(config.clone()),
            _ => client.create_or_update_bucket(config.clone()),
        };
        let bucket = at_once(request).await.unwrap();
        assert_eq!(bucket.status().await.unwrap().config(), &config);
        assert_eq!(client.stats().connects, 1 + number);
    }
    behind.proxy.drop_matching(ServerToClient, b"\"success\":");
    let unknown = at_once(client.delete_bucket(&name)).await.unwrap_err();
    assert_eq!(unknown, kv_proto::BucketError::Unknown(Doubt::LinkLost));
    assert_eq!(unknown.outcome(), Outcome::Unknown);
    let info = format!("$JS.API.STREAM.INFO.KV_{name}");
    let answer = behind.admin.request(&info, b"");
    assert_eq!(answer["error"]["err_code"], 10_059, "it was deleted");
}
