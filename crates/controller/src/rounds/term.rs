//! A term: the time in which this controller leads without a break. The state that rounds share lives as long.

use std::sync::Arc;

use baton_envelope::control::Alarm;
use tokio::sync::watch;

use crate::context::Context;
use crate::rounds::error::RoundError;
use crate::rounds::observations::{FRESH, Observations};

/// What the rounds of one term share; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    pub(crate) cx: Context,
    observed: watch::Sender<Option<Arc<Observations>>>,
    alarms: watch::Sender<Vec<Alarm>>,
}

impl Term {
    /// Starts a term that knows nothing yet.
    pub(crate) fn begin(cx: &Context) -> Self {
        Self {
            cx: cx.clone(),
            observed: watch::Sender::new(None),
            alarms: watch::Sender::new(Vec::new()),
        }
    }

    /// The context for writing. Call it before each write, not once: the lease may run out between two writes.
    ///
    /// # Errors
    /// When this controller does not lead.
    pub(crate) fn in_charge(&self) -> Result<&Context, RoundError> {
        match self.cx.leadership.is_leading() {
            true => Ok(&self.cx),
            false => Err(RoundError::NotLeading),
        }
    }

    /// Publishes observations to the other rounds.
    pub(crate) fn observed(&self, observations: Observations) {
        self.observed.send_replace(Some(Arc::new(observations)));
    }

    /// The last observations.
    ///
    /// # Errors
    /// When there are none, or they are too old.
    pub(crate) fn observations(&self) -> Result<Arc<Observations>, RoundError> {
        let last = self.observed.borrow().clone();
        match last {
            Some(last) if last.age() <= FRESH => Ok(last),
            Some(last) => Err(RoundError::Stale(last.age())),
            None => Err(RoundError::Unobserved),
        }
    }

    /// Reports each new observation.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Observations>>> {
        self.observed.subscribe()
    }

    /// The current alarms.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.alarms.borrow().clone()
    }

    /// Replaces the alarms; returns whether they changed.
    pub(crate) fn set_alarms(&self, alarms: Vec<Alarm>) -> bool {
        self.alarms.send_if_modified(|known| {
            let is_new = *known != alarms;
            *known = alarms;
            is_new
        })
    }
}
