//! `baton context put`: a file becomes an object.

use std::path::PathBuf;

use baton_envelope::{Body, IntentId, ObjectRef};
use clap::Args;
use serde::Serialize;

use super::Place;
use crate::app::App;
use crate::commands::payload;
use crate::error::CliError;

/// `baton context put`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PutArgs {
    /// The file; - for stdin.
    file: PathBuf,
    /// The intent to whose tree it belongs: the root of the tree, which need not be submitted yet.
    #[arg(long, value_name = "ID")]
    tree: IntentId,
    /// Its media type [default: application/json, text/plain or application/octet-stream, by what it is].
    #[arg(long, value_name = "TYPE")]
    media: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    tree: &'a IntentId,
    #[serde(rename = "ref")]
    object: &'a ObjectRef,
    /// What `baton context get` takes.
    place: String,
}

/// Stores it.
pub(crate) async fn run(args: PutArgs, app: &App) -> Result<(), CliError> {
    let content = payload::read_file(&args.file, &app.output)?;
    let of_itself = || Body::of_bytes(&content).content().map(|content| content.media);
    let media = args
        .media
        .as_deref()
        .or_else(of_itself)
        .unwrap_or("application/octet-stream");
    let media = media.to_owned();
    let mesh = app.connect().await?;
    let object = mesh.put_object(&args.tree, content.into(), &media).await?;
    let document = Document {
        tree: &args.tree,
        object: &object,
        place: Place::of(&args.tree, &object).to_string(),
    };
    app.output.show(&document, || document.place.clone())
}
