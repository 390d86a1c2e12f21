//! Any program as an agent: one process for each hop.

mod json;

use std::process::Stdio;

use base64::Engine as _;
use baton_envelope::Json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::fault::Fault;
use crate::handler::Handler;
use crate::hop::Hop;
use crate::outcome::Outcome;

#[doc(hidden)]
pub use json::read_outcome;

/// What exit code 75 means: try again (`EX_TEMPFAIL` of sysexits.h).
const EXIT_RETRY: i32 = 75;
/// What exit code 65 means: no attempt will mend this (`EX_DATAERR` of sysexits.h).
const EXIT_TERMINAL: i32 = 65;
/// How much of the end of stderr goes into the error of the ledger.
const STDERR_TAIL: usize = 2000;

/// How a program and the worker talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecMode {
    /// The payload on stdin, the result on stdout.
    Plain,
    /// One JSON object each way; steps and notes as JSON lines before it.
    Json,
}

/// Runs a command for each hop.
#[derive(Debug, Clone)]
pub struct ExecHandler {
    command: String,
    mode: ExecMode,
}

impl ExecHandler {
    /// A command line for `sh -c`.
    pub fn shell(command: impl Into<String>, mode: ExecMode) -> Self {
        Self {
            command: command.into(),
            mode,
        }
    }

    fn spawn(&self, hop: &Hop) -> Result<Running, Fault> {
        let envelope = hop.envelope();
        // A writer of before these rules may have let it in. No other attempt could start the program either.
        envelope
            .check_texts()
            .map_err(|bad| Fault::terminal("MALFORMED_ENVELOPE", bad.to_string()))?;
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(&self.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: a Ctrl-C at the terminal is for the worker, which lets hops finish; and all of the
            // group can be ended when the hop is taken away.
            .process_group(0)
            .env("BATON_INTENT", envelope.intent.as_str())
            .env("BATON_ROOT", envelope.root().as_str())
            .env("BATON_ENVELOPE", envelope.id.to_string())
            .env("BATON_AGENT", envelope.to.as_str())
            .env(
                "BATON_VERSION",
                envelope
                    .to_version
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            )
            .env("BATON_FROM", envelope.from.as_deref().unwrap_or_default())
            .env("BATON_KIND", envelope.kind.as_deref().unwrap_or_default())
            .env("BATON_HOP", envelope.hop.to_string())
            .env("BATON_MAX_HOPS", envelope.max_hops.to_string())
            .env("BATON_PRIORITY", envelope.priority.to_string())
            .env("BATON_ATTEMPT", hop.attempt().to_string())
            .env("BATON_EPOCH", hop.epoch().to_string())
            .env(
                "BATON_DEADLINE",
                envelope.deadline.map(|at| at.to_string()).unwrap_or_default(),
            )
            .env("BATON_IDEMPOTENCY_KEY", hop.idempotency_key("exec"))
            .env("TRACEPARENT", envelope.traceparent.as_deref().unwrap_or_default());
        if hop.is_replay() {
            command.env("BATON_REPLAY", "1");
        }
        let child = command
            .spawn()
            .map_err(|error| Fault::retry(format!("\"{}\": {error}", self.command)))?;
        Ok(Running { child })
    }
}

/// A process group that ends when this is dropped.
struct Running {
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid
            && let Err(error) = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL)
        {
            tracing::debug!(%error, "the process group had ended already");
        }
    }
}

