//! A message of a channel for two receivers, from outside and by a hop.

use baton_agent::{AgentBuilder, Outcome};
use baton_e2e::chaos::{count, events};
use baton_e2e::death::{Pattern, Run};
use baton_envelope::{IntentId, RECEIVERS};
use baton_jetstream::{ChannelMessage, Head, Mesh};

use super::SHORT;

/// Each receiver gets one copy, and the message completes once.
pub(super) struct ToTwo;

impl Pattern for ToTwo {
    const NAME: &'static str = "broadcast";
    const ROLES: &'static [&'static str] = &["ada", "bob"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                run.step(hop, role).await?;
                Outcome::complete(&role)
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.also(run.intent());
        copies_of(run, 0).for_each(|copy| run.also(copy));
        for role in Self::ROLES {
            let agent = run.agent(role).parse().expect("agent name");
            run.eventually(&format!("{agent} is known"), 100 * SHORT, async || {
                match client.route(&agent).await {
                    Ok(Some(_)) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
        let receivers = Self::ROLES
            .iter()
            .map(|role| run.agent(role).parse().expect("agent name"));
        let message = ChannelMessage {
            channel: "news".parse().expect("channel"),
            intent: run.intent(),
            body: "\"rain\"".into(),
            kind: None,
            receivers: receivers.collect(),
            headers: Vec::new(),
        };
        run.eventually(&format!("{} is published", run.intent()), 100 * SHORT, async || {
            let stored = client.publish_to_channel(message.clone()).await;
            stored.map(drop).map_err(|error| error.to_string())
        })
        .await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        let last = &history.last().expect("a record").record;
        assert_eq!(last.snapshot.status.name(), "completed", "{:?}", events(history));
        let begun = count(history, "submitted");
        assert_eq!(begun, 1, "{}: {:?}", last.intent, events(history));
        if last.intent == run.intent() {
            let result = last.snapshot.result.as_ref().map(|result| result.get().to_owned());
            let told = result.unwrap_or_default();
            assert!(told.contains(r#""receivers":2,"completed":2"#), "{told}");
        }
    }
}

/// The copies of a message; from outside it is of hop 0.
fn copies_of(run: &Run, hop: u32) -> impl Iterator<Item = IntentId> {
    let root = run.intent();
    (0..2).map(move |index| IntentId::of_child(&root, hop, RECEIVERS, index))
}

/// A hop ends with a message; each receiver gets one copy, and the intent completes once.
pub(super) struct ByHop;

impl Pattern for ByHop {
    const NAME: &'static str = "hop-broadcast";
    const ROLES: &'static [&'static str] = &["crier", "ada", "bob"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                run.step(hop, role).await?;
                if role != "crier" {
                    return Outcome::complete(&role);
                }
                let (ada, bob) = (run.agent("ada"), run.agent("bob"));
                Outcome::broadcast("news", &"rain")?.to_receivers([ada.as_str(), bob.as_str()])
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        copies_of(run, 1).for_each(|copy| run.also(copy));
        run.submit(client, "crier", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        ToTwo.judge(run, history);
        if history.first().is_some_and(|head| head.record.intent == run.intent()) {
            let fixed = history.iter().filter(|head| head.record.broadcast.is_some()).count();
            assert_eq!(fixed, 1, "{}: {:?}", run.intent(), events(history));
        }
    }
}
