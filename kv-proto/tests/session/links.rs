//! Links that come and go: the handshake and its errors, reconnection, lame
//! duck, limits that change; and replies that come late, twice, or to the
//! wrong operation.

use std::collections::BTreeMap;

use std::time::Duration;

use crate::support::embedder::{CALL, PUT, World, config, key, limits, name, outcome, seconds};
use crate::support::peer::{Ids, Rule};
use bytes::Bytes;
use kv_proto::{
    BucketConfig, Cause, Config, ConnectError, ConnectionState, Disconnect, Doubt, Entry,
    GetOptions, LinkErrorKind, Outcome, ReadError, Refused, Revision, WriteError,
};

fn applied(revision: u64) -> Result<Revision, WriteError> {
    Ok(Revision::new(revision))
}

/// `-ERR` in the handshake ends the link; with no other server it ends the
/// first connection attempt for good, and what waited was never sent.
#[test]
fn an_error_in_the_handshake_ends_the_link() {
    for (text, authentication) in [
        ("Authorization Violation", true),
        ("maximum connections exceeded", false),
        ("something new", false),
    ] {
        let (_, bucket) = World::with_bucket(config());
        let mut world = World::new(config(), 1);
        let op = world.put(&bucket, "k", "v");
        world.dial();
        let link = world.link();
        world.receive(link, usize::MAX);
        assert!(world.hand_over(link, usize::MAX) > 0, "it logs in");
        world.inject(link, format!("-ERR '{text}'\r\n").as_bytes());
        let reason = if authentication {
            Disconnect::Authentication(format!("'{text}'"))
        } else {
            Disconnect::Server(format!("'{text}'"))
        };
        let plain = |reason: &Disconnect| reason.to_string().replace('\'', "");
        let Some(ConnectError::Failed(found)) = world.session.failure() else {
            panic!("{:?}", world.session.failure());
        };
        assert_eq!(plain(found), plain(&reason));
        assert_eq!(world.done(op), Err(Refused::Closed.into()));
        assert_eq!(world.closed, [link]);
        assert_eq!(world.session.poll_timeout(), None);
    }
}

/// The same with another server: that one is tried, and what waited is sent
/// there.
#[test]
fn an_error_in_the_handshake_leads_to_the_next_server() {
    let (_, bucket) = World::with_bucket(config());
    let mut world = World::new(
        Config::new("one:1,two:2").unwrap().shuffle_servers(false),
        1,
    );
    world.peer.streams = World::with_bucket(config()).0.peer.streams;
    let op = world.put(&bucket, "k", "v");
    world.dial();
    let first = world.link();
    world.inject(first, b"-ERR 'Authorization Violation'\r\n");
    assert_eq!(world.wait(op), applied(1));
    assert_eq!(world.dialed.len(), 2);
    assert_eq!(world.session.server().map(ToString::to_string), {
        Some("two:2".to_owned())
    });
}

/// An operation that was accepted while there is no connection succeeds after
/// it is back, within its deadline; one whose deadline comes first was never
/// sent.
#[test]
fn an_operation_waits_over_a_reconnection() {
    let few = limits(|limits| limits.max_ops = 64);
    let (mut world, bucket) = World::with_bucket(config().limits(few));
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    assert_eq!(world.session.state(), ConnectionState::Reconnecting);
    let op = world.put(&bucket, "k", "v");
    assert_eq!(world.wait(op), applied(1));
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    world.down = true;
    let op = world.put_within(&bucket, "k", seconds(30));
    let deadline = world.now + seconds(30);
    let never = WriteError::NotApplied(Cause::TimedOut);
    assert_eq!(world.wait(op), Err(never));
    assert_eq!(world.now, deadline);
    world.down = false;
    world.assert_usable(&bucket, 64);
}

