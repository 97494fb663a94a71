//! One direction of a connection: bytes on their way.
//!
//! Bytes arrive in order, in pieces that have nothing to do with how they were written, each at its own
//! time. TCP does not reorder, so neither does a pipe; it can be slow, stand still, swallow everything,
//! or end after some byte.

use std::collections::VecDeque;
use std::time::Duration;

use kv_proto::Instant;

use crate::fault::Damage;
use crate::server::rng::Rng;

/// How the network is in general.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// The mean time for one way.
    pub(crate) latency: Duration,
    /// The largest piece in bytes.
    pub(crate) max_chunk: u32,
    /// Bytes that can be on their way before the writer has to wait.
    pub(crate) window: u32,
    /// Times are multiples of this.
    pub(crate) quantum: Duration,
}

/// What is written at once is cut into about so many pieces at most.
const MAX_CHUNKS: usize = 24;

#[derive(Debug)]
pub(crate) struct Pipe {
    weather: Weather,
    rng: Rng,
    bytes: Vec<u8>,
    /// Where the bytes begin that have not arrived.
    head: usize,
    chunks: VecDeque<(Instant, usize)>,
    last_arrival: Instant,
    /// Nothing arrives before.
    clogged_until: Instant,
    /// Nothing is taken before.
    stalled_until: Instant,
    /// Everything is swallowed.
    dead: bool,
    /// How many more bytes arrive before the connection ends.
    cut_after: Option<usize>,
    /// When the end of the stream arrives, after all bytes.
    ends: Option<Instant>,
    damage: Option<Damage>,
    /// When something arrives next; the end of time if nothing does.
    due: Instant,
}

