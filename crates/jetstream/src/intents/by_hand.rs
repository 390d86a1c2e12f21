//! Work that a person or a script does by hand: each of its steps, and putting it before its version again when the route
//! says otherwise than the record about who does it.

use baton_envelope::act::{self, Shift};
use baton_envelope::{
    AgentName, AgentVersion, Asked, Author, Body, Draft, Envelope, HandStep, HandWrite, HistoryEntry, IntentId,
    ProtocolRange, Route, Snapshot, Successor, check_kind, take_by_hand,
};

use super::form::in_form_for;
use super::moves::Moved;
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::{ControllerMesh, Mesh};

/// What goes to the next agent when work is handed on.
#[derive(Debug, Clone)]
pub struct HandedOn {
    /// The agent that gets it.
    pub to: AgentName,
    /// The payload for that agent.
    pub payload: Body,
    /// The kind, if it changes.
    pub kind: Option<String>,
    /// A note.
    pub note: Option<String>,
}

/// What a step did.
#[derive(Debug, Clone)]
pub struct Worked {
    /// The status before.
    pub was: String,
    /// The head after it.
    pub head: Head,
}

/// The next agent, found before the record is drafted.
struct Receiver {
    version: AgentVersion,
    route: std::sync::Arc<Route>,
}

impl ControllerMesh {
    /// Takes a step on work that is done by hand, in the name of a person. The record is one of a worker of that agent whose
    /// instance is the person, so that it says whose turn it was. Where work must be begun first, `started` is written before.
    ///
    /// # Errors
    /// When the step may not be taken: the error names the status; or the intent does not exist, or keeps changing.
    pub async fn work_by_hand(
        &self,
        intent: &IntentId,
        person: &str,
        step: &HandStep,
        onward: Option<&HandedOn>,
    ) -> Result<Worked, Error> {
        let mut head = self.must_find(intent).await?;
        let mut was = None;
        loop {
            let snapshot = &head.record.snapshot;
            was.get_or_insert_with(|| snapshot.status.to_string());
            let author = match (&snapshot.agent, &snapshot.version) {
                (Some(agent), Some(version)) => Author::worker(agent.clone(), version.clone(), person),
                (_, _) => return Err(not_now(intent, snapshot, "no agent ever had a turn".to_owned())),
            };
            let receiver = match onward {
                Some(onward) => Some(self.receiver(snapshot, intent, onward).await?),
                None => None,
            };
            let mut is_last = true;
            let advanced = self.advance(intent, &author, Known::Read(&head), |now, _| {
                let Some(now) = now else {
                    return Err(Error::NoIntent(intent.clone()));
                };
                if (&now.snapshot.agent, &now.snapshot.version) != (&author.agent, &author.version) {
                    return Err(Error::Raced(intent.clone()));
                }
                let taken = take_by_hand(now.snapshot, person, step, self.now());
                match taken.map_err(|problem| not_now(intent, now.snapshot, problem.0))? {
                    HandWrite::Last(draft) => Ok(Decision::Write(*draft)),
                    HandWrite::First(draft) => {
                        is_last = false;
                        Ok(Decision::Write(*draft))
                    }
                    HandWrite::HandOff => {
                        let (Some(onward), Some(receiver)) = (onward, &receiver) else {
                            return Err(Error::api("handing on", "nobody is named"));
                        };
                        let Some(last) = now.envelope else {
                            return Ok(Decision::ReadEnvelope);
                        };
                        self.handed_on(now.snapshot, last, (&author, onward), receiver)
                            .map(Decision::Write)
                    }
                }
            });
            match advanced.await? {
                Advanced::Committed(committed) => {
                    if is_last {
                        let was = was.unwrap_or_default();
                        let head = Head::new((*committed.record).clone(), committed.seq);
                        return Ok(Worked { was, head });
                    }
                    // With its place: where the mesh signs, the next record names this one.
                    head = self.must_find(intent).await?;
                }
                Advanced::Unchanged(_) => return Err(Error::Raced(intent.clone())),
            }
        }
    }

    /// The version of the next agent, and its route.
    async fn receiver(&self, snapshot: &Snapshot, intent: &IntentId, onward: &HandedOn) -> Result<Receiver, Error> {
        if let Some(kind) = &onward.kind {
            check_kind(kind)?;
        }
        let asked = Asked {
            root: snapshot.root.as_ref().unwrap_or(intent),
            kind: onward.kind.as_deref().or(snapshot.kind.as_deref()),
            pins: &snapshot.pins,
            path: &snapshot.path,
        };
        let (choice, route) = self.choose(&onward.to, &asked).await?;
        Ok(Receiver {
            version: choice.version,
            route,
        })
    }

