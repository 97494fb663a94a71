//! Messages that other clients put into a bucket with headers that break the rules: through a real
//! server, which relays them unchanged.

use kv_proto::driver::Bucket;
use kv_proto::{EntryDefect, HeaderDefect, Operation, ReadError, Revision, Update, WriteError};
use kv_tests::Admin;

use crate::site::{Adapter, Site, all, at_once, begin, subject, tests};

tests! {
    on_both_ends {
        a_lone_cr_in_a_header_damages_one_entry_only
        no_header_of_another_client_harms_the_connection
        forged_headers_do_not_deceive
        a_message_without_a_place_in_the_bucket_is_no_entry
        what_is_no_text_damages_one_entry_only
    }
}

/// Publishes to a key with a header block that no client should write; returns its revision.
fn poison(admin: &mut Admin, bucket: &Bucket, key: &str, lines: &str, value: &[u8]) -> Revision {
    let block = format!("NATS/1.0\r\n{lines}\r\n\r\n");
    let ack = admin.publish(&subject(bucket, key), Some(&block), value);
    let revision = ack["seq"].as_u64().unwrap_or_else(|| panic!("{ack}"));
    Revision::new(revision)
}

/// A header value with a lone CR, which panics async-nats 0.51: reading that key is an error that names
/// the revision, by every kind of read, at once; all other keys, before and after, are read and written
/// on the same connection; and the key can be mended.
async fn a_lone_cr_in_a_header_damages_one_entry_only<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(3)).await;
    let mut admin = site.admin();
    bucket.put("good", "1").await.unwrap();
    let revision = poison(&mut admin, &bucket, "bad", "X: a\rb", b"v");

    let reads: Vec<_> = (0..20)
        .flat_map(|_| [begin(bucket.get("bad")), begin(bucket.get("good"))])
        .collect();
    for pair in all(reads).await.chunks(2) {
        let Err(ReadError::Malformed {
            revision: told,
            defect,
        }) = &pair[0]
        else {
            panic!("{:?}", pair[0]);
        };
        assert_eq!(*told, Some(revision));
        assert!(matches!(defect, EntryDefect::Header(_)), "{defect:?}");
        assert_eq!(pair[1].as_ref().unwrap().as_ref().unwrap(), "1");
    }
    for read in [
        bucket.entry("bad"),
        bucket.entry("bad").leader(),
        bucket.entry("bad").revision(revision),
        bucket.entry("bad").revision(revision).leader(),
    ] {
        let error = at_once(read).await.unwrap_err();
        let told = matches!(
            &error,
            ReadError::Malformed { revision: Some(told), .. } if *told == revision
        );
        assert!(told, "{error:?}");
        assert!(!error.is_retryable());
    }

    // What cannot be read is there all the same.
    let exists = Err(WriteError::Exists { revision });
    assert_eq!(at_once(bucket.create("bad", "2")).await, exists);
    let mended = bucket.update("bad", "2", revision).await.unwrap();
    assert_eq!(bucket.get("bad").await.unwrap().unwrap(), "2");
    let old = bucket.entry("bad").revision(revision).await;
    assert!(matches!(old, Err(ReadError::Malformed { .. })), "{old:?}");
    assert!(mended > revision);
    bucket.delete("bad").await.unwrap();
    bucket.create("bad", "3").await.unwrap();

    let stats = bucket.client().stats();
    assert_eq!((stats.connects, stats.protocol_errors), (1, 0));
}

