//! `baton send`: submits an intent, and waits for its end if asked to.

mod accepted;
mod asks;
mod to;

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{
    AgentName, AgentVersion, Envelope, HEADER_DEADLINE, HEADER_KIND, HEADER_MAX_HOPS, HEADER_PRIORITY, HEADER_REPLY_TO,
    IntentId, Json, MaxHops, Pinning, Priority, RawIntent, Role, Status, check_answer, shown,
};
use baton_jetstream::{Clock as _, Error, Head, Submitted, SystemClock, WaitEnd, Waiting};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::time::Instant;

use self::to::{To, WhenNone};
use super::payload;
use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::parse::{self, Span};
use crate::{view, who};

/// How long to wait for load reports; controllers send two a second.
const HEAR: Duration = Duration::from_millis(1500);

/// `baton send`.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("waits").args(["wait", "wait_for"])))]
pub(crate) struct SendArgs {
    #[command(flatten)]
    to: to::ToArgs,
    /// Id of the intent, which makes a repeat of the same work harmless [default: a new one].
    #[arg(long, value_name = "ID")]
    id: Option<IntentId>,
    /// How urgent it is: 1 to 10, where 10 is most urgent [default: 5].
    #[arg(long, value_name = "N", value_parser = parse::priority)]
    priority: Option<Priority>,
    /// When it must be done: a time such as 2026-11-21T05:00:00Z, or a duration from now such as 10m.
    #[arg(long, value_name = "WHEN", value_parser = parse::deadline)]
    deadline: Option<String>,
    /// How many hops it may take: 1 to 64 [default: 10].
    #[arg(long, value_name = "N", value_parser = parse::max_hops)]
    max_hops: Option<MaxHops>,
    /// Kind of the work, such as invoice.extract.v1.
    #[arg(long)]
    kind: Option<String>,
    /// Subject to publish the result to.
    #[arg(long, value_name = "SUBJECT")]
    reply_to: Option<String>,
    /// Must-carry constraints: a JSON object that every hop carries unchanged.
    #[arg(long, value_name = "JSON", value_parser = parse::constraints)]
    constraints: Option<Json>,
    /// Pin the intent to a version of an agent; may be repeated.
    #[arg(long = "pin", value_name = "AGENT=VERSION", value_parser = parse::pin)]
    pins: Vec<(AgentName, AgentVersion)>,
    /// How it keeps to versions [default: what `baton route pinning` has set for the agent].
    #[arg(long, value_enum)]
    pinning: Option<Keeping>,
    /// Wait until the intent ends, and print its result.
    #[arg(long)]
    wait: bool,
    /// Wait for less than the end.
    #[arg(long, value_enum, value_name = "WHAT")]
    wait_for: Option<WaitFor>,
    /// How long to wait, from the start of the command.
    #[arg(long, value_name = "DURATION", default_value = "5m", requires = "waits")]
    timeout: Span,
    #[command(flatten)]
    asks: asks::AsksArgs,
}

/// What to wait for, where that is less than the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitFor {
    /// Until a worker has the work.
    Accepted,
}

/// How an intent keeps to versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keeping {
    /// Each hop uses the route at the time of that hop.
    Hop,
    /// All hops use the routes at the time of the submit.
    Chain,
}

impl From<Keeping> for Pinning {
    fn from(keeping: Keeping) -> Self {
        match keeping {
            Keeping::Hop => Self::Hop,
            Keeping::Chain => Self::Chain,
        }
    }
}

/// What became of it, as a document.
#[derive(Serialize)]
struct Sent<'a> {
    intent: &'a IntentId,
    /// Whether the same work was submitted under this id before.
    known: bool,
    #[serde(flatten)]
    standing: Where<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Where<'a> {
    Intake {
        intake_seq: u64,
    },
    New {
        seq: u64,
    },
    Head {
        seq: u64,
        snapshot: &'a baton_envelope::Snapshot,
    },
}

