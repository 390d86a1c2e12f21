//! `baton send`: submits an intent, and waits for its end if asked to.

mod accepted;
mod asks;
mod budget;
mod channel;
pub(super) mod to;
mod unique;

use std::path::PathBuf;
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{
    AgentName, AgentVersion, Envelope, HEADER_DEADLINE, HEADER_ITINERARY, HEADER_KIND, HEADER_MAX_HOPS,
    HEADER_NOT_BEFORE, HEADER_ORDER_KEY, HEADER_PRIORITY, HEADER_REPLY_TO, HEADER_TASK, IntentId, Json, MaxHops,
    OBJECT_LIMIT, Pinning, Priority, RawIntent, RawRejection, Role, Status, Unique, WaitReason, check_answer, shown,
};
use baton_forms::Form;
use baton_jetstream::{Clock as _, Error, Head, Mesh, Submitted, SystemClock, Waiting};
use clap::{Args, ValueEnum};
use tokio::time::Instant;

use self::to::{To, WhenNone};
use super::ended::{self, Sent, Where};
use super::gate::GateArgs;
use super::payload;
use crate::app::App;
use crate::commands::pipelines::file::Read;
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
    /// Begin not before this time has passed, such as 10m.
    #[arg(long, value_name = "DURATION", conflicts_with = "at", value_parser = parse::deadline)]
    delay: Option<String>,
    /// Begin not before this time, such as 2026-11-21T05:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse::deadline)]
    at: Option<String>,
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
    /// What the work is for, in words. It is in what every agent is given.
    #[arg(long, value_name = "TEXT")]
    goal: Option<String>,
    /// Where the work stands, in words.
    #[arg(long, value_name = "TEXT")]
    state: Option<String>,
    /// What the agent is asked to do, in words.
    #[arg(long, value_name = "TEXT")]
    ask: Option<String>,
    /// What is expected back: a JSON object of `format` (text or json), `schema` (a JSON schema), `min_length`, `max_length`,
    /// `length` and `quality`. A result that is not that is not taken, unless `checked` is false.
    #[arg(long, value_name = "JSON", value_parser = parse::expects)]
    expects: Option<Json>,
    /// Pin the intent to a version of an agent; may be repeated.
    #[arg(long = "pin", value_name = "AGENT=VERSION", value_parser = parse::pin)]
    pins: Vec<(AgentName, AgentVersion)>,
    /// How it keeps to versions [default: what `baton route pinning` has set for the agent].
    #[arg(long, value_enum)]
    pinning: Option<Keeping>,
    /// Agent before whose work people are asked; may be repeated. What they do not approve ends as rejected.
    #[arg(long = "gate", value_name = "AGENT")]
    gates: Vec<AgentName>,
    #[command(flatten)]
    gate: GateArgs,
    #[command(flatten)]
    unique: unique::UniqueArgs,
    /// Key in whose order the agent gets its work: one at a time, in the order of submission. Other work goes on beside it.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["delay", "at"])]
    order_key: Option<String>,
    /// Agents that it goes to after the first, in this order, separated by commas. An agent hands on to the next by `next`, a plain
    /// program by its output.
    #[arg(long, value_name = "AGENT,…", value_delimiter = ',')]
    itinerary: Vec<AgentName>,
    #[command(flatten)]
    budget: budget::BudgetArgs,
    /// File with the payload, of up to 64 MiB; - for stdin. What is above 64 KiB goes as an object, where the agent takes it.
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
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

/// Submits the intent.
pub(crate) async fn run(args: SendArgs, app: &App) -> Result<(), CliError> {
    // Before connecting: what is wrong with the arguments does not depend on a server.
    let pipeline = args.to.pipeline()?;
    let (to, payload) = args.to.read(pipeline.as_ref())?;
    let body = body(&args, payload, app)?;
    let envelope = routed(&args, (&to, pipeline.as_ref()), &body)?;
    to.check(&args)?;
    let unique = args.unique.read(&to)?;
    unique::check_order_key(args.order_key.as_deref(), &to)?;
    let until = Instant::now() + args.timeout.0;
    let intent = envelope.intent.clone();
    let submit = Box::pin(async {
        let submitted = Box::pin(submit(&args, (&to, unique), envelope, body, app)).await;
        submitted.map_err(|error| match &pipeline {
            Some(read) => read.located(error),
            None => error,
        })
    });
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
                let mesh = waiting.mesh().clone();
                let end = waiting.end(left()).await?;
                return ended::show(&intent, false, end, args.timeout.0, (&mesh, app)).await;
            }
            let document = Sent {
                intent: &intent,
                known: false,
                standing: Where::Intake { intake_seq: seq },
            };
            let until = match to {
                To::Channel { .. } => "a controller takes it",
                To::Agent(_) | To::Capable { .. } => "an agent is able",
            };
            return app
                .output
                .show(&document, || format!("intent {intent} is in the intake until {until}"));
        }
    };
    // Under a unique key the work may be an intent that was there before.
    let intent = match &submitted {
        Submitted::Repeated(head) => head.record.intent.clone(),
        Submitted::New { .. } | Submitted::Conflict { .. } => intent,
    };
    let known = match &submitted {
        Submitted::New { .. } => false,
        Submitted::Repeated(head) => {
            app.output.note(&was_there(head, args.id.as_ref()));
            true
        }
        Submitted::Conflict { head, field } => return Err(conflict(&intent, head, *field)),
    };
    if let Some(waiting) = waiting {
        app.output.note(&format!("intent {intent}"));
        if args.wait_for.is_some() {
            return accepted::show(&intent, known, waiting, (left(), args.timeout), app).await;
        }
        let mesh = waiting.mesh().clone();
        let end = match known {
            true => waiting.end(left()).await?,
            false => waiting.end_of_new(left()).await?,
        };
        return ended::show(&intent, known, end, args.timeout.0, (&mesh, app)).await;
    }
    show((&intent, &begins_as(&args, &to)), known, &submitted, app)
}

