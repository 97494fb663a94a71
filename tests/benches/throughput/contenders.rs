//! The clients under comparison behind one face.

mod async_nats;
mod floor;
mod lanes;
mod ours;
mod runtime;
mod session;

use crate::stage::Stage;
use crate::workloads::{Data, Limit, Tally, Workload};

pub(crate) use runtime::Runtime;

/// A client with a connection of its own. Anything unexpected panics, so that no error is measured.
pub(crate) trait Contender {
    /// What it is called in the table.
    fn client(&self) -> &'static str;
    fn runtime(&self) -> &'static str;
    /// The buckets that nobody else writes to.
    fn own_buckets(&self) -> [&str; 2];
    /// Works until the limit and returns when nothing is in flight any more. Hello is not said here.
    fn run(&mut self, workload: Workload, data: &Data, limit: Limit) -> Tally;
}

/// `client/runtime`
pub(crate) fn name_of(contender: &dyn Contender) -> String {
    format!("{}/{}", contender.client(), contender.runtime())
}

/// Says hello as the one of that name would.
pub(crate) fn say_hello(contender: &str, url: &str) {
    match contender {
        "floor/blocking" => floor::hello(url),
        "kv-proto/blocking" => session::hello(url),
        "kv-tokio/current_thread" => ours::hello(&Runtime::current_thread(), url),
        "kv-tokio/multi_thread" => ours::hello(&Runtime::multi_thread(), url),
        "kv-smol/smol" => ours::hello(&Runtime::Smol, url),
        "async-nats/current_thread" => async_nats::hello(&Runtime::current_thread(), url),
        "async-nats/multi_thread" => async_nats::hello(&Runtime::multi_thread(), url),
        other => panic!("no contender {other}"),
    }
}

/// The buckets a client works with.
#[derive(Clone)]
pub(crate) struct Buckets<B> {
    /// Written and read, a thousand keys.
    pub(crate) own: B,
    /// Written only.
    pub(crate) scratch: B,
    /// Everybody's: many keys.
    pub(crate) many: B,
    /// Everybody's: one key with a deep history.
    pub(crate) deep: B,
}

/// All of them; rivals on the same runtime stand side by side.
pub(crate) fn all(stage: &Stage) -> Vec<Box<dyn Contender>> {
    let mut all: Vec<Box<dyn Contender>> = vec![
        Box::new(floor::Floor::new(stage)),
        Box::new(session::Bare::new(stage)),
    ];
    for runtime in [Runtime::current_thread(), Runtime::multi_thread()] {
        all.push(Box::new(ours::new(stage, runtime.clone())));
        all.push(Box::new(async_nats::new(stage, runtime)));
    }
    all.push(Box::new(ours::new(stage, Runtime::Smol)));
    all
}
