//! Work with one key, in the order in which it was published.

use baton_agent::{AgentBuilder, Outcome};
use baton_e2e::chaos::events;
use baton_e2e::death::{Pattern, Run};
use baton_envelope::{HEADER_INTENT, HEADER_ORDER_KEY};
use baton_jetstream::{Head, Mesh};

use super::{SHORT, completed_with};

/// The first of the two is done.
const FIRST: usize = 1;

/// Two raw messages with one key: the second has its turn when the first has ended.
pub(super) struct Ordered;

impl Pattern for Ordered {
    const NAME: &'static str = "ordered";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, |hop, run| {
            Box::pin(async move {
                if hop.envelope().intent != run.intent() {
                    tokio::time::sleep(SHORT).await;
                    run.reach(FIRST);
                    return Outcome::complete(&"first");
                }
                run.step(hop, "second").await?;
                match run.phase() >= FIRST {
                    true => Outcome::complete(&"in order"),
                    false => Outcome::complete(&"too early"),
                }
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let subject = format!("mesh.intent.{}", run.agent("shop"));
        for id in [run.another("first"), run.intent()] {
            run.also(id.clone());
            let headers = [(HEADER_INTENT, id.as_str()), (HEADER_ORDER_KEY, "customer 7")];
            let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned()));
            run.eventually(&format!("{id} is published"), 30 * SHORT, async || {
                let published = client.publish_raw(subject.clone(), headers.to_vec(), "1".into()).await;
                published.map(drop).map_err(|error| error.to_string())
            })
            .await;
        }
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        let is_second = history.iter().all(|head| head.record.intent == run.intent());
        completed_with(run, history, if is_second { "in order" } else { "first" });
        assert_eq!(
            events(history)[..3],
            ["submitted", "placed", "resumed"],
            "{}",
            run.intent()
        );
    }
}
