//! Ends a server whose test process ended without dropping it.
//!
//! A `static` server is never dropped, nor is anything after an abort. So a shell waits on a pipe that
//! only the test process holds open: the pipe closes when that process ends, however it ends, and then
//! the shell kills the server by its process id and removes its directory.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The signals of a terminal's Ctrl-C reach the shell too; it must outlive them to do its work.
const SCRIPT: &str =
    r#"trap "" INT TERM HUP; read -r _; kill -KILL "$1" 2>/dev/null; rm -rf -- "$2""#;

/// A waiting shell; dismissed when dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

impl Guard {
    /// Guards a child process that is not reaped before this guard is dropped.
    pub(crate) fn over(pid: u32, directory: &Path) -> Self {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh", &pid.to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run sh, which guards servers: {error}"));
        Self { shell }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Kill first: `wait` closes the pipe, and the shell must not take that for our death.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