/// G-C4: the server lowers `max_payload`. What waits for a link, and what
/// waits for the socket, is not applied; what was begun is finished.
#[test]
fn a_lowered_max_payload_refuses_what_is_queued() {
    let value = "v".repeat(1_000);
    let lower = |world: &mut World| {
        world.peer.info["max_payload"] = 100.into();
        format!("INFO {}\r\n", world.peer.info)
    };
    let too_large = WriteError::NotApplied(Cause::Refused(Refused::TooLarge {
        size: 1_000,
        limit: 100,
    }));
    // Queued without a link; the next server takes less.
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    world.cut(link, LinkErrorKind::Read);
    let op = world.put(&bucket, "k", &value);
    lower(&mut world);
    assert_eq!(world.wait(op), Err(too_large.clone()));
    // Asked for when the limit is known.
    let now = world.now;
    let refused = world
        .session
        .put(now, &bucket, key("k"), value.clone().into(), PUT());
    assert_eq!(refused.err(), Some(too_large.clone()));
    // Encoded, and waiting for the socket.
    let (mut world, bucket) = World::with_bucket(config());
    let link = world.link();
    let op = world.put(&bucket, "k", &value);
    let small = world.put(&bucket, "small", "v");
    let info = lower(&mut world);
    world.inject(link, info.as_bytes());
    assert_eq!(world.done(op), Err(too_large));
    assert_eq!(world.done(small), applied(1), "the link is still good");
    assert_eq!(world.dialed.len(), 1);
}

/// G-C3: `ldm:true` with another server known. A second link is made while the
/// first one still serves; then new requests take the new one, what is in
/// flight ends on the old one, and that is closed.
#[test]
fn a_lame_duck_is_left_without_a_gap() {
    let (mut world, bucket) = World::with_bucket(config());
    let old = world.link();
    let mut info = world.peer.info.clone();
    info["ldm"] = true.into();
    info["connect_urls"] = serde_json::json!(["two:2"]);
    world.inject(old, format!("INFO {info}\r\n").as_bytes());
    assert_eq!(world.session.state(), ConnectionState::Connected);
    let meanwhile = world.put(&bucket, "k", "old");
    assert_eq!(world.done(meanwhile), applied(1), "the old one serves");
    world.peer.rule("$KV.b.k", Rule::Hold);
    let in_flight = world.put(&bucket, "k", "old");
    assert!(world.runs(in_flight));
    while world.dialed.len() < 2 {
        assert_eq!(world.session.state(), ConnectionState::Connected);
        let next = world.session.poll_timeout().expect("a dial is due");
        world.at(next);
        world.settle();
    }
    let new = world.link();
    assert_eq!(world.session.server().map(ToString::to_string), {
        Some("two:2".to_owned())
    });
    assert!(world.closed.is_empty(), "something is in flight on it");
    let op = world.put(&bucket, "k", "new");
    world.hand_over(old, usize::MAX);
    assert!(world.session.take(&op).is_none());
    assert_eq!(world.hand_over(new, 1), 1, "new requests take the new link");
    assert_eq!(world.done(op), applied(3));
    world.peer.release(0);
    assert_eq!(world.done(in_flight), applied(2));
    world.settle();
    assert_eq!(world.closed, [old]);
    assert_eq!(world.session.state(), ConnectionState::Connected);
}

/// Servers repeat themselves: whatever changes in the cluster, each INFO of a lame duck says it again. The
/// move comes when it was to come.
#[test]
fn being_told_again_does_not_put_the_move_off() {
    let moves_after = |again: bool| {
        let (mut world, _) = World::with_bucket(config());
        let old = world.link();
        let mut info = world.peer.info.clone();
        info["ldm"] = true.into();
        info["connect_urls"] = serde_json::json!(["two:2"]);
        let news = format!("INFO {info}\r\n");
        world.inject(old, news.as_bytes());
        let told = world.now;
        while world.dialed.len() < 2 {
            let later = world.now + Duration::from_millis(20);
            world.at(later);
            world.settle();
            if again && world.dialed.len() < 2 {
                world.inject(old, news.as_bytes());
            }
        }
        world.now.saturating_duration_since(told)
    };
    assert_eq!(moves_after(true), moves_after(false));
}

