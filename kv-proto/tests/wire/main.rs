//! Laws of the wire layer: recorded, generated and damaged bytes.

mod support;

mod chunk_law;
mod limits;
mod reference;
mod roundtrip;
