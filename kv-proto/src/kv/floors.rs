//! Floors: how far keys are known to have come, so that reads never go back.
//!
//! Any replica may answer a read, and one that is behind shows what was before. So a read compares what it is
//! shown with its key's floor: the newest revision that this client was acknowledged or told of it. A floor
//! holds within one life of the bucket, whose revisions begin at 1. No answer says in which life it was given: one to
//! a request that began before another life was learnt of may be of either, and a leader has to say.
//!
//! The table is bounded. It has two generations: what is looked at is or becomes part of the younger one, and
//! when that is full, the older one is forgotten as a whole and the younger one takes its place. One number
//! for each bucket stays of what was forgotten, the highest of its floors. A key that is not in the table
//! may have had a floor up to there: what is shown of it below that number may be too old, and a leader has
//! to say. That costs a request and never makes an answer wrong.

use alloc::collections::BTreeMap;
use core::cmp::Ordering;
use core::mem;
use core::time::Duration;

use crate::kv::binding::Binding;
use crate::kv::ends::Ends;
use crate::mutant::{self, Mutant};
use crate::name::Key;
use crate::time::{Instant, Timestamp};

/// How long a leader can be one no more without knowing: it looks every ten seconds whether it has heard of a
/// majority within ten. What leaders have said for longer than that is the truth.
const OLD_LEADER: Duration = Duration::from_secs(30);

/// What an entry takes beside its key: its place in a tree whose nodes can be half empty.
const PER_KEY: usize = 144;

/// What a bucket takes beside its keys.
const PER_BUCKET: usize = 4_096;

/// When a request began, and what its bucket was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    at: Instant,
    /// When the bucket was created, as far as known.
    incarnation: Option<Timestamp>,
}

/// What a read knows of its key when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    known: Known,
    begun: Begun,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    /// The newest revision that was acknowledged or told.
    reached: u64,
    /// It may have been newer, up to this one: that was forgotten.
    perhaps: u64,
    word: Word,
}

/// What leaders said that is below the floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Nothing,
    /// Something since then, which may be the word of an old leader.
    Doubted(Instant),
    /// The truth is this revision, 0 for none: what was above it was removed.
    Settled(u64),
}

/// What is to be thought of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is as new as all that was told before.
    Good,
    /// It may be older than something that was forgotten.
    Vague,
    /// It is older.
    Old,
}

impl Floor {
    /// That of a read which may be shown anything.
    pub(crate) fn none(begun: Begun) -> Self {
        let known = Known::default();
        Self { known, begun }
    }

    /// The newest revision that was acknowledged or told, 0 for none.
    pub(crate) const fn reached(&self) -> u64 {
        self.known.reached
    }

    /// When the read began.
    pub(crate) const fn begun(&self) -> Begun {
        self.begun
    }

    /// Whether it is of another life of the bucket than the one that was created at that time.
    pub(crate) fn is_of_another_life(&self, created: Timestamp) -> bool {
        self.begun.incarnation.is_some_and(|known| known != created)
    }

    /// Whether a revision that is shown is no news.
    pub(crate) fn knows(&self, shown: u64) -> bool {
        let doubted = matches!(self.known.word, Word::Doubted(_));
        shown == self.known.reached && self.known.perhaps == 0 && !doubted
    }

    /// Judges what is shown, 0 for nothing.
    pub(crate) fn judge(&self, shown: u64) -> Judgement {
        self.known.judge(shown)
    }
}

impl Known {
    /// What is left of a key that may have come so far.
    const fn forgotten(perhaps: u64) -> Self {
        Self {
            reached: 0,
            perhaps,
            word: Word::Nothing,
        }
    }

    /// The newest revision that it may have come to.
    fn highest(&self) -> u64 {
        self.reached.max(self.perhaps)
    }

