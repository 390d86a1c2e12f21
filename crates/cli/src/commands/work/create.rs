//! `baton work create`: submits a task in words, the short form of a handoff log.

use std::time::Duration;

use baton_envelope::context::{Memory, facts};
use baton_envelope::control::SubmitView;
use baton_envelope::{AgentName, Asked, Envelope, IntentId, Json, Priority, Role, Task, codes, shown};
use baton_jetstream::{Clock as _, Error, Mesh, Submitted, SystemClock};
use clap::{Args, ValueEnum};

use crate::app::App;
use crate::commands::payload;
use crate::commands::send::to::publish_to_hold;
use crate::error::{CliError, Kind};
use crate::{parse, who};

/// The kind of what is submitted here.
const KIND: &str = "task";
/// What an agent declares that takes any task: work that is held waits for one.
const ANY_TASK: &str = "task";
/// How long to wait for load reports; controllers send two a second.
const HEAR: Duration = Duration::from_millis(1500);

/// `baton work create`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CreateArgs {
    /// Who asks for it [default: user and host].
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// The agent that gets it [default: the one whose capabilities the words of the task name].
    #[arg(long, value_name = "AGENT", conflicts_with = "when_none")]
    to: Option<AgentName>,
    /// The task, in words.
    #[arg(long, value_name = "TEXT", value_parser = task)]
    task: String,
    /// How urgent it is: 1 to 10, where 10 is most urgent [default: 5].
    #[arg(long, value_name = "N", value_parser = parse::priority)]
    priority: Option<Priority>,
    /// What belongs to the task: text or JSON, @FILE, or - for stdin. Each member of a JSON object is a fact that every agent is
    /// given.
    #[arg(long, value_name = "JSON")]
    task_context: Option<String>,
    /// Id of the intent, which makes a repeat of the same work harmless [default: a new one].
    #[arg(long, value_name = "ID")]
    id: Option<IntentId>,
    /// What to do when the words of the task name no capability of any agent.
    #[arg(long, value_enum, default_value = "reject")]
    when_none: WhenNone,
}

/// What to do when the words of the task name no capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WhenNone {
    /// Refuse the task.
    Reject,
    /// Keep it until an agent declares the capability `task`.
    Hold,
    /// Give it to the least loaded agent.
    Any,
}

/// Submits it.
pub(crate) async fn run(args: CreateArgs, app: &App) -> Result<(), CliError> {
    // Before connecting: what is wrong with the arguments does not depend on a server.
    let (mut envelope, facts) = envelope(&args, app)?;
    let mesh = app.connect().await?;
    let is_generated = args.id.is_none();
    let mut needed = Vec::new();
    if args.to.is_none() {
        mesh.receive_load(HEAR).await?;
        needed = mesh.needed_by_words(&args.task, &envelope).await?;
        if needed.is_empty() {
            match args.when_none {
                WhenNone::Reject => return Err(none_named(&args.task)),
                WhenNone::Hold => return hold(&mesh, &envelope, app).await,
                WhenNone::Any => envelope.to = least_loaded(&mesh, &envelope).await?,
            }
        }
    }
    let from = envelope.from.clone().unwrap_or_default();
    match Box::pin(mesh.begin_with(&mut envelope, facts, (&from, baton_agent::token_counter))).await {
        // A publisher stores no objects: what belongs to the task is in the payload as well.
        Err(error @ Error::Denied { .. }) => app
            .output
            .note(&format!("{error}: what belongs to the task is in its payload alone")),
        done => done?,
    }
    let intent = envelope.intent.clone();
    let by = who::author(Role::Client);
    let submitted = mesh.submit_or_ask(envelope, &needed, by, is_generated).await?;
    let agent = mesh.first_receiver(&intent).await?;
    if let Submitted::Conflict { field, .. } = &submitted {
        let differs = field.map_or_else(String::new, |field| format!(" with another `{field}`"));
        let message = format!("intent \"{intent}\" is taken: other work{differs} was submitted under this id");
        return Err(CliError::say(Kind::Refused, codes::CONFLICT, message)
            .hint(format!("`baton intents get {intent}` shows that work"))
            .hint("for new work give another --id, or none"));
    }
    let view = submitted.view(intent, agent);
    app.output.show(&view, || text(&view))
}

