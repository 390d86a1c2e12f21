//! Why a rule does not pass.

use crate::error::ConformanceError;

/// Why a rule does not pass.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The program broke it.
    Broken { expected: String, seen: String },
    /// There was nothing to judge, and why.
    Skipped(String),
    /// It could not be judged.
    Failed(ConformanceError),
}

impl From<baton_jetstream::Error> for Fault {
    fn from(error: baton_jetstream::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ConformanceError> for Fault {
    fn from(error: ConformanceError) -> Self {
        Self::Failed(error)
    }
}

/// Breaks the rule unless something holds.
pub(crate) fn expect(holds: bool, expected: impl Into<String>, seen: impl Into<String>) -> Result<(), Fault> {
    if holds {
        return Ok(());
    }
    Err(Fault::Broken {
        expected: expected.into(),
        seen: seen.into(),
    })
}
