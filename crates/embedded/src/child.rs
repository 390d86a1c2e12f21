//! A child process that takes signals, can be waited for with a limit, and never outlives its owner.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal as Raw, WaitId, WaitIdOptions, kill_process, waitid};

use crate::command::spawn;
use crate::deadline::Deadline;

/// How long the operating system may take to freeze every thread of a process.
const FREEZE: Duration = Duration::from_secs(5);

/// The signals Baton sends to its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Asks for a graceful end (SIGTERM).
    Terminate,
    /// Interrupts, as a terminal does (SIGINT).
    Interrupt,
    /// Ends the process at once (SIGKILL).
    Kill,
    /// Freezes the process (SIGSTOP).
    Stop,
    /// Resumes a frozen process (SIGCONT).
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

/// A child process that is killed and reaped when its owner is dropped.
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

    /// The process id. It means nothing to the operating system once the process is reaped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; does nothing if the process has ended.
    ///
    /// [`Signal::Stop`] returns once the whole process is frozen: its threads run on for a moment after the signal.
    ///
    /// # Errors
    /// When the operating system refuses the signal.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        // The process is not reaped yet, so its id cannot belong to another process.
        kill_process(Pid::from_child(&self.child), signal.raw())?;
        match signal {
            Signal::Stop => self.wait_frozen(),
            Signal::Terminate | Signal::Interrupt | Signal::Kill | Signal::Continue => Ok(()),
        }
    }

    fn wait_frozen(&mut self) -> io::Result<()> {
        let deadline = Deadline::after(FREEZE);
        // Ask only for a stop, so that `try_wait` can still reap an exit. Leave the stop in place, so that freezing a
        // frozen process finds it too.
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

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits for the process to end, at most `max`; `None` if it still runs.
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

    /// Kills the process and reaps it.
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

    /// Asks for a graceful end and waits at most `max`, then kills.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn terminate(&mut self, max: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        // A frozen process handles SIGTERM only after SIGCONT.
        self.signal(Signal::Continue)?;
        match self.wait_for(max)? {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }
}

impl Drop for ManagedChild {
    fn drop(&mut self) {
        // If this fails, nothing can be done, and nothing is left to do.
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
