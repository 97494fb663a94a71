//! A session under a server that mostly says what a real one would, and sometimes something else.
//!
//! The simulated server answers; on the way frames are lost, doubled, exchanged, kept for later, and changed in a
//! number, a byte or as a whole. What must hold is said in `world.rs`.

use std::collections::{BTreeMap, VecDeque};

use kv_proto::wire::Decoder;
use kv_proto::{Limits, LinkError, LinkErrorKind, LinkId};
use kv_sim::server::{Cluster, Config, ConnId, ServerId, Version};

use crate::input::Input;
use crate::session::{BLOCKS, BODIES, INFOS, LINES, MOST_STEPS};
use crate::world::World;

const STREAM: &str = "KV_b";

/// Frames that are kept to be said once more.
const KEPT: usize = 8;

/// The version of the server, what it is like, and what happens.
pub fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let mut hostile = Hostile::new(&mut input);
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        hostile.step(&mut input);
        hostile.world.look();
    }
    hostile.world.end();
}

struct Hostile {
    world: World,
    cluster: Cluster,
    /// The server's ends of links.
    ends: BTreeMap<LinkId, ConnId>,
    /// What is on its way to the client, frame by frame.
    frames: VecDeque<Vec<u8>>,
    /// What was said before, the last first.
    said: VecDeque<Vec<u8>>,
}

impl Hostile {
    fn new(input: &mut Input<'_>) -> Self {
        let choice = input.byte();
        let mut config = Config::new(input.pick(&Version::ALL));
        config.wide_replies = choice & 32 != 0;
        // Nothing that keeps every client out.
        let mut hostile = Self {
            world: World::new(choice & !8),
            cluster: Cluster::new(config, u64::from(choice)),
            ends: BTreeMap::new(),
            frames: VecDeque::new(),
            said: VecDeque::new(),
        };
        if choice & 64 == 0 {
            hostile.begin();
        }
        hostile
    }

    /// Connects and makes the bucket.
    fn begin(&mut self) {
        self.flow();
        self.world.make_bucket();
        self.flow();
        self.world.settle();
        assert!(self.world.bound.is_some(), "nothing is in the way");
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let world = &mut self.world;
        match input.byte() % 16 {
            0..=3 => self.flow(),
            4 | 5 => self.damage(input),
            6 => self.pass(input),
            7 if input.byte() & 3 == 0 => self.cut(input),
            7 | 8 => world.ask_to_write(input),
            9 => world.ask_to_read(input),
            10 => world.ask_for_buckets(input),
            11 => world.watch(input),
            12 => world.collect(input),
            13 => self.happen(input),
            14 => self.interject(input),
            _ => self.dribble(input),
        }
    }

    /// All that is to be said is said and heard, until nobody has anything to say.
    fn flow(&mut self) {
        for _ in 0..32 {
            self.exchange();
            if self.frames.is_empty() {
                return;
            }
            while let Some(frame) = self.frames.pop_front() {
                self.deliver(frame);
            }
        }
    }

    /// The client's part is carried over, and the server's is on its way.
    fn exchange(&mut self) {
        self.world.act();
        let Some(link) = self.world.link() else {
            return;
        };
        let now = self.world.now;
        if !self.ends.contains_key(&link) {
            // Frames on a link that is lost are lost.
            self.frames.clear();
            let Some(end) = self.cluster.accept(now, ServerId(0)) else {
                return self.lose(LinkErrorKind::Dial);
            };
            self.ends.insert(link, end);
        }
        let end = self.ends[&link];
        let written = self.world.hand_over(usize::MAX);
        self.cluster.handle_input(now, end, &written);
        let output = self.cluster.take_output(end);
        let (mut decoder, limits) = (Decoder::new(), Limits::default());
        let mut rest = &output[..];
        while let Ok(Some(frame)) = decoder.next(rest, &limits) {
            let (one, behind) = rest.split_at(frame.len);
            self.frames.push_back(one.to_vec());
            rest = behind;
        }
        assert!(rest.is_empty(), "a real server says whole frames");
        let closed = std::iter::from_fn(|| self.cluster.poll_closed());
        if closed.collect::<Vec<_>>().contains(&end) && self.frames.is_empty() {
            self.lose(LinkErrorKind::Read);
        }
    }

    fn deliver(&mut self, frame: Vec<u8>) {
        self.world.feed(&frame);
        self.said.push_front(frame);
        self.said.truncate(KEPT);
    }

    fn lose(&mut self, kind: LinkErrorKind) {
        let Some(link) = self.world.link() else {
            return;
        };
        self.frames.clear();
        self.world.wires.remove(&link);
        if let Some(end) = self.ends.remove(&link) {
            self.cluster.handle_closed(self.world.now, end);
        }
        let error = LinkError::new(kind, "cut");
        let now = self.world.now;
        self.world.session.handle_closed(now, link, error);
    }

