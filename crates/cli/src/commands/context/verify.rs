//! `baton context verify`: whether all that an intent remembers is there, byte for byte.

use baton_envelope::{IntentId, ObjectHash};
use clap::Args;
use serde::Serialize;

use super::{Trail, counted};
use crate::app::App;
use crate::error::CliError;

/// `baton context verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
}

#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    tree: &'a IntentId,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<ObjectHash>,
    links: usize,
    memories: usize,
    bytes: u64,
}

/// Verifies it.
pub(crate) async fn run(args: VerifyArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let trail = Trail::of(&mesh, &args.id).await?;
    let (tree, head) = (trail.tree(), trail.newest_link()?);
    let chain = match &head {
        None => None,
        Some(head) => Some(mesh.verify_context(tree, std::slice::from_ref(head)).await?),
    };
    let entries = chain.iter().flat_map(|chain| chain.entries());
    let document = Document {
        intent: &args.id,
        tree,
        head,
        links: chain.as_ref().map_or(0, |chain| chain.links().count()),
        memories: entries.clone().count(),
        bytes: entries.map(|entry| entry.memory.bytes).sum(),
    };
    app.output.show(&document, || match &document.head {
        None => format!("no hop of {} has remembered anything", args.id),
        Some(head) => format!(
            "all of it is there: {}, {} and {} bytes, up to link {head}",
            counted(document.links as u64, "link", "links"),
            counted(document.memories as u64, "memory", "memories"),
            document.bytes
        ),
    })
}
