//! Broadcast: a hop ends with a message of a channel, of which each receiver gets a copy.

use std::collections::BTreeSet;
use std::sync::Arc;

use baton_envelope::codes;
use baton_envelope::{
    AgentName, Asked, Body, Broadcast, Child, Children, Envelope, ErrorInfo, Extra, JoinRule, Json, MayName, RECEIVERS,
    check_kind, receivers,
};
use serde::Serialize;

use crate::claim::Claim;
use crate::commit::{SMALLER, Verdict, park, past_limit};
use crate::ending::Ending;
use crate::fault::Fault;
use crate::hop::Hop;
use crate::outcome::{Message, Outcome, OutcomeKind, json};
use crate::run::WorkerContext;
use crate::suspension::known_to_all;

impl Outcome {
    /// Sends this to every agent that subscribes to the channel, or to those that [`Outcome::to_receivers`] names. Each gets a copy,
    /// a child of this intent with its own retries and its own end, also one that is down. All get it or nobody does: without a
    /// receiver the attempt fails with `NO_SUBSCRIBERS`. The handler does not run again. The intent completes when all copies have
    /// ended; its result says how many completed, and who did not.
    ///
    /// # Errors
    /// When the name of the channel is invalid, or the payload cannot be serialized as JSON.
    pub fn broadcast<T: Serialize + ?Sized>(channel: &str, payload: &T) -> Result<Self, Fault> {
        Self::broadcast_body(channel, json("payload", payload)?.into())
    }

    pub(crate) fn broadcast_body(channel: &str, payload: Body) -> Result<Self, Fault> {
        let channel = channel
            .parse()
            .map_err(|error| Fault::terminal(codes::BAD_CHANNEL, format!("the broadcast: {error}")))?;
        let message = Message {
            channel,
            named: None,
            kind: None,
            payload,
        };
        Ok(Self::of(OutcomeKind::Broadcast(Box::new(message))))
    }

    /// Names the agents that get a broadcast, in place of the subscribers of its channel; each gets it once. An agent that nobody has
    /// heard of refuses the whole, with `UNKNOWN_RECEIVER`. Of another outcome it changes nothing.
    ///
    /// # Errors
    /// When a name is invalid.
    pub fn to_receivers<'n>(mut self, agents: impl IntoIterator<Item = &'n str>) -> Result<Self, Fault> {
        let OutcomeKind::Broadcast(message) = &mut self.kind else {
            return Ok(self);
        };
        let (mut seen, mut named) = (BTreeSet::new(), Vec::new());
        for agent in agents {
            let agent: AgentName = agent
                .parse()
                .map_err(|error| Fault::terminal(codes::BAD_AGENT_NAME, format!("a receiver: {error}")))?;
            if seen.insert(agent.clone()) {
                named.push(agent);
            }
        }
        message.named = Some(named);
        Ok(self)
    }
}

impl Hop {
    /// Whether the hop may end with a message: its receivers are the children of a wait, whose name must be free.
    pub(crate) fn check_broadcast(&self) -> Result<(), Fault> {
        match self.waits.contains_key(RECEIVERS) || self.steps.contains_key(RECEIVERS) {
            false => Ok(()),
            true => {
                let text = format!(
                    "the hop has a step or a wait \"{RECEIVERS}\", which is the name of the wait of its broadcast; fix: give it \
                     another name"
                );
                Err(Fault::terminal(codes::BAD_WAIT, text))
            }
        }
    }
}

impl WorkerContext {
    /// The commit of a message: it fixes the receivers. One that cannot be sent to all is sent to nobody.
    pub(crate) async fn broadcast(
        &self,
        at: &Claim,
        envelope: &Envelope,
        message: Message,
        (note, context): (Option<String>, Option<Json>),
    ) -> Verdict {
        match self.addressed(at, envelope, message).await {
            Ok((sent, receivers)) => Verdict::Commit(Ending::Broadcast {
                sent: Box::new(sent),
                receivers,
                note,
                context,
            }),
            Err(Refused::Parks(error)) => park(error),
            Err(Refused::Fails(fault)) => self.act_on_fault(at, envelope, fault).await,
        }
    }

