//! What the leading controller tells a worker process on the subject of that process, as the judge plays it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::court::{Court, LOOK, Work};
use crate::fault::{Fault, expect};

/// How long a worker may take to listen on the subject of its process: heartbeats need not wait for that.
const LISTENS: Duration = Duration::from_secs(2);

/// The share that a worker says that it keeps to, and what it uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) revision: u64,
    pub(crate) in_flight: Option<u64>,
    pub(crate) in_use: u64,
}

impl Court {
    /// The subject of the worker process that was heard first.
    fn process(&self) -> String {
        let instance = self.heartbeat.subject.rsplit('.').next().unwrap_or_default();
        let namespace = self.mesh.subjects().namespace();
        format!("{namespace}.agent.{}.{}.{instance}", self.agent, self.version.token())
    }

    /// Tells the worker a share under a new revision, and breaks the rule unless it keeps to it.
    pub(crate) async fn tell_share(&self, in_flight: Option<u32>, rate_per_hour: Option<u32>) -> Result<Held, Fault> {
        let revision = self.told.fetch_add(1, Ordering::SeqCst) + 1;
        let held = self.tell_revision(revision, in_flight, rate_per_hour).await?;
        expect(
            held.revision == revision && held.in_flight == in_flight.map(u64::from),
            format!("the share of revision {revision}, with `in_flight` {in_flight:?}"),
            format!("{held:?}"),
        )?;
        Ok(held)
    }

    /// Tells the worker a share under this revision. The rule is skipped where the worker knows no limits.
    pub(crate) async fn tell_revision(
        &self,
        revision: u64,
        in_flight: Option<u32>,
        rate_per_hour: Option<u32>,
    ) -> Result<Held, Fault> {
        let (subject, skipped) = (self.process(), |why: &str| Err(Fault::Skipped(why.to_owned())));
        let share = json!({"revision": revision, "in_flight": in_flight, "rate_per_hour": rate_per_hour});
        let until = Instant::now() + LISTENS;
        let answer = loop {
            if let Some(answer) = self.hands.wire().request(&subject, &[], share.to_string()).await? {
                break answer;
            }
            if Instant::now() >= until {
                return skipped("nobody answers on the subject of its process");
            }
            tokio::time::sleep(LOOK).await;
        };
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if said.get("share").is_none() && said.get("agent").is_some() {
            return skipped("it answers a share with its Declaration, so it knows no limits");
        }
        let number = |pointer| said.pointer(pointer).and_then(Value::as_u64);
        let (Some(revision), Some(in_use)) = (number("/share/revision"), number("/in_use")) else {
            return Err(Fault::Broken {
                expected: "the answer {\"share\": {\"revision\", …}, \"in_use\"}".to_owned(),
                seen: String::from_utf8_lossy(&answer.body).into_owned(),
            });
        };
        Ok(Held {
            revision,
            in_flight: number("/share/in_flight"),
            in_use,
        })
    }

    /// Lets nothing more begin, and waits until the worker has just so much in use: what it has asked the server for comes back.
    pub(crate) async fn until_in_use(&self, count: u64) -> Result<(), Fault> {
        let until = Instant::now() + self.options.patience;
        loop {
            let held = self.tell_share(Some(0), None).await?;
            if held.in_use == count {
                return Ok(());
            }
            expect(
                Instant::now() < until,
                format!(
                    "{count} in use while `in_flight` is 0, within {} s",
                    self.options.patience.as_secs()
                ),
                format!("{held:?}"),
            )?;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the limits away again after a trial, however that ended.
    pub(crate) async fn lifted(&self, tried: Result<(), Fault>) -> Result<(), Fault> {
        if matches!(tried, Err(Fault::Skipped(_))) {
            return tried;
        }
        let lifted = self.tell_share(None, None).await;
        tried.and(lifted.map(|_| ()))
    }

    /// Tells the worker that the hop of an intent is not its any more.
    pub(crate) async fn tell_fenced(&self, work: &Work) -> Result<(), Fault> {
        let fenced = json!({"fenced": [work.intent]}).to_string();
        self.hands.tell(&self.process(), &[], fenced).await?;
        Ok(())
    }
}
