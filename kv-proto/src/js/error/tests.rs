//! What errors of real servers prove.

use alloc::format;
use alloc::string::ToString;

use super::*;

fn error(code: u16, err_code: u32, description: &str) -> ServerError {
    ServerError::new(code, Some(err_code), description.into())
}

/// The table of what evidence proves, row by row.
#[test]
fn a_write_is_judged_by_number() {
    let conflict = |current| Verdict::Conflict { current };
    let rows = [
        (10_071, "wrong last sequence: 3", conflict(Some(3))),
        (10_071, "wrong last sequence: 0", conflict(Some(0))),
        (
            10_071,
            "wrong last sequence: 18446744073709551615",
            conflict(Some(u64::MAX)),
        ),
        (
            10_071,
            "wrong last sequence: 18446744073709551616",
            conflict(None),
        ),
        (10_071, "wrong last sequence: +3", conflict(None)),
        (10_071, "wrong last sequence: ", conflict(None)),
        (10_071, "wrong last sequence", conflict(None)),
        (10_164, "wrong last sequence", Verdict::Retry),
        (10_163, "", Verdict::Retry),
        (10_167, "too many requests", Verdict::Retry),
        (10_158, "", Verdict::Poll),
        (
            10_054,
            "message size exceeds maximum allowed",
            Verdict::Rejected,
        ),
        (10_097, "", Verdict::Rejected),
        (10_060, "", Verdict::Rejected),
        (10_109, "", Verdict::Rejected),
        (10_111, "rollup not permitted", Verdict::Rejected),
        (10_165, "", Verdict::Rejected),
        (10_166, "", Verdict::Rejected),
        (10_185, "", Verdict::Rejected),
        (10_002, "", Verdict::Resources),
        (10_023, "insufficient resources", Verdict::Resources),
        (10_028, "", Verdict::Resources),
        (10_047, "", Verdict::Resources),
        (10_122, "", Verdict::Resources),
        (10_077, "maximum bytes exceeded", Verdict::Resources),
        (10_077, "maximum messages exceeded", Verdict::Resources),
        (
            10_077,
            "maximum messages per subject exceeded",
            Verdict::Resources,
        ),
        (10_077, "message too large", Verdict::Rejected),
        (10_077, "message to large", Verdict::Rejected),
        (10_077, "no space left on device", Verdict::Unknown),
        (10_077, "maximum bytes exceeded, probably", Verdict::Unknown),
        (10_077, "", Verdict::Unknown),
        (10_063, "", Verdict::Unknown),
        (10_999, "", Verdict::Unknown),
        (0, "", Verdict::Unknown),
    ];
    for (number, text, verdict) in rows {
        // The code of the HTTP kind never matters.
        for code in [0, 400, 429, 503] {
            assert_eq!(
                error(code, number, text).write_verdict(),
                verdict,
                "{number} {text}"
            );
        }
    }
    let unnumbered = ServerError::from_status(400, "wrong last sequence: 3");
    assert_eq!(unnumbered.write_verdict(), Verdict::Unknown);
    assert_eq!(unnumbered.current_sequence(), None);
}

#[test]
fn a_management_call_is_judged_by_class_and_known_checks() {
    let not_applied = [
        (400, 10_058),
        (404, 10_059),
        (400, 10_065),
        (400, 10_056),
        (409, 10_158),
        (412, 10_185),
        (429, 10_167),
        (499, 1),
        (500, 10_052),
        (500, 10_074),
        (500, 10_047),
        (500, 10_028),
        (503, 10_023),
        (503, 10_039),
        (503, 10_076),
        (503, 10_008),
        (500, 10_009),
        (500, 10_057),
    ];
    let unknown = [
        (500, 10_049),
        (500, 10_069),
        (500, 10_110),
        (503, 10_004),
        (503, 1),
        (500, 1),
        (200, 1),
        (0, 0),
    ];
    for (code, number) in not_applied {
        let outcome = error(code, number, "").management_outcome();
        assert_eq!(outcome, ManagementOutcome::NotApplied, "{number}");
    }
    for (code, number) in unknown {
        let outcome = error(code, number, "").management_outcome();
        assert_eq!(outcome, ManagementOutcome::Unknown, "{number}");
    }
    let unnumbered = ServerError::from_status(503, "");
    assert_eq!(unnumbered.management_outcome(), ManagementOutcome::Unknown);
}

/// A write that may be repeated at once is one that can succeed later; no
/// answer is both a refusal for ever and a passing state.
#[test]
fn verdicts_agree_with_the_accessors() {
    for number in 10_000..10_300 {
        let error = error(400, number, "");
        match error.write_verdict() {
            Verdict::Retry | Verdict::Poll => {
                assert!(
                    error.is_transient() || error.is_wrong_last_sequence(),
                    "{number}"
                );
            }
            Verdict::Conflict { .. } => assert!(error.is_wrong_last_sequence(), "{number}"),
            Verdict::Resources => assert!(error.is_insufficient_resources(), "{number}"),
            Verdict::Rejected => assert!(!error.is_transient(), "{number}"),
            Verdict::Unknown => {}
        }
    }
}

/// No answer about a consumer belongs to two classes, or is one that a
/// repetition of the very same request would change.
#[test]
fn consumers_that_are_lost_taken_or_too_many() {
    type Class<'a> = (&'a [u32], fn(&ServerError) -> bool);
    let classes: [Class<'_>; 4] = [
        (&[10_014], ServerError::is_consumer_not_found),
        (&[10_013, 10_148], ServerError::is_consumer_name_in_use),
        (&[10_119, 10_195], ServerError::is_consumer_offline),
        (&[10_026], |error| {
            error.is_insufficient_resources() && error.err_code() == Some(10_026)
        }),
    ];
    for number in 10_000..10_300 {
        let error = error(500, number, "");
        for (numbers, is_of_class) in classes {
            let member = numbers.contains(&number);
            assert_eq!(is_of_class(&error), member, "{number}");
            assert!(!(member && error.is_transient()), "{number}");
        }
    }
}

#[test]
fn descriptions_are_bounded_at_a_character() {
    let long = format!(
        "{}ü{}",
        "x".repeat(MAX_DESCRIPTION_BYTES - 1),
        "y".repeat(4_096)
    );
    let error = error(400, 10_052, &long);
    assert_eq!(error.description(), "x".repeat(MAX_DESCRIPTION_BYTES - 1));
    assert_eq!(
        ServerError::from_status(408, "Bad Request").description(),
        "Bad Request"
    );
}

#[test]
fn display_names_both_numbers() {
    let numbered = error(404, 10_059, "stream not found");
    assert_eq!(
        numbered.to_string(),
        "server answered 404/10059: stream not found"
    );
    let unnumbered = ServerError::from_status(408, "Bad Request");
    assert_eq!(unnumbered.to_string(), "server answered 408: Bad Request");
}
