//! `baton budget top-up`: more for an intent.

use baton_envelope::budget::{Amount, Amounts, MeterName, TopUp};
use baton_envelope::{Budget, IntentId, Role};
use baton_jetstream::{Clock as _, SystemClock, ToppedUp};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::who;

/// `baton budget top-up`.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("more").args(["tokens", "cost", "time"]).required(true).multiple(true)))]
pub(crate) struct TopUpArgs {
    /// The intent. A child is lent it by its parent, of what that has.
    id: IntentId,
    /// How many tokens more.
    #[arg(long, value_name = "N")]
    tokens: Option<Amount>,
    /// How much more it may cost.
    #[arg(long, value_name = "AMOUNT")]
    cost: Option<Amount>,
    /// How many seconds more.
    #[arg(long, value_name = "SECONDS")]
    time: Option<Amount>,
    /// Why; the history of the intent keeps it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Id of this request, which makes a repeat of it harmless [default: a new one].
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    request: &'a str,
    /// The ledger sequence of the record; absent when the request was recorded before.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// The parent that has lent it, where the intent is a child.
    #[serde(skip_serializing_if = "Option::is_none")]
    lent_by: Option<&'a IntentId>,
    budget: &'a Budget,
    available: Amounts,
}

/// Tops it up.
pub(crate) async fn run(args: TopUpArgs, app: &App) -> Result<(), CliError> {
    let mut amounts = Amounts::NONE;
    let given = [
        (MeterName::Tokens, args.tokens),
        (MeterName::Cost, args.cost),
        (MeterName::Time, args.time),
    ];
    for (meter, amount) in given {
        if let Some(amount) = amount {
            amounts.set(meter, amount);
        }
    }
    let request = args.request.unwrap_or_else(|| SystemClock.intent_id().to_string());
    let mesh = app.connect().await?;
    let top_up = TopUp::new(&request, amounts);
    let by = who::author(Role::Operator);
    let topped = mesh.top_up_or_ask(&args.id, &top_up, &args.reason, &by).await;
    let ToppedUp { seq, lent_by, budget } = topped.map_err(|error| {
        // Where the answer is lost it may have been added.
        let may_be_added = error.is_of_server();
        let told = CliError::from(error);
        match may_be_added {
            true => told.hint(format!(
                "to repeat it without adding twice, give the same --request {request}"
            )),
            false => told,
        }
    })?;
    let document = Document {
        intent: &args.id,
        request: &request,
        seq,
        lent_by: lent_by.as_ref(),
        available: budget.available(),
        budget: &budget,
    };
    app.output.show(&document, || match (seq, &lent_by) {
        (Some(_), None) => format!("intent {} has {} available now", args.id, document.available),
        (Some(_), Some(parent)) => format!(
            "intent {} has {} available now, lent by its parent {parent}",
            args.id, document.available
        ),
        (None, _) => format!(
            "intent {} was topped up by this request before; it has {} available",
            args.id, document.available
        ),
    })
}
