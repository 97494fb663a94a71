//! The manual, a chapter to a module; that of the client is `kv_proto::manual`.

#[doc = include_str!("manual/testing.md")]
pub mod testing {}
