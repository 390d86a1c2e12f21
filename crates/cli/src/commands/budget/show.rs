//! `baton budget show`: the budgets of a tree.

use baton_envelope::budget::{Amounts, MeterName};
use baton_envelope::{Budget, IntentId, codes};
use baton_jetstream::Branch;
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;

/// `baton budget show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The intent.
    id: IntentId,
    /// How many intents to show at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
}

/// The budgets of a tree, as a document.
#[derive(Serialize)]
struct Document {
    intents: Vec<OfIntent>,
}

/// The budget of one intent.
#[derive(Serialize)]
struct OfIntent {
    intent: IntentId,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<IntentId>,
    status: String,
    budget: Budget,
    available: Amounts,
}

/// Shows them.
pub(crate) async fn run(args: ShowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let tree = mesh.tree(&args.id, args.limit).await?;
    let mut intents = Vec::new();
    gather(&tree, &mut intents);
    if intents.is_empty() {
        let message = format!("intent \"{}\" has no budget, and neither has a child of it", args.id);
        return Err(CliError::say(Kind::NotFound, codes::NOT_FOUND, message)
            .hint("a budget is given at the start: `baton send --budget-tokens N --budget-cost AMOUNT`"));
    }
    let document = Document { intents };
    app.output.show(&document, || table(&document).render())
}

fn gather(branch: &Branch, into: &mut Vec<OfIntent>) {
    let snapshot = branch.head.as_ref().map(|head| &head.record.snapshot);
    if let Some((snapshot, budget)) = snapshot.and_then(|snapshot| Some((snapshot, snapshot.budget.as_deref()?))) {
        into.push(OfIntent {
            intent: branch.intent.clone(),
            parent: snapshot.parent.clone(),
            status: snapshot.status.to_string(),
            available: budget.available(),
            budget: budget.clone(),
        });
    }
    for child in branch.calls.iter().flat_map(|call| &call.children) {
        gather(child, into);
    }
}

fn table(document: &Document) -> Table {
    let heads = [
        "INTENT",
        "STATUS",
        "METER",
        "ALLOTTED",
        "SPENT",
        "HELD",
        "LENT",
        "OVERRUN",
        "AVAILABLE",
    ];
    let mut table = Table::new(&heads);
    for one in &document.intents {
        let mut name = [one.intent.to_string(), one.status.clone()];
        for meter in MeterName::ALL {
            if one.available.of(meter).is_none() {
                continue;
            }
            let columns = [
                one.budget.allotted(),
                one.budget.spent(),
                one.budget.held(),
                one.budget.lent(),
                one.budget.overrun(),
                one.available.clone(),
            ];
            let amounts = columns.iter().map(|amounts| amounts.get(meter).to_string());
            // The name stands once.
            let name = std::mem::take(&mut name).into_iter();
            table.row(name.chain([meter.name().to_owned()]).chain(amounts));
        }
    }
    table
}
