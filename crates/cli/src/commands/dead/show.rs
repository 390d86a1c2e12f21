//! `baton dead show`: why one was set aside, and what it carried.

use base64::Engine as _;
use baton_envelope::{Envelope, IntentId, RawKept, Snapshot, Status};
use baton_jetstream::{Error, Head};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// `baton dead show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The intent.
    id: IntentId,
}

/// The dead letter as a document.
#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    seq: u64,
    snapshot: &'a Snapshot,
    /// The raw intent, for one that was rejected before it became an intent.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a RawKept>,
    /// The raw body, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The last envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<&'a Envelope>,
}

/// Shows it.
pub(crate) async fn run(args: ShowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let history = mesh.trail(&args.id).await?;
    let Some(head) = history.last() else {
        return Err(Error::NoIntent(args.id).into());
    };
    let snapshot = &head.record.snapshot;
    if !matches!(snapshot.status, Status::Parked { .. } | Status::Rejected { .. }) {
        let wrong = Error::WrongStatus {
            intent: args.id,
            status: snapshot.status.to_string(),
            problem: "it is neither parked nor rejected".to_owned(),
        };
        return Err(wrong.into());
    }
    let raw = head.record.raw.as_deref();
    let envelope = history.iter().rev().find_map(|head| head.record.envelope.as_deref());
    let document = Document {
        intent: &args.id,
        seq: head.seq,
        snapshot,
        raw,
        body: raw.and_then(decoded),
        envelope,
    };
    app.output.show(&document, || text(head, &document))
}

fn text(head: &Head, document: &Document<'_>) -> String {
    let snapshot = document.snapshot;
    let mut table = Table::pairs();
    table.pair("intent", document.intent.as_str());
    table.pair("status", snapshot.status.to_string());
    if let Some(error) = &snapshot.error {
        table.pair("code", &*error.code);
        table.pair("reason", &*error.message);
    }
    table.pair("note", head.record.note.clone().unwrap_or_default());
    table.pair("since", snapshot.updated_at.to_string());
    if snapshot.agent.is_some() {
        table.pair("agent", view::turn(snapshot));
        table.pair("hop", format!("{} of at most {}", snapshot.hop, snapshot.max_hops));
        table.pair("attempt", snapshot.attempt.to_string());
        table.pair("path", view::path(snapshot));
    }
    if let Some(raw) = document.raw {
        table.pair("subject", &*raw.subject);
        for (name, value) in &raw.headers {
            table.pair("header", format!("{name}: {value}"));
        }
    }
    let body = match (document.raw, &document.body, document.envelope) {
        (Some(_), Some(body), _) => view::body("body", body),
        (Some(raw), None, _) => view::body("body (base64)", &raw.body_base64),
        (None, _, Some(envelope)) => view::body("payload", &view::value(&envelope.payload)),
        (None, _, None) => String::new(),
    };
    view::paragraphs([table.render(), body])
}

/// The body, where it is text.
fn decoded(raw: &RawKept) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(&raw.body_base64)
        .ok()?;
    String::from_utf8(bytes).ok()
}
