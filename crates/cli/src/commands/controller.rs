//! `baton controller`: a controller against an existing server.

use std::path::PathBuf;

use baton_agent::stop_signals;
use baton_controller::{Controller, ControllerConfig};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::parse::Span;

/// `baton controller`. SIGTERM or SIGINT stops it in order, a second one at once.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControllerArgs {
    /// Time between two sweeps for lost tickets [default: 10s].
    #[arg(long, value_name = "DURATION")]
    sweep_interval: Option<Span>,
    /// How long the sweep leaves an intent alone after its last record [default: 15s].
    #[arg(long, value_name = "DURATION")]
    sweep_slack: Option<Span>,
    /// File for the local projection of the ledger; a restart continues from it [default: in memory].
    #[arg(long, value_name = "FILE")]
    projection: Option<PathBuf>,
    /// Make a new ledger if the mesh has lost its own; every open intent is lost with the old one.
    #[arg(long)]
    make_ledger: bool,
}

/// Runs until it is told to stop.
pub(crate) async fn run(args: ControllerArgs, app: &App) -> Result<(), CliError> {
    let config = settings(&args, app);
    let mesh = app.connect_to_serve("baton controller".to_owned()).await?;
    if args.make_ledger && mesh.make_ledger(app.limits()).await? {
        tracing::warn!(stream = mesh.subjects().ledger_stream(), "a new ledger was made");
    }
    let (first, second) = stop_signals();
    tokio::select! {
        end = Controller::new(mesh, config).run_until(first) => Ok(end?),
        () = second => Err(CliError::interrupted()),
    }
}

fn settings(args: &ControllerArgs, app: &App) -> ControllerConfig {
    let (ours, connection) = (&app.config.controller, &app.config.connection);
    let projection = args.projection.clone().or_else(|| ours.projection.clone());
    if let Some(file) = &projection {
        tracing::debug!(projection = %file.display(), "the projection of the ledger is kept in a file");
    }
    let size = |count: std::num::NonZeroU32| usize::try_from(count.get()).unwrap_or(usize::MAX);
    ControllerConfig {
        limits: app.limits(),
        bands: connection.bands.into(),
        sweep_interval: args.sweep_interval.unwrap_or(ours.sweep_interval).0,
        sweep_slack: args.sweep_slack.unwrap_or(ours.sweep_slack).0,
        checkpoint_interval: ours.checkpoint_interval.0,
        route_batch: size(ours.route_batch),
        route_slots: size(ours.route_slots),
        drain_timeout: ours.drain_timeout.0,
        projection,
        archive: (&app.config.archive).into(),
        breaker: ours.breaker(),
        secured: app.config.security.secured,
        ..ControllerConfig::default()
    }
}
