//! Says what cannot be read: once for each key, in the log and as an alarm.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_envelope::control::Unreadable;
use baton_envelope::{codes, shell_word};

use crate::alarm;
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to read the buckets.
const EVERY: Duration = Duration::from_secs(15);

/// Looks for what cannot be read in the buckets. The sweep reads the ledger, and tells of that.
#[derive(Debug, Default)]
pub(crate) struct UnreadableKeys {
    teller: Teller,
}

impl Round for UnreadableKeys {
    const NAME: &'static str = "unreadable";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let found = term.cx.mesh.unreadable_keys().await?;
        self.teller.tell(term, &found).await
    }
}

/// Remembers what was said in this term.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    said: BTreeSet<(String, u64)>,
}

impl Teller {
    /// Says what is new in a complete list of what cannot be read.
    pub(crate) async fn tell(&mut self, term: &Term, found: &[Unreadable]) -> Result<(), RoundError> {
        let mut said = BTreeSet::new();
        for one in found {
            let entry = (one.key.clone(), one.seq);
            if !self.said.contains(&entry) {
                publish(term, one).await?;
            }
            said.insert(entry);
        }
        self.said = said;
        Ok(())
    }
}

async fn publish(term: &Term, one: &Unreadable) -> Result<(), RoundError> {
    let Unreadable {
        key,
        seq,
        problem,
        meanwhile,
        ..
    } = one;
    tracing::warn!(
        code = codes::UNREADABLE,
        key,
        seq,
        problem,
        "cannot be read: {meanwhile}"
    );
    let mesh = &term.in_charge()?.mesh;
    let message = format!("{key} cannot be read (sequence {seq}: {problem}): {meanwhile}");
    alarm::publish(
        mesh,
        codes::UNREADABLE,
        message,
        vec![format!("baton repair {}", shell_word(key))],
    )
    .await;
    Ok(())
}
