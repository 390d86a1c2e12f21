//! Somebody pauses work, and lets it go on.

use baton_agent::{AgentBuilder, Outcome, Wait};
use baton_e2e::chaos::{SOON, events};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::control::{AgentAct, PauseAgent, PauseIntent, ResumeAgent, ResumeIntent};
use baton_jetstream::{Head, Mesh};

use super::{careless, completed_with, waiter};

/// How far the client is: it has paused, it has begun to let it go on.
const PAUSED: usize = 1;
const RESUMED: usize = 2;

async fn pause(client: &Mesh, run: &Run) {
    let question = PauseIntent {
        intent: run.intent(),
        reason: "a question came up".to_owned(),
        by: "test".to_owned(),
    };
    run.ask_until_head(client, &run.intent(), &question, is_parked).await;
    run.reach(PAUSED);
}

async fn resume(client: &Mesh, run: &Run) {
    run.reach(RESUMED);
    let question = ResumeIntent {
        intent: run.intent(),
        reason: None,
        by: "test".to_owned(),
    };
    run.ask_until_head(client, &run.intent(), &question, |head| !is_parked(head))
        .await;
}

fn is_parked(head: &Head) -> bool {
    head.record.snapshot.status.to_string() == "parked(PAUSED)"
}

#[track_caller]
fn was_paused_once(run: &Run, history: &[Head]) {
    let told = events(history);
    let parked = told.iter().filter(|event| **event == "parked").count();
    assert_eq!(parked, 1, "{}: {told:?}", run.intent());
}

/// It waits for a signal, which comes in the pause.
pub(crate) struct Waits;

impl Pattern for Waits {
    const NAME: &'static str = "pause";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        waiter(run, role, || vec![Wait::signal("paid")])
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        if run.phase() < PAUSED {
            run.until(client, &["waiting", "parked"]).await;
            pause(client, run).await;
        }
        run.signal(client, "paid").await;
        resume(client, run).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "paid:signalled");
        was_paused_once(run, history);
    }
}

/// A worker runs it, and does not care: what it commits afterwards is refused.
pub(crate) struct Runs;

impl Pattern for Runs {
    const NAME: &'static str = "halt";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        careless(run, role, (PAUSED, RESUMED))
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        if run.phase() < PAUSED {
            run.until(client, &["in_progress", "parked"]).await;
            pause(client, run).await;
        }
        resume(client, run).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "resumed");
        was_paused_once(run, history);
    }
}

/// The agent is paused before the work comes.
pub(crate) struct Agent;

impl Pattern for Agent {
    const NAME: &'static str = "hold";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, |hop, run| {
            Box::pin(async move {
                run.step(hop, "done").await?;
                match run.phase() < RESUMED {
                    true => Outcome::complete(&"in the pause"),
                    false => Outcome::complete(&"resumed"),
                }
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        if run.phase() < PAUSED {
            pause_agent(client, run).await;
            run.reach(PAUSED);
        }
        run.submit(client, "shop", |_| {}).await;
        run.reach(RESUMED);
        let question = ResumeAgent(act(run, "mended"));
        run.ask_until_route(client, "shop", &question, |route| route.paused.is_none())
            .await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "resumed");
    }
}

/// Pauses the agent, until somebody says that it is: whoever hears nothing does not know whether its consumers are.
async fn pause_agent(client: &Mesh, run: &Run) {
    let what = format!("the agent of {} is paused", run.intent());
    run.eventually(&what, SOON * 3, async || {
        let Err(problem) = run.ask(client, &PauseAgent(act(run, "a bad night"))).await else {
            return Ok(());
        };
        // It may be paused already, and then it cannot be paused again.
        let resumed = run.ask(client, &ResumeAgent(act(run, "once more"))).await;
        Err(format!("{problem}; {:?}", resumed.map(drop)))
    })
    .await;
}

/// An act on the agent of a run.
pub(super) fn act(run: &Run, reason: &str) -> AgentAct {
    AgentAct {
        agent: run.agent("shop").parse().expect("agent name"),
        version: None,
        by: "test".to_owned(),
        reason: Some(reason.to_owned()),
    }
}
