//! Decisions of people: publishing them, and writing them into the ledger.

use std::time::Duration;

use baton_envelope::people::{Approval, DecisionSubject, PeopleAct, PeopleEntry, Refusal, Said, Word};
use baton_envelope::{
    AskedDecision, Author, Body, DecisionFate, HEADER_MSG_ID, IntentId, Json, OpenWait, PersonName, RawIntent,
    Timestamp, act, codes, is_told, on_decision, open_approval, recorded_waits,
};
use tokio::time::Instant;

use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::{ControllerMesh, Mesh};

/// How many times to read a head again that others write to.
const TRIES: u32 = 50;
/// How often to look whether a decision was taken.
const LOOK: Duration = Duration::from_millis(50);
/// The longest body of a decision, in bytes.
const LONGEST_BODY: usize = 16 * 1024;

/// A decision as a client publishes it.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// Who decides: a person, or `-`.
    pub by: String,
    /// The intent.
    pub intent: IntentId,
    /// The hop that waits.
    pub hop: u32,
    /// The wait.
    pub wait: String,
    /// The choice, or `delegate`.
    pub choice: String,
    /// The form, or `{"to": …}` for `delegate`; may be empty.
    pub body: Vec<u8>,
}

/// What became of a decision that was published.
#[derive(Debug)]
pub enum Heard {
    /// It counts; this is its record.
    Counted(Box<Head>),
    /// It was refused; this is its dead letter.
    Refused(Box<Head>),
    /// It is stored, and no controller had taken it when the time was up.
    Waits {
        /// Its sequence in the intake.
        seq: u64,
    },
}

/// What became of a decision that a controller took.
#[derive(Debug)]
pub enum Ruled {
    /// The ledger has it, at this sequence.
    Counted {
        /// The sequence of the record.
        seq: u64,
    },
    /// The ledger had it already.
    Before,
    /// The ledger has nothing of the intent.
    NoIntent,
    /// A worker of an old release could count its record for a death: later.
    NotYet,
    /// It is refused, and ends nothing.
    Refused {
        /// The code.
        code: &'static str,
        /// Why, in words.
        why: String,
    },
}

/// Checks an answer by the form of an approval.
pub type CheckForm<'a> = &'a (dyn Fn(&Approval, Option<&str>) -> Result<(), String> + Sync);

