//! Requests and replies of one link, over one wildcard subscription.
//!
//! Each request in flight holds a *slot*, and the slot's *token* is the last
//! part of its reply subject. A token is used again after a reply that says
//! whom it is for: the server caches routes per subject, and re-using subjects
//! saves it about a quarter of its work. After anything else the slot gets a
//! new generation, hence a new token, so neither a late reply nor a second
//! copy of one can complete another operation.
//!
//! ```text
//!   free --claim--> busy --complete--> free (same token, for the same class)
//!                     \---abandon----> free (next generation)
//! ```

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use crate::mutant::{self, Mutant};
use crate::op::OpId;
use crate::rng::Rng;

/// The subscription id of the reply inbox; watches take others.
pub(crate) const INBOX_SID: u64 = 1;

/// What comes before the number of a feed in its subject.
const FEED: &str = "w.";

/// Names a busy slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    owner: Option<OpId>,
    /// What replies to this token are like.
    class: Option<Class>,
    /// The highest sequence that it acknowledged here: an acknowledgement at
    /// or below it is a copy of an old one.
    acked: u64,
    /// The token as text, made once per generation.
    text: String,
}

/// Replies that say whom they are for, and so can share a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Acknowledgements of one stream, whose sequences grow.
    Acks(u64),
    /// Direct gets, which name their key.
    Entries,
}

