//! Counts that what a server sends moves up and down.
//!
//! They stop at their ends instead of wrapping round or panicking. Where assertions are on, as in tests, one that
//! would go below zero panics: then something was counted off that was never counted.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

/// A count.
pub(crate) trait Tally: Copy {
    /// Counts more.
    fn raise(&mut self, by: Self);

    /// Counts off what was counted before.
    fn lower(&mut self, by: Self);
}

macro_rules! tally {
    ($($number:ty)*) => {$(
        impl Tally for $number {
            #[inline]
            fn raise(&mut self, by: Self) {
                *self = self.saturating_add(by);
            }

            #[inline]
            fn lower(&mut self, by: Self) {
                debug_assert!(*self >= by, "{self} is less than {by}");
                *self = self.saturating_sub(by);
            }
        }
    )*};
}

tally!(u32 u64 usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stops_at_its_ends() {
        let mut count = u64::MAX - 1;
        count.raise(1);
        count.raise(7);
        assert_eq!(count, u64::MAX);
        count.lower(u64::MAX);
        assert_eq!(count, 0);
    }

    #[test]
    #[should_panic = "1 is less than 2"]
    #[cfg(debug_assertions)]
    fn what_was_never_counted_is_not_counted_off() {
        1_usize.lower(2);
    }
}
