//! What evidence proves about writes: the table of outcomes, row by row, each
//! produced by a server in memory and judged by the caller's view of it and by
//! the server's log.

use crate::support::embedder::{CALL, World, config, key, limits, name, outcome, seconds};
use crate::support::peer::{Message, Rule, ack, direct_block, refusal};
use bytes::Bytes;
use kv_proto::{
    BucketConfig, BucketError, Cause, CreateOptions, DeleteOptions, Doubt, GetOptions,
    LinkErrorKind, Outcome, PurgeOptions, ReadError, Revision, ServerError, WriteError,
};

fn rev(revision: u64) -> Revision {
    Revision::new(revision)
}

/// The result of a write of `k` that is answered once by this payload, and how often it was sent.
fn write_answered(condition: bool, payload: &str) -> (Result<Revision, WriteError>, usize) {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.k", Rule::Reply(payload.to_owned()));
    let op = if condition {
        world.update(&bucket, "k", "v", 0)
    } else {
        world.put(&bucket, "k", "v")
    };
    let result = world.wait(op);
    let writes = world.peer.seen.iter().filter(|p| p.subject == "$KV.b.k");
    (result, writes.count())
}

fn update_answered(payload: &str) -> (Result<Revision, WriteError>, usize) {
    write_answered(true, payload)
}

fn server_error(result: &Result<Revision, WriteError>) -> Option<&ServerError> {
    match result {
        Err(WriteError::NotApplied(Cause::Server(error)))
        | Err(WriteError::Unknown(Doubt::Server(error))) => Some(error),
        _ => None,
    }
}

/// A success is its acknowledgement, at the revision that it names; one
/// flagged as a duplicate is a success at the first revision.
#[test]
fn acknowledged_is_applied() {
    let (mut world, bucket) = World::with_bucket(config());
    for (index, k) in ["a", "b", "a"].into_iter().enumerate() {
        let op = world.put(&bucket, k, "v");
        let revision = u64::try_from(index).unwrap() + 1;
        assert_eq!(world.done(op), Ok(rev(revision)));
        assert_eq!(world.peer.log.len(), index + 1);
    }
    for payload in [
        r#"{"stream":"KV_b","seq":2,"duplicate": true}"#,
        r#"{"stream":"KV_b", "seq":2}"#,
        r#"{"stream":"KV_b","domain":"hub","seq":2}"#,
    ] {
        assert_eq!(update_answered(payload), (Ok(rev(2)), 1), "{payload}");
    }
}

/// What cannot be read as an acknowledgement or as a known refusal proves
/// nothing: the outcome of a blind put is unknown, and a blind repetition never happens. A write on a
/// condition finds out that it was not stored, and is made once more.
#[test]
fn an_answer_that_does_not_tell_leaves_the_outcome_unknown() {
    let unnumbered = r#"{"error":{"code":400,"description":"wrong last sequence: 3"}}"#;
    let rows = [
        r#"{"stream":"KV_b","seq":0,"duplicate": true}"#.to_owned(),
        ack("KV_b", 0),
        String::new(),
        "{}".to_owned(),
        "{".to_owned(),
        "[]".to_owned(),
        unnumbered.to_owned(),
        refusal(10_063, "stream snapshot failed"),
        refusal(10_158, "duplicate message id is in process"),
        refusal(10_999, "news"),
        refusal(0, ""),
        refusal(10_077, "no space left on device"),
        refusal(10_077, ""),
    ];
    for payload in rows {
        let (result, sent) = write_answered(false, &payload);
        assert_eq!(outcome(&result), Some(Outcome::Unknown), "{payload}");
        assert_eq!(sent, 1, "{payload}");
        assert!(!result.unwrap_err().is_retryable(), "{payload}");
        assert_eq!(write_answered(true, &payload), (Ok(rev(1)), 2), "{payload}");
    }
}

