//! The smallest agent: takes a text, gives it back in capitals.
//!
//! Run `baton dev` in one terminal and `cargo run -p baton-examples --bin shout` in another, then:
//! `nats pub mesh.intent.shout 'hello'`.

use baton_agent::{Agent, Fault, Handler, Hop, Outcome, shutdown_signal};
use baton_jetstream::Target;

struct Shout;

impl Handler for Shout {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, text: String) -> Result<Outcome, Fault> {
        // Recorded: should this process die before the hop is committed, the next one reuses the result.
        let loud = hop
            .step("shout", || async { Ok::<_, Fault>(text.to_uppercase()) })
            .await?;
        Outcome::complete(&loud)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = std::env::var("BATON_SERVER").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let mesh = Target::at(server).connect().await?;
    let worker = Agent::builder("shout", "1.0.0")?
        .handler(Shout)
        .capability("text")
        .bind(&mesh)
        .await?;
    worker.run_until(shutdown_signal()).await?;
    Ok(())
}
