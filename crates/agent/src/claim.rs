//! The claim of a holder on its hop: the last record that it saw, and how it writes after that.

use baton_envelope::budget::{Amount, Amounts, BudgetRefused, MeterName, Spend};
use baton_envelope::context::Completeness;
use baton_envelope::{
    Author, Draft, EnvelopeId, Event, IllegalTransition, IntentId, Json, Overtaken, Place, Snapshot, Status, StepEntry,
    Timestamp, act, is_still_held, on_overtaken,
};
use baton_jetstream::{AdvanceError, Advanced, Committed, Error, Head, HeadRef, Known, WorkerMesh};

/// The holder's view of its intent.
#[derive(Debug)]
pub(crate) struct Claim {
    mesh: WorkerMesh,
    by: Author,
    intent: IntentId,
    pub(crate) envelope: EnvelopeId,
    /// The state after the last record that this holder saw.
    pub(crate) snapshot: Snapshot,
    /// Where that record stands.
    pub(crate) place: Place,
    /// Whether a record says that this instance holds the hop.
    pub(crate) visible: bool,
    /// How long the attempt ran, in milliseconds, once it has ended; every record that ends it contains this.
    pub(crate) took_ms: Option<u64>,
    /// The cost of the attempt, if the handler reported one.
    pub(crate) cost: Option<Json>,
    /// How much of its view the attempt could read, if it looked at it.
    pub(crate) read: Option<Completeness>,
    /// What of that cost no record of the attempt has accounted for.
    pub(crate) spend: Option<Spend>,
    /// What the attempt has spent, by its steps.
    pub(crate) spent: Amounts,
}

/// Why an append failed.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The hop has another holder, or is over; this is the head. Nothing was written.
    Fenced(Box<Head>),
    /// The record is written, but a ticket that it owes is not written yet.
    Unsettled(Error),
    /// The server refused or did not answer. Nothing was written.
    Failed(Error),
}

impl From<AdvanceError<Self>> for AppendError {
    fn from(error: AdvanceError<Self>) -> Self {
        match error {
            AdvanceError::Refused(error) => error,
            AdvanceError::NotWritten(error) => Self::Failed(error),
            AdvanceError::Unsettled { source, .. } => Self::Unsettled(source),
        }
    }
}

impl From<IllegalTransition> for AppendError {
    fn from(error: IllegalTransition) -> Self {
        Self::Failed(error.into())
    }
}

impl Claim {
    pub(crate) fn new(
        mesh: WorkerMesh,
        by: Author,
        intent: IntentId,
        envelope: EnvelopeId,
        head: Snapshot,
        place: Place,
    ) -> Self {
        Self {
            mesh,
            by,
            intent,
            envelope,
            snapshot: head,
            place,
            visible: false,
            took_ms: None,
            cost: None,
            read: None,
            spend: None,
            spent: Amounts::NONE,
        }
    }

    /// Appends what an act drafts from the head. Asks the act again with a newer head when somebody who does not hold
    /// the hop wrote a record in between.
    pub(crate) async fn append(
        &mut self,
        act: impl Fn(&Snapshot) -> Result<Draft, IllegalTransition> + Send + Sync,
    ) -> Result<(), AppendError> {
        self.append_at(|head, _| act(head).map_err(AppendError::from)).await
    }

