//! A supervisor in one process: `supervisor` asks three searchers about a topic, sleeps without holding anything, and goes on
//! when two have found something; the third is cancelled.
//!
//! Run `baton dev` in one terminal and this in another: `cargo run -p baton-examples --bin supervisor`.
//! `examples/agents/supervisor.py` does it in Python, and does not come back: another agent gets what was found.

use std::time::Duration;

use baton_agent::{Agent, Call, Called, Calls, Fault, Handler, Hop, Outcome, Wait};
use baton_envelope::{Author, Envelope, Json, Role};
use baton_jetstream::{Head, Target, WaitEnd};
use serde::{Deserialize, Serialize};

/// How long the supervisor waits for what it asks for.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    topic: String,
    places: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Report {
    found: Vec<String>,
    missing: usize,
}

struct Supervisor;

impl Handler for Supervisor {
    type Input = Question;

    async fn handle(&self, hop: &mut Hop, question: Question) -> Result<Outcome, Fault> {
        // While the searchers work this handler does not run. It runs again from here when they have ended, and what is in a
        // step is not done a second time.
        let topic = hop
            .step("agree", || async { Ok::<_, Fault>(question.topic.to_uppercase()) })
            .await?;
        let search = |place: &String| Call::new("searcher", &(&topic, place));
        let calls = question.places.iter().map(search).collect::<Result<Vec<_>, _>>()?;
        let calls = Calls::of(calls).named("search").at_least(2).within(PATIENCE);
        let joined = hop.join(calls).await?;
        let found = joined
            .completed()
            .map(Called::result)
            .collect::<Result<Vec<String>, _>>()?;
        let missing = joined.children().len().saturating_sub(found.len());
        Outcome::complete(&Report { found, missing })
    }
}

struct Searcher;

impl Handler for Searcher {
    type Input = (String, String);

    async fn handle(&self, hop: &mut Hop, (topic, place): (String, String)) -> Result<Outcome, Fault> {
        if place == "the moon" {
            hop.wait(Wait::signal("landed")).await?;
        }
        Outcome::complete(&format!("{topic} live in {place}"))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = std::env::var("BATON_SERVER").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let mesh = Target::at(server).connect().await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut workers = Vec::new();
    for builder in [
        Agent::builder("searcher", "1.0.0")?.handler(Searcher),
        Agent::builder("supervisor", "1.0.0")?.handler(Supervisor),
    ] {
        let worker = builder.bind(&mesh).await?;
        let mut stopped = stopped.clone();
        workers.push(tokio::spawn(worker.run_until(async move {
            let _gone = stopped.wait_for(|stop| *stop).await;
        })));
    }

    let payload = Json::of(&Question {
        topic: "otters".to_owned(),
        places: ["rivers", "the moon", "the sea"].map(str::to_owned).to_vec(),
    })?;
    let intent = mesh.clock().intent_id();
    let envelope = Envelope::first(
        mesh.clock().envelope_id(),
        intent.clone(),
        "supervisor".parse()?,
        payload,
    );
    let by = Author::of(Role::Client, "supervisor-example");
    // A controller makes the routes when it hears the first heartbeats: moments after the workers were bound.
    mesh.submit_when_known(envelope, by, Duration::from_secs(10)).await?;
    match mesh.wait(&intent, Duration::from_secs(60)).await? {
        WaitEnd::Ended(head) => show(&head),
        WaitEnd::Parked(head) => anyhow::bail!("parked: {}", head.record.snapshot.status),
        WaitEnd::TimedOut(_) => anyhow::bail!("no end within a minute"),
    }
    stop.send(true)?;
    for worker in workers {
        worker.await??;
    }
    Ok(())
}

/// Prints how it went.
#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn show(head: &Head) {
    let snapshot = &head.record.snapshot;
    let result = snapshot.result.as_ref().map(Json::get).unwrap_or_default();
    println!("{}: {result}", snapshot.status);
    println!("baton intents tree {}", head.record.intent);
}
