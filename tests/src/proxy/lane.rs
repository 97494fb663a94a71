//! The rules of one direction, as a function from what a pump holds to what it does next.

/// How many bytes of a direction are kept for assertions.
const TRANSCRIPT: usize = 8 * 1024 * 1024;

/// The rules and records of one direction.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) stalled: bool,
    pub(super) half_open: bool,
    pub(super) chunk: Option<usize>,
    pub(super) cut_after: Option<u64>,
    pub(super) needle: Option<Vec<u8>>,
    pub(super) passed: u64,
    pub(super) transcript: Vec<u8>,
}

/// What a pump does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until a rule changes.
    Wait,
    /// Read more.
    Read,
    /// Throw away all it holds.
    Swallow,
    /// Write the first `n` bytes it holds, which are already recorded; then cut, if told.
    Pass { n: usize, cut: bool },
    /// Tell the other side that the stream has ended.
    End,
}

impl Lane {
    /// Decides about `held`, the bytes read and not passed; `ended` means that no more will come.
    pub(super) fn step(&mut self, held: &[u8], ended: bool) -> Step {
        if self.stalled {
            return Step::Wait;
        }
        if self.half_open {
            return match (held.is_empty(), ended) {
                (false, _) => Step::Swallow,
                (true, false) => Step::Read,
                (true, true) => Step::Wait,
            };
        }
        if held.is_empty() {
            return if ended { Step::End } else { Step::Read };
        }
        let (clear, at_needle) = self.before_needle(held, ended);
        let budget = self.cut_after.unwrap_or(u64::MAX);
        let (n, cut) = match usize::try_from(budget) {
            Ok(budget) if budget <= clear => {
                self.cut_after = None;
                (budget, true)
            }
            Ok(_) | Err(_) => {
                self.cut_after = self.cut_after.map(|budget| budget - clear as u64);
                self.needle.take_if(|_| at_needle);
                (clear, at_needle)
            }
        };
        if n == 0 && !cut {
            return Step::Read;
        }
        self.record(held.get(..n).unwrap_or(held));
        Step::Pass { n, cut }
    }

    /// Lifts every rule; the records stay.
    pub(super) fn heal(&mut self) {
        *self = Self {
            passed: self.passed,
            transcript: std::mem::take(&mut self.transcript),
            ..Self::default()
        };
    }

    /// How much of `held` may pass, up to one chunk, and whether the needle follows at once.
    fn before_needle(&self, held: &[u8], ended: bool) -> (usize, bool) {
        let limit = held.len().min(self.chunk.unwrap_or(usize::MAX));
        let Some(needle) = &self.needle else {
            return (limit, false);
        };
        let begins = |at: &usize| {
            let tail = held.get(*at..).unwrap_or_default();
            tail.starts_with(needle) || (!ended && needle.starts_with(tail))
        };
        let Some(at) = (0..limit).find(begins) else {
            return (limit, false);
        };
        (at, held.len() - at >= needle.len())
    }

    fn record(&mut self, bytes: &[u8]) {
        self.passed += bytes.len() as u64;
        let room = TRANSCRIPT - self.transcript.len();
        self.transcript.extend(bytes.iter().take(room));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(n: usize) -> Step {
        Step::Pass { n, cut: false }
    }

    fn cut(n: usize) -> Step {
        Step::Pass { n, cut: true }
    }

    /// However the stream is split into reads and chunks, what passes is what comes before the needle.
    #[test]
    fn the_needle_is_found_across_every_split() {
        let stream = b"ab-needlneedle-rest";
        for read in 1..=stream.len() {
            for chunk in 1..=stream.len() {
                let mut lane = Lane {
                    needle: Some(b"needle".to_vec()),
                    chunk: Some(chunk),
                    ..Lane::default()
                };
                let mut held = Vec::new();
                let mut reads = stream.chunks(read);
                loop {
                    match lane.step(&held, false) {
                        Step::Read => held.extend_from_slice(reads.next().expect("a cut by now")),
                        Step::Pass { n, cut: true } => {
                            assert!(n <= chunk);
                            break;
                        }
                        Step::Pass { n, cut: false } => {
                            assert!((1..=chunk).contains(&n));
                            held.drain(..n);
                        }
                        other @ (Step::Wait | Step::Swallow | Step::End) => panic!("{other:?}"),
                    }
                }
                assert_eq!(
                    lane.transcript, b"ab-needl",
                    "reads of {read}, chunks of {chunk}"
                );
                assert_eq!(lane.needle, None);
            }
        }
    }

    #[test]
    fn a_budget_spans_reads_and_is_spent_once() {
        let mut lane = Lane {
            cut_after: Some(5),
            ..Lane::default()
        };
        assert_eq!(lane.step(b"abc", false), pass(3));
        assert_eq!(lane.step(b"", false), Step::Read);
        assert_eq!(lane.step(b"defg", false), cut(2));
        assert_eq!(lane.step(b"hij", false), pass(3));
        assert_eq!((lane.passed, &*lane.transcript), (8, &b"abcdehij"[..]));
    }

    #[test]
    fn a_budget_of_nothing_cuts_at_the_next_byte() {
        let mut lane = Lane {
            cut_after: Some(0),
            ..Lane::default()
        };
        assert_eq!(lane.step(b"", false), Step::Read);
        assert_eq!(lane.step(b"a", false), cut(0));
    }

    #[test]
    fn what_may_be_a_needle_waits_and_passes_at_the_end() {
        let mut lane = Lane {
            needle: Some(b"needle".to_vec()),
            ..Lane::default()
        };
        assert_eq!(lane.step(b"a nee", false), pass(2));
        assert_eq!(lane.step(b"nee", false), Step::Read);
        assert_eq!(lane.step(b"nee", true), pass(3));
        assert_eq!(lane.step(b"", true), Step::End);
    }

    #[test]
    fn half_open_hides_the_end_until_it_heals() {
        let mut lane = Lane {
            half_open: true,
            ..Lane::default()
        };
        assert_eq!(lane.step(b"", false), Step::Read);
        assert_eq!(lane.step(b"a", false), Step::Swallow);
        assert_eq!(lane.step(b"", true), Step::Wait);
        lane.heal();
        assert_eq!(lane.step(b"", true), Step::End);
        assert_eq!(lane.passed, 0);
    }
}
