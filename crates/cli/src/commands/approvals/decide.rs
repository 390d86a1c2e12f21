//! `baton approvals approve | reject | answer | delegate`: a person decides.

use std::time::Duration;

use baton_envelope::people::Weight;
use baton_envelope::{PersonName, Record, Status, codes, shown};
use baton_jetstream::{Heard, Mesh, NewDecision, OpenApproval};
use clap::Args;
use serde::Serialize;

use super::{WhichArgs, the_open_one, who};
use crate::app::App;
use crate::commands::payload;
use crate::error::{CliError, Kind};
use crate::parse::Span;

/// What is the same for every decision.
#[derive(Debug, Clone, Args)]
struct DecideArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Who decides: a person, or - for nobody in particular [default: the user; in a secured mesh the account].
    #[arg(long = "as", value_name = "PERSON", value_parser = super::decider)]
    person: Option<String>,
    /// How long to wait until a controller has taken it.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    timeout: Span,
}

/// `baton approvals approve`, and `reject`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    decide: DecideArgs,
    /// The form or a note, as JSON: text, @FILE, or - for stdin.
    #[arg(long, value_name = "JSON")]
    form: Option<String>,
}

/// `baton approvals answer`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    approve: ApproveArgs,
    /// The choice.
    #[arg(long, value_name = "CHOICE")]
    choice: String,
}

/// `baton approvals delegate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DelegateArgs {
    #[command(flatten)]
    decide: DecideArgs,
    /// Who gets the seat.
    #[arg(long, value_name = "PERSON")]
    to: PersonName,
}

/// What became of it, as a document.
#[derive(Serialize)]
struct Document<'a> {
    intent: &'a str,
    hop: u32,
    wait: &'a str,
    by: &'a str,
    choice: &'a str,
    /// The ledger sequence of the record.
    seq: u64,
    /// The outcome of the approval, once that is certain.
    decided: Option<&'a str>,
    /// Who has not decided yet.
    silent: Vec<String>,
}

pub(crate) async fn approve(args: ApproveArgs, app: &App) -> Result<(), CliError> {
    Box::pin(by_weight(args, Weight::For, app)).await
}

pub(crate) async fn reject(args: ApproveArgs, app: &App) -> Result<(), CliError> {
    Box::pin(by_weight(args, Weight::Against, app)).await
}

pub(crate) async fn answer(args: AnswerArgs, app: &App) -> Result<(), CliError> {
    let AnswerArgs { approve, choice } = args;
    let body = body(approve.form.as_deref(), app)?;
    let mesh = app.connect().await?;
    let open = the_open_one(&mesh, &approve.decide.which).await?;
    say(&mesh, open, approve.decide, (choice, body), app).await
}

pub(crate) async fn delegate(args: DelegateArgs, app: &App) -> Result<(), CliError> {
    let DelegateArgs { decide, to } = args;
    let mesh = app.connect().await?;
    let open = the_open_one(&mesh, &decide.which).await?;
    let body = format!("{{\"to\":\"{to}\"}}").into_bytes();
    let choice = baton_envelope::people::DELEGATE.to_owned();
    say(&mesh, open, decide, (choice, body), app).await
}

/// Makes the only choice that counts so.
async fn by_weight(args: ApproveArgs, weight: Weight, app: &App) -> Result<(), CliError> {
    let body = body(args.form.as_deref(), app)?;
    let mesh = app.connect().await?;
    let open = the_open_one(&mesh, &args.decide.which).await?;
    let choices = open.ballot.choices.iter();
    let fitting: Vec<&str> = choices
        .filter(|choice| choice.counts == weight)
        .map(|choice| choice.name.as_str())
        .collect();
    let plain = if weight == Weight::For { "approve" } else { "reject" };
    let choice = match fitting.as_slice() {
        [only] => (*only).to_owned(),
        many if many.contains(&plain) => plain.to_owned(),
        _ => {
            let all: Vec<&str> = open.ballot.choices.iter().map(|choice| choice.name.as_str()).collect();
            let message = format!("which choice? The approval has {}", all.join(", "));
            let hint = format!(
                "`baton approvals answer {} --choice CHOICE` makes one",
                args.decide.which.id
            );
            return Err(CliError::say(Kind::Usage, codes::USAGE, message).hint(hint));
        }
    };
    say(&mesh, open, args.decide, (choice, body), app).await
}

