//! What watches told wrongly, or never.

mod consumers;
mod floor;
mod links;
mod resume;
mod synced;