fn text(view: &SubmitView) -> String {
    let to = view
        .agent
        .as_ref()
        .map_or_else(String::new, |agent| format!(" to {agent}"));
    let again = if view.outcome == "new" {
        ""
    } else {
        ", as it was before"
    };
    format!("intent {} was submitted{to}{again}", shown(view.intent.as_str()))
}

/// Memories, each with its content.
type Facts = Vec<(Memory, Vec<u8>)>;

fn envelope(args: &CreateArgs, app: &App) -> Result<(Envelope, Facts), CliError> {
    let context = match &args.task_context {
        Some(argument) => Some(baton_envelope::Body::of_bytes(&payload::read(Some(argument), &app.output)?).json),
        None => None,
    };
    let given = context.as_ref().map(facts).transpose();
    let facts = given.map_err(|problem| {
        CliError::say(Kind::Usage, codes::BAD_MEMORY, format!("--task-context: {problem}"))
            .hint("name each member with A-Z, a-z, 0-9, _ and -, or give text")
    })?;
    let mut payload = std::collections::BTreeMap::from([("task", Json::string(&args.task))]);
    if let Some(context) = context {
        payload.insert("context", context);
    }
    let clock = SystemClock;
    let id = args.id.clone().unwrap_or_else(|| clock.intent_id());
    let to = match &args.to {
        Some(agent) => agent.clone(),
        None => "to-be-chosen".parse()?,
    };
    let mut envelope = Envelope::first(clock.envelope_id(), id, to, Json::of(&payload)?);
    envelope.kind = Some(KIND.to_owned());
    envelope.from = Some(args.from.clone().unwrap_or_else(who::person));
    envelope.priority = args.priority.unwrap_or_default();
    let task = Task {
        ask: Some(args.task.clone()),
        ..Task::default()
    };
    let given = Task::read_given(&Task::header(Some(&task), None).unwrap_or_default());
    let given = given.map_err(|refused| {
        let message = format!("--task \"{}\" {}", refused.value, refused.problem);
        CliError::say(Kind::Usage, codes::USAGE, message).hint("put what is long into --task-context")
    })?;
    envelope.task = given.0;
    Ok((envelope, facts.unwrap_or_default()))
}

/// A task in words.
fn task(text: &str) -> Result<String, String> {
    match text.trim().is_empty() {
        true => Err("expected words that say what is to be done".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn none_named(task: &str) -> CliError {
    let message = format!("no word of \"{task}\" is a capability of an agent");
    CliError::from(Error::NoneCapable {
        needed: vec![format!("\"{task}\"")],
        reason: "no word of it is a capability of an agent".to_owned(),
    })
    .hint(format!(
        "{message}: name the agent with --to, or choose --when-none any"
    ))
}

async fn least_loaded(mesh: &Mesh, envelope: &Envelope) -> Result<AgentName, CliError> {
    let asked = Asked {
        root: envelope.root(),
        kind: envelope.kind.as_deref(),
        pins: &envelope.pins,
        path: &[],
    };
    let (agent, _, _) = mesh.choose_capable(&[], &asked).await?;
    Ok(agent)
}

async fn hold(mesh: &Mesh, envelope: &Envelope, app: &App) -> Result<(), CliError> {
    let body = envelope.payload.get().as_bytes().to_vec();
    let seq = publish_to_hold(mesh, &[ANY_TASK.to_owned()], envelope, body).await?;
    let intent = &envelope.intent;
    let document = serde_json::json!({ "intent": intent, "intake_seq": seq, "waits_for": ANY_TASK });
    app.output.show(&document, || {
        format!("intent {intent} is in the intake until an agent declares the capability `{ANY_TASK}`")
    })
}
