//! `baton intents list`: many intents, the newest first.

use baton_envelope::AgentName;
use baton_jetstream::{Filter, Listed};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view::{self, Standing};

/// The names of the statuses, as the wire has them.
pub(super) const STATUSES: [&str; 11] = [
    "pending",
    "accepted",
    "in_progress",
    "waiting",
    "parked",
    "compensating",
    "completed",
    "rejected",
    "failed",
    "cancelled",
    "timed_out",
];

/// `baton intents list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// Only intents with this status; may be repeated.
    #[arg(long = "status", value_name = "STATUS", value_parser = PossibleValuesParser::new(STATUSES))]
    statuses: Vec<String>,
    /// Only intents that are at this agent, or were there last.
    #[arg(long)]
    agent: Option<AgentName>,
    /// How many to list at most; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// The intents as a document.
#[derive(Serialize)]
struct Document<'a> {
    intents: Vec<Standing<'a>>,
    /// How many match, those beyond the limit included.
    matched: usize,
}

/// Lists the intents.
pub(crate) async fn run(args: ListArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let filter = Filter {
        statuses: args.statuses,
        agent: args.agent,
        limit: args.limit,
    };
    let listed = mesh.list(&filter).await?;
    let document = Document {
        intents: listed.heads.iter().map(Standing::from).collect(),
        matched: listed.matched,
    };
    app.output.show(&document, || text(&listed))?;
    view::note_incomplete(&listed, app.output);
    if listed.heads.is_empty() {
        app.output.note("no intent matches");
    } else if listed.matched > listed.heads.len() {
        let (shown, matched) = (listed.heads.len(), listed.matched);
        app.output
            .note(&format!("{shown} of {matched} shown; --limit 0 shows all"));
    }
    Ok(())
}

fn text(listed: &Listed) -> String {
    if listed.heads.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "INTENT", "STATUS", "AGENT", "HOP", "ATTEMPT", "PRIORITY", "KIND", "UPDATED",
    ]);
    for head in &listed.heads {
        let snapshot = &head.record.snapshot;
        table.row([
            head.record.intent.to_string(),
            snapshot.status.to_string(),
            view::turn(snapshot),
            snapshot.hop.to_string(),
            snapshot.attempt.to_string(),
            snapshot.priority.to_string(),
            snapshot.kind.clone().unwrap_or_default(),
            snapshot.updated_at.to_string(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use baton_envelope::Status;

    use super::*;

    #[test]
    fn every_name_is_a_status_of_the_protocol() {
        for name in STATUSES {
            let text = format!(r#"{{"state":"{name}","reason":"time","code":"X"}}"#);
            let status: Status = serde_json::from_str(&text).expect("a status");
            assert!(!matches!(status, Status::Unknown { .. }), "{name}");
            assert_eq!(status.name(), name);
        }
    }
}
