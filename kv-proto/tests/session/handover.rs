//! What the hand-over of a frame proves: a server cannot execute half of it.
//! Each test walks through every byte of a frame and ends the attempt there,
//! by a lost link, a deadline, a cancellation, or the end of the session.

use crate::support::embedder::{CALL, PUT, World, config, key, name, outcome, seconds};
use crate::support::peer::Rule;
use bytes::{Buf, Bytes};
use kv_proto::{
    BucketError, Cause, ConnectionState, Doubt, LinkErrorKind, Outcome, ReadError, Refused,
    Revision, WriteError,
};

fn applied(revision: u64) -> Result<Revision, WriteError> {
    Ok(Revision::new(revision))
}

/// How long the frame of a put of `value` is.
fn frame_len(value: &str) -> usize {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    assert_eq!(world.pending(link), 0);
    world.put(&bucket, "k", value);
    world.pending(link)
}

/// Every byte of a small frame; of a large one those around its joints.
fn cuts(len: usize) -> Vec<usize> {
    let joint = |at: &usize| *at < 100 || *at + 10 > len || at.is_multiple_of(997);
    (0..=len).filter(joint).collect()
}

/// G-OUT-4: a link that dies before the last byte of the frame was handed over
/// proves that it had no effect, for a frame in one piece and for one whose
/// payload is not copied. If not even the first byte was, the write is simply
/// sent again; once all were, its outcome is unknown and it is not.
#[test]
fn a_link_lost_at_every_byte() {
    for value in ["v".to_owned(), "v".repeat(9_000)] {
        let len = frame_len(&value);
        for cut in cuts(len) {
            let (mut world, bucket) = World::with_bucket(config());
            let link = world.link();
            let op = world.put(&bucket, "k", &value);
            assert_eq!(world.hand_over(link, cut), cut);
            world.cut(link, LinkErrorKind::Read);
            let result = world.wait(op);
            match cut {
                0 => assert_eq!(result, applied(1)),
                _ if cut < len => {
                    let lost = WriteError::NotApplied(Cause::LinkLost);
                    assert_eq!(result, Err(lost), "{cut} of {len}");
                    assert_eq!(world.peer.log.len(), 0, "{cut} of {len}");
                }
                _ => {
                    assert_eq!(result, Err(WriteError::Unknown(Doubt::LinkLost)));
                    assert_eq!(world.peer.log.len(), 1, "sent once");
                }
            }
            world.reconnect();
            assert_eq!(world.read(&bucket, "k").map(|v| v.is_some()), {
                Ok(cut == 0 || cut == len)
            });
        }
    }
}

/// After a failed write every byte that was offered counts as handed over: a
/// TLS writer can fail after earlier records have left. What was never offered
/// does not count.
#[test]
fn a_failed_write_counts_what_was_offered() {
    let len = frame_len("v");
    for cut in 0..=len {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let offered = world.put(&bucket, "k", "v");
        world.hand_over(link, cut);
        assert_eq!(world.pending(link), len - cut, "looking is offering");
        let unseen = world.put(&bucket, "k2", "v");
        world.cut(link, LinkErrorKind::Write);
        let result = world.wait(offered);
        assert_eq!(result, Err(WriteError::Unknown(Doubt::LinkLost)), "{cut}");
        let result = world.wait(unseen);
        assert!(result.is_ok(), "{cut}: {result:?}");
    }
}

/// What waited behind a frame that was cut is sent again in its order, and
/// reads are repeated whatever became of their frame.
#[test]
fn what_was_not_begun_is_sent_again_in_order() {
    for cut in 0..=3 * frame_len("v") {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let mut ends = [0; 4];
        let ops = [1, 2, 3].map(|number: usize| {
            let op = world.put(&bucket, "k", &number.to_string());
            ends[number] = world.pending(link);
            op
        });
        let get = world.get(&bucket, "k", kv_proto::GetOptions::default());
        world.hand_over(link, cut);
        world.cut(link, LinkErrorKind::Read);
        let results = ops.map(|op| world.wait(op));
        for (index, result) in results.iter().enumerate() {
            let (start, end) = (ends[index], ends[index + 1]);
            let expected = match cut {
                _ if cut <= start => None,
                _ if cut < end => Some(Outcome::NotApplied),
                _ => Some(Outcome::Unknown),
            };
            assert_eq!(outcome(result), expected, "put {index}, cut {cut}");
        }
        let committed = world.peer.log.iter().map(|commit| &commit.message.payload);
        let committed: Vec<_> = committed.collect();
        assert!(committed.is_sorted(), "{committed:?}");
        assert!(world.wait(get).is_ok(), "cut {cut}");
    }
}

