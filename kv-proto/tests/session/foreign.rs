//! Direct gets that another stream answers than the bucket's own: a mirror of the bucket is believed once its
//! leader has said that it is one, and nothing else ever is.

use crate::support::embedder::{World, config, seconds};
use crate::support::peer::{Message, Rule, direct_block, failure, not_found, refusal};
use kv_proto::{Binding, Cause, Entry, GetOptions, LinkErrorKind, ReadError, Revision, WriteError};
use serde_json::{Value, json};

/// What a stream of that name answers for key `k`.
fn shown_by(stream: &str, revision: u64) -> Rule {
    let message = Message {
        subject: "$KV.b.k".into(),
        block: Vec::new(),
        payload: b"shown".to_vec(),
    };
    Rule::Headed(direct_block(stream, revision, &message), b"shown".to_vec())
}

fn info(name: &str, mirror: &Value) -> Rule {
    let info = json!({"config": {"name": name, "max_msgs_per_subject": 1, "mirror": mirror},
        "created": "2026-11-26T12:00:00Z", "state": {}});
    Rule::Reply(info.to_string())
}

fn mirror() -> Rule {
    info("KV_m", &json!({"name": "KV_b"}))
}

fn stranger() -> Rule {
    let external = json!({"api": "$JS.hub.API"});
    info("KV_m", &json!({"name": "KV_b", "external": external}))
}

/// A bucket whose key `k` is `own`, at revision 1.
fn scene() -> (World, Binding) {
    let (mut world, bucket) = World::with_bucket(config());
    let put = world.put(&bucket, "k", "own");
    world.done(put).unwrap();
    (world, bucket)
}

/// Reads a key, and tells what was asked for that, without the prefix.
fn read(
    world: &mut World,
    bucket: &Binding,
    options: GetOptions,
) -> (Result<Option<Entry>, ReadError>, Vec<String>) {
    let before = world.peer.seen.len();
    let get = world.get(bucket, "k", options);
    let result = world.wait(get);
    (result, asked(world, before))
}

fn asked(world: &World, before: usize) -> Vec<String> {
    let calls = world.peer.seen[before..].iter().map(|one| &one.subject);
    let bare = calls.map(|call| call.strip_prefix("$JS.API.").unwrap_or(call));
    bare.map(|call| call.trim_end_matches(".$KV.b.k").to_owned())
        .collect()
}

fn value(result: Result<Option<Entry>, ReadError>) -> String {
    let entry = result.unwrap().unwrap();
    String::from_utf8_lossy(&entry.value).into_owned()
}

const DIRECT: &str = "DIRECT.GET.KV_b";
const LEADER: &str = "STREAM.MSG.GET.KV_b";
const WHO: &str = "STREAM.INFO.KV_m";

/// Its leader is asked once a minute whether it is one.
#[test]
fn a_mirror_is_looked_at_and_believed() {
    let (mut world, bucket) = scene();
    let any = GetOptions::default();
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 2));
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 2));
    world.peer.rule("$JS.API.STREAM.INFO.KV_m", mirror());
    let (result, asked) = read(&mut world, &bucket, any);
    assert_eq!(
        (value(result), asked),
        (
            "shown".into(),
            vec![DIRECT.into(), WHO.into(), DIRECT.into()]
        )
    );
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 3));
    let (result, asked) = read(&mut world, &bucket, any);
    assert_eq!(
        (value(result), asked),
        ("shown".into(), vec![DIRECT.to_owned()])
    );
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 1));
    let (result, asked) = read(&mut world, &bucket, any.revision(Revision::new(1)));
    assert_eq!(
        (value(result), asked),
        ("shown".into(), vec![DIRECT.to_owned()])
    );
    assert_eq!(world.session.stats().foreign_replies, 1);

    world.sleep(seconds(60));
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 4));
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 4));
    world.peer.rule("$JS.API.STREAM.INFO.KV_m", mirror());
    let (result, asked) = read(&mut world, &bucket, any);
    assert_eq!((value(result), asked.len()), ("shown".into(), 3));
    assert_eq!(world.peer.rules_left(), 0);
}

