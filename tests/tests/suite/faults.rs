//! Faults at every place: connections that are cut after every byte of a write and of its acknowledgement, and watches
//! that live through all that can befall servers. The default run takes samples; all of it:
//!
//! ```sh
//! KV_TESTS_ALL=1 cargo test -p kv-tests --test suite -- faults --include-ignored --nocapture --test-threads 1
//! ```

#![allow(clippy::print_stderr, reason = "tables of what was measured")]

mod cuts;
mod observer;
mod watches;

use kv_tests::Cluster;

use self::cuts::cut_everywhere;
use self::watches::{Fault, outlives};
use crate::site::{Adapter, Site, all_is_wanted, tests, tests_of};

tests! {
    on_both_ends {
        writes_are_told_the_truth_wherever_they_are_cut
    }
}

// Each of them works with both adapters.
tests_of! {
    tokio_and_smol Tokio
    on_both_ends {
        watches_outlive_a_server_and_its_bucket
        clusters_keep_both_promises
    }
}

async fn writes_are_told_the_truth_wherever_they_are_cut<A: Adapter>(site: Site<A>) {
    let step = if all_is_wanted() { 1 } else { 41 };
    cut_everywhere(&site, site.server(), 1, step).await;
}

async fn watches_outlive_a_server_and_its_bucket<A: Adapter>(site: Site<A>) {
    let rounds = if all_is_wanted() { 100 } else { 1 };
    let server = site.own_server().start();
    let faults = [
        Fault::Restarted(&server),
        Fault::Killed(&server),
        Fault::ConsumersDeleted(&server),
        Fault::Recreated,
    ];
    outlives(&server, 1, &faults, rounds).await;
}

async fn clusters_keep_both_promises<A: Adapter>(site: Site<A>) {
    let (rounds, step) = if all_is_wanted() { (100, 1) } else { (1, 97) };
    let cluster = Cluster::start(site.version());
    cut_everywhere(&site, cluster.server(0), 3, step).await;
    outlives(cluster.server(0), 3, &[Fault::Deposed(&cluster)], rounds).await;
}
