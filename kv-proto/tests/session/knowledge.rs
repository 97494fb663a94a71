//! What a client was told of a stream decides what it concludes of a write in doubt: that the stream has lost its
//! end, or that a tombstone stood there before.

use std::time::Duration;

use crate::support::embedder::{World, config, outcome};
use crate::support::peer::{Message, Rule, refusal};
use kv_proto::{Binding, BucketConfig, CallOptions, Doubt, Op, Outcome, Revision, WriteError};

const SUBJECT: &str = "$KV.b.k";
/// The last question before a verdict.
const LIFE: &str = "$JS.API.STREAM.INFO";

fn with_bucket(history: u32) -> (World, Binding) {
    let mut world = World::new(config(), 1);
    let bucket = world.create_bucket(BucketConfig::new("b").history(history));
    (world, bucket)
}

/// Somebody else writes.
fn rival(world: &mut World, key: &str, lines: &str) -> u64 {
    let block = match lines {
        "" => Vec::new(),
        lines => format!("NATS/1.0\r\n{lines}\r\n\r\n").into_bytes(),
    };
    let message = Message {
        subject: format!("$KV.b.{key}"),
        block,
        payload: b"rival".to_vec(),
    };
    world.peer.append("KV_b", message)
}

/// What was published to the key, as its condition and its id.
fn sent(world: &World) -> Vec<(String, String)> {
    let seen = world.peer.seen.iter().filter(|one| one.subject == SUBJECT);
    let named = seen.filter_map(|one| {
        let condition = one.header("Nats-Expected-Last-Subject-Sequence")?;
        Some((condition, one.header("Nats-Msg-Id")?))
    });
    named.collect()
}

/// Lets a write whose answer was lost come to its last question, which is not answered yet.
fn to_the_last_question(world: &mut World) {
    world.peer.rule(LIFE, Rule::Hold);
    world.pass(Duration::from_millis(1_500));
    assert_eq!(world.peer.held.len(), 1);
}

/// An update at revision 1 is stored at 4 and its acknowledgement lost; then the stream loses all behind 1, and
/// has a rival's write at 2. Of revision 3 the client was told, or not.
fn rewound(told: bool) -> (World, Op<Revision>) {
    let (mut world, bucket) = with_bucket(4);
    let op = world.put(&bucket, "k", "before");
    world.wait(op).unwrap();
    for _ in 0..2 {
        if told {
            let op = world.put(&bucket, "other", "");
            world.wait(op).unwrap();
        } else {
            rival(&mut world, "other", "");
        }
    }
    world.peer.rule(SUBJECT, Rule::LoseReply);
    let op = world.update(&bucket, "k", "ours", 1);
    assert!(world.runs(op));
    world.peer.rewind("KV_b", 1);
    rival(&mut world, "k", "");
    (world, op)
}

#[test]
fn a_stream_that_has_lost_its_end_proves_nothing() {
    let (mut world, op) = rewound(true);
    let current = Revision::new(2);
    let doubt = Doubt::Superseded { current };
    assert_eq!(world.wait(op), Err(WriteError::Unknown(doubt)));
}

/// Nobody can know of a loss that does not show, as the manual says.
#[test]
fn a_loss_that_does_not_show_is_not_known() {
    let (mut world, op) = rewound(false);
    assert_eq!(outcome(&world.wait(op)), Some(Outcome::NotApplied));
    let (mut world, op) = rewound(true);
    rival(&mut world, "other", "");
    assert_eq!(outcome(&world.wait(op)), Some(Outcome::NotApplied));
}

