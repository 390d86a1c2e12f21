//! What whoever asks an agent is told when the answer is not there in time.

use serde::{Deserialize, Serialize};

use crate::base::ids::IntentId;
use crate::base::names::AgentName;
use crate::intent::snapshot::Snapshot;

/// The body of the reply to an ask whose intent has not ended: it goes on, and the answer can be fetched later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// The intent.
    pub intent: IntentId,
    /// Where it stands, such as `in_progress` or `parked`.
    pub status: String,
    /// The agent that has it.
    #[serde(default)]
    pub agent: Option<AgentName>,
    /// The ledger sequence of its last record.
    pub seq: u64,
    /// How to fetch the answer, in words.
    pub fetch: String,
}

impl Unanswered {
    /// Says where an intent stands that was asked of an agent on `subject`.
    pub fn of(intent: &IntentId, snapshot: &Snapshot, seq: u64, subject: &str) -> Self {
        let fetch = format!(
            "ask again on {subject} with the same payload and the header Baton-Intent: {intent}, or run `baton intents \
             wait {intent}`"
        );
        Self {
            intent: intent.clone(),
            status: snapshot.status.name().to_owned(),
            agent: snapshot.agent.clone(),
            seq,
            fetch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waited_in_vain_is_told_how_to_fetch_the_answer() {
        let text = r#"{"intent":"order-42","status":"in_progress","agent":"research","seq":7,"fetch":"ask again"}"#;
        let told: Unanswered = serde_json::from_str(text).expect("reads");
        assert_eq!(serde_json::to_string(&told).expect("writes"), text);
    }
}