/// Refusals that come before the message is proposed prove that there was no
/// effect; they end the write at once, with the server's own number and text.
#[test]
fn a_known_refusal_is_not_applied() {
    let permanent = [
        10_054, 10_097, 10_060, 10_109, 10_111, 10_165, 10_166, 10_185,
    ];
    let resources = [10_002, 10_023, 10_028, 10_047, 10_122];
    let numbered = permanent.into_iter().chain(resources).map(|n| (n, "text"));
    let texts = [
        "maximum bytes exceeded",
        "maximum messages exceeded",
        "maximum messages per subject exceeded",
        "message too large",
        "message to large",
    ];
    for (number, text) in numbered.chain(texts.map(|text| (10_077, text))) {
        let (result, sent) = update_answered(&refusal(number, text));
        assert_eq!(outcome(&result), Some(Outcome::NotApplied), "{number}");
        let error = server_error(&result).unwrap_or_else(|| panic!("{number}: {result:?}"));
        assert_eq!(
            (error.err_code(), error.description()),
            (Some(number), text)
        );
        assert_eq!(sent, 1, "{number}");
        assert!(!result.unwrap_err().is_retryable(), "{number}");
    }
}

/// Refusals that pass by themselves are repeated within the deadline.
#[test]
fn a_transient_refusal_is_repeated() {
    for number in [10_163, 10_167] {
        let (result, sent) = update_answered(&refusal(number, "later"));
        assert_eq!((result, sent), (Ok(rev(1)), 2), "{number}");
    }
}

/// A transient refusal that lasts ends the write at its deadline, not applied,
/// and no later.
#[test]
fn a_transient_refusal_that_lasts_ends_at_the_deadline() {
    let (mut world, bucket) = World::with_bucket(config());
    for _ in 0..1_000 {
        let busy = refusal(10_167, "too many requests");
        world.peer.rule("$KV.b.k", Rule::Reply(busy));
    }
    let deadline = world.now + seconds(2);
    let op = world.put_within(&bucket, "k", seconds(2));
    let result = world.wait(op);
    assert_eq!(outcome(&result), Some(Outcome::NotApplied), "{result:?}");
    assert_eq!(world.now, deadline);
    assert!(world.peer.log.is_empty());
}

/// 10071 on the only attempt: a conflict, with both revisions; the number in
/// the text is the current one.
#[test]
fn a_conflict_names_both_revisions() {
    let (mut world, bucket) = World::with_bucket(config());
    for value in ["1", "2"] {
        let op = world.put(&bucket, "k", value);
        world.done(op).unwrap();
    }
    let conflict = |expected, current| WriteError::Conflict {
        expected: rev(expected),
        current: Some(rev(current)),
    };
    let op = world.update(&bucket, "k", "v", 1);
    assert_eq!(world.done(op), Err(conflict(1, 2)));
    let op = world.update(&bucket, "new", "v", 7);
    assert_eq!(world.done(op), Err(conflict(7, 0)));
    let now = world.now;
    let delete = DeleteOptions::default().expect(rev(1));
    let op = world
        .session
        .delete(now, &bucket, key("k"), delete)
        .unwrap();
    assert_eq!(world.done(op), Err(conflict(1, 2)));
    let purge = PurgeOptions::default().expect(rev(1));
    let op = world.session.purge(now, &bucket, key("k"), purge).unwrap();
    assert_eq!(world.done(op), Err(conflict(1, 2)));
    assert_eq!(world.peer.log.len(), 2, "no refused write is in the log");
}

