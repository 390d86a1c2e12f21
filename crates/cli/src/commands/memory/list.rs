//! `baton memory list`: what a space has.

use baton_envelope::SpaceName;
use baton_jetstream::UnreadableMemory;
use clap::Args;
use serde::Serialize;

use super::{RevisionView, note_unreadable};
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton memory list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// The space.
    space: SpaceName,
    /// Only those that are pinned.
    #[arg(long)]
    pinned: bool,
    /// Those that were forgotten, too.
    #[arg(long, conflicts_with = "pinned")]
    all: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    space: &'a SpaceName,
    memories: Vec<RevisionView<'a>>,
    unreadable: &'a [UnreadableMemory],
}

/// Shows it.
pub(crate) async fn run(args: ListArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let list = mesh.space_memories(&args.space).await?;
    note_unreadable(&list.unreadable, app.output);
    let views = list.memories.iter().map(RevisionView::of);
    let document = Document {
        space: &args.space,
        memories: views
            .filter(|view| (args.all || !view.forgotten) && (view.pinned || !args.pinned))
            .collect(),
        unreadable: &list.unreadable,
    };
    app.output.show(&document, || {
        if document.memories.is_empty() {
            let what = if args.pinned { "pinned memories" } else { "memories" };
            return format!("space {} has no {what}", args.space);
        }
        let mut table = Table::new(&["ID", "KIND", "REVISION", "BYTES", "BY", "AT", "TITLE"]);
        for view in &document.memories {
            let pinned = if view.pinned { " (pinned)" } else { "" };
            table.row([
                view.id.to_string(),
                format!("{}{pinned}", view.kind.unwrap_or("forgotten")),
                view.revision.to_string(),
                view.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
                view.by.to_owned(),
                view.at.clone(),
                view.title.unwrap_or_default().to_owned(),
            ]);
        }
        table.render()
    })
}
