//! Who may connect, and who may publish and subscribe to what.

use super::subject;

/// How clients prove who they are.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Everybody may connect.
    #[default]
    Open,
    /// Users with passwords.
    Users(Vec<User>),
    /// One token for all.
    Token(String),
}

/// Somebody who may connect.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password, in the clear.
    pub password: String,
    /// What this user may do.
    pub permissions: Permissions,
}

/// What a user may do; nothing said means everything.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    /// Where messages may be sent.
    pub publish: Subjects,
    /// What may be listened to.
    pub subscribe: Subjects,
}

/// Subjects that are allowed, all if none is named, and subjects that are not.
#[derive(Clone, Debug, Default)]
pub struct Subjects {
    /// Allowed patterns.
    pub allow: Vec<String>,
    /// Denied patterns, which win.
    pub deny: Vec<String>,
}

impl Subjects {
    /// Whether all that `subject` stands for is allowed, and not all of it denied.
    pub(crate) fn permit(&self, subject: &[u8]) -> bool {
        let within = |pattern: &String| subject::matches(subject, pattern.as_bytes());
        (self.allow.is_empty() || self.allow.iter().any(within)) && !self.deny.iter().any(within)
    }

    /// The denied subjects inside a pattern that is allowed as a whole.
    pub(crate) fn hidden_from(&self, subject: &[u8]) -> Vec<String> {
        if !subject::has_wildcard(subject) {
            return Vec::new();
        }
        let denied = self.deny.iter();
        let inside = denied.filter(|deny| subject::overlap(deny.as_bytes(), subject));
        inside.cloned().collect()
    }
}

impl Auth {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The permissions of whoever brings these credentials; `None` if nobody does.
    pub(crate) fn admit(&self, user: &str, pass: &str, token: &str) -> Option<Permissions> {
        match self {
            Self::Open => Some(Permissions::default()),
            Self::Token(expected) => (expected == token).then(Permissions::default),
            Self::Users(users) => {
                let found = users
                    .iter()
                    .find(|one| one.name == user && one.password == pass);
                found.map(|one| one.permissions.clone())
            }
        }
    }
}