/// 10164 names no revision: the leader is asked. If the key is still as
/// expected the rival came to nothing and the write is repeated; otherwise it
/// is a conflict. A 10071 whose number cannot be read is treated alike.
#[test]
fn a_conflict_without_a_number_is_looked_up() {
    for lost in [
        refusal(10_164, "wrong last sequence"),
        refusal(10_071, "wrong last sequence: ?"),
    ] {
        let (mut world, bucket) = World::with_bucket(config());
        let op = world.put(&bucket, "k", "1");
        assert_eq!(world.done(op), Ok(rev(1)));
        world.peer.rule("$KV.b.k", Rule::Reply(lost.clone()));
        let op = world.update(&bucket, "k", "2", 1);
        assert_eq!(world.wait(op), Ok(rev(2)), "{lost}");
        world.peer.rule("$KV.b.k", Rule::Reply(lost.clone()));
        let op = world.update(&bucket, "k", "3", 1);
        let conflict = WriteError::Conflict {
            expected: rev(1),
            current: Some(rev(2)),
        };
        assert_eq!(world.wait(op), Err(conflict), "{lost}");
        assert_eq!(world.peer.log.len(), 2);
    }
}

/// `create` meets a live value: it exists, at its revision. It meets a
/// tombstone: it replaces that very tombstone, and says so to the server.
#[test]
fn create_tells_a_value_from_a_tombstone() {
    let (mut world, bucket) = World::with_bucket(config());
    let op = world.create(&bucket, "k", "1");
    assert_eq!(world.done(op), Ok(rev(1)));
    let op = world.create(&bucket, "k", "2");
    let exists = WriteError::Exists { revision: rev(1) };
    assert_eq!(world.done(op), Err(exists));
    let op = world.delete(&bucket, "k");
    assert_eq!(world.done(op), Ok(rev(2)));
    let op = world.create(&bucket, "k", "3");
    assert_eq!(world.done(op), Ok(rev(3)));
    let last = world.peer.seen.last().expect("a publish");
    let expected = last.header("Nats-Expected-Last-Subject-Sequence");
    assert_eq!(expected.as_deref(), Some("2"));
}

/// G-CAS-4: `create` over a tombstone that others keep changing goes round,
/// and every attempt carries the time to live and an expectation.
#[test]
fn create_over_a_changing_tombstone_keeps_its_headers() {
    let mut world = World::new(config(), 1);
    let markers = BucketConfig::new("b").limit_markers(seconds(1));
    let bucket = world.create_bucket(markers);
    let op = world.delete(&bucket, "k");
    assert_eq!(world.done(op), Ok(rev(1)));
    for number in [10_071, 10_164, 10_071] {
        let rival = refusal(number, "wrong last sequence: 1");
        world.peer.rule("$KV.b.k", Rule::Reply(rival));
    }
    let options = CreateOptions::default().ttl(seconds(2));
    let (now, value) = (world.now, Bytes::from_static(b"v"));
    let op = world.session.create(now, &bucket, key("k"), value, options);
    assert_eq!(world.wait(op.unwrap()), Ok(rev(2)));
    let attempts = world.peer.seen.iter().filter(|p| p.payload == *b"v");
    let headers: Vec<_> = attempts
        .map(|p| {
            let expected = p.header("Nats-Expected-Last-Subject-Sequence");
            (expected.expect("an expectation"), p.header("Nats-TTL"))
        })
        .collect();
    let attempt = |expected: &str| (expected.to_owned(), Some("2".to_owned()));
    assert_eq!(
        headers,
        [attempt("0"), attempt("1"), attempt("1"), attempt("1")]
    );
}

/// `create` over a tombstone gives up after a bounded number of rounds, not
/// applied and worth another try.
#[test]
fn create_gives_up_when_the_key_keeps_changing() {
    let (mut world, bucket) = World::with_bucket(config());
    let op = world.delete(&bucket, "k");
    world.done(op).unwrap();
    for _ in 0..100 {
        let rival = refusal(10_164, "wrong last sequence");
        world.peer.rule("$KV.b.k", Rule::Reply(rival));
    }
    let op = world.create(&bucket, "k", "v");
    let error = world.wait(op).unwrap_err();
    assert_eq!(error, WriteError::NotApplied(Cause::Contended));
    assert!(error.is_retryable());
    assert!(world.peer.rules_left() > 80, "that many rounds are a storm");
}