/// Whatever stands in a header block, a read ends at once: with the entry, or with an error that names
/// its revision. The connection is not touched by any of them.
async fn no_header_of_another_client_harms_the_connection<A: Adapter>(site: Site<A>) {
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
        "X: \t v \t",
        "X: v\r\n folded",
        "X: v\r\n\r\nY: w",
        "K\u{7f}: v",
        "NATS/1.0 503 No Responders",
        "Status: 404",
        "Nats-Sequence: x",
        "KV-Operation",
        "KV-Operation: DEL\rX",
        &many,
        &long,
    ];
    for (row, lines) in rows.into_iter().enumerate() {
        let key = format!("k{row}");
        let shown = &lines[..lines.len().min(40)];
        let revision = poison(&mut admin, &bucket, &key, lines, b"value");
        for read in [bucket.entry(&key), bucket.entry(&key).leader()] {
            match at_once(read).await {
                Ok(Some(entry)) => {
                    assert_eq!(entry.revision, revision, "{shown:?}");
                    assert!(
                        entry.operation.is_tombstone() || entry.value == "value",
                        "{shown:?}"
                    );
                }
                Err(ReadError::Malformed {
                    revision: Some(told),
                    ..
                }) => {
                    assert_eq!(told, revision, "{shown:?}");
                }
                other => panic!("{shown:?}: {other:?}"),
            }
        }
        bucket.put(&key, "mended").await.unwrap();
        assert_eq!(
            bucket.get(&key).await.unwrap().unwrap(),
            "mended",
            "{shown:?}"
        );
    }
    // More lines than are looked at is damage, not a matter of taste.
    poison(&mut admin, &bucket, "many", &many, b"");
    let read = bucket.get("many").await;
    assert!(
        matches!(
            read,
            Err(ReadError::Malformed {
                defect: EntryDefect::Header(HeaderDefect::TooManyLines { .. }),
                ..
            })
        ),
        "{read:?}"
    );
    let stats = bucket.client().stats();
    assert_eq!((stats.connects, stats.protocol_errors), (1, 0));
}

/// Headers that pretend to be the server's are overruled by the server's own: another subject, another
/// revision, another time; the operation is the writer's to choose.
async fn forged_headers_do_not_deceive<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut admin = site.admin();
    bucket.put("other", "1").await.unwrap();
    let lines = format!(
        "Nats-Stream: KV_x\r\nNats-Subject: {}\r\nNats-Sequence: 1\r\n\
         Nats-Time-Stamp: 2001-01-01T00:00:00Z",
        subject(&bucket, "other")
    );
    let revision = poison(&mut admin, &bucket, "a", &lines, b"v");
    let entry = at_once(bucket.entry("a")).await.unwrap().unwrap();
    assert_eq!((entry.revision, &*entry.value), (revision, &b"v"[..]));
    assert!(entry.created >= bucket.created());

    for (lines, operation) in [
        ("KV-Operation: DEL", Operation::Delete),
        ("KV-Operation: PURGE", Operation::Purge),
        ("kv-operation: DEL", Operation::Put),
        ("KV-Operation: OTHER", Operation::Put),
    ] {
        poison(&mut admin, &bucket, "a", lines, b"not empty");
        let entry = bucket.entry("a").await.unwrap().unwrap();
        assert_eq!(entry.operation, operation, "{lines}");
        assert_eq!(entry.value.is_empty(), operation.is_tombstone(), "{lines}");
        assert_eq!(
            bucket.get("a").await.unwrap().is_none(),
            operation.is_tombstone()
        );
    }
}

/// A message on a subject that no key can have is stored by the server; it is nobody's entry, and
/// reading its revision under a key finds nothing.
async fn a_message_without_a_place_in_the_bucket_is_no_entry<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let mut admin = site.admin();
    for foreign in ["a:b", "$x", "\u{fc}ber", "_kv.x"] {
        let ack = admin.publish(&subject(&bucket, foreign), None, b"v");
        let revision = Revision::new(ack["seq"].as_u64().unwrap());
        let entry = bucket.entry("a").revision(revision).await;
        assert_eq!(entry, Ok(None), "{foreign}");
        let entry = bucket.entry("a").revision(revision).leader().await;
        assert_eq!(entry, Ok(None), "{foreign}");
    }
    bucket.put("a", "1").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
    assert_eq!(bucket.client().stats().connects, 1);
}

