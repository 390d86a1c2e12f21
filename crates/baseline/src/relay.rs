//! The bare relay: a ledger, a work stream for each stage, and the stages that empty them.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Republish, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Subject};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::client::{
    BATCH, INTENT_BYTES, SEQUENCE_BYTES, connect, guarded, intent, publish, subject_of, submit, ticket,
};
use crate::error::Error;
use crate::reads::{Objects, Reads};

/// How the stages of a baseline stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Each hands on to the next, the last one completes.
    Relay,
    /// Each completes; what is submitted goes to all in turns.
    Fleet,
    /// The first completes, the others do not work: what is left open waits there.
    Beside,
    /// None works: what is submitted waits.
    Waiting,
}

/// What a baseline consists of.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many stages: a work stream each.
    pub stages: usize,
    /// How they stand to each other.
    pub layout: Layout,
    /// How many hops each stage has under way at once.
    pub slots: usize,
    /// The payload in bytes.
    pub payload: usize,
    /// How many streams the ledger consists of; an intent's records are all in one of them.
    pub shards: usize,
    /// What each hop reads before its record, if anything.
    pub reads: Option<Reads>,
}

/// A bare relay on streams of its own.
#[derive(Debug)]
pub struct Baseline {
    pub(crate) context: Context,
    pub(crate) name: String,
    /// What the subjects of the ledger begin with.
    pub(crate) ledger: String,
    shape: Shape,
    work: Vec<Subject>,
    pub(crate) payload: Bytes,
    objects: Option<Objects>,
    workers: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Baseline {
    fn drop(&mut self) {
        for worker in &self.workers {
            worker.abort();
        }
    }
}

impl Baseline {
    /// Connects to the server at `url`, makes the streams of `name`, and starts the stages.
    ///
    /// # Errors
    /// When no server answers there, or it refuses.
    pub async fn start(url: &str, name: &str, shape: Shape) -> Result<Self, Error> {
        let context = jetstream::new(connect(url).await?);
        for shard in 0..shape.shards {
            let subjects = format!("{name}.ledger.{shard}.*");
            let ledger = Config {
                name: format!("{name}_LEDGER_{shard}"),
                subjects: vec![subjects.clone()],
                discard: DiscardPolicy::New,
                allow_direct: true,
                republish: Some(Republish {
                    source: subjects,
                    destination: format!("{name}.event.{{{{wildcard(1)}}}}"),
                    headers_only: false,
                }),
                ..Config::default()
            };
            context.create_stream(ledger).await.map_err(Error::failed)?;
        }
        let objects = match shape.reads {
            Some(reads) => Some(Objects::create(&context, name, reads).await?),
            None => None,
        };
        let mut baseline = Self {
            context,
            name: name.to_owned(),
            ledger: format!("{name}.ledger."),
            shape,
            work: (0..shape.stages)
                .map(|stage| format!("{name}.work.{stage}").into())
                .collect(),
            payload: Bytes::from(vec![b'x'; shape.payload]),
            objects,
            workers: Vec::new(),
        };
        for (stage, subject) in baseline.work.clone().into_iter().enumerate() {
            baseline.open(stage, subject).await?;
        }
        Ok(baseline)
    }

    async fn open(&mut self, stage: usize, subject: Subject) -> Result<(), Error> {
        let stream = Config {
            name: format!("{}_WORK_{stage}", self.name),
            subjects: vec![subject.to_string()],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        let stream = self.context.create_stream(stream).await.map_err(Error::failed)?;
        let config = pull::Config {
            durable_name: Some("w".to_owned()),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 100_000,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(Error::failed)?;
        let next = match self.shape.layout {
            Layout::Waiting => return Ok(()),
            Layout::Beside if stage > 0 => return Ok(()),
            Layout::Beside | Layout::Fleet => None,
            Layout::Relay => self.work.get(stage + 1).cloned(),
        };
        let messages = consumer.stream().max_messages_per_batch(BATCH).messages();
        let messages = messages.await.map_err(Error::failed)?;
        let stage = Stage {
            client: self.context.client(),
            ledger: self.ledger.clone(),
            shards: self.shape.shards,
            objects: self.objects.clone(),
            next,
        };
        self.workers.push(tokio::spawn(stage.work(messages, self.shape.slots)));
        Ok(())
    }

    /// The work streams that are emptied, in the order in which an intent passes them.
    pub fn work_streams(&self) -> Vec<String> {
        let working = match self.shape.layout {
            Layout::Beside => 1,
            Layout::Relay | Layout::Fleet | Layout::Waiting => self.shape.stages,
        };
        (0..working)
            .map(|stage| format!("{}_WORK_{stage}", self.name))
            .collect()
    }

    /// The streams of the ledger.
    pub fn ledger_streams(&self) -> Vec<String> {
        let shards = 0..self.shape.shards;
        shards.map(|shard| format!("{}_LEDGER_{shard}", self.name)).collect()
    }

    /// Stores what the hops of an intent are to read, before it is submitted. Nothing where they read nothing.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn store_reads(&self, number: u64) -> Result<(), Error> {
        match &self.objects {
            Some(objects) => objects.put(number).await,
            None => Ok(()),
        }
    }

    /// Submits one intent: guarded at 0, then the ticket.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn submit(&self, number: u64) -> Result<(), Error> {
        let stage = match self.shape.layout {
            Layout::Fleet => usize::try_from(number).unwrap_or_default() % self.shape.stages.max(1),
            Layout::Relay | Layout::Beside | Layout::Waiting => 0,
        };
        self.submit_to(stage, number).await
    }

