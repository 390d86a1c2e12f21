//! Runs a helper program to its end, with a time limit, and keeps its output.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::deadline::{Deadline, POLL};

/// The most bytes of a program's output that an error repeats.
const TAIL: usize = 2000;

/// The result and output of a finished program.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the command. The error is a sentence for people.
pub(crate) fn run(mut command: Command, max: Duration) -> Result<Finished, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |error: io::Error| format!("`{program}` could not be run: {error}");
    // Files, not pipes: a full pipe would block the program while nobody reads.
    let mut stdout = tempfile::tempfile().map_err(failed)?;
    let mut stderr = tempfile::tempfile().map_err(failed)?;
    command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(failed)?)
        .stderr(stderr.try_clone().map_err(failed)?);
    let mut child = spawn(&mut command).map_err(failed)?;
    let deadline = Deadline::after(max);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if deadline.pause() => {}
            Ok(None) => {
                end(&mut child);
                let tail = tail(&read(&mut stderr).map_err(failed)?);
                return Err(format!("`{program}` did not finish within {max:?}\n{tail}"));
            }
            Err(error) => {
                end(&mut child);
                return Err(failed(error));
            }
        }
    };
    Ok(Finished {
        status,
        stdout: read(&mut stdout).map_err(failed)?,
        stderr: read(&mut stderr).map_err(failed)?,
    })
}

/// Runs the command and turns a failure status into a sentence with the end of its output.
pub(crate) fn run_ok(command: Command, max: Duration) -> Result<Finished, String> {
    let shown = show(&command);
    let finished = run(command, max)?;
    if finished.status.success() {
        return Ok(finished);
    }
    let output = if finished.stderr.trim().is_empty() {
        &finished.stdout
    } else {
        &finished.stderr
    };
    Err(format!("`{shown}` ended with {}\n{}", finished.status, tail(output)))
}

/// Starts a process, and tries again while its file is still open for writing.
///
/// A fork elsewhere in this process can hold such a descriptor for an instant after this process closed the file.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let deadline = Deadline::after(Duration::from_secs(1));
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && !deadline.passed() => {
                thread::sleep(POLL);
            }
            other => return other,
        }
    }
}

/// The end of a text, cut at a character boundary.
pub(crate) fn tail(text: &str) -> String {
    let text = text.trim_end();
    let mut start = text.len().saturating_sub(TAIL);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default().to_owned()
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn end(child: &mut Child) {
    // Both fail only if the process is already gone.
    let _gone = child.kill();
    let _status = child.wait();
}

fn read(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn failure_repeats_the_end_of_stderr() {
        let error = run_ok(shell("echo said on stderr >&2; exit 3"), Duration::from_secs(10)).unwrap_err();
        assert!(error.contains("said on stderr"), "{error}");
        assert!(error.contains('3'), "{error}");
    }

    #[test]
    fn endless_program_is_ended() {
        let error = run(shell("exec sleep 60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("did not finish"), "{error}");
    }

    #[test]
    fn tail_keeps_whole_characters() {
        assert_eq!(tail(&"é".repeat(TAIL)).chars().count(), TAIL / 2);
    }
}
