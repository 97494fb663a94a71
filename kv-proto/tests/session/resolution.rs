//! What becomes of a conditional write whose acknowledgement is lost: every kind of write, lost before or
//! after it was stored, with everything that rivals can do meanwhile, on servers that look at the id first,
//! at the condition first, or at no id at all. The law: it is never told what is not so, and nothing is left
//! open that what is stored can tell.

use crate::support::embedder::{World, config, key, name, outcome, seconds};
use crate::support::peer::{Ids, Message, Rule, refusal};
use kv_proto::{
    Binding, BucketConfig, CallOptions, DeleteOptions, Doubt, LinkErrorKind, Op, Outcome,
    PurgeOptions, Revision, WriteError,
};

const SUBJECT: &str = "$KV.b.k";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Update,
    CreateNew,
    CreateOverTombstone,
    Delete,
    Purge,
}

const WRITES: [Write; 5] = [
    Write::Update,
    Write::CreateNew,
    Write::CreateOverTombstone,
    Write::Delete,
    Write::Purge,
];

/// How the acknowledgement is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// The connection ends; the server never had the message.
    LinkBefore,
    /// The connection ends after the message was stored.
    LinkAfter,
    /// The server is silent, and has not stored it.
    SilentBefore,
    /// The server is silent, and has stored it.
    SilentAfter,
}

const LOSSES: [Loss; 4] = [
    Loss::LinkBefore,
    Loss::LinkAfter,
    Loss::SilentBefore,
    Loss::SilentAfter,
];

impl Loss {
    fn is_stored(self) -> bool {
        matches!(self, Self::LinkAfter | Self::SilentAfter)
    }
}

/// What happens to the key before the write is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// Somebody writes on the condition that the key is where it is.
    Condition,
    /// Somebody writes without one.
    Put,
    /// So many times that no history is left of what was before.
    Puts,
    /// Somebody puts a tombstone without a condition.
    Delete,
    /// Everything of the key vanishes.
    Erase,
    /// The bucket is made anew, and the key is written there.
    Recreate,
}

const MEANWHILES: [Meanwhile; 7] = [
    Meanwhile::Nothing,
    Meanwhile::Condition,
    Meanwhile::Put,
    Meanwhile::Puts,
    Meanwhile::Delete,
    Meanwhile::Erase,
    Meanwhile::Recreate,
];

const HISTORY: u32 = 4;

#[derive(Clone, Copy, Debug)]
struct Case {
    write: Write,
    loss: Loss,
    meanwhile: Meanwhile,
    ids: Ids,
    history: u32,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for write in WRITES {
        for loss in LOSSES {
            for meanwhile in MEANWHILES {
                for ids in [Ids::Forgotten, Ids::First, Ids::Last] {
                    for history in [1, HISTORY] {
                        cases.push(Case {
                            write,
                            loss,
                            meanwhile,
                            ids,
                            history,
                        });
                    }
                }
            }
        }
    }
    cases
}

struct Run {
    world: World,
    bucket: Binding,
    case: Case,
}

impl Run {
    fn new(case: Case) -> Self {
        let mut world = World::new(config(), 1);
        let bucket = world.create_bucket(BucketConfig::new("b").history(case.history));
        world.peer.ids = case.ids;
        let mut run = Self {
            world,
            bucket,
            case,
        };
        if case.write != Write::CreateNew {
            let op = run.world.put(&run.bucket, "k", "before");
            run.world.wait(op).unwrap();
        }
        if case.write == Write::CreateOverTombstone {
            let op = run.world.delete(&run.bucket, "k");
            run.world.wait(op).unwrap();
        }
        run
    }

    fn begin(&mut self) -> Op<Revision> {
        let world = &mut self.world;
        let expected = Revision::new(1);
        match self.case.write {
            Write::Update => world.update(&self.bucket, "k", "ours", 1),
            Write::CreateNew | Write::CreateOverTombstone => {
                world.create(&self.bucket, "k", "ours")
            }
            Write::Delete => {
                let options = DeleteOptions::default().expect(expected);
                let (session, now) = (&mut world.session, world.now);
                session
                    .delete(now, &self.bucket, key("k"), options)
                    .unwrap()
            }
            Write::Purge => {
                let options = PurgeOptions::default().expect(expected);
                let (session, now) = (&mut world.session, world.now);
                session.purge(now, &self.bucket, key("k"), options).unwrap()
            }
        }
    }

