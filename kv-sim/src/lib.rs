//! A simulated NATS server for JetStream Key-Value, in virtual time.
//!
//! [`server::Cluster`] is the whole of it: a value without sockets, clock or randomness of its own. Bytes
//! of clients and the time go in, bytes for clients come out; the same seed and the same calls give the
//! same bytes. It behaves like one of the [`server::Version`]s of the real server, which the differential
//! test of this crate holds it against.

#![warn(clippy::indexing_slicing)]

pub mod server;
