use super::*;
use crate::js::stream::StreamInfo;
use crate::js::subject::ApiPrefix;

fn binding_of(stream: &str, created: &str, more: &str) -> Binding {
    let config = alloc::format!(
        "{{\"name\":\"{stream}\",\"subjects\":[\"$KV.b.>\"],\"max_msgs_per_subject\":1{more}}}"
    );
    let text = alloc::format!("{{\"config\":{config},\"created\":\"{created}\",\"state\":{{}}}}");
    let info: StreamInfo = serde_json::from_str(&text).expect("a stream");
    Binding::from_info(&ApiPrefix::default(), info).expect("a bucket")
}

fn bucket() -> Binding {
    binding_of("KV_b", "2026-11-26T12:00:00Z", "")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

/// A table that has room for so many keys of one letter in each generation.
fn table(keys: usize) -> Floors {
    Floors::new(true, 2 * (PER_BUCKET + keys * (PER_KEY + 1)))
}

#[test]
fn what_is_older_than_what_was_told_is_old() {
    let (mut floors, bucket, key) = (table(9), bucket(), key("k"));
    assert_eq!(floors.of(&bucket, &key).judge(0), Judgement::Good);
    floors.note(&bucket, &key, 5);
    floors.note(&bucket, &key, 3);
    let floor = floors.of(&bucket, &key);
    assert!(floor.knows(5) && !floor.knows(6));
    for (shown, judgement) in [
        (0, Judgement::Old),
        (4, Judgement::Old),
        (5, Judgement::Good),
        (6, Judgement::Good),
    ] {
        assert_eq!(floor.judge(shown), judgement, "{shown}");
    }
}

#[test]
fn what_is_forgotten_is_vague() {
    let (mut floors, bucket) = (table(2), bucket());
    for (revision, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
        floors.note(&bucket, &key(name), revision);
    }
    assert_eq!(floors.of(&bucket, &key("e")).judge(4), Judgement::Old);
    assert_eq!(floors.of(&bucket, &key("c")).judge(2), Judgement::Old);
    let gone = floors.of(&bucket, &key("a"));
    assert_eq!(gone.judge(0), Judgement::Vague);
    assert_eq!(gone.judge(1), Judgement::Vague, "b was at 2");
    assert_eq!(gone.judge(2), Judgement::Good);
}

#[test]
fn what_is_looked_at_stays() {
    let (mut floors, bucket) = (table(2), bucket());
    floors.note(&bucket, &key("a"), 1);
    for (revision, name) in (2..).zip(["b", "c", "d", "e", "f", "g"]) {
        floors.note(&bucket, &key(name), revision);
        assert_eq!(floors.of(&bucket, &key("a")).reached(), 1, "after {name}");
    }
}

#[test]
fn a_leader_settles_what_was_forgotten() {
    let (mut floors, bucket) = (table(2), bucket());
    for (revision, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
        floors.note(&bucket, &key(name), revision);
    }
    let read = floors.of(&bucket, &key("a"));
    floors.settle(&bucket, &key("a"), &read, 1);
    let settled = floors.of(&bucket, &key("a"));
    assert_eq!(settled.judge(0), Judgement::Old);
    assert_eq!(settled.judge(1), Judgement::Good);
    assert_eq!(settled.judge(9), Judgement::Good);
    floors.note(&bucket, &key("a"), 9);
    assert_eq!(floors.of(&bucket, &key("a")).judge(1), Judgement::Old);
}

#[test]
fn what_was_removed_does_not_come_again() {
    let (mut floors, bucket, key) = (table(9), bucket(), key("k"));
    floors.note(&bucket, &key, 5);
    let read = floors.of(&bucket, &key);
    floors.settle(&bucket, &key, &read, 0);
    let floor = floors.of(&bucket, &key);
    assert_eq!(floor.judge(0), Judgement::Good);
    assert_eq!(floor.judge(4), Judgement::Old);
    assert_eq!(floor.judge(5), Judgement::Old, "it was seen to be gone");
    assert_eq!(floor.judge(6), Judgement::Good);
    // A write that was acknowledged meanwhile is not undone by an answer to an older question.
    floors.note(&bucket, &key, 7);
    floors.settle(&bucket, &key, &read, 0);
    assert_eq!(floors.of(&bucket, &key).judge(0), Judgement::Old);
}

#[test]
fn leaders_are_believed_in_the_end() {
    let (mut floors, bucket, key) = (table(9), bucket(), key("k"));
    floors.note(&bucket, &key, 5);
    let read = floors.of(&bucket, &key);
    assert!(!floors.doubt(&bucket, &key, &read, at(100)));
    assert!(!floors.doubt(&bucket, &key, &read, at(129)));
    assert!(floors.doubt(&bucket, &key, &read, at(130)));
    // Another read has been told the truth.
    floors.settle(&bucket, &key, &read, 3);
    assert!(floors.doubt(&bucket, &key, &read, at(130)));
    let settled = floors.of(&bucket, &key);
    assert!(!floors.doubt(&bucket, &key, &settled, at(140)));
    // What shows that it was an old leader after all counts.
    floors.note(&bucket, &key, 5);
    assert!(!floors.doubt(&bucket, &key, &read, at(175)));
}

#[test]
fn a_bucket_that_begins_anew_has_no_certain_floors() {
    let (mut floors, bucket, key) = (table(9), bucket(), key("k"));
    floors.note(&bucket, &key, 5);
    let read = floors.of(&bucket, &key);
    floors.meet(&bucket);
    assert_eq!(floors.of(&bucket, &key), read);
    floors.meet(&binding_of("KV_b", "2026-11-26T12:00:01Z", ""));
    let other = floors.of(&bucket, &key);
    assert_eq!(other.judge(0), Judgement::Vague, "who knows which it was");
    assert!(floors.doubt(&bucket, &key, &read, at(1)));
    floors.settle(&bucket, &key, &other, 0);
    assert_eq!(floors.of(&bucket, &key).judge(0), Judgement::Good);
}

#[test]
fn a_bucket_that_loses_its_end_keeps_what_was_before() {
    let (mut floors, bucket) = (table(9), bucket());
    floors.note(&bucket, &key("a"), 5);
    floors.note(&bucket, &key("b"), 6);
    floors.lose_end(&bucket, 5, at(1));
    assert_eq!(floors.of(&bucket, &key("a")).judge(0), Judgement::Old);
    assert_eq!(floors.of(&bucket, &key("b")).judge(0), Judgement::Vague);
}

#[test]
fn a_mirror_shares_its_origins_floors() {
    let (mut floors, bucket, key) = (table(9), bucket(), key("k"));
    let origin = ",\"mirror\":{\"name\":\"KV_b\"}";
    let mirror = binding_of("KV_m", "2026-11-26T13:00:00Z", origin);
    floors.note(&mirror, &key, 5);
    assert_eq!(floors.of(&bucket, &key).reached(), 5);
    floors.meet(&mirror);
    floors.begin_anew(&mirror, bucket.created());
    assert_eq!(floors.of(&bucket, &key).reached(), 5);
    let other = binding_of("KV_o", "2026-11-26T12:00:00Z", "");
    assert_eq!(floors.of(&other, &key).reached(), 0);
}

#[test]
fn nothing_is_kept_where_nothing_is_wanted() {
    let (bucket, key) = (bucket(), key("k"));
    let mut none = Floors::new(false, 1 << 20);
    none.note(&bucket, &key, 5);
    assert_eq!(none.of(&bucket, &key), Floor::default());
    let mut no_room = Floors::new(true, 0);
    no_room.note(&bucket, &key, 5);
    assert_eq!(no_room.of(&bucket, &key).judge(4), Judgement::Vague);
    assert!(no_room.buckets.is_empty());
}

/// Whatever keys there are, of however many buckets: what is held stays below what was allowed, the names of
/// the buckets included.
#[test]
fn no_more_is_held_than_is_allowed() {
    const LIMIT: usize = 512 * 1024;
    let long = "k".repeat(1_000);
    for (what, buckets, prefix) in [
        ("short keys", 1, ""),
        ("long keys", 1, long.as_str()),
        ("buckets", 2_000, ""),
    ] {
        let peak = allocation_counter::measure(|| {
            let mut floors = Floors::new(true, LIMIT);
            for number in 0..20_000_u64 {
                let name = alloc::format!("KV_{:0200}", number % buckets);
                let bucket = binding_of(&name, "2026-11-26T12:00:00Z", "");
                let key = key(&alloc::format!("{prefix}{number}"));
                floors.note(&bucket, &key, number + 1);
            }
        });
        let held = usize::try_from(peak.bytes_max).expect("few");
        let spare = 64 * 1024; // a binding and a key that are being made
        assert!(held < LIMIT + spare, "{what}: {held}");
        assert!(held > LIMIT / 4, "{what}: {held}, which shows nothing");
    }
}
