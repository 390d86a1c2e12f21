//! `baton intents get`: one intent, with all of its trail.

use baton_envelope::{Contained, IntentId, Snapshot, Status, Timestamp};
use baton_jetstream::{Error, Head, Mesh};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::agents::then;
use crate::commands::context::how;
use crate::error::CliError;
use crate::output::Table;
use crate::view::{self, Holder, Numbered, WaitView};

/// How many restarts of one intent are looked for.
const MOST_RESTARTS: u32 = 20;

/// `baton intents get`.
#[derive(Debug, Clone, Args)]
pub(crate) struct GetArgs {
    /// The intent.
    id: IntentId,
}

/// The intent as a document.
#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    seq: u64,
    snapshot: &'a Snapshot,
    holders: &'a [Holder],
    /// What it waits for.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    waits: &'a [WaitView],
    records: Vec<Numbered<'a>>,
    /// The intents that hops of this one were restarted as.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    restarted_as: Vec<IntentId>,
    /// Records that decide nothing, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    contained: Vec<Idle>,
    /// The breaker that holds its work back.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_back: Option<HeldBack>,
}

/// The breaker that holds pending work back.
#[derive(Serialize)]
struct HeldBack {
    since: Timestamp,
    /// When one intent is let through; absent while one is, and where a person has opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What comes next, in words.
    then: String,
}

impl HeldBack {
    fn said(&self) -> String {
        let reason = self
            .reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        format!("its breaker is open since {}{reason}; {}", self.since, self.then)
    }
}

/// The breaker behind which work waits. Where nobody may read it, nothing is said of it.
async fn held_back(mesh: &Mesh, snapshot: &Snapshot) -> Option<HeldBack> {
    let (agent, version) = (snapshot.agent.as_ref()?, snapshot.version.as_ref()?);
    if snapshot.status != Status::Pending || snapshot.holder.is_some() {
        return None;
    }
    let (breaker, _) = mesh.breaker(agent, version).await.ok().flatten()?;
    breaker.withholds().then(|| HeldBack {
        since: breaker.since,
        until: breaker.until,
        then: then(&breaker),
        reason: breaker.reason,
    })
}

/// A record that decides nothing.
#[derive(Serialize)]
struct Idle {
    seq: u64,
    problem: String,
}

/// Shows the intent.
pub(crate) async fn run(args: GetArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let history = mesh.trail(&args.id).await?;
    let standing = mesh.standing(&args.id).await?;
    let decides = standing.decides.map(|(seq, record)| Head::new(*record, seq));
    // What is not in the ledger any more is in the archive, where nothing follows the end.
    let Some(head) = decides.as_ref().or(history.last()) else {
        return Err(match standing.contained.first() {
            Some(first) => Error::NoneReadable {
                intent: args.id,
                seq: first.seq,
                problem: first.problem.clone(),
            },
            None => Error::NoIntent(args.id),
        }
        .into());
    };
    let contained: Vec<Idle> = standing.contained.into_iter().map(Idle::from).collect();
    let holders = view::holders(&history);
    let waits = view::waits(head, &history);
    let restarted_as = restarts(&mesh, &args.id).await;
    let held_back = held_back(&mesh, &head.record.snapshot).await;
    let document = Document {
        intent: &args.id,
        seq: head.seq,
        snapshot: &head.record.snapshot,
        holders: &holders,
        waits: &waits,
        records: history.iter().map(Numbered::from).collect(),
        restarted_as,
        contained,
        held_back,
    };
    app.output.show(&document, || {
        let mut text = text(head, &document, &history);
        if !document.contained.is_empty() {
            let mut table = Table::new(&["SEQ", "DECIDES NOTHING"]);
            for one in &document.contained {
                table.row([one.seq.to_string(), one.problem.clone()]);
            }
            text.push_str("\n\n");
            text.push_str(&table.render());
        }
        text
    })
}

/// The intents that hops of this one were restarted as, under the ids that are made of its own. A note in its history tells of
/// the others.
async fn restarts(mesh: &Mesh, intent: &IntentId) -> Vec<IntentId> {
    let mut found = Vec::new();
    for number in 1..=MOST_RESTARTS {
        let id = intent.of_restart(number);
        let Ok(Some(head)) = mesh.head(&id).await else { break };
        let origin = head.record.snapshot.restarted_from;
        if origin.is_some_and(|origin| origin.intent == *intent) {
            found.push(id);
        }
    }
    found
}

impl From<Contained> for Idle {
    fn from(contained: Contained) -> Self {
        Self {
            seq: contained.seq,
            problem: contained.problem,
        }
    }
}

