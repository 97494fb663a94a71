//! Who the client is. Secrets are a type that never shows.

#[cfg(feature = "nkeys")]
mod nkey;
#[cfg(feature = "nkeys")]
mod user_creds;

use alloc::string::String;
use core::fmt;
use core::hint::black_box;
use core::mem;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use thiserror::Error;

#[cfg(feature = "nkeys")]
pub use nkey::{InvalidNKey, NKey};
#[cfg(feature = "nkeys")]
pub use user_creds::{InvalidCreds, UserCreds};

/// A text that must not appear in logs, errors or `Debug` output, and is wiped from memory when dropped. What is
/// on its way to a server is not, nor what the text was made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        black_box(&bytes); // somebody may look: to write the zeros is no waste
    }
}

impl Secret {
    /// Hides a text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the hidden text; only the encoder of `CONNECT` calls it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

/// How the client proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// A user name and a password.
    UserPassword {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
    /// A public key, and the server's challenge signed with its private half.
    NKey {
        /// The public key, which begins with `U`.
        public_key: String,
        /// The signature of the nonce's bytes.
        signature: Signature,
    },
    /// A user's JWT, and the server's challenge signed with the user's key.
    Jwt {
        /// The JWT.
        jwt: Secret,
        /// The signature of the nonce's bytes; none with a bearer token.
        signature: Option<Signature>,
    },
}

/// A text that is shorter hides nothing, and would be found in every sentence.
const SHORTEST_SECRET: usize = 4;

impl Credentials {
    /// Whether who overhears them can log in with them, too. A signature is of one challenge.
    pub(crate) const fn can_be_overheard(&self) -> bool {
        match self {
            Self::UserPassword { .. }
            | Self::Token(_)
            | Self::Jwt {
                signature: None, ..
            } => true,
            Self::None
            | Self::NKey { .. }
            | Self::Jwt {
                signature: Some(_), ..
            } => false,
        }
    }

    /// Hides what is secret of them in a text of the server that they were sent to; a text that is a part of the
    /// secret is hidden as a whole.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        let secret = match self {
            Self::UserPassword { password, .. } => password.expose(),
            Self::Token(token) => token.expose(),
            Self::Jwt { jwt, .. } => jwt.expose(),
            Self::None | Self::NKey { .. } => return text.into(),
        };
        if secret.len() < SHORTEST_SECRET {
            return text.into();
        }
        if text.len() >= SHORTEST_SECRET && secret.contains(text) {
            return "***".into();
        }
        text.replace(secret, "***")
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub(crate) [u8; 64]);

impl Signature {
    /// Takes the bytes of a signature that was made elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns what servers take: base64url without padding.
    pub(crate) fn encoded(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

/// Where the credentials of a connection come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication {
    /// From the server's URL, or else from here.
    #[default]
    Anonymous,
    /// The same ones for each connection whose URL holds none.
    Fixed(Credentials),
    /// A user's key signs the challenge of each connection.
    #[cfg(feature = "nkeys")]
    NKey(NKey),
    /// A user's key signs the challenge of each connection, and a JWT says what the user may do.
    #[cfg(feature = "nkeys")]
    Jwt(UserCreds),
    /// From the embedder, who is asked on each connection by
    /// [`LinkAction::Authenticate`](crate::LinkAction::Authenticate).
    Asked,
}

impl Authentication {
    /// What to log in with where the URL says nothing; `None` if the embedder is to be asked.
    ///
    /// # Errors
    ///
    /// [`NoChallenge`] if something is to be signed, and the server gave nothing to sign.
    pub(crate) fn credentials(
        &self,
        nonce: Option<&str>,
    ) -> Result<Option<Credentials>, NoChallenge> {
        #[cfg(not(feature = "nkeys"))]
        let _ = nonce;
        Ok(match self {
            Self::Anonymous => Some(Credentials::None),
            Self::Fixed(credentials) => Some(credentials.clone()),
            #[cfg(feature = "nkeys")]
            Self::NKey(key) => Some(key.answer(nonce)?),
            #[cfg(feature = "nkeys")]
            Self::Jwt(creds) => Some(creds.answer(nonce)?),
            Self::Asked => None,
        })
    }
}

/// The server gives no challenge to sign: neither NKeys nor JWTs are configured there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("server gives no challenge to sign")]
pub struct NoChallenge;
