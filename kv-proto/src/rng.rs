//! The only randomness of the core: a ChaCha8 stream from the embedder's seed.
//!
//! Jitter would be content with less, but reply inboxes and operation ids must
//! not be guessable from the ids that other clients can see, so the generator
//! has to be one that its output does not reveal.

use core::fmt;
use core::time::Duration;

/// 256 bits of entropy from which everything random in a session is drawn.
///
/// The same seed and the same calls give the same bytes on the wire. Outside
/// tests take it from the operating system; the adapters do.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes 32 bytes of entropy.
    #[must_use]
    pub const fn new(entropy: [u8; 32]) -> Self {
        Self(entropy)
    }

    /// Spreads a small number over a seed, for tests and simulations.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        let mut entropy = [0; 32];
        [
            entropy[0], entropy[1], entropy[2], entropy[3], entropy[4], entropy[5], entropy[6],
            entropy[7],
        ] = [a, b, c, d, e, f, g, h];
        Self(entropy)
    }
}

impl fmt::Debug for Seed {
    /// Hides the entropy: whoever knows it can guess reply subjects.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(***)")
    }
}

/// A ChaCha8 keystream read as numbers.
pub(crate) struct Rng {
    key: [u32; 8],
    block: u64,
    words: [u32; 16],
    used: usize,
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Rng {
    pub(crate) fn new(seed: &Seed) -> Self {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(seed.0.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self {
            key,
            block: 0,
            words: [0; 16],
            used: 16,
        }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.used >= self.words.len() {
            self.words = chacha8_block(&self.key, self.block);
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        let word = self.words.get(self.used).copied().unwrap_or_default();
        self.used += 1;
        word
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// Returns a number below `bound`, or zero if `bound` is zero. The bias of
    /// at most `bound / 2^64` does not matter to any of our uses.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// Full jitter: uniform in `0..=max`.
    pub(crate) fn jitter(&mut self, max: Duration) -> Duration {
        let max = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(max.saturating_add(1)))
    }

    /// A random text of base-62 digits (5.95 bits each): safe in subjects and headers.
    pub(crate) fn base62<const N: usize>(&mut self) -> [u8; N] {
        let mut text = [0; N];
        for byte in &mut text {
            let digit = usize::try_from(self.below(62)).unwrap_or_default();
            *byte = BASE62.get(digit).copied().unwrap_or(b'0');
        }
        text
    }
}

impl fmt::Debug for Rng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rng(***)")
    }
}

/// One block of the ChaCha8 keystream (RFC 8439's function with 8 rounds, a
/// 64-bit counter and a zero nonce).
fn chacha8_block(key: &[u32; 8], counter: u64) -> [u32; 16] {
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
    let low = u32::try_from(counter & 0xffff_ffff).unwrap_or_default();
    let high = u32::try_from(counter >> 32).unwrap_or_default();
    let start = [
        0x6170_7865,
        0x3320_646e,
        0x7962_2d32,
        0x6b20_6574,
        k0,
        k1,
        k2,
        k3,
        k4,
        k5,
        k6,
        k7,
        low,
        high,
        0,
        0,
    ];
    let mut s = start;
    for _ in 0..4 {
        quarter(&mut s, 0, 4, 8, 12);
        quarter(&mut s, 1, 5, 9, 13);
        quarter(&mut s, 2, 6, 10, 14);
        quarter(&mut s, 3, 7, 11, 15);
        quarter(&mut s, 0, 5, 10, 15);
        quarter(&mut s, 1, 6, 11, 12);
        quarter(&mut s, 2, 7, 8, 13);
        quarter(&mut s, 3, 4, 9, 14);
    }
    for (word, start) in s.iter_mut().zip(start) {
        *word = word.wrapping_add(start);
    }
    s
}

#[allow(
    clippy::indexing_slicing,
    reason = "the four indices are the constants of the ChaCha round"
)]
fn quarter(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(16);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(12);
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(8);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first keystream block of ChaCha8 for an all-zero key and nonce, as
    /// published in the eSTREAM test vectors.
    #[test]
    fn keystream_matches_the_published_vector() {
        let block = chacha8_block(&[0; 8], 0);
        let bytes: alloc::vec::Vec<u8> = block.iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(
            &bytes[..16],
            &[
                0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f, 0x09,
                0xa5, 0xa1
            ]
        );
    }

    #[test]
    fn same_seed_same_stream_and_other_seed_another() {
        let mut a = Rng::new(&Seed::from_u64(7));
        let mut b = Rng::new(&Seed::from_u64(7));
        let mut c = Rng::new(&Seed::from_u64(8));
        let (a, b, c): ([u8; 22], [u8; 22], [u8; 22]) = (a.base62(), b.base62(), c.base62());
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut rng = Rng::new(&Seed::from_u64(1));
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            seen[usize::try_from(rng.below(5)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
        assert!(rng.jitter(Duration::from_millis(3)) <= Duration::from_millis(3));
        assert_eq!(rng.jitter(Duration::ZERO), Duration::ZERO);
    }
}
