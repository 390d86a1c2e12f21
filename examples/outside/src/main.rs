//! An agent in a repository of its own: takes a text, gives it back in capitals.
//!
//! `NATS_URL` says where the server is; without it, where `baton dev` runs one.

use baton_agent::{Agent, Fault, Handler, Hop, Outcome, shutdown_signal};
use baton_jetstream::Target;

struct Shouter;

impl Handler for Shouter {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, text: String) -> Result<Outcome, Fault> {
        let loud = hop.step("shout", || async { Ok::<_, Fault>(text.to_uppercase()) });
        Outcome::complete(&loud.await?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = std::env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    let mesh = Target::at(server).connect().await?;
    // The version of the agent is that of its package: a new build is a new version, which `baton rollout` brings in.
    let agent = Agent::builder("shouter", env!("CARGO_PKG_VERSION"))?;
    agent
        .handler(Shouter)
        .bind(&mesh)
        .await?
        .run_until(shutdown_signal())
        .await?;
    Ok(())
}
