//! What of the ledger cannot be read: how it is listed, and how an intent is repaired.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_envelope::control::{ControlError, Removed, RepairView, Unreadable};
use baton_envelope::{Author, DecodeError, IntentId, Subjects, act, codes, containable};

use super::advance::{Advanced, Decision, Known};
use super::heads::HeadParts;
use crate::error::Error;
use crate::server::{ControllerMesh, Mesh};

/// What the keys of intents begin with.
pub(crate) const INTENT: &str = "intent";
/// What the keys of other subjects of the ledger begin with.
pub(crate) const SUBJECT: &str = "ledger";
/// How many bytes of removed messages a repair gives back, all together: the answer must fit into a message.
const GIVEN_BACK: usize = 256 << 10;

/// An intent whose last record decides nothing.
pub(super) fn record(intent: &IntentId, seq: u64, problem: String) -> Unreadable {
    of(intent, seq, problem, "the intent goes on from the record before it")
}

/// An intent of which no record can be read.
pub(super) fn all(intent: &IntentId, seq: u64, problem: String) -> Unreadable {
    of(
        intent,
        seq,
        problem,
        "the id is taken, and there is nothing to go on from",
    )
}

/// An intent whose last record may be one of a newer protocol.
pub(super) fn newer(intent: &IntentId, seq: u64, error: &DecodeError) -> Unreadable {
    let meanwhile = "nobody of this build acts on the intent";
    Unreadable {
        newer: true,
        ..of(intent, seq, error.to_string(), meanwhile)
    }
}

/// A subject of the ledger that no intent can have.
pub(super) fn subject(subject: &str, seq: u64) -> Unreadable {
    Unreadable {
        key: format!("{SUBJECT}/{subject}"),
        seq,
        problem: "this is the subject of no intent".to_owned(),
        meanwhile: "nobody reads it".to_owned(),
        newer: false,
    }
}

fn of(intent: &IntentId, seq: u64, problem: String, meanwhile: &str) -> Unreadable {
    // Whoever shows it says that already.
    let problem = match problem.strip_prefix("it cannot be read: ") {
        Some(why) => why.to_owned(),
        None => problem,
    };
    Unreadable {
        key: format!("{INTENT}/{intent}"),
        seq,
        problem,
        meanwhile: meanwhile.to_owned(),
        newer: false,
    }
}

/// The subject of the ledger on which something cannot be read.
pub(crate) fn subject_of_key(subjects: &Subjects, one: &Unreadable) -> Option<String> {
    match one.key.split_once('/')? {
        (INTENT, intent) => Some(subjects.ledger(&intent.parse().ok()?)),
        (SUBJECT, subject) => Some(subject.to_owned()),
        _ => None,
    }
}

impl Mesh {
    /// What of the ledger cannot be read: each intent whose last record decides nothing.
    pub(crate) async fn unreadable_records(&self) -> Result<Vec<Unreadable>, Error> {
        let mut found = Vec::new();
        let subjects = self.ledger_subjects().await?;
        let mut parts = HeadParts::of(&subjects);
        while let Some((_, unreadable)) = parts.next(self).await? {
            found.extend(unreadable);
        }
        Ok(found)
    }
}

impl ControllerMesh {
    /// Repairs an intent whose last record cannot be read: its state, as the last readable record says it, is written again
    /// behind it. Where none can be read, all are removed, and the id is free.
    pub(crate) async fn repair_intent(&self, intent: &IntentId, force: bool, by: &Author) -> Result<RepairView, Error> {
        let key = format!("{INTENT}/{intent}");
        let records = self.raw_history(intent, 1).await?;
        let (mut reads, _) = self.judge(intent, &records);
        let Some((end, read)) = reads.pop() else {
            return Err(Error::NoIntent(intent.clone()));
        };
        let problem = match (containable(&read), read) {
            (Some(problem), _) => problem,
            (None, Ok(_)) => return Err(nothing_to_repair(&key)),
            (None, Err(error)) if force => error.to_string(),
            (None, Err(error)) => {
                let message = format!("record {end} of {intent} may be of a newer version of the protocol: {error}");
                let fix = "start the newer build, which can read it; `--force` repairs it in spite of that";
                return Err(ControlError::new(codes::WRONG_STATUS, message, fix).into());
            }
        };
        let head = match self.judged_head(intent, &records) {
            Ok(Some(head)) => head,
            Ok(None) => return Err(Error::NoIntent(intent.clone())),
            Err(Error::NoneReadable { .. }) => {
                self.announce_removal(&by.instance, &records).await?;
                let removed = removed(records.iter().map(|stored| (stored.seq, &*stored.body)));
                self.purge_records(intent, end + 1).await?;
                let done = format!(
                    "no record of it could be read: all {} were removed, and the id is free",
                    records.len()
                );
                return Ok(RepairView { key, done, removed });
            }
            Err(error) => return Err(error),
        };
        let note = format!("repaired: record {end} cannot be read ({problem})");
        let repaired = self.advance(intent, by, Known::Read(&head), |now, _| {
            // Whoever has written since has repaired it.
            if now.is_none_or(|now| now.seq != end) {
                return Ok::<_, Error>(Decision::Nothing);
            }
            Ok(act::repair(&head.record, &note)?.into())
        });
        let done = match repaired.await? {
            Advanced::Committed(committed) => {
                let status = &committed.record.snapshot.status;
                format!(
                    "it is {status}, as the last readable record says: written again as record {}",
                    committed.seq
                )
            }
            Advanced::Unchanged(_) => "somebody has written behind it meanwhile, which repairs it".to_owned(),
        };
        Ok(RepairView {
            key,
            done,
            removed: Vec::new(),
        })
    }
}

/// That a key can be read, or does not exist.
pub(crate) fn nothing_to_repair(key: &str) -> Error {
    let message = format!("there is nothing to repair at \"{key}\": it can be read, or is not there");
    ControlError::new(
        codes::NOT_FOUND,
        message,
        "`baton repair list` shows what cannot be read",
    )
    .into()
}

/// Messages that are about to be removed, for whoever asked; what there is no room for is cut.
pub(crate) fn removed<'a>(messages: impl IntoIterator<Item = (u64, &'a [u8])>) -> Vec<Removed> {
    let mut room = GIVEN_BACK;
    let given = messages.into_iter().map(|(seq, body)| {
        let body = body.get(..room.min(body.len())).unwrap_or_default();
        room -= body.len();
        Removed {
            seq,
            body_base64: STANDARD.encode(body),
        }
    });
    given.take(1000).collect()
}