impl Handler for ExecHandler {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        if self.mode == ExecMode::Plain
            && let Some(sandbox) = hop.sandbox()
        {
            return Err(sandbox.refuse(
                "a program in plain mode cannot be replayed: nothing tells it that this is a replay, and it may do \
                 anything (run it in JSON mode, where it is told)",
            ));
        }
        let mut running = self.spawn(hop)?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (
            running.child.stdin.take(),
            running.child.stdout.take(),
            running.child.stderr.take(),
        ) else {
            return Err(Fault::retry("the program's pipes could not be opened"));
        };
        let input = match self.mode {
            ExecMode::Plain => plain_input(hop, &payload),
            ExecMode::Json => json::input(hop).into_bytes(),
        };
        let intent = hop.intent().to_string();
        let feed = async move {
            // A program need not read its input; a broken pipe is no failure.
            if let Err(error) = stdin.write_all(&input).await {
                tracing::debug!(%error, "the program did not read its input");
            }
        };
        let log = log_stderr(stderr, intent);
        let (said, (), tail) = match self.mode {
            ExecMode::Plain => {
                let read = async {
                    let mut out = Vec::new();
                    let mut stdout = stdout;
                    stdout
                        .read_to_end(&mut out)
                        .await
                        .map(|_| Said::Plain(out))
                        .map_err(Fault::from)
                };
                tokio::join!(read, feed, log)
            }
            ExecMode::Json => {
                let read = async {
                    json::listen(hop, stdout)
                        .await
                        .map(|reply| Said::Json(reply.map(Box::new)))
                };
                tokio::join!(read, feed, log)
            }
        };
        let status = running.child.wait().await?;
        let said = said?;
        match status.code() {
            Some(0) => match said {
                Said::Plain(out) => Outcome::complete(&plain_result(&out)),
                Said::Json(Some(reply)) => reply.outcome(),
                Said::Json(None) => Err(Fault::retry("the program wrote no outcome object").with_code("NO_OUTCOME")),
            },
            Some(EXIT_TERMINAL) => Err(Fault::terminal("EXIT_65", describe(&said, &tail, "exit code 65"))),
            Some(EXIT_RETRY) => Err(Fault::retry(describe(&said, &tail, "exit code 75")).with_code("EXIT_75")),
            Some(code) => {
                let message = describe(&said, &tail, &format!("exit code {code}"));
                Err(Fault::retry(message).with_code(format!("EXIT_{code}")))
            }
            None => Err(Fault::retry(describe(&said, &tail, &format!("ended by {status}"))).with_code("SIGNAL")),
        }
    }
}

enum Said {
    Plain(Vec<u8>),
    Json(Option<Box<json::Reply>>),
}

fn describe(said: &Said, tail: &str, what: &str) -> String {
    if let Said::Json(Some(reply)) = said
        && let Some(message) = reply.message()
    {
        return format!("{what}: {message}");
    }
    if tail.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {tail}")
    }
}

/// A string as its text, base64 as its bytes, anything else as JSON.
fn plain_input(hop: &Hop, payload: &Json) -> Vec<u8> {
    match payload.read::<String>() {
        Ok(text) if hop.envelope().payload_encoding.as_deref() == Some("base64") => {
            base64::engine::general_purpose::STANDARD
                .decode(&text)
                .unwrap_or_else(|_| text.into_bytes())
        }
        Ok(text) => text.into_bytes(),
        Err(_) if payload.is_null() => Vec::new(),
        Err(_) => payload.get().as_bytes().to_vec(),
    }
}

/// JSON where the output is JSON, else its text without the last line break.
fn plain_result(out: &[u8]) -> Json {
    let text = String::from_utf8_lossy(out);
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Json::null();
    }
    Json::parse(text).unwrap_or_else(|_| Json::string(text))
}

async fn log_stderr(stderr: impl tokio::io::AsyncRead + Unpin, intent: String) -> String {
    let mut lines = BufReader::new(stderr).lines();
    let mut tail = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(%intent, "{line}");
        tail.push_str(&line);
        tail.push('\n');
        if tail.len() > 2 * STDERR_TAIL {
            let cut = tail.len() - STDERR_TAIL;
            let cut = (cut..tail.len()).find(|at| tail.is_char_boundary(*at)).unwrap_or(0);
            tail.drain(..cut);
        }
    }
    tail.trim_end().to_owned()
}
