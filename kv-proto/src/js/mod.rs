//! The JetStream API as data: subjects, JSON bodies, replies and errors. No
//! state, and no meaning of keys or buckets.

pub(crate) mod account;
pub(crate) mod consumer;
pub(crate) mod delivery;
pub(crate) mod error;
pub(crate) mod message;
pub(crate) mod purge;
pub(crate) mod stream;
pub(crate) mod subject;
