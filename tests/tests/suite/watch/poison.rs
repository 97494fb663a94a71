//! Messages that no client should write, in what is watched and listed: each damages itself only.

use kv_proto::driver::Bucket;
use kv_proto::{Damage, EntryDefect, HeaderDefect, Key, Operation, Revision, Update};
use kv_tests::Admin;

use super::{Reader, read, told};
use crate::site::{Adapter, Site, at_once, key, subject, tests};

tests! {
    on_both_ends {
        a_lone_cr_in_a_header_damages_one_update_only
        no_header_of_another_client_ends_a_watch
        forged_headers_do_not_deceive
        a_message_without_a_place_in_the_bucket_has_no_key
        listings_with_damaged_revisions
    }
}

/// Publishes to a key with header lines that no client should write.
fn poison(admin: &mut Admin, bucket: &Bucket, key: &str, lines: &str) -> Revision {
    let block = format!("NATS/1.0\r\n{lines}\r\n\r\n");
    let ack = admin.publish(&subject(bucket, key), Some(&block), b"value");
    let revision = ack["seq"].as_u64().unwrap_or_else(|| panic!("{ack}"));
    Revision::new(revision)
}

const LONE_CR: &str = "X: a\rb";

async fn damage(reader: &mut Reader) -> Damage {
    match reader.update().await {
        Update::Damaged(damage) => damage,
        other => panic!("instead of damage: {other:?}"),
    }
}

/// A header value with a lone CR, before `Synced` and after it, with values or without: an update that
/// says where it is and what is wrong; those around it are told as if it were not there, and the one that
/// mends it too.
async fn a_lone_cr_in_a_header_damages_one_update_only<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut admin = site.admin();
    bucket.put("a", "1").await.unwrap();
    let revision = poison(&mut admin, &bucket, "bad", LONE_CR);
    bucket.put("b", "1").await.unwrap();
    let requests = [
        bucket.watch_all(),
        bucket.watch_all().include_history(),
        bucket.watch_all().ignore_deletes(),
        bucket.watch_all().meta_only(),
        bucket.watch("a").filter("b").filter("bad"),
    ];
    let mut readers = Vec::new();
    for request in requests {
        let mut reader = read(request, &bucket).await;
        assert_eq!(reader.entry().await.key, "a");
        let damage = damage(&mut reader).await;
        assert_eq!(damage.revision, revision);
        assert_eq!(damage.key, Some(key("bad")));
        assert!(damage.created >= bucket.created());
        assert!(
            matches!(damage.defect, EntryDefect::Header(_)),
            "{damage:?}"
        );
        assert_eq!(reader.entry().await.key, "b");
        assert_eq!(reader.update().await, Update::Synced);
        readers.push(reader);
    }
    let mut unharmed = read(bucket.watch("a").filter("b"), &bucket).await;
    assert_eq!(told(&unharmed.initial().await), ["1 a=1", "3 b=1"]);

    let again = poison(&mut admin, &bucket, "bad", LONE_CR);
    let mended = bucket.update("bad", "2", again).await.unwrap();
    for mut reader in readers {
        assert_eq!(damage(&mut reader).await.revision, again);
        let position = reader.watch.position().unwrap();
        assert!(position.revision() <= again);
        assert_eq!(reader.entry().await.revision, mended);
    }
    let stats = bucket.client().stats();
    assert_eq!((stats.connects, stats.protocol_errors), (1, 0));
}