impl Mesh {
    /// Publishes a decision and waits until a controller has taken it.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn decide(&self, new: &NewDecision, patience: Duration) -> Result<Heard, Error> {
        let until = Instant::now() + patience;
        // Nobody else publishes under this id, so what is recorded under it is this decision.
        let id = self.clock().intent_id();
        let subject = self
            .subjects()
            .decision(&new.by, &new.intent, new.hop, &new.wait, &new.choice);
        let headers = vec![(HEADER_MSG_ID.to_owned(), id.to_string())];
        let seq = self.publish_raw(subject, headers, new.body.clone().into()).await?;
        let is_own =
            |head: &&Head| head.record.people.as_ref().and_then(|entry| entry.id.as_deref()) == Some(id.as_str());
        let letter = new.intent.letter(id.as_str());
        loop {
            let head = self.head(&new.intent).await?;
            // It may have ended the intent, which may be archived at once.
            if head.is_none_or(|head| is_told(&head.record.snapshot, id.as_str())) {
                let history = self.trail(&new.intent).await?;
                if let Some(head) = history.iter().find(is_own) {
                    return Ok(Heard::Counted(Box::new(head.clone())));
                }
            }
            if let Some(dead) = self.head(&letter).await? {
                return Ok(Heard::Refused(Box::new(dead)));
            }
            if Instant::now() >= until {
                return Ok(Heard::Waits { seq });
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl ControllerMesh {
    /// Writes the decision of a message on the head of its intent, and pays what the head then owes. `seq` is its place in the
    /// intake.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn rule(
        &self,
        raw: &RawIntent<'_>,
        seq: u64,
        subject: &DecisionSubject,
        check: CheckForm<'_>,
        by: &Author,
    ) -> Result<Ruled, Error> {
        let word = match Word::read(&subject.choice, raw.body) {
            Ok(word) => word,
            Err(why) => {
                let code = codes::BAD_DELEGATION;
                return Ok(Ruled::Refused { code, why });
            }
        };
        let said = Said {
            by: subject.by.clone(),
            word,
            seq,
        };
        let id = raw.message_id();
        let asked = AskedDecision {
            hop: subject.hop,
            wait: &subject.wait,
        };
        for _ in 0..TRIES {
            let Some(head) = self.head(&subject.intent).await? else {
                return Ok(Ruled::NoIntent);
            };
            if self.could_burn(&head).await? {
                return Ok(Ruled::NotYet);
            }
            let opened = self.opened(&head, &asked).await?;
            let is_late = |wait: &OpenWait| {
                opened
                    .as_ref()
                    .is_some_and(|opened| opened.is_over(wait, raw.stored_at))
            };
            let ballot = match on_decision(&head.record.snapshot, &asked, &said, id, is_late) {
                DecisionFate::Take(ballot) => ballot,
                DecisionFate::Known => {
                    // Whoever recorded it may have died before it went on.
                    self.settle(&head).await?;
                    return Ok(Ruled::Before);
                }
                refused @ (DecisionFate::Older
                | DecisionFate::TooLate
                | DecisionFate::NotOpen
                | DecisionFate::Refused(_)) => return self.refused(&head, &asked, &said, refused).await,
            };
            let (mut entry, body) = (entry(&said, &asked, id, raw), raw.body);
            if let Word::Choice(choice) = &said.word {
                let form = opened.as_ref().filter(|_| ballot.needs_form(choice));
                if let Some(refused) = checked(form, body, check) {
                    return Ok(refused);
                }
                if !body.is_empty() {
                    entry.form = Body::of_bytes(body).json;
                }
            }
            let written = self.advance(&subject.intent, by, Known::Read(&head), |now, _| {
                match now.filter(|now| now.seq == head.seq) {
                    Some(now) => Ok::<_, Error>(act::decide(now.snapshot, entry.clone(), (*ballot).clone())?.into()),
                    None => Ok(Decision::Nothing),
                }
            });
            if let Advanced::Committed(committed) = written.await? {
                return Ok(Ruled::Counted { seq: committed.seq });
            }
        }
        Err(Error::Raced(subject.intent.clone()))
    }

    /// Why a decision is refused.
    async fn refused(
        &self,
        head: &Head,
        asked: &AskedDecision<'_>,
        said: &Said,
        fate: DecisionFate,
    ) -> Result<Ruled, Error> {
        let record = &head.record;
        let (intent, by, wait, hop) = (&record.intent, &said.by, asked.wait, asked.hop);
        let late = || {
            let (status, at) = (&record.snapshot.status, record.at);
            format!("{by} decided about \"{wait}\" of hop {hop} of {intent} when that was over ({status}, {at})")
        };
        let (code, why) = match fate {
            DecisionFate::Refused(refusal) => (code_of(&refusal), format!("{by} {refusal}")),
            DecisionFate::Older => (
                codes::OLDER_DECISION,
                format!("{by} has said something later about \"{wait}\" of hop {hop} of {intent}, and that counts"),
            ),
            DecisionFate::TooLate => (codes::TOO_LATE, late()),
            DecisionFate::NotOpen => {
                let history = self.history(intent, 1).await?;
                let ended = recorded_waits(history.iter().map(|head| &head.record), hop);
                match ended.contains_key(wait) {
                    true => (codes::TOO_LATE, late()),
                    false => (
                        codes::NOT_WAITING,
                        format!(
                            "hop {hop} of {intent} does not wait for \"{wait}\": {}",
                            open_ones(head)
                        ),
                    ),
                }
            }
            DecisionFate::Take(_) | DecisionFate::Known => (codes::BUG, "it was not to be refused".to_owned()),
        };
        Ok(Ruled::Refused { code, why })
    }
}

impl Mesh {
    /// The record that opened an approval; `None` when it is not open.
    pub(super) async fn opened(&self, head: &Head, asked: &AskedDecision<'_>) -> Result<Option<Opened>, Error> {
        let Some((wait, _)) = open_approval(&head.record.snapshot, asked) else {
            return Ok(None);
        };
        let found = match wait.seq {
            Some(seq) if seq != head.seq => self.record_at(&head.record.intent, seq).await?,
            Some(_) | None => head.clone(),
        };
        let spec = found.record.waits.iter().find(|spec| spec.name == asked.wait);
        Ok(Some(Opened {
            // Its own clock is the next best where the server does not say.
            at: found.stored_at.unwrap_or(found.record.at),
            approval: spec.and_then(|spec| spec.approval.clone()).unwrap_or_default(),
        }))
    }
}

/// An approval that is open.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    /// Since when.
    pub(super) at: Timestamp,
    /// What people are asked.
    pub(super) approval: Approval,
}

impl Opened {
    /// When its time is over.
    pub(super) fn due(&self, wait: &OpenWait) -> Option<Timestamp> {
        let after = Duration::from_millis(wait.after_ms?);
        Some(self.at.plus(after))
    }

