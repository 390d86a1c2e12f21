//! Open approvals: which there are, what an operator does about one, and what its times bring.

use std::time::Duration;

use baton_envelope::control::{ApprovalView, ControlError};
use baton_envelope::people::{Approval, Ballot, MOST_REMINDERS, PeopleAct, PeopleEntry};
use baton_envelope::{
    AskedDecision, Author, IntentId, OpenWait, PersonName, Status, Timestamp, act, codes, open_waits,
};

use super::decisions::Opened;
use super::list::Filter;
use super::timers::{Due, Fired};
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::{ControllerMesh, Mesh};

/// What stands behind the name of a wait in the index of what is due: when it was opened.
pub const SINCE: &str = ":since";
/// As above: when to remind.
pub const REMIND: &str = ":remind";
/// As above: when to ask others as well.
pub const ESCALATE: &str = ":escalate";

/// How long the end of an approval waits for decisions of before that are not read yet.
const UNREAD: Duration = Duration::from_secs(30);
/// How many times to read a head again that others write to.
const TRIES: u32 = 50;

/// An approval that is open.
#[derive(Debug, Clone)]
pub struct OpenApproval {
    /// The head of its intent.
    pub head: Head,
    /// The wait.
    pub wait: OpenWait,
    /// Its state.
    pub ballot: Ballot,
    /// What people are asked.
    pub asked: Approval,
    /// Since when.
    pub since: Timestamp,
    /// When its time is over.
    pub due: Option<Timestamp>,
}

impl Mesh {
    /// The approvals that are open, the oldest first: of one intent, or of all.
    ///
    /// # Errors
    /// When the server does not answer; `NoIntent` for an intent that does not exist.
    pub async fn open_approvals(&self, of: Option<&IntentId>) -> Result<Vec<OpenApproval>, Error> {
        let heads = match of {
            Some(intent) => vec![self.must_find(intent).await?],
            None => {
                let open = ["waiting", "parked", "pending", "accepted", "in_progress"];
                let filter = Filter {
                    statuses: open.map(str::to_owned).to_vec(),
                    ..Filter::default()
                };
                self.list(&filter).await?.heads
            }
        };
        let mut found = Vec::new();
        for head in heads {
            found.extend(self.approvals_of(&head).await?);
        }
        found.sort_by_key(|open| (open.since, open.head.seq));
        Ok(found)
    }

    async fn approvals_of(&self, head: &Head) -> Result<Vec<OpenApproval>, Error> {
        let mut found = Vec::new();
        if head.record.snapshot.status.is_terminal() {
            return Ok(found);
        }
        for wait in open_waits(&head.record.snapshot) {
            let Some(ballot) = wait.ballot.clone().filter(|ballot| ballot.decided.is_none()) else {
                continue;
            };
            let asked = AskedDecision {
                hop: wait.hop,
                wait: &wait.name,
            };
            let Some(opened) = self.opened(head, &asked).await? else {
                continue;
            };
            found.push(OpenApproval {
                head: head.clone(),
                wait: wait.clone(),
                ballot,
                due: opened.due(wait),
                since: opened.at,
                asked: opened.approval,
            });
        }
        Ok(found)
    }
}

impl ControllerMesh {
    /// Gives the seat of a person to somebody else.
    ///
    /// # Errors
    /// When no such approval is open, the person has no seat or the other may not have it.
    pub async fn assign(
        &self,
        (intent, wait): (&IntentId, Option<&str>),
        (from, to): (&PersonName, &PersonName),
        reason: &str,
        by: &Author,
    ) -> Result<ApprovalView, Error> {
        let entry = PeopleEntry {
            from: Some(from.clone()),
            to: vec![to.to_string()],
            ..PeopleEntry::new(PeopleAct::Assigned, 0, "")
        };
        let assigned = |ballot: &Ballot| {
            ballot.assigned(from, to).map_err(|refusal| {
                let fix = "`baton approvals show ID` shows who has a seat";
                Error::Control(ControlError::new(
                    codes::BAD_DELEGATION,
                    format!("{from} {refusal}"),
                    fix,
                ))
            })
        };
        self.change_ballot((intent, wait), entry, reason, by, assigned).await
    }

    /// Decides an approval in the place of all.
    ///
    /// # Errors
    /// When no such approval is open, or it has no such choice.
    pub async fn override_approval(
        &self,
        (intent, wait): (&IntentId, Option<&str>),
        choice: &str,
        reason: &str,
        by: &Author,
    ) -> Result<ApprovalView, Error> {
        let entry = PeopleEntry {
            choice: Some(choice.to_owned()),
            ..PeopleEntry::new(PeopleAct::Overridden, 0, "")
        };
        let overridden = |ballot: &Ballot| {
            ballot.overridden(choice).ok_or_else(|| {
                let names: Vec<&str> = ballot.choices.iter().map(|choice| choice.name.as_str()).collect();
                let message = format!("\"{choice}\" is no choice of the approval; it has {}", names.join(", "));
                Error::Control(ControlError::new(codes::NO_SUCH_CHOICE, message, "give one of them"))
            })
        };
        self.change_ballot((intent, wait), entry, reason, by, overridden).await
    }