/// Whatever stands in a header block, the watch tells an entry or damage of that revision, and goes on.
async fn no_header_of_another_client_ends_a_watch<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut admin = site.admin();
    let many = "A: b\r\n".repeat(3_000) + "A: b";
    let long = format!("Long: {}", "x".repeat(60_000));
    let rows = [
        "X: a\rb",
        "X: a\nb",
        "X: a\0b",
        "X:\r",
        "\r",
        "X",
        "X\r\nY",
        ": v",
        ":",
        " X: v",
        "X : v",
        "X:v",
        "X: \u{fc}\u{2028}",
        "X: v\r\n folded",
        "X: v\r\n\r\nY: w",
        "K\u{7f}: v",
        "NATS/1.0 100 Idle Heartbeat",
        "NATS/1.0 100 FlowControl Request",
        "NATS/1.0 409 Consumer Deleted",
        "Status: 100",
        "Nats-Last-Consumer: 1000",
        "Nats-Consumer-Stalled: $JS.FC.x",
        "Nats-Sequence: x",
        "Nats-Msg-Size: x",
        "Nats-Msg-Size: 18446744073709551616",
        "Nats-Marker-Reason: Other",
        "KV-Operation",
        "KV-Operation: DEL\rX",
        &many,
        &long,
    ];
    let mut readers = [
        read(bucket.watch_all(), &bucket).await,
        read(bucket.watch_all().meta_only(), &bucket).await,
    ];
    for reader in &mut readers {
        assert_eq!(reader.update().await, Update::Synced);
    }
    for (row, lines) in rows.into_iter().enumerate() {
        let key = Key::new(&format!("k{row}")).unwrap();
        let shown = &lines[..lines.len().min(40)];
        let revision = poison(&mut admin, &bucket, &key, lines);
        for reader in &mut readers {
            match at_once(reader.update()).await {
                Update::Entry(entry) => {
                    assert_eq!((entry.revision, &entry.key), (revision, &key), "{shown:?}");
                }
                Update::Damaged(damage) => {
                    assert_eq!(damage.revision, revision, "{shown:?}");
                    assert_eq!(damage.key.as_ref(), Some(&key), "{shown:?}");
                    let many = matches!(
                        damage.defect,
                        EntryDefect::Header(HeaderDefect::TooManyLines { .. })
                    );
                    assert_eq!(many, shown.starts_with("A: b"), "{damage:?}");
                }
                other => panic!("{shown:?}: {other:?}"),
            }
        }
    }
    let last = bucket.put("end", "1").await.unwrap();
    for mut reader in readers {
        assert_eq!(reader.until(last).await.len(), 1);
    }
    let stats = bucket.client().stats();
    assert_eq!((stats.connects, stats.protocol_errors), (1, 0));
}

/// Headers that pretend to be the server's: revision, key and time are the true ones; a forged length
/// does not hide the true one.
async fn forged_headers_do_not_deceive<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut admin = site.admin();
    let other = subject(&bucket, "other");
    let lines = format!(
        "Nats-Subject: {other}\r\nNats-Sequence: 99\r\nNats-Time-Stamp: 2001-01-01T00:00:00Z\r\n\
         Nats-Msg-Size: 1234567"
    );
    let revision = poison(&mut admin, &bucket, "a", &lines);
    for request in [bucket.watch_all(), bucket.watch_all().meta_only()] {
        let mut reader = read(request, &bucket).await;
        let entry = reader.entry().await;
        assert_eq!((entry.revision, &*entry.key), (revision, "a"));
        assert_eq!((entry.length, entry.operation), (5, Operation::Put));
        assert!(entry.created >= bucket.created());
        assert_eq!(reader.update().await, Update::Synced);
    }
}

/// A message on a subject that no key can have is damage without a key, in its place.
async fn a_message_without_a_place_in_the_bucket_has_no_key<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut admin = site.admin();
    let mut reader = read(bucket.watch_all(), &bucket).await;
    assert_eq!(reader.update().await, Update::Synced);
    for foreign in ["a:b", "$x", "\u{fc}ber", "_kv.x"] {
        let ack = admin.publish(&subject(&bucket, foreign), None, b"v");
        let damage = damage(&mut reader).await;
        assert_eq!(damage.revision.get(), ack["seq"].as_u64().unwrap());
        assert_eq!(damage.key, None, "{foreign}");
    }
    let last = bucket.put("a", "1").await.unwrap();
    assert_eq!(told(&reader.until(last).await), ["5 a=1"]);
    assert_eq!(bucket.keys().collect().await.unwrap(), ["a"]);
}

/// A key whose last revision is damaged is a key; a history has the revisions that can be read, and
/// counts the others.
async fn listings_with_damaged_revisions<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let mut admin = site.admin();
    bucket.put("a", "1").await.unwrap();
    let revision = poison(&mut admin, &bucket, "a", LONE_CR);
    bucket.put("b", "1").await.unwrap();
    assert_eq!(bucket.keys().collect().await.unwrap(), ["a", "b"]);
    bucket.put("a", "2").await.unwrap();

    let readable = ["1 a=1", "4 a=2"];
    let entries = bucket.history("a").collect().await.unwrap();
    assert_eq!(told(&entries), readable);
    let mut history = bucket.history("a").await.unwrap();
    assert_eq!(history.damaged(), []);
    let mut entries = Vec::new();
    while let Some(entry) = history.next().await {
        entries.push(entry.unwrap());
    }
    assert_eq!(told(&entries), readable);
    let [damage] = history.damaged() else {
        panic!("{:?}", history.damaged());
    };
    assert_eq!(damage.revision, revision);
    assert_eq!(damage.key, Some(key("a")));
    bucket.delete("a").await.unwrap();
    assert_eq!(bucket.keys().collect().await.unwrap(), ["b"]);
}
