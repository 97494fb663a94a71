//! The text of a `.creds` file: a user's JWT and the seed that signs for it.

use core::str::Lines;

use thiserror::Error;

use super::{Credentials, InvalidNKey, NKey, NoChallenge, Secret};

/// A user's JWT with the key that signs for it, as `nsc` writes them into a
/// `.creds` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCreds {
    jwt: Secret,
    key: NKey,
}

/// Why a text is not that of a `.creds` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidCreds {
    /// There is no block with a JWT.
    #[error("no block with a user JWT")]
    NoJwt,
    /// There is no second block, with a seed.
    #[error("no block with a seed")]
    NoSeed,
    /// The seed is not valid.
    #[error("invalid seed")]
    Seed(#[from] InvalidNKey),
}

impl UserCreds {
    /// Puts a JWT and the key of its user together.
    #[must_use]
    pub fn new(jwt: impl Into<Secret>, key: NKey) -> Self {
        let jwt = jwt.into();
        Self { jwt, key }
    }

    /// Answers a server's challenge, if it gave one.
    pub(crate) fn answer(&self, nonce: Option<&str>) -> Result<Credentials, NoChallenge> {
        let nonce = nonce.ok_or(NoChallenge)?;
        Ok(Credentials::Jwt {
            jwt: self.jwt.clone(),
            signature: Some(self.key.sign(nonce.as_bytes())),
        })
    }

    /// Reads the text of a `.creds` file: two blocks, each between a line of
    /// dashes with `BEGIN` and one with `END`, first the JWT and then the seed.
    ///
    /// # Errors
    ///
    /// [`InvalidCreds`].
    pub fn parse(text: &str) -> Result<Self, InvalidCreds> {
        let mut lines = text.lines();
        let jwt = block(&mut lines).ok_or(InvalidCreds::NoJwt)?;
        let seed = block(&mut lines).ok_or(InvalidCreds::NoSeed)?;
        Ok(Self::new(jwt, NKey::from_seed(seed)?))
    }
}

/// The first line that is not empty within the next block.
fn block<'a>(lines: &mut Lines<'a>) -> Option<&'a str> {
    let is_mark = |line: &str, word| line.starts_with("---") && line.contains(word);
    lines.find(|line| is_mark(line.trim(), "BEGIN"))?;
    let content = lines.map(str::trim).find(|line| !line.is_empty())?;
    (!is_mark(content, "END")).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

    fn file(jwt: &str, seed: &str) -> alloc::string::String {
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn both_blocks_are_read_however_lines_end() {
        let expected = UserCreds::new("eyJ.x.y", NKey::from_seed(SEED).unwrap());
        for text in [
            file("eyJ.x.y", SEED),
            file("\n  eyJ.x.y  ", SEED).replace('\n', "\r\n"),
            file("eyJ.x.y", SEED).replace("-----B", "---B"),
        ] {
            assert_eq!(UserCreds::parse(&text), Ok(expected.clone()), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let whole = file("eyJ.x.y", SEED);
        let half = whole.split("***").next().unwrap();
        assert_eq!(UserCreds::parse(""), Err(InvalidCreds::NoJwt));
        assert_eq!(UserCreds::parse(&file("", SEED)), Err(InvalidCreds::NoJwt));
        assert_eq!(UserCreds::parse(half), Err(InvalidCreds::NoSeed));
        let wrong = UserCreds::parse(&file("eyJ.x.y", "SUAC"));
        assert_eq!(wrong, Err(InvalidCreds::Seed(InvalidNKey::Encoding)));
    }
}
