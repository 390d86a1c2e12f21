//! Decisions of people about approvals. One that does not count becomes a dead letter that says why; it ends nothing.

use baton_envelope::codes;
use baton_envelope::people::{Approval, DecisionSubject};
use baton_envelope::{IntentId, RawIntent};
use baton_forms::Form;
use baton_jetstream::{Error, Ruled};

use crate::intake::routing::{Routing, Taken};

impl Routing {
    /// Records a decision for `to`: a person, an intent, a hop, a wait and a choice. `seq` is its place in the intake.
    pub(super) async fn decision(&self, raw: &RawIntent<'_>, to: &str, seq: u64) -> Result<Taken, Error> {
        let subject = match DecisionSubject::read(to) {
            Ok(subject) => subject,
            Err(problem) => {
                let text = format!("{problem}; subject {}", raw.subject);
                return self.dead(raw, None, codes::BAD_SUBJECT, text).await;
            }
        };
        // Who decides is the token of the subject. Where the server says whose account it came from, the two are one.
        let account = self.mesh.subjects().intake(raw.subject).0;
        if let Some(account) = account.filter(|account| *account != subject.by.to_string()) {
            let text = format!(
                "{account} decided as \"{}\"; everybody decides in their own name",
                subject.by
            );
            return self.dead(raw, Some(&subject.intent), codes::NOT_ENTITLED, text).await;
        }
        match self.mesh.rule(raw, seq, &subject, &check, &self.by).await {
            Ok(Ruled::Counted { seq }) => {
                tracing::debug!(intent = %subject.intent, by = %subject.by, choice = subject.choice, seq, "decided");
                Ok(Taken::Told)
            }
            Ok(Ruled::Before) => Ok(Taken::Told),
            Ok(Ruled::NotYet) => Ok(Taken::Held),
            Ok(Ruled::NoIntent) => self.nothing_of(raw, &subject.intent).await,
            Ok(Ruled::Refused { code, why }) => self.dead(raw, Some(&subject.intent), code, why).await,
            Err(error @ Error::TooLarge { .. }) => {
                let text = error.to_string();
                self.dead(raw, Some(&subject.intent), codes::BAD_FORM, text).await
            }
            Err(error) => Err(error),
        }
    }

    /// What becomes of a decision about an intent that the ledger has nothing of. It does not wait for one that comes later.
    async fn nothing_of(&self, raw: &RawIntent<'_>, intent: &IntentId) -> Result<Taken, Error> {
        if let Some(taken) = self.of_archived(raw, intent).await? {
            return Ok(taken);
        }
        let text = format!("there is no intent {intent}");
        self.dead(raw, Some(intent), codes::NO_INTENT, text).await
    }
}

/// Checks an answer by the form of an approval.
fn check(approval: &Approval, answer: Option<&str>) -> Result<(), String> {
    let Some(form) = &approval.form else { return Ok(()) };
    let form = Form::read(form.get()).map_err(|refused| refused.to_string())?;
    form.check(answer).map_err(|refused| refused.to_string())
}
