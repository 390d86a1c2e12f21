//! A child process that can be signalled, waited for with a bound, and never outlives its owner.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal as Raw, WaitId, WaitIdOptions, kill_process, waitid};

use crate::command::spawn;
use crate::deadline::Deadline;

/// Time the operating system gets to freeze every thread of a process.
const FREEZE: Duration = Duration::from_secs(5);

/// The signals Baton sends to its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks for an orderly end (SIGTERM).
    Terminate,
    /// Interrupts, as a terminal does (SIGINT).
    Interrupt,
    /// Ends at once (SIGKILL).
    Kill,
    /// Freezes (SIGSTOP).
    Stop,
    /// Thaws (SIGCONT).
    Continue,
}

impl Signal {
    fn raw(self) -> Raw {
        match self {
            Self::Terminate => Raw::TERM,
            Self::Interrupt => Raw::INT,
            Self::Kill => Raw::KILL,
            Self::Stop => Raw::STOP,
            Self::Continue => Raw::CONT,
        }
    }
}

/// A child process that is killed and collected when its owner is dropped.
#[derive(Debug)]
pub struct ManagedChild {
    child: Child,
    status: Option<ExitStatus>,
}

impl ManagedChild {
    /// Starts the command.
    ///
    /// # Errors
    /// When the operating system cannot start it.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self {
            child: spawn(command)?,
            status: None,
        })
    }

    /// Process id; meaningless for the operating system once the process has been collected.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; does nothing when the process has ended.
    ///
    /// [`Signal::Stop`] returns when the whole process is frozen: its threads run on for a moment after the signal.
    ///
    /// # Errors
    /// When the operating system refuses the signal.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        // Not collected yet, so the number cannot have been given to another process.
        kill_process(Pid::from_child(&self.child), signal.raw())?;
        match signal {
            Signal::Stop => self.wait_frozen(),
            Signal::Terminate | Signal::Interrupt | Signal::Kill | Signal::Continue => Ok(()),
        }
    }

    fn wait_frozen(&mut self) -> io::Result<()> {
        let deadline = Deadline::after(FREEZE);
        // Asks for a stop only, so that an exit stays for `try_wait` to collect, and leaves the stop in place, so
        // that freezing a frozen process finds it too.
        let stop = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            let frozen = waitid(WaitId::Pid(Pid::from_child(&self.child)), stop)?.is_some();
            if frozen || self.try_wait()?.is_some() {
                return Ok(());
            }
            if !deadline.pause() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the process did not freeze"));
            }
        }
    }

    /// The exit status, when the process has ended.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits for the end of the process, at most `max`; `None` when it still runs.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn wait_for(&mut self, max: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Deadline::after(max);
        loop {
            let status = self.try_wait()?;
            if status.is_some() || !deadline.pause() {
                return Ok(status);
            }
        }
    }

    /// Kills the process and collects it.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }

    /// Asks for an orderly end and waits at most `max`, then kills.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn terminate(&mut self, max: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        // A frozen process handles no signal but these two.
        self.signal(Signal::Continue)?;
        match self.wait_for(max)? {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }
}

impl Drop for ManagedChild {
    fn drop(&mut self) {
        // Nothing can be done, and nothing is left to do, when this fails.
        let _status = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freezing_is_complete_and_can_be_repeated() {
        let mut child = ManagedChild::spawn(Command::new("sleep").arg("60")).unwrap();
        for _ in 0..3 {
            child.signal(Signal::Stop).unwrap();
            child.signal(Signal::Stop).unwrap();
            child.signal(Signal::Continue).unwrap();
        }
        child.terminate(Duration::from_secs(10)).unwrap();
        child.signal(Signal::Stop).unwrap();
    }
}
