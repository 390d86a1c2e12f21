//! `baton work`: the work of manual versions, which a person or a script does by hand.

mod accept;
mod complete;
mod create;
mod fail;
mod hand_off;
mod list;
mod progress;
mod reject;
mod release;
mod start;
mod take;

use std::time::Duration;

use baton_envelope::control::{WorkDone, WorkItem, WorkTaken};
use baton_envelope::{Body, shown};
use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::parse::Span;
use crate::{view, who};

/// `baton work`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum WorkCommand {
    /// List the work that waits for a person, or that somebody has.
    List(list::ListArgs),
    /// Submit a task in words: the short form of a handoff log.
    Create(create::CreateArgs),
    /// Take the most urgent work that nobody has; of several, what came first.
    Take(take::TakeArgs),
    /// Take a certain piece of work.
    Accept(accept::AcceptArgs),
    /// Begin with work that you have accepted.
    Start(start::StartArgs),
    /// Leave a note on work that is under way.
    Progress(progress::ProgressArgs),
    /// End work with its result.
    Complete(complete::CompleteArgs),
    /// Decline work that nobody has accepted.
    Reject(reject::RejectArgs),
    /// End work as failed.
    Fail(fail::FailArgs),
    /// Hand work to another agent.
    HandOff(hand_off::HandOffArgs),
    /// Give work back, so that somebody else may take it.
    Release(release::ReleaseArgs),
}

/// Runs the command.
pub(crate) async fn run(command: WorkCommand, app: &App) -> Result<(), CliError> {
    match command {
        WorkCommand::List(args) => list::run(args, app).await,
        WorkCommand::Create(args) => Box::pin(create::run(args, app)).await,
        WorkCommand::Take(args) => take::run(args, app).await,
        WorkCommand::Accept(args) => accept::run(args, app).await,
        WorkCommand::Start(args) => start::run(args, app).await,
        WorkCommand::Progress(args) => progress::run(args, app).await,
        WorkCommand::Complete(args) => complete::run(args, app).await,
        WorkCommand::Reject(args) => reject::run(args, app).await,
        WorkCommand::Fail(args) => fail::run(args, app).await,
        WorkCommand::HandOff(args) => hand_off::run(args, app).await,
        WorkCommand::Release(args) => release::run(args, app).await,
    }
}

/// Who does it.
#[derive(Debug, Clone, Args)]
struct Person {
    /// Who does it, as the records name them; in a secured mesh the server says who [default: user and host].
    #[arg(long = "as", value_name = "NAME", value_parser = name)]
    name: Option<String>,
}

impl Person {
    fn name(self) -> String {
        self.name.unwrap_or_else(who::person)
    }
}

/// For how long.
#[derive(Debug, Clone, Args)]
struct HowLong {
    /// How long you expect to take, such as 2h: the list shows it.
    #[arg(long, value_name = "DURATION")]
    estimate: Option<Span>,
    /// Give the work back by itself if it is not done after this time, such as 1d [default: keep it].
    #[arg(long, value_name = "DURATION")]
    within: Option<Span>,
}

impl HowLong {
    fn estimate_ms(&self) -> Option<u64> {
        self.estimate.map(millis)
    }

    fn within_ms(&self) -> Option<u64> {
        self.within.map(millis)
    }
}

fn millis(Span(duration): Span) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A name of a person as records have it.
fn name(text: &str) -> Result<String, String> {
    let is_good = !text.trim().is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
    if is_good {
        Ok(text.to_owned())
    } else {
        Err("expected a name of 1 to 128 bytes without control characters, such as ada".to_owned())
    }
}

/// Shows what a step did.
fn show(done: &WorkDone, app: &App) -> Result<(), CliError> {
    app.output.show(done, || {
        let WorkDone {
            intent, was, status, ..
        } = done;
        let at = view::agent_at(Some(&done.agent), Some(&done.version));
        format!("{intent} was {}, and is {} at {at}", shown(was), shown(status))
    })
}

/// Shows work that was taken, with what it is about.
fn show_taken(taken: &WorkTaken, app: &App) -> Result<(), CliError> {
    app.output.show(taken, || {
        let WorkTaken {
            work,
            payload,
            payload_encoding,
            payload_ref,
            ..
        } = taken;
        let bytes = Body::bytes(payload, payload_encoding.as_deref());
        let payload = match (payload_ref, bytes) {
            (Some(object), _) => format!(
                "an object of {} bytes; `baton context list {}` names it",
                object.bytes, work.intent
            ),
            (None, Some(bytes)) => format!("{} bytes that are not text", bytes.len()),
            (None, None) => view::value(payload),
        };
        view::paragraphs([facts(work).render(), view::body("payload", &payload)])
    })?;
    let intent = &taken.work.intent;
    app.output.note(&format!(
        "when it is done: baton work complete {intent} --result JSON; to give it back: baton work release {intent} --reason TEXT"
    ));
    Ok(())
}

fn facts(work: &WorkItem) -> Table {
    let mut table = Table::pairs();
    table.pair("intent", work.intent.as_str());
    table.pair("status", work.status.as_str());
    table.pair("from", work.from.clone().unwrap_or_default());
    table.pair("to", view::agent_at(Some(&work.agent), Some(&work.version)));
    table.pair("task", work.task.clone().unwrap_or_default());
    table.pair("kind", work.kind.clone().unwrap_or_default());
    table.pair("priority", work.priority.to_string());
    table.pair("holder", work.holder.clone().unwrap_or_default());
    table.pair("estimate", span(work.estimate_ms));
    table.pair("given back at", work.until.map(|at| at.to_string()).unwrap_or_default());
    table.pair("deadline", work.deadline.map(|at| at.to_string()).unwrap_or_default());
    table
}

/// A number of milliseconds as people write it; nothing where there is none.
fn span(millis: Option<u64>) -> String {
    millis
        .map(|millis| Span(Duration::from_millis(millis)).to_string())
        .unwrap_or_default()
}
