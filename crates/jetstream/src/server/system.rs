//! What the server's own account can ask for: that servers read their configuration again.

use std::time::Duration;

use async_nats::Request;
use futures::StreamExt as _;
use serde::Deserialize;

use super::connect::Target;
use crate::error::Error;

/// What every account of a mesh imports.
const INFO: &str = "$JS.API.INFO";
/// What all servers answer to.
const PING: &str = "$SYS.REQ.SERVER.PING";
/// How long the servers of a cluster may take to answer after the first one.
const OTHERS: Duration = Duration::from_millis(500);
/// How long the first one may take.
const FIRST: Duration = Duration::from_secs(5);
/// How long reading a configuration may take: with thousands of accounts it takes seconds.
const RELOAD: Duration = Duration::from_secs(60);

/// A server that has read its configuration again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// Its name.
    pub server: String,
    /// Its version.
    pub version: String,
}

#[derive(Deserialize)]
struct Answer {
    server: Server,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Server {
    id: String,
    name: String,
    ver: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    description: String,
}

impl Target {
    /// Whether this user gets an answer to what its account imports: it connects, asks JetStream, and is gone again.
    ///
    /// # Errors
    /// As [`Target::connect`]; an account whose imports are not answered is not waited for.
    pub async fn probe(&self) -> Result<(), Error> {
        let link = self.connect_bare().await?;
        let answer = link.request(INFO.into(), Request::new().timeout(Some(FIRST))).await;
        answer.map(drop).map_err(|error| error.into_error(INFO))
    }

    /// Has every server that can be heard read its configuration again, once. For a user of the system account.
    ///
    /// # Errors
    /// When this user may not, no server answers, or one refuses its configuration: then it goes on with the one it has.
    pub async fn reload_servers(&self) -> Result<Vec<Reloaded>, Error> {
        let link = self.connect_bare().await?;
        // Asked as a request first: this hears a denial, and that nobody listens.
        let request = || Request::new().timeout(Some(FIRST));
        let first = link.request(PING.into(), request()).await;
        let first = first.map_err(|error| error.into_error(PING))?;
        let mut servers = vec![read(&first.payload)?.server];
        let client = link.client();
        let inbox = client.new_inbox();
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::api(PING, error);
        let mut answers = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| failed(error.into()))?;
        let asked = client.publish_with_reply(PING, inbox, "".into()).await;
        asked.map_err(|error| failed(error.into()))?;
        while let Ok(Some(answer)) = tokio::time::timeout(OTHERS, answers.next()).await {
            let server = read(&answer.payload)?.server;
            if !servers.iter().any(|known| known.id == server.id) {
                servers.push(server);
            }
        }
        let mut reloaded = Vec::new();
        for Server { id, name, ver } in servers {
            let subject = format!("$SYS.REQ.SERVER.{id}.RELOAD");
            let answer = link
                .request(subject.as_str().into(), Request::new().timeout(Some(RELOAD)))
                .await;
            let answer = answer.map_err(|error| error.into_error(&subject))?;
            if let Some(refusal) = read(&answer.payload)?.error {
                return Err(Error::ReloadRefused {
                    server: name,
                    problem: refusal.description,
                });
            }
            reloaded.push(Reloaded {
                server: name,
                version: ver,
            });
        }
        Ok(reloaded)
    }
}

fn read(answer: &[u8]) -> Result<Answer, Error> {
    serde_json::from_slice(answer).map_err(|error| Error::api(PING, error))
}