    fn cut(&mut self, input: &mut Input<'_>) {
        // Some of what was said still arrives.
        self.exchange();
        let arrives = input.below(self.frames.len() + 1);
        for frame in self.frames.drain(..arrives).collect::<Vec<_>>() {
            self.deliver(frame);
        }
        self.lose(input.pick(&[LinkErrorKind::Read, LinkErrorKind::Write]));
    }

    fn pass(&mut self, input: &mut Input<'_>) {
        self.world.pass(input);
        self.cluster.handle_timeout(self.world.now);
    }

    /// One frame does not arrive as it was said.
    fn damage(&mut self, input: &mut Input<'_>) {
        self.exchange();
        if self.frames.is_empty() {
            return;
        }
        let at = input.below(self.frames.len());
        match input.byte() % 8 {
            0 => drop(self.frames.remove(at)),
            1 => {
                let frame = self.frames[at].clone();
                self.frames.insert(at, frame);
            }
            2 => self.frames.swap(0, at),
            3 => self.frames[at] = number_changed(&self.frames[at], input),
            4 => {
                let place = input.below(self.frames[at].len());
                if let Some(byte) = self.frames[at].get_mut(place) {
                    *byte = input.byte();
                }
            }
            5 => {
                let len = input.below(self.frames[at].len());
                self.frames[at].truncate(len);
            }
            6 => {
                let choice = input.below(BODIES.len());
                let number = input.byte() % 8;
                self.frames[at] = body_changed(&self.frames[at], BODIES[choice], number);
            }
            _ => {
                let frame = self.said.get(input.below(KEPT)).cloned();
                self.frames.extend(frame);
            }
        }
    }

    /// Something happens to the server.
    fn happen(&mut self, input: &mut Input<'_>) {
        let now = self.world.now;
        match input.byte() % 7 {
            0 => drop(self.cluster.beat(now)),
            1 => self
                .cluster
                .rewind(now, STREAM, u64::from(input.byte() % 3)),
            2 => self.cluster.recreate(now, STREAM),
            3 => {
                let lost = self.cluster.consumer_list().pop();
                if let Some(one) = lost {
                    self.cluster.drop_consumer(now, STREAM, &one.name);
                }
            }
            4 => self.cluster.set_max_payload(now, usize::from(input.byte())),
            5 => self.cluster.set_jetstream(now, input.byte() & 1 == 0),
            _ => {
                let keep = input.byte() & 1 == 0;
                self.cluster.restart(now, ServerId(0), keep);
            }
        }
    }

    /// Something is said that nothing gave rise to.
    fn interject(&mut self, input: &mut Input<'_>) {
        let number = (input.byte() % 8).to_string();
        let sid = input.byte() % 4 + 1;
        let frame = match input.byte() % 4 {
            0 => input.pick(&LINES).to_owned(),
            1 => format!("INFO {}\r\n", input.pick(&INFOS)),
            2 => {
                let block = input.pick(&BLOCKS).replace('@', &number);
                let len = block.len();
                format!("HMSG _INBOX.x {sid} {len} {len}\r\n{block}\r\n")
            }
            _ => format!(
                "MSG $KV.b.k0 {sid} $JS.ACK.KV_b.c.1.{number}.{number}.1.{number} 1\r\nv\r\n"
            ),
        };
        self.deliver(frame.into_bytes());
    }

    /// A frame arrives in two pieces, with something in between.
    fn dribble(&mut self, input: &mut Input<'_>) {
        self.exchange();
        let Some(frame) = self.frames.pop_front() else {
            return;
        };
        let (head, tail) = frame.split_at(input.below(frame.len() + 1));
        self.world.feed(head);
        self.world.look();
        self.pass(input);
        self.world.feed(tail);
    }
}

/// One of the numbers of a frame is another one.
fn number_changed(frame: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let is_start = |at: &usize| {
        let before = at.checked_sub(1).and_then(|at| frame.get(at));
        frame[*at].is_ascii_digit() && !before.is_some_and(u8::is_ascii_digit)
    };
    let starts: Vec<usize> = (0..frame.len()).filter(is_start).collect();
    if starts.is_empty() {
        return frame.to_vec();
    }
    let start = starts[input.below(starts.len())];
    let digits = frame[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let end = start + digits.count();
    let other = match input.byte() % 4 {
        0 => "0".to_owned(),
        1 => u64::MAX.to_string(),
        2 => input.byte().to_string(),
        _ => input.number().to_string(),
    };
    [&frame[..start], other.as_bytes(), &frame[end..]].concat()
}

/// A message without headers has another body, and the length that goes with it.
fn body_changed(frame: &[u8], body: &str, number: u8) -> Vec<u8> {
    let body = body.replace('@', &number.to_string());
    let end = frame.windows(2).position(|pair| pair == b"\r\n");
    let line = frame.get(..end.unwrap_or(0)).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.rsplit_once(' ') {
        Some((words, _)) if words.starts_with("MSG ") => {
            format!("{words} {}\r\n{body}\r\n", body.len()).into_bytes()
        }
        _ => frame.to_vec(),
    }
}
