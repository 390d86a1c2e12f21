//! `baton send --channel`: a message for all that subscribe to a channel.

use std::time::Duration;

use baton_envelope::{
    AgentName, ChannelName, Envelope, HEADER_DEADLINE, HEADER_MAX_HOPS, HEADER_PINNING, HEADER_PRIORITY,
    HEADER_REPLY_TO, Status, codes,
};
use baton_jetstream::{ChannelMessage, Mesh, Submitted, WaitEnd};

use super::{Done, SendArgs};
use crate::error::{CliError, Kind};

/// How long a controller may take before the command says that the message still stands in the intake.
const TAKEN: Duration = Duration::from_secs(40);

/// Refuses what a message of a channel cannot have.
pub(super) fn check(args: &SendArgs) -> Result<(), CliError> {
    let given = [
        ("--pin", !args.pins.is_empty()),
        ("--constraints", args.constraints.is_some()),
        ("--itinerary", !args.itinerary.is_empty()),
        ("--goal", args.goal.is_some()),
        ("--state", args.state.is_some()),
        ("--ask", args.ask.is_some()),
        ("--expects", args.expects.is_some()),
        ("--gate", !args.gates.is_empty()),
        ("--delay or --at", args.delay.is_some() || args.at.is_some()),
        ("--wait-for", args.wait_for.is_some()),
        ("a policy", args.asks.policy().is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => {
            let message = format!("--channel cannot be combined with {flag}");
            Err(CliError::say(Kind::Usage, codes::USAGE, message)
                .hint("leave it out, or send the work to each agent by its name"))
        }
        None => Ok(()),
    }
}

/// Publishes the message, and waits until a controller has made it an intent, or has rejected it.
pub(super) async fn publish(
    mesh: &Mesh,
    (channel, receivers): (&ChannelName, &[AgentName]),
    envelope: &Envelope,
    body: Vec<u8>,
    may_be_there: bool,
) -> Result<Done, CliError> {
    let intent = &envelope.intent;
    let sent = baton_envelope::Broadcast::of(channel.clone(), !receivers.is_empty(), envelope);
    if may_be_there && let Some(head) = mesh.head(intent).await? {
        return Ok(Done::Submitted(
            mesh.same_broadcast(Box::new(head), &sent, receivers).await?,
        ));
    }
    let optional = [
        (HEADER_DEADLINE, envelope.deadline.map(|deadline| deadline.to_string())),
        (HEADER_REPLY_TO, envelope.reply_to.clone()),
        (
            HEADER_PINNING,
            envelope.pinning.as_ref().map(|pinning| pinning.name().to_owned()),
        ),
        (HEADER_PRIORITY, Some(envelope.priority.to_string())),
        (HEADER_MAX_HOPS, Some(envelope.max_hops.to_string())),
    ];
    let headers = optional
        .into_iter()
        .chain(super::budget::headers_of(envelope))
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    let listening = mesh.waiting(intent).await?;
    let message = ChannelMessage {
        channel: channel.clone(),
        intent: intent.clone(),
        body: body.into(),
        kind: envelope.kind.clone(),
        receivers: receivers.to_vec(),
        headers,
    };
    let seq = mesh.publish_to_channel(message).await?;
    let (WaitEnd::Ended(head) | WaitEnd::Parked(head)) = listening.recorded(TAKEN).await? else {
        return Ok(Done::Held { seq });
    };
    match (&head.record.snapshot.status, &head.record.error) {
        (Status::Rejected { code }, Some(error)) if head.record.raw.is_some() => {
            let reason = anyhow::Error::msg(error.message.clone());
            Err(CliError::new(Kind::Refused, code, reason)
                .hint(format!("it is kept as a dead letter: `baton dead show {intent}`")))
        }
        _ => Ok(Done::Submitted(Submitted::New { seq: head.seq })),
    }
}
