//! What an operator has controllers do to an intent, as the judge plays it: a pause, a resume, a kill, a decision of people.

use baton_envelope::{Protocol, codes};
use baton_jetstream::Error;
use serde_json::{Value, json};

use crate::court::{Court, Work};
use crate::fault::Fault;
use crate::routes::PERSON;

impl Court {
    /// Skips the rule if the worker says that it reads less than this minor of protocol 1: then nobody expects it of it.
    pub(crate) fn reads(&self, minor: u32) -> Result<(), Fault> {
        let declared: Value = serde_json::from_slice(&self.heartbeat.body).unwrap_or_default();
        let said = declared.pointer("/protocol/newest").and_then(Value::as_str);
        let newest: Protocol = said.unwrap_or("1.0.0").parse().unwrap_or_default();
        if newest < Protocol::new(1, minor, 0) {
            return Err(Fault::Skipped(format!(
                "it declares protocol {newest}, and this is of 1.{minor}.0"
            )));
        }
        Ok(())
    }

    /// Pauses an intent: the sequence of the record that takes it from its holder.
    pub(crate) async fn pause(&self, work: &Work) -> Result<u64, Error> {
        let error = json!({"code": codes::PAUSED, "message": "planted"});
        let changes = json!({
            "status": {"state": "parked", "code": codes::PAUSED}, "epoch": "+1", "holder": null, "given_back": null,
            "wake_at": null, "error": error,
        });
        let event = json!({"type": "parked", "code": codes::PAUSED});
        let more = format!(r#","error":{error},"note":"planted""#);
        self.append(work, event, Some("parked"), &changes, &more).await
    }

    /// Resumes an intent that was paused: the work, with the record that its ticket is of.
    pub(crate) async fn resume(&self, work: &Work) -> Result<Work, Error> {
        let changes = json!({"epoch": "+1", "attempt": 1, "holder": null, "error": null});
        self.put_again(work, "redriven", &changes, "").await
    }

    /// Takes a hop from its holder as a kill of the version does: the work, with the record that its new ticket is of.
    pub(crate) async fn kill(&self, work: &Work) -> Result<Work, Error> {
        // Nobody else raises the epoch while the agent holds the hop.
        let epoch = self.head(work).await?.map_or(0, |head| head.number("/snapshot/epoch"));
        let changes = json!({"epoch": "+1", "given_back": epoch + 1, "holder": null});
        self.put_again(work, "released", &changes, "").await
    }

    /// Lets a hop go on that has asked people by this name: the work, with the record that its ticket is of.
    pub(crate) async fn decide(&self, work: &Work, wait: &str, is_accepted: bool) -> Result<Work, Error> {
        let choice = if is_accepted { "approve" } else { "reject" };
        let cause = if is_accepted { "quorum" } else { "unreachable" };
        let decision = json!({"choice": choice, "accepted": is_accepted, "cause": cause,
                              "votes": [{"by": PERSON, "choice": choice}]});
        let results = json!([{"name": wait, "kind": "approval", "outcome": "decided", "data": decision, "by": PERSON}]);
        let changes = json!({"epoch": "+1", "attempt": 1, "waits": null});
        self.put_again(work, "resumed", &changes, &format!(r#","results":{results}"#))
            .await
    }
}
