//! Why servers cannot be started, and what is wrong with the text of a fault.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why there are no servers.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// Nobody can listen there.
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The system lacks a thread, or what it takes to wait for sockets.
    Start(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => write!(f, "cannot listen at {address}: {error}"),
            Self::Start(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::Start(error) => Some(error),
        }
    }
}

/// What is wrong with the text of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultError {
    /// There is no fault of that name.
    Unknown {
        /// The name.
        name: String,
    },
    /// It wants to know which message is met: a number from 1.
    NoNumber {
        /// The fault.
        name: &'static str,
        /// What was said instead.
        value: String,
    },
    /// It wants to know how often it comes: a time such as `500ms`, `5s` or `2m`.
    NoTime {
        /// The fault.
        name: &'static str,
        /// What was said instead.
        value: String,
    },
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(f, "there is no fault {name:?}"),
            Self::NoNumber { name, value } => {
                write!(
                    f,
                    "{name} meets one in so many messages, such as {name}=10; {value:?} is no such number"
                )
            }
            Self::NoTime { name, value } => {
                write!(
                    f,
                    "{name} comes every so often, such as {name}=500ms, 5s or 2m; {value:?} is no such time"
                )
            }
        }
    }
}

impl Error for FaultError {}
