//! Carries out an accident, by the same requests as the `nats` command sends.

use anyhow::{Context as _, Result, ensure};
use baton_testkit::Client;
use serde_json::{Value, json};

use super::case::{Accident, ConsumerEdit, StreamEdit, Thing};

/// Long enough that nobody waits for its end.
const FOR_YEARS: &str = "2099-01-01T00:00:00Z";

/// Asks JetStream, and gives its answer.
///
/// # Errors
/// When the server refuses or does not answer.
pub(super) async fn ask(client: &Client, what: &str, body: &Value) -> Result<Value> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let reply = client.request(format!("$JS.API.{what}"), body.into()).await;
    let answer: Value = serde_json::from_slice(&reply.context(what.to_owned())?.payload)?;
    ensure!(answer.get("error").is_none(), "{what}: {answer}");
    Ok(answer)
}

/// Lets an accident happen to a thing.
///
/// # Errors
/// When the server refuses.
pub(super) async fn happen(client: &Client, thing: &Thing, accident: Accident) -> Result<()> {
    let stream = thing.stream();
    let consumer = match thing {
        Thing::Stream(_) => String::new(),
        Thing::Durable(_, name) => name.clone(),
        Thing::Follower(_, number) => follower(client, stream, *number).await?,
    };
    match (thing, accident) {
        (Thing::Stream(_), Accident::Removed) => {
            ask(client, &format!("STREAM.DELETE.{stream}"), &Value::Null).await?;
        }
        (_, Accident::Removed) => {
            ask(client, &format!("CONSUMER.DELETE.{stream}.{consumer}"), &Value::Null).await?;
        }
        (_, Accident::Purged) => {
            ask(client, &format!("STREAM.PURGE.{stream}"), &Value::Null).await?;
        }
        (_, Accident::Filled) => {
            edit_stream(client, stream, |config, state| {
                let bytes = state.get("bytes").and_then(Value::as_i64).unwrap_or_default();
                set(config, "max_bytes", bytes.max(1));
            })
            .await?;
        }
        (_, Accident::Edited(edit)) => edit_stream(client, stream, |config, state| change(config, state, edit)).await?,
        (_, Accident::ConsumerEdited(ConsumerEdit::Paused)) => {
            let until = json!({ "pause_until": FOR_YEARS });
            ask(client, &format!("CONSUMER.PAUSE.{stream}.{consumer}"), &until).await?;
        }
        (_, Accident::ConsumerEdited(edit)) => edit_consumer(client, stream, &consumer, edit).await?,
    }
    Ok(())
}

async fn follower(client: &Client, stream: &str, number: usize) -> Result<String> {
    let listed = ask(client, &format!("CONSUMER.LIST.{stream}"), &Value::Null).await?;
    let mut names: Vec<&str> = listed
        .get("consumers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|one| one.pointer("/config/durable_name").is_none())
        .filter_map(|one| one.get("name")?.as_str())
        .collect();
    names.sort_unstable();
    let found = names.get(number - 1).or(names.last());
    Ok((*found.with_context(|| format!("nobody follows {stream}"))?).to_owned())
}

async fn edit_stream(client: &Client, stream: &str, edit: impl FnOnce(&mut Value, &Value)) -> Result<()> {
    let info = ask(client, &format!("STREAM.INFO.{stream}"), &Value::Null).await?;
    let mut config = info.get("config").context("a configuration")?.clone();
    edit(&mut config, info.get("state").unwrap_or(&Value::Null));
    ask(client, &format!("STREAM.UPDATE.{stream}"), &config).await?;
    Ok(())
}

fn set(config: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(fields) = config.as_object_mut() {
        fields.insert(field.to_owned(), value.into());
    }
}

fn change(config: &mut Value, state: &Value, edit: StreamEdit) {
    match edit {
        StreamEdit::Subjects => {
            let name = config
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            set(config, "subjects", json!([format!("elsewhere.{name}")]));
            // The server takes no rule for a subject that the stream does not have.
            if let Some(fields) = config.as_object_mut() {
                fields.remove("republish");
            }
        }
        StreamEdit::MessageSize => set(config, "max_msg_size", 32),
        StreamEdit::Messages => {
            let messages = state.get("messages").and_then(Value::as_i64).unwrap_or_default();
            set(config, "max_msgs", messages.max(1));
        }
        StreamEdit::NoAck => set(config, "no_ack", true),
        StreamEdit::NoDirect => set(config, "allow_direct", false),
        StreamEdit::NoRepublish => {
            if let Some(fields) = config.as_object_mut() {
                fields.remove("republish");
            }
        }
        StreamEdit::NoRollup => set(config, "allow_rollup_hdrs", false),
        StreamEdit::DuplicateWindow => set(config, "duplicate_window", 100_000_000),
        StreamEdit::DiscardOld => set(config, "discard", "old"),
        StreamEdit::Age => {
            set(config, "max_age", 1_000_000_000);
            set(config, "duplicate_window", 1_000_000_000);
        }
        StreamEdit::PerSubject => set(config, "max_msgs_per_subject", 1),
    }
}

async fn edit_consumer(client: &Client, stream: &str, consumer: &str, edit: ConsumerEdit) -> Result<()> {
    let info = ask(client, &format!("CONSUMER.INFO.{stream}.{consumer}"), &Value::Null).await?;
    let mut config = info.get("config").context("a configuration")?.clone();
    match edit {
        ConsumerEdit::Filter => {
            if let Some(fields) = config.as_object_mut() {
                fields.remove("filter_subjects");
            }
            set(&mut config, "filter_subject", format!("elsewhere.{consumer}"));
        }
        ConsumerEdit::MaxDeliver => set(&mut config, "max_deliver", 1),
        ConsumerEdit::AckWait => set(&mut config, "ack_wait", 100_000_000),
        ConsumerEdit::MaxAckPending => set(&mut config, "max_ack_pending", 1),
        ConsumerEdit::Paused => {}
    }
    let request = json!({ "stream_name": stream, "config": config, "action": "update" });
    ask(client, &format!("CONSUMER.CREATE.{stream}.{consumer}"), &request).await?;
    Ok(())
}