/// Bytes that are no UTF-8 in a header's name or value, in the subject, and first lines that are none: read, watched
/// and listed, each harms itself alone, and the watch goes on behind it.
async fn what_is_no_text_damages_one_entry_only<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(3)).await;
    let mut admin = site.admin();
    let mut watch = bucket.watch_all().await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap(), Update::Synced);
    let blocks: [&[u8]; 11] = [
        b"NATS/1.0\r\nX: a\xff\xfeb\r\n\r\n",
        b"NATS/1.0\r\n\xff\xfe: v\r\n\r\n",
        b"NATS/1.0\r\nKV-Operation: \xff\r\n\r\n",
        b"NATS/1.0 \xff\r\n\r\n",
        b"NATS/1.0 99999999999999999999\r\n\r\n",
        b"NATS/1.0 404 No Messages\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0\t503\r\n\r\n",
        b"NATS/9.9\r\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
    ];
    let mut last = 0;
    for (row, block) in blocks.iter().enumerate() {
        let (name, shown) = (format!("k{row}"), String::from_utf8_lossy(block));
        let subject = subject(&bucket, &name);
        let value: &[u8] = if row % 2 == 0 { b"" } else { b"value" };
        // What the server itself refuses is nobody's poison.
        let Ok(ack) = admin.publish_bytes(subject.as_bytes(), block, value) else {
            admin = site.admin();
            continue;
        };
        let Some(revision) = ack["seq"].as_u64().map(Revision::new) else {
            continue;
        };
        last = row;
        for read in [bucket.entry(&name), bucket.entry(&name).leader()] {
            match at_once(read).await {
                Ok(Some(entry)) => assert_eq!(entry.revision, revision, "{shown}"),
                Err(ReadError::Malformed { revision: told, .. }) => {
                    assert_eq!(told, Some(revision), "{shown}");
                }
                other => panic!("{shown}: {other:?}"),
            }
        }
        match at_once(watch.next()).await.unwrap().unwrap() {
            Update::Entry(entry) => assert_eq!(entry.revision, revision, "{shown}"),
            Update::Damaged(damage) => assert_eq!(damage.revision, revision, "{shown}"),
            other => panic!("{shown}: {other:?}"),
        }
        assert!(bucket.history(&name).collect().await.unwrap().len() <= 1);
    }
    assert!(last >= 3, "the server refuses nearly everything");
    let keys = bucket.keys().collect().await.unwrap();
    assert!(
        keys.iter().all(|key| key.as_str().starts_with('k')),
        "{keys:?}"
    );

    // A subject that is no text has no key.
    let foreign = [subject(&bucket, "").as_bytes(), b"\xff\xfe"].concat();
    match admin.publish_bytes(&foreign, b"NATS/1.0\r\n\r\n", b"v") {
        Ok(ack) if ack["seq"].is_u64() => {
            let revision = ack["seq"].as_u64().map(Revision::new).unwrap();
            match at_once(watch.next()).await.unwrap().unwrap() {
                Update::Damaged(damage) => {
                    assert_eq!((damage.revision, damage.key), (revision, None));
                }
                other => panic!("{other:?}"),
            }
            match bucket.entry("a").revision(revision).await {
                Ok(None) => {}
                Err(ReadError::Malformed { revision: told, .. }) => {
                    assert_eq!(told, Some(revision));
                }
                other => panic!("{other:?}"),
            }
        }
        Ok(_) | Err(_) => {}
    }
    assert_eq!(bucket.keys().collect().await.unwrap(), keys);
    let mended = bucket.put("good", "1").await.unwrap();
    let Update::Entry(entry) = at_once(watch.next()).await.unwrap().unwrap() else {
        panic!("no entry");
    };
    assert_eq!((entry.revision, &*entry.key), (mended, "good"));
    assert_eq!(bucket.get("good").await.unwrap().unwrap(), "1");
    let stats = bucket.client().stats();
    assert_eq!((stats.connects, stats.protocol_errors), (1, 0));
}
