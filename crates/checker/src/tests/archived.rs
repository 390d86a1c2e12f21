//! Archived records are judged as if they were in the ledger.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{INTENT, NOW, breaks, good, rewritten, time};
use crate::{Evidence, Message, check};

/// The same evidence with the intent in the archive, in this many parts, and its ledger purged.
pub(super) fn archived(evidence: &Evidence, parts: usize) -> Evidence {
    let index: Vec<Value> = evidence
        .messages
        .iter()
        .map(|message| {
            let length = message.bytes().len();
            json!({"seq": message.seq, "stored": time(message.time_ms - NOW), "headers": message.headers, "bytes": length})
        })
        .collect();
    let mut text = format!("{}\n", json!({"bundle": 1, "intent": INTENT, "records": index}));
    for message in &evidence.messages {
        text.push_str(message.body.as_deref().unwrap());
        text.push('\n');
    }
    let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    text.push_str(&format!("sha256:{digest}\n"));
    let mut evidence = evidence.clone();
    evidence.messages.clear();
    let size = text.len().div_ceil(parts);
    for part in 0..parts {
        let own = |name: &str, value: String| (name.to_owned(), value);
        let mut headers = vec![own("Baton-Intent", INTENT.to_owned()), own("Baton-Submitted", time(0))];
        if parts > 1 {
            headers.push(own("Baton-Part", format!("{}/{parts}", part + 1)));
        }
        if part > 0 {
            headers.push(own("Baton-Previous-Part", part.to_string()));
        }
        evidence.messages.push(Message {
            stream: "MESH_ARCHIVE".to_owned(),
            seq: part as u64 + 1,
            subject: "mesh.archive.beta".to_owned(),
            headers,
            body: Some(text[part * size..text.len().min((part + 1) * size)].to_owned()),
            ..Message::default()
        });
    }
    evidence
}

/// Changes the index of the one bundle that is there, and its digest.
pub(super) fn amend(evidence: &mut Evidence, change: impl Fn(&mut Value)) {
    let body = evidence.messages[0].body.take().unwrap();
    let (text, _) = body.rsplit_once("sha256:").unwrap();
    let (index, rest) = text.split_once('\n').unwrap();
    let mut index: Value = serde_json::from_str(index).unwrap();
    change(&mut index);
    let text = format!("{index}\n{rest}");
    let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    evidence.messages[0].body = Some(format!("{text}sha256:{digest}\n"));
}

#[test]
fn what_was_archived_counts_as_if_it_were_in_the_ledger() {
    for parts in [1, 3] {
        let evidence = archived(&good(), parts);
        let verdict = check(&evidence);
        assert!(verdict.holds(), "{verdict:?}");
        assert_eq!((verdict.counts.archived, verdict.counts.records), (1, 7));
        // The last record may still be in the ledger too; it is the same record.
        let mut kept = evidence.clone();
        kept.messages.extend(good().messages.pop());
        assert_eq!(check(&kept).counts, verdict.counts);
        let mut torn = evidence.clone();
        let body = torn.messages.last_mut().unwrap().body.as_mut().unwrap();
        *body = body.replace("r7", "r8");
        breaks("I1", &torn);
    }
    let mut lacks = archived(&good(), 3);
    lacks.messages.remove(0);
    breaks("I1", &lacks);
    // An invariant broken in the archive is found there.
    breaks(
        "I3",
        &archived(
            &rewritten(|records| {
                let last = records.last().cloned().unwrap();
                records.push((300, {
                    let mut again = last.1;
                    again["id"] = json!("r8");
                    again
                }));
            }),
            1,
        ),
    );
}
