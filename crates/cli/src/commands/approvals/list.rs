//! `baton approvals list`: what people are asked.

use baton_envelope::AgentName;
use baton_jetstream::OpenApproval;
use clap::Args;
use serde::Serialize;

use super::Document;
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// How much of a title fits on a line.
const TITLE: usize = 60;

/// `baton approvals list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Only what this person may decide and has not decided yet.
    #[arg(long = "for", value_name = "PERSON", value_parser = super::decider)]
    person: Option<String>,
    /// Only what this agent asks.
    #[arg(long)]
    agent: Option<AgentName>,
}

#[derive(Serialize)]
struct Documents<'a> {
    approvals: Vec<Document<'a>>,
}

/// Lists them.
pub(crate) async fn run(args: ListArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let mut open = mesh.open_approvals(None).await?;
    open.retain(|open| {
        let of_agent = args.agent.is_none() || open.head.record.snapshot.agent == args.agent;
        let for_person = |person: &String| !open.ballot.closed || open.ballot.silent().contains(person);
        of_agent && args.person.as_ref().is_none_or(for_person)
    });
    let documents = Documents {
        approvals: open.iter().map(|open| Document::of(open, &mesh)).collect(),
    };
    app.output.show(&documents, || text(&open))?;
    match open.is_empty() {
        true => app.output.note("nobody is asked for a decision"),
        false => app
            .output
            .note("`baton approvals show ID` tells more; `baton approvals approve ID` decides"),
    }
    Ok(())
}

fn text(open: &[OpenApproval]) -> String {
    if open.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["INTENT", "HOP", "WAIT", "AGENT", "SINCE", "DUE", "WAITS FOR", "TITLE"]);
    for one in open {
        let waits_for = match one.ballot.closed {
            true => one.ballot.silent().join(", "),
            false => "anybody".to_owned(),
        };
        let title = one.asked.title.as_deref().unwrap_or_default();
        table.row([
            one.head.record.intent.to_string(),
            one.wait.hop.to_string(),
            one.wait.name.clone(),
            view::turn(&one.head.record.snapshot),
            one.since.to_string(),
            view::time(one.due),
            waits_for,
            view::one_line(title, TITLE),
        ]);
    }
    table.render()
}
