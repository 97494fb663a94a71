//! A session under an embedder, a server and a user that do anything.
//!
//! The input is a script. Whatever it says, nothing panics; what is held stays within the bounds that
//! [`Usage`](kv_proto::Usage) names; after a timer was served the next one is later; what leaves is valid; and when
//! the session is aborted, everything has ended.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kv_proto::{
    Binding, BucketConfig, BucketName, CallOptions, Config, CreateOptions, Credentials,
    DeleteOptions, Entry, GetOptions, Instant, Key, KeyFilter, Limits, LinkAction, LinkError,
    LinkErrorKind, LinkId, Op, OpId, OpResult, PurgeDeletesOptions, PurgeOptions, PutOptions,
    Revision, Seed, Session, WatchId, WatchOptions,
};

use crate::input::Input;
use crate::outgoing::Outgoing;

/// Longer scripts find nothing that shorter ones do not.
const MOST_STEPS: usize = 400;

/// The input is the script.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.look();
    }
    world.end();
}

#[derive(Default)]
struct Wire {
    input: BytesMut,
    outgoing: Outgoing,
}

struct World {
    session: Session,
    limits: Limits,
    now: Instant,
    wires: BTreeMap<LinkId, Wire>,
    bound: Option<Binding>,
    binding: Vec<Op<Binding>>,
    writes: Vec<Op<Revision>>,
    reads: Vec<Op<Option<Entry>>>,
    others: Vec<OpId>,
    watches: Vec<WatchId>,
}

/// What servers say at the beginning, and now and then.
const INFOS: [&str; 5] = [
    r#"{"server_id":"N","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}"#,
    r#"{"server_id":"N","version":"2.10.26","proto":1,"headers":true,"max_payload":200,"jetstream":true,"nonce":"n"}"#,
    r#"{"version":"2.12.8","proto":1,"headers":true,"max_payload":4096,"jetstream":false,"ldm":true,"connect_urls":["a:1","b:2"]}"#,
    r#"{"version":"2.11.0","proto":1,"headers":true,"max_payload":65536,"jetstream":true,"auth_required":true,"tls_required":true}"#,
    "{}",
];

const LINES: [&str; 9] = [
    "PONG\r\n",
    "PING\r\n",
    "+OK\r\n",
    "-ERR 'Authorization Violation'\r\n",
    "-ERR 'Stale Connection'\r\n",
    "-ERR 'Permissions Violation for Publish to \"$KV.b.k0\"'\r\n",
    "-ERR 'Permissions Violation for Subscription to \"_INBOX.x.*\"'\r\n",
    "-ERR 'Maximum Payload Violation'\r\n",
    "-ERR 'news'\r\n",
];

/// What is answered to requests; `@` stands for a number.
const BODIES: [&str; 14] = [
    r#"{"stream":"KV_b","seq":@}"#,
    r#"{"stream":"KV_b","seq":@,"duplicate":true}"#,
    r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: @"},"stream":"KV_b","seq":0}"#,
    r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#,
    r#"{"error":{"code":503,"err_code":10008,"description":"system temporarily unavailable"}}"#,
    r#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#,
    r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#,
    r#"{"error":{"code":500,"err_code":10999,"description":"news"}}"#,
    r#"{"config":{"name":"KV_b","subjects":["$KV.b.>"],"retention":"limits","max_msgs_per_subject":@,"allow_direct":true,"allow_rollup_hdrs":true,"deny_delete":true,"discard":"new","storage":"file","num_replicas":1,"duplicate_window":120000000000},"created":"2026-01-01T00:00:00Z","state":{"messages":@,"bytes":1,"first_seq":1,"last_seq":@}}"#,
    r#"{"message":{"subject":"$KV.b.k0","seq":@,"data":"dg==","time":"2026-01-01T00:00:00Z"}}"#,
    r#"{"message":{"subject":"$KV.b.k1","seq":@,"hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==","time":"2026-01-01T00:00:00Z"}}"#,
    r#"{"stream_name":"KV_b","name":"c","config":{"name":"c","deliver_subject":"x"},"created":"2026-01-01T00:00:00Z","delivered":{"consumer_seq":0,"stream_seq":0},"num_pending":@}"#,
    r#"{"success":true,"purged":@}"#,
    r#"{"total":@,"offset":0,"limit":2,"streams":["KV_a","KV_b"]}"#,
];