/// The payload, from an argument, stdin or a file.
fn body(args: &SendArgs, payload: Option<&str>, app: &App) -> Result<Vec<u8>, CliError> {
    let body = match (&args.payload_file, payload) {
        (None, payload) => payload::read(payload, &app.output)?,
        (Some(file), None) => payload::read_file(file, &app.output)?,
        (Some(_), Some(payload)) => {
            let message = format!("--payload-file says the payload, so \"{}\" may not", shown(payload));
            return Err(CliError::say(Kind::Usage, codes::USAGE, message).hint("give one of the two"));
        }
    };
    if body.len() > OBJECT_LIMIT {
        let message = format!("the payload has {} bytes, and {OBJECT_LIMIT} are the most", body.len());
        return Err(CliError::say(Kind::Refused, codes::CONTEXT_FULL, message)
            .hint("store the data elsewhere, and send a reference of your own to it"));
    }
    Ok(body)
}

/// How new work stands.
fn begins_as(args: &SendArgs, to: &To) -> Status {
    match (&args.order_key, to) {
        (Some(_), _) => Status::Waiting {
            reason: WaitReason::Order,
        },
        (None, To::Channel { .. }) => Status::Waiting {
            reason: WaitReason::Children,
        },
        (None, To::Agent(_) | To::Capable { .. }) => Status::Pending,
    }
}

/// Says what was submitted, and where it stands.
fn show(
    (intent, begins_as): (&IntentId, &Status),
    known: bool,
    submitted: &Submitted,
    app: &App,
) -> Result<(), CliError> {
    let standing = match submitted {
        Submitted::New { seq } => Where::New { seq: *seq },
        Submitted::Repeated(head) | Submitted::Conflict { head, .. } => Where::Head {
            seq: head.seq,
            snapshot: &head.record.snapshot,
        },
    };
    let document = Sent {
        intent,
        known,
        standing,
    };
    app.output.show(&document, || {
        let mut table = Table::new(&["INTENT", "STATUS", "SEQ"]);
        let (status, seq) = match &document.standing {
            Where::Intake { intake_seq: seq } | Where::New { seq } => (begins_as.to_string(), seq),
            Where::Head { seq, snapshot } => (snapshot.status.to_string(), seq),
        };
        table.row([intent.to_string(), status, seq.to_string()]);
        table.render()
    })
}

/// Says which intent the work was before it was submitted. One of another id holds the unique key.
fn was_there(head: &Head, id: Option<&IntentId>) -> String {
    let (intent, snapshot) = (&head.record.intent, &head.record.snapshot);
    let why = match id == Some(intent) {
        true => "was submitted before, with the same work",
        false => "holds the unique key, and stands for this",
    };
    format!(
        "intent \"{intent}\" {why}; it is {}",
        shown(&snapshot.status.to_string())
    )
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
    (to, unique): (&To, Option<Unique>),
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
    if waiting.is_some()
        && let Some(submitted) = before(args, to, &mesh, &envelope).await?
    {
        return Ok((waiting, Done::Submitted(submitted)));
    }
    if let Some(unique) = unique {
        let submitted = mesh.ask_to_submit_unique(envelope, unique, by).await?;
        let waiting = match (&submitted, waiting) {
            (Submitted::Repeated(head), Some(_)) => Some(mesh.waiting(&head.record.intent).await?),
            (_, waiting) => waiting,
        };
        return Ok((waiting, Done::Submitted(submitted)));
    }
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
        To::Channel { channel, receivers } => {
            let to = (channel, receivers.as_slice());
            let done = Box::pin(channel::publish(&mesh, to, &envelope, body, !is_generated)).await?;
            return Ok((waiting, done));
        }
    };
    Ok((waiting, Done::Submitted(submitted)))
}

