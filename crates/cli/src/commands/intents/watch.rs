//! `baton intents watch`: transitions as they happen.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{IntentId, Record};
use baton_jetstream::{Error, Mesh};
use clap::Args;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Output;
use crate::view::{Numbered, event_line};

/// Live events may be lost; the ledger is looked at this often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// `baton intents watch`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WatchArgs {
    /// The intent [default: all intents, from now on].
    id: Option<IntentId>,
}

/// Shows transitions.
pub(crate) async fn run(args: WatchArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    match args.id {
        Some(intent) => one(&mesh, &intent, app.output).await,
        None => all(&mesh, app.output).await,
    }
}

async fn all(mesh: &Mesh, output: Output) -> Result<(), CliError> {
    let mut events = mesh.events(None).await?;
    output.note("watching all intents; Ctrl-C stops it");
    while let Some(live) = events.next().await {
        show(output, live.seq, &live.record, true)?;
    }
    Err(closed())
}

/// An event is only the sign to read on in the ledger: so nothing is shown twice and nothing is left out, whatever
/// happened between the subscription and the first read, or on the way here.
async fn one(mesh: &Mesh, intent: &IntentId, output: Output) -> Result<(), CliError> {
    let mut events = mesh.events(Some(intent)).await?;
    let mut shown = 0;
    loop {
        let mut records = mesh.history(intent, shown + 1).await?;
        // Nothing new, and nothing at all: then it may have been archived, before this began or meanwhile.
        let is_remainder = records
            .first()
            .is_some_and(|first| shown == 0 && !first.record.is_opening());
        if is_remainder || (records.is_empty() && mesh.head(intent).await?.is_none()) {
            records = mesh.trail(intent).await?;
            records.retain(|head| head.seq > shown);
        }
        for head in records {
            show(output, head.seq, &head.record, false)?;
            shown = head.seq;
            if head.record.snapshot.status.is_terminal() {
                return Ok(());
            }
        }
        if shown == 0 {
            return Err(Error::NoIntent(intent.clone()).into());
        }
        loop {
            match tokio::time::timeout(LOOK_AGAIN, events.next()).await {
                Ok(Some(live)) if live.seq > 0 && live.seq <= shown => {}
                Ok(Some(_)) | Err(_) => break,
                Ok(None) => return Err(closed()),
            }
        }
    }
}

fn show(output: Output, seq: u64, record: &Record, with_intent: bool) -> Result<(), CliError> {
    output.stream(&Numbered::new(seq, record), || event_line(seq, record, with_intent))
}

fn closed() -> CliError {
    CliError::say(Kind::Unreachable, codes::CONNECTION_CLOSED, "the connection was closed")
}
