use serde_json::{Value, json};

use super::*;
use crate::js::subject::ApiPrefix;

fn info(name: &str, mirror: &Value, domain: Option<&str>) -> StreamInfo {
    let info = json!({
        "config": {"name": name, "max_msgs_per_subject": 1, "mirror": mirror},
        "created": "2026-11-26T12:00:00Z", "state": {}, "domain": domain,
    });
    serde_json::from_value(info).expect("a stream")
}

fn bucket(api: &str, name: &str) -> Binding {
    let api = ApiPrefix::new(api).expect("a prefix");
    Binding::from_info(&api, info(name, &Value::Null, None)).expect("a bucket")
}

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

#[test]
fn only_a_mirror_of_all_of_this_very_bucket_answers_for_it() {
    let rows = [
        (json!({"name": "KV_b"}), true),
        (
            json!({"name": "KV_b", "external": null, "opt_start_seq": 1}),
            true,
        ),
        (json!({"name": "KV_b", "external": {"api": ""}}), true),
        (
            json!({"name": "KV_b", "external": {"api": "$JS.API"}}),
            true,
        ),
        (
            json!({"name": "KV_b", "external": {"api": "$JS.leaf.API"}}),
            true,
        ),
        (
            json!({"name": "KV_b", "external": {"api": "$JS.hub.API"}}),
            false,
        ),
        (
            json!({"name": "KV_b", "external": {"api": "JS.acme.API"}}),
            false,
        ),
        (json!({"name": "KV_o"}), false),
        (
            json!({"name": "KV_b", "filter_subject": "$KV.b.a.>"}),
            false,
        ),
        (json!({"name": "KV_b", "opt_start_seq": 2}), false),
        (
            json!({"name": "KV_b", "opt_start_time": "2026-11-26T12:00:00Z"}),
            false,
        ),
        (
            json!({"name": "KV_b", "subject_transforms": [{"src": ">", "dest": "x.>"}]}),
            false,
        ),
        (Value::Null, false),
    ];
    for (mirror, all) in rows {
        let info = info("KV_m", &mirror, Some("leaf"));
        assert_eq!(
            mirrors_all(&bucket("$JS.API", "KV_b"), &info),
            all,
            "{mirror}"
        );
        assert_eq!(
            mirrors_all(&bucket("$JS.leaf.API", "KV_b"), &info),
            all,
            "{mirror}"
        );
    }
    // What an imported API calls its own domain may be anything here, and so may ours.
    let mirror = json!({"name": "KV_b", "external": {"api": "$JS.leaf.API"}});
    let there = bucket("JS.acme.API", "KV_b");
    assert!(!mirrors_all(&there, &info("KV_m", &mirror, Some("leaf"))));
    assert!(mirrors_all(
        &there,
        &info("KV_m", &json!({"name": "KV_b"}), None)
    ));
}

#[test]
fn trust_ends_and_distrust_stays() {
    let (ours, other) = (bucket("$JS.API", "KV_b"), bucket("$JS.API", "KV_c"));
    let mut known = Answerers::default();
    let ask = |name: &str| Voucher::Unknown(Vouch(name.into()));
    assert_eq!(known.judge(&ours, b"KV_b", at(0)), Voucher::Good);
    assert_eq!(known.judge(&ours, b"KV_m", at(0)), ask("KV_m"));
    known.note(&ours, Some(("KV_m".into(), at(60))));
    assert_eq!(known.judge(&ours, b"KV_m", at(59)), Voucher::Good);
    assert_eq!(known.judge(&ours, b"KV_n", at(59)), ask("KV_n"));
    assert_eq!(known.judge(&other, b"KV_m", at(59)), ask("KV_m"));
    assert_eq!(known.judge(&ours, b"KV_m", at(60)), ask("KV_m"));
    known.note(&ours, Some(("KV_m".into(), at(120))));
    assert!(!known.has_stranger(&ours) && known.known.len() == 1);
    known.note(&ours, None);
    known.note(&ours, None);
    assert!(known.has_stranger(&ours) && !known.has_stranger(&other));
    assert_eq!(known.known.len(), 2);
    assert_eq!(known.judge(&ours, b"KV_n", at(999)), Voucher::Stranger);
    assert_eq!(known.judge(&ours, b"KV_b", at(999)), Voucher::Good);
}

#[test]
fn what_can_be_no_stream_is_a_stranger_at_once() {
    let long = [b'x'; MAX_NAME + 1];
    for name in [&b""[..], b"a b", b"a.b", b">", b"a\tb", b"\xff", &long] {
        let (mut known, ours) = (Answerers::default(), bucket("$JS.API", "KV_b"));
        assert_eq!(known.judge(&ours, name, at(0)), Voucher::Stranger);
        assert!(known.has_stranger(&ours));
    }
}

#[test]
fn no_more_is_remembered_than_there_is_room() {
    let (mut known, ours) = (Answerers::default(), bucket("$JS.API", "KV_b"));
    for number in 0..2 * MAX_KNOWN {
        known.note(&ours, Some((number.to_string(), at(60))));
    }
    assert_eq!(known.known.len(), MAX_KNOWN);
    assert!(matches!(
        known.judge(&ours, b"0", at(1)),
        Voucher::Unknown(_)
    ));
    let newest = (2 * MAX_KNOWN - 1).to_string();
    assert_eq!(known.judge(&ours, newest.as_bytes(), at(1)), Voucher::Good);
}
