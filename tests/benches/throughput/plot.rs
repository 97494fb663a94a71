//! The ratios as a picture: one bar a workload, and a line where the rival stands.

use std::fmt::Write;

/// One workload.
pub(crate) struct Bar {
    pub(crate) label: String,
    /// Ours as a multiple of the rival.
    pub(crate) ratio: f64,
}

const ROW: usize = 26;
const LEFT: usize = 130;
/// The length of a bar of ratio one.
const ONE: f64 = 420.0;
const TOP: usize = 48;

/// Draws them, the first on top.
pub(crate) fn svg(bars: &[Bar]) -> String {
    let (width, height) = (640, TOP + ROW * bars.len() + 12);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" fill=\"#222222\">CPU time per operation, kv-tokio as a share of async-nats</text>\n"
    );
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * row;
        let middle = y + 13;
        let length = (bar.ratio * ONE).min(ONE + 60.0);
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\" fill=\"#222222\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.0}\" height=\"18\" fill=\"#2a7de1\"/>\n\
             <text x=\"{:.0}\" y=\"{middle}\" fill=\"#222222\">{:.0} %</text>",
            LEFT - 10,
            bar.label,
            130.0 + length + 8.0,
            bar.ratio * 100.0,
        );
    }
    let x = 130.0 + ONE;
    let _ = writeln!(
        text,
        "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{height}\" stroke=\"#c0392b\" stroke-dasharray=\"4 3\"/>\n\
         <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#c0392b\">async-nats</text>\n</svg>",
        TOP - 8,
        TOP - 12,
    );
    text
}
