//! Somebody kills an agent whose handler does not care, and lets it go on later.

use baton_agent::AgentBuilder;
use baton_e2e::chaos::{SOON, events};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::Route;
use baton_envelope::control::{KillAgent, ResumeAgent};
use baton_jetstream::{Head, Mesh};

use super::pause::act;
use super::{careless, completed_with};

/// How far the client is: the kill is done, it has begun to let the agent go on.
const KILLED: usize = 1;
const RESUMED: usize = 2;

/// What ran before the kill returns its result after it.
pub(crate) struct Kill;

impl Pattern for Kill {
    const NAME: &'static str = "kill";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        careless(run, role, (KILLED, RESUMED))
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        if run.phase() < KILLED {
            until_it_runs(client, run).await;
            let question = KillAgent(act(run, "it deletes files"));
            run.ask_until_route(client, "shop", &question, is_done).await;
            run.reach(KILLED);
        }
        run.reach(RESUMED);
        let question = ResumeAgent(act(run, "mended"));
        run.ask_until_route(client, "shop", &question, |route| route.paused.is_none())
            .await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "resumed");
        let attempt = history.last().map(|head| head.record.snapshot.attempt);
        let told = format!("{}: {:?}", run.intent(), events(history));
        assert!(events(history).contains(&"released"), "{told}");
        // The death of its worker burns one, and the kill none.
        assert!(
            attempt.is_some_and(|attempt| attempt <= 2),
            "{told}: attempt {attempt:?}"
        );
    }
}

/// Nothing of what ran before is committed from now on.
fn is_done(route: &Route) -> bool {
    route.paused.as_ref().is_some_and(|pause| pause.killed_at.is_some())
}

/// Waits until a worker has it, or somebody has ordered the kill: then nothing runs any more.
async fn until_it_runs(client: &Mesh, run: &Run) {
    let agent = run.agent("shop").parse().expect("agent name");
    run.eventually(&format!("{} runs", run.intent()), SOON * 3, async || {
        let head = client.head(&run.intent()).await.map_err(|error| error.to_string())?;
        let status = head.map(|head| head.record.snapshot.status.to_string());
        let route = client.route(&agent).await.map_err(|error| error.to_string())?;
        let is_ordered = route.is_some_and(|(route, _)| route.paused.is_some());
        let is_there = is_ordered || status.as_deref() == Some("in_progress");
        is_there.then_some(()).ok_or(format!("{status:?}"))
    })
    .await;
}
