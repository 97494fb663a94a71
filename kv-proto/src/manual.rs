//! The manual, a chapter to a module. The documentation of the crate itself is
//! its overview.

#[doc = include_str!("manual/watching.md")]
pub mod watching {}

#[doc = include_str!("manual/permissions.md")]
pub mod permissions {}

#[doc = include_str!("manual/domains.md")]
pub mod domains {}

#[doc = include_str!("manual/security.md")]
pub mod security {}
