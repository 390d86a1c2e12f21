//! `baton access render`: the configuration of nats-server, on stdout.

use baton_access::{Folder, render};
use serde::Serialize;

use super::sound;
use crate::app::App;
use crate::error::CliError;

#[derive(Serialize)]
struct Document<'a> {
    config: &'a str,
}

/// Prints it.
pub(super) fn run(folder: &Folder, app: &App) -> Result<(), CliError> {
    let config = render(&sound(folder)?);
    app.output.show(&Document { config: &config }, || config.clone())
}