    /// Sees to it that the attempt that counts is lost: a create over a tombstone has one before it that is
    /// refused.
    fn lose(&mut self, op: Op<Revision>) {
        if self.case.write == Write::CreateOverTombstone {
            let writes = |world: &World| {
                let seen = world.peer.seen.iter();
                seen.filter(|one| one.subject == SUBJECT).count()
            };
            let before = writes(&self.world);
            // The look at the tombstone is held back until the next write meets its rule.
            self.world.peer.rule("$JS.API.STREAM.MSG.GET", Rule::Hold);
            self.world.settle();
            assert_eq!(writes(&self.world), before + 1);
            self.arm();
            self.world.peer.release(0);
        } else {
            self.arm();
        }
        let link = self.world.link();
        assert!(self.world.runs(op), "the acknowledgement is lost");
        if matches!(self.case.loss, Loss::LinkBefore | Loss::LinkAfter) {
            self.world.cut(link, LinkErrorKind::Read);
        }
    }

    fn arm(&mut self) {
        let rule = if self.case.loss.is_stored() {
            Rule::LoseReply
        } else {
            Rule::Silence
        };
        self.world.peer.rule(SUBJECT, rule);
    }

    fn meddle(&mut self) {
        match self.case.meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Condition => {
                let last = self.last();
                self.rival(
                    &format!("Nats-Expected-Last-Subject-Sequence: {last}"),
                    "rival",
                );
            }
            Meanwhile::Put => self.rival("", "rival"),
            Meanwhile::Puts => (0..=HISTORY).for_each(|_| self.rival("", "rival")),
            Meanwhile::Delete => self.rival("KV-Operation: DEL", ""),
            Meanwhile::Erase => {
                let stream = self.world.peer.streams.get_mut("KV_b").unwrap();
                stream.messages.clear();
            }
            Meanwhile::Recreate => {
                let config = self.world.peer.streams["KV_b"].config.clone();
                self.world.peer.creations += 1;
                let created = self.world.peer.creations;
                let stream = self.world.peer.streams.get_mut("KV_b").unwrap();
                *stream = crate::support::peer::Stream {
                    config,
                    created,
                    ..crate::support::peer::Stream::default()
                };
                self.rival("", "another life");
                self.rival("Nats-Expected-Last-Subject-Sequence: 1", "another life");
                self.rival("Nats-Expected-Last-Subject-Sequence: 2", "another life");
            }
        }
    }

    fn last(&self) -> u64 {
        let messages = &self.world.peer.streams["KV_b"].messages;
        messages.last_key_value().map_or(0, |(seq, _)| *seq)
    }

    fn rival(&mut self, header: &str, value: &str) {
        let block = match header {
            "" => Vec::new(),
            header => format!("NATS/1.0\r\n{header}\r\n\r\n").into_bytes(),
        };
        let message = Message {
            subject: SUBJECT.to_owned(),
            block,
            payload: value.as_bytes().to_vec(),
        };
        self.world.peer.append("KV_b", message);
    }

    /// The sequences of what the write stored, in all lives of the bucket.
    fn ours(&self) -> Vec<u64> {
        let log = self.world.peer.log.iter();
        let named = log.filter(|one| one.message.block.windows(11).any(|w| w == b"Nats-Msg-Id"));
        named.map(|one| one.seq).collect()
    }
}

fn run(case: Case) -> (Result<Revision, WriteError>, Run) {
    let mut run = Run::new(case);
    let op = run.begin();
    run.lose(op);
    run.meddle();
    let result = run.world.wait(op);
    (result, run)
}