/// A link that is left is closed soon after the last operation on it ends,
/// also if that ended by its deadline or was cancelled.
#[test]
fn a_lame_duck_is_closed_when_nothing_is_in_flight() {
    for cancelled in [true, false] {
        let (mut world, bucket) = World::with_bucket(config().request_timeout(seconds(60)));
        let old = world.link();
        world.peer.rule("$KV.b.k", Rule::LoseReply);
        let op = world.put_within(&bucket, "k", seconds(20));
        let end = world.now + seconds(20);
        world.settle();
        let mut info = world.peer.info.clone();
        info["ldm"] = true.into();
        info["connect_urls"] = serde_json::json!(["two:2"]);
        world.inject(old, format!("INFO {info}\r\n").as_bytes());
        while world.dialed.len() < 2 {
            let next = world.session.poll_timeout().expect("a dial is due");
            world.at(next);
            world.settle();
        }
        assert!(world.closed.is_empty());
        if cancelled {
            world.session.cancel(op.id());
        } else {
            world.at(end);
            let unknown = Err(WriteError::Unknown(Doubt::TimedOut));
            assert_eq!(world.session.take(&op), Some(unknown));
        }
        world.settle();
        assert_eq!(world.closed, [old], "cancelled: {cancelled}");
    }
}

/// A late reply meets a retired token: it completes nothing, whatever runs on
/// the slot now.
#[test]
fn a_late_reply_completes_nothing() {
    let (mut world, bucket) = World::with_bucket(config());
    for k in ["timed", "cancelled"] {
        world.peer.rule(&format!("$KV.b.{k}"), Rule::Hold);
    }
    let timed = world.put_within(&bucket, "timed", seconds(1));
    let cancelled = world.put(&bucket, "cancelled", "v");
    world.settle();
    world.session.cancel(cancelled.id());
    world.sleep(seconds(1));
    let unknown = Err(WriteError::Unknown(Doubt::TimedOut));
    assert_eq!(world.session.take(&timed), Some(unknown.clone()));
    for _ in 0..2 {
        world.peer.rule("$KV.b.next", Rule::Hold);
    }
    let next = ["next", "next"].map(|k| world.put(&bucket, k, "v"));
    world.settle();
    world.peer.release(0);
    world.peer.release(0);
    for op in next {
        assert!(world.runs(op));
    }
    assert_eq!(world.session.stats().stray_messages, 2);
    // Replies in another order than requests.
    world.peer.release(1);
    assert!(world.runs(next[0]));
    assert_eq!(world.done(next[1]), applied(4));
    world.peer.release(0);
    assert_eq!(world.done(next[0]), applied(3));
}

/// An acknowledgement that names another stream is not ours, whatever it says.
#[test]
fn an_acknowledgement_of_another_stream_is_ignored() {
    let (mut world, bucket) = World::with_bucket(config());
    world.peer.rule("$KV.b.k", Rule::Hold);
    let op = world.put(&bucket, "k", "v");
    world.settle();
    let publish = world.peer.seen.last().expect("the put").clone();
    let conn = *world.peer.conns.keys().last().expect("a connection");
    for payload in [
        r#"{"stream":"KV_c","seq":9}"#,
        r#"{"stream":"kv_b","seq":9}"#,
        r#"{"stream":"KV_c","seq":9,"duplicate":true}"#,
    ] {
        let frame = world.peer.frame(conn, &publish, "", payload.as_bytes());
        world.peer.send(conn, &frame.expect("a listener"));
        assert!(world.runs(op), "{payload}");
    }
    world.peer.release(0);
    assert_eq!(world.done(op), applied(1));
}

/// The reply subject that a request used.
fn token(world: &mut World, bucket: &kv_proto::Binding, ask: Ask) -> String {
    ask(world, bucket);
    let seen = &world.peer.seen;
    seen.last().expect("a request").reply.clone()
}

