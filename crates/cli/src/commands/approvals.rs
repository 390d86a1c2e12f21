//! `baton approvals`: what people are asked, and their answers.

mod assign;
mod decide;
mod list;
mod overrule;
mod sample;
mod show;

use baton_envelope::control::WhoAmI;
use baton_envelope::{IntentId, PersonName, codes};
use baton_jetstream::{Mesh, OpenApproval};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};

/// `baton approvals`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List what people are asked, oldest first.
    List(list::ListArgs),
    /// Show what an intent asks of people, who may decide, and how to do it.
    Show(show::ShowArgs),
    /// Accept.
    Approve(decide::ApproveArgs),
    /// Decide against it.
    Reject(decide::ApproveArgs),
    /// Make any of the choices, with a form where one is asked for.
    Answer(decide::AnswerArgs),
    /// Give your seat to somebody else.
    Delegate(decide::DelegateArgs),
    /// Give the seat of a person to somebody else; for operators.
    Assign(assign::AssignArgs),
    /// Decide in the place of all; for operators.
    Override(overrule::OverrideArgs),
}

/// Runs the command.
pub(crate) async fn run(command: ApprovalsCommand, app: &App) -> Result<(), CliError> {
    match command {
        ApprovalsCommand::List(args) => list::run(args, app).await,
        ApprovalsCommand::Show(args) => show::run(args, app).await,
        ApprovalsCommand::Approve(args) => Box::pin(decide::approve(args, app)).await,
        ApprovalsCommand::Reject(args) => Box::pin(decide::reject(args, app)).await,
        ApprovalsCommand::Answer(args) => decide::answer(args, app).await,
        ApprovalsCommand::Delegate(args) => decide::delegate(args, app).await,
        ApprovalsCommand::Assign(args) => assign::run(args, app).await,
        ApprovalsCommand::Override(args) => overrule::run(args, app).await,
    }
}

/// Which approval.
#[derive(Debug, Clone, Args)]
struct WhichArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The wait, where the intent asks for more than one approval at a time.
    #[arg(long, value_name = "NAME")]
    wait: Option<String>,
}

/// An open approval as a document.
#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    hop: u32,
    wait: &'a str,
    agent: Option<String>,
    status: String,
    title: Option<&'a str>,
    text: Option<&'a str>,
    choices: Vec<&'a str>,
    form: Option<&'a baton_envelope::Json>,
    may_decide: Vec<String>,
    silent: Vec<String>,
    quorum: u32,
    four_eyes: bool,
    since: String,
    due: Option<String>,
    at_due: Option<String>,
    reminded: u32,
    /// The subject of a decision, but for the choice.
    subject: String,
}

impl<'a> Document<'a> {
    fn of(open: &'a OpenApproval, mesh: &Mesh) -> Self {
        let OpenApproval {
            head,
            wait,
            ballot,
            asked,
            since,
            due,
        } = open;
        let snapshot = &head.record.snapshot;
        let person = ballot.silent().into_iter().next().unwrap_or_else(|| "-".to_owned());
        let subject = mesh
            .subjects()
            .decision(&person, &head.record.intent, wait.hop, &wait.name, "CHOICE");
        Self {
            intent: &head.record.intent,
            hop: wait.hop,
            wait: &wait.name,
            agent: snapshot.agent.as_ref().map(ToString::to_string),
            status: snapshot.status.to_string(),
            title: asked.title.as_deref(),
            text: asked.text.as_deref(),
            choices: ballot.choices.iter().map(|choice| choice.name.as_str()).collect(),
            form: asked.form.as_ref(),
            may_decide: ballot.may_decide(),
            silent: ballot.silent(),
            quorum: ballot.quorum,
            four_eyes: ballot.four_eyes,
            since: since.to_string(),
            due: due.map(|due| due.to_string()),
            at_due: due.map(|_| ballot.at_due().choice),
            reminded: ballot.reminded,
            subject,
        }
    }
}

/// The open approval that is meant.
async fn the_open_one(mesh: &Mesh, which: &WhichArgs) -> Result<OpenApproval, CliError> {
    let mut open = mesh.open_approvals(Some(&which.id)).await?;
    if let Some(wait) = &which.wait {
        open.retain(|open| open.wait.name == *wait);
    }
    match (open.pop(), open.is_empty()) {
        (Some(open), true) => Ok(open),
        (Some(last), false) => {
            let mut names: Vec<&str> = open.iter().map(|open| open.wait.name.as_str()).collect();
            names.push(&last.wait.name);
            let message = format!(
                "intent \"{}\" asks for several approvals: {}",
                which.id,
                names.join(", ")
            );
            Err(CliError::say(Kind::Usage, codes::USAGE, message).hint("say which with --wait NAME"))
        }
        (None, _) => Err(nothing_open(mesh, which).await?),
    }
}

/// Why there is nothing to decide.
async fn nothing_open(mesh: &Mesh, which: &WhichArgs) -> Result<CliError, CliError> {
    let id = &which.id;
    let history = mesh.trail(id).await?;
    let of_name = |name: &str| which.wait.as_deref().is_none_or(|wait| wait == name);
    let results = history.iter().flat_map(|head| head.record.results.iter());
    let decided = results
        .filter(|result| of_name(&result.name))
        .rfind(|result| result.kind == baton_envelope::WaitKind::Approval);
    let status = history
        .last()
        .map(|head| head.record.snapshot.status.to_string())
        .unwrap_or_default();
    let shown = format!("`baton intents get {id}` shows its history");
    if let Some(decided) = decided {
        let message = format!(
            "approval \"{}\" of intent \"{id}\" is over (the intent is {status})",
            decided.name
        );
        return Ok(CliError::say(Kind::Refused, codes::TOO_LATE, message).hint(shown));
    }
    let message = format!("intent \"{id}\" asks nobody for a decision (it is {status})");
    let code = if history
        .last()
        .is_some_and(|head| head.record.snapshot.status.is_terminal())
    {
        codes::TOO_LATE
    } else {
        codes::NOT_WAITING
    };
    Ok(CliError::say(Kind::Refused, code, message).hint("`baton approvals list` shows what people are asked"))
}

/// Who decides: as it was said, in a secured mesh the account, else the user.
async fn who(mesh: &Mesh, said: Option<String>) -> Result<String, CliError> {
    if let Some(said) = said {
        return Ok(said);
    }
    let user = if mesh.is_secured() {
        mesh.ask_controller(&WhoAmI::default()).await?.by.unwrap_or_default()
    } else {
        crate::who::user()
    };
    let name = user.split('@').next().unwrap_or_default().to_ascii_lowercase();
    match name.parse::<PersonName>() {
        Ok(person) => Ok(person.to_string()),
        Err(error) => Err(
            CliError::say(Kind::Usage, codes::USAGE, format!("who decides? {error}"))
                .hint("say it with --as NAME; `--as -` is nobody in particular"),
        ),
    }
}

/// Reads who decides.
fn decider(text: &str) -> Result<String, String> {
    baton_envelope::people::Decider::from_token(text)
        .map(|decider| decider.to_string())
        .map_err(|error| error.to_string())
}
