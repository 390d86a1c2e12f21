//! What somebody removed: the ledger, routes, and with the control bucket the leader.

use std::time::Duration;

use baton_envelope::{Route, Timestamp};
use serde::Deserialize;

use super::{Finding, Level};
use crate::control::lease::holder;
use crate::error::Error;
use crate::server::Mesh;

/// How old the last renewal of the lease may be: it is renewed every second and runs out after five.
const RENEWED: Duration = Duration::from_secs(10);

pub(super) fn ledger(stream: &str, lost: &Error) -> Finding {
    let remedy = "restore it from a backup (`nats stream restore FOLDER`), or start a controller that makes a new one \
                  (`baton controller --make-ledger`): every intent that was open is lost then";
    Finding::new(format!("stream {stream}"), Level::Problem, lost.to_string(), remedy)
}

/// Agents whose work stream is in use and that have no route.
pub(super) async fn routes(mesh: &Mesh, routes: &[Route]) -> Result<Vec<Finding>, Error> {
    let Ok(names) = mesh.stream_names().await else {
        return Ok(Vec::new());
    };
    let mut agents: Vec<_> = names
        .iter()
        .filter_map(|name| mesh.agent_of_work_stream(name))
        .collect();
    agents.retain(|agent| !routes.iter().any(|route| route.agent == *agent));
    agents.sort_unstable();
    let mut findings = Vec::new();
    for agent in agents {
        // A version that has just declared itself has its stream before its route.
        if mesh.tickets_ever(&agent).await? == 0 {
            continue;
        }
        let found = format!("agent \"{agent}\" had work and has no route: its new work waits or is refused");
        let remedy = format!(
            "wait a few seconds: a controller that remembers the route writes it again; if none does, `baton route set {agent} VERSION`"
        );
        findings.push(Finding::new(format!("route of {agent}"), Level::Problem, found, remedy));
    }
    Ok(findings)
}

impl Mesh {
    /// Which controller leads; `None` when none has renewed the lease lately, or the bucket of the lease is missing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn leader(&self) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            ts: Option<String>,
        }
        let bucket = self.subjects().control_bucket();
        let what = format!("STREAM.INFO.KV_{bucket}");
        let Ok(Info { ts }) = self.ask::<Info>(&what, &serde_json::json!({})).await? else {
            return Ok(None);
        };
        let stored = match self.bucket_entry(&bucket, crate::control::lease::KEY).await {
            Ok(Some(stored)) if !stored.is_removal() => stored,
            Ok(_) | Err(Error::NoStream(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        // Both times are the server's: this machine's clock does not matter.
        let now = ts.and_then(|text| text.parse::<Timestamp>().ok());
        let age = now.zip(stored.stored_at()).map(|(now, at)| now.since(at));
        Ok(holder(&stored.body).filter(|_| age.is_none_or(|age| age < RENEWED)))
    }
}
