//! What can happen to which thing. The things are read from the server, so that no stream can be forgotten here.

use std::fmt;

use anyhow::{Context as _, Result};
use baton_testkit::Client;
use serde_json::Value;

use super::happen::ask;

/// A stream, or a consumer of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A stream; the stream of a bucket is `KV_…`.
    Stream(String),
    /// A consumer that keeps its name: its stream, and its name.
    Durable(String, String),
    /// One of the consumers with which controllers follow a stream, by its number: its name changes each time.
    Follower(String, usize),
}

impl Thing {
    /// The stream that it is, or that it belongs to.
    #[must_use]
    pub fn stream(&self) -> &str {
        let (Self::Stream(stream) | Self::Durable(stream, _) | Self::Follower(stream, _)) = self;
        stream
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(stream) => f.write_str(stream),
            Self::Durable(stream, name) => write!(f, "{stream} > {name}"),
            Self::Follower(stream, number) => write!(f, "{stream} > follower {number}"),
        }
    }
}

/// A setting of a stream that somebody edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEdit {
    /// It takes other subjects.
    Subjects,
    /// Only tiny messages.
    MessageSize,
    /// No more messages than there are.
    Messages,
    /// It confirms nothing.
    NoAck,
    /// It answers no direct read.
    NoDirect,
    /// It sends nothing on.
    NoRepublish,
    /// It takes no rollups.
    NoRollup,
    /// It forgets message ids at once.
    DuplicateWindow,
    /// A full stream drops its oldest message.
    DiscardOld,
    /// It drops what is older than a second.
    Age,
    /// It keeps one message of each subject.
    PerSubject,
}

impl StreamEdit {
    const ALL: [Self; 11] = [
        Self::Subjects,
        Self::MessageSize,
        Self::Messages,
        Self::NoAck,
        Self::NoDirect,
        Self::NoRepublish,
        Self::NoRollup,
        Self::DuplicateWindow,
        Self::DiscardOld,
        Self::Age,
        Self::PerSubject,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Subjects => "other subjects",
            Self::MessageSize => "max_msg_size 32",
            Self::Messages => "max_msgs as many as there are",
            Self::NoAck => "no_ack",
            Self::NoDirect => "no allow_direct",
            Self::NoRepublish => "no republish",
            Self::NoRollup => "no allow_rollup",
            Self::DuplicateWindow => "duplicate_window 100ms",
            Self::DiscardOld => "discard old",
            Self::Age => "max_age 1s",
            Self::PerSubject => "max_msgs_per_subject 1",
        }
    }

    /// Whether the server itself throws messages away with that setting.
    const fn discards(self) -> bool {
        matches!(self, Self::Age | Self::PerSubject)
    }
}

/// A setting of a consumer that somebody edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerEdit {
    /// It delivers other subjects.
    Filter,
    /// It delivers each message once.
    MaxDeliver,
    /// It delivers again after a tenth of a second.
    AckWait,
    /// One message at a time.
    MaxAckPending,
    /// It is paused for years.
    Paused,
}

impl ConsumerEdit {
    const ALL: [Self; 5] = [
        Self::Filter,
        Self::MaxDeliver,
        Self::AckWait,
        Self::MaxAckPending,
        Self::Paused,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Filter => "another filter",
            Self::MaxDeliver => "max_deliver 1",
            Self::AckWait => "ack_wait 100ms",
            Self::MaxAckPending => "max_ack_pending 1",
            Self::Paused => "paused for years",
        }
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accident {
    /// `nats stream rm`, `nats consumer rm`.
    Removed,
    /// `nats stream purge`.
    Purged,
    /// No more bytes than there are: the stream refuses.
    Filled,
    /// `nats stream edit`.
    Edited(StreamEdit),
    /// `nats consumer edit`, `nats consumer pause`.
    ConsumerEdited(ConsumerEdit),
}

impl fmt::Display for Accident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("removed"),
            Self::Purged => f.write_str("purged"),
            Self::Filled => f.write_str("filled"),
            Self::Edited(edit) => write!(f, "edited: {}", edit.name()),
            Self::ConsumerEdited(edit) => write!(f, "edited: {}", edit.name()),
        }
    }
}

/// One accident of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its number: the load of each case has a seed of its own.
    pub number: u64,
    /// What it happens to.
    pub thing: Thing,
    /// What happens.
    pub accident: Accident,
}

/// What an accident takes with it, beyond what the mesh can make good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// Raw intents that wait in the intake.
    Raw,
    /// Raw intents, as long as it lasts.
    RawMeanwhile,
    /// Bundles of closed intents.
    Bundles,
    /// Records that nothing else holds: only what is submitted afterwards can be judged.
    Records,
}

