//! `baton context get`: the content of an object.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Context as _;
use baton_envelope::{ObjectHash, ObjectRef};
use clap::Args;
use serde::Serialize;

use super::Place;
use crate::app::App;
use crate::error::CliError;

/// `baton context get`.
#[derive(Debug, Clone, Args)]
pub(crate) struct GetArgs {
    /// The object, as `baton context list` prints it.
    #[arg(value_name = "TREE/HASH")]
    object: Place,
    /// Where to write it [default: stdout].
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<'a> {
    object: String,
    hash: &'a ObjectHash,
    bytes: usize,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// Writes it.
pub(crate) async fn run(args: GetArgs, app: &App) -> Result<(), CliError> {
    let Place { tree, hash, place } = &args.object;
    let mesh = app.connect().await?;
    let content = mesh.get_object_at(tree, hash, *place).await?;
    let file = args.file.as_ref().map(|file| file.display().to_string());
    let document = Document {
        object: args.object.to_string(),
        hash,
        bytes: content.len(),
        file: file.clone(),
    };
    if let (Some(path), Some(file)) = (&args.file, file) {
        std::fs::write(path, &content)
            .with_context(|| format!("the object cannot be written to {file}"))
            .map_err(CliError::io)?;
        return app
            .output
            .show(&document, || format!("{} bytes in {file}", content.len()));
    }
    if app.output.is_json() {
        return app.output.show(&document, String::new);
    }
    if std::io::stdout().is_terminal() {
        app.output.note(&format!(
            "the object is {} bytes; -o FILE writes it, and `> FILE` does, too",
            content.len()
        ));
        return Ok(());
    }
    app.output.raw(&content)
}

/// How a result that is an object is fetched, for a person.
pub(crate) fn how(tree: &baton_envelope::IntentId, object: &ObjectRef) -> String {
    format!("baton context get {} -o FILE", Place::of(tree, object))
}
