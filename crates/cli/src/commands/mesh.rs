//! `baton mesh`: settings of the mesh as a whole.

mod replicas;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton mesh`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum MeshCommand {
    /// Show how many copies each stream and bucket keeps, or set that number for all of them.
    Replicas(replicas::ReplicasArgs),
}

/// Runs a command of it.
pub(crate) async fn run(command: MeshCommand, app: &App) -> Result<(), CliError> {
    match command {
        MeshCommand::Replicas(args) => replicas::run(args, app).await,
    }
}
