//! The surroundings of a server: a free port, a locked store, a greeting, and the end of a log.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::failed;
use crate::deadline::Deadline;
use crate::error::ServerError;

/// How many bytes of the log to read for its last lines.
const LOG_BYTES: u64 = 256 * 1024;

/// Whether a server on the port sends the first word of the NATS protocol.
pub(super) fn greets(port: u16, deadline: &Deadline) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let patience = deadline.remaining().min(Duration::from_secs(2));
    let Ok(stream) = TcpStream::connect_timeout(&address, patience) else {
        return false;
    };
    let mut line = String::new();
    stream.set_read_timeout(Some(patience)).is_ok()
        && BufReader::new(stream.take(64 * 1024)).read_line(&mut line).is_ok()
        && line.starts_with("INFO ")
}

/// Fails if something listens on the port, before a server starts in vain.
pub(super) fn check_free(port: u16) -> Result<(), ServerError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ServerError::PortTaken { port }),
        // The server's log explains any other failure better (a privileged port, for example).
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The port in a log line such as `... listen tcp 127.0.0.1:4222: bind: address already in use`.
pub(super) fn taken_port(log: &str) -> Option<u16> {
    let last = log.lines().last()?;
    let (before, _) = last.split_once(": bind: address already in use")?;
    before.rsplit(':').next()?.parse().ok()
}

pub(super) fn lock_store(store: &Path) -> Result<File, ServerError> {
    let path = store.join("lock");
    let mut file = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            let holder = if known {
                format!("process {}", holder.trim())
            } else {
                "process unknown".to_owned()
            };
            Err(ServerError::StoreBusy {
                path: store.to_owned(),
                holder,
            })
        }
        // Some network file systems have no locks; there is no guard on those.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(fs::TryLockError::Error(error)) => Err(failed("locking", &path)(error)),
    }
}

pub(super) fn record_holder(file: &mut File, pid: u32) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{pid}")
}

pub(super) fn last_lines(path: &Path, lines: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let skipped = text.lines().count().saturating_sub(lines);
    Ok(text.lines().skip(skipped).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_port_is_read_from_the_last_log_line() {
        let line = "[7] 2026/01/02 [FTL] Error listening on port: 127.0.0.1:4222, \
                    \"listen tcp 127.0.0.1:4222: bind: address already in use\"";
        assert_eq!(taken_port(line), Some(4222));
        assert_eq!(taken_port("[INF] Server is ready"), None);
    }

    #[test]
    fn log_tail_gives_the_last_lines_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one\ntwo\nthree\n").unwrap();
        assert_eq!(last_lines(file.path(), 2).unwrap(), "two\nthree");
    }
}