    /// Writes what an operator did about the only open approval, or the one of this name.
    async fn change_ballot(
        &self,
        (intent, wait): (&IntentId, Option<&str>),
        entry: PeopleEntry,
        reason: &str,
        by: &Author,
        after: impl Fn(&Ballot) -> Result<Ballot, Error> + Send + Sync,
    ) -> Result<ApprovalView, Error> {
        for _ in 0..TRIES {
            let head = self.must_find(intent).await?;
            let (of, ballot) = the_open_one(&head, wait)?;
            let (hop, name) = (of.hop, of.name.clone());
            let after = after(ballot)?;
            let entry = PeopleEntry {
                hop,
                wait: name.clone(),
                by: Some(by.instance.clone()),
                ..entry.clone()
            };
            if let Some(seq) = self.write_people(&head, entry, &after, reason, by).await? {
                return Ok(ApprovalView {
                    intent: intent.clone(),
                    hop,
                    wait: name,
                    decided: after.decided.as_ref().map(|decided| decided.choice.clone()),
                    silent: after.silent(),
                    seq,
                });
            }
        }
        Err(Error::Raced(intent.clone()))
    }

    /// Writes an entry behind a head, unless another writer comes first; gives the sequence.
    async fn write_people(
        &self,
        head: &Head,
        entry: PeopleEntry,
        after: &Ballot,
        note: &str,
        by: &Author,
    ) -> Result<Option<u64>, Error> {
        let note = Some(note.to_owned()).filter(|note| !note.is_empty());
        let written = self.advance(&head.record.intent, by, Known::Read(head), |now, _| {
            match now.filter(|now| now.seq == head.seq) {
                Some(now) => {
                    let draft = act::decide(now.snapshot, entry.clone(), after.clone())?;
                    Ok::<_, Error>(draft.with_note(note.clone()).into())
                }
                None => Ok(Decision::Nothing),
            }
        });
        Ok(match written.await? {
            Advanced::Committed(committed) => Some(committed.seq),
            Advanced::Unchanged(_) => None,
        })
    }

    /// Does what is due of the approvals of a waiting head: its end first, then an escalation, then a reminder. `None` when
    /// nothing of them is due.
    pub(super) async fn fire_people(&self, head: &Head, due: &Due, by: &Author) -> Result<Option<Fired>, Error> {
        let mut kinds = ["", ESCALATE, REMIND].into_iter();
        let is_named = |wait: &OpenWait, kind: &str| {
            let opened = wait.seq.unwrap_or(head.seq);
            let is_it = |what: &str| what.strip_suffix(kind) == Some(wait.name.as_str());
            due.waits.iter().any(|(what, at)| is_it(what) && *at == opened)
        };
        let open = || open_waits(&head.record.snapshot).filter_map(|wait| Some((wait, wait.ballot.as_ref()?)));
        let found = kinds.find_map(|kind| {
            let mut open = open().filter(|(_, ballot)| ballot.decided.is_none());
            open.find(|(wait, _)| is_named(wait, kind)).map(|found| (kind, found))
        });
        let Some((kind, (wait, ballot))) = found else {
            return Ok(None);
        };
        let asked = AskedDecision {
            hop: wait.hop,
            wait: &wait.name,
        };
        let Some(opened) = self.opened(head, &asked).await? else {
            return Ok(None);
        };
        let fired = match kind {
            ESCALATE => self.escalate(head, (wait, ballot), by).await?,
            REMIND => self.remind(head, (wait, ballot), &opened, by).await?,
            _ => self.expire(head, (wait, ballot), &opened, by).await?,
        };
        Ok(Some(fired))
    }

    /// Ends an approval with its default, once no decision of before its end is left unread.
    async fn expire(
        &self,
        head: &Head,
        (wait, ballot): (&OpenWait, &Ballot),
        opened: &Opened,
        by: &Author,
    ) -> Result<Fired, Error> {
        let (Some(due), Some(after)) = (opened.due(wait), ballot.expired()) else {
            return Ok(Fired::Nothing);
        };
        // The clock that stamps decisions says when it is over, and not that of this machine.
        let now = self.intake_time().await?;
        if now < due {
            return Ok(Fired::Later);
        }
        let is_unread = self.has_unread(&head.record.intent, wait, due).await?;
        if is_unread && now.since(due) < UNREAD {
            return Ok(Fired::Later);
        }
        let note = match is_unread {
            true => format!(
                "decisions of before its end could not be read for {} s",
                UNREAD.as_secs()
            ),
            false => String::new(),
        };
        let entry = PeopleEntry {
            choice: after.decided.as_ref().map(|decided| decided.choice.clone()),
            at: Some(due),
            ..PeopleEntry::new(PeopleAct::Expired, wait.hop, &wait.name)
        };
        self.write_people(head, entry, &after, &note, by).await.map(went_on)
    }