impl Pipe {
    pub(crate) fn new(weather: Weather, rng: Rng) -> Self {
        Self {
            weather,
            rng,
            bytes: Vec::new(),
            head: 0,
            chunks: VecDeque::new(),
            last_arrival: Instant::ORIGIN,
            clogged_until: Instant::ORIGIN,
            stalled_until: Instant::ORIGIN,
            dead: false,
            cut_after: None,
            ends: None,
            damage: None,
            due: Instant::END,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// How many bytes the writer may write now.
    pub(crate) fn room(&self, now: Instant) -> usize {
        if self.stalled_until > now {
            return 0;
        }
        let window = usize::try_from(self.weather.window).unwrap_or(usize::MAX);
        let room = window.saturating_sub(self.in_flight());
        // A full window opens again when a good part of it is free, or everything would go byte by byte.
        if room < window / 2 { 0 } else { room }
    }

    /// Takes bytes that are written now.
    pub(crate) fn push(&mut self, now: Instant, bytes: &[u8]) {
        if self.dead || self.ends.is_some() || bytes.is_empty() {
            return;
        }
        if self.in_flight() == 0 {
            self.bytes.clear();
            self.head = 0;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if let Some(damage) = self.damage.take() {
            self.apply(damage, start);
        }
        let mut left = self.bytes.len() - start;
        let least = match self.weather.max_chunk {
            0 => 1,
            _ => left / MAX_CHUNKS,
        };
        while left > 0 {
            let max = u64::from(self.weather.max_chunk.max(1));
            let size = 1 + usize::try_from(self.rng.below(max)).unwrap_or(0);
            let size = size.max(least).min(left);
            let at = self.arrival(now);
            self.chunks.push_back((at, size));
            left -= size;
        }
        self.look_ahead();
    }

    /// When a piece that is sent now arrives: after all before it.
    fn arrival(&mut self, now: Instant) -> Instant {
        let mean = self.weather.latency.as_nanos();
        let mean = u64::try_from(mean).unwrap_or(u64::MAX);
        // Mostly near the mean, sometimes several times of it.
        let spread = match self.rng.below(16) {
            0 => self.rng.below(mean.saturating_mul(4).max(1)),
            _ => self.rng.below(mean.max(1)),
        };
        let at = now + Duration::from_nanos(mean / 2 + spread);
        let at = at.max(self.last_arrival).max(self.clogged_until);
        let at = round_up(at, self.weather.quantum);
        self.last_arrival = at;
        at
    }

    fn apply(&mut self, damage: Damage, start: usize) {
        let len = self.bytes.len() - start;
        let at = start + usize::try_from(self.rng.below(len as u64)).unwrap_or(0);
        match damage {
            Damage::Flip => {
                let bit = self.rng.below(8);
                if let Some(byte) = self.bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Damage::Double => {
                let again = self.bytes.get(at..).unwrap_or_default().to_vec();
                self.bytes.extend_from_slice(&again);
            }
            Damage::Gap => self.bytes.truncate(at),
            Damage::Noise => {
                let noise = self.rng.name(9);
                self.bytes.splice(at..at, noise.into_bytes());
            }
        }
    }

    /// What is on its way behind its first so many bytes.
    pub(crate) fn behind(&self, in_flight: usize) -> &[u8] {
        self.bytes.get(self.head + in_flight..).unwrap_or_default()
    }

    /// When something arrives next.
    pub(crate) fn next(&self) -> Option<Instant> {
        (self.due < Instant::END).then_some(self.due)
    }

    /// The same; the end of time if nothing arrives.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Works out what arrives next, after any change: it is asked for far more often than it changes.
    fn look_ahead(&mut self) {
        let first = self.chunks.front().map(|(at, _)| *at).or(self.ends);
        let first = first.filter(|_| !self.dead);
        self.due = first.map_or(Instant::END, |at| at.max(self.clogged_until));
    }

    /// Takes the piece that arrives now; an empty one is the end of the stream. The second value tells that
    /// the connection breaks behind it.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(&[u8], bool)> {
        if self.next().is_none_or(|at| at > now) {
            return None;
        }
        let Some((at, len)) = self.chunks.pop_front() else {
            self.ends = None;
            self.dead = true;
            self.due = Instant::END;
            return Some((&[], false));
        };
        if self.head > 4096 && self.head * 2 > self.bytes.len() {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        let (len, breaks) = match self.cut_after {
            Some(left) if left <= len => {
                self.cut_after = None;
                if left < len {
                    self.chunks.push_front((at, len - left));
                }
                (left, true)
            }
            Some(left) => {
                self.cut_after = Some(left - len);
                (len, false)
            }
            None => (len, false),
        };
        self.look_ahead();
        let from = self.head;
        self.head += len;
        Some((self.bytes.get(from..self.head).unwrap_or_default(), breaks))
    }

    /// Ends the stream behind what is on its way.
    pub(crate) fn end(&mut self, now: Instant) {
        if self.ends.is_none() {
            let at = self.arrival(now);
            self.ends = Some(at);
            self.look_ahead();
        }
    }

    /// Loses what is on its way behind some byte, and ends there.
    pub(crate) fn break_off(&mut self, now: Instant) {
        let in_flight = self.in_flight() as u64;
        let kept = usize::try_from(self.rng.below(in_flight + 1)).unwrap_or(0);
        let mut left = kept;
        self.chunks.retain_mut(|(_, len)| {
            *len = (*len).min(left);
            left -= *len;
            *len > 0
        });
        self.cut_after = None;
        self.look_ahead();
        self.end(now);
    }

    pub(crate) fn clog(&mut self, until: Instant) {
        self.clogged_until = self.clogged_until.max(until);
        self.look_ahead();
    }

    pub(crate) fn stall(&mut self, until: Instant) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// The moment at which a stalled pipe takes bytes again.
    pub(crate) fn stalled_until(&self) -> Instant {
        self.stalled_until
    }

    pub(crate) fn kill(&mut self) {
        self.dead = true;
        self.chunks.clear();
        self.head = self.bytes.len();
        self.due = Instant::END;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    pub(crate) fn cut_after(&mut self, bytes: usize) {
        self.cut_after = Some(bytes);
    }

    pub(crate) fn damage_next(&mut self, damage: Damage) {
        self.damage = Some(damage);
    }

    /// Ends every disturbance but death.
    pub(crate) fn heal(&mut self, now: Instant) {
        self.clogged_until = self.clogged_until.min(now);
        self.stalled_until = self.stalled_until.min(now);
        self.cut_after = None;
        self.damage = None;
        let soon = now + Duration::from_millis(100);
        for (at, _) in &mut self.chunks {
            *at = (*at).min(soon);
        }
        self.ends = self.ends.map(|at| at.min(soon));
        self.last_arrival = self.chunks.back().map_or(now, |(at, _)| *at);
        self.look_ahead();
    }

    /// A part of `len` bytes, as a failing write leaves it.
    pub(crate) fn part_of(&mut self, len: usize) -> usize {
        usize::try_from(self.rng.below(len as u64 + 1)).unwrap_or(0)
    }
}

/// The first multiple of the quantum that is not earlier.
pub(crate) fn round_up(at: Instant, quantum: Duration) -> Instant {
    let quantum = u64::try_from(quantum.as_nanos()).unwrap_or(1).max(1);
    if quantum == 1 {
        return at;
    }
    let at = at.as_nanos();
    Instant::from_nanos(at.div_ceil(quantum).saturating_mul(quantum))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(max_chunk: u32, seed: u64) -> Pipe {
        let weather = Weather {
            latency: Duration::from_millis(2),
            max_chunk,
            window: 1 << 20,
            quantum: Duration::from_nanos(1),
        };
        Pipe::new(weather, Rng::new(seed))
    }

    fn arrived(pipe: &mut Pipe) -> (Vec<u8>, usize) {
        let (mut out, mut pieces, mut before) = (Vec::new(), 0, Instant::ORIGIN);
        while let Some(at) = pipe.next() {
            assert!(at >= before, "time runs on");
            before = at;
            let (bytes, _) = pipe.pop(at).expect("it is due");
            out.extend_from_slice(bytes);
            pieces += 1;
        }
        (out, pieces)
    }

    #[test]
    fn all_bytes_arrive_in_order_and_in_pieces() {
        for (max_chunk, seed) in [(1, 1), (7, 2), (1000, 3)] {
            let mut pipe = pipe(max_chunk, seed);
            let bytes: Vec<u8> = (0..9000_u32).map(|n| (n % 251) as u8).collect();
            for (n, part) in bytes.chunks(100).enumerate() {
                pipe.push(Instant::from_nanos(n as u64 * 1000), part);
            }
            pipe.end(Instant::ORIGIN);
            let (out, pieces) = arrived(&mut pipe);
            assert_eq!(out, bytes);
            assert!(pieces >= 90, "{pieces}");
        }
    }

    #[test]
    fn what_was_clogged_arrives_when_all_heals_the_end_too() {
        let mut pipe = pipe(4, 3);
        pipe.clog(Instant::END);
        pipe.push(Instant::ORIGIN, b"0123456789");
        pipe.end(Instant::ORIGIN);
        assert_eq!(pipe.next(), None);
        pipe.heal(Instant::from_nanos(5));
        let (out, _) = arrived(&mut pipe);
        assert_eq!(out, b"0123456789");
        assert!(pipe.is_dead(), "the end came");
    }

    #[test]
    fn what_is_broken_off_is_a_prefix() {
        for seed in 0..50 {
            let mut pipe = pipe(5, seed);
            pipe.push(Instant::ORIGIN, b"0123456789");
            pipe.break_off(Instant::ORIGIN);
            let (out, _) = arrived(&mut pipe);
            assert!(b"0123456789".starts_with(&out), "{out:?}");
        }
    }

    #[test]
    fn a_cut_lets_exactly_so_many_bytes_through() {
        let mut pipe = pipe(4, 9);
        pipe.cut_after(6);
        pipe.push(Instant::ORIGIN, b"0123456789");
        let mut out = Vec::new();
        while let Some(at) = pipe.next() {
            let (bytes, breaks) = pipe.pop(at).expect("it is due");
            out.extend_from_slice(bytes);
            if breaks {
                break;
            }
        }
        assert_eq!(out, b"012345");
    }
}
