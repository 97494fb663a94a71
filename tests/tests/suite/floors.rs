//! Reads never go back: not behind a write that was acknowledged, nor behind what was read, whoever answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use kv_proto::driver::Bucket;
use kv_proto::{BucketConfig, ReadError, Revision, Source};
use kv_tests::{Cluster, Fake, FakeConn, Version, unique};
use serde_json::json;

use crate::site::{Adapter, SECOND, Site, config, stream, subject, tests};

tests! {
    on_both_ends {
        what_was_removed_is_not_missed
        a_bucket_that_was_created_again_is_read
    }
    on_the_newest {
        a_cluster_whose_replicas_are_behind
        a_server_alone_is_asked_once
        a_replica_that_is_behind_is_found_out
        a_leader_that_is_behind_is_not_believed
        who_may_not_ask_the_leader_waits_for_replicas
        a_mirror_shows_what_was_written_through_it
    }
}

/// On each server of a cluster: puts, each followed by two reads. That which takes any answer is stale again and
/// again; the other one never is, and never fails.
async fn a_cluster_whose_replicas_are_behind<A: Adapter>(_: Site<A>) {
    const ROUNDS: u64 = 300;
    let cluster = Cluster::start(Version::V2_15);
    let owner = A::connect(config(&cluster.server(0).url())).await.unwrap();
    let config_of = BucketConfig::new("b").replicas(3);
    owner
        .create_bucket(config_of)
        .timeout(20 * SECOND)
        .await
        .unwrap();
    let (mut stale, mut replies, began) = (0_u64, 0, Instant::now());
    // Which server leads is not asked; its own client never meets a replica that is behind.
    while (stale == 0 || replies == 0) && began.elapsed() < 30 * SECOND {
        for server in cluster.servers() {
            let client = A::connect(config(&server.url())).await.unwrap();
            let bucket = client.bucket("b").await.unwrap();
            for round in 0..ROUNDS {
                let key = format!("k{}", round % 7);
                let written = bucket.put(&key, "any").await.unwrap();
                let read = bucket.entry(&key).any_replica().await.unwrap();
                stale += u64::from(read.is_none_or(|entry| entry.revision < written));
                let written = bucket.put(&key, "never back").await.unwrap();
                let read = bucket.entry(&key).await.unwrap().expect("it was written");
                assert!(
                    read.revision >= written,
                    "{} is before {written}",
                    read.revision
                );
            }
            replies += client.stats().stale_replies;
        }
    }
    assert!(stale > 0, "no read of any replica was stale");
    assert!(
        replies > 0,
        "no other read was answered by a replica that was behind"
    );
}

/// On a server alone no read needs a second request.
async fn a_server_alone_is_asked_once<A: Adapter>(site: Site<A>) {
    const ROUNDS: u64 = 200;
    let bucket = site.bucket().await;
    let before = bucket.client().stats();
    for round in 0..ROUNDS {
        let written = bucket.put("k", round.to_string()).await.unwrap();
        assert_eq!(bucket.entry("k").await.unwrap().unwrap().revision, written);
        bucket.get("k").await.unwrap();
        assert_eq!(bucket.get("never").await, Ok(None));
    }
    let after = bucket.client().stats();
    assert_eq!(after.frames_out - before.frames_out, 4 * ROUNDS);
    assert_eq!((after.stale_replies, after.vague_replies), (0, 0));
}

/// What was erased, purged by an administrator, expired or deleted with its bucket is not there, and no read says
/// that it is stale.
async fn what_was_removed_is_not_missed<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(3)).await;
    bucket.put("a", "1").await.unwrap();
    bucket.put("b", "1").await.unwrap();
    bucket.erase("a").await.unwrap();
    assert_eq!(bucket.entry("a").await, Ok(None));
    site.admin()
        .purge(&stream(&bucket), Some(&subject(&bucket, "b")));
    assert_eq!(bucket.entry("b").await, Ok(None));
    // It is known now, and asked no more.
    let before = bucket.client().stats().frames_out;
    assert_eq!(bucket.entry("a").await, Ok(None));
    assert_eq!(bucket.entry("b").leader().await, Ok(None));
    assert_eq!(bucket.client().stats().frames_out - before, 2);
    let last = bucket.put("a", "2").await.unwrap();
    assert_eq!(bucket.entry("a").await.unwrap().unwrap().revision, last);
    if site.expires_values() {
        let bucket = site
            .bucket_with(|config| config.limit_markers(SECOND))
            .await;
        bucket.create("a", "1").ttl(SECOND).await.unwrap();
        let began = Instant::now();
        while bucket.get("a").await.unwrap().is_some() {
            assert!(began.elapsed() < 20 * SECOND, "it does not expire");
            bucket.client().sleep(SECOND / 10).await;
        }
        // The marker expires too, without a trace.
        while bucket.entry("a").await.unwrap().is_some() {
            assert!(began.elapsed() < 30 * SECOND, "the marker does not expire");
            bucket.client().sleep(SECOND / 10).await;
        }
    }
}

