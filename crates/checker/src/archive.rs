//! Puts closed intents that were moved to the archive back among the records, as they were in the ledger (section 17 of
//! `docs/protocol.md`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Deserialize;

use crate::evidence::Message;
use crate::record::millis;
use crate::signed::hash_of;

#[derive(Deserialize)]
struct Index {
    bundle: u32,
    intent: String,
    records: Vec<Entry>,
    #[serde(default)]
    void: Vec<VoidEntry>,
}

/// A record that decides nothing, with its body.
#[derive(Deserialize)]
struct VoidEntry {
    seq: u64,
    stored: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Deserialize)]
struct Entry {
    seq: u64,
    stored: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    bytes: usize,
}

/// What came of unpacking an archive.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// The number of bundles.
    pub(crate) bundles: usize,
    /// What is wrong with the archive.
    pub(crate) wrong: Vec<String>,
    /// The records that bundles list as void, each by its intent and its sequence.
    pub(crate) void: BTreeSet<(String, u64)>,
}

/// Adds the records of every bundle that the ledger no longer has, and the void ones where `is_signed`.
pub(crate) fn unpack(messages: &mut Vec<Message>, is_signed: bool) -> Unpacked {
    let mut wrong = Vec::new();
    let mut void = BTreeSet::new();
    // Of two bundles of one life of an intent the newer counts. The key is the intent and its time of submission.
    let mut bundles: BTreeMap<(String, String), (String, Vec<u8>)> = BTreeMap::new();
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
        let ledger = ledger_of(&message.subject);
        let whole = message
            .header("Baton-Part")
            .and_then(|part| part.split_once('/'))
            .is_none_or(|(part, parts)| part == parts);
        if whole {
            let own = |name| message.header(name).unwrap_or_default().to_owned();
            bundles.insert((own("Baton-Intent"), own("Baton-Submitted")), (ledger, bytes));
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
    for ((intent, _), (ledger, bytes)) in bundles {
        match open(&intent, &ledger, &bytes) {
            Ok((mut records, set_aside)) => {
                if is_signed {
                    void.extend(set_aside.iter().map(|record| (intent.clone(), record.seq)));
                    records.extend(set_aside);
                }
                let new = |record: &Message| there.insert((intent.clone(), record.seq));
                messages.extend(records.into_iter().filter(new));
            }
            Err(error) => wrong.push(format!("the bundle of {intent}: {error}")),
        }
    }
    Unpacked {
        bundles: count,
        wrong,
        void,
    }
}

/// What the subjects of the ledger begin with in the mesh of this archive.
fn ledger_of(archive: &str) -> String {
    let namespace = archive.split('.').next().unwrap_or_default();
    format!("{namespace}.ledger.0")
}

/// The records of a bundle, and those that it lists as void.
fn open(intent: &str, ledger: &str, bytes: &[u8]) -> Result<(Vec<Message>, Vec<Message>), String> {
    let end = bytes.len().checked_sub("sha256:\n".len() + 64).ok_or("too short")?;
    let (text, digest) = bytes.split_at(end);
    if digest != format!("sha256:{}\n", hash_of(text)).as_bytes() {
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
            body: Some(String::from_utf8(body.to_vec()).map_err(|error| error.to_string())?),
            ..message(intent, ledger, entry.seq, &entry.stored, entry.headers)?
        });
    }
    let void = index.void.into_iter().map(|entry| {
        Ok(Message {
            body_base64: Some(entry.body),
            ..message(intent, ledger, entry.seq, &entry.stored, entry.headers)?
        })
    });
    let void = void.collect::<Result<Vec<Message>, String>>()?;
    if rest == b"\n" {
        Ok((found, void))
    } else {
        Err("there is more than its records".to_owned())
    }
}

fn message(
    intent: &str,
    ledger: &str,
    seq: u64,
    stored: &str,
    headers: Vec<(String, String)>,
) -> Result<Message, String> {
    Ok(Message {
        stream: "MESH_LEDGER".to_owned(),
        seq,
        subject: format!("{ledger}.{intent}"),
        time_ms: millis(stored).ok_or_else(|| format!("the time {stored:?}"))?,
        headers,
        ..Message::default()
    })
}
