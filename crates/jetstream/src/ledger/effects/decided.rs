//! What the hop gets when people have decided: the outcome, and the votes with what they say.

use baton_envelope::people::{Ballot, Decision, PeopleEntry, Vote};
use baton_envelope::{Json, WaitResult};

use crate::error::Error;
use crate::ledger::Head;
use crate::server::Mesh;

/// How many bytes the bodies of all votes may have together, so that the record has room for the envelope.
const FORMS: usize = 256 * 1024;

impl Mesh {
    /// Puts into the result of a wait what people decided.
    pub(super) async fn decided(
        &self,
        head: &Head,
        ballot: Option<&Ballot>,
        choice: &str,
        result: &mut WaitResult,
    ) -> Result<(), Error> {
        let Some((ballot, mut decision)) = ballot.and_then(|ballot| Some((ballot, Decision::of(ballot)?))) else {
            result.data = Json::string(choice);
            return Ok(());
        };
        let mut left = FORMS;
        for seat in &ballot.seats {
            let Some(choice) = &seat.choice else { continue };
            let seq = seat.seq.unwrap_or(head.seq);
            let mut vote = Vote {
                seq: Some(seq),
                ..Vote::new(seat.name(), choice)
            };
            if let Some(entry) = self.people_at(head, seq).await? {
                vote.at = entry.at;
                if let Some(rest) = left.checked_sub(entry.form.get().len()) {
                    left = rest;
                    vote.form = entry.form;
                }
            }
            decision.votes.push(vote);
        }
        // Who made it certain: the last one who chose it.
        let made = decision.votes.iter().filter(|vote| vote.choice == decision.choice);
        if let Some(last) = made.max_by_key(|vote| vote.seq) {
            result.by = Some(last.by.clone());
            result.at = last.at;
            result.seq = last.seq;
        }
        result.data = Json::of(&decision).map_err(|error| Error::api("writing a decision", error))?;
        Ok(())
    }

    /// What people did in a record.
    async fn people_at(&self, head: &Head, seq: u64) -> Result<Option<Box<PeopleEntry>>, Error> {
        if seq == head.seq && head.record.people.is_some() {
            return Ok(head.record.people.clone());
        }
        Ok(self.record_at(&head.record.intent, seq).await?.record.people)
    }
}
