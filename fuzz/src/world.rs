//! A session with an embedder and a user that do anything, for servers of any kind.
//!
//! Whatever they do, nothing panics; what is held stays within the bounds that [`Usage`](kv_proto::Usage) names;
//! after a timer was served the next one is later; what leaves is valid; what was asked for ends in its time; and
//! when the session is aborted, everything has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kv_proto::{
    Binding, BucketConfig, BucketName, CallOptions, Config, CreateOptions, Credentials,
    DeleteOptions, Entry, GetOptions, Instant, Key, KeyFilter, Limits, LinkAction, LinkError,
    LinkErrorKind, LinkId, Op, OpId, PurgeDeletesOptions, PurgeOptions, PutOptions, Revision, Seed,
    Session, WatchId, WatchOptions,
};

use crate::input::Input;
use crate::outgoing::Outgoing;

/// Longer than anything may take that was asked for.
const LONG: Duration = Duration::from_secs(3_600);

#[derive(Default)]
pub(crate) struct Wire {
    input: BytesMut,
    pub(crate) outgoing: Outgoing,
}

pub(crate) struct World {
    pub(crate) session: Session,
    limits: Limits,
    pub(crate) now: Instant,
    pub(crate) wires: BTreeMap<LinkId, Wire>,
    pub(crate) bound: Option<Binding>,
    binding: Vec<Op<Binding>>,
    writes: Vec<Op<Revision>>,
    reads: Vec<Op<Option<Entry>>>,
    others: Vec<OpId>,
    watches: Vec<WatchId>,
}

impl World {
    pub(crate) fn new(choice: u8) -> Self {
        let limits = if choice & 1 == 0 {
            Limits::default()
        } else {
            Limits {
                max_ops: 4,
                max_pending_bytes: 400,
                max_result_bytes: 400,
                max_watches: 2,
                max_watch_bytes: 400,
                max_floor_bytes: 10_000,
                ..Limits::default()
            }
        };
        let config = Config::new("a:1,b:2")
            .expect("two servers")
            .limits(limits.clone())
            .retry_first_connect(choice & 2 == 0)
            .shuffle_servers(choice & 4 == 0);
        let config = match choice & 24 {
            0 => config,
            8 => config.user("u", "p").allow_passwords_in_clear(),
            16 => config.max_reconnects(2),
            _ => config.require_tls(),
        };
        let now = Instant::ORIGIN + Duration::from_secs(100);
        Self {
            session: Session::new(now, config, Seed::from_u64(u64::from(choice))),
            limits,
            now,
            wires: BTreeMap::new(),
            bound: None,
            binding: Vec::new(),
            writes: Vec::new(),
            reads: Vec::new(),
            others: Vec::new(),
            watches: Vec::new(),
        }
    }

    /// The link that is worked on: the last.
    pub(crate) fn link(&self) -> Option<LinkId> {
        self.wires.last_key_value().map(|(link, _)| *link)
    }

    pub(crate) fn act(&mut self) {
        while let Some(action) = self.session.poll_link() {
            match action {
                LinkAction::Dial { link, .. } => {
                    let former = self.wires.insert(link, Wire::default());
                    assert!(former.is_none(), "a link is dialled once");
                    self.session.handle_dialed(self.now, link);
                }
                LinkAction::Secure { link, .. } => self.session.handle_secured(self.now, link),
                LinkAction::Authenticate { link, .. } => {
                    let token = Credentials::Token("t".into());
                    self.session.handle_credentials(self.now, link, &token);
                }
                LinkAction::Close { link } => {
                    self.wires.remove(&link);
                }
                other => panic!("{other:?} is new"),
            }
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let Some(link) = self.link() else {
            return;
        };
        let Some(wire) = self.wires.get_mut(&link) else {
            return;
        };
        wire.input.extend_from_slice(bytes);
        self.session.handle_input(self.now, link, &mut wire.input);
    }

    /// Writes so many bytes at most, and returns them.
    pub(crate) fn hand_over(&mut self, mut most: usize) -> Vec<u8> {
        let mut written = Vec::new();
        let Some(link) = self.link() else {
            return written;
        };
        let Some(wire) = self.wires.get_mut(&link) else {
            return written;
        };
        let mut output = self.session.transmit(link);
        while most > 0 && output.has_remaining() {
            let taken = output.chunk().len().min(most);
            assert!(taken > 0, "there is more, and nothing of it");
            wire.outgoing.push(&output.chunk()[..taken]);
            written.extend_from_slice(&output.chunk()[..taken]);
            output.advance(taken);
            most -= taken;
        }
        written
    }

    pub(crate) fn pass(&mut self, input: &mut Input<'_>) {
        let millis = 1_u64 << (input.byte() % 16);
        self.wait(Duration::from_millis(millis));
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?}");
    }

    pub(crate) fn cut(&mut self, input: &mut Input<'_>) {
        let Some(link) = self.link() else {
            return;
        };
        self.wires.remove(&link);
        let kinds = [
            LinkErrorKind::Read,
            LinkErrorKind::Write,
            LinkErrorKind::Dial,
        ];
        let error = LinkError::new(input.pick(&kinds), "cut");
        self.session.handle_closed(self.now, link, error);
    }

    pub(crate) fn ask_to_write(&mut self, input: &mut Input<'_>) {
        let Some(bucket) = self.bound.clone() else {
            return;
        };
        let (key, now) = (key(input), self.now);
        let value = Bytes::from(vec![b'v'; usize::from(input.byte())]);
        let expected = Revision::new(u64::from(input.byte() % 8));
        let session = &mut self.session;
        let asked = match input.byte() % 6 {
            0 => session.put(now, &bucket, key, value, PutOptions::default()),
            1 => session.create(now, &bucket, key, value, CreateOptions::default()),
            2 => session.update(now, &bucket, key, value, expected, PutOptions::default()),
            3 => session.delete(now, &bucket, key, DeleteOptions::default()),
            4 => session.delete(now, &bucket, key, DeleteOptions::default().expect(expected)),
            _ => session.purge(now, &bucket, key, PurgeOptions::default().expect(expected)),
        };
        self.writes.extend(asked);
    }

