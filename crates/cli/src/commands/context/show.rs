//! `baton context show`: the view that a hop was given.

use baton_envelope::context::{Gap, Level, ManifestItem};
use baton_envelope::{Envelope, IntentId, ObjectHash, shown};
use baton_jetstream::ReceivedView;
use clap::Args;
use serde::Serialize;

use super::{Trail, counted};
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton context show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
    /// The hop [default: the last].
    #[arg(long, value_name = "N")]
    hop: Option<u32>,
}

#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    hop: u32,
    agent: String,
    /// The newest link.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'a ObjectHash>,
    /// How many links and memories the tree has up to here, and the bytes of their contents.
    links: u32,
    remembered: u32,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
    requested: u64,
    resolved: u64,
    gaps: &'a [Gap],
    memories: Vec<Row<'a>>,
    text: &'a str,
}

/// A memory, and how much of it the view has.
#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    by: &'a str,
    pinned: bool,
    bytes: u64,
    level: &'a Level,
    /// Why it is not there in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    /// The tokens that the next higher level would have taken, and what was left.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
}

/// Shows it.
pub(crate) async fn run(args: ShowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let trail = Trail::of(&mesh, &args.id).await?;
    let envelope = trail.of_hop(args.hop)?;
    let received = mesh.received_view(envelope, None, baton_agent::token_counter).await?;
    let document = document(&args.id, envelope, &received);
    app.output.show(&document, || text(&document))
}

fn document<'a>(intent: &'a IntentId, envelope: &Envelope, received: &'a ReceivedView) -> Document<'a> {
    let view = received.view();
    let why = |key: &str| received.manifest.iter().find(|item| item.key.as_str() == key);
    let rows = received.items.iter().map(|(candidate, level)| {
        let memory = &candidate.memory;
        let item: Option<&ManifestItem> = why(memory.key.as_str());
        Row {
            key: memory.key.as_str(),
            kind: memory.kind.name(),
            title: memory.title.as_deref(),
            by: &candidate.by,
            pinned: memory.pinned,
            bytes: memory.bytes,
            level,
            why: item.map(|item| item.why.name()),
            needed: item.and_then(|item| item.needed),
            left: item.and_then(|item| item.left),
        }
    });
    let version = envelope.to_version.as_ref().map(|version| format!("@{version}"));
    Document {
        intent,
        hop: envelope.hop,
        agent: format!("{}{}", envelope.to, version.unwrap_or_default()),
        head: received.context.head.as_ref(),
        links: received.context.links,
        remembered: received.context.memories,
        bytes: received.context.bytes,
        strategy: view.map(|view| view.strategy.name()),
        used: view.map(|view| view.used),
        budget: view.map(|view| view.budget),
        requested: received.completeness.requested,
        resolved: received.completeness.resolved,
        gaps: &received.gaps,
        memories: rows.collect(),
        text: &received.text,
    }
}

/// The view that an envelope gives, and why each memory is there or is not.
pub(crate) fn view_table(envelope: &Envelope, received: &ReceivedView) -> String {
    table(&document(&envelope.intent, envelope, received))
}

fn text(document: &Document<'_>) -> String {
    // Each line by itself: what somebody wrote must move no cursor.
    let lines: Vec<String> = document.text.lines().map(|line| shown(line).to_string()).collect();
    format!("{}\n{}", table(document), lines.join("\n"))
}

fn table(document: &Document<'_>) -> String {
    let mut text = format!(
        "hop {} of {}, for {}\n",
        document.hop,
        document.intent,
        shown(&document.agent)
    );
    if let (Some(used), Some(budget), Some(strategy)) = (document.used, document.budget, document.strategy) {
        text.push_str(&format!(
            "view by {}: {used} of {budget} tokens, {} of {} in full can be read\n",
            shown(strategy),
            document.resolved,
            document.requested
        ));
    }
    if let Some(head) = document.head {
        text.push_str(&format!(
            "newest link {head}: {}, {}, {} bytes\n",
            counted(document.links.into(), "link", "links"),
            counted(document.remembered.into(), "memory", "memories"),
            document.bytes
        ));
    }
    text.push('\n');
    if document.memories.is_empty() {
        text.push_str("no hop before has remembered anything\n");
    } else {
        let mut table = Table::new(&["MEMORY", "KIND", "BY", "LEVEL", "WHY", "TITLE"]);
        for row in &document.memories {
            let pinned = if row.pinned { " (pinned)" } else { "" };
            table.row([
                row.key.to_owned(),
                row.kind.to_owned(),
                row.by.to_owned(),
                format!("{}{pinned}", row.level.name()),
                why(row),
                row.title.unwrap_or_default().to_owned(),
            ]);
        }
        text.push_str(&table.render());
        text.push('\n');
    }
    for gap in document.gaps {
        text.push_str(&format!("gap: {} cannot be had: {}\n", gap.key, shown(&gap.why)));
    }
    text
}

fn why(row: &Row<'_>) -> String {
    let Some(why) = row.why else { return String::new() };
    match (row.needed, row.left) {
        (Some(needed), Some(left)) => format!("{why}: {needed} tokens, {left} left"),
        (_, _) => why.to_owned(),
    }
}
