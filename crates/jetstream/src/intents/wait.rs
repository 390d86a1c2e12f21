//! Waiting until an intent has ended.

use std::time::Duration;

use baton_envelope::{IntentId, Status};
use tokio::time::Instant;

use crate::error::Error;
use crate::ledger::{Events, Head};
use crate::server::Mesh;

/// How often to read the ledger: the most that a lost event costs.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait before asking a server again that did not answer.
const PAUSE: Duration = Duration::from_millis(250);

/// How waiting for an intent ended.
#[derive(Debug)]
pub enum WaitEnd {
    /// The intent ended.
    Ended(Box<Head>),
    /// It was parked: nothing will happen until a person acts.
    Parked(Box<Head>),
    /// The timeout passed; this is the head, if there is one.
    TimedOut(Option<Box<Head>>),
}

/// Listens for the records of one intent.
#[derive(Debug)]
pub struct Waiting {
    mesh: Mesh,
    intent: IntentId,
    events: Events,
    /// What is waited for.
    reached: fn(Box<Head>) -> Option<WaitEnd>,
}

impl Mesh {
    /// Waits until the intent has ended or was parked. Live events report it. They may be lost, so this also reads the
    /// ledger at the beginning and every second: a lost event costs at most a second.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn wait(&self, intent: &IntentId, timeout: Duration) -> Result<WaitEnd, Error> {
        self.waiting(intent).await?.end(timeout).await
    }

    /// Starts to listen for the end of an intent that is submitted later, on the same connection.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn waiting(&self, intent: &IntentId) -> Result<Waiting, Error> {
        Ok(Waiting {
            mesh: self.clone(),
            intent: intent.clone(),
            events: self.listen(Some(intent)).await?,
            reached: ended,
        })
    }
}

impl Waiting {
    /// The mesh in which it waits.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Waits until a worker has the work of the intent, which may be so already. `Ended` then says that it has it, or has done
    /// it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn taken(mut self, timeout: Duration) -> Result<WaitEnd, Error> {
        self.reached = taken;
        self.until(Instant::now() + timeout, true).await
    }

    /// Waits until the intent has a record, whatever that says: `Ended` has it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn recorded(mut self, timeout: Duration) -> Result<WaitEnd, Error> {
        self.reached = |head| Some(WaitEnd::Ended(head));
        self.until(Instant::now() + timeout, true).await
    }

    /// Waits for the end of an intent that may have ended already.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn end(self, timeout: Duration) -> Result<WaitEnd, Error> {
        self.until(Instant::now() + timeout, true).await
    }

    /// Waits for the end of an intent that was submitted as new after this began to listen: no need to read the ledger
    /// unless an event is lost.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn end_of_new(self, timeout: Duration) -> Result<WaitEnd, Error> {
        self.until(Instant::now() + timeout, false).await
    }

    async fn until(mut self, until: Instant, mut look: bool) -> Result<WaitEnd, Error> {
        loop {
            if std::mem::replace(&mut look, true) {
                // A server that does not answer must not hold up whoever has said how long to wait.
                match tokio::time::timeout_at(until + LOOK, self.look(until)).await {
                    Ok(Ok(Some(end))) => return Ok(end),
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => return Err(error),
                    Err(_) => return Ok(WaitEnd::TimedOut(None)),
                }
            }
            let look_again = until.min(Instant::now() + LOOK);
            while let Ok(heard) = tokio::time::timeout_at(look_again, self.events.next()).await {
                let Some(live) = heard else {
                    // The connection was closed; the ledger tells whether permanently.
                    break;
                };
                let head = Head::new(live.record, live.seq);
                if let Some(end) = (self.reached)(Box::new(head)) {
                    return Ok(end);
                }
            }
        }
    }

    /// Reads the ledger.
    async fn look(&self, until: Instant) -> Result<Option<WaitEnd>, Error> {
        let head = match self.mesh.last_record(&self.intent).await {
            Ok(head) => head.map(Box::new),
            // Nobody knows whether it was archived; it may also not be submitted yet.
            Err(Error::NoController) => None,
            // A restart or an election; the intent goes on, and so does the wait.
            Err(Error::NoAnswer { .. }) if Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let Some(end) = head.clone().and_then(self.reached) {
            return Ok(Some(end));
        }
        Ok((Instant::now() >= until).then_some(WaitEnd::TimedOut(head)))
    }
}

fn taken(head: Box<Head>) -> Option<WaitEnd> {
    let snapshot = &head.record.snapshot;
    // A worker that works for a moment only says nothing before it hands the work on.
    if matches!(
        snapshot.status,
        Status::Accepted | Status::InProgress | Status::Waiting { .. }
    ) || snapshot.hop > 1
    {
        return Some(WaitEnd::Ended(head));
    }
    ended(head)
}

fn ended(head: Box<Head>) -> Option<WaitEnd> {
    let status = &head.record.snapshot.status;
    if status.is_terminal() {
        Some(WaitEnd::Ended(head))
    } else if matches!(status, Status::Parked { .. }) {
        Some(WaitEnd::Parked(head))
    } else {
        None
    }
}
