//! The audit of one intent.

use std::sync::Arc;

use baton_envelope::{Audit, AuditReport, IntentId, KnownSignatures, Record, Rules};

use super::message;
use crate::error::Error;
use crate::server::Mesh;

impl Mesh {
    /// Audits the records of one intent, in the ledger and in the archive. Whether its tail was cut off, only the
    /// checkpoints tell, which [`Mesh::audit`] compares.
    ///
    /// # Errors
    /// When this process has no trusted keys, the server does not answer, or there is no controller to say where an
    /// archived intent is.
    pub async fn audit_intent(&self, intent: &IntentId) -> Result<AuditReport, Error> {
        let audit = self.auditor().await?;
        let mut part = audit.part();
        let records = self.raw_history(intent, 1).await?;
        let opens = records
            .first()
            .is_some_and(|first| Record::decode(&first.body).is_ok_and(|record| record.is_opening()));
        if !opens {
            match self.archived(intent).await? {
                Some(bundle) => part.records_of(0, &bundle),
                None if records.is_empty() => return Err(Error::NoIntent(intent.clone())),
                None => {}
            }
        }
        for stored in &records {
            part.ledger(&message(stored));
        }
        Ok(part.conclude_one())
    }

    /// What an audit verifies by.
    pub(super) async fn auditor(&self) -> Result<Audit, Error> {
        let rules = self.rules().ok_or_else(|| Error::BadKeys {
            file: "connection.trust".to_owned(),
            problem:
                "an audit needs the trusted keys: set `connection.trust`, and `connection.signatures` to \"accept\""
                    .to_owned(),
        })?;
        let archive = match self.archive_end().await {
            Ok(end) => end.created,
            Err(Error::Refused(_)) => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Audit {
            // An audit takes nothing on memory.
            rules: Arc::new(Rules {
                known: KnownSignatures::default(),
                ..Rules::clone(&rules)
            }),
            subjects: self.subjects().clone(),
            now: self.now(),
            archive_max_age: self.archive_max_age().await?,
            ledger: self.ledger_end().await?.created,
            archive,
        })
    }
}