    /// Judges what is shown, 0 for nothing.
    fn judge(&self, shown: u64) -> Judgement {
        let Self {
            reached,
            perhaps,
            word,
        } = *self;
        let removed = match word {
            Word::Settled(truth) if truth == shown => return Judgement::Good,
            Word::Settled(truth) => truth < reached,
            Word::Nothing | Word::Doubted(_) => false,
        };
        if shown < reached || (removed && shown == reached) {
            Judgement::Old
        } else if shown < perhaps {
            Judgement::Vague
        } else {
            Judgement::Good
        }
    }

    /// Takes note of a revision that was acknowledged or told.
    fn note(&mut self, revision: u64) {
        let doubted = matches!(self.word, Word::Doubted(_));
        if revision > self.reached || (revision == self.reached && doubted) {
            self.reached = revision;
            self.word = Word::Nothing;
        }
        if self.perhaps <= revision {
            self.perhaps = 0;
        }
    }

    /// Takes note of a revision that may be of an earlier life of the bucket.
    fn note_perhaps(&mut self, revision: u64) {
        if revision <= self.reached {
            return;
        }
        if let Word::Settled(truth) = self.word {
            (self.reached, self.word) = (truth, Word::Nothing);
        }
        self.perhaps = revision.max(self.perhaps);
    }
}

/// The floors of all keys of all buckets.
#[derive(Debug)]
pub(crate) struct Floors {
    /// The most that a generation weighs; `None` if no floors are wanted.
    capacity: Option<usize>,
    buckets: BTreeMap<Numbered, Bucket>,
    /// What the younger generation weighs.
    weight: usize,
    /// The highest floor of buckets of which nothing is left.
    forgotten: u64,
    /// How far whole streams have come; that is kept also where no floors are wanted.
    ends: Ends,
}

#[derive(Debug)]
struct Bucket {
    incarnation: Option<Timestamp>,
    /// The highest floor of keys that are not here any more.
    forgotten: u64,
    young: BTreeMap<Hashed, Known>,
    old: BTreeMap<Hashed, Known>,
}

/// A key, in an order that takes little to compare: keys of one bucket are often alike for long, and looking one of
/// a thousand up cost a tenth of a write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Hashed {
    hash: u32,
    key: Key,
}

/// A bucket by who numbers its revisions: a mirror has those of its origin.
#[derive(Clone, Debug)]
struct Numbered(Binding);

impl Floors {
    /// Makes a table that takes at most so many bytes, or none at all.
    pub(crate) fn new(wanted: bool, bytes: usize) -> Self {
        Self {
            capacity: if wanted { Some(bytes / 2) } else { None },
            buckets: BTreeMap::new(),
            weight: 0,
            forgotten: 0,
            ends: Ends::default(),
        }
    }

    /// What a request to a bucket has to remember that begins now.
    pub(crate) fn begin(&self, binding: &Binding, now: Instant) -> Begun {
        Begun {
            at: now,
            incarnation: self.incarnation(binding),
        }
    }

    /// When a bucket was created, as far as known.
    fn incarnation(&self, binding: &Binding) -> Option<Timestamp> {
        match self.buckets.get(&Numbered(binding.clone())) {
            Some(bucket) => bucket.incarnation,
            None => binding.incarnation(),
        }
    }

    /// What a read of a key has to go by that begins now.
    pub(crate) fn of(&mut self, binding: &Binding, key: &Key, now: Instant) -> Floor {
        Floor {
            known: self.known(binding, key),
            begun: self.begin(binding, now),
        }
    }

    /// What is known of a key.
    fn known(&mut self, binding: &Binding, key: &Key) -> Known {
        if self.capacity.is_none() {
            return Known::default();
        }
        let Some(bucket) = self.buckets.get_mut(&Numbered(binding.clone())) else {
            return Known::forgotten(self.forgotten);
        };
        let unknown = Known::forgotten(bucket.forgotten);
        let hashed = Hashed::new(key);
        match bucket.young.get(&hashed) {
            Some(known) => *known,
            None => match bucket.old.remove(&hashed) {
                Some(known) => {
                    self.keep(binding, key, known);
                    known
                }
                None => unknown,
            },
        }
    }

