//! Reads: the last revision, other ones, the leader's word, and every size and kind of value and key.

use kv_proto::{
    BucketConfig, InvalidKey, MAX_BUCKET_NAME_LEN, MAX_KEY_LEN, Operation, ReadError, Revision,
};
use kv_tests::{Direction, Proxy, unique};
use serde_json::json;

use crate::site::{Adapter, Site, all, begin, key, stream, tests};

tests! {
    on_both_ends {
        a_value_comes_back_with_what_is_known_of_it
        a_key_without_revisions_is_none
        any_revision_is_read_by_its_number
        a_revision_that_cannot_exist_is_none
        a_tombstone_is_an_entry_and_no_value
        a_leader_read_asks_the_leader
        a_bucket_without_direct_reads_is_read
        direct_reads_may_be_turned_off_under_an_open_bucket
        values_of_every_size_come_back
        values_are_any_bytes
        the_longest_key_of_the_longest_bucket_works
        every_legal_character_makes_a_key
        an_invalid_key_is_refused_before_anything_is_sent
        a_foreign_revision_shows_no_foreign_value
    }
}

/// An entry tells its bucket, key, value, revision, time and operation; `get` only the value.
async fn a_value_comes_back_with_what_is_known_of_it<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let revision = bucket.put("app.setting", "on").await.unwrap();
    assert_eq!(revision, Revision::new(1));
    assert_eq!(bucket.get("app.setting").await.unwrap().unwrap(), "on");

    let entry = bucket.entry("app.setting").await.unwrap().unwrap();
    assert_eq!(&entry.bucket, bucket.name());
    assert_eq!(entry.key, key("app.setting"));
    assert_eq!((entry.value, entry.revision), ("on".into(), revision));
    assert_eq!(entry.operation, Operation::Put);
    let status = bucket.status().await.unwrap();
    assert!(entry.created >= bucket.created());
    assert_eq!(Some(entry.created), status.last_write());
}

/// A key that was never written is `None`, also beside its neighbours and to the leader.
async fn a_key_without_revisions_is_none<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    assert_eq!(bucket.get("a").await, Ok(None));
    bucket.put("a.b", "").await.unwrap();
    for missing in ["a", "a.b.c", "b"] {
        assert_eq!(bucket.get(missing).await, Ok(None), "{missing}");
        assert_eq!(bucket.entry(missing).await, Ok(None), "{missing}");
        assert_eq!(bucket.get(missing).leader().await, Ok(None), "{missing}");
        assert_eq!(bucket.entry(missing).leader().await, Ok(None), "{missing}");
    }
}

/// A kept revision of the key is read by its number, of any replica and of the leader; one of another
/// key, and one that history dropped, is `None`.
async fn any_revision_is_read_by_its_number<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(2)).await;
    let dropped = bucket.put("a", "0").await.unwrap();
    let first = bucket.put("a", "1").await.unwrap();
    let second = bucket.put("a", "2").await.unwrap();
    let other = bucket.put("b", "x").await.unwrap();

    for (revision, value) in [(first, "1"), (second, "2")] {
        let entry = bucket.entry("a").revision(revision).await.unwrap().unwrap();
        assert_eq!(
            (&*entry.value, entry.revision),
            (value.as_bytes(), revision)
        );
        let same = bucket.entry("a").revision(revision).leader().await;
        assert_eq!(same.unwrap().unwrap(), entry);
    }
    for absent in [other, dropped, Revision::new(5), Revision::new(u64::MAX)] {
        let entry = bucket.entry("a").revision(absent).await;
        assert_eq!(entry, Ok(None), "{absent}");
        let entry = bucket.entry("a").revision(absent).leader().await;
        assert_eq!(entry, Ok(None), "{absent} of the leader");
    }
    // The tail of a stream is read before and after it is there.
    let next = bucket.put("a", "3").await.unwrap();
    assert_eq!(next, Revision::new(5));
    assert!(bucket.entry("a").revision(next).await.unwrap().is_some());
}

/// Revision 0 stands for "no revision" elsewhere, so reading it finds nothing and is no error.
async fn a_revision_that_cannot_exist_is_none<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    bucket.put("a", "1").await.unwrap();
    let zero = Revision::default();
    assert_eq!(bucket.entry("a").revision(zero).await, Ok(None));
    assert_eq!(bucket.entry("a").revision(zero).leader().await, Ok(None));
}

