//! A term: the time in which this controller leads without a break. What rounds share lives as long.

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
    /// A term that knows nothing yet.
    pub(crate) fn begin(cx: &Context) -> Self {
        Self {
            cx: cx.clone(),
            observed: watch::Sender::new(None),
            alarms: watch::Sender::new(Vec::new()),
        }
    }

    /// What a round writes with. Asked before each write, not once: between two of them the lease may have run out.
    ///
    /// # Errors
    /// When this controller does not lead.
    pub(crate) fn in_charge(&self) -> Result<&Context, RoundError> {
        match self.cx.leadership.is_leading() {
            true => Ok(&self.cx),
            false => Err(RoundError::NotLeading),
        }
    }

    /// Tells the other rounds what was observed.
    pub(crate) fn observed(&self, observations: Observations) {
        self.observed.send_replace(Some(Arc::new(observations)));
    }

    /// What was observed last.
    ///
    /// # Errors
    /// When nothing was, or too long ago.
    pub(crate) fn observations(&self) -> Result<Arc<Observations>, RoundError> {
        let last = self.observed.borrow().clone();
        match last {
            Some(last) if last.age() <= FRESH => Ok(last),
            Some(last) => Err(RoundError::Stale(last.age())),
            None => Err(RoundError::Unobserved),
        }
    }

    /// Tells of each new observation.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Observations>>> {
        self.observed.subscribe()
    }

    /// The alarms that there are.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.alarms.borrow().clone()
    }

    /// Replaces the alarms; says whether they are others than before.
    pub(crate) fn set_alarms(&self, alarms: Vec<Alarm>) -> bool {
        self.alarms.send_if_modified(|known| {
            let is_new = *known != alarms;
            *known = alarms;
            is_new
        })
    }
}