/// Nobody listens and the bucket is there (an election): the write is repeated
/// until its deadline, and is applied once.
#[test]
fn no_responders_with_a_bucket_is_repeated() {
    let (mut world, bucket) = World::with_bucket(config());
    for _ in 0..3 {
        world.peer.rule("$KV.b.k", Rule::Nobody);
    }
    let op = world.put(&bucket, "k", "v");
    assert_eq!(world.wait(op), Ok(rev(1)));
    assert_eq!(world.peer.log.len(), 1);
    for _ in 0..1_000 {
        world.peer.rule("$KV.b.k", Rule::Nobody);
    }
    let deadline = world.now + seconds(3);
    let op = world.put_within(&bucket, "k", seconds(3));
    let error = world.wait(op).unwrap_err();
    assert_eq!(error, WriteError::NotApplied(Cause::Unavailable));
    assert!(error.is_retryable());
    assert_eq!(world.now, deadline);
    let attempts = 1_000 - world.peer.rules_left();
    assert!((10..=40).contains(&attempts), "{attempts} in three seconds");
}

/// Nobody listens and the bucket is gone: at once, and without retries.
#[test]
fn no_responders_without_a_bucket_is_bucket_not_found() {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.streams.clear();
    let op = world.put(&bucket, "k", "v");
    let gone = WriteError::NotApplied(Cause::BucketNotFound);
    assert_eq!(world.done(op), Err(gone));
    for options in [GetOptions::default(), GetOptions::default().leader()] {
        let op = world.get(&bucket, "k", options);
        assert_eq!(world.done(op), Err(ReadError::BucketNotFound));
    }
}

/// A server without JetStream: every kind of request ends at once.
#[test]
fn without_jetstream_everything_says_so() {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.peer.info["jetstream"] = false.into();
    let info = format!("INFO {}\r\n", world.peer.info);
    world.inject(link, info.as_bytes());
    let now = world.now;
    let op = world.put(&bucket, "k", "v");
    let none = WriteError::NotApplied(Cause::NoJetStream);
    assert_eq!(world.done(op), Err(none.clone()));
    let op = world.create(&bucket, "k", "v");
    assert_eq!(world.done(op), Err(none));
    for options in [GetOptions::default(), GetOptions::default().leader()] {
        let op = world.get(&bucket, "k", options);
        assert_eq!(world.done(op), Err(ReadError::NoJetStream));
    }
    let op = world.session.open(now, &name("b"), CALL()).unwrap();
    assert_eq!(world.done(op), Err(BucketError::NoJetStream));
    let op = world.session.bucket_names(now, 0, CALL()).unwrap();
    assert_eq!(world.done(op), Err(BucketError::NoJetStream));
}

/// `-ERR 'Permissions Violation'` ends the requests in flight to exactly that
/// subject, at once, and no other.
#[test]
fn a_denied_publish_ends_requests_to_that_subject_alone() {
    let (mut world, bucket) = World::with_bucket(config());
    for k in ["k.a", "k.a", "k", "k.a.b", "other"] {
        world.peer.rule(&format!("$KV.b.{k}"), Rule::Silence);
    }
    let denied: Vec<_> = ["k.a", "k.a"].map(|k| world.put(&bucket, k, "v")).into();
    let others = ["k", "k.a.b", "other"].map(|k| world.put(&bucket, k, "v"));
    world.settle();
    let link = world.link();
    let refusal = b"-ERR 'Permissions Violation for Publish to \"$KV.b.k.a\"'\r\n";
    // One of the two was refused, and the server does not say which: the other one may have been applied
    // before the permission went, and its acknowledgement be lost.
    world.inject(link, refusal);
    for op in denied.iter().chain(&others) {
        assert!(world.runs(*op), "{op:?}");
    }
    world.inject(link, &refusal.repeat(2));
    for op in denied {
        let subject = "$KV.b.k.a".to_owned();
        let error = WriteError::NotApplied(Cause::Denied { subject });
        assert_eq!(world.done(op), Err(error));
    }
    for op in others {
        assert!(world.runs(op), "{op:?}");
    }
    // The other texts name subjects too, and end nothing.
    for text in [
        "Permissions Violation for Publish with Reply of \"$KV.b.k\"",
        "Permissions Violation for Subscription to \"$KV.b.k\"",
        "Permissions Violation for Publish to \"$KV.b\"",
        "Permissions Violation for Publish to $KV.b.k",
        "Something about \"$KV.b.k\"",
    ] {
        world.inject(link, format!("-ERR '{text}'\r\n").as_bytes());
        for op in others {
            assert!(world.runs(op), "{text}");
        }
    }
}

