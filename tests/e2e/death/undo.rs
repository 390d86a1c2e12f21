//! What an intent did is undone: because it fails for good, and because somebody cancels it so.

use baton_agent::{AgentBuilder, Fault, Outcome, Wait};
use baton_e2e::chaos::{count, events};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::control::UndoIntent;
use baton_envelope::{Envelope, IntentId, OnExhausted, Policy};
use baton_jetstream::{Head, Mesh};

/// What is done and undone, in the order of the doing.
const THINGS: [&str; 2] = ["flight", "hotel"];

/// Books two things and then fails for good, or waits for what never comes; and takes back what it is asked to.
fn books(run: &Run, role: &'static str, fails: bool) -> AgentBuilder {
    run.scripted(role, move |hop, run| {
        Box::pin(async move {
            if role == "clerk" {
                run.step(hop, "back").await?;
                return Outcome::complete(&hop.payload().read::<String>()?);
            }
            for thing in THINGS {
                run.undoable(hop, thing, "clerk").await?;
            }
            if fails {
                return Err(Fault::terminal("NO_CARS", "none is left"));
            }
            hop.wait(Wait::signal("never")).await?;
            Outcome::complete(&())
        })
    })
}

fn compensates(envelope: &mut Envelope) {
    envelope.policy = Some(Box::new(Policy {
        on_exhausted: Some(OnExhausted::Compensate),
        ..Policy::default()
    }));
}

/// The undos, in the order of the plan, each with what it takes back.
fn undos_of(run: &Run) -> impl Iterator<Item = (IntentId, &'static str)> {
    let parent = run.intent();
    let undone = THINGS.into_iter().rev();
    (1..)
        .zip(undone)
        .map(move |(number, thing)| (IntentId::of_child(&parent, 1, &format!("undo#{number}"), 0), thing))
}

fn is_undone(run: &Run, history: &[Head], status: &str) {
    let last = history.last().expect("a record");
    let (intent, snapshot) = (&last.record.intent, &last.record.snapshot);
    let told = format!("{intent}: {:?}", events(history));
    if let Some((_, thing)) = undos_of(run).find(|(undo, _)| undo == intent) {
        assert_eq!(snapshot.status.name(), "completed", "{told}");
        assert_eq!(count(history, "submitted"), 1, "{told}");
        assert_eq!(baton_e2e::gated::result(last), thing, "{told}");
        return;
    }
    assert_eq!(snapshot.status.name(), status, "{told}");
    for (event, times) in [("compensating", 1), ("compensated", 1), ("child_done", 2)] {
        assert_eq!(count(history, event), times, "{event}: {told}");
    }
    let plans = history.iter().filter(|head| !head.record.undos.is_empty());
    let planned: Vec<_> = plans
        .flat_map(|head| &head.record.undos)
        .map(|undo| undo.step.as_deref())
        .collect();
    assert_eq!(planned, [Some("hotel"), Some("flight")], "{told}");
    assert_eq!(snapshot.children, [], "{told}");
}

/// It fails for good.
pub(super) struct Fails;

impl Pattern for Fails {
    const NAME: &'static str = "undo";
    const ROLES: &'static [&'static str] = &["trip", "clerk"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        books(run, role, true)
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        undos_of(run).for_each(|(undo, _)| run.also(undo));
        run.submit(client, "trip", compensates).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        is_undone(run, history, "failed");
    }
}

/// Somebody cancels it so.
pub(super) struct Cancelled;

impl Pattern for Cancelled {
    const NAME: &'static str = "cancelundo";
    const ROLES: &'static [&'static str] = &["trip", "clerk"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        books(run, role, false)
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        undos_of(run).for_each(|(undo, _)| run.also(undo));
        run.submit(client, "trip", |_| {}).await;
        run.until(client, &["waiting", "compensating", "cancelled"]).await;
        let question = UndoIntent {
            intent: run.intent(),
            reason: "ill".to_owned(),
            by: "test".to_owned(),
        };
        let is_so = |head: &Head| matches!(head.record.snapshot.status.name(), "compensating" | "cancelled");
        run.ask_until_head(client, &run.intent(), &question, is_so).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        is_undone(run, history, "cancelled");
    }
}