/// What a stream of another bucket shows is not told, whether it is newer or older, of this key or another one;
/// and from then on only the leader is asked.
#[test]
fn a_stranger_is_never_believed() {
    let options = [
        GetOptions::default(),
        GetOptions::default().any_replica(),
        GetOptions::default().revision(Revision::new(1)),
    ];
    for options in options {
        for shown in [1, 9] {
            let (mut world, bucket) = scene();
            world
                .peer
                .rule("$JS.API.DIRECT.GET", shown_by("KV_m", shown));
            world.peer.rule("$JS.API.STREAM.INFO.KV_m", stranger());
            let (result, asked) = read(&mut world, &bucket, options);
            assert_eq!(
                (value(result), asked),
                ("own".into(), vec![DIRECT.into(), WHO.into(), LEADER.into()])
            );
            let (result, asked) = read(&mut world, &bucket, options);
            assert_eq!(
                (value(result), asked),
                ("own".into(), vec![LEADER.to_owned()])
            );
            assert_eq!(world.session.stats().foreign_replies, 1);
            assert_eq!(world.peer.rules_left(), 0);
        }
    }
}

/// A read that is under way when a stranger is noticed by another one: neither what another stream answers then
/// is believed, nor that there is nothing.
#[test]
fn what_another_read_noticed_counts() {
    let nothing = Rule::Headed("NATS/1.0 404 Message Not Found\r\n\r\n".into(), Vec::new());
    for answer in [shown_by("KV_n", 9), nothing] {
        noticed_by_another(answer);
    }
}

fn noticed_by_another(answer: Rule) {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$JS.API.DIRECT.GET", Rule::Silence);
    let early = world.get(&bucket, "k", GetOptions::default());
    world.settle();
    let put = world.put(&bucket, "k", "own");
    world.done(put).unwrap();
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 1));
    world.peer.rule("$JS.API.STREAM.INFO.KV_m", stranger());
    let (result, _) = read(&mut world, &bucket, GetOptions::default());
    assert_eq!(value(result), "own");
    let before = world.peer.seen.len();
    let link = world.link();
    world.peer.rule("$JS.API.DIRECT.GET", answer);
    world.cut(link, LinkErrorKind::Read);
    let result = world.wait(early);
    assert_eq!(value(result), "own");
    assert_eq!(
        asked(&world, before),
        [DIRECT, LEADER],
        "KV_n is not asked about"
    );
}

/// Whatever keeps it from being found out who answered, the leader tells the truth.
#[test]
fn who_cannot_be_looked_at_is_not_believed() {
    let denied = "Permissions Violation for Publish to \"$JS.API.STREAM.INFO.KV_m\"";
    let rows = [
        (Rule::Err(denied.into()), false),
        (Rule::Reply(not_found().to_string()), true),
        (
            Rule::Reply(failure(503, 10_008, "unavailable").to_string()),
            true,
        ),
        (Rule::Reply(refusal(19_999, "something new")), true),
        (Rule::Reply("{\"config\":".into()), true),
        (Rule::Nobody, true),
    ];
    for (rule, asks_again) in rows {
        let (mut world, bucket) = scene();
        world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 9));
        world.peer.rule("$JS.API.STREAM.INFO.KV_m", rule.clone());
        let (result, asked) = read(&mut world, &bucket, GetOptions::default());
        assert_eq!(
            (value(result), asked),
            ("own".into(), vec![DIRECT.into(), WHO.into(), LEADER.into()]),
            "{rule:?}"
        );
        let (result, asked) = read(&mut world, &bucket, GetOptions::default());
        let whom = if asks_again { DIRECT } else { LEADER };
        assert_eq!(
            (value(result), asked),
            ("own".into(), vec![whom.to_owned()]),
            "{rule:?}"
        );
    }
}

