//! Puts closed intents that were moved to the archive back among the records, as they were in the ledger (section 17 of
//! `docs/protocol.md`).

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::evidence::Message;
use crate::record::millis;

#[derive(Deserialize)]
struct Index {
    bundle: u32,
    intent: String,
    records: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    seq: u64,
    stored: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    bytes: usize,
}

/// Adds the records of every bundle that the ledger no longer has. Returns the number of bundles, and what is wrong
/// with the archive.
pub(crate) fn unpack(messages: &mut Vec<Message>) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    // Of two bundles of one life of an intent the newer counts. The key is the intent and its time of submission.
    let mut bundles: BTreeMap<(String, String), Vec<u8>> = BTreeMap::new();
    let mut parts: HashMap<u64, Vec<u8>> = HashMap::new();
    for message in messages.iter().filter(|message| message.stream.ends_with("_ARCHIVE")) {
        let mut bytes = Vec::new();
        if let Some(previous) = message.header("Baton-Previous-Part") {
            match previous.parse().ok().and_then(|seq: u64| parts.get(&seq)) {
                Some(before) => bytes.extend_from_slice(before),
                None => {
                    wrong.push(format!(
                        "archive {}: there is no part {previous} before it",
                        message.seq
                    ));
                    continue;
                }
            }
        }
        bytes.extend(message.bytes());
        let whole = message
            .header("Baton-Part")
            .and_then(|part| part.split_once('/'))
            .is_none_or(|(part, parts)| part == parts);
        if whole {
            let own = |name| message.header(name).unwrap_or_default().to_owned();
            bundles.insert((own("Baton-Intent"), own("Baton-Submitted")), bytes);
        } else {
            parts.insert(message.seq, bytes);
        }
    }
    let mut there: HashSet<(String, u64)> = HashSet::new();
    for message in messages.iter().filter(|message| message.stream.ends_with("_LEDGER")) {
        let intent = message.subject.rsplit('.').next().unwrap_or_default();
        there.insert((intent.to_owned(), message.seq));
    }
    let count = bundles.len();
    for ((intent, _), bytes) in bundles {
        match open(&intent, &bytes) {
            Ok(records) => messages.extend(
                records
                    .into_iter()
                    .filter(|record| there.insert((intent.clone(), record.seq))),
            ),
            Err(error) => wrong.push(format!("the bundle of {intent}: {error}")),
        }
    }
    (count, wrong)
}

fn open(intent: &str, bytes: &[u8]) -> Result<Vec<Message>, String> {
    let end = bytes.len().checked_sub("sha256:\n".len() + 64).ok_or("too short")?;
    let (text, digest) = bytes.split_at(end);
    let expected: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != format!("sha256:{expected}\n").as_bytes() {
        return Err("its digest is another".to_owned());
    }
    let line = text.iter().position(|byte| *byte == b'\n').ok_or("no index")?;
    let (index, mut rest) = text.split_at(line);
    let index: Index = serde_json::from_slice(index).map_err(|error| error.to_string())?;
    if index.bundle != 1 || index.intent != intent {
        return Err(format!("it is of form {} and of {}", index.bundle, index.intent));
    }
    let mut found = Vec::new();
    for entry in index.records {
        // A newline precedes each body: the end of the line before it.
        let body = rest.get(1..=entry.bytes).ok_or("a body is cut off")?;
        rest = rest.get(entry.bytes + 1..).unwrap_or_default();
        found.push(Message {
            stream: "MESH_LEDGER".to_owned(),
            seq: entry.seq,
            subject: format!("mesh.ledger.archived.{intent}"),
            time_ms: millis(&entry.stored).ok_or_else(|| format!("the time {:?}", entry.stored))?,
            headers: entry.headers,
            body: Some(String::from_utf8(body.to_vec()).map_err(|error| error.to_string())?),
            body_base64: None,
        });
    }
    if rest == b"\n" {
        Ok(found)
    } else {
        Err("there is more than its records".to_owned())
    }
}
