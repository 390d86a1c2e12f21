//! A relay in one process: `research` hands to `code`, `code` hands to `qa`, `qa` completes. The payload is a typed
//! value that grows on the way; `code` fails its first attempt to show a retry.
//!
//! Run `baton dev` in one terminal and this in another: `cargo run -p baton-examples --bin relay`.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome, RetryPolicy};
use baton_envelope::{Author, Envelope, Json, Role};
use baton_jetstream::{Head, Target, WaitEnd};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Feature {
    topic: String,
    #[serde(default)]
    findings: Vec<String>,
    #[serde(default)]
    source: Option<String>,
}

struct Research;

impl Handler for Research {
    type Input = Feature;

    async fn handle(&self, hop: &mut Hop, mut feature: Feature) -> Result<Outcome, Fault> {
        hop.progress("reading").await?;
        feature.findings.push(format!("{} are playful", feature.topic));
        Ok(Outcome::hand_off("code", &feature)?.with_note("one finding"))
    }
}

struct Code;

impl Handler for Code {
    type Input = Feature;

    async fn handle(&self, hop: &mut Hop, mut feature: Feature) -> Result<Outcome, Fault> {
        let source = hop
            .step("write", || async { Ok::<_, Fault>("fn play() {}".to_owned()) })
            .await?;
        if hop.attempt() == 1 {
            // Any error through `?` does the same: the next attempt reuses the step that is recorded.
            return Err(Fault::retry("the compiler is busy"));
        }
        feature.source = Some(source);
        Outcome::hand_off("qa", &feature)
    }
}

struct Qa;

impl Handler for Qa {
    type Input = Feature;

    async fn handle(&self, _hop: &mut Hop, feature: Feature) -> Result<Outcome, Fault> {
        if feature.source.is_none() {
            return Err(Fault::terminal("NO_SOURCE", "there is nothing to test"));
        }
        Outcome::complete(&feature)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = std::env::var("BATON_SERVER").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let mesh = Target::at(server).connect().await?;
    let retry = RetryPolicy {
        unit: Duration::from_millis(100),
        ..RetryPolicy::default()
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut workers = Vec::new();
    for builder in [
        Agent::builder("research", "1.0.0")?.handler(Research),
        Agent::builder("code", "1.0.0")?.handler(Code).retry(retry),
        Agent::builder("qa", "1.0.0")?.handler(Qa),
    ] {
        let worker = builder.bind(&mesh).await?;
        let mut stopped = stopped.clone();
        workers.push(tokio::spawn(worker.run_until(async move {
            let _gone = stopped.wait_for(|stop| *stop).await;
        })));
    }

    let payload = Json::of(&Feature {
        topic: "otters".to_owned(),
        findings: Vec::new(),
        source: None,
    })?;
    let intent = mesh.clock().intent_id();
    let envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), "research".parse()?, payload);
    let by = Author::of(Role::Client, "relay-example");
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

/// Prints how the intent went.
#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn show(head: &Head) {
    let snapshot = &head.record.snapshot;
    let path: Vec<String> = snapshot
        .path
        .iter()
        .map(|entry| format!("{}@{}", entry.agent, entry.version))
        .collect();
    println!("{} by {}: {:?}", snapshot.status, path.join(" -> "), snapshot.result);
}
