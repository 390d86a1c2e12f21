//! When a measurement is over: the same question to the server for Baton and for its floor.

use std::time::Duration;

use baton_envelope::AgentName;
use serde::Deserialize;

use super::failed;
use crate::error::Error;
use crate::mesh::Mesh;

/// The pause between two looks; what is measured takes seconds.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Deserialize)]
struct Info {
    state: State,
}

#[derive(Deserialize)]
struct State {
    messages: u64,
    last_seq: u64,
}

/// Waits until each of some work queues is empty, one after the other.
///
/// In the order in which intents pass them, and once nothing more is submitted, this is the end of all of them: a ticket
/// leaves its stream when it is acked, it is acked when its hop is committed, and the ticket that follows from it was
/// written before.
///
/// # Errors
/// When the server does not answer, or a stream is not empty within `patience`.
pub async fn until_empty(mesh: &Mesh, streams: &[String], patience: Duration) -> Result<(), Error> {
    let until = tokio::time::Instant::now() + patience;
    for stream in streams {
        loop {
            let left = state(mesh, stream).await?.messages;
            if left == 0 {
                break;
            }
            if tokio::time::Instant::now() > until {
                return Err(failed(format!("{left} messages stay in {stream} after {patience:?}")));
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
pub async fn held_in(mesh: &Mesh, stream: &str) -> Result<u64, Error> {
    Ok(state(mesh, stream).await?.messages)
}

/// The sequence of the last message that a stream has stored.
///
/// # Errors
/// When there is no such stream, or the server does not answer.
pub async fn stored_in(mesh: &Mesh, stream: &str) -> Result<u64, Error> {
    Ok(state(mesh, stream).await?.last_seq)
}

/// The streams in which Baton's tickets wait, for agents in the order in which intents pass them.
pub fn work_streams<'a>(mesh: &Mesh, agents: impl IntoIterator<Item = &'a AgentName>) -> Vec<String> {
    let streams = agents.into_iter().map(|agent| mesh.subjects().work_stream(agent));
    streams.collect()
}

async fn state(mesh: &Mesh, stream: &str) -> Result<State, Error> {
    let info: Info = mesh
        .ask(&format!("STREAM.INFO.{stream}"), &serde_json::json!({}))
        .await??;
    Ok(info.state)
}
