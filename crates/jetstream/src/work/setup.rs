//! The work stream of an agent, and the consumers of its versions, created when a version first appears.

use async_nats::jetstream::consumer::pull;
use baton_envelope::{AgentName, AgentVersion, Bands};

use crate::error::Error;
use crate::server::Mesh;

impl Mesh {
    /// Creates the work stream of an agent and the consumers of one of its versions. Existing consumers stay as they
    /// are. A new consumer beside paused ones is created paused: a paused version stays paused.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn ensure_agent(&self, agent: &AgentName, version: &AgentVersion, bands: Bands) -> Result<(), Error> {
        self.ensure_stream(self.work_stream_config(agent, self.limits()))
            .await?;
        let stream = self.subjects().work_stream(agent);
        let mut pause_until = None;
        for band in bands.list() {
            let name = self.subjects().work_consumer(version, band);
            let found = self
                .context()
                .get_consumer_from_stream::<pull::Config, _, _>(&name, &stream)
                .await;
            if found.is_ok() {
                continue;
            }
            if pause_until.is_none() {
                pause_until = Some(self.pause_until(agent, version, bands).await);
            }
            let config = pull::Config {
                pause_until: pause_until.flatten(),
                ..self.work_consumer_config(agent, version, band)
            };
            self.context()
                .create_consumer_on_stream(config, &stream)
                .await
                .map_err(|error| Error::api(format!("creating consumer {name} on {stream}"), error))?;
        }
        Ok(())
    }
}
