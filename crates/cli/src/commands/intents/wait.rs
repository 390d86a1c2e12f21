//! `baton intents wait`: the answer of an intent that somebody submitted before.

use std::time::Duration;

use baton_envelope::IntentId;
use baton_jetstream::{Error, WaitEnd};
use clap::Args;
use tokio::time::Instant;

use crate::app::App;
use crate::commands::ended;
use crate::error::CliError;
use crate::parse::Span;

/// How long to wait for the first record: a raw intent may still be on its way through the intake.
const FIRST: Duration = Duration::from_secs(5);

/// `baton intents wait`.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    timeout: Span,
}

/// Waits for the end.
pub(crate) async fn run(args: WaitArgs, app: &App) -> Result<(), CliError> {
    let WaitArgs { id: intent, timeout } = args;
    let until = Instant::now() + timeout.0;
    let mesh = app.connect().await?;
    let left = || until.saturating_duration_since(Instant::now());
    let mut end = mesh.wait(&intent, left().min(FIRST)).await?;
    match &end {
        WaitEnd::TimedOut(None) => return Err(Error::NoIntent(intent).into()),
        WaitEnd::TimedOut(Some(_)) if !left().is_zero() => end = mesh.wait(&intent, left()).await?,
        WaitEnd::TimedOut(Some(_)) | WaitEnd::Ended(_) | WaitEnd::Parked(_) => {}
    }
    ended::show(&intent, true, end, timeout.0, (&mesh, app)).await
}