    /// Notes that a revision of a key was acknowledged or is told.
    pub(crate) fn note(&mut self, binding: &Binding, key: &Key, revision: u64, begun: Begun) {
        if revision == 0 {
            return;
        }
        self.ends.note(binding, revision, begun.at);
        let take_note = if self.incarnation(binding) == begun.incarnation {
            Known::note
        } else {
            Known::note_perhaps
        };
        let bucket = self.buckets.get_mut(&Numbered(binding.clone()));
        if let Some(known) = bucket.and_then(|bucket| bucket.young.get_mut(&Hashed::new(key))) {
            return take_note(known, revision);
        }
        let mut known = self.known(binding, key);
        take_note(&mut known, revision);
        self.keep(binding, key, known);
    }

    /// Notes that a leader's word on a key is the truth, 0 for nothing, although a read knew of something
    /// newer, or may have known.
    pub(crate) fn settle(&mut self, binding: &Binding, key: &Key, read: &Floor, shown: u64) {
        let mut known = self.known(binding, key);
        // What became known since is newer than that.
        if (known.reached, known.perhaps) != (read.known.reached, read.known.perhaps) {
            return;
        }
        let of_another_life = self.incarnation(binding) != read.begun.incarnation;
        if of_another_life || known.judge(shown) == Judgement::Good {
            return self.note(binding, key, shown, read.begun);
        }
        known.reached = known.reached.max(shown);
        known.word = Word::Settled(shown);
        self.keep(binding, key, known);
    }

    /// Notes that leaders contradict what a read knew. Returns whether that is the truth: they have done so
    /// for long, or what it knew does not hold any more.
    pub(crate) fn doubt(
        &mut self,
        binding: &Binding,
        key: &Key,
        read: &Floor,
        now: Instant,
    ) -> bool {
        let known = self.known(binding, key);
        if known.reached < read.reached() {
            return true;
        }
        match known.word {
            Word::Doubted(since) => return now.saturating_duration_since(since) >= OLD_LEADER,
            // Another read was told meanwhile.
            Word::Settled(_) if known.word != read.known.word => return true,
            Word::Settled(_) | Word::Nothing => {}
        }
        let doubted = Known {
            word: Word::Doubted(now),
            ..known
        };
        self.keep(binding, key, doubted);
        false
    }

    /// A bucket was opened: it may be another one than before.
    pub(crate) fn meet(&mut self, binding: &Binding) {
        let known = self.buckets.get(&Numbered(binding.clone()));
        let older = |bucket: &Bucket| bucket.incarnation < binding.incarnation();
        if known.is_some_and(older) {
            self.begin_anew(binding, binding.created());
        }
    }

    /// The bucket was created at that time. If it was another one before, nothing that is known is certain any
    /// more: an acknowledgement does not say in which life of the bucket it was given.
    pub(crate) fn begin_anew(&mut self, binding: &Binding, created: Timestamp) {
        let Some(bucket) = self.buckets.get_mut(&Numbered(binding.clone())) else {
            return;
        };
        let before = bucket.incarnation.replace(created);
        if before.is_some_and(|before| before != created) {
            bucket.forget();
            bucket.forget();
        }
    }

    /// How far the stream of a bucket is known to have come.
    pub(crate) fn end_of(&self, binding: &Binding) -> u64 {
        self.ends.reached(binding)
    }

    /// The stream of a bucket ends there. Returns whether it is known to have lost its end at some moment or later:
    /// it shows less than this client was told of.
    pub(crate) fn has_lost_end(
        &mut self,
        binding: &Binding,
        last: u64,
        since: Instant,
        now: Instant,
    ) -> bool {
        self.ends.see(binding, last, now);
        self.ends.lost_since(binding, since)
    }

