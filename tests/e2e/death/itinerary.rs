//! Work that goes from agent to agent by its itinerary, and work that is split on the way.

use baton_agent::{AgentBuilder, Call, Called, Calls, Fault, Joined, Outcome};
use baton_e2e::chaos::{count, events};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::IntentId;
use baton_jetstream::{Head, Mesh};

use super::completed_with;

/// Two agents that do not know each other.
pub(super) struct Itinerary;

impl Pattern for Itinerary {
    const NAME: &'static str = "itinerary";
    const ROLES: &'static [&'static str] = &["write", "ship"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                run.step(hop, role).await?;
                let before: String = hop.payload().read().unwrap_or_default();
                Outcome::next(&format!("{before}{role}."))
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let next: baton_envelope::AgentName = run.agent("ship").parse().expect("a name");
        run.submit(client, "write", move |envelope| envelope.itinerary = vec![next.clone()])
            .await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "write.ship.");
    }
}

/// One agent asks three others and does not come back; the one after it gets what they came to.
pub(super) struct FanOut;

impl Pattern for FanOut {
    const NAME: &'static str = "fan-out";
    const ROLES: &'static [&'static str] = &["lead", "help", "report"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                match role {
                    "help" => Outcome::complete(&format!("{} is done", hop.payload().read::<String>()?)),
                    "report" => {
                        let joined: Joined = hop.payload().read()?;
                        let results: Result<Vec<String>, Fault> =
                            joined.children().iter().map(Called::result).collect();
                        Outcome::complete(&results?.join(", "))
                    }
                    _ => {
                        run.step(hop, "before").await?;
                        let help = run.agent("help");
                        let calls: Result<Vec<Call>, Fault> =
                            ["a", "b", "c"].iter().map(|work| Call::new(&help, work)).collect();
                        Outcome::fan_out(Calls::of(calls?)).then(&run.agent("report"))
                    }
                }
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let parent = run.intent();
        for index in 0..3 {
            run.also(IntentId::of_child(&parent, 1, "fan-out", index));
        }
        run.submit(client, "lead", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        if history.first().is_some_and(|head| head.record.intent != run.intent()) {
            let last = history.last().expect("a record");
            assert_eq!(last.record.snapshot.status.name(), "completed", "{:?}", events(history));
            return;
        }
        completed_with(run, history, "a is done, b is done, c is done");
        for event in ["fanned_out", "resumed", "handed_off"] {
            let found = count(history, event);
            assert_eq!(found, 1, "{}: {event} in {:?}", run.intent(), events(history));
        }
    }
}
