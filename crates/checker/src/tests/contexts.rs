//! What a tree remembers: a story of two hops holds, and each way in which its objects could be wrong is found.

mod gaps;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{INTENT, breaks, records, story_of};
use crate::evidence::Message;
use crate::{Evidence, check};

const CONTENT: &str = "the decision";

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn object(tree: &str, named: &str, body: &str) -> Message {
    Message {
        stream: "MESH_CONTEXT".to_owned(),
        seq: 1,
        subject: format!("mesh.context.{tree}.{named}"),
        time_ms: 0,
        headers: Vec::new(),
        body: Some(body.to_owned()),
        body_base64: None,
    }
}

/// The first hop remembers one thing, the second another, and the last record says so. `change` edits the links before they get
/// their hashes.
fn story(change: impl Fn(&mut Value, &mut Value)) -> Evidence {
    let memory = |text: &str| json!({"key": text, "hash": hash(text)});
    let mut first = json!({"link": 1, "tree": INTENT, "depth": 1, "memories": [memory(CONTENT)]});
    let mut second = json!({"link": 1, "tree": INTENT, "depth": 2, "memories": [memory("more")]});
    second["previous"] = json!([hash(&first.to_string())]);
    change(&mut first, &mut second);
    let (first, second) = (first.to_string(), second.to_string());
    let mut all = records();
    all[3].1["envelope"]["context"] = json!({"head": hash(&first), "links": 1, "memories": 1});
    all[6].1["snapshot"]["context"] = json!({"head": hash(&second), "links": 2, "memories": 2});
    let mut evidence = story_of(&all);
    for text in [CONTENT, "more", &first, &second] {
        evidence.messages.push(object(INTENT, &hash(text), text));
    }
    evidence
}

/// The story with one object changed, or without it.
fn edited(which: &str, edit: impl Fn(&mut Message) -> bool) -> Evidence {
    let mut evidence = story(|_, _| ());
    let subject = format!("mesh.context.{INTENT}.{}", hash(which));
    evidence
        .messages
        .retain_mut(|message| message.subject != subject || edit(message));
    evidence
}

#[test]
fn a_story_of_memories_holds() {
    let verdict = check(&story(|_, _| ()));
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.counts.contexts, 2);
}

#[test]
fn c1_what_is_missing_or_altered_is_found() {
    breaks("C1", &edited(CONTENT, |_| false));
    let alter = |message: &mut Message| {
        message.body = Some("another decision".to_owned());
        true
    };
    breaks("C1", &edited(CONTENT, alter));
    let elsewhere = |message: &mut Message| {
        message.subject = message.subject.replace(INTENT, "another");
        true
    };
    breaks("C1", &edited("more", elsewhere));
    // The first link is not where the second one says.
    breaks("C1", &story(|_, second| second["previous"] = json!([hash("nothing")])));
}

#[test]
fn c1_a_link_of_another_tree_and_wrong_numbers_are_found() {
    breaks("C1", &story(|_, second| second["tree"] = json!("another")));
    breaks("C1", &story(|_, second| second["depth"] = json!(3)));
    breaks("C1", &story(|_, second| second["memories"] = json!([])));
}
