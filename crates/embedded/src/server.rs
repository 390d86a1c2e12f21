//! One `nats-server` process: its store, its port, and what can be done to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::child::{ManagedChild, Signal};
use crate::deadline::Deadline;
use crate::error::ServerError;

mod options;
mod surroundings;

use surroundings::{check_free, greets, last_lines, lock_store, record_holder, taken_port};

pub use options::{ClusterOptions, ServerOptions};

/// Time a server gets to accept clients: recovery of a large store on a busy machine is the slow case.
const START: Duration = Duration::from_secs(30);
/// Time a server gets for an orderly end before it is killed.
const STOP: Duration = Duration::from_secs(15);
/// Time a restart waits for its old port, which a dying connection can hold for an instant.
const PORT: Duration = Duration::from_secs(5);
/// Lines of the log that an error carries.
const LOG_LINES: usize = 20;

/// A `nats-server` process on one store and one port; killed on drop, the store stays.
#[derive(Debug)]
pub struct RunningServer {
    options: ServerOptions,
    child: Option<ManagedChild>,
    port: u16,
    /// Held by the server process too, so that it guards the store even when this process is killed.
    lock: File,
}

impl RunningServer {
    /// Starts a server and waits until it greets clients.
    ///
    /// # Errors
    /// [`ServerError::PortTaken`] and [`ServerError::StoreBusy`] when another process is in the way; otherwise
    /// what went wrong, with the end of the server's log.
    pub fn start(options: ServerOptions) -> Result<Self, ServerError> {
        let ports = options.ports_dir();
        fs::create_dir_all(&ports).map_err(failed("creating", &ports))?;
        let lock = lock_store(&options.store_dir)?;
        let port = options.port.unwrap_or(0);
        let mut server = Self {
            options,
            child: None,
            port,
            lock,
        };
        if port != 0 {
            check_free(port)?;
        }
        server.launch()?;
        Ok(server)
    }

    /// URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Client port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id; `None` when it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(ManagedChild::pid)
    }

    /// What it was started with.
    #[must_use]
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// The last `lines` lines of the log; empty when there is none.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        last_lines(&self.options.log_path(), lines).unwrap_or_default()
    }

    /// The exit status, when the process has ended by itself.
    ///
    /// # Errors
    /// [`ServerError::NotRunning`] after [`kill`](Self::kill) or [`terminate`](Self::terminate).
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, ServerError> {
        let path = self.options.binary.clone();
        self.child()?.try_wait().map_err(failed("waiting for", &path))
    }

    /// Kills the process (SIGKILL); nothing when it is not running.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child.kill().map_err(failed("killing", &self.options.binary)).map(drop)
    }

    /// Asks for an orderly end (SIGTERM) and waits for it, bounded; nothing when it is not running.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn terminate(&mut self) -> Result<(), ServerError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child
            .terminate(STOP)
            .map_err(failed("terminating", &self.options.binary))
            .map(drop)
    }

    /// Freezes the process (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// [`ServerError::NotRunning`], or when the operating system refuses.
    pub fn pause(&mut self) -> Result<(), ServerError> {
        self.signal(Signal::Stop)
    }

    /// Thaws the process (SIGCONT).
    ///
    /// # Errors
    /// [`ServerError::NotRunning`], or when the operating system refuses.
    pub fn resume(&mut self) -> Result<(), ServerError> {
        self.signal(Signal::Continue)
    }

    /// Starts again on the same store and the same port, ending the process first when it still runs.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.terminate()?;
        let deadline = Deadline::after(PORT);
        loop {
            match check_free(self.port).and_then(|()| self.launch()) {
                Err(ServerError::PortTaken { .. }) if deadline.pause() => {}
                other => return other,
            }
        }
    }

    /// Waits until the server greets clients; [`start`](Self::start) and [`restart`](Self::restart) have done so.
    ///
    /// # Errors
    /// [`ServerError::Ended`] and [`ServerError::NotReady`] with the end of the log.
    pub fn wait_ready(&mut self) -> Result<(), ServerError> {
        let deadline = Deadline::after(START);
        loop {
            if let Some(status) = self.try_wait()? {
                return Err(self.ended(status));
            }
            if let Some(port) = self.reported_port()
                && greets(port, &deadline)
            {
                self.port = port;
                return Ok(());
            }
            if !deadline.pause() {
                return Err(ServerError::NotReady {
                    waited: START,
                    log: self.log_tail(LOG_LINES),
                });
            }
        }
    }

    fn launch(&mut self) -> Result<(), ServerError> {
        let (config, log) = (self.options.config_path(), self.options.log_path());
        let port = (self.port != 0).then_some(self.port);
        fs::write(&config, self.options.render(port)?).map_err(failed("writing", &config))?;
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(failed("opening", &log))?;
        let errors = output.try_clone().map_err(failed("opening", &log))?;
        let lock = self
            .lock
            .try_clone()
            .map_err(failed("locking", &self.options.store_dir))?;
        // Left over from a killed process, whose number a new one may be given.
        let ports = self.options.ports_dir();
        for entry in fs::read_dir(&ports).map_err(failed("reading", &ports))?.flatten() {
            fs::remove_file(entry.path()).map_err(failed("removing", &ports))?;
        }
        let mut command = Command::new(&self.options.binary);
        // The log comes through the output, so that it also holds what a crashing server says last. The lock is
        // handed over as the input, which the server never reads: it keeps the store locked as long as it lives.
        command.arg("-c").arg(&config).stdin(lock).stdout(output).stderr(errors);
        let child = ManagedChild::spawn(&mut command).map_err(failed("starting", &self.options.binary))?;
        record_holder(&mut self.lock, child.pid()).map_err(failed("locking", &self.options.store_dir))?;
        self.child = Some(child);
        let ready = self.wait_ready();
        if ready.is_err() {
            self.kill()?;
        }
        ready
    }

    fn signal(&mut self, signal: Signal) -> Result<(), ServerError> {
        let path = self.options.binary.clone();
        self.child()?.signal(signal).map_err(failed("signalling", &path))
    }

    fn child(&mut self) -> Result<&mut ManagedChild, ServerError> {
        self.child.as_mut().ok_or(ServerError::NotRunning)
    }

    /// The client port from the server's ports file, once it is written.
    fn reported_port(&self) -> Option<u16> {
        // The file is named after the executable, which can be called anything, and the process id.
        let end = format!("_{}.ports", self.pid()?);
        let mut entries = fs::read_dir(self.options.ports_dir()).ok()?.flatten();
        let file = entries.find(|entry| entry.file_name().to_string_lossy().ends_with(&end))?;
        // A half-written file does not parse, and the next poll reads it whole.
        let ports: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
        ports.pointer("/nats/0")?.as_str()?.rsplit(':').next()?.parse().ok()
    }

    fn ended(&self, status: ExitStatus) -> ServerError {
        let log = self.log_tail(LOG_LINES);
        match taken_port(&log) {
            Some(port) => ServerError::PortTaken { port },
            None => ServerError::Ended { status, log },
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ServerError {
    let path: PathBuf = path.to_owned();
    move |source| ServerError::Io { action, path, source }
}
