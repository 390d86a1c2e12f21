//! How an intent ended that somebody has waited for: its result, or why there is none.

use std::io::IsTerminal as _;
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{IntentId, ObjectRef, Snapshot, Status};
use baton_jetstream::{Head, Mesh, WaitEnd};
use serde::Serialize;

use crate::app::App;
use crate::commands::context::how;
use crate::error::{CliError, Kind};
use crate::parse::Span;
use crate::view;

/// What became of it, as a document.
#[derive(Serialize)]
pub(super) struct Sent<'a> {
    pub(super) intent: &'a IntentId,
    /// Whether the same work was submitted under this id before.
    pub(super) known: bool,
    #[serde(flatten)]
    pub(super) standing: Where<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Where<'a> {
    Intake { intake_seq: u64 },
    New { seq: u64 },
    Head { seq: u64, snapshot: &'a Snapshot },
}

/// Shows the end of an intent after `timeout` at most: the result of one that completed, an error for any other.
pub(super) async fn show(
    intent: &IntentId,
    known: bool,
    end: WaitEnd,
    timeout: Duration,
    (mesh, app): (&Mesh, &App),
) -> Result<(), CliError> {
    let head = match end {
        WaitEnd::Ended(head) | WaitEnd::Parked(head) => head,
        WaitEnd::TimedOut(head) => {
            let stands = head.map_or_else(String::new, |head| {
                let snapshot = &head.record.snapshot;
                format!(": it is {} at {}", snapshot.status, view::turn(snapshot))
            });
            let message = format!("intent \"{intent}\" has not ended after {}{stands}", Span(timeout));
            return Err(CliError::say(Kind::TimedOut, codes::WAIT_TIMED_OUT, message)
                .hint(format!("it goes on; `baton intents watch {intent}` follows it")));
        }
    };
    let snapshot = &head.record.snapshot;
    let document = Sent {
        intent,
        known,
        standing: Where::Head {
            seq: head.seq,
            snapshot,
        },
    };
    if let Some(object) = &snapshot.result_ref {
        return show_object(intent, snapshot, object, &document, (mesh, app)).await;
    }
    match view::bytes(snapshot) {
        Some(bytes) => app.output.show_bytes(&document, &bytes)?,
        None => app
            .output
            .show(&document, || match (&snapshot.status, &snapshot.result) {
                (Status::Completed, Some(result)) => view::value(result),
                (_, _) => String::new(),
            })?,
    }
    if snapshot.status == Status::Completed {
        Ok(())
    } else {
        Err(not_completed(intent, &head))
    }
}

/// Shows a result that is an object: the reference to a program and on a terminal, which has no use for so much; the content
/// itself to a file or a pipe.
async fn show_object(
    intent: &IntentId,
    snapshot: &Snapshot,
    object: &ObjectRef,
    document: &Sent<'_>,
    (mesh, app): (&Mesh, &App),
) -> Result<(), CliError> {
    let tree = snapshot.root.as_ref().unwrap_or(intent);
    if app.output.is_json() {
        return app.output.show(document, String::new);
    }
    if std::io::stdout().is_terminal() {
        app.output.note(&format!(
            "the result is an object of {} bytes; `{}` writes it to a file",
            object.bytes,
            how(tree, object)
        ));
        return Ok(());
    }
    let content = mesh.get_object(tree, object).await?;
    app.output.raw(&content)
}

fn not_completed(intent: &IntentId, head: &Head) -> CliError {
    let snapshot = &head.record.snapshot;
    let reason = snapshot
        .error
        .as_ref()
        .map(|error| anyhow::Error::msg(error.message.clone()));
    let message = format!("intent \"{intent}\" is {} at {}", snapshot.status, view::turn(snapshot));
    let source = match reason {
        Some(reason) => reason.context(message),
        None => anyhow::Error::msg(message),
    };
    let code = match (&snapshot.error, &snapshot.status) {
        (Some(error), _) => error.code.as_str(),
        (None, Status::TimedOut) => codes::DEADLINE_PAST,
        (None, _) => codes::FAILED,
    };
    let mut error =
        CliError::new(Kind::Failed, code, source).hint(format!("`baton intents get {intent}` shows its history"));
    if matches!(snapshot.status, Status::Parked { .. }) {
        let more = if error.code == codes::HOP_LIMIT {
            " --max-hops N"
        } else {
            ""
        };
        error = error.hint(format!("once the cause is gone: `baton dead redrive {intent}{more}`"));
    }
    error
}
