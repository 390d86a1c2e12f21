//! `baton memory`: memories that outlive intents, each in a space.

mod add;
mod change;
mod history;
mod list;
mod search;
mod show;

use baton_envelope::SpaceName;
use baton_envelope::context::{MemoryKey, SpaceWrite};
use baton_jetstream::{Clock as _, KeptMemory, Mesh, SystemClock, UnreadableMemory};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::output::Output;
use crate::who;

/// `baton memory`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum MemoryCommand {
    /// Write a memory into a space: a new one, or with --expect the next revision of one.
    Add(Box<add::AddArgs>),
    /// List the memories of a space.
    List(list::ListArgs),
    /// Search the memories of all spaces, or of one, by words.
    Search(search::SearchArgs),
    /// Show a memory, with its content.
    Show(show::ShowArgs),
    /// List the revisions of a memory: what was changed, by whom and when.
    History(history::HistoryArgs),
    /// Pin a memory: an agent that takes it over has it in every view, in full.
    Pin(change::ChangeArgs),
    /// Take the pin of a memory away.
    Unpin(change::ChangeArgs),
    /// Forget a memory. Its revisions stay in the history until the stream has no more room for them.
    Forget(change::ChangeArgs),
}

/// Runs the command.
pub(crate) async fn run(command: MemoryCommand, app: &App) -> Result<(), CliError> {
    match command {
        MemoryCommand::Add(args) => add::run(*args, app).await,
        MemoryCommand::List(args) => list::run(args, app).await,
        MemoryCommand::Search(args) => search::run(args, app).await,
        MemoryCommand::Show(args) => show::run(args, app).await,
        MemoryCommand::History(args) => history::run(args, app).await,
        MemoryCommand::Pin(args) => change::pin(args, app).await,
        MemoryCommand::Unpin(args) => change::unpin(args, app).await,
        MemoryCommand::Forget(args) => change::forget(args, app).await,
    }
}

/// A memory of a space, as an argument.
#[derive(Debug, Clone, Args)]
struct Which {
    /// The space.
    space: SpaceName,
    /// The id of the memory in its space.
    id: MemoryKey,
}

/// A revision, as a program reads it.
#[derive(Serialize)]
struct RevisionView<'a> {
    space: &'a SpaceName,
    id: &'a MemoryKey,
    /// What --expect takes.
    revision: u64,
    /// Whether the memory was forgotten with it: it has nothing of what follows `at` then.
    forgotten: bool,
    by: &'a str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    relevance: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    /// The text, or bytes in base64; `show` alone has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'a str>,
}

impl<'a> RevisionView<'a> {
    /// A revision without its content.
    fn of(kept: &'a KeptMemory) -> Self {
        let (record, memory) = (&kept.record, kept.record.memory.as_ref());
        Self {
            space: &record.space,
            id: &record.id,
            revision: kept.revision,
            forgotten: record.is_forgotten(),
            by: &record.by,
            at: record.at.to_string(),
            kind: memory.map(|memory| memory.kind.name()),
            title: memory.and_then(|memory| memory.title.as_deref()),
            pinned: memory.is_some_and(|memory| memory.pinned),
            relevance: memory.map(|memory| memory.relevance.get()),
            bytes: memory.map(|memory| memory.bytes),
            hash: memory.map(|memory| memory.hash.as_str()),
            media: memory.and_then(|memory| memory.media.as_deref()),
            summary: memory.and_then(|memory| memory.summary.as_deref()),
            content: None,
            content_encoding: None,
        }
    }

    /// The same with its content.
    fn with_content(self, kept: &'a KeptMemory) -> Self {
        Self {
            content: kept.record.content.as_deref(),
            content_encoding: kept.record.content_encoding.as_deref(),
            ..self
        }
    }
}

/// A write of this command.
fn write(mesh: &Mesh) -> SpaceWrite {
    SpaceWrite {
        write: SystemClock.envelope_id().to_string(),
        by: who::person(),
        at: mesh.now(),
    }
}

/// Says what stands there and is no memory.
fn note_unreadable(unreadable: &[UnreadableMemory], output: Output) {
    for one in unreadable {
        output.note(&format!(
            "revision {} of \"{}\" cannot be read: {}",
            one.revision, one.id, one.problem
        ));
    }
}
