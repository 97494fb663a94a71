//! What a session says to a log, with the feature `tracing`; without it, nothing is compiled.
//!
//! Frames are told at level *trace*, by their length: never what is in them, nor keys or subjects. What becomes of
//! connections is told at *debug*, and a server that breaks the protocol at *warn*. Nothing that a server made up is
//! told but in the words of a [`Disconnect`](crate::Disconnect), which hide the secrets that it was sent.

#[cfg(feature = "tracing")]
pub(crate) use tracing::{debug, trace, warn};

#[cfg(not(feature = "tracing"))]
mod silent {
    macro_rules! silent {
        ($($said:tt)*) => {};
    }
    pub(crate) use silent as debug;
    pub(crate) use silent as trace;
    pub(crate) use silent as warn;
}
#[cfg(not(feature = "tracing"))]
pub(crate) use silent::{debug, trace, warn};
