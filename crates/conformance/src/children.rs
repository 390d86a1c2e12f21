//! The children of a call, as the judge plays them: their records, and what is recorded of them on their parent.

use baton_envelope::{IntentId, PROTOCOL};
use baton_jetstream::Error;
use serde_json::{Value, json};

use crate::court::{Court, SINK, SINK_ACTIVE, Work};
use crate::fault::Fault;

/// The name of the call in all trials.
pub(crate) const CALL: &str = "ask";

/// What a child comes to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// It completes with this text.
    Completed(&'static str),
    /// It is declined with this code.
    Rejected(&'static str),
}

impl End {
    pub(crate) const fn state(self) -> &'static str {
        match self {
            Self::Completed(_) => "completed",
            Self::Rejected(_) => "rejected",
        }
    }

    /// What is recorded of it on the parent.
    pub(crate) fn recorded(self, index: usize, id: &str, seq: u64) -> Value {
        match self {
            Self::Completed(_) => json!({"index": index, "id": id, "state": self.state(), "seq": seq}),
            Self::Rejected(code) => {
                json!({"index": index, "id": id, "state": self.state(), "code": code, "seq": seq})
            }
        }
    }
}

/// Who writes what a controller does.
fn controller() -> Value {
    json!({"role": "controller", "instance": "conformance"})
}

/// The id of the child at a place of the call of a first hop.
pub(crate) fn child_of(work: &Work, index: u32) -> Result<String, Fault> {
    let parent: IntentId = work.intent.parse().map_err(|_| Fault::Skipped("no id".to_owned()))?;
    Ok(IntentId::of_child(&parent, 1, CALL, index).to_string())
}

impl Court {
    /// Writes the only record of a child of an intent, one that somebody refused: its sequence.
    pub(crate) async fn refuse_child(&self, child: &str, of: &Work) -> Result<u64, Error> {
        let (status, now) = (json!({"state": "rejected", "code": "NO"}), self.now());
        let snapshot = json!({"status": status, "hop": 0, "attempt": 0, "epoch": 1, "root": of.intent, "parent": of.intent,
                              "submitted_at": now, "updated_at": now});
        let event = json!({"type": "rejected", "code": "NO"});
        let error = r#","error":{"code":"NO","message":"planted"}"#;
        let body = self.body(child, &event, &controller(), &snapshot, error);
        self.write(child, 0, "rejected", "rejected", body).await
    }

    /// Ends a child of the first hop of an intent, which the agent has submitted or not: the sequence of its last record.
    pub(crate) async fn end_child(&self, child: &str, of: &Work, end: End) -> Result<u64, Error> {
        let begun = match self.head_of(child).await? {
            Some(head) => Work {
                intent: child.to_owned(),
                envelope: head.text("/snapshot/envelope").to_owned(),
                seq: head.seq,
                body: head.body,
            },
            None => self.begin_child(child, of).await?,
        };
        match end {
            End::Completed(result) => {
                let changes = json!({"result": result});
                self.append(&begun, json!({"type": "completed"}), Some("completed"), &changes, "")
                    .await
            }
            End::Rejected(code) => {
                let error = json!({"code": code, "message": "planted"});
                let changes = json!({"status": {"state": "rejected", "code": code}, "error": error});
                let event = json!({"type": "rejected", "code": code});
                self.append(
                    &begun,
                    event,
                    Some("rejected"),
                    &changes,
                    &format!(r#","error":{error}"#),
                )
                .await
            }
        }
    }

    /// Writes the first record of a child, as the leading controller does.
    async fn begin_child(&self, child: &str, of: &Work) -> Result<Work, Error> {
        let (envelope, now) = (self.mesh.clock().envelope_id().to_string(), self.now());
        let (agent, version) = (self.agent.as_str(), self.version.as_str());
        let snapshot = json!({
            "status": {"state": "pending"}, "agent": SINK, "version": SINK_ACTIVE, "hop": 2, "attempt": 1, "epoch": 1,
            "envelope": envelope, "root": of.intent, "parent": of.intent, "submitted_at": now, "updated_at": now,
            "path": [{"agent": agent, "version": version}, {"agent": SINK, "version": SINK_ACTIVE}],
        });
        let text = json!({
            "protocol": PROTOCOL, "id": envelope, "intent": child, "root": of.intent, "parent": of.intent, "to": SINK,
            "to_version": SINK_ACTIVE, "hop": 2,
        });
        let more = format!(r#","envelope":{text}"#);
        let body = self.body(child, &json!({"type": "submitted"}), &controller(), &snapshot, &more);
        let seq = self.write(child, 0, "submitted", "pending", body.clone()).await?;
        Ok(Work {
            intent: child.to_owned(),
            envelope,
            seq,
            body,
        })
    }

    /// Records ends on the parent, as the leading controller does. `set` is what the snapshot says of the children after that.
    pub(crate) async fn record_ends(&self, work: &Work, set: &Value, ends: &Value) -> Result<(), Error> {
        let changes = json!({"status": {"state": "waiting", "reason": "children"}, "children": [set]});
        let done = json!([{"hop": 1, "name": CALL, "ends": ends}]);
        let more = format!(r#","children":{done}"#);
        self.append(work, json!({"type": "child_done"}), Some("waiting"), &changes, &more)
            .await?;
        Ok(())
    }

    /// Lets the hop go on with what its children came to, as the leading controller does: the work, with that record.
    pub(crate) async fn join(&self, work: &Work, ends: &Value) -> Result<Work, Error> {
        let results = json!([{"name": CALL, "kind": "children", "outcome": "joined", "children": ends}]);
        let changes = json!({"epoch": "+1", "attempt": 1, "waits": null, "children": null});
        self.put_again(work, "resumed", &changes, &format!(r#","results":{results}"#))
            .await
    }
}
