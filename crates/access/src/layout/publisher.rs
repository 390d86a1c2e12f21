//! A publisher: any program that asks for work. It writes `mesh.intent.<agent>`, `mesh.capability.<capability>` or
//! `mesh.channel.<channel>`, or asks `mesh.ask.<agent>`, and the server puts its name before that.

use baton_envelope::AccountName;

use super::names::Names;
use super::{Grant, Plan};
use crate::file::PublisherEntry;
use crate::role::Right::{HearsReplies, SeesTopology, Submits};

/// What a publisher may do.
pub(super) fn grant(plan: &mut Plan, names: &Names, publisher: &AccountName, entry: &PublisherEntry) {
    let (mesh, account) = (names.account(), publisher.as_str());
    // Baton's own client asks whether there is JetStream at all.
    plan.grant(&mesh, account, Grant::asks(SeesTopology, names.api("INFO")));
    for agent in &entry.may {
        // By its full name: with a wildcard it could ask every agent.
        let submits = Grant::asks(Submits, names.of(&format!("from.{publisher}.intent.{agent}")));
        plan.grant(&mesh, account, submits.under(names.subjects.intent(agent)));
        let asks = Grant::asks(Submits, names.of(&format!("from.{publisher}.ask.{agent}")));
        plan.grant(&mesh, account, asks.under(names.subjects.ask(agent)));
    }
    for capability in &entry.capabilities {
        let submits = Grant::asks(Submits, names.subjects.capability_from(publisher.as_str(), capability));
        plan.grant(&mesh, account, submits.under(names.subjects.capability(capability)));
    }
    for channel in &entry.channels {
        let publishes = Grant::asks(Submits, names.of(&format!("from.{publisher}.channel.{channel}")));
        plan.grant(&mesh, account, publishes.under(names.subjects.channel(channel)));
    }
    // Controllers answer; a worker's answer would have to go from each agent's account to each publisher's.
    plan.grant(
        &mesh,
        account,
        Grant::stream(HearsReplies, format!("reply.{publisher}.>")),
    );
}
