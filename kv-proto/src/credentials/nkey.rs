//! NKeys: Ed25519 key pairs in the text form of NATS.
//!
//! A seed is base32 of two prefix bytes, the 32 bytes of the key and a checksum;
//! a public key the same with one prefix byte. Only keys of users log in, so
//! only those are read here.

use alloc::string::String;
use core::fmt;

use ed25519_dalek::{Signer, SigningKey};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Credentials, NoChallenge, Signature};

/// The key pair of a user. It shows its public key alone, and is wiped from
/// memory when dropped.
///
/// ```
/// use kv_proto::NKey;
///
/// let key = NKey::from_seed("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY")?;
/// assert_eq!(key.public_key(), "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4");
/// assert!(!format!("{key:?}").contains("SUAC"));
/// # Ok::<(), kv_proto::InvalidNKey>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NKey(SigningKey);

/// Why a text is not the seed of a user's key. The text itself is never part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidNKey {
    /// It is not base32 (RFC 4648, without padding) of the right length.
    #[error("seed is not base32 of 36 bytes")]
    Encoding,
    /// Some characters are wrong: the checksum does not fit.
    #[error("checksum of the seed does not fit")]
    Checksum,
    /// It is a public key, or the seed of something else than a user.
    #[error("not the seed of a user, which begins with SU")]
    NotAUserSeed,
}

/// "This is a seed", in the upper five bits.
const SEED: u8 = 18 << 3;
/// "This belongs to a user".
const USER: u8 = 20 << 3;

/// Two prefix bytes, the key, two bytes of checksum.
const SEED_LEN: usize = 36;

impl NKey {
    /// Reads a seed, which begins with `SU`. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// [`InvalidNKey`].
    pub fn from_seed(seed: &str) -> Result<Self, InvalidNKey> {
        let decoded = Zeroizing::new(base32_decode(seed.trim()).ok_or(InvalidNKey::Encoding)?);
        let [first, second, rest @ ..] = &*decoded;
        let (key, checksum) = rest.split_at(32);
        let body = decoded.get(..SEED_LEN - 2).unwrap_or_default();
        if checksum != crc16(body).to_le_bytes() {
            return Err(InvalidNKey::Checksum);
        }
        let kind = (first & 0b111) << 5 | second >> 3;
        if first & 0b1111_1000 != SEED || kind != USER {
            return Err(InvalidNKey::NotAUserSeed);
        }
        let key = key.try_into().map_err(|_| InvalidNKey::Encoding)?;
        Ok(Self(SigningKey::from_bytes(key)))
    }

    /// Returns the public key, which begins with `U`.
    #[must_use]
    pub fn public_key(&self) -> String {
        let mut bytes = [0; 35];
        let (body, checksum) = bytes.split_at_mut(33);
        if let [kind, key @ ..] = &mut *body {
            *kind = USER;
            key.copy_from_slice(self.0.verifying_key().as_bytes());
        }
        checksum.copy_from_slice(&crc16(body).to_le_bytes());
        base32_encode(&bytes)
    }

    /// Answers a server's challenge, if it gave one.
    pub(crate) fn answer(&self, nonce: Option<&str>) -> Result<Credentials, NoChallenge> {
        let nonce = nonce.ok_or(NoChallenge)?;
        Ok(Credentials::NKey {
            public_key: self.public_key(),
            signature: self.sign(nonce.as_bytes()),
        })
    }

    /// Signs a server's challenge.
    #[must_use]
    pub fn sign(&self, nonce: &[u8]) -> Signature {
        Signature(self.0.sign(nonce).to_bytes())
    }
}

impl fmt::Debug for NKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NKey").field(&self.public_key()).finish()
    }
}

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut count) = (0_u32, 0);
    let mut push = |value: u32| {
        let at = usize::try_from(value & 31).unwrap_or(0);
        text.extend(ALPHABET.get(at).map(|byte| char::from(*byte)));
    };
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            push(bits >> count);
        }
    }
    if count > 0 {
        push(bits << (5 - count));
    }
    text
}

/// Decodes exactly a seed's length; bits beyond the last byte must be zero.
fn base32_decode(text: &str) -> Option<[u8; SEED_LEN]> {
    if text.len() != (SEED_LEN * 8).div_ceil(5) {
        return None;
    }
    let mut decoded = [0; SEED_LEN];
    let mut into = decoded.iter_mut();
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5 | u32::from(value)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            *into.next()? = u8::try_from(bits >> count & 0xff).ok()?;
        }
    }
    (bits & ((1 << count) - 1) == 0).then_some(decoded)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

    #[test]
    fn every_wrong_character_is_noticed() {
        for at in 0..SEED.len() {
            for other in "AZ27a-1 ".chars() {
                let mut wrong = SEED.to_string();
                wrong.replace_range(at..=at, &other.to_string());
                let read = NKey::from_seed(&wrong);
                assert_eq!(read.is_ok(), wrong.trim() == SEED, "{wrong:?}");
            }
        }
        for len in 0..SEED.len() {
            assert_eq!(NKey::from_seed(&SEED[..len]), Err(InvalidNKey::Encoding));
        }
        let padded = format!(" {SEED}\r\n");
        assert!(NKey::from_seed(&padded).is_ok());
    }

    #[test]
    fn a_public_key_is_no_seed() {
        let key = NKey::from_seed(SEED).unwrap();
        let public = format!("{}AA", key.public_key());
        assert!(NKey::from_seed(&public).is_err());
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let decoded = base32_decode(SEED).unwrap();
        assert_eq!(base32_encode(&decoded), SEED);
    }

    #[test]
    fn errors_do_not_repeat_the_seed() {
        let wrong = SEED.replace('3', "A");
        let error = NKey::from_seed(&wrong).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&wrong[4..20]));
    }
}
