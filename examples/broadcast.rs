//! One message for three agents in one process: each that listens to the channel gets one copy, with its own attempts and its own
//! end, and the message completes when all of them have.
//!
//! Run `baton dev` in one terminal and this in another: `cargo run -p baton-examples --bin broadcast`.
//! `examples/shell/broadcast.sh` does it with plain programs and an operator.

use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_jetstream::{ChannelMessage, Head, Mesh, Target, WaitEnd};

/// Who listens.
const LISTENERS: [&str; 3] = ["diary", "radio", "weather"];
const CHANNEL: &str = "news";
/// How long a controller may take to hear of them.
const START: Duration = Duration::from_secs(20);

struct Listener(&'static str);

impl Handler for Listener {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, news: String) -> Result<Outcome, Fault> {
        let noted = hop
            .step("note", || async { Ok::<_, Fault>(format!("{}: {news}", self.0)) })
            .await?;
        Outcome::complete(&noted)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = std::env::var("BATON_SERVER").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let mesh = Target::at(server).connect().await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut workers = Vec::new();
    for name in LISTENERS {
        let builder = Agent::builder(name, "1.0.0")?.handler(Listener(name)).channel(CHANNEL);
        let worker = builder.bind(&mesh).await?;
        let mut stopped = stopped.clone();
        workers.push(tokio::spawn(worker.run_until(async move {
            let _gone = stopped.wait_for(|stop| *stop).await;
        })));
    }
    tokio::time::timeout(START, until_known(&mesh)).await??;

    // The id makes it one message, however often it is published.
    let intent = mesh.clock().intent_id();
    let message = ChannelMessage {
        channel: CHANNEL.parse()?,
        intent: intent.clone(),
        body: "\"it rains\"".into(),
        kind: None,
        receivers: Vec::new(),
        headers: Vec::new(),
    };
    mesh.publish_to_channel(message).await?;
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

/// Waits until a controller has heard of all that listen. Who is not known then gets no copy.
async fn until_known(mesh: &Mesh) -> anyhow::Result<()> {
    loop {
        let routes = mesh.all_routes().await?;
        let is_known = |name: &&str| routes.iter().any(|route| route.agent.as_str() == *name);
        if LISTENERS.iter().all(is_known) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Prints how it went.
#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn show(head: &Head) {
    let snapshot = &head.record.snapshot;
    let result = snapshot.result.as_ref().map(|result| result.get()).unwrap_or_default();
    println!("{}: {result}", snapshot.status);
    println!("baton channels status {}", head.record.intent);
}