/// Which reply subjects are used again, as the server sees it: those of writes
/// to one stream and those of direct gets, among themselves. Nothing else
/// shares a subject with anything, nor does what ended without its reply.
#[test]
fn reply_subjects_are_shared_by_what_names_itself() {
    let (mut world, bucket) = stocked();
    let asks: BTreeMap<&str, Ask> = BTreeMap::from(ASKED);
    let ask = |world: &mut World, what: &str| token(world, &bucket, asks[what]);
    let put = ask(&mut world, "put");
    assert_eq!(ask(&mut world, "put"), put);
    let get = ask(&mut world, "get");
    assert_eq!(ask(&mut world, "get"), get);
    let again = ask(&mut world, "put");
    let mut seen = vec![put, get, again];
    for what in [
        "leader get",
        "leader get",
        "names",
        "open",
        "open",
        "status",
        "put",
        "get",
    ] {
        seen.push(ask(&mut world, what));
    }
    world.peer.rule("$KV.b.x", Rule::Silence);
    seen.push(ask(&mut world, "put"));
    seen.push(ask(&mut world, "put"));
    let all = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), all, "{seen:?}");
}

/// Anything that can be asked, with the result that the server's state
/// demands.
type Ask = fn(&mut World, &kv_proto::Binding) -> String;

fn show(entry: Result<Option<Entry>, ReadError>) -> String {
    let value = |entry: Entry| (entry.revision, Bytes::clone(&entry.value));
    format!("{:?}", entry.map(|entry| entry.map(value)))
}

const ASKED: [(&str, Ask); 9] = [
    ("put", |world, bucket| {
        let op = world.put(bucket, "x", "v");
        format!("{:?}", world.wait(op).map(|_| ()))
    }),
    ("create", |world, bucket| {
        let op = world.create(bucket, "x", "v");
        format!("{:?}", world.wait(op).map(|_| ()))
    }),
    ("get", |world, bucket| {
        let op = world.get(bucket, "b", GetOptions::default());
        show(world.wait(op))
    }),
    ("get by revision", |world, bucket| {
        let options = GetOptions::default().revision(Revision::new(2));
        let op = world.get(bucket, "b", options);
        show(world.wait(op))
    }),
    ("leader get", |world, bucket| {
        let op = world.get(bucket, "b", GetOptions::default().leader());
        show(world.wait(op))
    }),
    ("open", |world, _| {
        let op = world.session.open(world.now, &name("c"), CALL());
        format!("{:?}", world.wait(op.unwrap()))
    }),
    ("status", |world, _| {
        let op = world.session.status(world.now, &name("c"), CALL());
        let status = world.wait(op.unwrap());
        format!("{:?}", status.map(|status| status.bucket().clone()))
    }),
    ("names", |world, _| {
        let op = world.session.bucket_names(world.now, 0, CALL());
        format!("{:?}", world.wait(op.unwrap()))
    }),
    ("delete bucket", |world, _| {
        let op = world.session.delete_bucket(world.now, &name("c"), CALL());
        format!("{:?}", world.wait(op.unwrap()))
    }),
];

/// A bucket `b` with two keys and an empty bucket `c`.
fn stocked() -> (World, kv_proto::Binding) {
    let (mut world, bucket) = World::with_bucket(config());
    world.create_bucket(BucketConfig::new("c"));
    for (k, value) in [("a", "va"), ("b", "vb")] {
        let op = world.put(&bucket, k, value);
        world.done(op).unwrap();
    }
    (world, bucket)
}

