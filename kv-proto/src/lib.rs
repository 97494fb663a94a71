#![doc = include_str!("manual/overview.md")]
#![no_std]
#![warn(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]
// Nothing that is sent to us can make us panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable
    )
)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod config;
mod connection;
mod credentials;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod js;
mod kv;
pub mod limits;
mod link;
mod log;
pub mod manual;
#[cfg(feature = "mutants")]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
mod mutant;
mod mux;
mod name;
mod op;
mod options;
mod out;
#[cfg(feature = "paths")]
pub mod paths;
#[cfg(not(feature = "paths"))]
mod paths;
mod pool;
mod rng;
mod server;
mod session;
mod stats;
mod tally;
mod text;
mod time;
mod timer;
mod tls;
pub mod wire;

#[cfg(feature = "driver")]
pub mod driver;

pub use config::Config;
pub use connection::{ConnectionEvent, EventCursor};
pub use credentials::{Authentication, Credentials, NoChallenge, Secret, Signature};
#[cfg(feature = "nkeys")]
pub use credentials::{InvalidCreds, InvalidNKey, NKey, UserCreds};
pub use error::{
    BucketError, Cause, ConfigDifference, ConnectError, Disconnect, Doubt, EntryDefect,
    HeaderDefect, InvalidApiPrefix, InvalidBucketName, InvalidConfig, InvalidFilter, InvalidKey,
    InvalidPosition, InvalidSubject, InvalidUrl, InvalidWatch, LinkError, LinkErrorKind, Outcome,
    PingError, ProtocolError, ReadError, Refused, ServerError, WatchError, WriteError,
};
pub use kv::binding::Binding;
pub use kv::config::{
    BucketConfig, External, MAX_HISTORY, MAX_REPLICAS, Placement, Republish, Source, SourceStart,
    Storage, SubjectTransform,
};
pub use kv::entry::{Entry, MarkerReason, Operation, Revision};
pub use kv::list::{NamesPage, StatusPage};
pub use kv::status::{BucketStatus, Replica, SourceStatus};
pub use kv::sweep::{PurgeDeletesOptions, PurgedDeletes};
pub use kv::watch::WatchId;
pub use kv::watch::options::{
    Damage, MAX_FILTERS, Position, ResetReason, Update, WatchOptions, WatchState,
};
pub use limits::Limits;
pub use link::LinkId;
pub use name::{
    BucketName, Key, KeyFilter, MAX_BUCKET_NAME_LEN, MAX_KEY_LEN, MAX_SUBJECT_LEN, Subject,
};
pub use op::{Elapsed, Op, OpId, OpResult};
pub use options::{
    CallOptions, CreateOptions, DeleteOptions, GetOptions, PurgeOptions, PutOptions,
};
pub use out::Transmit;
pub use rng::Seed;
pub use server::{DEFAULT_PORT, ServerAddr, ServerUrl};
pub use session::{ConnectionState, Event, LinkAction, Session, Usage};
pub use stats::Stats;
pub use time::{Clock, Instant, Timestamp};
#[cfg(feature = "_tls")]
pub use tls::{InvalidTls, TlsBuilder, TlsConfig};
pub use wire::{ServerInfo, ServerVersion};