/// Whether what is stored cannot tell any more what became of the write.
fn is_beyond_telling(case: Case) -> bool {
    let Case {
        write,
        loss,
        meanwhile,
        ids,
        history,
    } = case;
    // A server that looks at the id first knows it for the duplicate window.
    if loss.is_stored() && ids == Ids::First && meanwhile != Meanwhile::Recreate {
        return false;
    }
    let keeps = history > 1;
    match meanwhile {
        Meanwhile::Nothing => false,
        // Who won on the condition of ours leaves no doubt, unless it is that there is nothing.
        Meanwhile::Condition if !loss.is_stored() => write == Write::CreateNew,
        // A rival came later: what is kept of before tells.
        Meanwhile::Condition | Meanwhile::Put | Meanwhile::Delete if loss.is_stored() => !keeps,
        // Nothing of ours is there. That nothing is missing is told by what we expected, if it is there.
        Meanwhile::Condition | Meanwhile::Put | Meanwhile::Delete => {
            !keeps || write == Write::CreateNew
        }
        Meanwhile::Puts | Meanwhile::Recreate => true,
        // The key has vanished: a create begins anew.
        Meanwhile::Erase => write != Write::CreateNew,
    }
}

/// The law itself, over all cases.
#[test]
fn a_lost_acknowledgement_is_found_out_about() {
    let mut open = 0;
    for case in cases() {
        let (result, run) = run(case);
        let ours = run.ours();
        match &result {
            Ok(revision) => assert!(
                ours.contains(&revision.get()),
                "{case:?}: {result:?}, {ours:?}"
            ),
            Err(error) if error.outcome() == Outcome::NotApplied => {
                assert!(ours.is_empty(), "{case:?}: {result:?}");
            }
            Err(_) => open += 1,
        }
        let unknown = outcome(&result) == Some(Outcome::Unknown);
        assert_eq!(
            unknown,
            is_beyond_telling(case),
            "{case:?}: {result:?}, {ours:?}"
        );
        // Only what had vanished is stored once more, and nothing else is twice.
        let vanished = case.meanwhile == Meanwhile::Erase && case.write == Write::CreateNew;
        let most = if vanished && case.loss.is_stored() {
            2
        } else {
            1
        };
        assert!(ours.len() <= most, "{case:?}: {ours:?}");
    }
    assert!(open > 100, "some cases cannot be told: {open}");
}

/// An update of a key at revision 1 whose first attempt was stored or not, and is in doubt.
fn in_doubt(loss: Loss) -> (Run, Op<Revision>) {
    let mut run = Run::new(Case {
        write: Write::Update,
        loss,
        meanwhile: Meanwhile::Nothing,
        ids: Ids::Last,
        history: 1,
    });
    let op = run.begin();
    run.lose(op);
    (run, op)
}

/// A refusal of a later attempt says nothing of the one before (G-OUT-3): whatever the reason, the outcome
/// stays open.
#[test]
fn a_later_refusal_proves_nothing_about_the_first_attempt() {
    for loss in LOSSES {
        for (number, text) in [
            (10_054, "too large"),
            (10_023, "no resources"),
            (10_060, "other"),
        ] {
            let (mut run, op) = in_doubt(loss);
            run.world
                .peer
                .rule(SUBJECT, Rule::Reply(refusal(number, text)));
            let result = run.world.wait(op);
            assert_eq!(outcome(&result), Some(Outcome::Unknown), "{loss:?} {text}");
        }
        let (mut run, op) = in_doubt(loss);
        run.world.peer.streams.clear();
        let result = run.world.wait(op);
        assert_eq!(
            outcome(&result),
            Some(Outcome::Unknown),
            "{loss:?}: no bucket"
        );

        let (mut run, op) = in_doubt(loss);
        let denied = format!("Permissions Violation for Publish to \"{SUBJECT}\"");
        run.world.peer.rule(SUBJECT, Rule::Err(denied));
        let result = run.world.wait(op);
        assert_eq!(outcome(&result), Some(Outcome::Unknown), "{loss:?}: denied");

        let (mut run, op) = in_doubt(loss);
        run.world.peer.info["max_payload"] = serde_json::json!(10);
        let link = run.world.link();
        run.world.cut(link, LinkErrorKind::Read);
        let result = run.world.wait(op);
        assert_eq!(
            outcome(&result),
            Some(Outcome::Unknown),
            "{loss:?}: too large now"
        );
    }
}

