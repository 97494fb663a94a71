//! Percent-encoding, for what a URL cannot say as it is (RFC 3986).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Decodes a text; `None` if it is not valid or not UTF-8 then.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

/// Writes a path so that it stays one in a URL, in a list of URLs and in a line of text.
pub(super) fn encode_path(path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for char in path.chars() {
        if char.is_alphanumeric() || "/-._~!$&'()*+;=:@".contains(char) {
            write!(f, "{char}")?;
            continue;
        }
        for byte in char.encode_utf8(&mut [0; 4]).bytes() {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}