/// The deadline before the first byte: not applied, and the frame is gone.
/// After it: unknown, and the frame is finished, as cutting it would corrupt
/// the stream for everybody (the server in memory would notice).
#[test]
fn a_deadline_at_every_byte() {
    let len = frame_len("v");
    for cut in 0..=len {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let op = world.put_within(&bucket, "k", seconds(1));
        world.hand_over(link, cut);
        world.sleep(seconds(1));
        let result = world.session.take(&op).expect("its deadline is over");
        if cut == 0 {
            assert_eq!(result, Err(WriteError::NotApplied(Cause::TimedOut)));
            assert_eq!(world.pending(link), 0);
        } else {
            assert_eq!(result, Err(WriteError::Unknown(Doubt::TimedOut)));
            assert_eq!(world.pending(link), len - cut);
        }
        let other = world.put(&bucket, "k2", "v");
        assert!(world.wait(other).is_ok(), "{cut}");
        assert_eq!(world.peer.log.len(), if cut == 0 { 1 } else { 2 });
    }
}

/// A cancelled write leaves if it was begun and never does if it was not; its
/// late acknowledgement completes nothing else.
#[test]
fn a_cancellation_at_every_byte() {
    let len = frame_len("v");
    for cut in 0..=len {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let before = world.put(&bucket, "k0", "v");
        assert_eq!(world.done(before), applied(1));
        let op = world.put(&bucket, "k", "v");
        let behind = world.put(&bucket, "k2", "v");
        world.hand_over(link, cut);
        world.session.cancel(op.id());
        world.session.cancel(op.id());
        let late = world.put(&bucket, "k3", "v");
        let first = if cut == 0 { 2 } else { 3 };
        assert_eq!(world.done(behind), applied(first), "{cut}");
        assert_eq!(world.done(late), applied(first + 1), "{cut}");
        assert_eq!(world.session.take(&op), None);
        let strays = world.session.stats().stray_messages;
        assert_eq!(strays, u64::from(cut > 0), "its acknowledgement is stray");
    }
}

/// `abort` in the middle of a frame: nothing handed over is not applied, all
/// of it is unknown; half of it is not called applied, and does not leave.
#[test]
fn an_abort_at_every_byte() {
    let len = frame_len("v");
    for cut in 0..=len {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let op = world.put(&bucket, "k", "v");
        world.hand_over(link, cut);
        world.session.abort(world.now);
        let result = world.session.take(&op).expect("every operation ended");
        match cut {
            0 => assert_eq!(result, Err(Refused::Closed.into())),
            _ if cut < len => assert!(outcome(&result).is_some()),
            _ => assert_eq!(result, Err(WriteError::Unknown(Doubt::Closed))),
        }
        assert_eq!(world.session.transmit(link).remaining(), 0);
        world.settle();
        assert_eq!(world.closed, [link]);
        assert_eq!(world.session.state(), ConnectionState::Closed);
        assert_eq!(world.session.poll_timeout(), None);
    }
}

/// `close` accepts no more, finishes what was accepted, and then ends; what
/// gets no answer within the time-out is unknown.
#[test]
fn close_finishes_what_was_accepted() {
    let (mut world, bucket) = World::with_bucket(config().close_timeout(seconds(1)));
    let link = world.link();
    let done = world.put(&bucket, "k", "v");
    world.session.close(world.now);
    assert_eq!(world.session.state(), ConnectionState::Closing);
    let (now, value) = (world.now, Bytes::from_static(b"v"));
    let refused = world.session.put(now, &bucket, key("k"), value, PUT());
    assert_eq!(refused.err(), Some(Refused::Closed.into()));
    let refused = world.session.open(now, &name("b"), CALL());
    assert_eq!(refused.err(), Some(BucketError::Refused(Refused::Closed)));
    assert_eq!(world.done(done), applied(1));
    assert_eq!(world.session.state(), ConnectionState::Closed);
    assert_eq!(world.closed, [link]);

    let (mut world, bucket) = World::with_bucket(config().close_timeout(seconds(1)));
    world.peer.rule("$KV.b.k", Rule::LoseReply);
    let put = world.put(&bucket, "k", "v");
    world.settle();
    let waiting = world.get(&bucket, "k", kv_proto::GetOptions::default());
    world.session.close(world.now);
    world.sleep(seconds(1));
    let result = world.session.take(&put).expect("the time is over");
    assert_eq!(result, Err(WriteError::Unknown(Doubt::Closed)));
    let read = world.session.take(&waiting).expect("the time is over");
    assert_eq!(read, Err(ReadError::Closed));
    assert_eq!(world.session.state(), ConnectionState::Closed);
}

