//! What the controllers have counted, against what is there.

use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::grant::Trust;
use super::line::{self, Line};
use crate::evidence::{Evidence, Message};
use crate::verdict::Violation;

#[derive(Deserialize)]
struct Checkpoint {
    checkpoint: u32,
    ledger: Span,
    archive: Span,
    #[serde(default)]
    removed: Vec<Removed>,
}

#[derive(Deserialize)]
struct Span {
    created: String,
    after: u64,
    through: u64,
    count: u64,
    root: String,
}

/// A message that a controller has taken out of the ledger, and says so.
#[derive(Deserialize)]
struct Removed {
    seq: u64,
    subject: String,
    link: String,
}

/// The subject and the link of each message, by its sequence.
type Leaves = BTreeMap<u64, (String, String)>;

/// Compares each checkpoint; says how many verify.
pub(crate) fn check(evidence: &Evidence, trust: &Trust, found: &mut Vec<Violation>) -> usize {
    let of = |ending: &'static str| {
        evidence
            .messages
            .iter()
            .filter(move |message| message.stream.ends_with(ending) && !message.stream.starts_with("KV_"))
    };
    let mut messages: Vec<&Message> = of("_AUDIT").collect();
    messages.sort_by_key(|message| message.seq);
    let mut checkpoints: Vec<(u64, Checkpoint)> = Vec::new();
    let mut before: Option<&Message> = None;
    for message in messages {
        match read(message, before, trust) {
            Ok(checkpoint) => checkpoints.push((message.seq, checkpoint)),
            Err(problem) => found.push(Violation::at_large(
                "S2",
                format!("checkpoint {}: {problem}", message.seq),
            )),
        }
        before = Some(message);
    }
    let leaf = |message: &Message| (message.seq, (message.subject.clone(), line::link(message)));
    let archive: Leaves = of("_ARCHIVE").map(leaf).collect();
    let mut ledger = Leaves::new();
    for (seq, one) in of("_LEDGER").map(leaf) {
        // The ledger and a bundle may both have a message, and then alike.
        if ledger.get(&seq).is_some_and(|other| *other != one) {
            let what = format!("ledger sequence {seq} holds two different messages");
            found.push(Violation::at_large("S2", what));
        }
        ledger.insert(seq, one);
    }
    for removed in checkpoints.iter().flat_map(|(_, checkpoint)| &checkpoint.removed) {
        let there = ledger.entry(removed.seq);
        there.or_insert_with(|| (removed.subject.clone(), removed.link.clone()));
    }
    let Some((_, last)) = checkpoints.last() else { return 0 };
    let (ledger_now, archive_now) = (last.ledger.created.clone(), last.archive.created.clone());
    let mut reached: [Option<(String, u64)>; 2] = [None, None];
    for (seq, checkpoint) in &checkpoints {
        let spans = [
            ("ledger", &checkpoint.ledger, &ledger, &ledger_now),
            ("archive", &checkpoint.archive, &archive, &archive_now),
        ];
        for ((name, span, leaves, now), reached) in spans.into_iter().zip(&mut reached) {
            let mut complain = |what: String| {
                found.push(Violation::at_large("S2", format!("checkpoint {seq}, {name}: {what}")));
            };
            if let Some((created, through)) = reached
                && *created == span.created
                && *through != span.after
            {
                complain(format!(
                    "it begins after {}, and the one before it ends with {through}",
                    span.after
                ));
            }
            *reached = Some((span.created.clone(), span.through));
            // What an earlier stream of the name held cannot be compared.
            if span.created != *now || span.after >= span.through {
                continue;
            }
            let (count, root) = rolled(leaves, span);
            if (count, &root) != (span.count, &span.root) {
                let (after, through, counted) = (span.after, span.through, span.count);
                complain(format!(
                    "of {after} to {through} it has counted {counted} messages, there are {count}, or they are others"
                ));
            }
        }
    }
    checkpoints.len()
}

fn rolled(leaves: &Leaves, span: &Span) -> (u64, String) {
    let (mut count, mut root) = (0, [0_u8; 32]);
    for (seq, (subject, link)) in leaves.range(span.after + 1..=span.through) {
        let mut hash = Sha256::new();
        hash.update(root);
        hash.update(format!("{seq} {subject} {link}\n"));
        root = hash.finalize().into();
        count += 1;
    }
    (count, line::hex(&root))
}

fn read(message: &Message, before: Option<&Message>, trust: &Trust) -> Result<Checkpoint, String> {
    let text = line::text(message).ok_or("it is not signed")?;
    let signed = Line::read(text).ok_or("its signature has another form")?;
    let key = trust.key(&signed.signer).ok_or("its signer is not trusted")?;
    if !trust.is_controller(&signed.signer, message.time_ms) {
        return Err("its signer is no controller".to_owned());
    }
    if !signed.verifies(&key, &message.subject, message) {
        return Err("its signature is of something else".to_owned());
    }
    if !signed.was_guarded(message) {
        return Err("the server has not held it to the guard that was signed".to_owned());
    }
    let follows = (signed.expected, signed.previous);
    if follows != (before.map_or(0, |before| before.seq), before.map(line::link)) {
        return Err("it names another one as the checkpoint before it".to_owned());
    }
    let checkpoint: Checkpoint =
        serde_json::from_slice(&message.bytes()).map_err(|error| format!("it cannot be read: {error}"))?;
    if checkpoint.checkpoint == 1 {
        Ok(checkpoint)
    } else {
        Err(format!("it has form {}", checkpoint.checkpoint))
    }
}
