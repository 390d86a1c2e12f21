//! `baton intents tree`: an intent with its children, and theirs.

use std::time::Duration;

use baton_envelope::{ErrorInfo, IntentId, JoinRule, Json, ObjectRef, shown};
use baton_jetstream::{Branch, CallOf};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::context::how;
use crate::error::CliError;
use crate::view;

/// How often `--watch` looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// `baton intents tree`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TreeArgs {
    /// The intent.
    id: IntentId,
    /// Show it again whenever it has changed, until all of it has ended.
    #[arg(long)]
    watch: bool,
    /// How many intents to show at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
}

/// An intent of the tree, as a document.
#[derive(Debug, PartialEq, Serialize)]
struct Document {
    intent: IntentId,
    /// Absent while nobody has submitted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    /// The object that the result is.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_ref: Option<ObjectRef>,
    #[serde(skip)]
    tree: Option<IntentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<CallDocument>,
}

/// A call of an intent.
#[derive(Debug, PartialEq, Serialize)]
struct CallDocument {
    hop: u32,
    name: String,
    join: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    need: Option<u32>,
    count: u32,
    ended: usize,
    waited_for: bool,
    children: Vec<Document>,
}

/// Shows the tree.
pub(crate) async fn run(args: TreeArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    if !args.watch {
        let tree = mesh.tree(&args.id, args.limit).await?;
        let document = Document::from(&tree);
        return app.output.show(&document, || lines(&document).join("\n"));
    }
    let mut shown = None;
    loop {
        let tree = mesh.tree(&args.id, args.limit).await?;
        let document = Document::from(&tree);
        if shown.as_ref() != Some(&document) {
            app.output
                .stream(&document, || format!("{}\n", lines(&document).join("\n")))?;
            shown = Some(document);
        }
        if tree.is_over() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl From<&Branch> for Document {
    fn from(branch: &Branch) -> Self {
        let snapshot = branch.head.as_ref().map(|head| &head.record.snapshot);
        Self {
            intent: branch.intent.clone(),
            status: snapshot.map(|snapshot| snapshot.status.to_string()),
            agent: snapshot.map(view::turn).filter(|turn| !turn.is_empty()),
            result: snapshot.and_then(|snapshot| snapshot.result.clone()),
            result_ref: snapshot.and_then(|snapshot| snapshot.result_ref.as_deref().cloned()),
            tree: snapshot.and_then(|snapshot| snapshot.root.clone()),
            error: snapshot.and_then(|snapshot| snapshot.error.clone()),
            calls: branch.calls.iter().map(CallDocument::from).collect(),
        }
    }
}

impl From<&CallOf> for CallDocument {
    fn from(call: &CallOf) -> Self {
        Self {
            hop: call.hop,
            name: call.name.clone(),
            join: call.join.name().to_owned(),
            need: call.need,
            count: call.count,
            ended: call.ended(),
            waited_for: call.is_awaited,
            children: call.children.iter().map(Document::from).collect(),
        }
    }
}

/// How long the line of a result may be.
const RESULT: usize = 60;

fn lines(document: &Document) -> Vec<String> {
    let status = document.status.as_deref().unwrap_or("not submitted yet");
    let mut line = format!("{}  {status}", document.intent);
    if let Some(agent) = &document.agent {
        line.push_str(&format!("  {agent}"));
    }
    match (&document.error, &document.result, &document.result_ref) {
        (Some(error), _, _) => line.push_str(&format!("  {}: {}", error.code, error.message)),
        (None, _, Some(object)) => {
            let tree = document.tree.as_ref().unwrap_or(&document.intent);
            line.push_str(&format!("  an object of {} bytes; {}", object.bytes, how(tree, object)));
        }
        (None, Some(result), None) => {
            let text: String = result.get().chars().take(RESULT).collect();
            line.push_str(&format!("  {text}"));
        }
        (None, None, None) => {}
    }
    // Each intent and each call has one line: what agents have written cannot add any.
    let mut lines = vec![shown(&line).into_owned()];
    for call in &document.calls {
        lines.push(format!("  {}", shown(&call_line(call))));
        for (index, child) in call.children.iter().enumerate() {
            for (at, below) in self::lines(child).into_iter().enumerate() {
                lines.push(match at {
                    0 => format!("    {index}: {below}"),
                    _ => format!("    {below}"),
                });
            }
        }
        let left = (call.count as usize).saturating_sub(call.children.len());
        if left > 0 {
            lines.push(format!("    and {left} more: --limit shows them"));
        }
    }
    lines
}

fn call_line(call: &CallDocument) -> String {
    let rule = match (call.join.as_str(), call.need) {
        (rule, Some(need)) if rule == JoinRule::Some.name() => format!("{need} of {}", call.count),
        (rule, _) => rule.to_owned(),
    };
    let standing = if call.waited_for { ", waited for" } else { "" };
    format!(
        "{} (hop {}, {rule}): {} of {} have ended{standing}",
        call.name, call.hop, call.ended, call.count
    )
}