/// G-T3: the reply and the deadline at the same instant. The reply wins if it
/// was fed before the timer call, whether or not the session was told of that
/// instant by other calls; after the timer call it is stray.
#[test]
fn reply_and_deadline_at_the_same_instant() {
    for reply_first in [true, false] {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let op = world.put_within(&bucket, "k", seconds(1));
        world.hand_over(link, usize::MAX);
        world.now = world.now + seconds(1);
        // Both know of the instant already.
        world.put(&bucket, "other", "v");
        if reply_first {
            world.receive(link, usize::MAX);
            world.at(world.now);
            assert_eq!(world.session.take(&op), Some(applied(1)));
        } else {
            world.at(world.now);
            world.receive(link, usize::MAX);
            let unknown = Err(WriteError::Unknown(Doubt::TimedOut));
            assert_eq!(world.session.take(&op), Some(unknown));
            assert_eq!(world.session.stats().stray_messages, 1);
        }
    }
}

/// What comes before the question has left answers an older one: the second copy of an acknowledgement must
/// not put a write in doubt that nobody has seen yet.
#[test]
fn a_reply_that_comes_before_its_question_is_none() {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.peer.rule("$KV.b.", Rule::Copy);
    let first = world.put(&bucket, "k", "v");
    assert_eq!(world.done(first), applied(1));
    let second = world.put(&bucket, "k", "w");
    world.peer.release(0);
    world.receive(link, usize::MAX);
    let later = world.now + seconds(1);
    world.at(later);
    assert_eq!(world.session.stats().stray_messages, 1);
    assert_eq!(world.done(second), applied(2));
}

/// G-T1: an operation whose time-out is zero ends at the next timer call of
/// the same instant, and a write of it leaves nothing behind.
#[test]
fn a_deadline_that_is_over_at_once() {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    let op = world.put_within(&bucket, "k", seconds(0));
    assert_eq!(world.session.poll_timeout(), Some(world.now));
    world.at(world.now);
    let result = world.session.take(&op);
    assert_eq!(result, Some(Err(WriteError::NotApplied(Cause::TimedOut))));
    assert_eq!(world.pending(link), 0);
}

/// G-T2: no frame is begun after the deadline of its operation, even if the
/// timer call is late: what waited for a link is not sent by the link that
/// comes too late, and a frame that waited for the socket does not leave.
#[test]
fn no_frame_is_begun_after_its_deadline() {
    let late = seconds(2);
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    let op = world.put_within(&bucket, "k", seconds(60));
    world.settle();
    let next = world.session.poll_timeout().expect("a dial is due");
    world.at(next);
    world.dial();
    world.now = world.now + seconds(60) + late;
    world.settle();
    let puts = world.peer.seen.iter().filter(|p| p.subject == "$KV.b.k");
    assert_eq!(puts.count(), 0, "sent when the link was ready");
    world.at(world.now);
    let result = world.session.take(&op).expect("its deadline is over");
    assert_eq!(outcome(&result), Some(Outcome::NotApplied));

    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    let op = world.put_within(&bucket, "k", seconds(1));
    world.now = world.now + seconds(1) + late;
    world.inject(link, b"+OK\r\n");
    world.settle();
    assert!(world.peer.log.is_empty(), "begun after the deadline");
    world.at(world.now);
    let result = world.session.take(&op).expect("its deadline is over");
    assert_eq!(outcome(&result), Some(Outcome::NotApplied));
}

/// A cancelled or timed-out read frees everything, whatever its answer does
/// later.
#[test]
fn reads_end_at_every_byte_too() {
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.get(&bucket, "k", kv_proto::GetOptions::default());
    let len = world.pending(link);
    for cut in 0..=len {
        let (mut world, bucket) = World::with_bucket(config());
        let link = world.link();
        let options = kv_proto::GetOptions::default().timeout(seconds(1));
        let (timed, cancelled) = (
            world.get(&bucket, "k", options),
            world.get(&bucket, "k", options),
        );
        world.hand_over(link, cut);
        world.session.cancel(cancelled.id());
        world.sleep(seconds(1));
        let result = world.session.take(&timed);
        assert_eq!(result, Some(Err(ReadError::TimedOut)));
        world.settle();
        let next = world.get(&bucket, "k", options);
        assert_eq!(world.done(next), Ok(None), "{cut}");
    }
}
