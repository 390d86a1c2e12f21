//! The work stream of an agent, and the consumers of its versions, created when a version first appears.

use async_nats::jetstream::consumer::{IntoConsumerConfig as _, pull};
use baton_envelope::{AgentName, AgentVersion, Bands};

use crate::error::Error;
use crate::server::Mesh;

impl Mesh {
    /// Creates the work stream of an agent and the consumers of one of its versions. Existing consumers stay as they
    /// are. A new consumer of a version that the route holds back is created paused, and so is one beside paused ones.
    ///
    /// # Errors
    /// [`Error::Unmade`] where this user may not create them, or when the server refuses.
    pub async fn ensure_agent(&self, agent: &AgentName, version: &AgentVersion, bands: Bands) -> Result<(), Error> {
        self.ensure_stream(self.work_stream_config(agent, self.limits()))
            .await?;
        let mut pause_until = None;
        for band in bands.list() {
            let name = self.subjects().work_consumer(version, band);
            match self.consumer(agent, &name).await {
                Ok(Some(_)) => continue,
                Ok(None) => {}
                // Whoever may not ask finds out when it makes the consumer.
                Err(error) => tracing::debug!(%error, consumer = name, "whether the consumer is there is not known"),
            }
            if pause_until.is_none() {
                pause_until = Some(self.pause_of_new(agent, version, bands).await);
            }
            let config = pull::Config {
                pause_until: pause_until.flatten(),
                ..self.work_consumer_config(agent, version, band)
            };
            self.create_consumer(agent, &name, config).await?;
        }
        Ok(())
    }

    async fn create_consumer(&self, agent: &AgentName, name: &str, config: pull::Config) -> Result<(), Error> {
        let stream = self.subjects().work_stream(agent);
        let request = serde_json::json!({ "stream_name": stream, "config": config.into_consumer_config() });
        let what = format!("CONSUMER.CREATE.{stream}.{name}");
        match self.ask::<serde::de::IgnoredAny>(&what, &request).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(refusal)) => Err(Error::api(format!("creating consumer {name} on {stream}"), refusal)),
            Err(Error::Denied { .. }) => Err(Error::Unmade {
                what: format!("consumer {name} of stream {stream}"),
            }),
            Err(error) => Err(error),
        }
    }
}