/// Submits the intent.
pub(crate) async fn run(args: SendArgs, app: &App) -> Result<(), CliError> {
    // Before connecting: what is wrong with the arguments does not depend on a server.
    let (to, payload) = args.to.read()?;
    let body = payload::read(payload, &app.output)?;
    let envelope = envelope(&args, &to.name()?, &body)?;
    to.check(&args)?;
    let until = Instant::now() + args.timeout.0;
    let intent = envelope.intent.clone();
    let submit = Box::pin(submit(&args, &to, envelope, body, app));
    let (waiting, submitted) = if args.wait || args.wait_for.is_some() {
        let submitted = tokio::time::timeout_at(until, submit).await;
        submitted.map_err(|_| unconfirmed(&intent, args.timeout))??
    } else {
        submit.await?
    };
    let left = || until.saturating_duration_since(Instant::now());
    let submitted = match submitted {
        Done::Submitted(submitted) => submitted,
        Done::Held { seq } => {
            if let Some(waiting) = waiting {
                app.output.note(&format!("intent {intent}"));
                if args.wait_for.is_some() {
                    return accepted::show(&intent, false, waiting, (left(), args.timeout), app).await;
                }
                let end = waiting.end(left()).await?;
                return show_end(&intent, false, end, args.timeout.0, app);
            }
            let document = Sent {
                intent: &intent,
                known: false,
                standing: Where::Intake { intake_seq: seq },
            };
            return app.output.show(&document, || {
                format!("intent {intent} is in the intake until an agent is able")
            });
        }
    };
    let known = match &submitted {
        Submitted::New { .. } => false,
        Submitted::Repeated(head) => {
            app.output.note(&format!(
                "intent \"{intent}\" was submitted before, with the same work; it is {}",
                shown(&head.record.snapshot.status.to_string())
            ));
            true
        }
        Submitted::Conflict { head, field } => return Err(conflict(&intent, head, *field)),
    };
    if let Some(waiting) = waiting {
        app.output.note(&format!("intent {intent}"));
        if args.wait_for.is_some() {
            return accepted::show(&intent, known, waiting, (left(), args.timeout), app).await;
        }
        let end = match known {
            true => waiting.end(left()).await?,
            false => waiting.end_of_new(left()).await?,
        };
        return show_end(&intent, known, end, args.timeout.0, app);
    }
    let standing = match &submitted {
        Submitted::New { seq } => Where::New { seq: *seq },
        Submitted::Repeated(head) | Submitted::Conflict { head, .. } => Where::Head {
            seq: head.seq,
            snapshot: &head.record.snapshot,
        },
    };
    let document = Sent {
        intent: &intent,
        known,
        standing,
    };
    app.output.show(&document, || {
        let mut table = Table::new(&["INTENT", "STATUS", "SEQ"]);
        let (status, seq) = match &document.standing {
            Where::Intake { intake_seq: seq } | Where::New { seq } => (Status::Pending.to_string(), seq),
            Where::Head { seq, snapshot } => (snapshot.status.to_string(), seq),
        };
        table.row([intent.to_string(), status, seq.to_string()]);
        table.render()
    })
}

/// Where a submit has put the work.
enum Done {
    /// In the ledger.
    Submitted(Submitted),
    /// In the intake, at this sequence.
    Held { seq: u64 },
}

/// Connects and submits; what listens for the end does so from before the submit.
async fn submit(
    args: &SendArgs,
    to: &To,
    envelope: Envelope,
    body: Vec<u8>,
    app: &App,
) -> Result<(Option<Waiting>, Done), CliError> {
    let mesh = app.connect().await?;
    if let Some(reply_to) = &envelope.reply_to {
        // What is held goes no further than to the intake, and would be rejected there.
        check_answer(reply_to, mesh.subjects().namespace()).map_err(Error::from)?;
    }
    let by = who::author(Role::Client);
    let waiting = match args.wait || args.wait_for.is_some() {
        true => Some(mesh.waiting(&envelope.intent).await?),
        false => None,
    };
    // Nobody knows an id that was made here, so nobody repeats it.
    let is_generated = args.id.is_none();
    let submitted = match to {
        To::Agent(_) => mesh.submit_or_ask(envelope, &[], by, is_generated).await?,
        To::Capable {
            needed,
            when_none: WhenNone::Reject,
        } => {
            mesh.receive_load(HEAR).await?;
            mesh.submit_or_ask(envelope, needed, by, is_generated).await?
        }
        To::Capable {
            needed,
            when_none: WhenNone::Hold,
        } => {
            let seq = to::publish_to_hold(&mesh, needed, &envelope, body).await?;
            return Ok((waiting, Done::Held { seq }));
        }
    };
    Ok((waiting, Done::Submitted(submitted)))
}

/// The time was up before the server confirmed the submit.
fn unconfirmed(intent: &IntentId, timeout: Span) -> CliError {
    let message = format!("intent \"{intent}\": the server has not confirmed the submit after {timeout}");
    CliError::say(Kind::TimedOut, codes::WAIT_TIMED_OUT, message)
        .hint(format!(
            "it may be stored all the same; to repeat it without doing the work twice, add --id {intent}"
        ))
        .hint("`baton doctor` shows whether the server stores what is written")
}