    /// What is sent, and to whom.
    async fn addressed(
        &self,
        at: &Claim,
        envelope: &Envelope,
        message: Message,
    ) -> Result<(Broadcast, Vec<AgentName>), Refused> {
        let Message {
            channel,
            named,
            kind,
            payload,
        } = message;
        let refused = |problem: String| {
            let text = format!("the broadcast on channel \"{channel}\": {problem}");
            Refused::Parks(ErrorInfo::new(codes::BAD_FAN_OUT, text))
        };
        if let Some(Err(bad)) = kind.as_deref().map(check_kind) {
            return Err(refused(bad.to_string()));
        }
        if named.as_ref().is_some_and(Vec::is_empty) {
            let problem = "it names no receivers; fix: name at least one, or leave them out for those that subscribe";
            return Err(refused(problem.to_owned()));
        }
        let routes = self.mesh.known_routes().await;
        let routes = routes.map_err(|error| Refused::Fails(Fault::unwritten(&error)))?;
        // The ledger's pins, as for a handoff.
        let asked = Asked {
            root: envelope.root(),
            kind: kind.as_deref(),
            pins: &at.snapshot.pins,
            path: &at.snapshot.path,
        };
        let routes = routes.iter().map(Arc::as_ref);
        let found = receivers(routes, &channel, named.as_deref(), MayName::Agents, &asked);
        let found = found.map_err(|none| Refused::Fails(Fault::retry(none.to_string()).with_code(none.code())))?;
        let copy = |to: &AgentName| Child {
            to: Some(to.clone()),
            ..Child::new(Json::null())
        };
        let copies = Children::new(found.iter().map(copy).collect(), JoinRule::Collect);
        copies.check().map_err(refused)?;
        if let Some(to) = found.first() {
            envelope
                .next_hop(to)
                .map_err(|limit| Refused::Parks(past_limit(&limit, &at.snapshot)))?;
        }
        let text = "the hop cannot broadcast: the controllers of the mesh, or some of them, know no channels";
        known_to_all(self.mesh.knows_channels().await, text).map_err(Refused::Fails)?;
        let sent = Broadcast {
            channel,
            named: named.is_some(),
            kind,
            payload: payload.json,
            payload_encoding: payload.encoding,
            pinning: envelope.pinning.clone(),
            traceparent: envelope.traceparent.clone(),
            from: Some(format!("{}@{}", self.agent, self.version)),
            extra: Extra::new(),
        };
        check_size(at, envelope, &sent, &copies, self.mesh.largest_record()).map_err(Refused::Parks)?;
        Ok((sent, found))
    }
}

/// Whether each copy fits into a message of its own: it takes over what its parent carries.
fn check_size(
    at: &Claim,
    envelope: &Envelope,
    sent: &Broadcast,
    copies: &Children,
    limit: usize,
) -> Result<(), ErrorInfo> {
    // They differ in the agent alone.
    let longest = (0..)
        .zip(&copies.children)
        .max_by_key(|(_, copy)| copy.to.as_ref().map_or(0, |to| to.as_str().len()));
    let Some((index, copy)) = longest else { return Ok(()) };
    let one = Children::new(vec![sent.child_of_hop(copy)], JoinRule::Collect);
    match envelope.largest_child(RECEIVERS, &one, &at.snapshot) {
        Some((_, bytes)) if bytes > limit => {
            let to = copy.to.as_ref().map_or("?", AgentName::as_str);
            let text = format!(
                "the broadcast on channel \"{}\": copy {index}, for {to}, takes up to {bytes} bytes with the constraints and the \
                 fields of its parent, and the server takes at most {limit} in one message; {SMALLER}",
                sent.channel
            );
            Err(ErrorInfo::new(codes::PAYLOAD_TOO_LARGE, text))
        }
        Some(_) | None => Ok(()),
    }
}

/// Why a message is not sent.
enum Refused {
    /// No later attempt could send it.
    Parks(ErrorInfo),
    /// The attempt fails.
    Fails(Fault),
}
