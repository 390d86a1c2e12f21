//! Signals: telling an open intent something. One that cannot be told becomes a dead letter that says why.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{IntentId, RawIntent, SignalSubject};
use baton_jetstream::{Error, IntakeMessage, Signalled, ToldBefore};
use tokio::time::Instant;

use crate::intake::rejection::Rejection;
use crate::intake::routing::{CATCH_UP, Routing, Taken};

/// How long a signal waits for an intent without any record: it may have overtaken its submit.
const OVERTAKEN: Duration = Duration::from_secs(30);

/// How long a signal waits here for those before it, before it goes back.
const TURN: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(2);

impl Routing {
    /// Records a signal for `to`, an intent and a name.
    pub(super) async fn signal(&self, message: &IntakeMessage, raw: &RawIntent<'_>, to: &str) -> Result<Taken, Error> {
        if !self.is_its_turn(message).await? {
            return Ok(Taken::Held);
        }
        let SignalSubject { intent, name } = match SignalSubject::read(to) {
            Ok(found) => found,
            Err(problem) => {
                let text = format!("{problem}; subject {}", raw.subject);
                return self.dead(raw, None, codes::BAD_SUBJECT, text).await;
            }
        };
        let account = self.mesh.subjects().intake(raw.subject).0;
        match self.mesh.signal(raw, (&intent, &name), account, &self.by).await {
            Ok(Signalled::Taken { seq }) => {
                tracing::debug!(%intent, name, seq, "signalled");
                Ok(Taken::Told)
            }
            Ok(Signalled::Before) => Ok(Taken::Told),
            Ok(Signalled::NotYet) => Ok(Taken::Held),
            Ok(Signalled::NoIntent) => self.no_record(raw, &intent).await,
            Ok(Signalled::TooLate(head)) => {
                let (status, at) = (&head.record.snapshot.status, head.record.at);
                let text = format!("signal \"{name}\" came after the end of {intent} ({status}, {at})");
                self.dead(raw, Some(&intent), codes::TOO_LATE, text).await
            }
            Ok(Signalled::TooMany) => {
                let text = format!(
                    "{intent} has as many unread signals as it may; one of a wait's name is taken by that wait"
                );
                self.dead(raw, Some(&intent), codes::TOO_MANY_SIGNALS, text).await
            }
            Err(error @ Error::TooLarge { .. }) => {
                self.dead(raw, Some(&intent), codes::PAYLOAD_TOO_LARGE, error.to_string())
                    .await
            }
            Err(error) => Err(error),
        }
    }

    /// Signals of one name keep their order: one waits for those before it, which another controller may have at this moment.
    async fn is_its_turn(&self, message: &IntakeMessage) -> Result<bool, Error> {
        let until = Instant::now() + TURN;
        let mut pause = FIRST_PAUSE;
        while !self.mesh.is_first_in_intake(message.subject(), message.seq()).await? {
            if Instant::now() >= until {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(true)
    }

    /// What becomes of a message for an intent that the ledger has nothing of, where the archive has it; `None` where that has
    /// not. A hop that runs again tells once more what it has told: that is no other message.
    pub(super) async fn of_archived(&self, raw: &RawIntent<'_>, intent: &IntentId) -> Result<Option<Taken>, Error> {
        self.projection.archive_caught_up(CATCH_UP).await?;
        let at = self.projection.find_archived(intent).await?;
        match self.mesh.told_before_archived(raw, intent, at).await? {
            ToldBefore::Yes => Ok(Some(Taken::Told)),
            ToldBefore::No => {
                let text = format!("it came after the end of {intent}, which is archived");
                self.dead(raw, Some(intent), codes::TOO_LATE, text).await.map(Some)
            }
            ToldBefore::NoIntent => Ok(None),
        }
    }

    /// What becomes of a signal for an intent that the ledger has nothing of.
    async fn no_record(&self, raw: &RawIntent<'_>, intent: &IntentId) -> Result<Taken, Error> {
        if let Some(taken) = self.of_archived(raw, intent).await? {
            return Ok(taken);
        }
        if self.mesh.now().since(raw.stored_at) < OVERTAKEN {
            return Ok(Taken::Held);
        }
        let text = format!(
            "there is no intent {intent}, and none came within {} s",
            OVERTAKEN.as_secs()
        );
        self.dead(raw, Some(intent), codes::NO_INTENT, text).await
    }

    /// Keeps a message that tells nobody anything as a dead letter. Its id is made of the intent and the message's id, where
    /// it has both, so that its sender finds it.
    pub(super) async fn dead(
        &self,
        raw: &RawIntent<'_>,
        intent: Option<&IntentId>,
        code: &str,
        text: String,
    ) -> Result<Taken, Error> {
        let id = match (intent, raw.named_id()) {
            (Some(intent), Some(named)) => intent.letter(named),
            (_, _) => raw.derived_id.clone(),
        };
        let ids = vec![id];
        self.recorded(raw, ids, None, Rejection::new(code, text)).await
    }
}
