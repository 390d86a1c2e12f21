//! Child processes under test: Baton's own binaries, or any other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use baton_embedded::{ManagedChild, Signal};
use tokio::time::{Instant, sleep};

/// Pause between two looks at a process.
const POLL: Duration = Duration::from_millis(5);
/// Lines of output shown when a test fails.
const SHOWN: usize = 30;

/// A child process whose output goes to files; killed on drop, and its output shown when the test fails.
#[derive(Debug)]
pub struct ProcessGuard {
    name: String,
    child: ManagedChild,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl ProcessGuard {
    /// Starts the command; its output goes to `<name>.out` and `<name>.err` in `dir`, after what is there already.
    ///
    /// # Panics
    /// When the process or the files cannot be created.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command, dir: &Path) -> Self {
        let open = |end: &str| {
            let path = dir.join(format!("{name}.{end}"));
            let file = File::options()
                .create(true)
                .append(true)
                .open(&path)
                .expect("output file should open");
            (path, file)
        };
        let ((stdout, out), (stderr, err)) = (open("out"), open("err"));
        command.stdin(std::process::Stdio::null()).stdout(out).stderr(err);
        let child = ManagedChild::spawn(&mut command).unwrap_or_else(|error| panic!("{name} should start: {error}"));
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        }
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// What it has written to stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Kills it at once (`kill -9`) and collects it.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().unwrap()
    }

    /// Asks for an orderly end (SIGTERM); [`wait`](Self::wait) tells when it came.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn terminate(&mut self) {
        self.child.signal(Signal::Terminate).unwrap();
    }

    /// Interrupts it as a terminal does (SIGINT).
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn interrupt(&mut self) {
        self.child.signal(Signal::Interrupt).unwrap();
    }

    /// Freezes it (SIGSTOP).
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn pause(&mut self) {
        self.child.signal(Signal::Stop).unwrap();
    }

    /// Thaws it (SIGCONT).
    ///
    /// # Panics
    /// When the operating system refuses.
    pub fn resume(&mut self) {
        self.child.signal(Signal::Continue).unwrap();
    }

    /// The exit status when it has ended.
    ///
    /// # Panics
    /// When the operating system cannot tell.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `max`.
    pub async fn wait(&mut self, max: Duration) -> ExitStatus {
        let deadline = Instant::now() + max;
        loop {
            if let Some(status) = self.try_wait() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} still runs after {max:?}", self.name);
            sleep(POLL).await;
        }
    }
}

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            let tail = |text: &str| {
                let skipped = text.lines().count().saturating_sub(SHOWN);
                text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
            };
            eprintln!(
                "--- {}, stdout:\n{}\n--- stderr:\n{}",
                self.name,
                tail(&self.stdout()),
                tail(&self.stderr())
            );
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
