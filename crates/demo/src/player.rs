//! The processes of a story. None outlives the demo, however that ends.

use std::io;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use baton_agent::{Guard, Watch};
use baton_embedded::ManagedChild;

/// A process of the story: an agent or a controller.
#[derive(Debug)]
pub(crate) struct Player {
    child: ManagedChild,
    watch: Option<Watch>,
}

impl Player {
    /// Starts it under a guard.
    pub(crate) fn start(command: &mut Command, guard: &Guard) -> io::Result<Self> {
        let child = ManagedChild::spawn(command)?;
        let watch = Some(guard.watch_process(child.pid())?);
        Ok(Self { child, watch })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        let killed = self.child.kill()?;
        self.forget();
        Ok(killed)
    }

    /// Asks it to end, and kills it when its time is up.
    pub(crate) fn terminate(&mut self, max: Duration) -> io::Result<ExitStatus> {
        let ended = self.child.terminate(max)?;
        self.forget();
        Ok(ended)
    }

    /// Its number may soon be another's.
    fn forget(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.gone();
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // What cannot be killed stays watched.
        drop(self.kill());
    }
}
