//! `baton dead list`: parked and rejected work.

use baton_envelope::AgentName;
use baton_jetstream::{Filter, Head};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view::{self, Standing};

/// How much of a reason fits on a line.
const REASON: usize = 100;

/// `baton dead list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Only the work of this agent.
    #[arg(long)]
    agent: Option<AgentName>,
    /// How many to list at most; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// The dead letters as a document.
#[derive(Serialize)]
struct Document<'a> {
    dead: Vec<Standing<'a>>,
    matched: usize,
}

/// Lists them.
pub(crate) async fn run(args: ListArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let filter = Filter {
        statuses: vec!["parked".to_owned(), "rejected".to_owned()],
        agent: args.agent,
        limit: args.limit,
    };
    let listed = mesh.list(&filter).await?;
    let document = Document {
        dead: listed.heads.iter().map(Standing::from).collect(),
        matched: listed.matched,
    };
    app.output.show(&document, || text(&listed.heads))?;
    view::note_incomplete(&listed, app.output);
    if listed.heads.is_empty() {
        app.output.note("nothing is parked or rejected");
    } else {
        let (shown, matched) = (listed.heads.len(), listed.matched);
        if matched > shown {
            app.output
                .note(&format!("{shown} of {matched} shown; --limit 0 shows all"));
        }
        app.output
            .note("`baton dead show ID` tells more; `baton dead redrive ID` puts it back");
    }
    Ok(())
}

fn text(heads: &[Head]) -> String {
    if heads.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["INTENT", "STATUS", "AGENT", "HOP", "SINCE", "REASON"]);
    for head in heads {
        let snapshot = &head.record.snapshot;
        let reason = snapshot
            .error
            .as_ref()
            .map(|error| error.message.clone())
            .unwrap_or_default();
        table.row([
            head.record.intent.to_string(),
            snapshot.status.to_string(),
            view::turn(snapshot),
            snapshot.hop.to_string(),
            snapshot.updated_at.to_string(),
            view::one_line(&reason, REASON),
        ]);
    }
    table.render()
}
