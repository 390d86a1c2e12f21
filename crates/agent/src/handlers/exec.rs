//! Any program as an agent: one process for each hop. `docs/exec.md` is its reference.

mod asked;
mod inherited;
mod json;
mod named;
mod objects;
mod pipe;
mod program;
mod reference;
mod remembered;
mod spent;

use std::process::ExitStatus;
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{Body, Json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;
use tokio_util::sync::CancellationToken;

use self::inherited::Inherited;
use self::json::Answer;
use self::pipe::{Pipe, log_stderr, read_result};
use self::program::{GO, Program};
use crate::fault::Fault;
use crate::guard::Guard;
use crate::handler::Handler;
use crate::hop::Hop;
use crate::outcome::Outcome;

pub use inherited::ExecEnv;
#[doc(hidden)]
pub use json::read_outcome;
pub use reference::EXEC_HELP;

/// What exit code 75 means: try again (`EX_TEMPFAIL` of sysexits.h).
const EXIT_RETRY: i32 = 75;
/// What exit code 65 means: no attempt will mend this (`EX_DATAERR` of sysexits.h).
const EXIT_TERMINAL: i32 = 65;
/// How long a program that has ended may leave its pipes open to others.
const PIPE_TIME: Duration = Duration::from_secs(1);
/// How much of a command line an error repeats, in characters.
const LONGEST_COMMAND: usize = 200;

/// How a program and the worker talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecMode {
    /// The payload on stdin, the result on stdout.
    Plain,
    /// One JSON object each way; steps and notes as JSON lines before it.
    Json,
}

/// Runs a command for each hop. Its programs end with the hop, and with this process.
#[derive(Debug, Clone)]
pub struct ExecHandler {
    command: String,
    mode: ExecMode,
    inherited: Inherited,
    guard: Guard,
}

impl ExecHandler {
    /// A command line for `sh -c`.
    pub fn shell(command: impl Into<String>, mode: ExecMode) -> Self {
        Self {
            command: command.into(),
            mode,
            inherited: Inherited::default(),
            guard: Guard::default(),
        }
    }

    /// What its programs inherit of this process's environment, and variables that they inherit in any case. Without it
    /// they inherit all, but what the process itself logs in with.
    #[must_use]
    pub fn environment(mut self, env: ExecEnv, passed: impl IntoIterator<Item = String>) -> Self {
        self.inherited = Inherited::new(env, passed.into_iter().collect());
        self
    }

    fn start(&self, hop: &Hop) -> Result<Program, Fault> {
        // A writer of before these rules may have let it in. No other attempt could start the program either.
        hop.envelope()
            .check_texts()
            .map_err(|bad| Fault::terminal(codes::MALFORMED_ENVELOPE, bad.to_string()))?;
        let inherited = self.inherited.variables();
        let own = environment(hop)
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Program::start(&self.command, inherited.chain(own), &self.guard, hop)
            .map_err(|error| Fault::retry(format!("{} cannot be started: {error}", self.name())))
    }

    /// The command line in an error.
    fn name(&self) -> String {
        let mut name: String = self.command.chars().take(LONGEST_COMMAND).collect();
        if name.len() < self.command.len() {
            name.push('…');
        }
        format!("program \"{name}\"")
    }

    /// Feeds the program and hears it out, until it has ended and its pipes with it. Fails as soon as no good outcome can
    /// come any more.
    async fn talk(&self, hop: &mut Hop, input: Vec<u8>, program: &mut Program) -> Result<Heard, Fault> {
        let Some(line) = program.line() else {
            return Err(Fault::retry("its pipes could not be opened"));
        };
        let over = CancellationToken::new();
        let intent = hop.intent().clone();
        let (stdout, stderr) = (
            Pipe::new(line.stdout, over.clone()),
            Pipe::new(line.stderr, over.clone()),
        );
        let listen = async {
            Ok(match self.mode {
                ExecMode::Plain => Said::Plain(read_result(stdout, hop.largest).await?),
                ExecMode::Json => Said::Json(json::listen(hop, stdout).await?.map(Box::new)),
            })
        };
        let log = async { Ok::<_, Fault>(log_stderr(stderr, &intent).await?) };
        let feed = async {
            feed(line.stdin, input, &over).await;
            Ok(())
        };
        let mut talk = std::pin::pin!(async { tokio::try_join!(listen, log, feed) });
        let ((said, tail, ()), status) = tokio::select! {
            talked = &mut talk => (talked?, line.child.wait().await?),
            status = line.child.wait() => {
                let status = status?;
                let talked = tokio::select! {
                    talked = &mut talk => talked,
                    () = tokio::time::sleep(PIPE_TIME) => {
                        tracing::debug!(%intent, "the program has ended and left its pipes open");
                        over.cancel();
                        talk.await
                    }
                };
                (talked?, status)
            }
        };
        Ok(Heard { said, tail, status })
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
        let input = match self.mode {
            ExecMode::Plain => plain_input(hop, &payload),
            ExecMode::Json => {
                hop.tell_children().await?;
                let context = match hop.envelope().context.is_some() || !hop.own_view.spaces.is_empty() {
                    true => Some(hop.context().await?),
                    false => None,
                };
                let budget = hop.budget().await;
                json::input(hop, context.as_ref(), budget.as_ref()).into_bytes()
            }
        };
        let mut program = self.start(hop)?;
        let cancelled = hop.cancelled();
        let talked = tokio::select! {
            biased;
            talked = self.talk(hop, input, &mut program) => talked,
            // Dropped, it is told to end at once, and killed where it does not listen. Nobody waits for what it says.
            () = cancelled => return Err(Fault::fenced()),
        };
        match talked {
            // What is left of its group is ended meanwhile.
            Ok(heard) => heard.outcome(),
            Err(mut fault) => {
                // The next attempt must not run beside it.
                program.end().await;
                fault.message = format!("{}: {}", self.name(), fault.message);
                Err(fault)
            }
        }
    }
}