/// A bucket that somebody deletes and creates again has revisions from 1 on: they are read, through the handle
/// of before, and after a new opening.
async fn a_bucket_that_was_created_again_is_read<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    for _ in 0..5 {
        bucket.put("k", "before").await.unwrap();
        bucket.put("gone", "before").await.unwrap();
    }
    let other = site.client().await;
    other.delete_bucket(bucket.name()).await.unwrap();
    let again = other.create_bucket(BucketConfig::new(bucket.name())).await;
    let first = again.unwrap().put("k", "after").await.unwrap();
    assert_eq!(first, Revision::new(1));
    let read = bucket.entry("k").await.unwrap().unwrap();
    assert_eq!((&*read.value, read.revision), (&b"after"[..], first));
    assert_eq!(bucket.entry("gone").await, Ok(None));
    let second = bucket.put("k", "later").await.unwrap();
    assert_eq!(bucket.entry("k").await.unwrap().unwrap().revision, second);
    let opened = bucket.client().bucket(bucket.name()).await.unwrap();
    assert_eq!(opened.entry("k").await.unwrap().unwrap().revision, second);
    assert_eq!(opened.entry("gone").await, Ok(None));
}

/// What was just written through a mirror is read through it, from the origin if need be.
async fn a_mirror_shows_what_was_written_through_it<A: Adapter>(site: Site<A>) {
    let origin = site.bucket().await;
    let mirror = BucketConfig::new(unique("mirror")).mirror(Source::bucket(origin.name()));
    let mirror = origin.client().create_bucket(mirror).await.unwrap();
    for round in 0..200 {
        let written = mirror.put("k", round.to_string()).await.unwrap();
        let read = mirror.entry("k").await.unwrap().expect("it was written");
        assert_eq!(read.revision, written);
        assert_eq!(read.bucket, *mirror.name());
    }
    let last = origin.put("k", "of the origin").await.unwrap();
    assert_eq!(mirror.entry("k").await.unwrap().unwrap().revision, last);
}

// ---- scripted servers ------------------------------------------------------------

/// What a scripted server shows of the key `k`, 0 for nothing, and how often it was asked; it is one of three
/// replicas, and the key is at revision 2.
#[derive(Default)]
struct Shown {
    replica: u64,
    leader: u64,
    last: u64,
    denied: bool,
    asked: BTreeMap<&'static str, u64>,
}

type Shows = Arc<Mutex<Shown>>;

fn shows(replica: u64, leader: u64, last: u64) -> Shows {
    Arc::new(Mutex::new(Shown {
        replica,
        leader,
        last,
        ..Shown::default()
    }))
}

fn asked(shows: &Shows, what: &str) -> u64 {
    shows.lock().unwrap().asked.get(what).copied().unwrap_or(0)
}

/// A bucket `b` on a scripted server, at whose key `k` revision 2 was put.
async fn scripted<A: Adapter>(shows: &Shows) -> (Fake, Bucket) {
    let shown = Arc::clone(shows);
    let fake = Fake::start(move |conn| {
        conn.handshake();
        serve(conn, &shown);
    });
    let client = A::connect(config(&fake.url())).await.unwrap();
    let bucket = client.bucket("b").await.unwrap();
    assert_eq!(bucket.put("k", "v").await, Ok(Revision::new(2)));
    shows.lock().unwrap().asked.clear();
    (fake, bucket)
}

