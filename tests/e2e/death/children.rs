//! A supervisor that asks others, and the cancel of one with all below it.

use baton_agent::{AgentBuilder, Call, Called, Fault, Outcome, Wait};
use baton_e2e::chaos::{count, events};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::IntentId;
use baton_jetstream::{Head, Mesh};

use super::{SHORT, cancel, completed_with};

/// A supervisor asks three others, and goes on with what they came to.
pub(super) struct CallAll;

impl Pattern for CallAll {
    const NAME: &'static str = "call";
    const ROLES: &'static [&'static str] = &["lead", "help"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                if role == "help" {
                    return Outcome::complete(&format!("{} is done", hop.payload().read::<String>()?));
                }
                run.step(hop, "before").await?;
                let help = run.agent("help");
                let calls: Result<Vec<Call>, Fault> = WORK.iter().map(|work| Call::new(&help, work)).collect();
                let called = hop.call_all(calls?).await?;
                run.step(hop, "after").await?;
                let results: Result<Vec<String>, Fault> = called.iter().map(Called::result).collect();
                Outcome::complete(&results?.join(", "))
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        children_of(run).for_each(|child| run.also(child));
        run.submit(client, "lead", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        if is_of_child(run, history) {
            let last = history.last().expect("a record");
            assert_eq!(last.record.snapshot.status.name(), "completed", "{:?}", events(history));
            let begun = count(history, "submitted");
            assert_eq!(begun, 1, "{}: {:?}", last.record.intent, events(history));
            return;
        }
        completed_with(run, history, "a is done, b is done, c is done");
        for event in ["fanned_out", "resumed"] {
            let found = count(history, event);
            assert_eq!(found, 1, "{}: {event} in {:?}", run.intent(), events(history));
        }
        let last = history.last().expect("a record");
        assert_eq!(last.record.snapshot.children, [], "{}", run.intent());
    }
}

/// The work of the children of these patterns.
const WORK: [&str; 3] = ["a", "b", "c"];

fn children_of(run: &Run) -> impl Iterator<Item = IntentId> {
    let parent = run.intent();
    (0..3).map(move |index| IntentId::of_child(&parent, 1, "calls", index))
}

fn is_of_child(run: &Run, history: &[Head]) -> bool {
    history.first().is_some_and(|head| head.record.intent != run.intent())
}

/// Somebody cancels a supervisor that waits for others; these wait for something that never comes.
pub(super) struct CancelTree;

impl Pattern for CancelTree {
    const NAME: &'static str = "tree";
    const ROLES: &'static [&'static str] = &["lead", "help"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                if role == "help" {
                    hop.wait(Wait::signal("never")).await?;
                }
                let help = run.agent("help");
                let calls: Result<Vec<Call>, Fault> = WORK.iter().map(|work| Call::new(&help, work)).collect();
                hop.call_all(calls?).await?;
                Outcome::complete(&())
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        children_of(run).for_each(|child| run.also(child));
        run.submit(client, "lead", |_| {}).await;
        run.until(client, &["waiting", "cancelled"]).await;
        cancel(client, run, "not needed").await;
        for child in children_of(run) {
            run.eventually(&format!("{child} is closed"), 100 * SHORT, async || {
                match client.head(&child).await {
                    Ok(Some(head)) if head.record.snapshot.status.is_terminal() => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        let last = history.last().expect("a record");
        let status = &last.record.snapshot.status;
        let is_right = match is_of_child(run, history) {
            true => matches!(status.name(), "cancelled" | "rejected"),
            false => status.name() == "cancelled",
        };
        assert!(is_right, "{}: {status}", last.record.intent);
    }
}