/// The answer about another stream is not taken for the one that was asked about, and a link that is lost before
/// it comes is no answer.
#[test]
fn the_question_who_answers_survives() {
    let (mut world, bucket) = scene();
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 9));
    world.peer.rule("$JS.API.STREAM.INFO.KV_m", Rule::Silence);
    let get = world.get(&bucket, "k", GetOptions::default());
    world.settle();
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.peer.rule(
        "$JS.API.STREAM.INFO.KV_m",
        info("KV_x", &json!({"name": "KV_b"})),
    );
    assert_eq!(value(world.wait(get)), "own");
    let asked = world
        .peer
        .seen
        .iter()
        .filter(|one| one.subject == "$JS.API.STREAM.INFO.KV_m");
    assert_eq!(asked.count(), 3, "lost, answered wrongly, and not there");
}

/// Where neither may be asked, the permission that is missing is named; nothing false is told.
#[test]
fn without_the_leader_a_stranger_ends_the_read() {
    let (mut world, bucket) = scene();
    let leader = "$JS.API.STREAM.MSG.GET.KV_b";
    world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 9));
    world.peer.rule("$JS.API.STREAM.INFO.KV_m", stranger());
    let denied = format!("Permissions Violation for Publish to \"{leader}\"");
    world.peer.rule(leader, Rule::Err(denied));
    let (result, _) = read(&mut world, &bucket, GetOptions::default());
    let subject = leader.to_owned();
    assert_eq!(result, Err(ReadError::Denied { subject }));
}

/// Who may not ask the leader what is at a key that a `create` was refused for asks any replica. A stranger's
/// value does not make the key taken; a mirror's does.
#[test]
fn no_stranger_decides_a_conflict() {
    let run = |who: Rule, then: Rule| {
        let (mut world, bucket) = World::with_bucket(config());
        let denied = "Permissions Violation for Publish to \"$JS.API.STREAM.MSG.GET.KV_b\"";
        let lost = Rule::Reply(refusal(10_071, "wrong last sequence: 7"));
        world.peer.rule("$KV.b.k", lost);
        world
            .peer
            .rule("$JS.API.STREAM.MSG.GET", Rule::Err(denied.into()));
        world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 7));
        world.peer.rule("$JS.API.STREAM.INFO.KV_m", who);
        world.peer.rule("$JS.API.DIRECT.GET", then);
        let create = world.create(&bucket, "k", "mine");
        let result = world.wait(create);
        assert_eq!(world.peer.rules_left(), 0);
        (result, world.session.stats().foreign_replies)
    };
    let exists = |revision| {
        Err(WriteError::Exists {
            revision: Revision::new(revision),
        })
    };
    assert_eq!(run(mirror(), shown_by("KV_m", 8)), (exists(8), 1));
    assert_eq!(run(stranger(), shown_by("KV_b", 7)), (exists(7), 1));
    // The bucket's own word is that the key is free.
    let free = Rule::Headed("NATS/1.0 404 Message Not Found\r\n\r\n".into(), Vec::new());
    assert_eq!(run(stranger(), free), (Ok(Revision::new(1)), 1));
}

/// If the bucket never answers itself, the create ends in time, and had no effect.
#[test]
fn a_conflict_that_only_strangers_know_of_stays_undecided() {
    let (mut world, bucket) = World::with_bucket(config());
    let denied = "Permissions Violation for Publish to \"$JS.API.STREAM.MSG.GET.KV_b\"";
    let lost = Rule::Reply(refusal(10_071, "wrong last sequence: 7"));
    world.peer.rule("$KV.b.k", lost);
    world
        .peer
        .rule("$JS.API.STREAM.MSG.GET", Rule::Err(denied.into()));
    world.peer.rule("$JS.API.STREAM.INFO.KV_m", stranger());
    for _ in 0..20 {
        world.peer.rule("$JS.API.DIRECT.GET", shown_by("KV_m", 7));
    }
    let create = world.create(&bucket, "k", "mine");
    let result = world.wait(create);
    assert_eq!(result, Err(WriteError::NotApplied(Cause::Contended)));
    assert!(world.peer.log.is_empty());
}
