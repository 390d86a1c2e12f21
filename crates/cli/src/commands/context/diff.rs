//! `baton context diff`: what a hop was given that another one was not.

use std::collections::BTreeMap;

use baton_envelope::context::{Candidate, Level};
use baton_envelope::{IntentId, ObjectHash};
use baton_jetstream::{Mesh, ReceivedView};
use clap::Args;
use serde::Serialize;

use super::Trail;
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton context diff`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The one hop.
    #[arg(value_name = "HOP")]
    from: u32,
    /// The other hop.
    #[arg(value_name = "HOP")]
    to: u32,
}

#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    from: u32,
    to: u32,
    changes: Vec<Change>,
}

/// What has changed of a memory between two views.
#[derive(Serialize)]
struct Change {
    key: String,
    kind: String,
    /// `added` where the first hop could know nothing of it, `replaced` where it has another content, `gone` where nobody knows it
    /// any more, else `level`.
    change: &'static str,
    /// How much of it each view has.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Level>,
    by: String,
}

/// Shows it.
pub(crate) async fn run(args: DiffArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let trail = Trail::of(&mesh, &args.id).await?;
    let (from, to) = (
        view(&mesh, &trail, args.from).await?,
        view(&mesh, &trail, args.to).await?,
    );
    let document = Document {
        intent: &args.id,
        from: args.from,
        to: args.to,
        changes: changes(&from.items, &to.items),
    };
    app.output.show(&document, || {
        if document.changes.is_empty() {
            return format!("hops {} and {} of {} are given the same", args.from, args.to, args.id);
        }
        let level = |level: &Option<Level>| level.as_ref().map_or("-", Level::name).to_owned();
        let (from, to) = (format!("HOP {}", args.from), format!("HOP {}", args.to));
        let mut table = Table::new(&["MEMORY", "KIND", "CHANGE", &from, &to, "BY"]);
        for change in &document.changes {
            table.row([
                change.key.clone(),
                change.kind.clone(),
                change.change.to_owned(),
                level(&change.from),
                level(&change.to),
                change.by.clone(),
            ]);
        }
        table.render()
    })
}

async fn view(mesh: &Mesh, trail: &Trail, hop: u32) -> Result<ReceivedView, CliError> {
    let envelope = trail.of_hop(Some(hop))?;
    Ok(mesh.received_view(envelope, None, baton_agent::token_counter).await?)
}

/// The memories that two views have otherwise, in the order of the second, then those that it does not know.
fn changes(from: &[(Candidate, Level)], to: &[(Candidate, Level)]) -> Vec<Change> {
    let before: BTreeMap<&str, (&ObjectHash, &Level)> = from
        .iter()
        .map(|(candidate, level)| (candidate.memory.key.as_str(), (&candidate.memory.hash, level)))
        .collect();
    let change = |candidate: &Candidate, change, from, to| Change {
        key: candidate.memory.key.to_string(),
        kind: candidate.memory.kind.name().to_owned(),
        change,
        from,
        to,
        by: candidate.by.clone(),
    };
    let mut found = Vec::new();
    for (candidate, level) in to {
        match before.get(candidate.memory.key.as_str()) {
            None => found.push(change(candidate, "added", None, Some(level.clone()))),
            Some((hash, old)) if **hash != candidate.memory.hash => {
                found.push(change(candidate, "replaced", Some((*old).clone()), Some(level.clone())));
            }
            Some((_, old)) if *old != level => {
                found.push(change(candidate, "level", Some((*old).clone()), Some(level.clone())));
            }
            Some(_) => {}
        }
    }
    let is_known = |key: &str| to.iter().any(|(candidate, _)| candidate.memory.key.as_str() == key);
    let gone = from
        .iter()
        .filter(|(candidate, _)| !is_known(candidate.memory.key.as_str()));
    found.extend(gone.map(|(candidate, level)| change(candidate, "gone", Some(level.clone()), None)));
    found
}
