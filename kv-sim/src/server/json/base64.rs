//! Bytes in JSON, as Go writes them: base64 with padding.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends bytes in standard base64.
pub(super) fn base64_into(into: &mut String, bytes: &[u8]) {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    let letter = |bits: u32| {
        let letter = ALPHABET.get((bits & 63) as usize);
        letter.copied().unwrap_or(b'=')
    };
    let (triples, rest) = bytes.as_chunks::<3>();
    for [a, b, c] in triples {
        let bits = u32::from(*a) << 16 | u32::from(*b) << 8 | u32::from(*c);
        let four = [bits >> 18, bits >> 12, bits >> 6, bits];
        out.extend(four.map(letter));
    }
    match rest {
        [a] => {
            let bits = u32::from(*a) << 16;
            out.extend([letter(bits >> 18), letter(bits >> 12), b'=', b'=']);
        }
        [a, b] => {
            let bits = u32::from(*a) << 16 | u32::from(*b) << 8;
            out.extend([
                letter(bits >> 18),
                letter(bits >> 12),
                letter(bits >> 6),
                b'=',
            ]);
        }
        _ => {}
    }
    into.push_str(str::from_utf8(&out).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::base64_into;

    #[test]
    fn base64_pads() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("fooba", "Zm9vYmE="),
        ] {
            let mut out = String::new();
            base64_into(&mut out, text.as_bytes());
            assert_eq!(out, expected);
        }
    }
}
