//! `baton access remove`: an account less.

use baton_access::{Folder, remove};
use clap::Args;

use super::{HandedOut, sound_change};
use crate::app::App;
use crate::error::CliError;

/// `baton access remove`.
#[derive(Debug, Clone, Args)]
pub(super) struct RemoveArgs {
    /// The agent, person or publisher.
    name: String,
}

/// Removes it, with the files that it was given.
pub(super) fn run(args: &RemoveArgs, folder: &Folder, app: &App) -> Result<(), CliError> {
    let before = folder.read()?;
    let text = remove(&before, &args.name)?;
    let access = sound_change(folder, &before, &text)?;
    folder.write(&text)?;
    let document = HandedOut::of(&args.name, &folder.take_back(&access, &args.name)?);
    app.output
        .show(&document, || format!("removed {}\n{}", document.name, document.text()))?;
    app.output
        .note("next: baton access apply; until then the server lets it in");
    Ok(())
}