const BLOCKS: [&str; 6] = [
    "NATS/1.0 503\r\n\r\n",
    "NATS/1.0 404 Message Not Found\r\n\r\n",
    "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: @\r\nNats-Last-Stream: @\r\n\r\n",
    "NATS/1.0 100 FlowControl Request\r\n\r\n",
    "NATS/1.0\r\nNats-Stream: KV_b\r\nNats-Subject: $KV.b.k0\r\nNats-Sequence: @\r\nNats-Time-Stamp: 2026-01-01T00:00:00Z\r\n\r\n",
    "NATS/1.0\r\nKV-Operation: DEL\r\nX: a\rb\r\n\r\n",
];

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let choice = input.byte();
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

    fn step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 => self.act(),
            1 => self.line(input),
            2 => self.info(input),
            3 | 4 => self.answer(input),
            5 => self.delivery(input),
            6 => self.feed(input.bytes(64)),
            7 => self.write(input),
            8 => self.pass(input),
            9 => self.cut(input),
            10 => self.ask_to_write(input),
            11 => self.ask_to_read(input),
            12 => self.ask_for_buckets(input),
            13 => self.watch(input),
            14 => self.collect(input),
            _ => self.honest_server(),
        }
    }

    /// The link that is worked on: the last.
    fn link(&self) -> Option<LinkId> {
        self.wires.last_key_value().map(|(link, _)| *link)
    }

    fn act(&mut self) {
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

    fn feed(&mut self, bytes: &[u8]) {
        let Some(link) = self.link() else {
            return;
        };
        let Some(wire) = self.wires.get_mut(&link) else {
            return;
        };
        wire.input.extend_from_slice(bytes);
        self.session.handle_input(self.now, link, &mut wire.input);
    }

    fn line(&mut self, input: &mut Input<'_>) {
        self.feed(input.pick(&LINES).as_bytes());
    }

    fn info(&mut self, input: &mut Input<'_>) {
        let json = input.pick(&INFOS);
        self.feed(format!("INFO {json}\r\n").as_bytes());
    }

    /// What a good server does first.
    fn honest_server(&mut self) {
        self.act();
        let json = INFOS[0];
        self.feed(format!("INFO {json}\r\n").as_bytes());
        self.hand_over(usize::MAX);
        self.feed(b"PONG\r\n");
        self.hand_over(usize::MAX);
    }

    fn reply(&self, input: &mut Input<'_>) -> Option<String> {
        let replies = &self.wires.get(&self.link()?)?.outgoing.replies;
        replies.get(input.below(replies.len())).cloned()
    }

    fn answer(&mut self, input: &mut Input<'_>) {
        let Some(reply) = self.reply(input) else {
            return;
        };
        let number = (input.byte() % 8).to_string();
        let choice = input.below(BODIES.len() + BLOCKS.len());
        let frame = match BODIES.get(choice) {
            Some(body) => {
                let body = body.replace('@', &number);
                format!("MSG {reply} 1 {}\r\n{body}\r\n", body.len())
            }
            None => headed(&reply, 1, BLOCKS[choice - BODIES.len()], &number),
        };
        self.feed(frame.as_bytes());
    }

    /// What a consumer delivers.
    fn delivery(&mut self, input: &mut Input<'_>) {
        let sid = u64::from(input.byte() % 4) + 1;
        let numbers: Vec<u8> = (0..3).map(|_| input.byte() % 8).collect();
        let (stream, consumer, pending) = (numbers[0], numbers[1], numbers[2]);
        let ack = format!("$JS.ACK.KV_b.c.1.{stream}.{consumer}.1700000000000000000.{pending}");
        let frame = if input.byte() & 1 == 0 {
            format!("MSG $KV.b.k{} {sid} {ack} 1\r\nv\r\n", numbers[0] % 3)
        } else {
            headed("x.w.2", sid, input.pick(&BLOCKS), &consumer.to_string())
        };
        self.feed(frame.as_bytes());
    }

    fn write(&mut self, input: &mut Input<'_>) {
        self.hand_over(usize::from(input.byte()) * 4);
    }

    fn hand_over(&mut self, mut most: usize) {
        let Some(link) = self.link() else {
            return;
        };
        let Some(wire) = self.wires.get_mut(&link) else {
            return;
        };
        let mut output = self.session.transmit(link);
        while most > 0 && output.has_remaining() {
            let taken = output.chunk().len().min(most);
            assert!(taken > 0, "there is more, and nothing of it");
            wire.outgoing.push(&output.chunk()[..taken]);
            output.advance(taken);
            most -= taken;
        }
    }

    fn pass(&mut self, input: &mut Input<'_>) {
        let millis = 1_u64 << (input.byte() % 16);
        self.now = self.now + Duration::from_millis(millis);
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?}");
    }

    fn cut(&mut self, input: &mut Input<'_>) {
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

    fn ask_to_write(&mut self, input: &mut Input<'_>) {
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

    fn ask_to_read(&mut self, input: &mut Input<'_>) {
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

    fn ask_for_buckets(&mut self, input: &mut Input<'_>) {
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

    fn watch(&mut self, input: &mut Input<'_>) {
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

    /// Takes what has ended, and drops some of what has not.
    fn collect(&mut self, input: &mut Input<'_>) {
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
    fn look(&self) {
        let usage = self.session.usage();
        let limits = &self.limits;
        assert!(usage.operations <= limits.max_ops, "{usage:?}");
        assert!(usage.result_bytes <= limits.max_result_bytes, "{usage:?}");
        assert!(usage.watches <= limits.max_watches, "{usage:?}");
        assert!(usage.links <= kv_proto::limits::MAX_LINKS, "{usage:?}");
        assert!(usage.deletions <= 1_024, "{usage:?}");
    }

    /// Everything ends with the session.
    fn end(mut self) {
        self.session.abort(self.now);
        while self.session.poll_link().is_some() {}
        assert_eq!(self.session.poll_timeout(), None);
        ended(&mut self.session, self.binding);
        ended(&mut self.session, self.writes);
        ended(&mut self.session, self.reads);
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

fn ended<T: OpResult>(session: &mut Session, ops: Vec<Op<T>>) {
    for op in ops {
        assert!(session.take(&op).is_some(), "{op:?} has not ended");
    }
}

fn key(input: &mut Input<'_>) -> Key {
    Key::new(&format!("k{}", input.byte() % 3)).expect("a key")
}

fn headed(subject: &str, sid: u64, block: &str, number: &str) -> String {
    let block = block.replace('@', number);
    let len = block.len();
    format!("HMSG {subject} {sid} {len} {len}\r\n{block}\r\n")
}
