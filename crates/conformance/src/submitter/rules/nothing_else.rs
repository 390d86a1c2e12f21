//! What a submitter must leave to others.

use std::time::Duration;

use baton_jetstream::WireMessage;

use crate::fault::{Fault, expect};
use crate::submitter::desk::{CHANGES, Desk};
use crate::submitter::job::{AGENT, NOBODY};

/// How long what was published last may take to be overheard.
const HEARD: Duration = Duration::from_millis(300);

pub(super) async fn is_written(desk: &Desk) -> Result<(), Fault> {
    tokio::time::sleep(HEARD).await;
    let heard = desk.overheard.after(0);
    let foreign = heard
        .iter()
        .filter(|message| !desk.hands.is_own(&message.subject, &message.body))
        .find(|message| !may_publish(desk, message));
    expect(
        foreign.is_none(),
        "intents, and what reads",
        foreign.map_or_else(String::new, |message| {
            let body: String = String::from_utf8_lossy(&message.body).chars().take(200).collect();
            format!("a message on {}: {body}", message.subject)
        }),
    )
}

fn may_publish(desk: &Desk, message: &WireMessage) -> bool {
    let header = |name: &str| {
        message
            .headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    let namespace = desk.mesh.subjects().namespace().as_str();
    if message.subject.starts_with('$') {
        let (streams, buckets) = (
            format!("{}_", namespace.to_uppercase()),
            format!("KV_{}_", namespace.to_uppercase()),
        );
        // Another mesh of this server is somebody else's.
        let of_mesh = |token: &str| token.starts_with(&streams) || token.starts_with(&buckets);
        return !message.subject.split('.').any(of_mesh) || only_reads(&message.subject);
    }
    let Some(subject) = message
        .subject
        .strip_prefix(namespace)
        .and_then(|rest| rest.strip_prefix('.'))
    else {
        return false;
    };
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens.as_slice() {
        ["intent", _] => desk.doorsteps().contains(&message.subject),
        ["capability", _] | ["control", ..] => true,
        ["ledger", "0", _] => header("Baton-Event") == Some("submitted"),
        ["work", agent, _, _] => [AGENT, NOBODY].contains(agent),
        // The server republishes these.
        ["event" | "route", _] => header("Nats-Stream").is_some(),
        _ => false,
    }
}

/// Whether a request to the server only reads.
fn only_reads(subject: &str) -> bool {
    let Some(verb) = subject.strip_prefix("$JS.API.") else {
        return false;
    };
    // A bucket may be watched. The ledger, the intake and the tickets are read without a consumer: each is somebody else's.
    let watches = verb.starts_with("CONSUMER.") && verb.contains(".KV_");
    watches || !CHANGES.iter().any(|word| verb.starts_with(word))
}
