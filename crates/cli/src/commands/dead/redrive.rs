//! `baton dead redrive`: back into the mesh.

use baton_envelope::codes;
use baton_envelope::{AgentVersion, IntentId, MaxHops, Role};
use baton_jetstream::{Filter, Mesh, Redrive, Redriven};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::{parse, who};

/// `baton dead redrive`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RedriveArgs {
    /// The intents.
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<IntentId>,
    /// Everything that is parked. Rejected raw intents are left out: each redrive of one makes a new intent.
    #[arg(long)]
    all: bool,
    /// Version that gets the work [default: the one that takes new work now].
    #[arg(long, value_name = "VERSION")]
    version: Option<AgentVersion>,
    /// New limit on hops, for an intent that was parked with HOP_LIMIT.
    #[arg(long, value_name = "N", value_parser = parse::max_hops)]
    max_hops: Option<MaxHops>,
}

/// What became of one of them.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum Outcome {
    /// It is before its agent again.
    Redriven {
        intent: IntentId,
        version: AgentVersion,
        seq: u64,
        /// Whether what it did goes on being undone, and no agent gets it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        undoes: bool,
    },
    /// It was published again, under a new id.
    Republished { intent: IntentId, new_intent: IntentId },
    /// It stays where it was.
    Failed {
        intent: IntentId,
        error: String,
        code: String,
    },
}

#[derive(Serialize)]
struct Document<'a> {
    results: &'a [Outcome],
}

/// Puts them back.
pub(crate) async fn run(args: RedriveArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let ids = if args.all { parked(&mesh).await? } else { args.ids };
    let how = Redrive {
        version: args.version,
        max_hops: args.max_hops,
    };
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    for intent in ids {
        match mesh.redrive_or_ask(&intent, &how, who::author(Role::Operator)).await {
            Ok(Redriven::Put { version, seq, undoes }) => results.push(Outcome::Redriven {
                intent,
                version,
                seq,
                undoes,
            }),
            Ok(Redriven::Republished { intent: new_intent }) => {
                results.push(Outcome::Republished { intent, new_intent });
            }
            Err(error) => {
                let error = CliError::from(error);
                results.push(Outcome::Failed {
                    intent,
                    error: error.message(),
                    code: error.code.clone(),
                });
                failures.push(error);
            }
        }
    }
    let total = results.len();
    // A single failure is told in full below; a table of it would say it twice.
    if total > 1 || failures.is_empty() {
        app.output.show(&Document { results: &results }, || text(&results))?;
    }
    if results.is_empty() {
        app.output.note("nothing is parked");
    }
    match (failures.len(), failures.pop()) {
        (_, None) => Ok(()),
        (1, Some(only)) if total == 1 => Err(only),
        (count, Some(last)) => {
            let mut error = CliError::say(
                Kind::Failed,
                codes::INCOMPLETE,
                format!("{count} of {total} intents could not be redriven"),
            );
            error.hints = last.hints;
            Err(error)
        }
    }
}

async fn parked(mesh: &Mesh) -> Result<Vec<IntentId>, CliError> {
    let filter = Filter {
        statuses: vec!["parked".to_owned()],
        ..Filter::default()
    };
    let heads = mesh.list(&filter).await?.heads;
    Ok(heads.into_iter().map(|head| head.record.intent).collect())
}

fn text(results: &[Outcome]) -> String {
    if results.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["INTENT", "OUTCOME"]);
    for result in results {
        let (intent, outcome) = match result {
            Outcome::Redriven {
                intent, undoes: true, ..
            } => (intent, "redriven: what it did goes on being undone".to_owned()),
            Outcome::Redriven { intent, version, .. } => (intent, format!("redriven, to version {version}")),
            Outcome::Republished { intent, new_intent } => (intent, format!("published again as {new_intent}")),
            Outcome::Failed { intent, error, .. } => (intent, format!("not redriven: {error}")),
        };
        table.row([intent.to_string(), outcome]);
    }
    table.render()
}
