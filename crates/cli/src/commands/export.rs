//! `baton export`: intents of this mesh in one file, for another mesh.

use std::collections::HashSet;
use std::io::BufWriter;
use std::path::PathBuf;

use baton_envelope::{AgentName, ExportCounts, ExportError, ExportHead, ExportWriter, IntentId, Timestamp, codes};
use baton_jetstream::{Clock as _, ExportFilter, SystemClock};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::parse;
use crate::view::count_of;

/// `baton export`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExportArgs {
    /// The file to make; it must not exist.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only intents that are at this agent, or were there last.
    #[arg(long)]
    agent: Option<AgentName>,
    /// Only intents that changed since: a time such as 2026-11-21T05:00:00Z, or a duration before now such as 7d.
    #[arg(long, value_name = "WHEN", value_parser = parse::since)]
    since: Option<Timestamp>,
}

/// What was exported, as a document.
#[derive(Serialize)]
struct Document<'a> {
    file: &'a PathBuf,
    closed: u64,
    open: u64,
    /// How many messages hold the objects of their trees.
    objects: u64,
    left_out: Vec<LeftOut>,
}

/// An intent whose records are no history.
#[derive(Serialize)]
struct LeftOut {
    intent: IntentId,
    problem: String,
}

/// Exports them.
pub(crate) async fn run(args: ExportArgs, app: &App) -> Result<(), CliError> {
    let ExportArgs { file, agent, since } = args;
    if file.exists() {
        let message = format!("\"{}\" is there already", file.display());
        return Err(CliError::say(Kind::Refused, codes::FILE_EXISTS, message).hint("name another file, or remove it"));
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mesh = app.connect().await?;
    // Under another name until it is whole, and for its owner alone: it has every payload.
    let unwritten = |error: std::io::Error| {
        CliError::io(anyhow::Error::new(error).context(format!("\"{}\" cannot be written", file.display())))
    };
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(unwritten)?;
    let head = ExportHead::new(mesh.subjects().namespace().as_str(), SystemClock.now());
    let mut writer = ExportWriter::new(BufWriter::new(&temporary), &head)?;
    let mut left_out = Vec::new();
    let filter = ExportFilter { agent, since };
    let mut trees = HashSet::new();
    mesh.export(&filter, |bundle, is_open| match writer.add(&bundle, is_open) {
        Err(ExportError::Bundle(problem)) => {
            left_out.push(LeftOut {
                intent: bundle.intent,
                problem: problem.to_string(),
            });
            Ok(())
        }
        added => {
            trees.extend(bundle.tree());
            added.map_err(CliError::from)
        }
    })
    .await?;
    mesh.export_objects(&trees, |object| writer.add_object(&object).map_err(CliError::from))
        .await?;
    let ExportCounts { closed, open, objects } = writer.finish()?;
    temporary.as_file().sync_all().map_err(unwritten)?;
    temporary
        .persist_noclobber(&file)
        .map_err(|error| unwritten(error.error))?;
    let document = Document {
        file: &file,
        closed,
        open,
        objects,
        left_out,
    };
    app.output.show(&document, || {
        let closed = count_of(closed, "closed intent", "closed intents");
        let open = count_of(open, "open intent", "open intents");
        let objects = match objects {
            0 => String::new(),
            objects => format!(", with {} of their objects", count_of(objects, "message", "messages")),
        };
        format!("{closed} and {open} are in {}{objects}", file.display())
    })?;
    for one in &document.left_out {
        app.output.note(&format!("{} is left out: {}", one.intent, one.problem));
    }
    Ok(())
}
