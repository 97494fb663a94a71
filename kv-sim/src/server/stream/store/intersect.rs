//! How the file store of 2.10 and 2.11 looks for the next message of several filters.
//!
//! Where there are fewer subjects than sequences to look at, it intersects its tree of subjects with the
//! tree of filters; and where a level of that has a `*`, it forgets the words beside it. So `a.*` hides
//! `a.b.>`: a consumer with both misses messages.

use super::{Message, Store, is_match};

impl Store {
    pub(crate) fn next_by_intersection(&self, filters: &[&[u8]], from: u64) -> Option<&Message> {
        let from = from.max(self.first_seq);
        let subjects = self.subjects.len() as u64;
        if subjects >= self.last_seq.saturating_sub(from) {
            return self.next_for(filters, from);
        }
        let found = self.subjects.iter().filter_map(|(subject, seqs)| {
            let filters_split: Vec<Vec<&[u8]>> = filters.iter().map(|one| split(one)).collect();
            if !intersects(&filters_split, &split(subject)) {
                return None;
            }
            let (first, last) = (*seqs.first()?, *seqs.last()?);
            if first >= from {
                return Some(first);
            }
            // From the middle of a subject on it takes whatever any filter wants.
            let mut between = self.messages.range(from..=last.max(from));
            let next = between.find(|(_, message)| is_match(&message.subject, filters));
            next.map(|(seq, _)| *seq).filter(|seq| *seq <= last)
        });
        self.messages.get(&found.min()?)
    }
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'.').collect()
}

/// Walks down both trees, level by level.
fn intersects(filters: &[Vec<&[u8]>], subject: &[&[u8]]) -> bool {
    let Some((token, rest)) = subject.split_first() else {
        return filters.iter().any(Vec::is_empty);
    };
    let heads: Vec<&[u8]> = filters
        .iter()
        .filter_map(|one| one.first().copied())
        .collect();
    if heads.contains(&b">".as_slice()) {
        return true;
    }
    let wanted: &[u8] = if heads.contains(&b"*".as_slice()) {
        b"*"
    } else {
        token
    };
    let below: Vec<Vec<&[u8]>> = filters
        .iter()
        .filter_map(|one| one.split_first())
        .filter(|(head, _)| **head == wanted)
        .map(|(_, tail)| tail.to_vec())
        .collect();
    !below.is_empty() && intersects(&below, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_hides_the_words_beside_it() {
        let filters = [split(b"a.*"), split(b"a.b.>")];
        assert!(intersects(&filters, &split(b"a.x")));
        assert!(!intersects(&filters, &split(b"a.b.c")));
        assert!(intersects(&[split(b"a.b.>")], &split(b"a.b.c")));
    }
}