/// Tokens are used again, so a reply that comes twice reaches the next
/// operation on its slot, whose own reply follows. It must end by its own:
/// for every first reply that names what it is about, and every second
/// operation.
#[test]
fn a_doubled_reply_does_not_complete_the_next_operation() {
    let doubled: [(&str, &str, Ask); 6] = [
        ("put", "$KV.b.", |world, bucket| {
            let op = world.put(bucket, "y", "v");
            format!("{:?}", world.wait(op))
        }),
        ("get", "$JS.API.DIRECT.GET.KV_b.", |world, bucket| {
            let op = world.get(bucket, "a", GetOptions::default());
            show(world.wait(op))
        }),
        (
            "get by revision",
            "$JS.API.DIRECT.GET.KV_b",
            |world, bucket| {
                let options = GetOptions::default().revision(Revision::new(1));
                let op = world.get(bucket, "a", options);
                show(world.wait(op))
            },
        ),
        ("leader get", "$JS.API.STREAM.MSG.GET.", |world, bucket| {
            let op = world.get(bucket, "a", GetOptions::default().leader());
            show(world.wait(op))
        }),
        ("status", "$JS.API.STREAM.INFO.", |world, _| {
            let op = world.session.status(world.now, &name("b"), CALL());
            format!("{:?}", world.wait(op.unwrap()).map(|s| s.bucket().clone()))
        }),
        ("names", "$JS.API.STREAM.NAMES", |world, _| {
            let op = world.session.bucket_names(world.now, 2, CALL());
            format!("{:?}", world.wait(op.unwrap()))
        }),
    ];
    let mut wrong = Vec::new();
    for (first, subject, ask) in doubled {
        for (second, then) in ASKED {
            let (mut world, bucket) = stocked();
            ask(&mut world, &bucket);
            let expected = then(&mut world, &bucket);
            let (mut world, bucket) = stocked();
            world.peer.rule(subject, Rule::Copy);
            ask(&mut world, &bucket);
            // The copy arrives when the second one is under way already.
            world.peer.release(0);
            let found = then(&mut world, &bucket);
            if found != expected {
                wrong.push(format!("{first}, then {second}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same of what was sent again and acknowledged as a duplicate: whoever uses the token next is not told so, be it a
/// write that has no id, or one that has.
#[test]
fn a_doubled_word_of_a_duplicate_does_not_complete_the_next_write() {
    for named in [false, true] {
        let (mut world, bucket) = stocked();
        world.peer.ids = Ids::First;
        world.peer.rule("$KV.b.a", Rule::LoseReply);
        world.peer.rule("$KV.b.a", Rule::Copy);
        let first = world.update(&bucket, "a", "v", 1);
        world.settle();
        world.at(world.now + seconds(2));
        assert_eq!(world.wait(first), applied(3));
        world.peer.rule("$KV.b.n", Rule::Hold);
        let next = if named {
            world.create(&bucket, "n", "w")
        } else {
            world.put(&bucket, "n", "w")
        };
        world.settle();
        world.peer.release(0);
        world.settle();
        assert!(world.runs(next), "named: {named}");
        world.peer.release(0);
        assert_eq!(world.wait(next), applied(4), "named: {named}");
    }
}

/// A duplicated error cannot be told from its original, but it never makes a
/// write look applied, or sends it to the log twice.
#[test]
fn a_doubled_refusal_never_looks_like_success() {
    let (mut world, bucket) = stocked();
    world.peer.rule("$KV.b.a", Rule::Copy);
    let op = world.update(&bucket, "a", "v", 9);
    assert_eq!(outcome(&world.done(op)), Some(Outcome::NotApplied));
    world.peer.release(0);
    let log = world.peer.log.len();
    let op = world.put(&bucket, "n", "v");
    let result = world.wait(op);
    if result.is_ok() {
        assert_eq!(world.peer.log.len(), log + 1);
    }
}

/// Room for what is announced is made at once only if so much has come before; else it grows with what comes.
#[test]
fn room_grows_with_what_was_received() {
    let (mut world, _) = World::with_bucket(config());
    let link = world.link();
    let announced = format!("MSG stray 1 {}\r\n", 500_000);
    world.inject(link, announced.as_bytes());
    let hint = |world: &World| world.session.read_hint(link, announced.len());
    assert!(hint(&world) < 20_000, "{}", hint(&world));
    let mut rest = vec![b'x'; 500_000];
    rest.extend_from_slice(b"\r\n");
    world.inject(link, &rest);
    world.inject(link, announced.as_bytes());
    assert_eq!(hint(&world), rest.len());
    let larger = "MSG stray 1 900000\r\n";
    world.inject(link, &rest);
    world.inject(link, larger.as_bytes());
    let most = announced.len() + rest.len();
    assert_eq!(world.session.read_hint(link, larger.len()), most);
}