/// A replica that is behind the revision for which a `create` was refused does not decide what is there.
#[test]
fn a_stale_replica_does_not_decide_a_conflict() {
    let (mut world, bucket) = World::with_bucket(config());
    let message = Message {
        subject: "$KV.b.k".into(),
        block: Vec::new(),
        payload: b"old".to_vec(),
    };
    let shows = |seq| Rule::Headed(direct_block("KV_b", seq, &message), b"old".to_vec());
    let lost = Rule::Reply(refusal(10_071, "wrong last sequence: 7"));
    let denied = "Permissions Violation for Publish to \"$JS.API.STREAM.MSG.GET.KV_b\"";
    world.peer.rule("$KV.b.k", lost);
    world
        .peer
        .rule("$JS.API.STREAM.MSG.GET", Rule::Err(denied.into()));
    world.peer.rule("$JS.API.DIRECT.GET", shows(6));
    world.peer.rule("$JS.API.DIRECT.GET", shows(7));
    let op = world.create(&bucket, "k", "mine");
    let revision = Revision::new(7);
    assert_eq!(world.wait(op), Err(WriteError::Exists { revision }));
    assert_eq!(world.peer.rules_left(), 0);
}

/// A denial speaks of what was published before it. A write whose frame is
/// still here either goes on, or its frame never leaves: "not applied" is for
/// ever (G-OUT).
#[test]
fn a_denial_does_not_end_a_write_whose_frame_still_leaves() {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    let op = world.put(&bucket, "k", "v");
    let frame = world.pending(link);
    for handed_over in [0, 1, frame - 1] {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let op = world.put(&bucket, "k", "v");
        world.hand_over(link, handed_over);
        world.inject(
            link,
            b"-ERR 'Permissions Violation for Publish to \"$KV.b.k\"'\r\n",
        );
        let early = world.session.take(&op);
        world.settle();
        let applied = world.peer.log.len();
        if let Some(result) = early
            && outcome(&result) == Some(Outcome::NotApplied)
        {
            assert_eq!(applied, 0, "{handed_over} bytes: {result:?}");
        }
    }
    assert_eq!(world.done(op), Ok(rev(1)));
}

/// The reply inbox is refused: no answer will come, so what was handed over is
/// unknown, also for calls that may be repeated.
#[test]
fn a_refused_inbox_leaves_what_was_sent_unknown() {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.k", Rule::LoseReply);
    let create = "$JS.API.STREAM.CREATE.KV_n";
    world.peer.rule(create, Rule::LoseReply);
    let put = world.put(&bucket, "k", "v");
    let now = world.now;
    let new = BucketConfig::new("n");
    let created = world.session.create_bucket(now, new, CALL()).unwrap();
    world.settle();
    let inbox = world.peer.seen.last().expect("a publish").reply.clone();
    let (inbox, _) = inbox.rsplit_once('.').expect("a token");
    let text = format!("-ERR 'Permissions Violation for Subscription to \"{inbox}.*\"'\r\n");
    let link = world.link();
    let queued = world.put(&bucket, "q", "v");
    world.inject(link, text.as_bytes());
    let result = world.done(put);
    assert_eq!(outcome(&result), Some(Outcome::Unknown), "{result:?}");
    // What had not left this side is taken back.
    let result = world.done(queued);
    assert_eq!(outcome(&result), Some(Outcome::NotApplied), "{result:?}");
    let error = world.wait(created).unwrap_err();
    assert!(world.peer.streams.contains_key("KV_n"), "it was created");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}");
    // What is asked from now on was never sent.
    let op = world.put(&bucket, "k", "v");
    let result = world.done(op);
    assert_eq!(outcome(&result), Some(Outcome::NotApplied), "{result:?}");
    world.settle();
    let mut sent = world.peer.seen.iter();
    assert!(sent.all(|publish| publish.subject != "$KV.b.q"));
}

