//! Lanes of work: sequences of operations that run side by side, each on a
//! bucket of its own, so that the result of every operation is determined.

use bytes::Bytes;
use kv_proto::{
    Binding, BucketConfig, BucketError, BucketName, BucketStatus, CreateOptions, DeleteOptions,
    Entry, GetOptions, NamesPage, Op, PurgeOptions, ReadError, Refused, Revision, WriteError,
};

use crate::support::embedder::{CALL, PUT, World, key, name};

/// One operation of a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Put,
    Large,
    Create,
    /// Of the newest revision that the lane knows of, give or take.
    Update(u64),
    Delete,
    DeleteExpected(u64),
    Purge,
    Get,
    LeaderGet,
    RevisionGet(u64),
    Open,
    Status,
    Names,
    /// A bucket of its own.
    CreateBucket,
    DeleteBucket,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ticket {
    Write(Op<Revision>),
    Read(Op<Option<Entry>>),
    Bound(Op<Binding>),
    Status(Op<BucketStatus>),
    Names(Op<NamesPage>),
    Deleted(Op<()>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Done {
    Write(Result<Revision, WriteError>),
    Read(Result<Option<Entry>, ReadError>),
    /// Without the time of creation, which depends on the order of lanes.
    Bound(Result<BucketName, BucketError>),
    Status(Result<String, BucketError>),
    Names(Result<NamesPage, BucketError>),
    Deleted(Result<(), BucketError>),
    Cancelled,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: usize,
    pub(crate) bucket: Binding,
    pub(crate) work: Vec<Work>,
    /// The newest revision that this lane was told of.
    pub(crate) newest: u64,
    pub(crate) running: Option<Ticket>,
    pub(crate) done: Vec<Done>,
}

impl Lane {
    pub(crate) fn value(&self, index: usize) -> String {
        format!("value {index} of lane {}", self.number)
    }

    /// Asks for the next operation, if the last one has ended.
    pub(crate) fn ask(&mut self, world: &mut World) {
        let index = self.done.len();
        let Some(work) = self.work.get(index).filter(|_| self.running.is_none()) else {
            return;
        };
        let (now, bucket, session) = (world.now, &self.bucket, &mut world.session);
        let (k, value) = (key("k"), self.value(index));
        let own = name(&format!("zz-{}-{}", self.number, index / 2));
        let near = |by: u64| Revision::new((self.newest + by).saturating_sub(1));
        let read = |op: Result<_, Refused>| Some(Ticket::Read(op.expect("accepted")));
        let get = GetOptions::default();
        // Refused at once: it ended without a ticket.
        let done = &mut self.done;
        let mut write = |op: Result<_, WriteError>| match op {
            Ok(op) => Some(Ticket::Write(op)),
            Err(error) => {
                done.push(Done::Write(Err(error)));
                None
            }
        };
        self.running = match *work {
            Work::Put => write(session.put(now, bucket, k, value.into(), PUT())),
            Work::Large => {
                let value = value.repeat(300).into();
                write(session.put(now, bucket, k, value, PUT()))
            }
            Work::Create => {
                let options = CreateOptions::default();
                write(session.create(now, bucket, k, value.into(), options))
            }
            Work::Update(by) => {
                let value = Bytes::from(value);
                write(session.update(now, bucket, k, value, near(by), PUT()))
            }
            Work::Delete => write(session.delete(now, bucket, k, DeleteOptions::default())),
            Work::DeleteExpected(by) => {
                let options = DeleteOptions::default().expect(near(by));
                write(session.delete(now, bucket, k, options))
            }
            Work::Purge => write(session.purge(now, bucket, k, PurgeOptions::default())),
            Work::Get => read(session.get(now, bucket, k, get)),
            Work::LeaderGet => read(session.get(now, bucket, k, get.leader())),
            Work::RevisionGet(by) => read(session.get(now, bucket, k, get.revision(near(by)))),
            Work::Open => Some(Ticket::Bound(
                session.open(now, bucket.name(), CALL()).unwrap(),
            )),
            Work::Status => Some(Ticket::Status(
                session.status(now, bucket.name(), CALL()).unwrap(),
            )),
            Work::Names => Some(Ticket::Names(session.bucket_names(now, 0, CALL()).unwrap())),
            Work::CreateBucket => {
                let config = BucketConfig::new(own.clone());
                Some(Ticket::Bound(
                    session.create_bucket(now, config, CALL()).unwrap(),
                ))
            }
            Work::DeleteBucket => Some(Ticket::Deleted(
                session.delete_bucket(now, &own, CALL()).unwrap(),
            )),
        };
    }

    /// Takes the result of the operation that runs, if it ended.
    pub(crate) fn take(&mut self, world: &mut World) -> bool {
        let session = &mut world.session;
        let done = match self.running {
            None => None,
            Some(Ticket::Write(op)) => session.take(&op).map(Done::Write),
            Some(Ticket::Read(op)) => session.take(&op).map(Done::Read),
            Some(Ticket::Bound(op)) => session
                .take(&op)
                .map(|bound| Done::Bound(bound.map(|bound| bound.name().clone()))),
            Some(Ticket::Status(op)) => session.take(&op).map(|status| {
                let show = |s: BucketStatus| format!("{} {}", s.values(), s.last_revision());
                Done::Status(status.map(show))
            }),
            Some(Ticket::Names(op)) => session.take(&op).map(Done::Names),
            Some(Ticket::Deleted(op)) => session.take(&op).map(Done::Deleted),
        };
        match &done {
            Some(Done::Write(Ok(revision))) => self.newest = revision.get(),
            Some(Done::Read(Ok(Some(entry)))) => self.newest = entry.revision.get(),
            _ => {}
        }
        let ended = done.is_some();
        if ended {
            self.running = None;
            self.done.extend(done);
        }
        ended
    }

    pub(crate) fn cancel(&mut self, world: &mut World) {
        let id = match self.running.take() {
            None => return,
            Some(Ticket::Write(op)) => op.id(),
            Some(Ticket::Read(op)) => op.id(),
            Some(Ticket::Bound(op)) => op.id(),
            Some(Ticket::Status(op)) => op.id(),
            Some(Ticket::Names(op)) => op.id(),
            Some(Ticket::Deleted(op)) => op.id(),
        };
        world.session.cancel(id);
        self.done.push(Done::Cancelled);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.len() == self.work.len()
    }
}
