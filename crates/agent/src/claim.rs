//! Where a holder stands in the ledger: the last record that it saw, and guarded writes after it.

use baton_envelope::{
    Author, EnvelopeId, Event, IntentId, Json, Overtaken, Record, Snapshot, is_still_held, on_overtaken,
};
use baton_jetstream::{Error, Head, Mesh, Sealed, Written};

/// The holder's view of its intent.
#[derive(Debug)]
pub(crate) struct Position {
    mesh: Mesh,
    by: Author,
    intent: IntentId,
    envelope: EnvelopeId,
    /// The state after the last record that this holder saw.
    pub(crate) snapshot: Snapshot,
    /// The sequence of that record.
    pub(crate) seq: u64,
    /// Whether a record says that this instance holds the hop.
    pub(crate) visible: bool,
    /// How long the attempt ran, in milliseconds, once it has ended: every record that ends it says so.
    pub(crate) took_ms: Option<u64>,
    /// What it cost, where the handler said so.
    pub(crate) cost: Option<Json>,
}

/// Why a write did not come to stand.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The hop is another's, or over; this is the head.
    Fenced(Box<Head>),
    /// The server refused or did not answer.
    Failed(Error),
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Position {
    pub(crate) fn new(
        mesh: Mesh,
        by: Author,
        intent: IntentId,
        envelope: EnvelopeId,
        head: Snapshot,
        seq: u64,
    ) -> Self {
        Self {
            mesh,
            by,
            intent,
            envelope,
            snapshot: head,
            seq,
            visible: false,
            took_ms: None,
            cost: None,
        }
    }

    /// Appends an event. `fill` completes the record; it may be called again, on a newer snapshot, when a record of
    /// someone who does not hold the hop came between.
    pub(crate) async fn append(
        &mut self,
        event: Event,
        fill: impl Fn(Record) -> Record,
    ) -> Result<(Sealed, u64), Lost> {
        loop {
            let record = Record::following(
                &self.snapshot,
                self.seq,
                self.mesh.record_id(),
                self.intent.clone(),
                event.clone(),
                self.mesh.now(),
                self.by.clone(),
            )
            .map_err(Error::from)?;
            // On the heap: it would be part of the state of every hop that waits for the server.
            let mut record = Box::new(fill(record));
            record.took_ms = self.took_ms;
            record.cost.clone_from(&self.cost);
            let sealed = Sealed::new(record)?;
            match self.mesh.write_sealed(&sealed, self.seq).await? {
                Written::Stored { seq } => {
                    self.snapshot.clone_from(&sealed.snapshot);
                    self.seq = seq;
                    return Ok((sealed, seq));
                }
                Written::Superseded(head) => {
                    let (by, now) = (&self.by.instance, &head.record.snapshot);
                    match on_overtaken(&event, &self.snapshot, self.envelope, by, now) {
                        Overtaken::Rebase => self.take_over(*head),
                        Overtaken::Remake => return Err(Lost::Failed(Error::Raced(head.record.intent))),
                        Overtaken::Fenced => return Err(Lost::Fenced(head)),
                    }
                }
            }
        }
    }

    /// Takes over what others, who do not hold the hop, have changed meanwhile.
    pub(crate) async fn refresh(&mut self) -> Result<(), Error> {
        if let Some(head) = self.mesh.head(&self.intent).await?
            && head.seq > self.seq
            && is_still_held(&self.snapshot, self.envelope, &self.by.instance, &head.record.snapshot)
        {
            self.take_over(head);
        }
        Ok(())
    }

    fn take_over(&mut self, head: Head) {
        self.snapshot = head.record.snapshot.seen_at(head.seq);
        self.seq = head.seq;
    }

    /// Says in the ledger that this instance is at work, once.
    pub(crate) async fn make_visible(&mut self) -> Result<(), Lost> {
        if !self.visible {
            let holder = self.by.instance.clone();
            self.append(Event::Started, |record| record.held_by(&holder)).await?;
            self.visible = true;
        }
        Ok(())
    }

    /// Gives the hop back: a new epoch, so that whatever this holder still writes is refused.
    pub(crate) async fn release(&mut self, reason: &str) -> Result<(), Lost> {
        self.append(Event::Released, |record| {
            let mut record = record.without_holder();
            record.note = Some(reason.to_owned());
            record
        })
        .await
        .map(drop)
    }
}