    /// The record that hands work on.
    fn handed_on(
        &self,
        head: &Snapshot,
        envelope: &Envelope,
        (author, onward): (&Author, &HandedOn),
        Receiver { version, route }: &Receiver,
    ) -> Result<Draft, Error> {
        let of = |problem: String| not_now(&envelope.intent, head, problem);
        let name = match (&author.agent, &author.version) {
            (Some(agent), Some(version)) => format!("{agent}@{version}"),
            (_, _) => author.instance.clone(),
        };
        let history = onward
            .note
            .as_ref()
            .map(|note| history(author, envelope.hop, self.now(), note));
        let new = Successor {
            id: self.clock().envelope_id(),
            to: onward.to.clone(),
            to_version: version.clone(),
            from: name,
            payload: onward.payload.json.clone(),
            kind: onward.kind.clone(),
            history: history.flatten(),
        };
        let mut next = envelope.successor(new).map_err(|limit| of(limit.to_string()))?;
        next.payload_encoding.clone_from(&onward.payload.encoding);
        next.pins.clone_from(&head.pins);
        envelope
            .check_must_carry(&next)
            .map_err(|broken| of(broken.to_string()))?;
        let (next, conversion) = in_form_for(route, version, next, envelope.protocol, ProtocolRange::of_forms())?;
        let mut draft = act::hand_off(head, next, version.clone())?.by_hand(route.is_manual(version));
        draft.conversion = conversion;
        Ok(draft.with_note(onward.note.clone()))
    }

    /// Puts work before its version again where the route says otherwise than its record about who does it there: a version
    /// that people work by hand has no tickets, and one with workers needs them. What somebody has by hand stays until it
    /// is given back.
    ///
    /// # Errors
    /// When the intent keeps changing, or the server does not answer.
    pub async fn put_as_routed(
        &self,
        intent: &IntentId,
        agent: &AgentName,
        version: &AgentVersion,
        by: &Author,
    ) -> Result<Moved, Error> {
        // From the bucket: the local table may not have the change yet.
        let Some((route, _)) = self.route(agent).await? else {
            return Err(Error::api("putting work again", format!("agent {agent} has no route")));
        };
        let is_manual = route.is_manual(version);
        let found = self.must_find(intent).await?;
        let mut was = String::new();
        let put = self.advance(intent, by, Known::Read(&found), |head, _| {
            let head = head.ok_or_else(|| Error::NoIntent(intent.clone()))?;
            let snapshot = head.snapshot;
            let is_there = snapshot.agent.as_ref() == Some(agent) && snapshot.version.as_ref() == Some(version);
            let is_held = snapshot.is_by_hand() && snapshot.holder.is_some();
            if !is_there || !snapshot.status.is_workable() || snapshot.is_by_hand() == is_manual || is_held {
                return Ok(Decision::Nothing);
            }
            was = snapshot.status.to_string();
            let Some(last) = head.envelope else {
                return Ok(Decision::ReadEnvelope);
            };
            let draft = self.before_another(snapshot, Shift::Rerouted, last, &route, version)?;
            let who = if is_manual { "is worked by hand" } else { "has workers" };
            let note = format!("{agent}@{version} {who} now");
            Ok::<_, Error>(draft.with_note(Some(note)).into())
        });
        Ok(match put.await? {
            Advanced::Committed(_) => Moved::Done {
                to: version.clone(),
                status: was,
                what: "it was put before its version again",
                // A worker that has the ticket finds the head.
                taken: None,
            },
            Advanced::Unchanged(_) => Moved::NotThere,
        })
    }

    /// Gives work by hand back whose time is over. `false` when it is not held any more, or its time has changed.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn give_back_by_hand(&self, head: &Head, by: &Author) -> Result<bool, Error> {
        let given = self.advance(&head.record.intent, by, Known::Read(head), |now, _| {
            let Some(until) = now
                .and_then(|now| now.snapshot.back_at())
                .filter(|until| *until <= self.now())
            else {
                return Ok(Decision::Nothing);
            };
            let Some(now) = now else { return Ok(Decision::Nothing) };
            let reason = format!("it was to be done by {until}");
            let released = take_by_hand(now.snapshot, &by.instance, &HandStep::Release(reason), self.now());
            match released.map_err(|problem| not_now(&head.record.intent, now.snapshot, problem.0))? {
                HandWrite::Last(draft) => Ok::<_, Error>(Decision::Write(*draft)),
                HandWrite::First(_) | HandWrite::HandOff => Ok(Decision::Nothing),
            }
        });
        Ok(matches!(given.await?, Advanced::Committed(_)))
    }
}

impl Mesh {
    /// The envelope of the present hop.
    ///
    /// # Errors
    /// When the ledger has none, or the server does not answer.
    pub async fn envelope_of(&self, head: &Head) -> Result<Box<Envelope>, Error> {
        match &head.record.envelope {
            Some(envelope) => Ok(envelope.clone()),
            None => {
                let seq = head.record.snapshot.envelope_seq;
                self.envelope_at(&head.record.intent, seq).await
            }
        }
    }
}

fn not_now(intent: &IntentId, snapshot: &Snapshot, problem: String) -> Error {
    Error::WrongStatus {
        intent: intent.clone(),
        status: snapshot.status.to_string(),
        problem,
    }
}

/// What a person did, for the next agent.
fn history(author: &Author, hop: u32, at: baton_envelope::Timestamp, note: &str) -> Option<HistoryEntry> {
    Some(HistoryEntry {
        agent: author.agent.clone()?,
        version: author.version.clone(),
        hop: Some(hop),
        at: Some(at),
        did: Some(note.to_owned()),
        decided: None,
        why: None,
        refs: Vec::new(),
        extra: baton_envelope::Extra::new(),
    })
}