/// Goes the way of a raw intent, so that `baton send` and `nats pub` mean the same by the same payload.
fn envelope(args: &SendArgs, agent: &AgentName, body: &[u8]) -> Result<Envelope, CliError> {
    let (clock, now) = (SystemClock, SystemClock.now());
    let text = |number: Option<String>| number.unwrap_or_default();
    let values = [
        (
            HEADER_PRIORITY,
            text(args.priority.map(|priority| priority.to_string())),
        ),
        (HEADER_MAX_HOPS, text(args.max_hops.map(|hops| hops.to_string()))),
        (HEADER_DEADLINE, text(args.deadline.clone())),
        (HEADER_KIND, text(args.kind.clone())),
        (HEADER_REPLY_TO, text(args.reply_to.clone())),
    ];
    let raw = RawIntent {
        subject: "",
        headers: values
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (*name, value.as_str()))
            .collect(),
        body,
        stored_at: now,
        derived_id: args.id.clone().unwrap_or_else(|| clock.intent_id()),
    };
    let mut envelope = raw.to_envelope(clock.envelope_id(), agent, now)?;
    envelope.pins = args.pins.iter().cloned().collect();
    envelope.pinning = args.pinning.map(Pinning::from);
    envelope.policy = args.asks.policy();
    Ok(match &args.constraints {
        Some(constraints) => envelope.with_constraints(constraints.clone()),
        None => envelope,
    })
}

fn conflict(intent: &IntentId, head: &Head, field: Option<&str>) -> CliError {
    let snapshot = &head.record.snapshot;
    let differs = field.map_or_else(String::new, |field| format!(", with another `{field}`,"));
    let message = format!(
        "intent \"{intent}\" is taken: other work{differs} was submitted under this id (it is {}, at {})",
        snapshot.status,
        view::turn(snapshot)
    );
    CliError::say(Kind::Refused, codes::CONFLICT, message)
        .hint(format!("`baton intents get {intent}` shows that work"))
        .hint("for new work give another --id, or none")
}

fn show_end(intent: &IntentId, known: bool, end: WaitEnd, timeout: Duration, app: &App) -> Result<(), CliError> {
    let head = match end {
        WaitEnd::Ended(head) | WaitEnd::Parked(head) => head,
        WaitEnd::TimedOut(head) => {
            let stands = head.map_or_else(String::new, |head| {
                let snapshot = &head.record.snapshot;
                format!(": it is {} at {}", snapshot.status, view::turn(snapshot))
            });
            let message = format!("intent \"{intent}\" has not ended after {}{stands}", Span(timeout));
            return Err(CliError::say(Kind::TimedOut, codes::WAIT_TIMED_OUT, message)
                .hint(format!("it goes on; `baton intents watch {intent}` follows it")));
        }
    };
    let snapshot = &head.record.snapshot;
    let document = Sent {
        intent,
        known,
        standing: Where::Head {
            seq: head.seq,
            snapshot,
        },
    };
    match view::bytes(snapshot) {
        Some(bytes) => app.output.show_bytes(&document, &bytes)?,
        None => app
            .output
            .show(&document, || match (&snapshot.status, &snapshot.result) {
                (Status::Completed, Some(result)) => view::value(result),
                (_, _) => String::new(),
            })?,
    }
    if snapshot.status == Status::Completed {
        Ok(())
    } else {
        Err(not_completed(intent, &head))
    }
}

fn not_completed(intent: &IntentId, head: &Head) -> CliError {
    let snapshot = &head.record.snapshot;
    let reason = snapshot
        .error
        .as_ref()
        .map(|error| anyhow::Error::msg(error.message.clone()));
    let message = format!("intent \"{intent}\" is {} at {}", snapshot.status, view::turn(snapshot));
    let source = match reason {
        Some(reason) => reason.context(message),
        None => anyhow::Error::msg(message),
    };
    let code = match (&snapshot.error, &snapshot.status) {
        (Some(error), _) => error.code.as_str(),
        (None, Status::TimedOut) => codes::DEADLINE_PAST,
        (None, _) => codes::FAILED,
    };
    let mut error =
        CliError::new(Kind::Failed, code, source).hint(format!("`baton intents get {intent}` shows its history"));
    if matches!(snapshot.status, Status::Parked { .. }) {
        let more = if error.code == codes::HOP_LIMIT {
            " --max-hops N"
        } else {
            ""
        };
        error = error.hint(format!("once the cause is gone: `baton dead redrive {intent}{more}`"));
    }
    error
}
