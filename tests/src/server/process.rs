//! One process, from its start to the moment it is reaped: signals can only reach it itself, because its
//! id is not free for others before that.

use std::path::Path;
use std::process::Child;

use rustix::io;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::guard::Guard;

/// A child process, killed and reaped when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    guard: Option<Guard>,
}

impl Process {
    /// Takes charge of a child that works in `directory`.
    pub(super) fn new(child: Child, directory: &Path) -> Self {
        let guard = Some(Guard::over(child.id(), directory));
        Self { child, guard }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        kill_process(self.pid(), signal)
    }

    /// Waits until it stands still after SIGSTOP; false if it ended instead.
    pub(super) fn await_stopped(&self) -> bool {
        // Ends are waited for too, so that a dead process cannot block this for ever.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid()), options);
        status.is_ok_and(|status| status.is_some_and(|status| status.stopped()))
    }

    pub(super) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid()), options), Ok(None))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // an error means that it has ended
        // The guard goes before the id can belong to anyone else.
        self.guard = None;
        let _ = self.child.wait();
    }
}