/// Once a loss was noticed, it counts for all that was under way then, however far the stream comes later.
#[test]
fn a_loss_that_was_noticed_is_remembered() {
    let (mut world, op) = rewound(true);
    to_the_last_question(&mut world);
    let (session, now) = (&mut world.session, world.now);
    let opened = session.open(now, &"b".parse().unwrap(), CallOptions::default());
    let bucket = world.wait(opened.unwrap()).unwrap();
    // A read of what was lost asks how the stream is.
    assert_eq!(world.read(&bucket, "other"), Ok(None));
    for _ in 0..3 {
        rival(&mut world, "other", "");
    }
    let before = world.now;
    world.peer.held.clear();
    let link = world.link();
    world.cut(link, kv_proto::LinkErrorKind::Read);
    assert_eq!(outcome(&world.wait(op)), Some(Outcome::Unknown));
    // What begins afterwards is not concerned.
    assert!(world.now > before);
    world.peer.rule(SUBJECT, Rule::Silence);
    let op = world.update(&bucket, "k", "ours", 2);
    assert!(world.runs(op));
    rival(&mut world, "k", "Nats-Expected-Last-Subject-Sequence: 2");
    assert_eq!(outcome(&world.wait(op)), Some(Outcome::NotApplied));
}

/// The key has a tombstone at revision 2; the answer to the first attempt of a create is lost.
fn over_a_tombstone(history: u32) -> (World, Op<Revision>) {
    let (mut world, bucket) = with_bucket(history);
    let op = world.put(&bucket, "k", "before");
    world.wait(op).unwrap();
    let op = world.delete(&bucket, "k");
    world.wait(op).unwrap();
    world.peer.rule(SUBJECT, Rule::LoseReply);
    let op = world.create(&bucket, "k", "ours");
    assert!(world.runs(op));
    (world, op)
}

#[test]
fn a_create_goes_on_over_a_tombstone_that_stood_before() {
    for history in [1, 4] {
        let (mut world, op) = over_a_tombstone(history);
        assert_eq!(world.wait(op), Ok(Revision::new(3)), "{history}");
        let sent = sent(&world);
        let conditions: Vec<&str> = sent.iter().map(|(condition, _)| &**condition).collect();
        assert_eq!(conditions, ["0", "0", "2"]);
        assert!(sent[0].1 == sent[1].1 && sent[1].1 != sent[2].1, "{sent:?}");
    }
}

/// One that others put may have ended what the first attempt stored.
/// Clusters of 2.11 call what they have refused in process, as long as they remember its id: that is asked once, and
/// then what is stored tells.
#[test]
fn what_is_in_process_for_ever_is_looked_for() {
    let (mut world, bucket) = with_bucket(1);
    let tombstone = world.delete(&bucket, "k");
    world.wait(tombstone).unwrap();
    let in_process = refusal(10_158, "duplicate message id is in process");
    world.peer.rule(SUBJECT, Rule::Silence);
    world.peer.rule(SUBJECT, Rule::Reply(in_process));
    let op = world.create(&bucket, "k", "ours");
    assert_eq!(world.wait(op), Ok(Revision::new(2)));
    let [(_, first), (_, again), (condition, next)] = &sent(&world)[..] else {
        panic!("{:?}", sent(&world));
    };
    assert_eq!((first, &condition[..]), (again, "1"));
    assert_ne!(first, next);
}

#[test]
fn a_tombstone_that_nobody_told_of_proves_nothing() {
    let tombstone = "KV-Operation: DEL";
    let told = |before_it_was_opened: bool| {
        let (mut world, mut bucket) = with_bucket(1);
        rival(&mut world, "k", tombstone);
        if before_it_was_opened {
            let (session, now) = (&mut world.session, world.now);
            let opened = session.open(now, &"b".parse().unwrap(), CallOptions::default());
            bucket = world.wait(opened.unwrap()).unwrap();
        }
        world.peer.rule(SUBJECT, Rule::LoseReply);
        let op = world.create(&bucket, "k", "ours");
        world.wait(op)
    };
    assert_eq!(told(true), Ok(Revision::new(2)));
    let current = Revision::new(1);
    let doubt = Doubt::Superseded { current };
    assert_eq!(told(false), Err(WriteError::Unknown(doubt)));
}