fn body(form: Option<&str>, app: &App) -> Result<Vec<u8>, CliError> {
    let Some(form) = form else { return Ok(Vec::new()) };
    payload::read(Some(form), &app.output)
}

/// Publishes the decision, and tells what became of it.
async fn say(
    mesh: &Mesh,
    open: OpenApproval,
    args: DecideArgs,
    (choice, body): (String, Vec<u8>),
    app: &App,
) -> Result<(), CliError> {
    let by = who(mesh, args.person).await?;
    let new = NewDecision {
        by: by.clone(),
        intent: args.which.id.clone(),
        hop: open.wait.hop,
        wait: open.wait.name.clone(),
        choice: choice.clone(),
        body,
    };
    let Span(timeout) = args.timeout;
    match mesh.decide(&new, timeout).await? {
        Heard::Counted(head) => counted(&head.record, head.seq, &new, app),
        Heard::Refused(dead) => Err(refused(&dead.record)),
        Heard::Waits { seq } => Err(waits(seq, timeout, &new)),
    }
}

fn counted(record: &Record, seq: u64, new: &NewDecision, app: &App) -> Result<(), CliError> {
    let waits = record.snapshot.waits.iter();
    let ballot = waits
        .filter(|wait| wait.name == new.wait && wait.hop == new.hop)
        .find_map(|wait| wait.ballot.as_ref());
    let decided = ballot.and_then(|ballot| ballot.decided.as_ref());
    let silent = ballot.map(baton_envelope::people::Ballot::silent).unwrap_or_default();
    let document = Document {
        intent: new.intent.as_str(),
        hop: new.hop,
        wait: &new.wait,
        by: &new.by,
        choice: &new.choice,
        seq,
        decided: decided.map(|decided| decided.choice.as_str()),
        silent: silent.clone(),
    };
    app.output.show(&document, || {
        let what = format!("{} of intent {}: {} by {}", new.wait, new.intent, new.choice, new.by);
        let line = match (decided, silent.is_empty()) {
            (Some(decided), _) => format!("{what}; it is decided: {}", decided.choice),
            (None, false) => format!("{what}; it waits for {}", silent.join(", ")),
            (None, true) => what,
        };
        shown(&line).into_owned()
    })
}

/// What the dead letter of the decision says.
fn refused(record: &Record) -> CliError {
    let error = record.error.as_ref().or(record.snapshot.error.as_ref());
    let code = match (&record.snapshot.status, error) {
        (_, Some(error)) => error.code.clone(),
        (Status::Rejected { code }, None) => code.clone(),
        (_, None) => codes::FAILED.to_owned(),
    };
    let message = error.map_or_else(|| "the decision was refused".to_owned(), |error| error.message.clone());
    CliError::say(
        Kind::Refused,
        code,
        format!("the decision does not count: {}", shown(&message)),
    )
    .hint(format!("`baton dead show {}` shows it as it was sent", record.intent))
}

fn waits(seq: u64, timeout: Duration, new: &NewDecision) -> CliError {
    let message = format!(
        "the decision is stored (sequence {seq} of the intake), and no controller has taken it within {}",
        Span(timeout)
    );
    CliError::say(Kind::TimedOut, codes::WAIT_TIMED_OUT, message)
        .hint("it counts when a controller takes it, if it was stored in time; `baton doctor` shows whether one runs")
        .hint(format!(
            "`baton intents get {}` shows then what became of it",
            new.intent
        ))
}
