//! `baton memory add`: a new memory, or the next revision of one.

use baton_envelope::context::{Kind, Memory, MemoryKey, Relevance, SpaceMemory};
use baton_envelope::{SpaceName, codes, shown};
use baton_jetstream::{Clock as _, SystemClock};
use clap::Args;

use super::{RevisionView, write};
use crate::app::App;
use crate::commands::payload;
use crate::error::{CliError, Kind as ErrorKind};

/// `baton memory add`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AddArgs {
    /// The space; the first memory makes it.
    space: SpaceName,
    /// The content, at most 256 KiB: text, @FILE, or - for stdin [default: stdin].
    text: Option<String>,
    /// What it is: fact, decision, constraint, question, result, observation, log, file, or a name of your own.
    #[arg(long, value_name = "KIND", default_value = "fact", value_parser = kind)]
    kind: Kind,
    /// Its id in the space [default: a generated one].
    #[arg(long, value_name = "ID")]
    id: Option<MemoryKey>,
    /// One line that says what it is about.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// What stands for it where all of it has no room [default: its beginning].
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
    /// How much it matters, from 0 to 1000 [default: 500].
    #[arg(long, value_name = "N", value_parser = relevance)]
    relevance: Option<Relevance>,
    /// Its media type [default: plain text, where it is text].
    #[arg(long, value_name = "TYPE")]
    media: Option<String>,
    /// Pin it.
    #[arg(long)]
    pin: bool,
    /// Write over this revision, and only if it is the newest [default: there must be none of that id].
    #[arg(long, value_name = "REVISION", requires = "id")]
    expect: Option<u64>,
}

fn kind(text: &str) -> Result<Kind, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn relevance(text: &str) -> Result<Relevance, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| "expected a number from 0 to 1000".to_owned())?;
    Relevance::new(number)
}

/// Writes it.
pub(crate) async fn run(args: AddArgs, app: &App) -> Result<(), CliError> {
    let id = match &args.id {
        Some(id) => id.clone(),
        None => SystemClock.intent_id().as_str().parse()?,
    };
    let content = payload::read(args.text.as_deref(), &app.output)?;
    let mut memory = Memory::new(id, args.kind.clone(), &content);
    memory.pinned = args.pin;
    memory.title.clone_from(&args.title);
    memory.relevance = args.relevance.unwrap_or_default();
    if args.summary.is_some() {
        memory.summary.clone_from(&args.summary);
    }
    if args.media.is_some() {
        memory.media.clone_from(&args.media);
    }
    // Before connecting: what is wrong with the arguments does not depend on a server.
    memory.check().map_err(|bad| refused(&bad))?;
    let mesh = app.connect().await?;
    let record = SpaceMemory::new(args.space, memory, &content, write(&mesh)).map_err(|bad| refused(&bad))?;
    let kept = mesh.put_memory(record, args.expect).await?;
    app.output.show(&RevisionView::of(&kept), || {
        format!(
            "memory {} of space {} is at revision {}",
            shown(kept.record.id.as_str()),
            kept.record.space,
            kept.revision
        )
    })
}

fn refused(bad: &baton_envelope::context::BadMemory) -> CliError {
    CliError::say(ErrorKind::Usage, codes::BAD_MEMORY, bad.to_string())
}
