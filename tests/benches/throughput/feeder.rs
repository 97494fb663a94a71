//! Writes what live watches wait for, at full speed and without a client, and says what that cost.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cpu;
use crate::stage::Stage;
use crate::wire::Wire;
use crate::workloads::{UPDATES, VALUE_LEN, entries};

pub(crate) struct Feeder {
    wire: Option<Wire>,
    frames: Vec<u8>,
}

/// A thread that begins when it is told to.
pub(crate) struct Feeding {
    start: Sender<()>,
    thread: JoinHandle<(Wire, Vec<u8>, Duration)>,
}

impl Feeder {
    pub(crate) fn new(stage: &Stage, bucket: &str) -> Self {
        // Each key once: of what is written twice, a bucket without history may drop the first before it is told.
        let entries = entries(UPDATES, VALUE_LEN, "fed");
        let frame = |(key, value): &(String, bytes::Bytes)| {
            let head = format!("PUB $KV.{bucket}.{key} {}\r\n", value.len());
            [head.as_bytes(), value, b"\r\n"].concat()
        };
        let frames = entries.iter().flat_map(frame);
        Self {
            wire: Some(Wire::connect(stage.url())),
            frames: frames.collect(),
        }
    }

    pub(crate) fn prepare(&mut self) -> Feeding {
        let (start, started) = channel();
        let mut wire = self.wire.take().expect("one at a time");
        let frames = std::mem::take(&mut self.frames);
        let thread = std::thread::spawn(move || {
            started.recv().expect("a start");
            wire.write(&frames);
            wire.flush();
            (wire, frames, cpu::of_this_thread())
        });
        Feeding { start, thread }
    }

    /// Waits for its end; returns what CPU time it took.
    pub(crate) fn finish(&mut self, feeding: Feeding) -> Duration {
        let (wire, frames, cpu) = feeding.thread.join().expect("it ends well");
        (self.wire, self.frames) = (Some(wire), frames);
        cpu
    }
}

impl Feeding {
    pub(crate) fn starter(&self) -> impl FnOnce() + Send + use<> {
        let start = self.start.clone();
        move || start.send(()).expect("it waits")
    }
}
