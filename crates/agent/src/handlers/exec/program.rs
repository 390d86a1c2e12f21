//! A program that runs for a hop: how it starts, and how it and all of its process group end.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use baton_envelope::IntentId;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pipe::{Pipe, ignore, log_stderr};
use crate::guard::{GRACE, Guard, Watch};
use crate::hop::Hop;

/// The shell waits for a line before it becomes the program, so that nothing runs which the guard does not know yet.
const START: &str = r#"read -r _ && exec /bin/sh -c "$1""#;
/// That line.
pub(super) const GO: &[u8] = b"go\n";
/// How often to check whether a group that was told to end has ended: no event reports it.
const LOOK: Duration = Duration::from_millis(20);

/// What one talks to a program by.
pub(super) struct Line<'a> {
    pub(super) child: &'a mut Child,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: &'a mut ChildStdout,
    pub(super) stderr: &'a mut ChildStderr,
}

/// A program in a process group of its own. However this is dropped, the group gets SIGTERM, and SIGKILL after the
/// grace; `remains` tells when that is over.
pub(super) struct Program {
    /// Taken when it is being ended.
    running: Option<Running>,
    remains: TaskTracker,
}

impl Program {
    /// Starts a command line for `sh -c`, with this environment and no other; it runs once [`GO`] is written to its stdin.
    pub(super) fn start(
        line: &str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        guard: &Guard,
        hop: &Hop,
    ) -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", START, "sh", line])
            .env_clear()
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: a Ctrl-C at the terminal is for the worker, which lets hops finish; and all of the
            // group can be ended when the hop is taken away.
            .process_group(0)
            .spawn()?;
        let id = child.id().unwrap_or_default();
        let (Some(stdout), Some(stderr), Some(group)) = (
            child.stdout.take(),
            child.stderr.take(),
            i32::try_from(id).ok().and_then(Pid::from_raw),
        ) else {
            return Err(io::Error::other("its pipes could not be opened"));
        };
        // Should this fail, the shell reads the end of its input and never becomes the program.
        let watch = guard.watch_group(id)?;
        let running = Running {
            child,
            stdout,
            stderr,
            group,
            watch,
            is_told: false,
            intent: hop.intent().clone(),
        };
        Ok(Self {
            running: Some(running),
            remains: hop.remains(),
        })
    }

    /// What one talks to it by, once.
    pub(super) fn line(&mut self) -> Option<Line<'_>> {
        let Running {
            child, stdout, stderr, ..
        } = self.running.as_mut()?;
        let stdin = child.stdin.take()?;
        Some(Line {
            child,
            stdin,
            stdout,
            stderr,
        })
    }

    /// Ends the program and its group, and waits for that.
    pub(super) async fn end(mut self) {
        if let Some(running) = self.running.take() {
            // Tracked, so that it goes on should this be dropped in the middle.
            let ended = self.remains.spawn(running.end());
            if let Err(error) = ended.await {
                tracing::debug!(%error, "a program was not ended to its end");
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // Outside of a runtime nobody can wait: then the guard kills what does not listen, once this process ends.
        running.tell();
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(self.remains.spawn(running.end()));
        }
    }
}

struct Running {
    child: Child,
    /// Open until the whole group has ended: what writes to a closed pipe dies of it, in the middle of its last deeds.
    stdout: ChildStdout,
    stderr: ChildStderr,
    intent: IntentId,
    group: Pid,
    watch: Watch,
    /// Whether it was told to end: a second SIGTERM means "at once" to some programs.
    is_told: bool,
}

impl Running {
    /// Asks the whole group to end, once. A stopped process hears only once it goes on.
    fn tell(&mut self) {
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        self.watch.told();
        for signal in [Signal::TERM, Signal::CONT] {
            if let Err(error) = kill_process_group(self.group, signal) {
                tracing::debug!(%error, "the process group had ended already");
            }
        }
    }

    async fn end(mut self) {
        self.tell();
        let Self {
            child,
            stdout,
            stderr,
            intent,
            group,
            watch,
            ..
        } = self;
        let over = CancellationToken::new();
        let hear = async {
            let (stdout, stderr) = (Pipe::new(stdout, over.clone()), Pipe::new(stderr, over.clone()));
            let (_, logged) = tokio::join!(ignore(stdout), log_stderr(stderr, &intent));
            if let Err(error) = logged {
                tracing::debug!(%error, "the last words of a program cannot be read");
            }
        };
        let end = async {
            end_group(child, group).await;
            over.cancel();
        };
        tokio::join!(hear, end);
        watch.gone();
    }
}

/// Waits for a group that was told to end, and kills it after the grace.
async fn end_group(mut child: Child, group: Pid) {
    // Any other error says that somebody is there whom this process may not signal.
    let is_alive = || test_kill_process_group(group) != Err(rustix::io::Errno::SRCH);
    let ended = async {
        collect(&mut child).await;
        while is_alive() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!(group = %group.as_raw_nonzero(), "a program did not end at SIGTERM and is killed");
        if let Err(error) = kill_process_group(group, Signal::KILL) {
            tracing::debug!(%error, "the process group had ended already");
        }
        collect(&mut child).await;
    }
}

/// Collects the program itself.
async fn collect(child: &mut Child) {
    if let Err(error) = child.wait().await {
        tracing::debug!(%error, "a program cannot be collected");
    }
}
