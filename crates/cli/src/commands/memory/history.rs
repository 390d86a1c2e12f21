//! `baton memory history`: the revisions of a memory.

use baton_envelope::SpaceName;
use baton_envelope::context::MemoryKey;
use baton_jetstream::{Error, KeptMemory, UnreadableMemory};
use clap::Args;
use serde::Serialize;

use super::{RevisionView, Which, note_unreadable};
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// How many digits of a hash a person sees.
const DIGITS: usize = 12;

/// `baton memory history`.
#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Serialize)]
struct Document<'a> {
    space: &'a SpaceName,
    id: &'a MemoryKey,
    /// Those that are kept, oldest first.
    revisions: Vec<Row<'a>>,
    unreadable: &'a [UnreadableMemory],
}

#[derive(Serialize)]
struct Row<'a> {
    /// `written`, `pinned`, `unpinned` or `forgotten`.
    what: &'static str,
    #[serde(flatten)]
    view: RevisionView<'a>,
}

/// Shows it.
pub(crate) async fn run(args: HistoryArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let Which { space, id } = &args.which;
    let history = mesh.space_history(space, id).await?;
    if history.memories.is_empty() && history.unreadable.is_empty() {
        let (space, id) = (space.clone(), id.clone());
        return Err(Error::NoMemory { space, id }.into());
    }
    note_unreadable(&history.unreadable, app.output);
    let before = std::iter::once(None).chain(history.memories.iter().map(Some));
    let revisions = history.memories.iter().zip(before).map(|(kept, before)| Row {
        what: what(before, kept),
        view: RevisionView::of(kept),
    });
    let document = Document {
        space,
        id,
        revisions: revisions.collect(),
        unreadable: &history.unreadable,
    };
    app.output.show(&document, || {
        let mut table = Table::new(&["REVISION", "WHAT", "BY", "AT", "BYTES", "HASH"]);
        for Row { what, view } in &document.revisions {
            table.row([
                view.revision.to_string(),
                (*what).to_owned(),
                view.by.to_owned(),
                view.at.clone(),
                view.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
                view.hash
                    .and_then(|hash| hash.get(..DIGITS))
                    .unwrap_or_default()
                    .to_owned(),
            ]);
        }
        table.render()
    })
}

/// What became of it with a revision, by the one before.
fn what(before: Option<&KeptMemory>, kept: &KeptMemory) -> &'static str {
    let Some(memory) = &kept.record.memory else {
        return "forgotten";
    };
    match before.and_then(|before| before.record.memory.as_ref()) {
        Some(before) if before.hash == memory.hash && before.pinned != memory.pinned => match memory.pinned {
            true => "pinned",
            false => "unpinned",
        },
        Some(_) | None => "written",
    }
}
