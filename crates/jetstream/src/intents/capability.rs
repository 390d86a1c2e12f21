//! Choosing an agent by what it can do.

use baton_envelope::{
    AgentName, Asked, Author, CapabilityCandidate, Choice, Envelope, IntentId, Picked, capabilities_in, pick,
};

use super::submit::Submitted;
use crate::error::Error;
use crate::server::Mesh;

impl Mesh {
    /// The least loaded agent with all needed capabilities, if any, and every agent that was considered.
    ///
    /// # Errors
    /// When the routes cannot be read.
    pub async fn pick_capable(&self, needed: &[String], asked: &Asked<'_>) -> Result<Picked, Error> {
        let routes = self.known_routes().await?;
        let report = Box::pin(self.load_when_needed()).await;
        let load = |agent: &AgentName, version: &_| report.as_ref()?.of(agent, version);
        Ok(pick(&routes, needed, asked, &load))
    }

    /// The capabilities that the words of a task name ([`capabilities_in`]); empty where they name none.
    ///
    /// # Errors
    /// When the routes cannot be read.
    pub async fn needed_by_words(&self, text: &str, envelope: &Envelope) -> Result<Vec<String>, Error> {
        let asked = Asked {
            root: envelope.root(),
            kind: envelope.kind.as_deref(),
            pins: &envelope.pins,
            path: &[],
        };
        Ok(capabilities_in(text, &self.known_routes().await?, &asked))
    }

    /// Submits an intent to a capable agent, and fills in the envelope's `to`. Work submitted earlier under this id
    /// stays with the agent that got it then, whichever is better now.
    ///
    /// # Errors
    /// As [`Mesh::choose_capable`] and [`Mesh::submit`].
    pub async fn submit_capable(
        &self,
        needed: &[String],
        envelope: Envelope,
        by: Author,
    ) -> Result<(AgentName, Submitted), Error> {
        self.submit_capable_as(needed, envelope, by, false).await
    }

    /// As [`Mesh::submit_capable`], with an id created for this submit alone, as for [`Mesh::submit_new`].
    ///
    /// # Errors
    /// As [`Mesh::submit_capable`].
    pub async fn submit_capable_new(
        &self,
        needed: &[String],
        envelope: Envelope,
        by: Author,
    ) -> Result<(AgentName, Submitted), Error> {
        self.submit_capable_as(needed, envelope, by, true).await
    }

    pub(super) async fn submit_capable_as(
        &self,
        needed: &[String],
        mut envelope: Envelope,
        by: Author,
        generated: bool,
    ) -> Result<(AgentName, Submitted), Error> {
        let asked = Asked {
            root: envelope.root(),
            kind: envelope.kind.as_deref(),
            pins: &envelope.pins,
            path: &[],
        };
        envelope.to = match self.choose_capable(needed, &asked).await {
            Ok((agent, _, _)) => agent,
            Err(error @ Error::NoneCapable { .. }) => self.first_receiver(&envelope.intent).await?.ok_or(error)?,
            Err(error) => return Err(error),
        };
        let submitted = self.submit_as(envelope.clone(), by.clone(), generated).await?;
        if let Submitted::Conflict { .. } = &submitted
            && let Some(there) = self.first_receiver(&envelope.intent).await?
            && there != envelope.to
        {
            envelope.to = there;
            return Ok((envelope.to.clone(), self.submit_as(envelope, by, generated).await?));
        }
        Ok((envelope.to, submitted))
    }

    /// The agent that an intent was submitted to; `None` when there is no such intent.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub async fn first_receiver(&self, intent: &IntentId) -> Result<Option<AgentName>, Error> {
        let first = match self.head(intent).await? {
            Some(head) => self.trail_through(intent, head.seq).await?.into_iter().next(),
            None => None,
        };
        Ok(first
            .and_then(|first| first.record.envelope)
            .map(|envelope| envelope.to))
    }

    /// The least loaded agent with all needed capabilities, its version, and every agent that was considered, best
    /// first.
    ///
    /// # Errors
    /// `NoneCapable` with what each agent lacks; or when the routes cannot be read.
    pub async fn choose_capable(
        &self,
        needed: &[String],
        asked: &Asked<'_>,
    ) -> Result<(AgentName, Choice, Vec<CapabilityCandidate>), Error> {
        let Picked { best, candidates } = self.pick_capable(needed, asked).await?;
        if let Some((agent, choice)) = best {
            return Ok((agent, choice, candidates));
        }
        let reason = if candidates.is_empty() {
            "no agent is known".to_owned()
        } else {
            let each = candidates
                .iter()
                .map(|one| format!("{} {}: {}", one.agent, one.version, one.reason));
            each.collect::<Vec<_>>().join("; ")
        };
        Err(Error::NoneCapable {
            needed: needed.to_vec(),
            reason,
        })
    }
}