/// Nobody answers any more: at its deadline the write is in doubt, not refused.
#[test]
fn at_the_deadline_what_was_in_doubt_is_unknown() {
    for loss in LOSSES {
        let (mut run, op) = in_doubt(loss);
        for _ in 0..64 {
            run.world.peer.rule(SUBJECT, Rule::Nobody);
        }
        let began = run.world.now;
        let result = run.world.wait(op);
        assert_eq!(
            result,
            Err(WriteError::Unknown(Doubt::TimedOut)),
            "{loss:?}"
        );
        assert!(run.world.now <= began + seconds(6), "{loss:?}");
    }
}

/// A create is sent again only while the server remembers ids, as a key that vanished would let it be
/// stored twice. After that it is only looked for.
#[test]
fn a_create_is_not_sent_again_when_ids_are_forgotten() {
    for window in [0_u64, 120_000_000_000] {
        for loss in LOSSES {
            let mut world = World::new(config(), 1);
            world.create_bucket(BucketConfig::new("b"));
            let stream = world.peer.streams.get_mut("KV_b").unwrap();
            stream.config["duplicate_window"] = serde_json::json!(window);
            let (session, now) = (&mut world.session, world.now);
            let op = session
                .open(now, &name("b"), CallOptions::default())
                .unwrap();
            let bucket = world.wait(op).unwrap();
            let mut run = Run {
                world,
                bucket,
                case: Case {
                    write: Write::CreateNew,
                    loss,
                    meanwhile: Meanwhile::Nothing,
                    ids: Ids::Last,
                    history: 1,
                },
            };
            let op = run.begin();
            run.lose(op);
            let result = run.world.wait(op);
            let sent = run.world.peer.seen.iter();
            let sent = sent.filter(|one| one.subject == SUBJECT).count();
            assert_eq!(sent, if window == 0 { 1 } else { 2 }, "{loss:?}");
            let told = result.map_err(|error| error.outcome());
            let expected = if loss.is_stored() || window > 0 {
                Ok(Revision::new(1))
            } else {
                Err(Outcome::Unknown)
            };
            assert_eq!(told, expected, "{loss:?}, {window}");
        }
    }
}

/// Without ids a lost acknowledgement is told at once, and nothing is sent again.
#[test]
fn without_ids_nothing_is_found_out() {
    let mut world = World::new(config().message_ids(false), 1);
    let bucket = world.create_bucket(BucketConfig::new("b"));
    world.peer.rule(SUBJECT, Rule::LoseReply);
    let op = world.create(&bucket, "k", "ours");
    let link = world.link();
    assert!(world.runs(op));
    world.cut(link, LinkErrorKind::Read);
    assert_eq!(world.done(op), Err(WriteError::Unknown(Doubt::LinkLost)));
    assert_eq!(world.peer.log.len(), 1);
    assert_eq!(
        world.peer.log[0]
            .message
            .block
            .windows(6)
            .filter(|w| w == b"Msg-Id")
            .count(),
        0
    );
}

/// Each message has a name of its own, and all attempts of one message have the same: a create that is
/// made again over a tombstone is another message, as servers may remember the id of what they refused.
#[test]
fn ids_are_those_of_messages() {
    let (result, run) = run(Case {
        write: Write::CreateOverTombstone,
        loss: Loss::LinkBefore,
        meanwhile: Meanwhile::Nothing,
        ids: Ids::First,
        history: 1,
    });
    assert!(result.is_ok());
    let seen = run.world.peer.seen.iter();
    let ids: Vec<_> = seen.filter_map(|one| one.header("Nats-Msg-Id")).collect();
    let [refused, lost, stored] = &ids[..] else {
        panic!("{ids:?}");
    };
    assert_ne!(refused, lost);
    assert_eq!(lost, stored);
    assert!(ids.iter().all(|id| id.len() == 22), "{ids:?}");
}