fn serve(conn: &mut FakeConn, shows: &Shows) {
    loop {
        let line = conn.read_until(b"\r\n", 60 * SECOND);
        let line = String::from_utf8(line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words {
            ["PUB", to, reply, size] => {
                let size: usize = size.parse().unwrap();
                let body = conn.read_exact(size + 2, SECOND);
                let answer = answer(to, reply, body.len() > 2, &mut shows.lock().unwrap());
                conn.send(answer.as_bytes());
            }
            ["PING"] => conn.send(b"PONG\r\n"),
            _ => {}
        }
    }
}

fn answer(to: &str, reply: &str, filtered: bool, shown: &mut Shown) -> String {
    let msg = |text: String| format!("MSG {reply} 1 {}\r\n{text}\r\n", text.len());
    let time = "2026-11-26T12:00:00Z";
    let mut note = |what| *shown.asked.entry(what).or_default() += 1;
    let call = to.strip_prefix("$JS.API.").unwrap_or(to);
    if call.starts_with("STREAM.INFO.") {
        note("state");
        let mut state = json!({"last_seq": shown.last, "messages": 1});
        if filtered && shown.leader > 0 {
            state["subjects"] = json!({"$KV.b.k": 1});
        }
        let fields = json!({"name": "KV_b", "subjects": ["$KV.b.>"], "max_msgs_per_subject": 1,
            "num_replicas": 3, "allow_direct": true});
        msg(json!({"config": fields, "created": time, "state": state}).to_string())
    } else if call.starts_with("STREAM.MSG.GET.") && shown.denied {
        note("leader");
        format!("-ERR 'Permissions Violation for Publish to \"{to}\"'\r\n")
    } else if call.starts_with("STREAM.MSG.GET.") {
        note("leader");
        let message = json!({"subject": "$KV.b.k", "seq": shown.leader, "time": time});
        let none = json!({"error": {"code": 404, "err_code": 10_037}});
        let found = json!({"message": message});
        let text = if shown.leader > 0 { found } else { none };
        msg(text.to_string())
    } else if call.starts_with("DIRECT.GET.") {
        note("replica");
        let head = if shown.replica > 0 {
            let seq = shown.replica;
            format!(
                "NATS/1.0\r\nNats-Stream: KV_b\r\nNats-Subject: $KV.b.k\r\n\
                 Nats-Sequence: {seq}\r\nNats-Time-Stamp: {time}\r\n\r\n"
            )
        } else {
            "NATS/1.0 404 Message Not Found\r\n\r\n".to_owned()
        };
        format!("HMSG {reply} 1 {0} {0}\r\n{head}\r\n", head.len())
    } else {
        msg(json!({"stream": "KV_b", "seq": 2}).to_string())
    }
}

/// Less than was acknowledged, or nothing, from a replica: the leader is asked, once.
async fn a_replica_that_is_behind_is_found_out<A: Adapter>(_: Site<A>) {
    for replica in [0, 1] {
        let shows = shows(replica, 2, 2);
        let (_fake, bucket) = scripted::<A>(&shows).await;
        let read = bucket.entry("k").await.unwrap().expect("it was written");
        assert_eq!(read.revision, Revision::new(2));
        assert_eq!((asked(&shows, "replica"), asked(&shows, "leader")), (1, 1));
        assert_eq!(asked(&shows, "state"), 0);
        // Whoever wants any answer gets it.
        let any = bucket.entry("k").any_replica().await.unwrap();
        assert_eq!(any.map_or(0, |entry| entry.revision.get()), replica);
        assert_eq!(asked(&shows, "leader"), 1);
    }
}

/// A leader that shows less than was acknowledged is asked again until the deadline. Only one that has come so far
/// and holds nothing of the key is believed.
async fn a_leader_that_is_behind_is_not_believed<A: Adapter>(_: Site<A>) {
    for (leader, last) in [(0, 1), (1, 1), (1, 2)] {
        let shows = shows(leader, leader, last);
        let (_fake, bucket) = scripted::<A>(&shows).await;
        let stale = ReadError::Stale {
            seen: (leader > 0).then(|| Revision::new(leader)),
            floor: Revision::new(2),
        };
        let read = bucket.entry("k").timeout(2 * SECOND).await;
        assert_eq!(read, Err(stale.clone()), "{leader} of {last}");
        assert!(stale.is_retryable());
        let (leaders, states) = (asked(&shows, "leader"), asked(&shows, "state"));
        assert!(leaders > 1 && states > 1, "{leaders} and {states}");
        assert!(leaders < 25, "{leaders}: without a pause");
        // In the end it has caught up.
        let read = bucket.entry("k").timeout(30 * SECOND).into_future();
        let mut read = Box::pin(read);
        assert!(crate::site::poll_once(&mut read).is_pending());
        {
            let mut shown = shows.lock().unwrap();
            (shown.leader, shown.last) = (2, 2);
        }
        assert_eq!(read.await.unwrap().unwrap().revision, Revision::new(2));
    }
    let shows = shows(0, 0, 2);
    let (_fake, bucket) = scripted::<A>(&shows).await;
    assert_eq!(bucket.entry("k").await, Ok(None));
}

/// Without the permission to ask the leader, replicas are asked until one knows.
async fn who_may_not_ask_the_leader_waits_for_replicas<A: Adapter>(_: Site<A>) {
    let shows = shows(1, 2, 2);
    shows.lock().unwrap().denied = true;
    let (_fake, bucket) = scripted::<A>(&shows).await;
    let read = bucket.entry("k").timeout(SECOND).await;
    let seen = Some(Revision::new(1));
    let floor = Revision::new(2);
    assert_eq!(read, Err(ReadError::Stale { seen, floor }));
    let mut read = Box::pin(bucket.entry("k").timeout(30 * SECOND).into_future());
    assert!(crate::site::poll_once(&mut read).is_pending());
    shows.lock().unwrap().replica = 2;
    assert_eq!(read.await.unwrap().unwrap().revision, floor);
}