/// The variables that a program gets beside those of the worker.
fn environment(hop: &Hop) -> Vec<(&'static str, String)> {
    let envelope = hop.envelope();
    let version = envelope.to_version.as_ref().map(ToString::to_string);
    let mut variables = vec![
        ("BATON_INTENT", envelope.intent.to_string()),
        ("BATON_ROOT", envelope.root().to_string()),
        ("BATON_ENVELOPE", envelope.id.to_string()),
        ("BATON_AGENT", envelope.to.to_string()),
        ("BATON_VERSION", version.unwrap_or_default()),
        ("BATON_FROM", envelope.from.clone().unwrap_or_default()),
        ("BATON_KIND", envelope.kind.clone().unwrap_or_default()),
        ("BATON_HOP", envelope.hop.to_string()),
        ("BATON_MAX_HOPS", envelope.max_hops.to_string()),
        ("BATON_PRIORITY", envelope.priority.to_string()),
        ("BATON_ATTEMPT", hop.attempt().to_string()),
        ("BATON_EPOCH", hop.epoch().to_string()),
        (
            "BATON_DEADLINE",
            envelope.deadline.map(|at| at.to_string()).unwrap_or_default(),
        ),
        ("BATON_IDEMPOTENCY_KEY", hop.idempotency_key("exec")),
        ("TRACEPARENT", envelope.traceparent.clone().unwrap_or_default()),
    ];
    if hop.is_replay() {
        variables.push(("BATON_REPLAY", "1".to_owned()));
    }
    variables
}

/// Writes the program its input. It need not read it; a broken pipe is no failure.
async fn feed(mut stdin: ChildStdin, input: Vec<u8>, over: &CancellationToken) {
    let write = async {
        stdin.write_all(GO).await?;
        stdin.write_all(&input).await
    };
    tokio::select! {
        written = write => if let Err(error) = written {
            tracing::debug!(%error, "the program did not read its input");
        },
        () = over.cancelled() => {}
    }
}

enum Said {
    Plain(Vec<u8>),
    Json(Option<Box<Answer>>),
}

/// All that a program said, and how it ended.
struct Heard {
    said: Said,
    /// The end of stderr.
    tail: String,
    status: ExitStatus,
}

impl Heard {
    fn outcome(self) -> Result<Outcome, Fault> {
        match self.status.code() {
            Some(0) => match self.said {
                Said::Plain(out) => Ok(Outcome::next_body(plain_result(&out))),
                Said::Json(Some(answer)) => answer.outcome,
                Said::Json(None) => {
                    Err(Fault::retry(self.describe("the program wrote no outcome object")).with_code(codes::NO_OUTCOME))
                }
            },
            Some(EXIT_TERMINAL) => Err(Fault::terminal(
                codes::exit(EXIT_TERMINAL),
                self.describe("exit code 65"),
            )),
            Some(EXIT_RETRY) => Err(Fault::retry(self.describe("exit code 75")).with_code(codes::exit(EXIT_RETRY))),
            Some(code) => {
                let message = self.describe(&format!("exit code {code}"));
                Err(Fault::retry(message).with_code(codes::exit(code)))
            }
            None => {
                let message = self.describe(&format!("ended by {}", self.status));
                Err(Fault::retry(message).with_code(codes::SIGNAL))
            }
        }
    }

    fn describe(&self, what: &str) -> String {
        if let Said::Json(Some(answer)) = &self.said
            && let Some(message) = &answer.message
        {
            return format!("{what}: {message}");
        }
        match self.tail.as_str() {
            "" => what.to_owned(),
            tail => format!("{what}: {tail}"),
        }
    }
}

/// A string as its text, base64 as its bytes, anything else as JSON.
fn plain_input(hop: &Hop, payload: &Json) -> Vec<u8> {
    if let Some(bytes) = Body::bytes(payload, hop.envelope().payload_encoding.as_deref()) {
        return bytes;
    }
    match payload.read::<String>() {
        Ok(text) => text.into_bytes(),
        Err(_) if payload.is_null() => Vec::new(),
        Err(_) => payload.get().as_bytes().to_vec(),
    }
}

/// JSON where the output is JSON, else its text without the last line breaks; bytes that are no text as they are.
fn plain_result(out: &[u8]) -> Body {
    match std::str::from_utf8(out) {
        Ok(text) => Body::of_bytes(text.trim_end_matches(['\n', '\r']).as_bytes()),
        Err(_) => Body::of_bytes(out),
    }
}