#[derive(Debug)]
pub(crate) struct Mux {
    /// `<inbox prefix>.<random>.`, new for each link.
    prefix: String,
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Mux {
    /// Makes the inbox of a new link: 22 base-62 digits are 131 random bits.
    pub(crate) fn new(inbox_prefix: &str, rng: &mut Rng) -> Self {
        let random: [u8; 22] = rng.base62();
        let mut prefix = String::with_capacity(
            inbox_prefix
                .len()
                .saturating_add(random.len())
                .saturating_add(2),
        );
        prefix.push_str(inbox_prefix);
        prefix.push('.');
        prefix.extend(random.iter().map(|byte| char::from(*byte)));
        prefix.push('.');
        Self {
            prefix,
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Returns the inbox without its last token: `_INBOX.<random>.`
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The subject that the feed of this subscription delivers to. It has one
    /// token more than a reply, so the inbox does not hear it as well; and no
    /// wildcard, which a consumer would not count as a listener.
    pub(crate) fn feed_subject(&self, sid: u64) -> String {
        alloc::format!("{}{FEED}{sid}", self.prefix)
    }

    /// Whether the feed of this subscription delivers to the subject.
    pub(crate) fn is_feed(&self, subject: &[u8], sid: u64) -> bool {
        self.feed_of(subject) == Some(sid)
    }

    /// The subscription whose feed delivers to this subject.
    pub(crate) fn feed_of(&self, subject: &[u8]) -> Option<u64> {
        let sid = subject.strip_prefix(self.prefix.as_bytes())?;
        let digits = sid.strip_prefix(FEED.as_bytes())?;
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Takes a slot for a request; `class` is that of its reply, if it will say
    /// whom it is for.
    #[allow(clippy::indexing_slicing, reason = "what is free is a slot")]
    pub(crate) fn claim(&mut self, owner: OpId, class: Option<Class>) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            self.slots.push(Slot {
                generation: 0,
                owner: None,
                class: None,
                acked: 0,
                text: token_text(slot, 0),
            });
            slot
        });
        let entry = &mut self.slots[index(slot)];
        entry.owner = Some(owner);
        if entry.class != class {
            if entry.class.is_some() {
                renew(entry, slot);
            }
            entry.class = class;
        }
        Token {
            slot,
            generation: entry.generation,
        }
    }

    /// Returns the text of a token that is held.
    pub(crate) fn text(&self, token: Token) -> &str {
        self.slots
            .get(index(token.slot))
            .map_or("", |slot| slot.text.as_str())
    }

    /// Finds who waits for a reply that came to `subject`.
    pub(crate) fn route(&self, subject: &[u8]) -> Option<(OpId, Token)> {
        let text = subject.strip_prefix(self.prefix.as_bytes())?;
        let slot = slot_of(text)?;
        let entry = self.slots.get(index(slot))?;
        if entry.text.as_bytes() != text {
            return None;
        }
        let token = Token {
            slot,
            generation: entry.generation,
        };
        entry.owner.map(|owner| (owner, token))
    }

    /// The highest sequence acknowledged on this token.
    pub(crate) fn acked(&self, token: Token) -> u64 {
        self.slots
            .get(index(token.slot))
            .map_or(0, |slot| slot.acked)
    }

    /// Frees a slot whose reply arrived and said whom it was for, or whose
    /// request was never sent; the token is used again.
    pub(crate) fn complete(&mut self, token: Token, acked: Option<u64>) {
        if let Some(slot) = self.held(token) {
            slot.owner = None;
            slot.acked = slot.acked.max(acked.unwrap_or(0));
            if slot.class.is_none() {
                renew(slot, token.slot);
            }
            self.free.push(token.slot);
        }
    }

    /// Frees a slot whose reply may still come; its token is retired.
    pub(crate) fn abandon(&mut self, token: Token) {
        if let Some(slot) = self.held(token) {
            slot.owner = None;
            if !mutant::is(Mutant::TokenUsedTooEarly) {
                renew(slot, token.slot);
            }
            self.free.push(token.slot);
        }
    }

    /// Retires the tokens of all free slots, because what they remember (the
    /// sequences of a stream's earlier life) no longer holds.
    pub(crate) fn forget(&mut self) {
        for free in &self.free {
            if let Some(slot) = self.slots.get_mut(index(*free))
                && slot.acked > 0
            {
                renew(slot, *free);
            }
        }
    }

    fn held(&mut self, token: Token) -> Option<&mut Slot> {
        self.slots
            .get_mut(index(token.slot))
            .filter(|slot| slot.generation == token.generation && slot.owner.is_some())
    }

    /// Slots that are held, for checks of leaks.
    pub(crate) fn busy(&self) -> usize {
        self.slots.len().saturating_sub(self.free.len())
    }
}

fn renew(slot: &mut Slot, number: u32) {
    slot.generation = slot.generation.wrapping_add(1);
    slot.acked = 0;
    slot.class = None;
    slot.text = token_text(number, slot.generation);
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

/// `<slot>` or `<slot>-<generation>`, in lower-case hexadecimal.
fn token_text(slot: u32, generation: u32) -> String {
    let mut text = String::new();
    let written = if generation == 0 {
        write!(text, "{slot:x}")
    } else {
        write!(text, "{slot:x}-{generation:x}")
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
    text
}

fn slot_of(text: &[u8]) -> Option<u32> {
    let mut digits = text.iter().take_while(|byte| **byte != b'-');
    digits.try_fold(0_u32, |slot, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        slot.checked_mul(16)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use alloc::format;

    fn mux() -> Mux {
        Mux::new("_INBOX", &mut Rng::new(&Seed::from_u64(1)))
    }

    fn subject(mux: &Mux, token: Token) -> String {
        format!("{}{}", mux.prefix(), mux.text(token))
    }

    #[test]
    fn an_answered_token_is_used_again_and_an_unanswered_one_is_not() {
        let mut mux = mux();
        let (a, b, c) = (
            OpId::from_raw(1, 0),
            OpId::from_raw(2, 0),
            OpId::from_raw(3, 0),
        );
        let first = mux.claim(a, Some(Class::Acks(1)));
        let answered = subject(&mux, first);
        assert_eq!(mux.route(answered.as_bytes()), Some((a, first)));
        mux.complete(first, Some(7));
        assert_eq!(mux.route(answered.as_bytes()), None);

        let second = mux.claim(b, Some(Class::Acks(1)));
        assert_eq!(subject(&mux, second), answered);
        assert_eq!(mux.acked(second), 7);
        mux.abandon(second);

        let third = mux.claim(c, Some(Class::Acks(1)));
        assert_ne!(subject(&mux, third), answered);
        assert_eq!(mux.acked(third), 0);
        assert_eq!(mux.route(answered.as_bytes()), None);
        assert_eq!(mux.route(subject(&mux, third).as_bytes()), Some((c, third)));
        assert_eq!(mux.busy(), 1);
    }

    #[test]
    fn a_stale_token_frees_nothing() {
        let mut mux = mux();
        let old = mux.claim(OpId::from_raw(1, 0), Some(Class::Acks(1)));
        mux.abandon(old);
        let new = mux.claim(OpId::from_raw(2, 0), Some(Class::Acks(1)));
        mux.complete(old, None);
        mux.abandon(old);
        assert_eq!(mux.busy(), 1);
        mux.complete(new, None);
        assert_eq!(mux.busy(), 0);
    }

    #[test]
    fn only_own_and_exact_subjects_are_routed() {
        let mut mux = mux();
        let token = mux.claim(OpId::from_raw(1, 0), Some(Class::Acks(1)));
        let good = subject(&mux, token);
        for bad in [
            format!("{good}0"),
            format!("{good}-0"),
            format!("{}00", mux.prefix()),
            format!("{}+0", mux.prefix()),
            format!("{}ffffffff", mux.prefix()),
            format!("{}123456789", mux.prefix()),
            mux.prefix().into(),
            "_INBOX.other.0".into(),
        ] {
            assert_eq!(mux.route(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn forgetting_renews_tokens_that_remember_a_sequence() {
        let mut mux = mux();
        let token = mux.claim(OpId::from_raw(1, 0), Some(Class::Acks(1)));
        let before = subject(&mux, token);
        mux.complete(token, Some(9));
        mux.forget();
        let token = mux.claim(OpId::from_raw(2, 0), Some(Class::Acks(1)));
        assert_eq!(mux.acked(token), 0);
        assert_ne!(subject(&mux, token), before);
    }

    #[test]
    fn a_token_is_not_shared_by_replies_of_two_kinds() {
        let mut mux = mux();
        let classes = [
            Some(Class::Acks(1)),
            Some(Class::Acks(2)),
            Some(Class::Entries),
            None,
        ];
        let mut seen = alloc::vec::Vec::new();
        for class in classes {
            let token = mux.claim(OpId::from_raw(1, 0), class);
            seen.push(subject(&mux, token));
            mux.complete(token, Some(9));
            let token = mux.claim(OpId::from_raw(1, 0), class);
            let again = seen.last() == Some(&subject(&mux, token));
            assert_eq!(again, class.is_some(), "{class:?}");
            mux.complete(token, None);
        }
        seen.dedup();
        assert_eq!(seen.len(), classes.len());
    }
}