    /// The time by the clock of the server that stores decisions.
    async fn intake_time(&self) -> Result<Timestamp, Error> {
        #[derive(serde::Deserialize)]
        struct Info {
            ts: Option<Timestamp>,
        }
        let info: Option<Info> = self.stream_info(&self.subjects().intake_stream()).await?;
        Ok(info.and_then(|info| info.ts).unwrap_or_else(|| self.now()))
    }

    /// Whether the intake has decisions about a wait that were stored before its end.
    async fn has_unread(&self, intent: &IntentId, wait: &OpenWait, due: Timestamp) -> Result<bool, Error> {
        let stream = self.subjects().intake_stream();
        let ns = self.subjects().namespace();
        for begin in [format!("{ns}.decide"), format!("{ns}.from.*.decide")] {
            let subject = format!("{begin}.*.{intent}.{}.{}.*", wait.hop, wait.name);
            let request = serde_json::json!({ "seq": 1, "next_by_subj": subject });
            let oldest = self.leader_get(&stream, &request).await?;
            // What has no time is not believed to be late.
            let is_before = |at: Option<Timestamp>| at.is_none_or(|at| at < due);
            if oldest.is_some_and(|oldest| is_before(oldest.stored_at())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn escalate(&self, head: &Head, (wait, ballot): (&OpenWait, &Ballot), by: &Author) -> Result<Fired, Error> {
        let Some(after) = ballot.escalated() else {
            return Ok(Fired::Nothing);
        };
        let entry = PeopleEntry {
            to: ballot.escalate_to.iter().map(PersonName::to_string).collect(),
            ..PeopleEntry::new(PeopleAct::Escalated, wait.hop, &wait.name)
        };
        self.write_people(head, entry, &after, "", by).await.map(went_on)
    }

    async fn remind(
        &self,
        head: &Head,
        (wait, ballot): (&OpenWait, &Ballot),
        opened: &Opened,
        by: &Author,
    ) -> Result<Fired, Error> {
        let Some(every) = ballot.remind_ms.filter(|every| *every > 0) else {
            return Ok(Fired::Nothing);
        };
        // One for all that were missed while no controller lived.
        let passed = u64::try_from(self.now().since(opened.at).as_millis()).unwrap_or(u64::MAX);
        let number = u32::try_from(passed / every).unwrap_or(u32::MAX).min(MOST_REMINDERS);
        let Some(after) = ballot.reminded(number) else {
            return Ok(Fired::Nothing);
        };
        let entry = PeopleEntry {
            to: ballot.silent(),
            number: Some(number),
            ..PeopleEntry::new(PeopleAct::Reminded, wait.hop, &wait.name)
        };
        self.write_people(head, entry, &after, "", by).await.map(went_on)
    }
}

fn went_on(seq: Option<u64>) -> Fired {
    seq.map_or(Fired::Nothing, |_| Fired::WentOn)
}

/// The open approval of this name, or the only one.
fn the_open_one<'h>(head: &'h Head, wait: Option<&str>) -> Result<(&'h OpenWait, &'h Ballot), Error> {
    let (intent, snapshot) = (&head.record.intent, &head.record.snapshot);
    let is_open = !snapshot.status.is_terminal();
    let open = open_waits(snapshot).filter_map(|wait| Some((wait, wait.ballot.as_ref()?)));
    let mut open: Vec<_> = open.filter(|(_, ballot)| is_open && ballot.decided.is_none()).collect();
    let names: Vec<&str> = open.iter().map(|(wait, _)| wait.name.as_str()).collect();
    let refused = |problem: String| {
        let fix = "`baton approvals list` shows what people are asked";
        Err(Error::Control(ControlError::new(codes::NOT_WAITING, problem, fix)))
    };
    match wait {
        None if open.len() > 1 => refused(format!("{intent} has several open approvals: {}", names.join(", "))),
        Some(name) if !names.contains(&name) => refused(format!(
            "{intent} has no open approval \"{name}\" ({})",
            standing(&snapshot.status, &names)
        )),
        wait => {
            let at = wait
                .and_then(|name| names.iter().position(|open| *open == name))
                .unwrap_or(0);
            match at < open.len() {
                true => Ok(open.swap_remove(at)),
                false => refused(format!(
                    "{intent} has no open approval ({})",
                    standing(&snapshot.status, &names)
                )),
            }
        }
    }
}

fn standing(status: &Status, names: &[&str]) -> String {
    match names.is_empty() {
        true => format!("it is {status}"),
        false => format!("open are {}", names.join(", ")),
    }
}
