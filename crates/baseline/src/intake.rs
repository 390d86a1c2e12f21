//! The bare way in through an intake: publish to a work queue, pull, guarded publish, ticket, ack.

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::{Client, Subject};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::client::{BATCH, connect, intent, publish, subject_of, submit};
use crate::error::Error;
use crate::relay::{Baseline, Layout, Shape};

/// A bare intake with its router, in front of a baseline that does not work.
#[derive(Debug)]
pub struct IntakeBaseline {
    relay: Baseline,
    client: Client,
    subject: Subject,
    router: tokio::task::JoinHandle<()>,
}

impl Drop for IntakeBaseline {
    fn drop(&mut self) {
        self.router.abort();
    }
}

impl IntakeBaseline {
    /// Makes the streams of `name` and starts a router that has `slots` submissions under way at once. Publisher and
    /// router have a connection each, as two programs have.
    ///
    /// # Errors
    /// When no server answers at `url`, or it refuses.
    pub async fn start(url: &str, name: &str, slots: usize, payload: usize) -> Result<Self, Error> {
        let shape = Shape {
            stages: 1,
            layout: Layout::Waiting,
            slots,
            payload,
            shards: 1,
            reads: None,
        };
        let relay = Baseline::start(url, name, shape).await?;
        let stream = Config {
            name: format!("{name}_INTAKE"),
            subjects: vec![format!("{name}.intent.*")],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let stream = relay.context.create_stream(stream).await.map_err(Error::failed)?;
        let config = pull::Config {
            durable_name: Some("router".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 10_000,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(Error::failed)?;
        let messages = consumer.stream().max_messages_per_batch(BATCH).messages();
        let messages = messages.await.map_err(Error::failed)?;
        let router = Router {
            client: relay.context.client(),
            ledger: relay.ledger.clone(),
            work: relay.entry(0)?,
        };
        Ok(Self {
            client: connect(url).await?,
            subject: format!("{name}.intent.0").into(),
            router: tokio::spawn(router.route(messages, slots)),
            relay,
        })
    }

    /// Publishes one raw intent and waits until it is stored in the intake.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn publish(&self) -> Result<(), Error> {
        let payload = self.relay.payload.clone();
        publish(&self.client, self.subject.clone(), None, payload)
            .await
            .map(drop)
    }

    /// Stops the router and deletes the streams.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn remove(&self) -> Result<(), Error> {
        self.router.abort();
        let intake = self.intake_stream();
        self.relay.context.delete_stream(intake).await.map_err(Error::failed)?;
        self.relay.remove().await
    }

    /// The stream of the intake.
    pub fn intake_stream(&self) -> String {
        format!("{}_INTAKE", self.relay.name)
    }

    /// The stream of the tickets.
    pub fn work_stream(&self) -> String {
        format!("{}_WORK_0", self.relay.name)
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
                    Err(error) => Err(Error::failed(error)),
                };
                if let Err(error) = routed {
                    tracing::warn!(%error, "baseline");
                }
            })
            .await;
    }

    async fn take_in(&self, message: &jetstream::Message) -> Result<(), Error> {
        // The id comes from the sequence in the intake, so that a redelivery is the same intent.
        let number = message.info().map_err(Error::failed)?.stream_sequence;
        let payload: &Bytes = &message.payload;
        let intent = intent(number);
        let ledger = subject_of(&self.ledger, intent.as_bytes(), 1);
        submit(&self.client, ledger, &intent, self.work.clone(), payload).await?;
        message.ack().await.map_err(Error::failed)
    }
}