/// What was submitted under a chosen id before, where only the archive has it: whoever waits finds its answer there.
async fn before(args: &SendArgs, to: &To, mesh: &Mesh, envelope: &Envelope) -> Result<Option<Submitted>, CliError> {
    if args.id.is_none() || !matches!(to, To::Agent(_)) {
        return Ok(None);
    }
    match mesh.submitted_in_archive(envelope).await {
        // Nobody says where the archive has it. As long as the ledger remembers the id, the submit finds it.
        Err(Error::NoController) => Ok(None),
        found => Ok(found?),
    }
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

/// The work, with the way that a pipeline gives it.
fn routed(args: &SendArgs, (to, pipeline): (&To, Option<&Read>), body: &[u8]) -> Result<Envelope, CliError> {
    let mut envelope = envelope(args, &to.name()?, body)?;
    if let Some(read) = pipeline {
        read.pipeline.put_into(&mut envelope);
    }
    envelope.check_itinerary().map_err(Error::from)?;
    Ok(envelope)
}

/// Goes the way of a raw intent, so that `baton send` and `nats pub` mean the same by the same payload.
fn envelope(args: &SendArgs, agent: &AgentName, body: &[u8]) -> Result<Envelope, CliError> {
    let (clock, now) = (SystemClock, SystemClock.now());
    let text = |number: Option<String>| number.unwrap_or_default();
    let mut values = vec![
        (
            HEADER_PRIORITY,
            text(args.priority.map(|priority| priority.to_string())),
        ),
        (HEADER_MAX_HOPS, text(args.max_hops.map(|hops| hops.to_string()))),
        (HEADER_DEADLINE, text(args.deadline.clone())),
        (HEADER_NOT_BEFORE, text(args.delay.clone().or_else(|| args.at.clone()))),
        (HEADER_KIND, text(args.kind.clone())),
        (HEADER_REPLY_TO, text(args.reply_to.clone())),
        (HEADER_ORDER_KEY, text(args.order_key.clone())),
        (HEADER_ITINERARY, names(&args.itinerary)),
        (HEADER_TASK, text(task(args)?)),
    ];
    values.extend(args.budget.headers());
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
    let envelope = raw.to_envelope(clock.envelope_id(), agent, now);
    let mut envelope = envelope.map_err(|refused| {
        let flag = match &args.delay {
            Some(_) => "--delay",
            None => "--at",
        };
        CliError::from_raw(by_flag(refused), &[(HEADER_NOT_BEFORE, flag)])
    })?;
    if let Some(schema) = envelope.expects.as_ref().and_then(|expects| expects.schema.as_ref()) {
        Form::read(schema.get()).map_err(|refused| {
            let message = format!("--expects: the schema: {refused}");
            CliError::say(Kind::Usage, codes::BAD_HEADER, message).hint("give a JSON schema without references")
        })?;
    }
    envelope.pins = args.pins.iter().cloned().collect();
    envelope.pinning = args.pinning.map(Pinning::from);
    if let (true, Some(flag)) = (args.gates.is_empty(), args.gate.given()) {
        let message = format!("{flag} needs --gate AGENT: nobody would be asked");
        return Err(CliError::say(Kind::Usage, codes::USAGE, message).hint(format!(
            "name the agent before whose work people are asked, such as --gate {agent}"
        )));
    }
    if !args.gates.is_empty() {
        let approval = args.gate.approval()?;
        envelope.gates = args
            .gates
            .iter()
            .map(|agent| (agent.clone(), approval.clone()))
            .collect();
    }
    envelope.policy = args.asks.policy();
    Ok(match &args.constraints {
        Some(constraints) => envelope.with_constraints(constraints.clone()),
        None => envelope,
    })
}

/// What the flags say of the work, as the header has it.
fn task(args: &SendArgs) -> Result<Option<String>, CliError> {
    let words = [("goal", &args.goal), ("state", &args.state), ("ask", &args.ask)];
    let words = words
        .into_iter()
        .filter_map(|(name, words)| Some((name, Json::string(words.as_ref()?))));
    let expects = args.expects.iter().map(|expects| ("expects", expects.clone()));
    let said: std::collections::BTreeMap<&str, Json> = words.chain(expects).collect();
    match said.is_empty() {
        true => Ok(None),
        false => Ok(Some(Json::of(&said)?.get().to_owned())),
    }
}

/// What is wrong with a task, by the flag that says it.
fn by_flag(mut refused: RawRejection) -> RawRejection {
    let member = refused
        .field
        .strip_prefix(HEADER_TASK)
        .and_then(|rest| rest.strip_prefix(": "));
    if let Some(member) = member.map(str::to_owned) {
        let (flag, member) = member.split_once('.').unwrap_or((&member, ""));
        if !member.is_empty() {
            refused.problem = format!("`{member}` {}", refused.problem);
        }
        refused.field = format!("--{flag}");
    }
    refused
}

fn names(agents: &[AgentName]) -> String {
    agents.iter().map(AgentName::as_str).collect::<Vec<_>>().join(",")
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
