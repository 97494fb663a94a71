//! Finds secrets in an output, also in disguise.

use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// A secret, and every form of it that must not show.
#[derive(Debug)]
pub(super) struct Canary {
    name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    pub(super) fn new(name: &str, secret: &[u8]) -> Self {
        assert!(secret.len() >= 12, "{name} would be found by chance");
        let hex = |separator: &str, upper: bool, before: &str| {
            let digits = secret.iter().map(|byte| match upper {
                true => format!("{before}{byte:02X}"),
                false => format!("{before}{byte:02x}"),
            });
            digits.collect::<Vec<_>>().join(separator).into_bytes()
        };
        let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
        let reserved = secret.iter().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(*byte).to_string()
            }
            other => format!("%{other:02X}"),
        });
        let mut forms = vec![
            ("clear", secret.to_vec()),
            ("escaped", secret.escape_ascii().collect()),
            ("hex", hex("", false, "")),
            ("hex", hex("", true, "")),
            ("hex, spaced", hex(" ", false, "")),
            ("hex, as a list", hex(", ", false, "")),
            ("hex, as a list", hex(", ", false, "0x")),
            ("a list of bytes", decimal.join(", ").into_bytes()),
            ("percent-encoded", hex("", true, "%")),
            ("percent-encoded", hex("", false, "%")),
            ("percent-encoded", reserved.collect::<String>().into_bytes()),
        ];
        for alphabet in [&STANDARD, &URL_SAFE] {
            for before in 0..3 {
                forms.push(("base64", in_base64(secret, before, alphabet)));
            }
        }
        Self {
            name: name.to_owned(),
            forms,
        }
    }

    /// Every form in which it shows.
    pub(super) fn found_in(&self, output: &[u8]) -> Vec<String> {
        let shows = self.forms.iter().filter(|(_, form)| contains(output, form));
        shows
            .map(|(form, _)| format!("{} in {form}", self.name))
            .collect()
    }
}

/// The digits that depend on the secret alone when so many bytes (of any three) come before it.
fn in_base64(secret: &[u8], before: usize, alphabet: &Alphabet) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret);
    bytes.truncate(bytes.len() / 3 * 3);
    let digits = GeneralPurpose::new(alphabet, NO_PAD).encode(bytes);
    let shared = [0, 2, 3];
    digits.as_bytes()[shared[before]..].to_vec()
}

pub(super) fn contains(output: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else {
        return true;
    };
    let begins = output.iter().enumerate().filter(|(_, byte)| *byte == first);
    begins
        .map(|(at, _)| &output[at..])
        .any(|rest| rest.starts_with(needle))
}
