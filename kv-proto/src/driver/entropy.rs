//! The seed of a client, drawn from the operating system. Nothing else here is
//! random: a session takes what it is given.

use alloc::string::ToString;

use crate::error::ConnectError;
use crate::rng::Seed;

/// Draws a seed.
pub(super) fn seed() -> Result<Seed, ConnectError> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| ConnectError::Entropy(error.to_string()))?;
    Ok(Seed::new(entropy))
}
