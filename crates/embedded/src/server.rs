//! One `nats-server` process with its store and its port.

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

/// How long a server may take to accept clients. Recovery of a large store on a busy machine is the slow case.
const START: Duration = Duration::from_secs(30);
/// How long a server may take to end gracefully before it is killed.
const STOP: Duration = Duration::from_secs(15);
/// How long a restart waits for its old port, which a dying connection can hold for an instant.
const PORT: Duration = Duration::from_secs(5);
/// How many lines of the log an error includes.
const LOG_LINES: usize = 20;

/// A `nats-server` process on one store and one port. Dropping it kills the process; the store stays.
#[derive(Debug)]
pub struct RunningServer {
    options: ServerOptions,
    child: Option<ManagedChild>,
    port: u16,
    /// The server process holds it too, so it guards the store even if this process is killed.
    lock: File,
}

impl RunningServer {
    /// Starts a server and waits until it greets clients.
    ///
    /// # Errors
    /// [`ServerError::PortTaken`] and [`ServerError::StoreBusy`] when another process is in the way; otherwise the
    /// failure, with the end of the server's log.
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

    /// The URL for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id; `None` if the server is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(ManagedChild::pid)
    }

    /// The options it was started with.
    #[must_use]
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// The last `lines` lines of the log; empty if there is none.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        last_lines(&self.options.log_path(), lines).unwrap_or_default()
    }

    /// The exit status, if the process has ended on its own.
    ///
    /// # Errors
    /// [`ServerError::NotRunning`] after [`kill`](Self::kill) or [`terminate`](Self::terminate).
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, ServerError> {
        let path = self.options.binary.clone();
        self.child()?.try_wait().map_err(failed("waiting for", &path))
    }

    /// Kills the process (SIGKILL); does nothing if it is not running.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill(&mut self) -> Result<(), ServerError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child.kill().map_err(failed("killing", &self.options.binary)).map(drop)
    }

    /// Asks for a graceful end (SIGTERM), waits a limited time, then kills; does nothing if it is not running.
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

    /// Freezes the process (SIGSTOP): connections stay open, but nothing answers.
    ///
    /// # Errors
    /// [`ServerError::NotRunning`], or when the operating system refuses.
    pub fn pause(&mut self) -> Result<(), ServerError> {
        self.signal(Signal::Stop)
    }

    /// Resumes the frozen process (SIGCONT).
    ///
    /// # Errors
    /// [`ServerError::NotRunning`], or when the operating system refuses.
    pub fn resume(&mut self) -> Result<(), ServerError> {
        self.signal(Signal::Continue)
    }

    /// Starts the server again on the same store and port. If it still runs, it is stopped first.
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

    /// Waits until the server greets clients. [`start`](Self::start) and [`restart`](Self::restart) have already done
    /// so.
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
        // Leftovers of a killed process, whose process id the new one may get.
        let ports = self.options.ports_dir();
        for entry in fs::read_dir(&ports).map_err(failed("reading", &ports))?.flatten() {
            fs::remove_file(entry.path()).map_err(failed("removing", &ports))?;
        }
        let mut command = Command::new(&self.options.binary);
        // The log comes from the output, so it also has the last words of a crashing server. The server inherits the
        // lock as its input, which it never reads: so the store stays locked as long as the server lives.
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

    /// The client port from the server's ports file, once the file is written.
    fn reported_port(&self) -> Option<u16> {
        // The file name consists of the name of the executable, which may be anything, and the process id.
        let end = format!("_{}.ports", self.pid()?);
        let mut entries = fs::read_dir(self.options.ports_dir()).ok()?.flatten();
        let file = entries.find(|entry| entry.file_name().to_string_lossy().ends_with(&end))?;
        // A half-written file does not parse; the next poll reads it whole.
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
