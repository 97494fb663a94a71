//! Watches and listings as data: what is asked for, and how it is read.

/// Which keys a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Scope {
    /// All, without a filter.
    Every,
    /// All, by a filter that says so.
    Star,
    /// Those whose bits are set, by a filter each.
    These(u32),
    /// A filter that no key matches.
    NoKey,
}

impl Scope {
    /// Whether a key is one of them.
    #[must_use]
    pub const fn has(self, key: u8) -> bool {
        match self {
            Self::Every | Self::Star => true,
            Self::These(bits) => key < 32 && (bits >> key) & 1 == 1,
            Self::NoKey => false,
        }
    }
}

/// From where on a watch is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Since {
    /// The last revision of every key.
    Last,
    /// All that is kept.
    History,
    /// What is written from now on.
    Now,
    /// The newest revision that the client has seen of any key, or one so many before.
    Revision(u8),
    /// The position of that one of the client's earlier watches; the beginning if there is none.
    Position(u8),
}

/// What a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Purpose {
    /// To learn of changes.
    Watching,
    /// To list what there is, with all options.
    Listing,
    /// To list keys.
    KeysOnly,
    /// To list the revisions of a key.
    HistoryOf(u8),
}

/// How a watch is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_enums,
    reason = "part of scenarios, which are literals"
)]
pub enum Reader {
    /// All at once.
    Eager,
    /// One update each so many milliseconds.
    Slow(u16),
    /// All at once, but for one pause of so many milliseconds behind so many updates.
    Pausing(u8, u16),
    /// Not before the storm is over.
    Asleep,
}

/// A watch or a listing that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "part of scenarios, which are literals"
)]
pub struct Watch {
    /// What it is for.
    pub purpose: Purpose,
    /// Which keys.
    pub scope: Scope,
    /// From where on.
    pub since: Since,
    /// Whether tombstones are left out.
    pub ignore_deletes: bool,
    /// Whether values are left out.
    pub meta_only: bool,
    /// How often servers say that it lives, in milliseconds; 0 for the default.
    pub heartbeat_ms: u16,
    /// How long it may take to open, in milliseconds; 0 for the default.
    pub patience_ms: u16,
    /// The deadline on the whole, in milliseconds; 0 for none.
    pub timeout_ms: u16,
    /// How many entries, and how many bytes of them, may wait for the reader; 0 for the default.
    pub buffer: (u16, u16),
    /// How it is read.
    pub reader: Reader,
}