/// After a delete and after a purge, `entry` shows the tombstone and `get` nothing; what a delete left
/// of the history is still read by its revision, what a purge removed is not.
async fn a_tombstone_is_an_entry_and_no_value<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket_with(|config| config.history(5)).await;
    let first = bucket.put("a", "1").await.unwrap();

    let deleted = bucket.delete("a").await.unwrap();
    for entry in [
        bucket.entry("a").await,
        bucket.entry("a").leader().await,
        bucket.entry("a").revision(deleted).await,
    ] {
        let entry = entry.unwrap().unwrap();
        assert_eq!(
            (entry.revision, entry.operation),
            (deleted, Operation::Delete)
        );
        assert!(entry.value.is_empty());
    }
    assert_eq!(bucket.get("a").await, Ok(None));
    assert_eq!(bucket.get("a").leader().await, Ok(None));
    let old = bucket.entry("a").revision(first).await.unwrap().unwrap();
    assert_eq!((&*old.value, old.operation), (&b"1"[..], Operation::Put));

    let purged = bucket.purge("a").await.unwrap();
    let entry = bucket.entry("a").await.unwrap().unwrap();
    assert_eq!(
        (entry.revision, entry.operation),
        (purged, Operation::Purge)
    );
    assert_eq!(bucket.get("a").await, Ok(None));
    assert_eq!(bucket.entry("a").revision(first).await, Ok(None));
}

/// With `leader`, and only with it, the request is a STREAM.MSG.GET: read off the wire.
async fn a_leader_read_asks_the_leader<A: Adapter>(site: Site<A>) {
    let name = site.bucket().await.name().clone();
    let proxy = Proxy::start(site.server().addr());
    let client = site.connect(&proxy.url()).await;
    let bucket = client.bucket(name).await.unwrap();
    bucket.put("a", "1").await.unwrap();
    let asked = |call: &str| {
        let sent = proxy.transcript(Direction::ClientToServer);
        String::from_utf8(sent).unwrap().matches(call).count()
    };

    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
    assert_eq!((asked("DIRECT.GET"), asked("STREAM.MSG.GET")), (1, 0));
    assert_eq!(bucket.get("a").leader().await.unwrap().unwrap(), "1");
    bucket.entry("a").leader().await.unwrap().unwrap();
    assert_eq!((asked("DIRECT.GET"), asked("STREAM.MSG.GET")), (1, 2));
}

/// A bucket that another client made without `allow_direct` is read all the same, binary values too.
async fn a_bucket_without_direct_reads_is_read<A: Adapter>(site: Site<A>) {
    let name = unique("indirect");
    site.admin().create_stream(&json!({
        "name": format!("KV_{name}"), "subjects": [format!("$KV.{name}.>")],
        "max_msgs_per_subject": 3, "allow_rollup_hdrs": true, "allow_direct": false,
    }));
    let bucket = site.client().await.bucket(name).await.unwrap();
    assert!(!bucket.status().await.unwrap().allows_direct_reads());
    let value: Vec<u8> = (0..=255).collect();
    let revision = bucket.put("a", &value).await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().unwrap(), value);
    let entry = bucket.entry("a").revision(revision).await.unwrap().unwrap();
    assert_eq!(entry.value, value);
    assert_eq!(bucket.get("b").await, Ok(None));
    bucket.delete("a").await.unwrap();
    assert_eq!(bucket.get("a").await, Ok(None));
}

/// A handle that reads directly finds the leader when direct reads are turned off behind its back.
async fn direct_reads_may_be_turned_off_under_an_open_bucket<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let revision = bucket.put("a", "1").await.unwrap();
    let mut admin = site.admin();
    let mut config = admin.stream_info(&stream(&bucket))["config"].clone();
    config["allow_direct"] = json!(false);
    let update = format!("$JS.API.STREAM.UPDATE.{}", stream(&bucket));
    let answer = admin.request(&update, config.to_string().as_bytes());
    assert!(answer["error"].is_null(), "{answer}");

    assert_eq!(bucket.get("a").await.unwrap().unwrap(), "1");
    let entry = bucket.entry("a").revision(revision).await;
    assert_eq!(entry.unwrap().unwrap().revision, revision);
    assert_eq!(bucket.get("b").await, Ok(None));
}

/// Values around every threshold of the client, up to the largest message of the server: empty, copied
/// (below 512 bytes), shared, written apart (4 KiB on), and larger than any buffer.
async fn values_of_every_size_come_back<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let max_payload = 1024 * 1024;
    let around = |size: usize| size - 2..=size + 2;
    let sizes = [0, 1].into_iter();
    let sizes = sizes
        .chain(around(512))
        .chain(around(4096))
        .chain(around(16 * 1024));
    for size in sizes.chain([64 * 1024, max_payload - 1, max_payload]) {
        let value: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        bucket.put("a", &value).await.unwrap();
        let same = bucket.get("a").await.unwrap().unwrap();
        assert!(same == value, "{} bytes instead of {size}", same.len());
        let same = bucket.get("a").leader().await.unwrap().unwrap();
        assert!(same == value, "{} bytes instead of {size}", same.len());
    }
    assert_eq!(bucket.client().stats().connects, 1);
}

/// Values that look like the protocol, and all bytes, come back unchanged.
async fn values_are_any_bytes<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let all_bytes: Vec<u8> = (0..=255).cycle().take(3 * 256).collect();
    let values: [&[u8]; 6] = [
        &all_bytes,
        b"\r\n",
        b"\r\nPING\r\n-ERR 'x'\r\nMSG a 1 0\r\n\r\n",
        b"NATS/1.0 404 Message Not Found\r\n\r\n",
        b"{\"error\":{\"code\":404,\"err_code\":10059}}",
        b"\0",
    ];
    for value in values {
        bucket.put("a", value).await.unwrap();
        assert_eq!(bucket.get("a").await.unwrap().unwrap(), value);
        assert_eq!(bucket.get("a").leader().await.unwrap().unwrap(), value);
    }
}