    /// Submits one intent for the second stage, which does not work when it stands beside the first.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn leave_open(&self, number: u64) -> Result<(), Error> {
        self.submit_to(1, number).await
    }

    async fn submit_to(&self, stage: usize, number: u64) -> Result<(), Error> {
        self.submit_as(&intent(number), stage).await
    }

    async fn submit_as(&self, intent: &str, stage: usize) -> Result<(), Error> {
        let client = self.context.client();
        let ledger = subject_of(&self.ledger, intent.as_bytes(), self.shape.shards);
        submit(&client, ledger, intent, self.entry(stage)?, &self.payload).await
    }

    /// The subject of a stage's tickets.
    pub(crate) fn entry(&self, stage: usize) -> Result<Subject, Error> {
        let subject = self.work.get(stage).cloned();
        subject.ok_or_else(|| Error::failed(format!("there is no stage {stage}")))
    }

    /// Stops the stages and deletes the streams.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn remove(&self) -> Result<(), Error> {
        let work = (0..self.shape.stages).map(|stage| format!("{}_WORK_{stage}", self.name));
        let objects = self.objects.iter().map(|objects| objects.stream().to_owned());
        let streams: Vec<String> = self.ledger_streams().into_iter().chain(work).chain(objects).collect();
        for worker in &self.workers {
            worker.abort();
        }
        for stream in streams {
            self.context.delete_stream(stream).await.map_err(Error::failed)?;
        }
        Ok(())
    }

    /// Submits one intent and waits until its last record comes by.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn submit_and_wait(&self, number: u64) -> Result<(), Error> {
        let client = self.context.client();
        let intent = intent(number);
        let events = client.subscribe(format!("{}.event.{intent}", self.name)).await;
        let mut events = events.map_err(Error::failed)?;
        self.submit_as(&intent, 0).await?;
        // Its submission comes by too, and each stage's record; the last of them is the end.
        for _ in 0..=self.shape.stages {
            let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
            event.ok().flatten().ok_or(Error::NoEnd)?;
        }
        Ok(())
    }
}

struct Stage {
    client: Client,
    ledger: String,
    shards: usize,
    objects: Option<Objects>,
    next: Option<Subject>,
}

impl Stage {
    async fn work(self, messages: pull::Stream, slots: usize) {
        messages
            .for_each_concurrent(slots, |message| async {
                let handled = match message {
                    Ok(message) => self.hop(&message).await,
                    Err(error) => Err(Error::failed(error)),
                };
                if let Err(error) = handled {
                    tracing::warn!(%error, "baseline");
                }
            })
            .await;
    }

    async fn hop(&self, message: &jetstream::Message) -> Result<(), Error> {
        let mut rest = message.payload.clone();
        if rest.len() < SEQUENCE_BYTES + INTENT_BYTES {
            return Err(Error::failed("a ticket is too short"));
        }
        let mut sequence = [0; SEQUENCE_BYTES];
        sequence.copy_from_slice(&rest.split_to(SEQUENCE_BYTES));
        let intent = rest.split_to(INTENT_BYTES);
        let subject = subject_of(&self.ledger, &intent, self.shards);
        let expected = u64::from_be_bytes(sequence);
        if let Some(objects) = &self.objects {
            objects.get(&intent).await?;
        }
        let seq = guarded(&self.client, subject, expected, rest.clone()).await?;
        if let Some(next) = &self.next {
            publish(&self.client, next.clone(), None, ticket(seq, &intent, &rest)).await?;
        }
        message.ack().await.map_err(Error::failed)
    }
}
