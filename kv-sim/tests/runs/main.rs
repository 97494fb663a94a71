//! Runs of the simulator: what they promise, what they find, and that they are the same when repeated.

mod cancellation;
mod determinism;
mod fairness;
mod found;
mod handshake;
mod picture;
mod scenes;
mod shrinking;
mod storms;
