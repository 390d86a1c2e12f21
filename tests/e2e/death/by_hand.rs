//! A person takes work of an agent that has no worker, and does it step by step.

use baton_agent::{AgentBuilder, Outcome};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::control::{AddVersion, CompleteWork, HandOffWork, NoteWork, StartWork, TakeWork};
use baton_envelope::{IntentId, Json};
use baton_jetstream::{Head, Mesh};

use super::completed_with;

/// Who does it.
const PERSON: &str = "ada";
/// The client has left its note.
const NOTED: usize = 1;

/// Makes the agent known.
async fn add(client: &Mesh, run: &Run) {
    let question = AddVersion {
        agent: run.agent("reviewer").parse().expect("agent name"),
        version: "1.0.0".parse().expect("version"),
        manual: true,
        capabilities: vec!["review".to_owned()],
        kinds: Vec::new(),
        by: "test".to_owned(),
    };
    let is_known = |version: &baton_envelope::Route| version.is_manual(&question.version);
    run.ask_until_route(client, "reviewer", &question, is_known).await;
}

/// Whether the intent is further than this hop, or in one of these statuses of it.
fn is_at(head: &Head, hop: u32, statuses: &[&str]) -> bool {
    let snapshot = &head.record.snapshot;
    snapshot.hop > hop || snapshot.status.is_terminal() || {
        snapshot.hop == hop && statuses.contains(&snapshot.status.name())
    }
}

/// Takes what stands before the agent in this hop, begins, and leaves a note.
async fn take_and_start(client: &Mesh, run: &Run, hop: u32) {
    let intent = run.intent();
    let by = PERSON.to_owned();
    let take = TakeWork {
        agent: Some(run.agent("reviewer").parse().expect("agent name")),
        estimate_ms: None,
        within_ms: None,
        by: by.clone(),
    };
    let taken = |head: &Head| is_at(head, hop, &["accepted", "in_progress"]);
    run.ask_until_head(client, &intent, &take, taken).await;
    let start = StartWork {
        intent: intent.clone(),
        by: by.clone(),
    };
    let started = |head: &Head| is_at(head, hop, &["in_progress"]);
    run.ask_until_head(client, &intent, &start, started).await;
    if run.phase() < NOTED {
        let note = NoteWork {
            intent: intent.clone(),
            note: "half of it".to_owned(),
            by,
        };
        let noted = |head: &Head| head.record.event.name() == "progress" || is_at(head, hop, &[]);
        run.ask_until_head(client, &intent, &note, noted).await;
        run.reach(NOTED);
    }
}

/// Who wrote the records of these events, and that nobody wrote one of them twice.
#[track_caller]
fn was_done_by_hand(intent: &IntentId, history: &[Head], events: &[&str]) {
    for event in events {
        let of: Vec<&Head> = history
            .iter()
            .filter(|head| head.record.event.name() == *event && head.record.by.instance == PERSON)
            .collect();
        assert_eq!(of.len(), 1, "{intent}: {event} by {PERSON}");
    }
}

/// Take, start, note, complete.
pub(crate) struct Done;

impl Pattern for Done {
    const NAME: &'static str = "hand";
    const ROLES: &'static [&'static str] = &[];
    const BY_HAND: &'static [&'static str] = &["reviewer"];

    fn agent(&self, _: &Run, role: &'static str) -> AgentBuilder {
        unreachable!("{role} has no worker")
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        add(client, run).await;
        run.submit(client, "reviewer", |_| {}).await;
        take_and_start(client, run, 1).await;
        let complete = CompleteWork {
            intent: run.intent(),
            result: Json::string("good"),
            result_encoding: None,
            note: None,
            by: PERSON.to_owned(),
        };
        run.ask_until_head(client, &run.intent(), &complete, |head| is_at(head, 1, &[]))
            .await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "good");
        was_done_by_hand(&run.intent(), history, &["claimed", "started", "completed"]);
    }
}

/// A worker hands on to a person, who hands on to a worker.
pub(crate) struct HandedOn;

impl Pattern for HandedOn {
    const NAME: &'static str = "hands";
    const ROLES: &'static [&'static str] = &["code", "qa"];
    const BY_HAND: &'static [&'static str] = &["reviewer"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                run.step(hop, role).await?;
                match role {
                    "code" => Outcome::hand_off(&run.agent("reviewer"), &"read this"),
                    _ => Outcome::complete(&"good"),
                }
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        add(client, run).await;
        run.submit(client, "code", |_| {}).await;
        let at_person = async || match client.head(&run.intent()).await {
            Ok(Some(head)) if is_at(&head, 2, &["pending", "accepted", "in_progress"]) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        let what = format!("{} is before a person", run.intent());
        run.eventually(&what, baton_e2e::chaos::SOON * 3, at_person).await;
        take_and_start(client, run, 2).await;
        let hand_off = HandOffWork {
            intent: run.intent(),
            to: run.agent("qa").parse().expect("agent name"),
            payload: Json::string("it is read"),
            payload_encoding: None,
            kind: None,
            note: Some("read it".to_owned()),
            by: PERSON.to_owned(),
        };
        run.ask_until_head(client, &run.intent(), &hand_off, |head| is_at(head, 2, &[]))
            .await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "good");
        was_done_by_hand(&run.intent(), history, &["claimed", "started", "handed_off"]);
    }
}
