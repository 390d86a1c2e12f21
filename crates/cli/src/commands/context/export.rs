//! `baton context export`: what an intent remembers as files: the envelopes, the views, the links and every content.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use baton_envelope::context::Reach;
use baton_envelope::{EnvelopeId, IntentId, ObjectHash, codes};
use baton_jetstream::Mesh;
use clap::Args;
use serde::Serialize;

use super::{Trail, counted};
use crate::app::App;
use crate::error::{CliError, Kind};

/// `baton context export`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The folder, which must not be there, or be empty.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    dir: String,
    handoffs: usize,
    links: usize,
    objects: usize,
    /// What is named and is not there.
    missing: Vec<String>,
}

/// Writes it.
pub(crate) async fn run(args: ExportArgs, app: &App) -> Result<(), CliError> {
    let dir = args.dir.display().to_string();
    if std::fs::read_dir(&args.dir).is_ok_and(|mut entries| entries.next().is_some()) {
        let message = format!("{dir} is there already, and is not empty");
        return Err(CliError::say(Kind::Refused, codes::FILE_EXISTS, message).hint("name another folder, or empty it"));
    }
    let mesh = app.connect().await?;
    let trail = Trail::of(&mesh, &args.id).await?;
    let handoffs = handoffs(&mesh, &trail, &args.dir).await?;
    let (mut links, mut objects, mut missing) = (0, 0, Vec::new());
    if let Some(head) = trail.newest_link()? {
        let tree = trail.tree();
        let chain = mesh.context_chain(tree, &[head], Reach::First).await?;
        for (hash, link) in chain.links() {
            write(&args.dir.join("links").join(format!("{hash}.json")), &link.encode())?;
            links += 1;
        }
        let named = chain.links().flat_map(|(_, link)| {
            let contents = link.memories.iter().map(|memory| &memory.hash);
            contents
                .chain(&link.payload)
                .chain(&link.manifest)
                .chain(&link.catalogue)
        });
        let named: BTreeSet<&ObjectHash> = named.collect();
        for hash in named {
            match mesh.get_object_at(tree, hash, 1).await {
                Ok(content) => {
                    write(&args.dir.join("objects").join(hash.as_str()), &content)?;
                    objects += 1;
                }
                Err(error) if error.is_of_object() => missing.push(hash.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let document = Document {
        intent: &args.id,
        dir,
        handoffs,
        links,
        objects,
        missing,
    };
    app.output.show(&document, || {
        let mut text = format!(
            "{}, {} and {} in {}",
            counted(document.handoffs as u64, "handoff", "handoffs"),
            counted(document.links as u64, "link", "links"),
            counted(document.objects as u64, "object", "objects"),
            document.dir
        );
        for hash in &document.missing {
            text.push_str(&format!("\nmissing: object {hash}"));
        }
        text
    })
}

/// Writes the envelope of each hop, and the view that it was given where that can be had.
async fn handoffs(mesh: &Mesh, trail: &Trail, dir: &Path) -> Result<usize, CliError> {
    let mut seen: BTreeSet<EnvelopeId> = BTreeSet::new();
    for envelope in trail.heads.iter().filter_map(|head| head.record.envelope.as_ref()) {
        if !seen.insert(envelope.id) {
            continue;
        }
        let folder = dir.join("handoffs").join(envelope.to.as_str());
        let text = serde_json::to_string_pretty(envelope)?;
        write(&folder.join(format!("{}.json", envelope.id)), text.as_bytes())?;
        match mesh.received_view(envelope, None, baton_agent::token_counter).await {
            Ok(view) => write(&folder.join(format!("{}.view.txt", envelope.id)), view.text.as_bytes())?,
            Err(error) if error.is_of_object() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(seen.len())
}

fn write(path: &Path, content: &[u8]) -> Result<(), CliError> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder
        .and_then(|()| std::fs::write(path, content))
        .with_context(|| format!("{} cannot be written", path.display()))
        .map_err(CliError::io)
}
