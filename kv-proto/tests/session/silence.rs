//! What is not answered: a stream without a leader is silent, and so is a server that died with a question that it was
//! to answer for another one. A question is asked again; what may change something never is.

use crate::support::embedder::{CALL, World, assert_idle, config, name, seconds};
use crate::support::peer::Rule;
use kv_proto::{BucketConfig, Cause, Doubt, GetOptions, OpResult, ReadError, Revision, WriteError};

/// How often a request to a subject that starts with `prefix` came.
fn times(world: &World, prefix: &str) -> usize {
    let seen = world.peer.seen.iter();
    seen.filter(|publish| publish.subject.starts_with(prefix))
        .count()
}

/// Every kind of question, when the server says nothing to it twice: the answer to the third is the result, and the
/// time that passed is far from any deadline.
#[test]
fn a_question_is_asked_again() {
    fn check<T: OpResult<Error: std::fmt::Debug>>(
        prefix: &str,
        ask: impl FnOnce(&mut World, &kv_proto::Binding) -> kv_proto::Op<T>,
    ) -> T {
        let (mut world, bucket) = World::with_bucket(config().request_timeout(seconds(60)));
        let op = world.put(&bucket, "k", "v");
        world.wait(op).unwrap();
        world.peer.rule(prefix, Rule::Silence);
        world.peer.rule(prefix, Rule::Silence);
        let (began, before) = (world.now, times(&world, prefix));
        let op = ask(&mut world, &bucket);
        let result = world.wait(op).unwrap();
        assert_eq!(times(&world, prefix), before + 3, "{prefix}");
        assert!(world.now <= began + seconds(10), "{prefix}");
        assert_eq!(world.peer.rules_left(), 0);
        // A while later nothing is left of it.
        world.sleep(seconds(5));
        world.settle();
        assert_idle(&world);
        result
    }
    let entry = check("$JS.API.DIRECT.GET.", |world, bucket| {
        world.get(bucket, "k", GetOptions::default())
    });
    assert_eq!(entry.unwrap().value, "v");
    let entry = check("$JS.API.STREAM.MSG.GET.", |world, bucket| {
        world.get(bucket, "k", GetOptions::default().leader())
    });
    assert_eq!(entry.unwrap().value, "v");
    check("$JS.API.STREAM.INFO.", |world, _| {
        world.session.open(world.now, &name("b"), CALL()).unwrap()
    });
    check("$JS.API.STREAM.INFO.", |world, _| {
        world.session.status(world.now, &name("b"), CALL()).unwrap()
    });
    check("$JS.API.STREAM.NAMES", |world, _| {
        world.session.bucket_names(world.now, 0, CALL()).unwrap()
    });
    check("$JS.API.INFO", |world, _| {
        let config = BucketConfig::new("limited").limit_markers(seconds(5));
        world
            .session
            .create_bucket(world.now, config, CALL())
            .unwrap()
    });
}

/// A write that found nobody asks whether there is a bucket. When that is not answered either, which is what a cluster
/// without a leader does, the question is asked again, and the write goes through.
#[test]
fn a_write_outlives_an_election() {
    let (mut world, bucket) = World::with_bucket(config().request_timeout(seconds(20)));
    world.peer.rule("$KV.b.k", Rule::Nobody);
    for _ in 0..4 {
        world.peer.rule("$JS.API.STREAM.INFO.", Rule::Silence);
    }
    let began = world.now;
    let op = world.put(&bucket, "k", "v");
    assert_eq!(world.wait(op), Ok(Revision::new(1)));
    assert!(world.now < began + seconds(10));
    assert_eq!(times(&world, "$KV.b.k"), 2);

    // The same between a conflict and the look at what it lost against.
    for _ in 0..4 {
        world.peer.rule("$JS.API.STREAM.MSG.GET.", Rule::Silence);
    }
    let op = world.create(&bucket, "k", "w");
    let exists = WriteError::Exists {
        revision: Revision::new(1),
    };
    assert_eq!(world.wait(op), Err(exists));
}

/// What was to change something is sent once, however long it stays unanswered.
#[test]
fn a_write_is_not_sent_again() {
    let (mut world, bucket) = World::with_bucket(config());
    let subjects = ["$KV.b.", "$JS.API.STREAM.DELETE.", "$JS.API.STREAM.PURGE."];
    for subject in subjects {
        world.peer.rule(subject, Rule::Silence);
    }
    let put = world.put(&bucket, "k", "v");
    assert_eq!(world.wait(put), Err(WriteError::Unknown(Doubt::TimedOut)));
    let filter = kv_proto::KeyFilter::new("k").unwrap();
    let erase = world.session.erase(world.now, &bucket, &filter, CALL());
    world.wait(erase.unwrap()).unwrap_err();
    let deleted = world.session.delete_bucket(world.now, &name("b"), CALL());
    world.wait(deleted.unwrap()).unwrap_err();
    for subject in subjects {
        assert_eq!(times(&world, subject), 1, "{subject}");
    }
}

/// An answer that is merely late is one, whichever time the question was asked; the answers to the other times are
/// nobody's, not those of the next reader of the same key either.
#[test]
fn late_answers_count_once() {
    let (mut world, bucket) = World::with_bucket(config().request_timeout(seconds(60)));
    let put = world.put(&bucket, "k", "old");
    world.wait(put).unwrap();
    for _ in 0..3 {
        world.peer.rule("$JS.API.DIRECT.GET.", Rule::Hold);
    }
    let get = world.get(&bucket, "k", GetOptions::default());
    for _ in 0..3 {
        assert!(world.runs(get));
        world.sleep(seconds(2));
    }
    assert_eq!(times(&world, "$JS.API.DIRECT.GET."), 3);
    world.peer.release(0);
    assert_eq!(world.done(get).unwrap().unwrap().value, "old");

    let put = world.put(&bucket, "k", "new");
    world.wait(put).unwrap();
    world.peer.rule("$JS.API.DIRECT.GET.", Rule::Hold);
    let get = world.get(&bucket, "k", GetOptions::default());
    assert!(world.runs(get));
    let strays = world.session.stats().stray_messages;
    world.peer.release(0);
    world.peer.release(0);
    assert!(world.runs(get));
    assert_eq!(world.session.stats().stray_messages, strays + 2);
    world.peer.release(0);
    assert_eq!(world.done(get).unwrap().unwrap().value, "new");
}

/// A server that is silent to the end.
#[test]
fn the_deadline_holds() {
    let (mut world, bucket) = World::with_bucket(config().request_timeout(seconds(9)));
    for _ in 0..100 {
        world.peer.rule("$JS.API.", Rule::Silence);
    }
    let began = world.now;
    let get = world.get(&bucket, "k", GetOptions::default());
    assert_eq!(world.wait(get), Err(ReadError::TimedOut));
    assert_eq!(world.now, began + seconds(9));
    assert_eq!(times(&world, "$JS.API.DIRECT.GET."), 5);
    world.peer.rule("$KV.b.k", Rule::Nobody);
    let put = world.put(&bucket, "k", "v");
    let unavailable = WriteError::NotApplied(Cause::Unavailable);
    assert_eq!(world.wait(put), Err(unavailable));
}
