//! The open waits of an intent: since when, until when and what then, and the line that ends each.

use baton_envelope::{OnTimeout, OpenWait, Record, Status, Timestamp, WaitKind, open_waits};
use baton_jetstream::Head;
use serde::Serialize;

use crate::output::Table;

/// One open wait, as a document.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WaitView {
    name: String,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Who is asked and has not decided.
    #[serde(rename = "for", skip_serializing_if = "Vec::is_empty")]
    people: Vec<String>,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// What happens then.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<String>,
    /// The command that ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

/// The open waits of the last record, by its history.
pub(crate) fn waits(head: &Head, history: &[Head]) -> Vec<WaitView> {
    let snapshot = &head.record.snapshot;
    if snapshot.status.is_terminal() {
        return Vec::new();
    }
    open_waits(snapshot).map(|wait| view(head, wait, history)).collect()
}

fn view(head: &Head, wait: &OpenWait, history: &[Head]) -> WaitView {
    let seq = wait.seq.unwrap_or(head.seq);
    let opened = history.iter().find(|head| head.seq == seq).unwrap_or(head);
    let since = opened.stored_at.unwrap_or(opened.record.at);
    let title = |record: &Record| {
        let spec = record.waits.iter().find(|spec| spec.name == wait.name)?;
        spec.title.clone()
    };
    let until = wait
        .after_ms
        .map(|after| since.plus(std::time::Duration::from_millis(after)));
    let ballot = wait.ballot.as_ref().filter(|ballot| ballot.decided.is_none());
    let at_due = ballot.map(|ballot| format!("it is decided: {}", ballot.at_due().choice));
    let then = match (&wait.kind, &wait.then) {
        (WaitKind::Sleep, _) | (_, OnTimeout::Give) => "the handler goes on",
        (_, OnTimeout::Park) => "the intent is parked",
        (_, OnTimeout::Fail) => "the intent fails",
        (_, OnTimeout::Unknown(name)) => name.as_str(),
    };
    let intent = &head.record.intent;
    let end = match wait.kind {
        WaitKind::Signal | WaitKind::Callback => Some(format!("baton signal {intent} {} DATA", wait.name)),
        WaitKind::Approval => Some(format!("baton approvals show {intent}")),
        WaitKind::Children => Some(format!("baton intents tree {intent}")),
        WaitKind::Sleep | WaitKind::Unknown(_) => None,
    };
    WaitView {
        name: wait.name.clone(),
        kind: wait.kind.name().to_owned(),
        title: title(&opened.record),
        since,
        until,
        people: ballot
            .map(|ballot| match ballot.closed {
                true => ballot.silent(),
                false => ballot.may_decide(),
            })
            .unwrap_or_default(),
        then: until.map(|_| at_due.unwrap_or_else(|| then.to_owned())),
        end: end.filter(|_| matches!(head.record.snapshot.status, Status::Waiting { .. } | Status::Pending)),
    }
}

/// The waits as a table.
pub(crate) fn waits_table(waits: &[WaitView]) -> Table {
    let mut table = Table::new(&["WAITS FOR", "KIND", "SINCE", "UNTIL", "THEN", "END IT WITH"]);
    for wait in waits {
        let mut name = match &wait.title {
            Some(title) => format!("{} ({title})", wait.name),
            None => wait.name.clone(),
        };
        if !wait.people.is_empty() {
            name.push_str(&format!(", for {}", wait.people.join(", ")));
        }
        table.row([
            name,
            wait.kind.clone(),
            wait.since.to_string(),
            wait.until.map(|at| at.to_string()).unwrap_or_default(),
            wait.then.clone().unwrap_or_default(),
            wait.end.clone().unwrap_or_default(),
        ]);
    }
    table
}