/// The longest key in the bucket with the longest name fits every request there is into a control line.
async fn the_longest_key_of_the_longest_bucket_works<A: Adapter>(site: Site<A>) {
    let mut name = unique("longest-");
    name.push_str(&"n".repeat(MAX_BUCKET_NAME_LEN - name.len()));
    let key = &"k".repeat(MAX_KEY_LEN);
    let client = site.client().await;
    let config = BucketConfig::new(&name).history(3);
    let bucket = client.create_bucket(config).await.unwrap();

    let first = bucket.create(key, "1").await.unwrap();
    let second = bucket.update(key, "2", first).await.unwrap();
    assert_eq!(bucket.get(key).await.unwrap().unwrap(), "2");
    assert_eq!(bucket.get(key).leader().await.unwrap().unwrap(), "2");
    let old = bucket.entry(key).revision(first).await.unwrap().unwrap();
    assert_eq!(old.value, "1");
    assert!(bucket.create(key, "3").await.is_err());
    let third = bucket.put(key, "3").await.unwrap();
    bucket.delete(key).expect(third).await.unwrap();
    bucket.purge(key).await.unwrap();
    assert_eq!(bucket.get(key).await, Ok(None));
    assert!(second < third);
    client.delete_bucket(&name).await.unwrap();
    assert_eq!(client.stats().connects, 1);
}

/// Each character that ADR-8 allows is a key by itself, and part of one.
async fn every_legal_character_makes_a_key<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let letters = ('a'..='z').chain('A'..='Z').chain('0'..='9');
    let alone = letters.chain("-/_=".chars()).map(String::from);
    let keys: Vec<_> = alone
        .chain(["-/_=.aZ09".into(), "a.b.c".into(), "=._./.-".into()])
        .collect();
    let puts: Vec<_> = keys.iter().map(|key| begin(bucket.put(key, key))).collect();
    for result in all(puts).await {
        result.unwrap();
    }
    for key in &keys {
        assert_eq!(bucket.get(key).await.unwrap().unwrap(), key.as_bytes());
    }
    assert_eq!(bucket.status().await.unwrap().keys(), keys.len() as u64);
}

/// A key that breaks the rules is a typed error of every request, and no byte is sent for it.
async fn an_invalid_key_is_refused_before_anything_is_sent<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let before = bucket.client().stats();
    let too_long = "k".repeat(MAX_KEY_LEN + 1);
    let rows = [
        ("", InvalidKey::Empty),
        (".a", InvalidKey::EmptyToken { at: 0 }),
        ("a..b", InvalidKey::EmptyToken { at: 2 }),
        ("a.", InvalidKey::EmptyToken { at: 2 }),
        ("a b", InvalidKey::Character { at: 1, byte: b' ' }),
        ("a\r\nPING", InvalidKey::Character { at: 1, byte: b'\r' }),
        ("\u{fc}", InvalidKey::Character { at: 0, byte: 0xc3 }),
        ("a.*", InvalidKey::Character { at: 2, byte: b'*' }),
        ("a.>", InvalidKey::Character { at: 2, byte: b'>' }),
        ("_kv.x", InvalidKey::Reserved),
        (
            &*too_long,
            InvalidKey::TooLong {
                len: too_long.len(),
            },
        ),
    ];
    for (bad, why) in rows {
        let read = Err(ReadError::InvalidKey(why.clone()));
        assert_eq!(bucket.entry(bad).await, read, "{bad}");
        assert_eq!(bucket.get(bad).await.err(), read.err(), "{bad}");
        let written = Err(why.into());
        assert_eq!(bucket.put(bad, "").await, written, "{bad}");
        assert_eq!(bucket.create(bad, "").await, written, "{bad}");
        assert_eq!(
            bucket.update(bad, "", Revision::new(1)).await,
            written,
            "{bad}"
        );
        assert_eq!(bucket.delete(bad).await, written, "{bad}");
        assert_eq!(bucket.purge(bad).await, written, "{bad}");
    }
    assert_eq!(bucket.client().stats().bytes_out, before.bytes_out);
}

/// A key that is the beginning of another one does not get the other one's value by its revision.
async fn a_foreign_revision_shows_no_foreign_value<A: Adapter>(site: Site<A>) {
    let bucket = site.bucket().await;
    let long = bucket.put("a.b", "long").await.unwrap();
    let short = bucket.put("a", "short").await.unwrap();
    assert_eq!(bucket.entry("a").revision(long).await, Ok(None));
    assert_eq!(bucket.entry("a.b").revision(short).await, Ok(None));
    assert_eq!(bucket.entry("a").revision(long).leader().await, Ok(None));
    assert_eq!(bucket.entry("a.b").revision(short).leader().await, Ok(None));
}