impl Case {
    /// What it takes.
    #[must_use]
    pub fn takes(&self) -> Takes {
        let Thing::Stream(stream) = &self.thing else {
            return Takes::Nothing;
        };
        let discards = matches!(self.accident, Accident::Edited(edit) if edit.discards());
        let empties = matches!(self.accident, Accident::Removed | Accident::Purged);
        match stream.as_str() {
            "MESH_INTAKE" if empties => Takes::Raw,
            "MESH_INTAKE" if discards => Takes::RawMeanwhile,
            "MESH_ARCHIVE" if empties => Takes::Bundles,
            "MESH_LEDGER" if empties || discards => Takes::Records,
            "MESH_ARCHIVE" if discards => Takes::Records,
            _ => Takes::Nothing,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.thing, self.accident)
    }
}

/// Every accident of every thing of the mesh on this server. All edits are made to one stream of a kind; its siblings, the work
/// streams of the other agents, are removed, purged, filled, and edited once.
///
/// # Errors
/// When the server does not answer.
pub async fn cases(client: &Client) -> Result<Vec<Case>> {
    let mut found = Vec::new();
    let mut add = |thing: &Thing, accident| {
        let (number, thing) = (found.len() as u64, thing.clone());
        found.push(Case {
            number,
            thing,
            accident,
        });
    };
    let streams = ask(client, "STREAM.LIST", &Value::Null).await?;
    let streams = streams.get("streams").and_then(Value::as_array).context("streams")?;
    let mut streams: Vec<(&str, &Value)> = streams
        .iter()
        .filter_map(|info| Some((info.pointer("/config/name")?.as_str()?, info.get("config")?)))
        .collect();
    streams.sort_by_key(|(name, _)| *name);
    let is_sibling = |name: &str| name.starts_with("MESH_WORK_") && name != "MESH_WORK_alpha";
    for (name, config) in &streams {
        let thing = Thing::Stream((*name).to_owned());
        for accident in [Accident::Removed, Accident::Purged, Accident::Filled] {
            add(&thing, accident);
        }
        for edit in StreamEdit::ALL.into_iter().filter(|edit| changes(*edit, config)) {
            if !is_sibling(name) || edit == StreamEdit::Subjects {
                add(&thing, Accident::Edited(edit));
            }
        }
    }
    for (name, _) in &streams {
        for thing in consumers(client, name).await? {
            add(&thing, Accident::Removed);
            let is_follower = matches!(thing, Thing::Follower(..));
            for edit in ConsumerEdit::ALL {
                let is_one_of_its_kind = !is_sibling(name) && !is_follower;
                if is_one_of_its_kind || edit == ConsumerEdit::Filter {
                    add(&thing, Accident::ConsumerEdited(edit));
                }
            }
        }
    }
    Ok(found)
}

/// Whether an edit changes anything of a stream.
fn changes(edit: StreamEdit, config: &Value) -> bool {
    let is_on = |field: &str| config.get(field).is_some_and(|value| value.as_bool() == Some(true));
    match edit {
        StreamEdit::NoRepublish => config.get("republish").is_some_and(Value::is_object),
        StreamEdit::NoDirect => is_on("allow_direct"),
        StreamEdit::NoRollup => is_on("allow_rollup_hdrs"),
        StreamEdit::PerSubject => config.get("max_msgs_per_subject") != Some(&Value::from(1)),
        StreamEdit::Subjects
        | StreamEdit::MessageSize
        | StreamEdit::Messages
        | StreamEdit::NoAck
        | StreamEdit::DuplicateWindow
        | StreamEdit::DiscardOld
        | StreamEdit::Age => true,
    }
}

async fn consumers(client: &Client, stream: &str) -> Result<Vec<Thing>> {
    let listed = ask(client, &format!("CONSUMER.LIST.{stream}"), &Value::Null).await?;
    let (mut found, mut followers) = (Vec::new(), 0);
    for consumer in listed.get("consumers").and_then(Value::as_array).into_iter().flatten() {
        let name = consumer.get("name").and_then(Value::as_str).unwrap_or_default();
        if consumer.pointer("/config/durable_name").is_some() {
            found.push(Thing::Durable(stream.to_owned(), name.to_owned()));
        } else {
            followers += 1;
            found.push(Thing::Follower(stream.to_owned(), followers));
        }
    }
    found.sort_by_key(ToString::to_string);
    Ok(found)
}
