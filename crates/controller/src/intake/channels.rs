//! Messages of channels: each becomes an intent that no agent has, with a copy for each receiver.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_envelope::{
    AgentName, Asked as Wanted, Broadcast, ChannelName, Envelope, HEADER_INTENT, HEADER_MSG_ID, HEADER_NOT_BEFORE,
    HEADER_ORDER_KEY, HEADER_PROTOCOL, HEADER_TASK, HEADER_UNIQUE, MayName, RawIntent, Record, codes, receivers,
};
use baton_jetstream::{Error, Head, NewBroadcast, Submitted};

use crate::intake::rejection::{Rejection, is_of};
use crate::intake::routing::{Routing, Taken, Way};

/// What a message of a channel says, before it is known who gets it.
struct Message {
    envelope: Envelope,
    sent: Broadcast,
    /// The receivers that it names.
    named: Vec<AgentName>,
}

impl Routing {
    /// Turns a message of a channel into an intent with a copy for each receiver, or into a rejection of the whole.
    pub(super) async fn broadcast(&self, raw: &RawIntent<'_>, way: Way, channel: ChannelName) -> Result<Taken, Error> {
        // First what an earlier delivery made of it: its deadline may have passed since, and its receivers may be gone.
        if let Some(taken) = self.broadcast_before(raw, way, &channel).await? {
            return Ok(taken);
        }
        let message = match self.message(raw, channel) {
            Ok(message) => message,
            Err(rejection) => return self.reject(raw, None, rejection).await,
        };
        let is_of_account = self.mesh.is_secured() && self.mesh.subjects().intake(raw.subject).0.is_some();
        let receivers = match self.receivers(&message, is_of_account).await? {
            Ok(receivers) => receivers,
            Err(rejection) => return self.reject(raw, None, rejection).await,
        };
        let Message { envelope, sent, .. } = message;
        let (intent, reply_to) = (envelope.intent.clone(), envelope.reply_to.clone());
        let (channel, count) = (sent.channel.clone(), receivers.len());
        let new = NewBroadcast {
            generated: envelope.intent == raw.derived_id,
            envelope,
            sent,
            receivers,
        };
        match self.mesh.broadcast(new, &self.by).await {
            Ok(Submitted::New { seq }) => {
                tracing::debug!(%intent, %channel, receivers = count, seq, "routed to a channel");
                Ok(Taken::New(intent))
            }
            Ok(Submitted::Repeated(head)) => Ok(Taken::Known { head, reply_to }),
            Ok(Submitted::Conflict { head, .. }) if is_of(&head, raw) => Ok(Taken::Known { head, reply_to }),
            Ok(Submitted::Conflict { head, field }) => self.conflict(raw, &head, field).await,
            Err(error) => match Rejection::of_error(&error) {
                Some(rejection) => self.reject(raw, None, rejection).await,
                None => Err(error),
            },
        }
    }

    /// What the message became at an earlier delivery, or under the same id.
    async fn broadcast_before(
        &self,
        raw: &RawIntent<'_>,
        way: Way,
        channel: &ChannelName,
    ) -> Result<Option<Taken>, Error> {
        let is_named = raw.header(HEADER_INTENT).or(raw.header(HEADER_MSG_ID)).is_some();
        if !is_named && matches!(way, Way::Delivered { times: 1, .. }) {
            return Ok(None);
        }
        let Some(message) = self.as_stored(raw, channel) else {
            return Ok(None);
        };
        let Some(head) = self.mesh.head(&message.envelope.intent).await?.map(Box::new) else {
            return Ok(None);
        };
        let reply_to = message.envelope.reply_to;
        if is_of(&head, raw) {
            return Ok(Some(Taken::Known { head, reply_to }));
        }
        Ok(Some(
            match self.mesh.same_broadcast(head, &message.sent, &message.named).await? {
                Submitted::Conflict { head, field } => self.conflict(raw, &head, field).await?,
                Submitted::Repeated(head) => Taken::Known { head, reply_to },
                Submitted::New { .. } => return Ok(None),
            },
        ))
    }

    /// Whether an intent under the id of this message is the message's own. Then what it owes is paid.
    pub(super) async fn is_its_broadcast(
        &self,
        head: &Head,
        first: &Record,
        raw: &RawIntent<'_>,
        channel: &ChannelName,
    ) -> Result<bool, Error> {
        let (Some(there), Some(here)) = (&first.broadcast, self.as_stored(raw, channel)) else {
            return Ok(false);
        };
        let is_same = there
            .differing_field(&first.receivers(), &here.sent, &here.named)
            .is_none();
        if is_same {
            self.mesh.settle(head).await?;
        }
        Ok(is_same)
    }

    /// What the message said at the time of storing: its deadline had not passed.
    fn as_stored(&self, raw: &RawIntent<'_>, channel: &ChannelName) -> Option<Message> {
        let anyone = channel.as_str().parse::<AgentName>().ok()?;
        let envelope = raw
            .to_envelope(self.mesh.clock().envelope_id(), &anyone, raw.stored_at)
            .ok()?;
        let named = raw.receivers().ok()?;
        Some(Message {
            sent: Broadcast::of(channel.clone(), named.is_some(), &envelope),
            envelope,
            named: named.unwrap_or_default(),
        })
    }

    fn message(&self, raw: &RawIntent<'_>, channel: ChannelName) -> Result<Message, Rejection> {
        if raw.header(HEADER_PROTOCOL).is_some() {
            let text = "an envelope names its agent: publish it on the agent's subject, or its payload alone here";
            return Err(Rejection::new(codes::BAD_SUBJECT, text));
        }
        for header in [HEADER_UNIQUE, HEADER_ORDER_KEY, HEADER_NOT_BEFORE, HEADER_TASK] {
            if raw.header(header).is_some() {
                let text = format!("{header} is for work of one agent; fix: leave it out, or publish to the agent");
                return Err(Rejection::new(codes::BAD_HEADER, text));
            }
        }
        let named = raw.receivers().map_err(Rejection::from)?;
        // A message is for no agent; a channel has the name that one could have.
        let anyone = channel.as_str().parse::<AgentName>();
        let anyone = anyone.map_err(|error| Rejection::new(codes::BAD_SUBJECT, error.to_string()))?;
        let envelope = self.envelope(raw, &anyone).map_err(Rejection::from)?;
        Ok(Message {
            sent: Broadcast::of(channel, named.is_some(), &envelope),
            envelope,
            named: named.unwrap_or_default(),
        })
    }

    /// Who gets the message: all or nobody. An account that may publish on a channel may not ask any agent for that: it names
    /// subscribers.
    async fn receivers(
        &self,
        message: &Message,
        is_of_account: bool,
    ) -> Result<Result<Vec<AgentName>, Rejection>, Error> {
        let Message { envelope, sent, named } = message;
        let (routes, none) = (self.mesh.known_routes().await?, BTreeMap::new());
        let asked = Wanted {
            root: &envelope.intent,
            kind: envelope.kind.as_deref(),
            pins: &none,
            path: &[],
        };
        let may_name = match is_of_account {
            true => MayName::Subscribers,
            false => MayName::Agents,
        };
        let named = sent.named.then_some(named.as_slice());
        let found = receivers(routes.iter().map(Arc::as_ref), &sent.channel, named, may_name, &asked);
        Ok(found.map_err(|refused| Rejection::new(refused.code(), refused.to_string())))
    }
}
