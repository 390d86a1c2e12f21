//! `baton send --wait-for accepted`: until a worker has the work.

use std::time::Duration;

use baton_envelope::{IntentId, Snapshot, codes};
use baton_jetstream::{WaitEnd, Waiting};
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::parse::Span;
use crate::view;

/// Where it stands, as a document.
#[derive(Serialize)]
struct Accepted<'a> {
    intent: &'a IntentId,
    /// Whether the same work was submitted under this id before.
    known: bool,
    seq: u64,
    snapshot: &'a Snapshot,
}

/// Waits until a worker has the work, or it has gone on or ended, and shows where it stands.
pub(super) async fn show(
    intent: &IntentId,
    known: bool,
    waiting: Waiting,
    (left, timeout): (Duration, Span),
    app: &App,
) -> Result<(), CliError> {
    let head = match waiting.taken(left).await? {
        WaitEnd::Ended(head) | WaitEnd::Parked(head) => head,
        WaitEnd::TimedOut(_) => {
            let message = format!("no worker has taken intent \"{intent}\" after {timeout}");
            return Err(CliError::say(Kind::TimedOut, codes::WAIT_TIMED_OUT, message)
                .hint(format!("it waits; `baton intents get {intent}` shows for whom"))
                .hint("`baton agents list` shows whether the agent has live workers, and its breakers"));
        }
    };
    let snapshot = &head.record.snapshot;
    let document = Accepted {
        intent,
        known,
        seq: head.seq,
        snapshot,
    };
    app.output.show(&document, || {
        let mut table = Table::new(&["INTENT", "STATUS", "AT", "HOLDER"]);
        table.row([
            intent.to_string(),
            snapshot.status.to_string(),
            view::turn(snapshot),
            snapshot.holder.clone().unwrap_or_default(),
        ]);
        table.render()
    })
}
