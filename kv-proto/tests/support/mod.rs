//! What the tests of the session's contract share: a server in memory, and an
//! embedder that joins it to a session in virtual time.

#![allow(dead_code, reason = "each test binary uses another part")]

pub(crate) mod consumers;
pub(crate) mod embedder;
pub(crate) mod parser;
pub(crate) mod peer;
pub(crate) mod watching;
