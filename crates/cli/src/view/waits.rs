//! The open waits of an intent: since when, until when and what then, and the line that ends each.

use baton_envelope::{
    Ends, Event, OnTimeout, OpenWait, Record, Status, Timestamp, WaitKind, answered_waits, open_waits, shell_word,
};
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
    /// Its answer, which has come while the intent waits for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<Answered>,
}

/// The answer to a wait.
#[derive(Debug, Clone, Serialize)]
struct Answered {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// What people have decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<String>,
}

impl Answered {
    fn of(head: &Head, wait: &OpenWait, ends: &Ends, history: &[Head]) -> Self {
        let holds = match ends {
            Ends::Signal { seq, .. } => history.iter().find(|one| Some(one.seq) == *seq),
            Ends::Children => history.iter().rfind(|one| one.record.event == Event::ChildDone),
            // The first record from which on it is decided.
            Ends::Decision(_) | Ends::Time | Ends::Another => history.iter().find(|one| {
                let mut waits = open_waits(&one.record.snapshot);
                waits.any(|one| one.name == wait.name && one.hop == wait.hop && one.decided.is_some())
            }),
        };
        let holds = holds.unwrap_or(head);
        let record = &holds.record;
        let by_signal = record.signal.as_ref().and_then(|signal| signal.by.clone());
        let by_person = record
            .people
            .as_ref()
            .and_then(|entry| entry.by.as_ref())
            .map(ToString::to_string);
        Self {
            at: holds.stored_at.unwrap_or(record.at),
            by: by_signal.or(by_person),
            choice: match ends {
                Ends::Decision(choice) => Some(choice.clone()),
                Ends::Signal { .. } | Ends::Children | Ends::Time | Ends::Another => None,
            },
        }
    }

    fn said(&self) -> String {
        let choice = self
            .choice
            .as_ref()
            .map(|choice| format!(": {choice}"))
            .unwrap_or_default();
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        format!("answered{choice}{by} at {}", self.at)
    }
}

/// The open waits of the last record, by its history.
pub(crate) fn waits(head: &Head, history: &[Head]) -> Vec<WaitView> {
    let snapshot = &head.record.snapshot;
    if snapshot.status.is_terminal() {
        return Vec::new();
    }
    let answered = answered_waits(snapshot);
    let shown = open_waits(snapshot).map(|wait| {
        let open = view(head, wait, history);
        match answered.iter().find(|(answered, _)| std::ptr::eq(*answered, wait)) {
            // Nothing is to be done for it any more, and no time ends it.
            Some((_, ends)) => WaitView {
                until: None,
                people: Vec::new(),
                then: None,
                end: None,
                answered: Some(Answered::of(head, wait, ends, history)),
                ..open
            },
            None => open,
        }
    });
    shown.collect()
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
        WaitKind::Signal | WaitKind::Callback => {
            // A name that begins as a flag does is none.
            let dashes = if wait.name.starts_with('-') { "-- " } else { "" };
            Some(format!("baton signal {intent} {dashes}{} DATA", shell_word(&wait.name)))
        }
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
        answered: None,
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
            match &wait.answered {
                Some(answered) => answered.said(),
                None => wait.then.clone().unwrap_or_default(),
            },
            wait.end.clone().unwrap_or_default(),
        ]);
    }
    table
}
