//! The filters of a watch as subjects, and which of them a consumer is given.
//!
//! Up to 2.14 nats-server cannot be trusted with several filters on one
//! consumer: when one key is purged, it moves the consumer behind what it owes
//! of the others (measured on 2.10.26 and 2.14.6, mended in 2.15); and up to
//! 2.11 `a.*` can hide `a.b.>`, and counts are wrong. None of it can be
//! noticed, so there the consumer is given one filter that covers them all, and
//! what is not wanted is left out here.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::name::KeyFilter;
use crate::wire::ServerVersion;

#[derive(Debug)]
pub(crate) struct Subjects {
    each: Vec<String>,
    /// One that covers them.
    cover: [String; 1],
}

impl Subjects {
    /// All keys if there are no filters.
    pub(crate) fn new(prefix: &str, filters: &[KeyFilter]) -> Self {
        let full = |filter: &KeyFilter| format!("{prefix}{filter}");
        let mut each: Vec<String> = filters.iter().map(full).collect();
        if each.is_empty() {
            each.push(format!("{prefix}{}", KeyFilter::ALL));
        }
        let cover = match filters {
            [] => KeyFilter::ALL.into(),
            [filter] => filter.as_str().into(),
            several => covering(several),
        };
        Self {
            each,
            cover: [format!("{prefix}{cover}")],
        }
    }

    /// Whether servers of that version serve several filters of a consumer each
    /// for itself.
    pub(crate) fn are_kept_apart(version: ServerVersion) -> bool {
        version >= ServerVersion::new(2, 15, 0)
    }

    /// Those that a consumer is asked for.
    pub(crate) fn of_consumer(&self, apart: bool) -> &[String] {
        if apart { &self.each } else { &self.cover }
    }

    /// Those that are wanted.
    pub(crate) fn each(&self) -> &[String] {
        &self.each
    }

    /// The length of all of them.
    pub(crate) fn len(&self) -> usize {
        self.each.iter().chain(&self.cover).map(String::len).sum()
    }
}

/// The narrowest filter of literal tokens and a last `>` that covers several,
/// which do not overlap.
fn covering(filters: &[KeyFilter]) -> String {
    let mut shared: Option<Vec<&str>> = None;
    for filter in filters {
        let mut tokens: Vec<&str> = filter.split('.').collect();
        // The last token is what the `>` stands for.
        tokens.pop();
        let literal = tokens.iter().take_while(|token| **token != "*").count();
        tokens.truncate(literal);
        shared = Some(match shared {
            None => tokens,
            Some(mut so_far) => {
                let same = so_far.iter().zip(&tokens).take_while(|(a, b)| a == b);
                let same = same.count();
                so_far.truncate(same);
                so_far
            }
        });
    }
    let mut cover = shared.unwrap_or_default();
    cover.push(KeyFilter::ALL);
    cover.join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::Key;

    fn filter(text: &str) -> KeyFilter {
        KeyFilter::new(text).unwrap()
    }

    #[test]
    fn the_cover_is_what_all_have_in_common() {
        for (filters, cover) in [
            (&["a.b", "a.c"][..], "a.>"),
            (&["a.b.c", "a.b.d.>"], "a.b.>"),
            (&["a", "a.b"], ">"),
            (&["a.*.c", "a.*.d"], "a.>"),
            (&["x", "y"], ">"),
        ] {
            let filters: Vec<KeyFilter> = filters.iter().map(|text| filter(text)).collect();
            assert_eq!(covering(&filters), cover);
        }
    }

    fn wild() -> impl Strategy<Value = String> {
        (proptest::collection::vec("[ab*]", 1..4), any::<bool>()).prop_map(|(mut tokens, open)| {
            if open {
                tokens.push(">".into());
            }
            tokens.join(".")
        })
    }

    proptest! {
        /// Law: what one of them matches, the cover matches.
        #[test]
        fn the_cover_leaves_nothing_out(a in wild(), b in wild(), key in "[ab](\\.[ab]){0,4}") {
            let key = Key::new(&key).unwrap();
            let (a, b) = (filter(&a), filter(&b));
            let matched = a.matches(&key) || b.matches(&key);
            let cover = filter(&covering(&[a, b]));
            prop_assert!(!matched || cover.matches(&key));
        }
    }
}