    pub(crate) fn ask_to_read(&mut self, input: &mut Input<'_>) {
        let Some(bucket) = self.bound.clone() else {
            return;
        };
        let options = match input.byte() % 4 {
            0 => GetOptions::default(),
            1 => GetOptions::default().leader(),
            2 => GetOptions::default().any_replica(),
            _ => GetOptions::default().revision(Revision::new(u64::from(input.byte() % 4))),
        };
        let asked = self.session.get(self.now, &bucket, key(input), options);
        self.reads.extend(asked);
    }

    pub(crate) fn ask_for_buckets(&mut self, input: &mut Input<'_>) {
        let (session, now, options) = (&mut self.session, self.now, CallOptions::default());
        let name = BucketName::new("b").expect("a name");
        let config = || BucketConfig::new("b").history(u32::from(name.as_ref().len() == 1) + 1);
        let id = |op: Op<_>| -> OpId { op.id() };
        match input.byte() % 9 {
            0 | 1 => self.binding.extend(session.open(now, &name, options)),
            2 => self
                .binding
                .extend(session.create_bucket(now, config(), options)),
            3 => self
                .binding
                .extend(session.update_bucket(now, config(), options)),
            4 => self
                .others
                .extend(session.status(now, &name, options).map(|op| op.id())),
            5 => self
                .others
                .extend(session.bucket_names(now, 0, options).map(|op| op.id())),
            6 => self
                .others
                .extend(session.delete_bucket(now, &name, options).map(id)),
            7 => self
                .others
                .extend(session.ping(now, options).map(|op| op.id())),
            _ => {
                let Some(bucket) = self.bound.clone() else {
                    return;
                };
                let every = KeyFilter::new(">").expect("a filter");
                let erased = session.erase(now, &bucket, &every, options);
                self.others.extend(erased.map(|op| op.id()));
                let purged = session.purge_deletes(now, &bucket, PurgeDeletesOptions::default());
                self.others.extend(purged.map(|op| op.id()));
            }
        }
    }

    pub(crate) fn make_bucket(&mut self) {
        let asked =
            self.session
                .create_bucket(self.now, BucketConfig::new("b"), CallOptions::default());
        self.binding.extend(asked);
    }

    pub(crate) fn watch(&mut self, input: &mut Input<'_>) {
        let Some(bucket) = self.bound.clone() else {
            return;
        };
        let options = match input.byte() % 4 {
            0 => WatchOptions::default(),
            1 => WatchOptions::default().updates_only(),
            2 => WatchOptions::default().include_history(),
            _ => WatchOptions::keys(),
        };
        let watch = self.session.watch(self.now, &bucket, options);
        self.watches.extend(watch);
    }

    /// Takes what has ended.
    pub(crate) fn settle(&mut self) {
        while self.session.poll_event().is_some() {}
        let session = &mut self.session;
        for op in std::mem::take(&mut self.binding) {
            match session.take(&op) {
                Some(Ok(bucket)) => self.bound = Some(bucket),
                Some(Err(_)) => {}
                None => self.binding.push(op),
            }
        }
        self.writes.retain(|op| session.take(op).is_none());
        self.reads.retain(|op| session.take(op).is_none());
        for watch in &self.watches {
            while session.next_update(*watch).is_some() {}
        }
    }

    /// Takes what has ended, and drops some of what has not.
    pub(crate) fn collect(&mut self, input: &mut Input<'_>) {
        self.settle();
        let session = &mut self.session;
        match input.byte() % 8 {
            0 => {
                if let Some(op) = self.writes.pop() {
                    session.cancel(op.id());
                }
            }
            1 => {
                if let Some(watch) = self.watches.pop() {
                    session.unwatch(self.now, watch);
                }
            }
            2 => self.others.drain(..).for_each(|op| session.cancel(op)),
            3 if input.byte() == 0 => session.close(self.now),
            _ => {}
        }
    }

    /// What must hold at any time.
    pub(crate) fn look(&self) {
        let usage = self.session.usage();
        let limits = &self.limits;
        assert!(usage.operations <= limits.max_ops, "{usage:?}");
        assert!(usage.result_bytes <= limits.max_result_bytes, "{usage:?}");
        assert!(usage.watches <= limits.max_watches, "{usage:?}");
        assert!(usage.links <= kv_proto::limits::MAX_LINKS, "{usage:?}");
        assert!(usage.deletions <= 1_024, "{usage:?}");
    }

    /// Everything ends with the session.
    pub(crate) fn end(mut self) {
        self.wait(LONG);
        self.settle();
        let open = (self.binding.len(), self.writes.len(), self.reads.len());
        assert_eq!(open, (0, 0, 0), "all ends in its time");
        self.session.abort(self.now);
        while self.session.poll_link().is_some() {}
        assert_eq!(self.session.poll_timeout(), None);
        for watch in self.watches {
            while let Some(Ok(_)) = self.session.next_update(watch) {}
            self.session.unwatch(self.now, watch);
        }
        for op in self.others {
            self.session.cancel(op);
        }
        let usage = self.session.usage();
        assert_eq!(
            (usage.operations, usage.links, usage.watches),
            (0, 0, 0),
            "{usage:?}"
        );
    }
}

fn key(input: &mut Input<'_>) -> Key {
    Key::new(&format!("k{}", input.byte() % 3)).expect("a key")
}
