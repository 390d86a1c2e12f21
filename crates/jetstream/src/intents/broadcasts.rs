//! Messages of channels: the root of each that comes from outside, and what has become of the copies.

use baton_envelope::{
    AgentName, Author, Broadcast, ChannelName, Envelope, HEADER_INTENT, HEADER_KIND, HEADER_RECEIVERS, IntentId, act,
    broadcast_result,
};
use bytes::Bytes;

use super::submit::Submitted;
use crate::error::Error;
use crate::ledger::{Advanced, Committed, Decision, Head, Known};
use crate::server::{ControllerMesh, Mesh};

/// A message of a channel that becomes an intent.
#[derive(Debug, Clone)]
pub struct NewBroadcast {
    /// What the message says: its intent, its limits, its answer. It is for no agent in particular.
    pub envelope: Envelope,
    /// What each receiver gets.
    pub sent: Broadcast,
    /// The receivers.
    pub receivers: Vec<AgentName>,
    /// Whether the id was made for this submit alone.
    pub generated: bool,
}

/// A message for whoever subscribes to a channel.
#[derive(Debug, Clone)]
pub struct ChannelMessage {
    /// The channel.
    pub channel: ChannelName,
    /// The id of the intent that it becomes: it makes a repeat harmless.
    pub intent: IntentId,
    /// The work of each receiver.
    pub body: Bytes,
    /// The kind of work.
    pub kind: Option<String>,
    /// The receivers, in place of those that subscribed.
    pub receivers: Vec<AgentName>,
    /// Further headers, as section 5 of the protocol has them.
    pub headers: Vec<(String, String)>,
}

impl Mesh {
    /// Publishes a message of a channel, and returns its sequence in the intake. A controller makes it an intent, or rejects
    /// it.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn publish_to_channel(&self, message: ChannelMessage) -> Result<u64, Error> {
        let ChannelMessage {
            channel,
            intent,
            body,
            kind,
            receivers,
            headers: mut all,
        } = message;
        all.push((HEADER_INTENT.to_owned(), intent.to_string()));
        if let Some(kind) = kind {
            all.push((HEADER_KIND.to_owned(), kind));
        }
        if !receivers.is_empty() {
            let names: Vec<&str> = receivers.iter().map(AgentName::as_str).collect();
            all.push((HEADER_RECEIVERS.to_owned(), names.join(",")));
        }
        self.publish_raw(self.subjects().channel(&channel), all, body).await
    }
}

impl ControllerMesh {
    /// Writes the root of a message of a channel, and submits its copies. One that cannot be submitted now is left to the
    /// leader.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub async fn broadcast(&self, new: NewBroadcast, by: &Author) -> Result<Submitted, Error> {
        let NewBroadcast {
            envelope,
            sent,
            receivers,
            generated,
        } = new;
        let intent = &envelope.intent;
        let submitted = self.advance(intent, by, Known::Absent, |head, stamp| {
            if head.is_some() {
                return Ok::<_, Error>(Decision::Nothing);
            }
            let mut draft = act::broadcast(stamp.at, sent.clone(), &envelope, receivers.clone());
            draft.generated_id = generated;
            Ok(draft.into())
        });
        match submitted.await? {
            Advanced::Committed(Committed { seq, .. }) => Ok(Submitted::New { seq }),
            Advanced::Unchanged(Some(head)) => self.same_broadcast(head, &sent, &receivers).await,
            Advanced::Unchanged(None) => Err(Error::NoIntent(intent.clone())),
        }
    }
}

impl Mesh {
    /// Compares a message of a channel with what stands under its id, and pays what that owes where it is the same.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn same_broadcast(
        &self,
        head: Box<Head>,
        sent: &Broadcast,
        receivers: &[AgentName],
    ) -> Result<Submitted, Error> {
        let first = self
            .trail_through(&head.record.intent, head.seq)
            .await?
            .into_iter()
            .next();
        let field = match first
            .as_ref()
            .and_then(|first| Some((first, first.record.broadcast.as_ref()?)))
        {
            Some((first, there)) => there.differing_field(&first.record.receivers(), sent, receivers),
            None => return Ok(Submitted::Conflict { head, field: None }),
        };
        if field.is_some() {
            return Ok(Submitted::Conflict { head, field });
        }
        self.settle(&head).await?;
        Ok(Submitted::Repeated(head))
    }

    /// What the message with this head comes to, now that all its copies have ended.
    pub(crate) async fn gathered(&self, head: &Head) -> Result<baton_envelope::Json, Error> {
        let intent = &head.record.intent;
        let none = || Error::NoEnvelope(intent.clone());
        let set = head.record.snapshot.awaited_receivers().ok_or_else(none)?;
        let ends = Box::pin(self.ends_of(head, set.hop, &set.name)).await?;
        let opener = self.record_at(intent, set.seq.ok_or_else(none)?).await?;
        Ok(broadcast_result(&opener.record, &ends))
    }
}
