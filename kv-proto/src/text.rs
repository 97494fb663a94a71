//! Texts of servers, of which no more is kept than a bound allows.

/// The beginning of a text, at most so many bytes, cut between characters.
pub(crate) fn beginning(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
