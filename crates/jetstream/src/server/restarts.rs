//! Whether the single server of a mesh was started lately. It has written its last deliveries to disk some time later, so one
//! that was killed has forgotten them, and it tells nobody for how long it has been up. It has a new id each time, though: the
//! last one stands in the control bucket.

use std::time::Duration;

use async_nats::jetstream::kv::Operation;
use baton_envelope::Timestamp;
use serde::{Deserialize, Serialize};

use super::roles::ControllerMesh;
use crate::error::Error;

/// The key of the last server that was seen.
const KEY: &str = "server";
/// For how long a hop may run of whose delivery a killed server knows nothing. The server gives such a ticket away again as the
/// next one, so this takes a worker that asks for no other ticket for as long.
const FORGOTTEN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The value of the key.
#[derive(Debug, Serialize, Deserialize)]
struct LastServer {
    /// The id of the server.
    server: String,
    /// When it was first seen in the place of another one; absent for the first one of a mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

impl ControllerMesh {
    /// Notes which server this is, if it is another than the last one that was noted. Without copies alone: with them no server
    /// forgets what the others know.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn note_server(&self) -> Result<(), Error> {
        self.last_server().await.map(drop)
    }

    /// Whether the server may have forgotten deliveries that are under way, or lost their tickets: a single one that was started
    /// lately.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn may_have_forgotten(&self) -> Result<bool, Error> {
        if self.replicas() > 1 {
            return Ok(false);
        }
        if self.connections_made() > 1 {
            return Ok(true);
        }
        let since = self.last_server().await?.since;
        Ok(since.is_some_and(|since| self.now().since(since) < FORGOTTEN_FOR))
    }

    async fn last_server(&self) -> Result<LastServer, Error> {
        let server = self.client().server_info().server_id;
        if self.replicas() > 1 {
            return Ok(LastServer { server, since: None });
        }
        let what = "reading which server was the last one";
        let store = self.bucket(self.subjects().control_bucket()).await?;
        let entry = store.entry(KEY).await.map_err(|error| Error::api(what, error))?;
        let (revision, last) = match &entry {
            Some(entry) if entry.operation == Operation::Put => {
                (entry.revision, serde_json::from_slice::<LastServer>(&entry.value).ok())
            }
            Some(entry) => (entry.revision, None),
            None => (0, None),
        };
        match last {
            Some(last) if last.server == server => Ok(last),
            last => {
                let since = last.map(|_| self.now());
                let next = LastServer { server, since };
                let value = serde_json::to_vec(&next).map_err(|error| Error::api(what, error))?;
                // Another controller may have been faster: it says the same.
                if let Err(error) = store.update(KEY, value.into(), revision).await {
                    tracing::debug!(%error, "another controller has noted the server");
                }
                Ok(next)
            }
        }
    }
}
