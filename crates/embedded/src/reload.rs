//! The configuration of a server that somebody else runs: whether it is good, and that the server reads it again.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::command::run;
use crate::error::ServerError;

/// How long a server may take to read a configuration.
const CHECK: Duration = Duration::from_secs(60);

/// Asks a server's executable whether it would start with a configuration. It starts nothing.
///
/// # Errors
/// [`ServerError::ConfigRefused`] with what it said, or when it cannot be run.
pub fn check_config(binary: &Path, config: &Path) -> Result<(), ServerError> {
    let mut command = Command::new(binary);
    command.arg("-t").arg("-c").arg(config);
    let finished = run(command, CHECK).map_err(|problem| ServerError::Io {
        action: "running",
        path: binary.to_owned(),
        source: io::Error::other(problem),
    })?;
    if finished.status.success() {
        return Ok(());
    }
    let said = [finished.stderr, finished.stdout].join("\n").trim().to_owned();
    Err(ServerError::ConfigRefused {
        path: config.to_owned(),
        output: said,
    })
}

/// The process that wrote a file with its id; `None` where there is no such file, or no such process any more.
///
/// # Errors
/// When the file cannot be read.
pub fn running_pid(file: &Path) -> Result<Option<u32>, ServerError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ServerError::Io {
                action: "reading",
                path: file.to_owned(),
                source,
            });
        }
    };
    let pid: Option<u32> = text.trim().parse().ok();
    Ok(pid.filter(|pid| is_server(*pid)))
}

/// Has a server read its configuration again (SIGHUP). It does so soon after, and goes on with the old one if the new is bad.
///
/// # Errors
/// [`ServerError::NoServer`] when the process is another program, which the signal would end; or when the operating system
/// refuses.
pub fn reload(pid: u32) -> Result<(), ServerError> {
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let process = process
        .filter(|_| is_server(pid))
        .ok_or(ServerError::NoServer { pid })?;
    kill_process(process, Signal::HUP).map_err(|error| ServerError::Io {
        action: "signalling process",
        path: pid.to_string().into(),
        source: error.into(),
    })
}

/// Whether a process is a nats-server. A file with a process id outlives its process, and the id may be another's by now. Where
/// there is no `/proc`, the one that is named is believed.
fn is_server(pid: u32) -> bool {
    if !Path::new("/proc/self/comm").exists() {
        return true;
    }
    // The name of the executable, cut after 15 bytes.
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.contains("nats-server"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_never_signalled() {
        let own = std::process::id();
        assert!(matches!(reload(own), Err(ServerError::NoServer { pid }) if pid == own));
        assert!(reload(0).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), own.to_string()).unwrap();
        assert_eq!(running_pid(file.path()).unwrap(), None);
        assert_eq!(running_pid(Path::new("there/is/none")).unwrap(), None);
    }
}
