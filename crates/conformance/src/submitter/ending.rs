//! What the judge writes for an intent: the record of a raw one, its rejection, its end, and the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_envelope::{Envelope, PROTOCOL, RawRejection, check_answer, codes};
use baton_jetstream::Error;
use serde_json::{Value, json};

use super::arrival::Arrival;
use super::desk::{ACTIVE, Desk};
use super::job::{AGENT, NOBODY};
use crate::record::Stored;

/// How an intent ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Completed, with this result.
    Completed(&'static str),
    /// Failed, with this code.
    Failed(&'static str),
    /// Declined by the agent, with this code.
    Rejected(&'static str),
}

/// What the judge does with what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Play {
    /// Nothing: no router, no agent.
    Nothing,
    /// What a router does.
    Route,
    /// That, and the agent ends it.
    End(End),
    /// That, but the answer is lost.
    EndSilently(End),
}

impl Play {
    pub(super) const fn end(self) -> Option<End> {
        match self {
            Self::End(end) | Self::EndSilently(end) => Some(end),
            Self::Nothing | Self::Route => None,
        }
    }

    const fn answers(self) -> bool {
        !matches!(self, Self::EndSilently(_))
    }
}

impl Desk {
    /// Does with a raw intent what a router does. Whether there is work for the agent.
    pub(super) async fn route(&self, arrival: &Arrival) -> Result<bool, Error> {
        let envelope = match &arrival.read {
            Ok(envelope) => envelope,
            Err(rejection) => {
                self.reject(arrival, rejection).await?;
                return Ok(false);
            }
        };
        let gates = envelope.gates.keys().map(|agent| ("gates", agent));
        let mut named = std::iter::once(("to", &envelope.to)).chain(gates);
        if let Some((field, _)) = named.find(|(_, agent)| agent.as_str() == NOBODY) {
            let rejection = refusal(codes::UNKNOWN_AGENT, field, NOBODY, "has no route");
            self.reject(arrival, &rejection).await?;
            return Ok(false);
        }
        let Some(head) = self.head(&arrival.intent).await? else {
            self.take_in(arrival, envelope).await?;
            return Ok(true);
        };
        let first = self.first(&arrival.intent).await?;
        let there = first.as_ref().unwrap_or(&head);
        let payload: Value = serde_json::from_str(envelope.payload.get()).unwrap_or_default();
        let is_same = there.at("/envelope/payload") == &payload
            && there.at("/envelope/kind").as_str() == envelope.kind.as_deref()
            && there.at("/envelope/to").as_str() == Some(envelope.to.as_str());
        if !is_same {
            let rejection = refusal(codes::CONFLICT, "intent", &arrival.intent, "is taken by other work");
            self.reject(arrival, &rejection).await?;
        }
        Ok(is_same && head.has_ticket())
    }

    async fn take_in(&self, arrival: &Arrival, envelope: &Envelope) -> Result<(), Error> {
        let (now, version) = (self.mesh.now().to_string(), ACTIVE);
        let mut text = serde_json::to_value(envelope).unwrap_or_default();
        set(&mut text, "to_version", version.into());
        let mut snapshot = json!({
            "status": {"state": "pending"}, "agent": AGENT, "version": version, "hop": 1, "attempt": 1, "epoch": 1,
            "envelope": envelope.id, "submitted_at": now, "updated_at": now,
            "path": [{"agent": AGENT, "version": version}],
        });
        for name in [
            "priority", "kind", "deadline", "max_hops", "reply_to", "pins", "root", "parent",
        ] {
            if let Some(value) = text.get(name) {
                let value = value.clone();
                set(&mut snapshot, name, value);
            }
        }
        let body = self.body(
            &arrival.intent,
            &json!({"type": "submitted"}),
            &router(),
            &snapshot,
            &json!({"envelope": text}),
        );
        self.write(&arrival.intent, 0, &body).await
    }

    async fn reject(&self, arrival: &Arrival, rejection: &RawRejection) -> Result<(), Error> {
        let (now, code) = (self.mesh.now().to_string(), rejection.code);
        let error = json!({"code": code, "message": rejection.to_string()});
        let mut snapshot = json!({
            "status": {"state": "rejected", "code": code}, "submitted_at": now, "updated_at": now, "error": error,
        });
        let reply_to = match &arrival.read {
            Ok(envelope) => envelope.reply_to.clone(),
            Err(_) => arrival.message.headers.get("Baton-Reply-To").cloned(),
        };
        let answer = reply_to.filter(|subject| check_answer(subject, self.mesh.subjects().namespace()).is_ok());
        if let Some(reply_to) = answer {
            set(&mut snapshot, "reply_to", reply_to.into());
        }
        let headers: Vec<_> = arrival.message.headers.iter().collect();
        let more = json!({"error": error, "raw": {"subject": arrival.message.subject, "headers": headers,
                          "body_base64": STANDARD.encode(&arrival.message.bytes)}});
        let intent = match self.head(&arrival.intent).await? {
            None => arrival.intent.clone(),
            Some(_) => self.mesh.clock().intent_id().to_string(),
        };
        let body = self.body(
            &intent,
            &json!({"type": "rejected", "code": code}),
            &router(),
            &snapshot,
            &more,
        );
        self.write(&intent, 0, &body).await?;
        self.answer(&intent).await
    }

    /// Ends an intent as its agent would.
    pub(super) async fn end(&self, intent: &str, play: Play) -> Result<(), Error> {
        let (Some(end), Some(head)) = (play.end(), self.head(intent).await?) else {
            return Ok(());
        };
        if !head.has_ticket() {
            return Ok(());
        }
        let mut snapshot = head.at("/snapshot").clone();
        let now = self.mesh.now().to_string();
        set(&mut snapshot, "updated_at", now.into());
        set(&mut snapshot, "envelope_seq", head.seq.into());
        let mut more = json!({});
        let (state, code) = match end {
            End::Completed(result) => {
                let result: Value = serde_json::from_str(result).unwrap_or_default();
                set(&mut snapshot, "result", result);
                ("completed", None)
            }
            End::Failed(code) => ("failed", Some(code)),
            End::Rejected(code) => ("rejected", Some(code)),
        };
        let (mut status, mut event) = (json!({"state": state}), json!({"type": state}));
        if let Some(code) = code {
            let error = json!({"code": code, "message": "the judge asked for it"});
            for (document, name, value) in [
                (&mut status, "code", code.into()),
                (&mut event, "code", code.into()),
                (&mut snapshot, "error", error.clone()),
                (&mut more, "error", error),
            ] {
                set(document, name, value);
            }
        }
        set(&mut snapshot, "status", status);
        let by = json!({"role": "worker", "instance": "conformance-worker", "agent": AGENT,
                        "version": head.text("/snapshot/version")});
        let body = self.body(intent, &event, &by, &snapshot, &more);
        self.write(intent, head.seq, &body).await?;
        if play.answers() {
            self.answer(intent).await?;
        }
        Ok(())
    }

    /// Sends the answer that the head of an intent owes.
    async fn answer(&self, intent: &str) -> Result<(), Error> {
        let Some(head) = self.head(intent).await? else {
            return Ok(());
        };
        let reply_to = head.text("/snapshot/reply_to");
        if head.has_ticket() || check_answer(reply_to, self.mesh.subjects().namespace()).is_err() {
            return Ok(());
        }
        let body = ["result", "error"].map(|name| head.raw(&["snapshot", name]));
        let body = body.into_iter().flatten().next().unwrap_or_default();
        let headers = [("Baton-Intent", intent), ("Baton-Status", head.status())];
        self.hands.tell(reply_to, &headers, body).await
    }

    fn body(&self, intent: &str, event: &Value, by: &Value, snapshot: &Value, more: &Value) -> Value {
        let mut body = json!({
            "protocol": PROTOCOL, "id": self.mesh.record_id(), "intent": intent, "event": event,
            "at": snapshot.get("updated_at"), "by": by, "snapshot": snapshot,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            set(&mut body, name, value.clone());
        }
        body
    }

    async fn write(&self, intent: &str, after: u64, body: &Value) -> Result<(), Error> {
        let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let after = after.to_string();
        let headers = [
            ("Nats-Expected-Last-Subject-Sequence", after.as_str()),
            ("Baton-Event", text("/event/type")),
            ("Baton-Status", text("/snapshot/status/state")),
        ];
        self.hands
            .publish(&self.ledger(intent), &headers, body.to_string())
            .await?;
        Ok(())
    }

    pub(super) fn ledger(&self, intent: &str) -> String {
        format!("{}.ledger.0.{intent}", self.mesh.subjects().namespace())
    }

    async fn head(&self, intent: &str) -> Result<Option<Stored>, Error> {
        let question = json!({"last_by_subj": self.ledger(intent)});
        self.hands
            .stored(&self.mesh.subjects().ledger_stream(), &question)
            .await
    }

    async fn first(&self, intent: &str) -> Result<Option<Stored>, Error> {
        let question = json!({"seq": 1, "next_by_subj": self.ledger(intent)});
        self.hands
            .stored(&self.mesh.subjects().ledger_stream(), &question)
            .await
    }
}

fn router() -> Value {
    json!({"role": "controller", "instance": "conformance"})
}

fn refusal(code: &'static str, field: &str, value: &str, problem: &str) -> RawRejection {
    RawRejection {
        code,
        field: field.to_owned(),
        value: value.to_owned(),
        problem: problem.to_owned(),
        fix: "the judge asked for it".to_owned(),
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}
