//! Port numbers that stay ours while nobody listens on them.
//!
//! A server that restarts must find its port free. So ports come from below the range from which
//! systems hand out ephemeral ports: no outgoing connection can take one, and a client that dials a
//! dead server's port cannot by accident connect to itself. A file lock keeps other test processes off.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{FlockOperation, flock};

use crate::provision;

/// Below the ephemeral ranges of Linux (32768 on) and of IANA (49152 on), above most services.
const RANGE: Range<u16> = 20_000..32_000;

/// A reserved port of the loopback interface, free again when dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a port that nobody listens on.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn reserve() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let width = u32::from(RANGE.end - RANGE.start);
        // Processes start at scattered places; 7919 is a prime, so near ids lie far apart.
        let base = process::id().wrapping_mul(7919);
        for _ in 0..width {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let offset = base.wrapping_add(step) % width;
            let number = RANGE.start + u16::try_from(offset).unwrap_or(0);
            if let Some(port) = Self::take(number) {
                return port;
            }
        }
        panic!("no port from {} to {} is free", RANGE.start, RANGE.end);
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn take(number: u16) -> Option<Self> {
        let directory = provision::home().join("ports");
        let path = directory.join(number.to_string());
        let lock = fs::create_dir_all(&directory)
            .and_then(|()| File::create(&path))
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self {
            number,
            _lock: lock,
        })
    }
}
