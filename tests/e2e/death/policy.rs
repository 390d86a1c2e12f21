//! Work that an agent cannot do, or does not want: by the policy of the agent somebody else gets it.

use baton_agent::{AgentBuilder, Fault, Outcome};
use baton_e2e::chaos::events;
use baton_e2e::death::{Pattern, Run};
use baton_envelope::control::SetPolicy;
use baton_envelope::{AgentName, OnExhausted, OnRejected, Policy};
use baton_jetstream::{Head, Mesh};

use super::completed_with;

/// Sets the policy of an agent.
async fn set(client: &Mesh, run: &Run, role: &str, policy: Policy) {
    let question = SetPolicy {
        agent: name(run, role),
        set: policy,
        reset: false,
        by: "test".to_owned(),
        reason: None,
        no_gate: false,
    };
    run.ask_until_route(client, role, &question, |route| route.policy.is_some())
        .await;
}

fn name(run: &Run, role: &str) -> AgentName {
    run.agent(role).parse().expect("agent name")
}

#[track_caller]
fn was_handed_on_once(run: &Run, history: &[Head]) {
    let told = events(history);
    let handed = told
        .iter()
        .filter(|event| ["handed_off", "rerouted"].contains(event))
        .count();
    assert_eq!(handed, 1, "{}: {told:?}", run.intent());
}

/// The attempts of an agent are used up, and its chief gets the work.
pub(super) struct Exhausted;

impl Pattern for Exhausted {
    const NAME: &'static str = "exhausted";
    const ROLES: &'static [&'static str] = &["flaky", "chief"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                run.step(hop, role).await?;
                match role {
                    "flaky" => Err(Fault::retry("out of order")),
                    _ => Outcome::complete(&"by the chief"),
                }
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let policy = Policy {
            attempts: Some(1),
            on_exhausted: Some(OnExhausted::Escalate(name(run, "chief"))),
            ..Policy::default()
        };
        set(client, run, "flaky", policy).await;
        run.submit(client, "flaky", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "by the chief");
        was_handed_on_once(run, history);
    }
}

/// An agent declines, and its alternative gets the work.
pub(super) struct Declined;

impl Pattern for Declined {
    const NAME: &'static str = "declined";
    const ROLES: &'static [&'static str] = &["first", "second"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                run.step(hop, role).await?;
                match role {
                    "first" => Ok(Outcome::reject("NOT_MINE", "ask somebody else")),
                    _ => Outcome::complete(&"by the second"),
                }
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let policy = Policy {
            alternatives: vec![name(run, "second")],
            on_rejected: Some(OnRejected::Alternative),
            ..Policy::default()
        };
        set(client, run, "first", policy).await;
        run.submit(client, "first", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "by the second");
        was_handed_on_once(run, history);
    }
}
