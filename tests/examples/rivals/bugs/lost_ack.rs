//! The acknowledgement of a write is lost; the write is not.

use std::num::NonZeroU64;

use kv_sim::serve::{Fault, Server};
use kv_sim::server::Recurring;
use kv_tokio::{Outcome, WriteError};

use super::{Conduct, PATIENCE, our_bucket, said, their_bucket};

const LOST: Fault = Fault::Message(Recurring::LostAck, NonZeroU64::MIN);

pub(super) async fn async_nats(server: &Server) -> Conduct {
    let bucket = their_bucket(server).await;
    server.set_faults(&[LOST]);
    let created = bucket.create("lock", "me".into()).await;
    server.set_faults(&[]);
    let holder = bucket.get("lock").await;
    Conduct {
        is_right: !said("", &created).contains("AlreadyExists"),
        told: vec![said("create", &created), said("get", &holder)],
    }
}

pub(super) async fn kv_tokio(server: &Server) -> Conduct {
    let bucket = our_bucket(server).await;
    server.set_faults(&[LOST]);
    let created = bucket.create("lock", "me").timeout(PATIENCE).await;
    server.set_faults(&[]);
    let holder = bucket.get("lock").await;
    let (outcome, says_exists) = match &created {
        Ok(_) => (None, false),
        Err(error) => (
            Some(error.outcome()),
            matches!(error, WriteError::Exists { .. }),
        ),
    };
    Conduct {
        is_right: outcome != Some(Outcome::NotApplied) && !says_exists,
        told: vec![
            said("create", &created),
            format!("the outcome of that: {outcome:?}"),
            said("get", &holder),
        ],
    }
}
