//! A client at work, and all that it was told.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::clients::{Said, Store, Told};

const PUTTERS: usize = 64;
const CREATORS: usize = 8;
const GETTERS: usize = 8;

const PAUSED: u8 = 0;
const RUNNING: u8 = 1;
const STOPPED: u8 = 2;

/// The value that is written last.
pub(crate) const END: &str = "end";

/// How long a watch gets to tell of the last value.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// A client on a runtime of its own.
pub(crate) struct Load<S> {
    runtime: Runtime,
    store: S,
    state: Arc<AtomicU8>,
    writers: Vec<JoinHandle<Vec<Write>>>,
    readers: Vec<JoinHandle<Vec<Read>>>,
    watched: Arc<Mutex<Watched>>,
}

pub(crate) struct Write {
    pub(crate) value: String,
    pub(crate) said: Said,
    pub(crate) took: Duration,
}

pub(crate) struct Read {
    pub(crate) result: Result<(), String>,
    pub(crate) took: Duration,
}

#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) told: Vec<Told>,
    pub(crate) errors: Vec<String>,
    /// The longest time between two entries while the load ran.
    pub(crate) gap: Duration,
    /// When it was last told something, or the load began to run.
    last: Option<Instant>,
}

pub(crate) struct Record {
    pub(crate) client: &'static str,
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    pub(crate) watched: Watched,
}

impl<S: Store> Load<S> {
    /// Connects and creates the bucket; the load is paused.
    pub(crate) fn start(url: &str) -> Self {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let store = runtime.block_on(S::create_bucket(url));
        let state = Arc::new(AtomicU8::new(PAUSED));
        let watched = Arc::new(Mutex::new(Watched::default()));
        let (watching, told) = (store.clone(), Arc::clone(&watched));
        runtime.spawn(async move { watching.watch(|news| told.lock().unwrap().hear(news)).await });
        let writer = |number: usize| {
            let (store, state) = (store.clone(), Arc::clone(&state));
            runtime.spawn(async move { write(&store, &state, number).await })
        };
        let reader = |number: usize| {
            let (store, state) = (store.clone(), Arc::clone(&state));
            runtime.spawn(async move { read(&store, &state, number).await })
        };
        Self {
            writers: (0..PUTTERS + CREATORS).map(writer).collect(),
            readers: (0..GETTERS).map(reader).collect(),
            runtime,
            store,
            state,
            watched,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.store.port()
    }

    pub(crate) fn resume(&self) {
        self.watched.lock().unwrap().last = Some(Instant::now());
        self.state.store(RUNNING, Ordering::Relaxed);
    }

    pub(crate) fn pause(&self) {
        self.watched.lock().unwrap().note_gap();
        self.watched.lock().unwrap().last = None;
        self.state.store(PAUSED, Ordering::Relaxed);
    }

    /// Waits for what is under way, and for the watch to tell of it.
    pub(crate) fn finish(self) -> Record {
        self.state.store(STOPPED, Ordering::Relaxed);
        let Self {
            runtime,
            store,
            writers,
            readers,
            watched,
            ..
        } = self;
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        runtime.block_on(async {
            for writer in writers {
                writes.extend(writer.await.unwrap());
            }
            for reader in readers {
                reads.extend(reader.await.unwrap());
            }
            let began = Instant::now();
            let said = store.put(END, END.into()).await;
            writes.push(Write {
                value: END.to_owned(),
                said,
                took: began.elapsed(),
            });
            let told = || {
                watched
                    .lock()
                    .unwrap()
                    .told
                    .iter()
                    .any(|(_, value)| value == END)
            };
            while !told() && began.elapsed() < LAST_WORDS {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let watched = std::mem::take(&mut *watched.lock().unwrap());
        Record {
            client: S::CLIENT,
            writes,
            reads,
            watched,
        }
    }
}

impl Watched {
    fn hear(&mut self, news: Result<Told, String>) {
        self.note_gap();
        match news {
            Ok(told) => self.told.push(told),
            Err(error) => self.errors.push(error),
        }
    }

    fn note_gap(&mut self) {
        if let Some(last) = self.last.replace(Instant::now()) {
            self.gap = self.gap.max(last.elapsed());
        } else {
            self.last = None; // paused
        }
    }
}

/// Waits while the load is paused; false when it is over.
async fn goes_on(state: &AtomicU8) -> bool {
    loop {
        match state.load(Ordering::Relaxed) {
            RUNNING => return true,
            STOPPED => return false,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Puts keys, or creates them, each with a value of its own.
async fn write<S: Store>(store: &S, state: &AtomicU8, writer: usize) -> Vec<Write> {
    let mut writes = Vec::new();
    while goes_on(state).await {
        let value = format!("w{writer}.{}", writes.len());
        let bytes = Bytes::from(format!("{value:.<100}"));
        let began = Instant::now();
        let said = if writer < PUTTERS {
            store.put(&value, bytes).await
        } else {
            store.create(&value, bytes).await
        };
        let took = began.elapsed();
        writes.push(Write { value, said, took });
    }
    writes
}

/// Reads the keys of one writer from the first on, again and again.
async fn read<S: Store>(store: &S, state: &AtomicU8, reader: usize) -> Vec<Read> {
    let mut reads = Vec::new();
    while goes_on(state).await {
        let key = format!("w{reader}.{}", reads.len() % 64);
        let began = Instant::now();
        let result = store.get(&key).await;
        let took = began.elapsed();
        reads.push(Read { result, took });
    }
    reads
}
