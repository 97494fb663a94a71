//! The seed of a client, drawn from the operating system. Nothing else here is
//! random: a session takes what it is given.

use alloc::string::ToString;
use core::fmt::Display;

use crate::error::ConnectError;
use crate::rng::Seed;

/// Draws a seed.
pub(super) fn seed() -> Result<Seed, ConnectError> {
    drawn_from(getrandom::fill)
}

/// Draws one from a source, which fills what it is given or fails.
fn drawn_from<E: Display>(
    source: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Seed, ConnectError> {
    let mut entropy = [0; 32];
    source(&mut entropy).map_err(|error| ConnectError::Entropy(error.to_string()))?;
    Ok(Seed::new(entropy))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without entropy there is no seed, rather than one that can be guessed, whatever the source has filled in.
    #[test]
    fn a_source_that_fails_makes_no_seed() {
        let fails = |entropy: &mut [u8]| {
            entropy.fill(7);
            Err("the pool is empty")
        };
        let error = ConnectError::Entropy("the pool is empty".into());
        assert_eq!(drawn_from(fails).err(), Some(error));
    }

    #[test]
    fn no_two_clients_have_one_seed() {
        let drawn = || crate::rng::Rng::new(&seed().unwrap()).next_u64();
        assert_ne!(drawn(), drawn());
    }
}
