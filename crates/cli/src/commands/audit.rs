//! `baton audit`: proof that nobody has altered the records of a mesh, and the keys that they are signed with.

mod keygen;
mod verify;

use clap::Subcommand;

use crate::app::App;
use crate::error::CliError;

/// `baton audit`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify the records of one intent, or of all with the archive and the checkpoints: what was altered, and where.
    Verify(verify::VerifyArgs),
    /// Make a key to sign records with, in a file of its own, and print its public half.
    Keygen(keygen::KeygenArgs),
}

/// Runs the command.
pub(crate) async fn run(command: AuditCommand, app: &App) -> Result<(), CliError> {
    match command {
        AuditCommand::Verify(args) => verify::run(args, app).await,
        AuditCommand::Keygen(args) => keygen::run(&args, app),
    }
}
