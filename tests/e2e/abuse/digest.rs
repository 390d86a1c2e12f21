//! What a mesh is made of, in a form that can be compared.

use std::collections::BTreeMap;

use baton_testkit::Client;
use serde_json::{Value, json};

/// Keys that controllers write all the time, by stream: of these the form of the value counts, not the revision.
const MOVING: &[(&str, &str)] = &[
    ("KV_MESH_CONTROL", "$KV.MESH_CONTROL.leader"),
    ("KV_MESH_AGENTS", "$KV.MESH_AGENTS."),
];

/// The consumers that controllers follow with. A controller that hears nothing for a while makes another, which begins where the
/// last one was: of these the form counts, not the name.
const FOLLOWS: &str = "Baton: a controller follows the ledger";

/// Every stream, consumer and key: its name, and how it is.
#[derive(Debug, Default)]
pub(super) struct Digest(BTreeMap<String, String>);

impl Digest {
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let names = self
            .0
            .keys()
            .chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        names
            .filter(|name| self.0.get(*name) != other.0.get(*name))
            .map(|name| format!("{name}:\n  {:?}\n  {:?}", self.0.get(name), other.0.get(name)))
            .collect()
    }
}

/// Takes it by the account of the controllers.
pub(super) async fn of(control: &Client) -> Digest {
    let mut digest = BTreeMap::new();
    let listed = ask(control, "STREAM.LIST", &json!({})).await;
    for stream in listed["streams"].as_array().expect("streams") {
        let name = stream["config"]["name"].as_str().expect("a name");
        digest.insert(format!("stream {name}"), stream["config"].to_string());
        let about = json!({ "subjects_filter": ">", "deleted_details": true });
        let state = ask(control, &format!("STREAM.INFO.{name}"), &about).await["state"].take();
        let subjects = state["subjects"].as_object().cloned().unwrap_or_default();
        let is_moving = |subject: &str| {
            MOVING
                .iter()
                .any(|(of, begin)| *of == name && subject.starts_with(begin))
        };
        if MOVING.iter().all(|(of, _)| *of != name) {
            let parts = ["messages", "first_seq", "last_seq", "num_deleted", "deleted"].map(|part| &state[part]);
            digest.insert(format!("messages of {name}"), format!("{parts:?}"));
        }
        for subject in subjects.keys() {
            let get = format!("$JS.API.DIRECT.GET.{name}.{subject}");
            let message = control.request(get, "".into()).await.expect("an answer");
            let seq = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Nats-Sequence"));
            let is = match is_moving(subject) {
                true => form(&message.payload),
                false => format!("{seq:?} {:?}", message.payload),
            };
            digest.insert(format!("last of {subject}"), is);
        }
        let listed = ask(control, &format!("CONSUMER.LIST.{name}"), &json!({})).await;
        for consumer in listed["consumers"].as_array().expect("consumers") {
            if consumer["config"]["description"] == FOLLOWS {
                let mut config = consumer["config"].clone();
                config["opt_start_seq"] = Value::Null;
                digest.insert(format!("followers of {name}"), config.to_string());
                continue;
            }
            let parts = ["config", "num_pending", "num_ack_pending", "num_redelivered"].map(|part| &consumer[part]);
            let reached = ["delivered", "ack_floor"].map(|part| &consumer[part]["stream_seq"]);
            let key = format!("consumer {} of {name}", consumer["name"]);
            digest.insert(key, format!("{parts:?} {reached:?}"));
        }
    }
    Digest(digest)
}

async fn ask(control: &Client, what: &str, body: &Value) -> Value {
    let answer = control
        .request(format!("$JS.API.{what}"), body.to_string().into())
        .await;
    let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
    serde_json::from_slice(&answer.payload).expect("JSON")
}

/// The names in a stored value.
fn form(value: &[u8]) -> String {
    match serde_json::from_slice(value) {
        Ok(Value::Object(fields)) => format!("{:?}", fields.keys().collect::<Vec<_>>()),
        _ => String::from_utf8_lossy(value).into_owned(),
    }
}