    /// As [`Claim::append`], for an act that counts from the time of its record.
    pub(crate) async fn append_at(
        &mut self,
        act: impl Fn(&Snapshot, Timestamp) -> Result<Draft, AppendError> + Send + Sync,
    ) -> Result<(), AppendError> {
        let (held, took_ms, cost, spend) = (&self.snapshot, self.took_ms, &self.cost, &self.spend);
        // Of the record that ends the attempt.
        let read = self.read.as_ref().filter(|_| took_ms.is_some());
        let (envelope, instance) = (self.envelope, self.by.instance.as_str());
        let mut event: Option<Event> = None;
        let known = Known::At(held, self.place);
        let advanced = self
            .mesh
            .advance(&self.intent, &self.by, known, |head: Option<HeadRef<'_>>, stamp| {
                let snapshot = head.map_or(held, |head| head.snapshot);
                // The head was read, so another writer came first.
                if let (
                    Some(HeadRef {
                        record: Some(record),
                        seq,
                        ..
                    }),
                    Some(event),
                ) = (head, &event)
                {
                    match on_overtaken(event, held, envelope, instance, snapshot) {
                        Overtaken::Rebase => {}
                        Overtaken::Remake => return Err(AppendError::Failed(Error::Raced(record.intent.clone()))),
                        Overtaken::Fenced => {
                            return Err(AppendError::Fenced(Box::new(Head::new(record.clone(), seq))));
                        }
                    }
                }
                let mut draft = act(snapshot, stamp.at)?;
                draft.took_ms = took_ms;
                draft.cost.clone_from(cost);
                draft.context = read.cloned();
                if let Some(spend) = spend {
                    draft.has_spent(spend.clone());
                }
                if event.is_none() {
                    event = Some(draft.event.clone());
                }
                Ok(draft.into())
            });
        match advanced.await {
            Ok(Advanced::Committed(committed)) => self.go_on_from(&committed),
            Ok(Advanced::Unchanged(_)) => {}
            Err(AdvanceError::Unsettled { committed, source }) => {
                self.go_on_from(&committed);
                return Err(AppendError::Unsettled(source));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn go_on_from(&mut self, committed: &Committed) {
        self.snapshot.clone_from(&committed.record.snapshot);
        self.place = committed.place();
    }

    /// Takes over what others, who do not hold the hop, have changed since.
    pub(crate) async fn refresh(&mut self) -> Result<(), Error> {
        if let Some(head) = self.mesh.head(&self.intent).await?
            && head.seq > self.place.seq
            && is_still_held(&self.snapshot, self.envelope, &self.by.instance, &head.record.snapshot)
        {
            self.place = head.place();
            self.snapshot = head.record.snapshot.seen_at(head.seq);
        }
        Ok(())
    }

    /// Whether the ledger says that the hop is another's, or over.
    pub(crate) async fn is_lost(&self) -> Result<bool, Error> {
        let head = self.mesh.head(&self.intent).await?;
        Ok(head.is_some_and(|head| {
            let now = &head.record.snapshot;
            head.seq > self.place.seq && !is_still_held(&self.snapshot, self.envelope, &self.by.instance, now)
        }))
    }

    /// Takes the hop, as attempt number `attempt`: a new epoch fences out every earlier holder.
    pub(crate) async fn take(&mut self, attempt: u32) -> Result<(), AppendError> {
        let holder = self.by.instance.clone();
        self.append(|head| act::claim(head, &holder, attempt)).await?;
        self.visible = true;
        Ok(())
    }

    /// Records once that this instance holds the hop, if no record says so yet.
    pub(crate) async fn make_visible(&mut self) -> Result<(), AppendError> {
        if !self.visible {
            let holder = self.by.instance.clone();
            self.append(|head| act::start(head, &holder)).await?;
            self.visible = true;
        }
        Ok(())
    }

    /// Reserves for a step, before it is called. The first record of the holder says with it that it is at work. Nothing is
    /// written where the budget does not suffice.
    pub(crate) async fn hold(
        &mut self,
        step: &str,
        amounts: &Amounts,
    ) -> Result<Result<(), Box<BudgetRefused>>, AppendError> {
        let holder = self.by.instance.clone();
        if let Err(act::NotHeld::Refused(refused)) = act::hold(&self.snapshot, &holder, step, amounts.clone()) {
            return Ok(Err(refused));
        }
        let intent = self.intent.clone();
        // Others only add: what was available to this holder still is.
        self.append_at(|head, _| match act::hold(head, &holder, step, amounts.clone()) {
            Ok(draft) => Ok(draft),
            Err(act::NotHeld::Illegal(error)) => Err(error.into()),
            Err(act::NotHeld::Refused(_)) => Err(AppendError::Failed(Error::Raced(intent.clone()))),
        })
        .await?;
        self.visible = true;
        Ok(Ok(()))
    }

    /// Records the result of a step with what it has spent of what was held for it.
    pub(crate) async fn spend(&mut self, entry: &StepEntry, spend: &Spend) -> Result<(), AppendError> {
        self.append(|head| act::spend_step(head, entry.clone(), spend.clone()))
            .await?;
        self.spent.add(&spend.amounts);
        Ok(())
    }

    /// Records what was spent without a hold, after the fact.
    pub(crate) async fn has_spent(&mut self, spend: &Spend) -> Result<(), AppendError> {
        self.append(|head| act::spend(head, spend.clone())).await?;
        self.spent.add(&spend.amounts);
        Ok(())
    }

    /// Whether anything bounds what the hop spends.
    pub(crate) const fn has_budget(&self) -> bool {
        self.snapshot.budget.is_some()
    }

    /// Notes what the handler says that the attempt has cost: the outcome accounts for what no record has.
    pub(crate) fn costs(&mut self, cost: Option<f64>) {
        self.cost = cost.and_then(|cost| Json::of(&cost).ok());
        if self.has_budget() {
            self.spend = self.unaccounted(cost).map(Spend::of);
        }
    }

    /// What no step has accounted for of what the handler says that the attempt has cost.
    pub(crate) fn unaccounted(&self, cost: Option<f64>) -> Option<Amounts> {
        let told = cost.and_then(Amount::of_float).unwrap_or_default();
        let more = told.less(self.spent.get(MeterName::Cost));
        Amounts::NONE.with(MeterName::Cost, more).unless_zero()
    }

    /// Records that the hop runs longer than a moment. A claim says who holds it and leaves it `accepted`, so it is not enough.
    pub(crate) async fn show_at_work(&mut self) -> Result<(), AppendError> {
        if self.snapshot.status != Status::InProgress {
            let holder = self.by.instance.clone();
            self.append(|head| act::start(head, &holder)).await?;
            self.visible = true;
        }
        Ok(())
    }

    /// Gives the hop back: a new epoch, so that the ledger refuses whatever this holder still writes.
    pub(crate) async fn release(&mut self, reason: &str) -> Result<(), AppendError> {
        self.append(|head| act::release(head, reason)).await
    }
}
