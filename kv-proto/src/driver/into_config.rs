//! What a client can be connected with.

use crate::config::Config;
use crate::error::ConnectError;

/// A [`Config`], or a text that becomes one: a URL, or several separated by
/// commas.
pub trait IntoConfig {
    /// Returns the configuration.
    ///
    /// # Errors
    ///
    /// [`ConnectError::InvalidUrl`].
    fn into_config(self) -> Result<Config, ConnectError>;
}

impl<C> IntoConfig for C
where
    C: TryInto<Config>,
    ConnectError: From<C::Error>,
{
    fn into_config(self) -> Result<Config, ConnectError> {
        Ok(self.try_into()?)
    }
}