fn text(head: &Head, document: &Document<'_>, history: &[Head]) -> String {
    let snapshot = &head.record.snapshot;
    let mut facts = facts(head, document.holders, &document.restarted_as);
    if let Some(held_back) = &document.held_back {
        facts.pair("held back", held_back.said());
    }
    let mut text = facts.render();
    if !document.waits.is_empty() {
        text.push_str("\n\n");
        text.push_str(&view::waits_table(document.waits).render());
    }
    text.push_str("\n\n");
    text.push_str(&view::timeline(history).render());
    if let Some(object) = &snapshot.result_ref {
        let tree = snapshot.root.as_ref().unwrap_or(&head.record.intent);
        let media = object.media.as_deref().unwrap_or("of no media type");
        text.push_str(&format!(
            "\n\nresult (an object of {} bytes, {media})\n{}",
            object.bytes,
            how(tree, object)
        ));
    }
    if let Some(result) = &snapshot.result {
        let heading = match view::bytes(snapshot) {
            Some(bytes) => format!("result ({} bytes that are not text, in base64)", bytes.len()),
            None => "result".to_owned(),
        };
        text.push_str("\n\n");
        text.push_str(&view::body(&heading, &view::value(result)));
    }
    text
}

/// The turn that the hop waits for, or has had.
fn turn(snapshot: &Snapshot) -> String {
    let Some(order) = snapshot.in_order() else {
        return String::new();
    };
    let of = match (&order.key, &order.submitter) {
        (Some(key), _) => format!("of the key {key}"),
        (None, submitter) => format!("among the submitters, of {}", submitter.as_deref().unwrap_or("-")),
    };
    let standing = match (order.given, order.intake, order.place) {
        (Some(_), _, _) => "had it".to_owned(),
        (None, Some(_), _) => "waits for its place".to_owned(),
        (None, None, place) => format!("waits for it, at place {}", place.unwrap_or_default()),
    };
    format!("{standing}, {of}")
}

/// What it can take back, and how far it is with that.
fn undo(snapshot: &Snapshot) -> String {
    let Some(undo) = &snapshot.undo else {
        return String::new();
    };
    match (&undo.error, undo.planned) {
        (None, _) => format!("{} can be undone", undo.named),
        (Some(error), None) => format!("begins, because of {}", error.code),
        (Some(error), Some(planned)) => format!("{} of {planned} done, because of {}", undo.done, error.code),
    }
}

/// What it has spent of what it may, and what is left.
fn budget(snapshot: &Snapshot) -> String {
    let Some(budget) = &snapshot.budget else {
        return String::new();
    };
    let text = format!(
        "{} allotted, {} spent, {} available",
        budget.allotted(),
        budget.spent(),
        budget.available()
    );
    match &budget.need {
        Some(need) => format!("{text}; it needs {need} to go on"),
        None => text,
    }
}

/// Where it stands, as names and values.
fn facts(head: &Head, holders: &[Holder], restarted_as: &[IntentId]) -> Table {
    let snapshot = &head.record.snapshot;
    let optional = |value: Option<String>| value.unwrap_or_default();
    let mut table = Table::pairs();
    table.pair("intent", head.record.intent.as_str());
    table.pair("status", snapshot.status.to_string());
    table.pair("agent", view::turn(snapshot));
    table.pair("hop", format!("{} of at most {}", snapshot.hop, snapshot.max_hops));
    table.pair("attempt", snapshot.attempt.to_string());
    table.pair("epoch", snapshot.epoch.to_string());
    table.pair("priority", snapshot.priority.to_string());
    table.pair("kind", optional(snapshot.kind.clone()));
    table.pair("root", optional(snapshot.root.as_ref().map(ToString::to_string)));
    table.pair("parent", optional(snapshot.parent.as_ref().map(ToString::to_string)));
    let origin = snapshot.restarted_from.as_ref();
    table.pair(
        "restarted from",
        optional(origin.map(|origin| format!("{}, hop {}", origin.intent, origin.hop))),
    );
    let restarted_as: Vec<&str> = restarted_as.iter().map(IntentId::as_str).collect();
    table.pair("restarted as", restarted_as.join(", "));
    table.pair("submitted", snapshot.submitted_at.to_string());
    table.pair("updated", snapshot.updated_at.to_string());
    table.pair("deadline", optional(snapshot.deadline.map(|at| at.to_string())));
    table.pair("not before", optional(snapshot.wake_at.map(|at| at.to_string())));
    table.pair("turn", turn(snapshot));
    table.pair("path", view::path(snapshot));
    let pins: Vec<String> = snapshot
        .pins
        .iter()
        .map(|(agent, version)| format!("{agent}={version}"))
        .collect();
    table.pair("pins", pins.join(", "));
    for (index, holder) in holders.iter().enumerate() {
        let name = if index == 0 { "holders" } else { " " };
        let agent = view::agent_at(holder.agent.as_ref(), holder.version.as_ref());
        table.pair(
            name,
            format!(
                "{agent}/{} (hop {}, epoch {})",
                holder.instance, holder.hop, holder.epoch
            ),
        );
    }
    table.pair("undo", undo(snapshot));
    table.pair("budget", budget(snapshot));
    table.pair("error", view::error(snapshot));
    table
}
