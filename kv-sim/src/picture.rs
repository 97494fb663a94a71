//! A picture of a run: who said what to whom and when, what went wrong, what clients were told, and where a
//! promise was broken.
//!
//! ```text
//!   a run ─► Recorder ─► Recording ─► layout ─► svg, html ─► one page
//! ```
//!
//! - [`Recording`] is what happened, as data. Whatever runs in virtual time can write one with a [`Recorder`].
//! - [`draw`] makes of it a page that a browser shows and that needs nothing else. It is a pure function: the
//!   same recording gives the same bytes, wherever it is drawn.
//!
//! Names, keys, payloads and texts of errors are written as text, whatever is in them.
//!
//! ```
//! use kv_sim::{Mix, Scenario, picture, run_recorded};
//!
//! let (outcome, recording) = run_recorded(&Scenario::draw(7, Mix::Swarm));
//! assert_eq!(recording.is_broken(), !outcome.violations.is_empty());
//! assert!(picture::draw(&recording).starts_with("<!DOCTYPE html>"));
//! ```

mod escape;
mod gist;
mod html;
mod layout;
mod record;
mod recorder;
mod splitter;
mod svg;
#[cfg(test)]
mod tests;

pub use self::record::{
    Call, CallId, Concerns, Frame, FrameId, Lane, LaneId, Link, LinkId, Mark, MarkId, On,
    Recording, Role, Side, State, Strike, StrikeId, Tone, What, Words,
};
pub use self::recorder::Recorder;

use self::layout::Drawing;

/// Draws a recording as a page of HTML.
#[must_use]
pub fn draw(recording: &Recording) -> String {
    let mut page = String::new();
    // Writing into a string never fails.
    let _ = html::write_page(&mut page, recording, &Drawing::of(recording));
    page
}
