//! What can be said about a single request beside its subject.

use core::time::Duration;

use crate::kv::entry::Revision;
use crate::kv::read::ReadOptions;

macro_rules! options {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            pub(crate) timeout: Option<Duration>,
            $(pub(crate) $field: Option<$type>,)*
        }

        impl $name {
            /// Sets the deadline of this request, counted from the call:
            /// waiting for a connection, the reply and all retries together.
            /// The default is [`Config::request_timeout`](crate::Config::request_timeout).
            #[must_use]
            pub const fn timeout(mut self, timeout: Duration) -> Self {
                self.timeout = Some(timeout);
                self
            }

            $(
                $(#[$field_doc])*
                #[must_use]
                pub const fn $field(mut self, $field: $type) -> Self {
                    self.$field = Some($field);
                    self
                }
            )*
        }
    };
}

options! {
    /// Options of requests on whole buckets.
    CallOptions {}
}

options! {
    /// Options of a put and of an update.
    PutOptions {
        /// Lets the value expire after this time, rounded up to whole seconds.
        /// The bucket must have limit markers (nats-server 2.11, ADR-48) and
        /// keep one revision of each key: an older one would come to light again
        /// when the last one expires.
        ttl: Duration,
    }
}

options! {
    /// Options of a create.
    CreateOptions {
        /// Lets the entry expire after this time, rounded up to whole seconds.
        /// The bucket must have limit markers (nats-server 2.11, ADR-48).
        ttl: Duration,
    }
}

options! {
    /// Options of a delete.
    DeleteOptions {
        /// Deletes only if this is the key's last revision.
        expect: Revision,
    }
}

options! {
    /// Options of a purge.
    PurgeOptions {
        /// Purges only if this is the key's last revision.
        expect: Revision,
        /// Lets the tombstone expire after this time, rounded up to whole
        /// seconds. The bucket must have limit markers (nats-server 2.11).
        ttl: Duration,
    }
}

/// Options of a get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) read: ReadOptions,
}

impl GetOptions {
    /// Sets the deadline of this request, counted from the call.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Reads this revision instead of the last one.
    #[must_use]
    pub const fn revision(mut self, revision: Revision) -> Self {
        self.read.revision = Some(revision);
        self
    }

    /// Asks the leader of the bucket's stream instead of any replica: the
    /// answer is at least as new as every write acknowledged before, while
    /// the leadership is stable.
    #[must_use]
    pub const fn leader(mut self) -> Self {
        self.read.leader = true;
        self
    }

    /// Takes the first answer, even if it is older than what this client was told of the key before: see
    /// [`Config::reads_never_go_back`](crate::Config::reads_never_go_back).
    #[must_use]
    pub const fn any_replica(mut self) -> Self {
        self.read.any_age = true;
        self
    }
}