    /// The bucket has lost what came after that revision, or had when its leader was asked.
    pub(crate) fn lose_end(&mut self, binding: &Binding, last: u64, now: Instant) {
        self.ends.see(binding, last, now);
        let Some(bucket) = self.buckets.get_mut(&Numbered(binding.clone())) else {
            return;
        };
        let mut forgotten = bucket.forgotten;
        for keys in [&mut bucket.young, &mut bucket.old] {
            keys.retain(|_, known| {
                let stays = known.reached <= last;
                if !stays {
                    forgotten = known.highest().max(forgotten);
                }
                stays
            });
        }
        bucket.forgotten = forgotten;
    }

    /// Stores what is known of a key in the younger generation.
    fn keep(&mut self, binding: &Binding, key: &Key, known: Known) {
        let Some(capacity) = self.capacity else {
            return;
        };
        let numbered = Numbered(binding.clone());
        let mut weight = key.len() + PER_KEY + PER_BUCKET;
        match self.buckets.get_mut(&numbered) {
            Some(bucket) if weight > capacity => return bucket.forget_at(known.highest()),
            None if weight > capacity => {
                self.forgotten = known.highest().max(self.forgotten);
                return;
            }
            Some(bucket) => {
                if let Some(before) = bucket.young.get_mut(&Hashed::new(key)) {
                    *before = known;
                    return;
                }
                if !bucket.young.is_empty() {
                    weight -= PER_BUCKET;
                }
            }
            None => {}
        }
        if self.weight + weight > capacity {
            self.age();
            weight = key.len() + PER_KEY + PER_BUCKET;
        }
        self.weight += weight;
        let forgotten = self.forgotten;
        let bucket = self.buckets.entry(numbered);
        let bucket = bucket.or_insert_with(|| Bucket::new(binding, forgotten));
        bucket.young.insert(Hashed::new(key), known);
    }

    /// Forgets the older generation.
    fn age(&mut self) {
        for bucket in self.buckets.values_mut() {
            bucket.forget();
        }
        let forgotten = &mut self.forgotten;
        self.buckets.retain(|_, bucket| {
            let known = !bucket.old.is_empty();
            if !known {
                *forgotten = bucket.forgotten.max(*forgotten);
            }
            known
        });
        self.weight = 0;
    }
}

impl Hashed {
    fn new(key: &Key) -> Self {
        const SPREAD: u64 = 0x517c_c1b7_2722_0a95;
        let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(SPREAD);
        let (words, rest) = key.as_bytes().as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let hash = words.fold(0, mix);
        let rest = rest.iter().map(|byte| u64::from(*byte));
        let hash = rest.fold(hash, mix);
        Self {
            hash: u32::try_from(hash >> 32).unwrap_or_default(),
            key: key.clone(),
        }
    }
}

impl Bucket {
    fn new(binding: &Binding, forgotten: u64) -> Self {
        Self {
            incarnation: binding.incarnation(),
            forgotten,
            young: BTreeMap::new(),
            old: BTreeMap::new(),
        }
    }

    fn forget(&mut self) {
        let gone = mem::replace(&mut self.old, mem::take(&mut self.young));
        if mutant::is(Mutant::ForgottenFloorIsNone) {
            return;
        }
        let highest = gone.values().map(Known::highest).max();
        self.forget_at(highest.unwrap_or(0));
    }

    /// A key is forgotten that may have come so far.
    fn forget_at(&mut self, highest: u64) {
        self.forgotten = highest.max(self.forgotten);
    }
}

impl Ord for Numbered {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0.is_same_as(&other.0) {
            return Ordering::Equal; // nearly always
        }
        self.0.numbered_by().cmp(&other.0.numbered_by())
    }
}

impl PartialOrd for Numbered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numbered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numbered {}

#[cfg(test)]
mod tests;