    fn is_over(&self, wait: &OpenWait, at: Timestamp) -> bool {
        self.due(wait).is_some_and(|due| at >= due)
    }
}

/// Checks the body of a decision; `None` when it is as it should be.
fn checked(opened: Option<&Opened>, body: &[u8], check: CheckForm<'_>) -> Option<Ruled> {
    let bad = |why: String| {
        Some(Ruled::Refused {
            code: codes::BAD_FORM,
            why,
        })
    };
    if body.len() > LONGEST_BODY {
        let length = body.len();
        return bad(format!(
            "the body has {length} bytes, and may have at most {LONGEST_BODY}"
        ));
    }
    let opened = opened.filter(|opened| opened.approval.form.is_some())?;
    let text = match std::str::from_utf8(body) {
        Ok(text) => Some(text).filter(|text| !text.trim().is_empty()),
        Err(error) => return bad(format!("the body is not UTF-8: {error}")),
    };
    check(&opened.approval, text).err().and_then(bad)
}

fn entry(said: &Said, asked: &AskedDecision<'_>, id: &str, raw: &RawIntent<'_>) -> PeopleEntry {
    let (act, choice, to) = match &said.word {
        Word::Choice(choice) => (PeopleAct::Decided, Some(choice.clone()), Vec::new()),
        Word::Delegate(to) => (PeopleAct::Delegated, None, vec![PersonName::to_string(to)]),
    };
    PeopleEntry {
        by: Some(said.by.to_string()),
        choice,
        to,
        form: Json::null(),
        id: Some(id.to_owned()),
        said: Some(said.seq),
        at: Some(raw.stored_at),
        ..PeopleEntry::new(act, asked.hop, asked.wait)
    }
}

fn code_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoSeat { .. } | Refusal::Nobody | Refusal::FourEyes => codes::NOT_ENTITLED,
        Refusal::NoChoice { .. } => codes::NO_SUCH_CHOICE,
        Refusal::HasSeat(_) | Refusal::Barred(_) | Refusal::NoSeats => codes::BAD_DELEGATION,
    }
}

/// What an intent waits for that people decide, in words.
fn open_ones(head: &Head) -> String {
    let snapshot = &head.record.snapshot;
    let open = baton_envelope::open_waits(snapshot).filter(|wait| wait.ballot.is_some());
    let names: Vec<String> = open.map(|wait| format!("{}.{}", wait.hop, wait.name)).collect();
    match names.is_empty() {
        true => format!(
            "no approval of it is open (it is {}, hop {})",
            snapshot.status, snapshot.hop
        ),
        false => format!("open are {}", names.join(", ")),
    }
}
