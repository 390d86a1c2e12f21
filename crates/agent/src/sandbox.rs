//! The journal of a replayed hop: it notes the steps that the handler wants to run, and writes nothing.

use baton_envelope::codes;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fault::Fault;

/// The journal that a replayed hop has instead of the ledger.
#[derive(Debug, Default)]
pub(crate) struct Sandbox {
    log: Mutex<Log>,
}

/// What a replayed handler did that a replay does not allow.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) new_steps: Vec<String>,
    pub(crate) refused: bool,
}

impl Sandbox {
    /// Notes a step that has no record, and returns the fault that the handler gets instead of its result.
    pub(crate) fn new_step(&self, name: &str) -> Fault {
        self.note_step(name);
        Fault::terminal(
            codes::NEW_STEP,
            format!("step \"{name}\" has no record, and a replay runs none"),
        )
    }

    pub(crate) fn note_step(&self, name: &str) {
        self.log().new_steps.push(name.to_owned());
    }

    /// Notes that this handler cannot be replayed, and why.
    pub(crate) fn refuse(&self, why: &str) -> Fault {
        self.log().refused = true;
        Fault::terminal(codes::REPLAY_UNSUPPORTED, why)
    }

    /// Takes what was noted, once the handler has ended.
    pub(crate) fn take_log(&self) -> Log {
        std::mem::take(&mut *self.log())
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
