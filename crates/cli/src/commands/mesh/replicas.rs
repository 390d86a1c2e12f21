//! `baton mesh replicas`: how many copies the streams and buckets keep.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::{CopiesView, SetReplicas, ShowCopies};
use baton_jetstream::{Error, Mesh};
use clap::Args;
use tokio::time::Instant;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::{Output, Table};
use crate::parse::Span;
use crate::who;

/// How long from one look to the next while copies are made.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// `baton mesh replicas`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReplicasArgs {
    /// How many copies every stream and bucket is to keep; without it, show how many each keeps.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5))]
    copies: Option<u32>,
    /// How long to wait until all copies are made.
    #[arg(long, value_name = "DURATION", default_value = "5m", requires = "copies")]
    timeout: Span,
    /// Do not wait until the copies are made.
    #[arg(long, requires = "copies", conflicts_with = "timeout")]
    no_wait: bool,
}

/// Shows or sets it.
pub(crate) async fn run(args: ReplicasArgs, app: &App) -> Result<(), CliError> {
    let until = Instant::now() + args.timeout.0;
    let mesh = app.connect().await?;
    let Some(replicas) = args.copies else {
        let view = mesh.ask_controller(&ShowCopies {}).await?;
        return app.output.show(&view, || text(&view));
    };
    let question = SetReplicas {
        replicas,
        by: who::person(),
    };
    let mut view = mesh.ask_controller(&question).await?;
    let without = view.streams.iter().filter(|one| one.problem.is_some()).count();
    if without > 0 {
        app.output.show(&view, || text(&view))?;
        let said = format!(
            "the server refuses the copies of {without} of {} streams and buckets",
            view.streams.len()
        );
        let hint = "mend what PROBLEM says, then run the command again: it goes on where it stopped";
        return Err(CliError::say(Kind::Failed, codes::FAILED, said).hint(hint));
    }
    if !args.no_wait {
        let made = tokio::time::timeout_at(until, made(&mesh, view, &question, app.output)).await;
        view = made.map_err(|_| late(args.timeout))??;
    }
    app.output.show(&view, || text(&view))
}

/// Waits until every copy is there, and says how far it is.
async fn made(
    mesh: &Mesh,
    mut view: CopiesView,
    question: &SetReplicas,
    output: Output,
) -> Result<CopiesView, CliError> {
    let replicas = question.replicas;
    let mut said = None;
    loop {
        let (complete, all) = (view.complete(), view.streams.len());
        if view.replicas == replicas && complete == all {
            return Ok(view);
        }
        if said.replace(complete) != Some(complete) {
            output.note(&format!(
                "{complete} of {all} streams and buckets have {replicas} copies"
            ));
        }
        tokio::time::sleep(ASK_AGAIN).await;
        let asked = if view.replicas == replicas {
            mesh.ask_controller(&ShowCopies {}).await
        } else {
            // Somebody edited the ledger at the same moment.
            mesh.ask_controller(question).await
        };
        match asked {
            Ok(next) => view = next,
            // The controller that had the question died with it; asking again is harmless.
            Err(Error::NoAnswer { .. }) => {}
            // The stream is electing a leader: the next question gets an answer.
            Err(Error::Control(refused)) if refused.code == codes::FAILED => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn late(patience: Span) -> CliError {
    let found = format!("not all copies are made after {patience}");
    let hint = "the server goes on: `baton mesh replicas` shows how far it is";
    CliError::say(Kind::TimedOut, codes::WAIT_TIMED_OUT, found).hint(hint)
}

fn text(view: &CopiesView) -> String {
    let mut table = Table::new(&["STREAM", "COPIES", "CURRENT", "PROBLEM"]);
    for one in &view.streams {
        table.row([
            one.stream.clone(),
            one.copies.to_string(),
            one.current.to_string(),
            one.problem.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}
