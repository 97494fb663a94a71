//! The only randomness of the simulated server: splitmix64, reproducible everywhere.

/// Letters of the names a server makes up.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// A name of `len` letters and digits.
    pub(crate) fn name(&mut self, len: usize) -> String {
        (0..len)
            .filter_map(|_| {
                let at = usize::try_from(self.below(62)).ok()?;
                BASE62.get(at).map(|byte| char::from(*byte))
            })
            .collect()
    }
}

impl Rng {
    /// A generator of its own for somebody else: what they draw reshuffles nothing here.
    pub(crate) fn child(&mut self) -> Self {
        Self(self.next() ^ 0x6A09_E667_F3BC_C908)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    ///
    /// # Panics
    ///
    /// If there is none to pick.
    #[allow(clippy::indexing_slicing, reason = "the lists are our own")]
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or(0)]
    }
}
