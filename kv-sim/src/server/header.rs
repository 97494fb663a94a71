//! Header blocks as the server sees them: a byte string it searches and cuts, never a parsed map.

use bytes::Bytes;

pub(crate) const EMPTY_LINE: &[u8] = b"NATS/1.0\r\n";
const PREFIX: &[u8] = b"NATS/1.0";
const CRLF: &[u8] = b"\r\n";

/// Returns the value of the first header of exactly that name, leading blanks cut off.
pub(crate) fn value<'a>(block: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = index(block, name)? + name.len() + 1;
    let rest = block.get(at..)?;
    let rest = rest.trim_ascii_start_blanks();
    let end = find(rest, CRLF).unwrap_or(rest.len());
    rest.get(..end)
}

/// Like [`value`], as text, and an empty value is none.
pub(crate) fn text<'a>(block: &'a [u8], name: &str) -> Option<std::borrow::Cow<'a, str>> {
    value(block, name)
        .filter(|value| !value.is_empty())
        .map(String::from_utf8_lossy)
}

/// Appends a header, as the server does: the last two bytes of the block are taken for its empty line.
pub(crate) fn with(block: &[u8], name: &str, value: &str) -> Vec<u8> {
    let mut out = match block.len().checked_sub(2) {
        Some(end) if end > 0 => block.get(..end).unwrap_or_default().to_vec(),
        _ => EMPTY_LINE.to_vec(),
    };
    out.extend_from_slice(format!("{name}: {value}\r\n\r\n").as_bytes());
    out
}

/// Removes every header of that name; `None` when nothing is left.
pub(crate) fn without(block: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut out = block.to_vec();
    while let Some(start) = index(&out, name) {
        let Some(length) = out.get(start..).and_then(|rest| find(rest, CRLF)) else {
            break;
        };
        out.drain(start..start + length + CRLF.len());
    }
    (out.len() > EMPTY_LINE.len() + 2).then_some(out)
}

/// Removes every header whose name begins so; empty when nothing is left.
pub(crate) fn without_prefixed(block: &Bytes, prefix: &str) -> Bytes {
    let prefix = prefix.as_bytes();
    let starts = |at: usize| block.get(at.wrapping_sub(2)..at) == Some(CRLF);
    if !(2..block.len())
        .any(|at| starts(at) && block.get(at..).is_some_and(|rest| rest.starts_with(prefix)))
    {
        return block.clone();
    }
    let mut out = block.to_vec();
    let mut from = 0;
    while let Some(found) = out.get(from..).and_then(|rest| find(rest, prefix)) {
        let at = from + found;
        if out.get(at.wrapping_sub(2)..at) != Some(CRLF) {
            from = at + prefix.len();
            continue;
        }
        let Some(length) = out.get(at..).and_then(|rest| find(rest, CRLF)) else {
            break;
        };
        out.drain(at..at + length + CRLF.len());
        from = at;
    }
    if out.len() <= EMPTY_LINE.len() + 2 {
        return Bytes::new();
    }
    out.into()
}

/// What a stream keeps of a published block: the status of its first line goes; a block without headers
/// is none.
pub(crate) fn ingested(block: &Bytes) -> Bytes {
    let Some(end) = block.iter().position(|byte| *byte == b'\r') else {
        return block.clone();
    };
    if !block.starts_with(PREFIX) || end <= PREFIX.len() {
        return block.clone();
    }
    let mut out = PREFIX.to_vec();
    out.extend_from_slice(block.get(end..).unwrap_or_default());
    if out.len() == EMPTY_LINE.len() + 2 {
        return Bytes::new();
    }
    out.into()
}

/// Where the name begins: after CR LF and before a colon.
fn index(block: &[u8], name: &str) -> Option<usize> {
    let name = name.as_bytes();
    let mut from = 0;
    loop {
        let found = find(block.get(from..)?, name)?;
        if found < 2 {
            return None; // the server gives up here, even when it began in the middle
        }
        let at = from + found;
        let preceded = block.get(at - 2..at) == Some(CRLF);
        if preceded {
            match block.get(at + name.len()) {
                Some(b':') => return Some(at),
                None => return None,
                Some(_) => {}
            }
        }
        from = at + name.len();
    }
}

pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (first, rest) = needle.split_first()?;
    let mut from = 0;
    loop {
        let after = bytes.get(from..)?;
        let at = from + after.iter().position(|byte| byte == first)?;
        from = at + 1;
        if bytes.get(from..)?.starts_with(rest) {
            return Some(at);
        }
    }
}

trait TrimBlanks {
    fn trim_ascii_start_blanks(&self) -> &[u8];
}

impl TrimBlanks for [u8] {
    fn trim_ascii_start_blanks(&self) -> &[u8] {
        let start = self.iter().position(|byte| *byte != b' ');
        self.get(start.unwrap_or(self.len())..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_exact_name() {
        let block = b"NATS/1.0\r\nXy-B: 1\r\nXy: 2\r\nXy: 3\r\nE:\r\n\r\n";
        assert_eq!(value(block, "Xy"), Some(b"2".as_slice()));
        assert_eq!(value(block, "Xy-B"), Some(b"1".as_slice()));
        assert_eq!(value(block, "xy"), None);
        assert_eq!(value(block, "E"), Some(b"".as_slice()));
        assert_eq!(text(block, "E"), None);
    }

    #[test]
    fn appends_before_the_empty_line() {
        let block = with(b"NATS/1.0\r\nXy: 1\r\n\r\n", "B", "2");
        assert_eq!(block, b"NATS/1.0\r\nXy: 1\r\nB: 2\r\n\r\n");
        assert_eq!(with(b"", "B", "2"), b"NATS/1.0\r\nB: 2\r\n\r\n");
        assert_eq!(with(b"HELLO", "B", "2"), b"HELB: 2\r\n\r\n");
        assert_eq!(
            without(&block, "Xy").as_deref(),
            Some(b"NATS/1.0\r\nB: 2\r\n\r\n".as_slice())
        );
    }

    #[test]
    fn cuts_a_status_on_the_way_in() {
        let cut = ingested(&Bytes::from_static(b"NATS/1.0 404 mine\r\nA: 1\r\n\r\n"));
        assert_eq!(cut.as_ref(), b"NATS/1.0\r\nA: 1\r\n\r\n");
    }
}
