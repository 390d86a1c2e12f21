//! The floor that benchmarks compare with: a bare client program that does the least which a durable handoff of this
//! design can do. Pull, one guarded publish to a ledger, one publish to the next work stream, ack; nothing is decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Notify;

use crate::error::Error;
use crate::mesh::Mesh;

const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// A bare relay on streams of its own.
#[derive(Debug)]
pub struct Floor {
    context: Context,
    name: String,
    agents: usize,
    body: Bytes,
    done: Arc<AtomicUsize>,
    progress: Arc<Notify>,
    workers: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Floor {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

impl Floor {
    /// Makes the streams of `name` and starts one worker with `slots` for each of `agents` stages.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn start(mesh: &Mesh, name: &str, agents: usize, slots: usize, payload: usize) -> Result<Self, Error> {
        let context = mesh.context().clone();
        let failed = |error: &dyn std::fmt::Display| Error::api("floor", error);
        let ledger = Config {
            name: format!("{name}_LEDGER"),
            subjects: vec![format!("{name}.ledger.*")],
            discard: DiscardPolicy::New,
            republish: Some(Republish {
                source: format!("{name}.ledger.*"),
                destination: format!("{name}.event.{{{{wildcard(1)}}}}"),
                headers_only: false,
            }),
            ..Config::default()
        };
        context.create_stream(ledger).await.map_err(|error| failed(&error))?;
        let mut floor = Self {
            context: context.clone(),
            name: name.to_owned(),
            agents,
            body: Bytes::from(vec![b'x'; payload]),
            done: Arc::default(),
            progress: Arc::default(),
            workers: Vec::new(),
        };
        for stage in 0..agents {
            let stream = Config {
                name: format!("{name}_WORK_{stage}"),
                subjects: vec![format!("{name}.work.{stage}")],
                retention: RetentionPolicy::WorkQueue,
                discard: DiscardPolicy::New,
                ..Config::default()
            };
            let stream = context.create_stream(stream).await.map_err(|error| failed(&error))?;
            let config = pull::Config {
                durable_name: Some("w".to_owned()),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: 100_000,
                ..pull::Config::default()
            };
            let consumer = stream.create_consumer(config).await.map_err(|error| failed(&error))?;
            let messages = consumer
                .stream()
                .max_messages_per_batch(slots)
                .messages()
                .await
                .map_err(|error| failed(&error))?;
            floor
                .workers
                .push(tokio::spawn(floor.stage(stage).work(messages, slots)));
        }
        Ok(floor)
    }

    fn stage(&self, stage: usize) -> Stage {
        Stage {
            context: self.context.clone(),
            ledger: format!("{}.ledger", self.name),
            next: (stage + 1 < self.agents).then(|| format!("{}.work.{}", self.name, stage + 1)),
            done: Arc::clone(&self.done),
            progress: Arc::clone(&self.progress),
        }
    }

    /// Submits one intent: guarded at 0, then the ticket.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn submit(&self, intent: &str) -> Result<(), Error> {
        let seq = guarded(
            &self.context,
            format!("{}.ledger.{intent}", self.name),
            0,
            self.body.clone(),
        )
        .await?;
        ticket(
            &self.context,
            format!("{}.work.0", self.name),
            intent,
            seq,
            self.body.clone(),
        )
        .await
    }

    /// Submits one intent and waits until its last record comes by.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn submit_and_wait(&self, intent: &str) -> Result<(), Error> {
        let client = self.context.client();
        let events = client.subscribe(format!("{}.event.{intent}", self.name)).await;
        let mut events = events.map_err(|error| Error::api("floor", error))?;
        self.submit(intent).await?;
        for _ in 0..=self.agents {
            let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
            event.map_err(|_| Error::NoAnswer {
                what: "floor".to_owned(),
            })?;
        }
        Ok(())
    }

    /// Waits until so many intents have gone through.
    pub async fn wait_for(&self, count: usize) {
        loop {
            let progress = self.progress.notified();
            if self.done.load(Ordering::Acquire) >= count {
                return;
            }
            progress.await;
        }
    }
}

struct Stage {
    context: Context,
    ledger: String,
    next: Option<String>,
    done: Arc<AtomicUsize>,
    progress: Arc<Notify>,
}

impl Stage {
    async fn work(self, messages: pull::Stream, slots: usize) {
        messages
            .for_each_concurrent(slots, |message| async {
                let handled = match message {
                    Ok(message) => self.hop(&message).await,
                    Err(error) => Err(Error::api("floor", error)),
                };
                if let Err(error) = handled {
                    tracing::warn!(%error, "floor");
                }
            })
            .await;
    }

    async fn hop(&self, message: &jetstream::Message) -> Result<(), Error> {
        let headers = message.headers.as_ref();
        let text = |name: &str| {
            headers
                .and_then(|h| h.get(name))
                .map(|v| v.as_str().to_owned())
                .unwrap_or_default()
        };
        let (intent, expected) = (text("Intent"), text("Sequence").parse().unwrap_or(0));
        let seq = guarded(
            &self.context,
            format!("{}.{intent}", self.ledger),
            expected,
            message.payload.clone(),
        )
        .await?;
        if let Some(next) = &self.next {
            ticket(&self.context, next.clone(), &intent, seq, message.payload.clone()).await?;
        }
        message.ack().await.map_err(|error| Error::api("floor", error))?;
        if self.next.is_none() {
            self.done.fetch_add(1, Ordering::Release);
            self.progress.notify_waiters();
        }
        Ok(())
    }
}

async fn guarded(context: &Context, subject: String, expected: u64, body: Bytes) -> Result<u64, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED, expected.to_string());
    publish(context, subject, headers, body).await
}

async fn ticket(context: &Context, subject: String, intent: &str, seq: u64, body: Bytes) -> Result<(), Error> {
    let mut headers = HeaderMap::new();
    headers.insert("Intent", intent);
    headers.insert("Sequence", seq.to_string());
    publish(context, subject, headers, body).await.map(drop)
}

async fn publish(context: &Context, subject: String, headers: HeaderMap, body: Bytes) -> Result<u64, Error> {
    let message = PublishMessage::build().headers(headers).payload(body);
    let ack = context
        .send_publish(subject, message)
        .await
        .map_err(|error| Error::api("floor", error))?;
    ack.await
        .map(|ack| ack.sequence)
        .map_err(|error| Error::api("floor", error))
}
