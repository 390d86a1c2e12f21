//! When a measurement is over: the same question to the server for Baton and for its baseline.

use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::{connect, connect_as};
use crate::error::Error;

/// The pause between two looks; what is measured takes seconds.
const LOOK: Duration = Duration::from_millis(2);

/// A connection that looks on, of neither side.
#[derive(Debug)]
pub struct Observer {
    client: Client,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(default)]
    state: State,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct State {
    messages: u64,
    last_seq: u64,
}

impl Observer {
    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// When no server answers there.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let client = connect(url).await?;
        Ok(Self { client })
    }

    /// As [`Observer::connect`], as a user of a server with accounts.
    ///
    /// # Errors
    /// When the server is not reachable, or does not let the user in.
    pub async fn connect_with(url: &str, seed: &str) -> Result<Self, Error> {
        let client = connect_as(url, seed).await?;
        Ok(Self { client })
    }

    /// Waits until each of some work queues is empty, one after the other.
    ///
    /// In the order in which intents pass them, and once nothing more is submitted, this is the end of all of them: a
    /// ticket leaves its stream when it is acked, it is acked when its hop is committed, and the ticket that follows from
    /// it was written before.
    ///
    /// # Errors
    /// When the server does not answer, or a stream is not empty within `patience`.
    pub async fn until_empty(&self, streams: &[String], patience: Duration) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + patience;
        for stream in streams {
            loop {
                let left = self.held_in(stream).await?;
                if left == 0 {
                    break;
                }
                if tokio::time::Instant::now() > until {
                    let problem = format!("{left} messages stay in {stream} after {patience:?}");
                    return Err(Error::failed(problem));
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// How many messages a stream holds.
    ///
    /// # Errors
    /// When there is no such stream, or the server does not answer.
    pub async fn held_in(&self, stream: &str) -> Result<u64, Error> {
        Ok(self.state(stream).await?.messages)
    }

    /// The sequence of the last message that a stream has stored.
    ///
    /// # Errors
    /// When there is no such stream, or the server does not answer.
    pub async fn stored_in(&self, stream: &str) -> Result<u64, Error> {
        Ok(self.state(stream).await?.last_seq)
    }

    async fn state(&self, stream: &str) -> Result<State, Error> {
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let reply = self
            .client
            .request(subject, Bytes::new())
            .await
            .map_err(Error::failed)?;
        let info: Info<'_> = serde_json::from_slice(&reply.payload).map_err(Error::failed)?;
        match info.error {
            None => Ok(info.state),
            Some(error) => Err(Error::failed(error.get())),
        }
    }
}
