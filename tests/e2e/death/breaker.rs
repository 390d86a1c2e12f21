//! An agent uses up its attempts until its breaker opens; one intent shows that it works again, and then the others go on.

use std::time::Duration;

use baton_agent::{AgentBuilder, Fault, Outcome, RetryPolicy};
use baton_e2e::chaos::events;
use baton_e2e::death::{Pattern, Run};
use baton_envelope::IntentId;
use baton_envelope::control::RedriveIntent;
use baton_jetstream::{Head, Mesh};

use super::completed_with;

/// How far the client is: it has seen the breaker open, and the agent works again.
const OPEN: usize = 1;
const CURED: usize = 2;
/// How long to wait for the breaker before one more intent shows that the agent does not work.
const SOON: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(50);

/// Three hops in a row use up their only attempt.
pub(crate) struct Breaks;

impl Pattern for Breaks {
    const NAME: &'static str = "breaker";
    const ROLES: &'static [&'static str] = &["fragile"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        let builder = run.scripted(role, |hop, run| {
            Box::pin(async move {
                if run.phase() < CURED {
                    return Err(Fault::retry("out of order"));
                }
                run.step(hop, "done").await?;
                Outcome::complete(&"well")
            })
        });
        builder.retry(RetryPolicy {
            max_attempts: 1,
            ..RetryPolicy::default()
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        if run.phase() < OPEN {
            until_open(client, run).await;
            run.reach(OPEN);
        }
        run.submit(client, "fragile", |_| {}).await;
        run.reach(CURED);
        // What waits goes first: the breaker lets one intent through, and no parked one waits.
        for intent in [run.intent()].into_iter().chain(run.intents()) {
            until_done(client, run, &intent).await;
        }
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "well");
        let first = history.first().expect("a record");
        if first.record.intent != run.intent() {
            return;
        }
        let of_worker = history.iter().find(|head| head.record.by.role.name() == "worker");
        let began = of_worker.and_then(|head| head.stored_at).expect("a worker had it");
        if let Some(until) = run.noted("open until") {
            assert!(
                began >= until,
                "{}: began at {began}, the breaker was open until {until}: {:?}",
                run.intent(),
                events(history)
            );
        }
    }
}

/// Sends work that fails until the breaker is open.
async fn until_open(client: &Mesh, run: &Run) {
    for number in 1.. {
        let intent = run.another(&number.to_string());
        run.submit_as(client, "fragile", intent.clone(), |_| {}).await;
        run.until_is(client, &intent, &["parked"]).await;
        if number >= 3 && is_open_soon(client, run).await {
            return;
        }
        assert!(number < 12, "{}: the breaker does not open", run.intent());
    }
}

async fn is_open_soon(client: &Mesh, run: &Run) -> bool {
    let (agent, version) = (
        run.agent("fragile").parse().expect("agent name"),
        "1.0.0".parse().expect("version"),
    );
    let open = run.eventually("the breaker is open", LONG, async || {
        let since = tokio::time::Instant::now();
        while since.elapsed() < SOON {
            let found = client.breaker(&agent, &version).await;
            let found = found.map_err(|error| error.to_string())?;
            let route = client.route(&agent).await.map_err(|error| error.to_string())?;
            let is_told = route.is_some_and(|(route, _)| route.is_withheld(&version));
            if let Some((breaker, _)) = found.filter(|(breaker, _)| breaker.withholds() && is_told) {
                return Ok(Some(breaker));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(None)
    });
    let Some(breaker) = open.await else { return false };
    if let Some(until) = breaker.until {
        run.note("open until", until);
    }
    true
}

/// Waits until an intent is completed; puts it back where the death of its worker has used up its attempts.
async fn until_done(client: &Mesh, run: &Run, intent: &IntentId) {
    let question = RedriveIntent {
        intent: intent.clone(),
        version: None,
        max_hops: None,
        by: "test".to_owned(),
    };
    loop {
        let head = run.until_is(client, intent, &["parked", "completed"]).await;
        if head.record.snapshot.status.is_terminal() {
            return;
        }
        let is_back = |now: &Head| now.seq > head.seq;
        run.ask_until_head(client, intent, &question, is_back).await;
    }
}
