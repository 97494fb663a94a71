//! What servers said to others, heard by somebody who takes no part: so that a server's loss cannot be taken for
//! a client's mistake, nor the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::{Admin, Cluster};

/// Between two looks at whether it is over, and between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens, at every server of a cluster, to what is published and how it is answered.
#[derive(Debug)]
pub struct Witness {
    acknowledged: Arc<Mutex<Acknowledged>>,
    is_over: Arc<AtomicBool>,
    ears: Vec<JoinHandle<()>>,
}

/// The sequences at which a server said that it had stored the message with a payload.
type Acknowledged = BTreeMap<Vec<u8>, BTreeSet<u64>>;

impl Witness {
    /// Begins to listen to messages of `subject` and to the answers in inboxes. A server that restarts is
    /// listened to again.
    pub fn of(cluster: &Cluster, subject: &str) -> Self {
        let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let listen = |addr: SocketAddr| {
            let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
            let subject = subject.to_owned();
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if let Some(admin) = Admin::try_at(addr) {
                        let _ = follow(admin, &subject, &acknowledged, &is_over); // the server went away
                    }
                    thread::sleep(PAUSE);
                }
            })
        };
        let servers = cluster.servers().iter();
        let ears = servers.map(|server| listen(server.addr())).collect();
        Self {
            acknowledged,
            is_over,
            ears,
        }
    }

    /// Whether a server said that it had stored the message with that payload at that sequence.
    pub fn has_heard(&self, payload: &[u8], sequence: u64) -> bool {
        let acknowledged = self.acknowledged.lock();
        let acknowledged = acknowledged.unwrap_or_else(PoisonError::into_inner);
        acknowledged
            .get(payload)
            .is_some_and(|sequences| sequences.contains(&sequence))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for ear in self.ears.drain(..) {
            let _ = ear.join(); // its panic has been told
        }
    }
}

/// Listens until the server goes away. Inboxes are used again and again: an answer belongs to what was last
/// published for it.
fn follow(
    mut admin: Admin,
    subject: &str,
    acknowledged: &Mutex<Acknowledged>,
    is_over: &AtomicBool,
) -> Result<(), String> {
    let mut asked = BTreeMap::new();
    admin.listen(&[subject, "_INBOX.>"])?;
    while !is_over.load(Ordering::Relaxed) {
        let Some(message) = admin.hear(PAUSE)? else {
            continue;
        };
        if let Some(reply) = message.reply {
            asked.insert(reply, message.payload);
        } else if let Some(payload) = asked.get(&message.subject)
            && let Ok(answer) = serde_json::from_slice::<Value>(&message.payload)
            && let Some(sequence) = answer["seq"].as_u64()
        {
            let mut acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
            let sequences = acknowledged.entry(payload.clone()).or_default();
            sequences.insert(sequence);
        }
    }
    Ok(())
}
