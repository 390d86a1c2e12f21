//! The floor of the way in through an intake: publish to a work queue, pull, guarded publish, ticket, ack.

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::{Client, Subject};
use bytes::Bytes;
use futures::StreamExt as _;

use super::{BATCH, Floor, Layout, Shape, failed, intent, publish, subject_of, submit};
use crate::error::Error;
use crate::mesh::Mesh;

/// A bare intake with its router, in front of a floor that does not work.
#[derive(Debug)]
pub struct IntakeFloor {
    floor: Floor,
    client: Client,
    subject: Subject,
    router: tokio::task::JoinHandle<()>,
}

impl Drop for IntakeFloor {
    fn drop(&mut self) {
        self.router.abort();
    }
}

impl IntakeFloor {
    /// Makes the streams of `name` and starts a router that has `slots` submissions under way at once. Publisher and
    /// router have a connection each, as two programs have.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn start(
        publisher: &Mesh,
        router: &Mesh,
        name: &str,
        slots: usize,
        payload: usize,
    ) -> Result<Self, Error> {
        let shape = Shape {
            stages: 1,
            layout: Layout::Waiting,
            slots,
            payload,
            shards: 1,
        };
        let floor = Floor::start(router, name, shape).await?;
        let stream = Config {
            name: format!("{name}_INTAKE"),
            subjects: vec![format!("{name}.intent.*")],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let stream = floor.context.create_stream(stream).await.map_err(failed)?;
        let config = pull::Config {
            durable_name: Some("router".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 10_000,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(failed)?;
        let messages = consumer.stream().max_messages_per_batch(BATCH).messages();
        let messages = messages.await.map_err(failed)?;
        let router = Router {
            client: floor.context.client(),
            ledger: floor.ledger.clone(),
            work: floor.entry(0)?,
        };
        Ok(Self {
            client: publisher.client().clone(),
            subject: format!("{name}.intent.0").into(),
            router: tokio::spawn(router.route(messages, slots)),
            floor,
        })
    }

    /// Publishes one raw intent and waits until it is stored in the intake.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn publish(&self) -> Result<(), Error> {
        let payload = self.floor.payload.clone();
        publish(&self.client, self.subject.clone(), None, payload)
            .await
            .map(drop)
    }

    /// The stream of the intake.
    pub fn intake_stream(&self) -> String {
        format!("{}_INTAKE", self.floor.name)
    }

    /// The stream of the tickets.
    pub fn work_stream(&self) -> String {
        format!("{}_WORK_0", self.floor.name)
    }
}

struct Router {
    client: Client,
    ledger: String,
    work: Subject,
}

impl Router {
    async fn route(self, messages: pull::Stream, slots: usize) {
        messages
            .for_each_concurrent(slots, |message| async {
                let routed = match message {
                    Ok(message) => self.take_in(&message).await,
                    Err(error) => Err(failed(error)),
                };
                if let Err(error) = routed {
                    tracing::warn!(%error, "floor");
                }
            })
            .await;
    }

    async fn take_in(&self, message: &jetstream::Message) -> Result<(), Error> {
        // The id comes from the sequence in the intake, so that a redelivery is the same intent.
        let number = message.info().map_err(failed)?.stream_sequence;
        let payload: &Bytes = &message.payload;
        let intent = intent(number);
        let ledger = subject_of(&self.ledger, intent.as_bytes(), 1);
        submit(&self.client, ledger, &intent, self.work.clone(), payload).await?;
        message.ack().await.map_err(failed)
    }
}
