//! Scenarios in which the simulator found the client wrong, or its own judge, shrunk, with what was wrong: each
//! broke a promise before it was mended.

mod acknowledgements;
mod calm;
mod closing;
mod given_up;
mod judge;
mod reads;
mod rewinds;
mod watches;
