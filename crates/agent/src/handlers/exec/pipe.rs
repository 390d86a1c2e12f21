//! What a program writes: read for as long as it runs and a moment longer, and never more than there is room for.

use std::collections::VecDeque;
use std::io;

use baton_envelope::IntentId;
use baton_envelope::codes;
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;

/// How much of the end of stderr goes into the error of the ledger, in bytes.
pub(super) const STDERR_TAIL: usize = 2000;
/// The longest line of stderr in the log, in bytes; what a longer one has beyond that is not logged.
pub(super) const LONGEST_LINE: usize = 8 << 10;
/// How much is read at a time, in bytes.
const CHUNK: usize = 16 << 10;
/// The most that is read of what stands in a pipe when its time is over, in bytes: what the largest pipe holds.
const REST: usize = 1 << 20;

/// One end of a pipe. Reading it ends with the pipe, or when `over` is cancelled: then it gives what stands in the pipe,
/// and no more, since what a program has left behind may hold it open for ever.
pub(super) struct Pipe<R> {
    end: R,
    over: CancellationToken,
    rest: usize,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    pub(super) fn new(end: R, over: CancellationToken) -> Self {
        Self { end, over, rest: REST }
    }

    /// Reads some bytes to the end of `into`; `false` when there will be no more.
    pub(super) async fn read(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        into.reserve(CHUNK);
        if !self.over.is_cancelled() {
            tokio::select! {
                biased;
                read = self.end.read_buf(into) => return Ok(read? > 0),
                () = self.over.cancelled() => {}
            }
        }
        if self.rest == 0 {
            return Ok(false);
        }
        let read = tokio::task::unconstrained(self.end.read_buf(into)).now_or_never();
        let read = read.transpose()?.unwrap_or(0);
        self.rest = self.rest.saturating_sub(read);
        Ok(read > 0)
    }
}

/// Reads the result of a program in plain mode.
///
/// # Errors
/// When it writes more than `most` bytes: no message of the server has room for them.
pub(super) async fn read_result<R: AsyncRead + Unpin>(mut stdout: Pipe<R>, most: usize) -> Result<Vec<u8>, Fault> {
    let mut result = Vec::new();
    while stdout.read(&mut result).await? {
        if result.len() > most {
            return Err(too_large("output", most));
        }
    }
    Ok(result)
}

/// Reads what nobody wants to know.
pub(super) async fn ignore<R: AsyncRead + Unpin>(mut stdout: Pipe<R>) {
    let mut ignored = Vec::new();
    while let Ok(true) = stdout.read(&mut ignored).await {
        ignored.clear();
    }
}

/// The fault of a program that writes more than the server takes.
pub(super) fn too_large(what: &str, most: usize) -> Fault {
    let message = format!(
        "the program's {what} is larger than {most} bytes, and no result may have more; fix: let the program store its data \
         elsewhere, and write a reference to it"
    );
    Fault::retry(message).with_code(codes::OUTPUT_TOO_LARGE)
}

/// What stands in the log for the rest of a line that is too long.
const CUT: &str = "… (cut: the line goes on)";

/// Logs stderr line by line and gives its end, whatever bytes it is made of.
pub(super) async fn log_stderr<R: AsyncRead + Unpin>(mut stderr: Pipe<R>, intent: &IntentId) -> io::Result<String> {
    let (mut lines, mut tail) = (Lines::default(), VecDeque::new());
    loop {
        let from = lines.read.len();
        let goes_on = stderr.read(&mut lines.read).await?;
        tail.extend(lines.read.get(from..).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(STDERR_TAIL));
        for line in lines.next(goes_on) {
            tracing::info!(%intent, "{line}");
        }
        if !goes_on {
            return Ok(String::from_utf8_lossy(tail.make_contiguous()).trim().to_owned());
        }
    }
}

/// The lines of a stream as they stand in the log. It keeps no more than the beginning of a line and what was read last.
#[derive(Debug, Default)]
struct Lines {
    /// What was read and is in no line yet.
    read: Vec<u8>,
    /// Whether the beginning of this line was given already: the rest of it is dropped.
    is_cut: bool,
}

impl Lines {
    /// What can be logged now; with an end of the stream, the last line too.
    fn next(&mut self, goes_on: bool) -> Vec<String> {
        let (mut lines, mut done) = (Vec::new(), 0);
        for part in self.read.split_inclusive(|byte| *byte == b'\n') {
            let is_whole = part.ends_with(b"\n") || !goes_on;
            if is_whole || part.len() > LONGEST_LINE {
                done += part.len();
                if !std::mem::replace(&mut self.is_cut, !is_whole) {
                    lines.push(logged(part, is_whole));
                }
            }
        }
        self.read.drain(..done);
        lines
    }
}

/// A line as it stands in the log; one that is not whole is too long.
fn logged(line: &[u8], is_whole: bool) -> String {
    let text = line.trim_ascii_end();
    match text.get(..LONGEST_LINE) {
        Some(start) if !is_whole || text.len() > LONGEST_LINE => format!("{}{CUT}", String::from_utf8_lossy(start)),
        Some(_) | None => String::from_utf8_lossy(text).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_stderr_is_kept_whatever_it_is() {
        let mut written = vec![b'x'; 100_000];
        written.extend(b"\nbad \xff byte\n");
        let intent = "i".parse().expect("an id");
        let pipe = Pipe::new(&*written, CancellationToken::new());
        let tail = log_stderr(pipe, &intent).await.expect("read");
        assert!(
            tail.len() > STDERR_TAIL - 10 && tail.len() < STDERR_TAIL + 10,
            "{}",
            tail.len()
        );
        assert!(tail.ends_with("x\nbad \u{fffd} byte"));
    }

    #[test]
    fn a_line_without_end_is_one_short_line_of_the_log() {
        let mut lines = Lines::default();
        let mut logged = Vec::new();
        for _ in 0..1000 {
            lines.read.extend([b'x'; 1000]);
            logged.extend(lines.next(true));
            assert!(lines.read.len() <= LONGEST_LINE + 1000, "{}", lines.read.len());
        }
        lines.read.extend(b"xx\nshort\nlast");
        logged.extend(lines.next(false));
        let cut = format!("{}{CUT}", "x".repeat(LONGEST_LINE));
        assert_eq!(logged, [cut.as_str(), "short", "last"]);
    }

    #[tokio::test]
    async fn what_stands_in_a_pipe_is_read_when_the_time_is_over() {
        let (read, mut write) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut write, b"said")
            .await
            .expect("written");
        let over = CancellationToken::new();
        over.cancel();
        let said = read_result(Pipe::new(read, over), 100).await.expect("a result");
        assert_eq!(said, b"said");
        drop(write);
    }

    #[tokio::test]
    async fn a_result_has_its_limit() {
        let pipe = |text: &'static [u8]| Pipe::new(text, CancellationToken::new());
        assert_eq!(read_result(pipe(b"1234"), 4).await.expect("a result"), b"1234");
        let fault = read_result(pipe(b"12345"), 4).await.expect_err("too large");
        assert_eq!(fault.code(), "OUTPUT_TOO_LARGE");
    }
}