/// The tombstone may have gone before the answer comes that it is there, and the first attempt come then.
#[test]
fn both_messages_of_a_create_are_looked_for() {
    let (mut world, op) = over_a_tombstone(1);
    to_the_last_question(&mut world);
    let (_, first) = sent(&world)[0].clone();
    world.peer.streams.get_mut("KV_b").unwrap().messages.clear();
    let late = rival(&mut world, "k", &format!("Nats-Msg-Id: {first}"));
    world.peer.release(0);
    assert_eq!(world.wait(op), Ok(Revision::new(late)));

    // The second is stored, and its acknowledgement lost.
    let (mut world, op) = over_a_tombstone(1);
    to_the_last_question(&mut world);
    world.peer.rule(SUBJECT, Rule::LoseReply);
    world.peer.release(0);
    assert_eq!(world.wait(op), Ok(Revision::new(3)));
    assert_eq!(world.peer.log.len(), 3);
}

#[test]
fn a_rival_over_the_same_tombstone_tells_and_no_other() {
    let told = |lines: &str| {
        let (mut world, op) = over_a_tombstone(1);
        to_the_last_question(&mut world);
        rival(&mut world, "k", lines);
        world.peer.release(0);
        world.wait(op)
    };
    let revision = Revision::new(3);
    let same = told("Nats-Expected-Last-Subject-Sequence: 2");
    assert_eq!(same, Err(WriteError::Exists { revision }));
    let current = revision;
    let doubt = Doubt::Superseded { current };
    assert_eq!(told(""), Err(WriteError::Unknown(doubt)));
}

/// A tombstone has the number of one that stood before, in a stream that has lost its end.
#[test]
fn a_number_that_is_used_again_is_no_proof() {
    let (mut world, bucket) = with_bucket(1);
    for _ in 0..3 {
        let op = world.put(&bucket, "other", "");
        world.wait(op).unwrap();
    }
    world.peer.rule(SUBJECT, Rule::LoseReply);
    let op = world.create(&bucket, "k", "ours");
    assert!(world.runs(op));
    world.peer.rewind("KV_b", 1);
    rival(&mut world, "k", "KV-Operation: DEL");
    let current = Revision::new(2);
    let doubt = Doubt::Superseded { current };
    assert_eq!(world.wait(op), Err(WriteError::Unknown(doubt)));
}

/// The stream has lost the tombstone that this client was told of, and another one has got its number since.
#[test]
fn a_tombstone_that_is_younger_than_the_attempt_proves_nothing() {
    let told = |age| {
        let (mut world, op) = over_a_tombstone(1);
        to_the_last_question(&mut world);
        world.peer.held.clear();
        world.peer.age = age;
        let link = world.link();
        world.cut(link, kv_proto::LinkErrorKind::Read);
        world.wait(op)
    };
    assert_eq!(told(Some(60)), Ok(Revision::new(3)));
    let current = Revision::new(2);
    let doubt = Doubt::Superseded { current };
    for young in [Some(1), None] {
        assert_eq!(told(young), Err(WriteError::Unknown(doubt.clone())));
    }
}

/// What was under way when a stream lost its end may be acknowledged afterwards, with a number that is used again.
#[test]
fn a_late_acknowledgement_of_what_was_lost_is_no_proof() {
    let (mut world, bucket) = with_bucket(1);
    for key in ["first", "other"] {
        let op = world.put(&bucket, key, "");
        world.wait(op).unwrap();
    }
    let late = [(); 2].map(|()| {
        world.peer.rule("$KV.b.other", Rule::Hold);
        world.put(&bucket, "other", "")
    });
    world.settle();
    world.peer.rewind("KV_b", 1);
    assert_eq!(world.read(&bucket, "other"), Ok(None));
    for (op, revision) in late.into_iter().zip([3, 4]) {
        world.peer.release(0);
        assert_eq!(world.done(op), Ok(Revision::new(revision)));
    }
    world.pass(Duration::from_millis(1));
    world.peer.rule(SUBJECT, Rule::LoseReply);
    let op = world.create(&bucket, "k", "ours");
    assert!(world.runs(op));
    rival(&mut world, "k", "KV-Operation: DEL");
    rival(&mut world, "other", "");
    let current = Revision::new(3);
    let doubt = Doubt::Superseded { current };
    assert_eq!(world.wait(op), Err(WriteError::Unknown(doubt)));
}