/// A management call that was handed over and lost its answer is unknown
/// (G-OUT-3): a deadline that comes while there is no connection changes
/// nothing about the first attempt.
#[test]
fn a_lost_management_call_stays_unknown() {
    for verb in ["CREATE", "UPDATE", "DELETE"] {
        let (mut world, _) = World::with_bucket(config());
        let prefix = format!("$JS.API.STREAM.{verb}.");
        world.peer.rule(&prefix, Rule::LoseReply);
        let (now, history) = (world.now, BucketConfig::new("b").history(3));
        let session = &mut world.session;
        let bound = match verb {
            "CREATE" => session.create_bucket(now, BucketConfig::new("n"), CALL()),
            "UPDATE" => session.update_bucket(now, history, CALL()),
            _ => session.open(now, &name("b"), CALL()),
        };
        let deleted = (verb == "DELETE").then(|| session.delete_bucket(now, &name("b"), CALL()));
        world.settle();
        assert_eq!(world.peer.rules_left(), 0, "{verb} had its effect");
        world.down = true;
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        let deadline = now + seconds(5);
        while world.now < deadline {
            world.settle();
            let next = world.session.poll_timeout().expect("a deadline");
            world.at(next);
        }
        let error = match deleted {
            Some(op) => world.done(op.unwrap()).unwrap_err(),
            None => world.done(bound.unwrap()).unwrap_err(),
        };
        assert_eq!(error.outcome(), Outcome::Unknown, "{verb}: {error:?}");
    }
}

/// The same when the second attempt is refused, or finds nobody: that proves
/// nothing about the first one.
#[test]
fn a_refused_repetition_proves_nothing_about_the_first_attempt() {
    let failed = |code: u16, number: u32| {
        let error = format!("{{\"code\":{code},\"err_code\":{number},\"description\":\"\"}}");
        Rule::Reply(format!("{{\"error\":{error}}}"))
    };
    for second in [
        failed(503, 10_023),
        failed(500, 10_047),
        failed(503, 10_008),
        Rule::Nobody,
    ] {
        let (mut world, _) = World::with_bucket(config());
        let prefix = "$JS.API.STREAM.UPDATE.";
        world.peer.rule(prefix, Rule::LoseReply);
        for _ in 0..1_000 {
            world.peer.rule(prefix, second.clone());
        }
        let (now, history) = (world.now, BucketConfig::new("b").history(3));
        let op = world.session.update_bucket(now, history, CALL()).unwrap();
        world.settle();
        let link = world.link();
        world.cut(link, LinkErrorKind::Read);
        let error = world.wait(op).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{second:?}: {error:?}");
    }
}

/// A result for which there is no room is dropped, but never the outcome: a
/// bucket that was created is not reported as not created.
#[test]
fn a_result_without_room_keeps_its_outcome() {
    let limits = limits(|limits| limits.max_result_bytes = 0);
    let mut world = World::new(config().limits(limits), 1);
    let now = world.now;
    let new = BucketConfig::new("n");
    let op = world.session.create_bucket(now, new, CALL()).unwrap();
    let result = world.wait(op);
    assert!(world.peer.streams.contains_key("KV_n"), "it was created");
    if let Err(error) = result {
        assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}");
    }
}
