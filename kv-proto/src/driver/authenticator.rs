//! Asking for credentials on each connection, where that takes time or a file.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;

use crate::config::Config;
use crate::credentials::{Authentication, Credentials};
use crate::server::ServerAddr;
#[cfg(feature = "nkeys")]
use crate::{NKey, NoChallenge, UserCreds};

/// Who is asked for the credentials of each connection; see
/// [`Config::authenticate_with`].
#[derive(Clone)]
pub struct Authenticator(Arc<dyn Fn(Challenge) -> Asking + Send + Sync>);

/// Credentials that are being found.
pub(super) type Asking = Pin<Box<dyn Future<Output = Result<Credentials, Error>> + Send>>;

/// Why they could not be; its text becomes part of the client's last disconnect.
type Error = Box<dyn core::error::Error + Send + Sync>;

/// What a server says when it wants credentials.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Challenge {
    /// The server.
    pub server: ServerAddr,
    /// What it wants signed, if it takes signatures.
    pub nonce: Option<String>,
}

#[cfg(feature = "nkeys")]
impl Challenge {
    /// Answers with a user's key.
    ///
    /// # Errors
    ///
    /// [`NoChallenge`] if there is nothing to sign.
    pub fn sign(&self, key: &NKey) -> Result<Credentials, NoChallenge> {
        key.answer(self.nonce.as_deref())
    }

    /// Answers with a user's JWT and key.
    ///
    /// # Errors
    ///
    /// [`NoChallenge`] if there is nothing to sign.
    pub fn sign_with(&self, creds: &UserCreds) -> Result<Credentials, NoChallenge> {
        creds.answer(self.nonce.as_deref())
    }
}

impl Authenticator {
    pub(super) fn ask(&self, challenge: Challenge) -> Asking {
        (self.0)(challenge)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

impl Config {
    /// Asks for credentials on each connection whose URL holds none: a secret
    /// that rotates, a signature that is made elsewhere. The time it takes counts
    /// as part of the [time to connect](Config::connect_timeout); an error counts
    /// as a server that cannot be reached, and is tried again like one.
    ///
    /// For clients that are driven; who drives a bare session answers
    /// [`LinkAction::Authenticate`](crate::LinkAction::Authenticate).
    ///
    /// ```
    /// use kv_proto::{Config, Credentials};
    ///
    /// # async fn token_of_the_hour() -> Result<String, std::io::Error> { Ok("t".into()) }
    /// let config = Config::new("nats://localhost")?
    ///     .authenticate_with(|_| async { Ok(Credentials::Token(token_of_the_hour().await?.into())) });
    /// # Ok::<(), kv_proto::InvalidUrl>(())
    /// ```
    #[must_use]
    pub fn authenticate_with<F, A>(mut self, ask: F) -> Self
    where
        F: Fn(Challenge) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials, Error>> + Send + 'static,
    {
        let ask = move |challenge| -> Asking { Box::pin(ask(challenge)) };
        self.authentication = Authentication::Asked;
        self.authenticator = Some(Authenticator(Arc::new(ask)));
        self
    }

    /// Logs in with the JWT and the seed of a `.creds` file, which is read on
    /// each connection, so that it can be replaced while the client runs.
    #[cfg(feature = "nkeys")]
    #[must_use]
    pub fn creds_file(self, path: impl Into<std::path::PathBuf>) -> Self {
        let path = path.into();
        self.authenticate_with(move |challenge| {
            let path = path.clone();
            async move {
                let text = zeroize::Zeroizing::new(std::fs::read_to_string(path)?);
                Ok(challenge.sign_with(&UserCreds::parse(&text)?)?)
            }
        })
    }
}
