//! `baton import`: intents of another mesh, from the file that `baton export` made.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use baton_envelope::{ExportPart, ExportReader, ExportedObject, IntentId, Role, codes};
use baton_jetstream::Imported;
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::view::count_of;
use crate::who;

/// `baton import`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Say what would be imported, and import nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What was imported, or would be, as a document.
#[derive(Debug, Default, Serialize)]
struct Document {
    dry_run: bool,
    /// How many closed intents the archive took.
    archived: u64,
    /// How many open intents are parked.
    parked: u64,
    /// How many were here already.
    known: u64,
    /// How many messages hold objects of trees; here already or not.
    objects: u64,
    conflicts: Vec<Conflict>,
}

impl Document {
    /// Notes an object, and whether it is here now.
    fn take(&mut self, object: &ExportedObject, is_here: bool) {
        match is_here {
            true => self.objects += 1,
            false => self.conflicts.push(Conflict {
                intent: object.tree.clone(),
                problem: format!("in the place of its object {} are other bytes", object.hash),
            }),
        }
    }
}

/// An intent that was not imported, or not with all of its objects.
#[derive(Debug, Serialize)]
struct Conflict {
    intent: IntentId,
    problem: String,
}

/// Imports them.
pub(crate) async fn run(args: ImportArgs, app: &App) -> Result<(), CliError> {
    let ImportArgs { file, dry_run } = args;
    // Once to its end before anything is written: only the end says whether the file is whole.
    let mut reader = open(&file)?;
    while reader.next_part()?.is_some() {}
    let mesh = app.connect().await?;
    let by = who::author(Role::Operator);
    let mut reader = open(&file)?;
    let head = reader.head().clone();
    let from = format!("namespace {}, by an export of {}", head.namespace, head.made);
    let mut done = Document {
        dry_run,
        ..Document::default()
    };
    while let Some(part) = reader.next_part()? {
        let one = match part {
            ExportPart::Intent(one) => one,
            ExportPart::Object(object) => {
                done.take(&object, dry_run || mesh.import_object(&object).await?);
                continue;
            }
        };
        let imported = if dry_run {
            let found = mesh.import_finds(&one.bundle, one.is_open).await?;
            found.unwrap_or(if one.is_open {
                Imported::Parked { seq: 0 }
            } else {
                Imported::Archived
            })
        } else {
            mesh.import(&one.bundle, one.is_open, &from, &by).await?
        };
        match imported {
            Imported::Archived => done.archived += 1,
            Imported::Parked { .. } => done.parked += 1,
            Imported::Known => done.known += 1,
            Imported::Conflict { problem } => done.conflicts.push(Conflict {
                intent: one.bundle.intent,
                problem,
            }),
        }
    }
    app.output.show(&done, || text(&done))?;
    if done.parked > 0 && !dry_run {
        app.output
            .note("`baton dead list` shows the open ones; `baton dead redrive ID` puts one back to work");
    }
    match done.conflicts.len() {
        0 => Ok(()),
        count => Err(CliError::say(
            Kind::Refused,
            codes::CONFLICT,
            format!("{} not imported", count_of(count as u64, "intent is", "intents are")),
        )
        .hint("what is here under these ids was left as it is")),
    }
}

fn open(file: &Path) -> Result<ExportReader<BufReader<File>>, CliError> {
    let input = File::open(file).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("\"{}\" cannot be read", file.display()));
        CliError::new(Kind::Usage, codes::IO_FAILED, error)
    })?;
    Ok(ExportReader::new(BufReader::new(input))?)
}

fn text(done: &Document) -> String {
    let Document {
        dry_run,
        archived,
        parked,
        known,
        objects,
        ..
    } = done;
    let would = if *dry_run { "would be imported" } else { "imported" };
    let mut text = format!("{would}: {archived} closed, {parked} open and parked; here already: {known}");
    if *objects > 0 {
        let messages = count_of(*objects, "message", "messages");
        text.push_str(&format!("; {messages} of objects"));
    }
    if !done.conflicts.is_empty() {
        let mut table = Table::new(&["NOT IMPORTED", "BECAUSE"]);
        for one in &done.conflicts {
            table.row([one.intent.to_string(), one.problem.clone()]);
        }
        text.push_str("\n\n");
        text.push_str(&table.render());
    }
    text
}
