//! The work stream of an agent, and the consumers of its versions, created when a version first appears.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use baton_envelope::{AgentName, AgentVersion, Band, Bands};

use crate::error::Error;
use crate::server::Mesh;

/// How long the broker waits for a sign of life before it delivers a ticket to another worker.
pub const ACK_WAIT: Duration = Duration::from_secs(10);

/// How many tickets of one consumer may be delivered and unacked at once; the broker stops delivering at this number.
/// Wide, because slots bound the flow and delayed retries count too.
const MAX_ACK_PENDING: i64 = 100_000;

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

    /// A consumer of an agent's work stream, as it should be.
    pub(super) fn work_consumer_config(&self, agent: &AgentName, version: &AgentVersion, band: Band) -> pull::Config {
        pull::Config {
            durable_name: Some(self.subjects().work_consumer(version, band)),
            filter_subjects: self.subjects().work_band(agent, version, band),
            ack_policy: AckPolicy::Explicit,
            deliver_policy: DeliverPolicy::All,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: MAX_ACK_PENDING,
            // Idle workers keep one pull waiting for each band: this limit must not bound the size of a fleet.
            max_waiting: 8192,
            ..pull::Config::default()
        }
    }
}
